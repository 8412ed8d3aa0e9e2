//! Credentials that come without a flow, and grants that only wait for their end.

use super::steps::{
    credential, credential_of, ensure_absent, ensure_listed_alone, listed, name_is_taken, reread_credential,
};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::ids::ProjectId;
use crate::store::{Store, StoreError};
use crate::testing::fixtures;
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    an_inserted_credential_is_found_and_listed_as_it_is,
    a_name_is_inserted_once,
    of_racing_insertions_one_has_the_name,
    a_repeated_insertion_is_one_credential,
    a_credential_of_the_same_id_is_not_inserted,
    a_detached_credential_is_in_no_list_and_takes_no_name,
);

async fn an_inserted_credential_is_found_and_listed_as_it_is(store: &dyn Store) -> Held {
    let credential = credential_of(&ProjectId::generate());
    store.insert_credential(&credential).await?;
    ensure_eq!(reread_credential(store, &credential).await?, credential, "the credential");
    ensure_listed_alone(store, &credential).await?;
    ensure!(name_is_taken(store, &credential).await?, "its name is not taken");
    Ok(())
}

/// Another credential of the same owner and name.
fn namesake(of: &Credential) -> Credential {
    Credential { owner: of.owner.clone(), name: of.name.clone(), ..credential_of(&of.project) }
}

async fn a_name_is_inserted_once(store: &dyn Store) -> Held {
    let first = credential(store).await?;
    let second = namesake(&first);
    let refused = store.insert_credential(&second).await;
    ensure_eq!(refused, Err(StoreError::AlreadyExists), "the insertion of a taken name");
    ensure_absent(store, &second).await
}

async fn of_racing_insertions_one_has_the_name(store: &dyn Store) -> Held {
    let first = credential_of(&ProjectId::generate());
    let credentials = racers(|_| namesake(&first));
    let results = race(&credentials, |credential| store.insert_credential(credential)).await;
    let winner = one_winner(results, |()| true)?;
    for (number, credential) in credentials.iter().enumerate() {
        if number == winner {
            ensure_eq!(&reread_credential(store, credential).await?, credential, "the credential that won");
        } else {
            ensure_absent(store, credential).await?;
        }
    }
    Ok(())
}

async fn a_repeated_insertion_is_one_credential(store: &dyn Store) -> Held {
    let credential = credential_of(&ProjectId::generate());
    store.insert_credential(&credential).await?;
    store.insert_credential(&credential).await?;
    ensure_listed_alone(store, &credential).await?;
    Ok(())
}

async fn a_credential_of_the_same_id_is_not_inserted(store: &dyn Store) -> Held {
    let first = credential(store).await?;
    for detached in [false, true] {
        let second = Credential { id: first.id.clone(), detached, ..credential_of(&first.project) };
        let refused = store.insert_credential(&second).await;
        ensure_eq!(refused, Err(StoreError::AlreadyExists), "the insertion of an id that is there");
        ensure!(!name_is_taken(store, &second).await?, "the refused insertion took a name");
    }
    ensure_eq!(reread_credential(store, &first).await?, first, "the first credential");
    Ok(())
}

async fn a_detached_credential_is_in_no_list_and_takes_no_name(store: &dyn Store) -> Held {
    let guest = ProjectId::generate();
    let detached = Credential {
        detached: true,
        status: CredentialStatus::Revoking,
        projects: vec![guest.clone()],
        ..credential_of(&ProjectId::generate())
    };
    store.insert_credential(&detached).await?;
    store.insert_credential(&detached).await?;
    // It has no time of its own, so it is due since it was made.
    let stored = Credential { due_at: Some(detached.created_at.timestamp_millis()), ..detached.clone() };
    ensure_eq!(reread_credential(store, &detached).await?, stored, "the credential");
    ensure!(!name_is_taken(store, &detached).await?, "its name is taken");
    for project in [&detached.project, &guest] {
        ensure_eq!(listed(store, project, 100).await?, [], "the list of a project");
    }
    let shared = store.find_shared_credential(&guest, &detached.id).await?;
    ensure_eq!(shared, None, "the credential, from a project that it was shared with");
    let named = namesake(&detached);
    store.insert_credential(&named).await?;
    let beside = Credential { id: fixtures::credential(&fixtures::flow(&fixtures::session(&guest))).id, ..detached };
    store.insert_credential(&beside).await?;
    ensure!(name_is_taken(store, &named).await?, "the name of the other credential is not taken");
    Ok(())
}
