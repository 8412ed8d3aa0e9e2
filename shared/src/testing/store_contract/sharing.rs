//! Credentials that other projects may use: found and listed there as long as they are shared, changed at home only.

use super::steps::{
    acquire, applied, changed, credential, credential_of, ensure_listed, listed, reread_credential, store_credential,
};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::ids::ProjectId;
use crate::store::{Attempted, StatusChange, Store, StoreError};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_credential_is_found_and_listed_where_it_is_shared,
    a_credential_can_be_shared_from_its_beginning,
    a_refreshed_credential_is_found_where_it_is_shared,
    own_and_shared_credentials_are_listed_by_id,
    its_own_project_among_the_others_changes_nothing,
    a_change_of_another_list_of_projects_is_refused,
    of_racing_shares_one_wins,
    a_shared_credential_is_not_changed_where_it_is_shared,
    an_ended_credential_is_still_found_where_it_is_shared,
);

fn shared_with(credential: &Credential, projects: &[&ProjectId]) -> Credential {
    Credential { projects: projects.iter().map(|project| (*project).clone()).collect(), ..credential.clone() }
}

/// Checks who sees a credential: its own project lists it, and those it is shared with list and find it.
async fn ensure_seen(store: &dyn Store, credential: &Credential, by: &[&ProjectId], not_by: &[&ProjectId]) -> Held {
    ensure!(
        listed(store, &credential.project, 100).await?.contains(&credential.id),
        "its own project does not list it"
    );
    let at_home = store.find_shared_credential(&credential.project, &credential.id).await?;
    ensure_eq!(at_home, None, "the credential, as one of another project, from its own");
    for (projects, expected) in [(by, true), (not_by, false)] {
        for project in projects {
            let shared = store.find_shared_credential(project, &credential.id).await?;
            ensure_eq!(shared.as_ref(), expected.then_some(credential), "the credential, from another project");
            let is_listed = listed(store, project, 100).await?.contains(&credential.id);
            ensure_eq!(is_listed, expected, "whether another project lists it");
            let own = store.find_credential(project, &credential.id).await?;
            ensure_eq!(own, None, "the credential under another project");
        }
    }
    Ok(())
}

async fn a_credential_is_found_and_listed_where_it_is_shared(store: &dyn Store) -> Held {
    let [first, second] = [(); 2].map(|()| ProjectId::generate());
    let mut old = credential(store).await?;
    ensure_seen(store, &old, &[], &[&first, &second]).await?;
    let steps: [(&[&ProjectId], &[&ProjectId]); 4] =
        [(&[&first], &[&second]), (&[&first, &second], &[]), (&[&second], &[&first]), (&[], &[&first, &second])];
    for (by, not_by) in steps {
        let new = shared_with(&old, by);
        store.update_credential(&old, &new).await?;
        ensure_eq!(reread_credential(store, &old).await?, new, "the credential");
        ensure_seen(store, &new, by, not_by).await?;
        // The SDK repeats a call whose answer was lost.
        store.update_credential(&old, &new).await?;
        old = new;
    }
    Ok(())
}

async fn a_credential_can_be_shared_from_its_beginning(store: &dyn Store) -> Held {
    let guest = ProjectId::generate();
    let [by_flow, without] = [(); 2].map(|()| shared_with(&credential_of(&ProjectId::generate()), &[&guest]));
    store_credential(store, &by_flow).await?;
    store.insert_credential(&without).await?;
    for credential in [by_flow, without] {
        ensure_seen(store, &credential, &[&guest], &[&ProjectId::generate()]).await?;
    }
    Ok(())
}

async fn a_refreshed_credential_is_found_where_it_is_shared(store: &dyn Store) -> Held {
    let guest = ProjectId::generate();
    let credential = shared_with(&credential_of(&ProjectId::generate()), &[&guest]);
    store.insert_credential(&credential).await?;
    let leased = acquire(store, &credential, &fixtures::acquire(&credential, start())).await?;
    let commit = fixtures::commit(&leased, start());
    let refreshed = applied(store.commit_refresh(&leased.project, &leased.id, &commit).await?)?;
    let found = store.find_shared_credential(&guest, &credential.id).await?;
    ensure_eq!(found, Some(refreshed), "the credential, from another project");
    Ok(())
}

async fn own_and_shared_credentials_are_listed_by_id(store: &dyn Store) -> Held {
    let (home, other) = (ProjectId::generate(), ProjectId::generate());
    let mut ids = Vec::new();
    for number in 0..6 {
        let credential = match number % 2 {
            0 => credential_of(&home),
            _ => shared_with(&credential_of(&other), &[&home]),
        };
        store.insert_credential(&credential).await?;
        ids.push(credential.id);
    }
    for limit in [1, 4, 100] {
        let listed = listed(store, &home, limit).await?;
        ensure_listed(&listed, &ids)?;
        ensure_eq!(listed.len(), ids.len(), "how many are listed");
    }
    Ok(())
}

async fn its_own_project_among_the_others_changes_nothing(store: &dyn Store) -> Held {
    let (home, guest) = (ProjectId::generate(), ProjectId::generate());
    let old = shared_with(&credential_of(&home), &[&home, &guest, &guest]);
    store.insert_credential(&old).await?;
    ensure_seen(store, &old, &[&guest], &[]).await?;
    let none = shared_with(&old, &[]);
    store.update_credential(&old, &none).await?;
    ensure_seen(store, &none, &[], &[&guest]).await?;
    let again = shared_with(&old, &[&guest, &home, &guest]);
    store.update_credential(&none, &again).await?;
    ensure_seen(store, &again, &[&guest], &[]).await
}

async fn a_change_of_another_list_of_projects_is_refused(store: &dyn Store) -> Held {
    let [first, second] = [(); 2].map(|()| ProjectId::generate());
    let old = credential(store).await?;
    let new = shared_with(&old, &[&first]);
    store.update_credential(&old, &new).await?;
    let late = store.update_credential(&old, &shared_with(&old, &[&second])).await;
    ensure_eq!(late, Err(StoreError::Changed), "the change of a list that was changed since");
    ensure_seen(store, &new, &[&first], &[&second]).await?;
    // Who changes something else has no part in it.
    let relabelled = Credential { external_id: None, ..old.clone() };
    store.update_credential(&old, &relabelled).await?;
    ensure_seen(store, &Credential { external_id: None, ..new }, &[&first], &[]).await
}

async fn of_racing_shares_one_wins(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let guests = racers(|_| ProjectId::generate());
    let results = race(&guests, |guest| {
        let old = &old;
        async move { store.update_credential(old, &shared_with(old, &[guest])).await }
    })
    .await;
    let winner = one_winner(results, |()| true)?;
    let by: Vec<_> = guests.get(winner).into_iter().collect();
    let not_by: Vec<_> = guests.iter().filter(|guest| !by.contains(guest)).collect();
    ensure_seen(store, &shared_with(&old, &by), &by, &not_by).await
}

async fn a_shared_credential_is_not_changed_where_it_is_shared(store: &dyn Store) -> Held {
    let guest = ProjectId::generate();
    let credential = shared_with(&credential_of(&ProjectId::generate()), &[&guest]);
    store.insert_credential(&credential).await?;
    let foreign = Credential { project: guest.clone(), ..credential.clone() };
    let renamed = Credential { name: "Renamed".to_owned(), ..foreign.clone() };
    let updated = store.update_credential(&foreign, &renamed).await;
    ensure_eq!(updated, Err(StoreError::Changed), "an update where it is shared");
    let acquire = fixtures::acquire(&credential, start());
    let attempted = store.acquire_refresh(&guest, &credential.id, &acquire).await?;
    ensure_eq!(attempted, Attempted::Refused(None), "a lease where it is shared");
    let suspension = fixtures::status_change(CredentialStatus::Suspended);
    let attempted = store.change_status(&foreign, &suspension).await?;
    ensure_eq!(attempted, Attempted::Refused(None), "a suspension where it is shared");
    ensure_seen(store, &credential, &[&guest], &[]).await
}

async fn an_ended_credential_is_still_found_where_it_is_shared(store: &dyn Store) -> Held {
    let guest = ProjectId::generate();
    let credential = shared_with(&credential_of(&ProjectId::generate()), &[&guest]);
    store.insert_credential(&credential).await?;
    let end = StatusChange {
        frees_name: true,
        forget_after: Some(start() + chrono::Duration::days(30)),
        ..fixtures::status_change(CredentialStatus::Revoked)
    };
    let ended = changed(store, &credential, &end).await?;
    ensure_seen(store, &ended, &[&guest], &[]).await
}
