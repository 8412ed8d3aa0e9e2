//! Credentials: finding, listing, renaming.

use std::collections::BTreeMap;

use super::steps::{
    acquire, credential, credential_of, ensure_listed, listed, name_is_taken, reread_credential, store_credential,
};
use crate::model::credential::{Account, AccountChoice, AccountKind, Credential};
use crate::model::ids::ProjectId;
use crate::store::{Replacement, Store, StoreError};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    an_unknown_credential_is_not_found,
    a_credential_is_not_found_under_another_project,
    credentials_of_a_project_are_listed_by_id,
    a_name_is_taken_by_its_owner_in_its_project,
    an_update_renames_and_relabels,
    an_update_gives_it_to_another_owner,
    an_update_leaves_the_refresh_record_alone,
    a_rename_frees_the_old_name,
    a_rename_to_a_taken_name_is_refused,
    an_update_of_a_renamed_credential_is_refused,
    of_racing_renames_one_wins,
    a_credential_is_not_changed_under_another_project,
    what_belongs_to_a_grant_is_not_changed_once_there_is_a_new_one,
    a_new_grant_has_nothing_left_to_choose,
    values_that_changed_meanwhile_are_not_overwritten,
);

async fn an_unknown_credential_is_not_found(store: &dyn Store) -> Held {
    let credential = credential_of(&ProjectId::generate());
    let found = store.find_credential(&credential.project, &credential.id).await?;
    ensure_eq!(found, None, "an unknown credential");
    let renamed = Credential { name: "renamed".to_owned(), ..credential.clone() };
    for new in [credential.clone(), renamed] {
        let updated = store.update_credential(&credential, &new).await;
        ensure_eq!(updated, Err(StoreError::Changed), "an update of an unknown credential");
    }
    Ok(())
}

async fn a_credential_is_not_found_under_another_project(store: &dyn Store) -> Held {
    let (mine, other) = (credential(store).await?, credential(store).await?);
    let found = store.find_credential(&other.project, &mine.id).await?;
    ensure_eq!(found, None, "the credential under another project");
    let listed = listed(store, &other.project, 100).await?;
    ensure_eq!(listed, [other.id], "the credentials of another project");
    Ok(())
}

async fn credentials_of_a_project_are_listed_by_id(store: &dyn Store) -> Held {
    let project = ProjectId::generate();
    ensure_eq!(listed(store, &project, 1).await?, [], "the credentials of an empty project");
    let mut ids = Vec::new();
    for _ in 0..5 {
        let credential = credential_of(&project);
        store_credential(store, &credential).await?;
        ids.push(credential.id);
    }
    for limit in [1, 2, 5, 100] {
        let listed = listed(store, &project, limit).await?;
        ensure_listed(&listed, &ids)?;
        ensure_eq!(listed.len(), ids.len(), "how many are listed");
    }
    Ok(())
}

async fn a_name_is_taken_by_its_owner_in_its_project(store: &dyn Store) -> Held {
    let credential = credential(store).await?;
    ensure!(name_is_taken(store, &credential).await?, "the name is not taken");
    let others = [
        Credential { name: "another".to_owned(), ..credential.clone() },
        Credential { owner: fixtures::unique(), ..credential.clone() },
        Credential { project: ProjectId::generate(), ..credential },
    ];
    for other in others {
        ensure!(!name_is_taken(store, &other).await?, "the name is taken for another owner, in another project");
    }
    Ok(())
}

/// Something to choose from.
fn open_choices() -> BTreeMap<String, Vec<AccountChoice>> {
    let choice = |value: &str| AccountChoice { value: value.to_owned(), label: "A".to_owned(), with: BTreeMap::new() };
    BTreeMap::from([("tenant".to_owned(), vec![choice("t1"), choice("t2")])])
}

/// A credential under another name, with everything else changed that an update may change.
fn renamed(credential: &Credential, name: &str) -> Credential {
    Credential {
        name: name.to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "red".to_owned())]),
        external_id: None,
        account_kind: AccountKind::Integration,
        variables: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        choices: open_choices(),
        account: Some(Account {
            issuer: "https://as.example".to_owned(),
            subject: "7".to_owned(),
            label: None,
            named_by_api: false,
        }),
        ..credential.clone()
    }
}

async fn an_update_renames_and_relabels(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let relabelled = renamed(&old, &old.name);
    store.update_credential(&old, &relabelled).await?;
    ensure_eq!(reread_credential(store, &old).await?, relabelled, "the relabelled credential");
    let new = renamed(&relabelled, "Renamed");
    store.update_credential(&relabelled, &new).await?;
    ensure_eq!(reread_credential(store, &old).await?, new, "the renamed credential");
    Ok(())
}

async fn an_update_gives_it_to_another_owner(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let new = Credential { owner: fixtures::unique(), ..old.clone() };
    store.update_credential(&old, &new).await?;
    ensure_eq!(reread_credential(store, &old).await?, new, "the credential");
    ensure!(name_is_taken(store, &new).await?, "the name is not taken by the new owner");
    ensure!(!name_is_taken(store, &old).await?, "the name is still taken by the old owner");
    let late = store.update_credential(&old, &renamed(&old, &old.name)).await;
    ensure_eq!(late, Err(StoreError::Changed), "an update for the old owner");
    Ok(())
}

async fn an_update_leaves_the_refresh_record_alone(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    // Between the read and the update a worker takes the lease; the update knows nothing of it.
    let leased = acquire(store, &old, &fixtures::acquire(&old, start())).await?;
    let mut new = renamed(&old, "Renamed");
    new.cur = fixtures::unique();
    new.generation += 7;
    store.update_credential(&old, &new).await?;
    ensure_eq!(reread_credential(store, &old).await?, renamed(&leased, "Renamed"), "the credential");
    // The SDK repeats a call whose answer was lost.
    store.update_credential(&old, &new).await?;
    Ok(())
}

async fn a_rename_frees_the_old_name(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let new = renamed(&old, "Renamed");
    store.update_credential(&old, &new).await?;
    ensure!(name_is_taken(store, &new).await?, "the new name is not taken");
    ensure!(!name_is_taken(store, &old).await?, "the old name is still taken");
    let next = Credential { owner: old.owner.clone(), name: old.name.clone(), ..credential_of(&old.project) };
    store_credential(store, &next).await
}

async fn a_rename_to_a_taken_name_is_refused(store: &dyn Store) -> Held {
    let first = credential(store).await?;
    let second = Credential { owner: first.owner.clone(), name: "Second".to_owned(), ..credential_of(&first.project) };
    store_credential(store, &second).await?;
    let refused = store.update_credential(&second, &renamed(&second, &first.name)).await;
    ensure_eq!(refused, Err(StoreError::AlreadyExists), "the rename");
    ensure_eq!(reread_credential(store, &second).await?, second, "the credential");
    ensure!(name_is_taken(store, &second).await?, "the name of the credential is free");
    Ok(())
}

async fn an_update_of_a_renamed_credential_is_refused(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let new = Credential { name: "Renamed".to_owned(), ..old.clone() };
    store.update_credential(&old, &new).await?;
    let late = Credential { name: "Late".to_owned(), ..old.clone() };
    ensure_eq!(store.update_credential(&old, &late).await, Err(StoreError::Changed), "the late rename");
    ensure!(!name_is_taken(store, &late).await?, "the name of the late rename is taken");
    ensure_eq!(reread_credential(store, &old).await?, new, "the credential");
    Ok(())
}

async fn of_racing_renames_one_wins(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let new = racers(|number| renamed(&old, &format!("name {number}")));
    let winner = one_winner(race(&new, |new| store.update_credential(&old, new)).await, |()| true)?;
    ensure_eq!(Some(&reread_credential(store, &old).await?), new.get(winner), "the credential");
    for (number, new) in new.iter().enumerate() {
        ensure_eq!(name_is_taken(store, new).await?, number == winner, "whether a name of the race is taken");
    }
    Ok(())
}

async fn a_credential_is_not_changed_under_another_project(store: &dyn Store) -> Held {
    let credential = credential(store).await?;
    let foreign = Credential { project: ProjectId::generate(), ..credential.clone() };
    let updated = store.update_credential(&foreign, &renamed(&foreign, "Renamed")).await;
    ensure_eq!(updated, Err(StoreError::Changed), "an update under another project");
    ensure_eq!(reread_credential(store, &credential).await?, credential, "the credential");
    Ok(())
}

async fn what_belongs_to_a_grant_is_not_changed_once_there_is_a_new_one(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let replaced = store.replace_grant(None, &old, &fixtures::replacement(&old), start()).await?;
    ensure_eq!(replaced, Replacement::Done, "the replacement");
    let now = reread_credential(store, &old).await?;
    let all = renamed(&old, &old.name);
    for late in [
        Credential { variables: all.variables.clone(), ..old.clone() },
        Credential { choices: all.choices.clone(), ..old.clone() },
        Credential { account: all.account.clone(), ..old.clone() },
    ] {
        ensure_eq!(store.update_credential(&old, &late).await, Err(StoreError::Changed), "a change for the old grant");
        ensure_eq!(reread_credential(store, &old).await?, now, "the credential");
    }
    Ok(())
}

async fn a_new_grant_has_nothing_left_to_choose(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let waiting = Credential { choices: open_choices(), ..old.clone() };
    store.update_credential(&old, &waiting).await?;
    let replaced = store.replace_grant(None, &waiting, &fixtures::replacement(&waiting), start()).await?;
    ensure_eq!(replaced, Replacement::Done, "the replacement");
    ensure_eq!(reread_credential(store, &old).await?.choices, BTreeMap::new(), "what is left to choose");
    Ok(())
}

async fn values_that_changed_meanwhile_are_not_overwritten(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let chosen = Credential { variables: BTreeMap::from([("tenant".to_owned(), "t1".to_owned())]), ..old.clone() };
    store.update_credential(&old, &chosen).await?;
    // A slow look-up that began before the choice.
    for late in [
        Credential { choices: open_choices(), ..old.clone() },
        Credential { variables: BTreeMap::from([("tenant".to_owned(), "t2".to_owned())]), ..old.clone() },
    ] {
        ensure_eq!(store.update_credential(&old, &late).await, Err(StoreError::Changed), "a late change of values");
        ensure_eq!(reread_credential(store, &old).await?, chosen, "the credential");
    }
    Ok(())
}
