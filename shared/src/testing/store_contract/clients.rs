//! Clients.

use chrono::Duration;

use super::steps::{ensure_listed, found, walk};
use crate::clock::Timestamp;
use crate::model::client::Client;
use crate::model::ids::{ClientId, ProjectId};
use crate::store::{Store, StoreError};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_client_is_found_by_id_and_by_key_as_it_was_inserted,
    an_unknown_client_is_not_found,
    a_client_is_inserted_once,
    a_client_key_is_taken_once,
    a_client_key_stays_taken_for_ever,
    a_deleted_client_is_gone,
    an_update_replaces_the_version_before,
    an_update_of_another_version_is_refused,
    of_racing_updates_of_a_client_one_wins,
    a_use_of_a_secret_is_noted_and_the_version_stays,
    a_use_of_a_secret_that_moved_is_noted,
    a_use_of_a_secret_that_is_gone_does_nothing,
    a_client_is_listed_for_its_project_only,
    a_global_client_is_listed_for_every_project,
    a_shared_client_is_listed_where_it_is_shared,
    pages_of_clients_bring_each_once,
    without_a_project_all_clients_are_listed,
);

/// The clients that are listed for a project, or all, over pages of this length.
async fn listed(store: &dyn Store, project: Option<&ProjectId>, limit: u32) -> Result<Vec<ClientId>, Broken> {
    let page = |cursor: Option<String>| async move { store.list_clients(project, limit, cursor.as_deref()).await };
    Ok(walk(limit, page).await?.into_iter().map(|client| client.id).collect())
}

async fn inserted(store: &dyn Store, project: Option<&ProjectId>) -> Result<Client, Broken> {
    let client = fixtures::client(project);
    store.insert_client(&client).await?;
    Ok(client)
}

async fn a_client_is_found_by_id_and_by_key_as_it_was_inserted(store: &dyn Store) -> Held {
    let client = inserted(store, Some(&ProjectId::generate())).await?;
    ensure_eq!(store.find_client_by_key(&client.client_key).await?.as_ref(), Some(&client), "the client by its key");
    ensure_eq!(store.find_client(&client.id).await?, Some(client), "the client");
    Ok(())
}

async fn an_unknown_client_is_not_found(store: &dyn Store) -> Held {
    let client = fixtures::client(None);
    ensure_eq!(store.find_client(&client.id).await?, None, "an unknown client");
    ensure_eq!(store.find_client_by_key(&client.client_key).await?, None, "an unknown client by its key");
    ensure!(!store.delete_client(&client).await?, "a client that never was is deleted");
    ensure_eq!(store.update_client(&client).await, Err(StoreError::Changed), "an update of an unknown client");
    Ok(())
}

async fn a_client_is_inserted_once(store: &dyn Store) -> Held {
    let client = inserted(store, Some(&ProjectId::generate())).await?;
    let elsewhere = ProjectId::generate();
    let again = Client { id: client.id.clone(), ..fixtures::client(Some(&elsewhere)) };
    ensure_eq!(store.insert_client(&again).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_client_by_key(&again.client_key).await?, None, "the refused client by its key");
    ensure!(!listed(store, Some(&elsewhere), 100).await?.contains(&client.id), "the refused client is listed");
    ensure_eq!(store.find_client(&client.id).await?, Some(client), "the client");
    Ok(())
}

async fn a_client_key_is_taken_once(store: &dyn Store) -> Held {
    let project = ProjectId::generate();
    let client = inserted(store, Some(&project)).await?;
    let second = Client { client_key: client.client_key.clone(), ..fixtures::client(Some(&project)) };
    ensure_eq!(store.insert_client(&second).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_client(&second.id).await?, None, "the refused client");
    ensure_eq!(store.find_client_by_key(&client.client_key).await?, Some(client), "the client by its key");
    Ok(())
}

async fn a_client_key_stays_taken_for_ever(store: &dyn Store) -> Held {
    let project = ProjectId::generate();
    let client = inserted(store, Some(&project)).await?;
    ensure!(store.delete_client(&client).await?, "a client is not deleted");
    let second = Client { client_key: client.client_key, ..fixtures::client(Some(&project)) };
    ensure_eq!(store.insert_client(&second).await, Err(StoreError::AlreadyExists), "an insert with a used key");
    ensure_eq!(store.find_client_by_key(&second.client_key).await?, None, "a client by the used key");
    Ok(())
}

async fn a_deleted_client_is_gone(store: &dyn Store) -> Held {
    let (project, guest) = (ProjectId::generate(), ProjectId::generate());
    let mut client = shared(&project, &guest);
    store.insert_client(&client).await?;
    ensure!(store.delete_client(&client).await?, "a client is not deleted");
    ensure_eq!(store.find_client(&client.id).await?, None, "the deleted client");
    ensure_eq!(store.find_client_by_key(&client.client_key).await?, None, "the deleted client by its key");
    for list in [Some(&project), Some(&guest), None] {
        ensure!(!listed(store, list, 100).await?.contains(&client.id), "the deleted client is listed");
    }
    ensure!(!store.delete_client(&client).await?, "a client is deleted twice");
    client.revision += 1;
    ensure_eq!(store.update_client(&client).await, Err(StoreError::Changed), "an update of the deleted client");
    Ok(())
}

async fn an_update_replaces_the_version_before(store: &dyn Store) -> Held {
    let mut client = inserted(store, Some(&ProjectId::generate())).await?;
    client.revision = 2;
    client.settings.name = "Renamed".to_owned();
    client.client_secrets.clear();
    client.settings.audience = Some("https://api.example".to_owned());
    client.settings.issuer = None;
    store.update_client(&client).await?;
    ensure_eq!(store.find_client(&client.id).await?, Some(client), "the client");
    Ok(())
}

async fn an_update_of_another_version_is_refused(store: &dyn Store) -> Held {
    let mut client = inserted(store, Some(&ProjectId::generate())).await?;
    client.revision = 2;
    store.update_client(&client).await?;
    for revision in [1, 2, 4] {
        let update = Client { revision, disabled: true, ..client.clone() };
        ensure_eq!(store.update_client(&update).await, Err(StoreError::Changed), "the update");
    }
    ensure_eq!(store.find_client(&client.id).await?, Some(client), "the client");
    Ok(())
}

async fn of_racing_updates_of_a_client_one_wins(store: &dyn Store) -> Held {
    let client = inserted(store, Some(&ProjectId::generate())).await?;
    let updates = racers(|number| Client {
        revision: 2,
        secret_origin: Some(format!("https://{number}.example")),
        ..client.clone()
    });
    let winner = one_winner(race(&updates, |update| store.update_client(update)).await, |()| true)?;
    ensure_eq!(store.find_client(&client.id).await?.as_ref(), updates.get(winner), "the client");
    Ok(())
}

/// The use of a client's secrets: when each worked last, in their order.
async fn uses(store: &dyn Store, client: &Client) -> Result<Vec<Option<Timestamp>>, Broken> {
    let client = found(store.find_client(&client.id).await?, "the client")?;
    Ok(client.client_secrets.into_iter().map(|secret| secret.last_success_at).collect())
}

/// A client with another secret before the one that it had.
fn rotated(client: &Client) -> Client {
    let mut rotated = client.clone();
    rotated.revision += 1;
    rotated.client_secrets.splice(0..0, fixtures::client(None).client_secrets);
    rotated
}

fn secret(client: &Client) -> Result<&str, Broken> {
    Ok(&found(client.client_secrets.first(), "the secret")?.id)
}

async fn a_use_of_a_secret_is_noted_and_the_version_stays(store: &dyn Store) -> Held {
    let mut client = inserted(store, Some(&ProjectId::generate())).await?;
    for seconds in [1, 2] {
        let at = start() + Duration::seconds(seconds);
        store.record_secret_use(&client, secret(&client)?, at).await?;
        for known in &mut client.client_secrets {
            known.last_success_at = Some(at);
        }
        ensure_eq!(store.find_client(&client.id).await?.as_ref(), Some(&client), "the client");
    }
    Ok(())
}

async fn a_use_of_a_secret_that_moved_is_noted(store: &dyn Store) -> Held {
    let old = inserted(store, Some(&ProjectId::generate())).await?;
    store.update_client(&rotated(&old)).await?;
    store.record_secret_use(&old, secret(&old)?, start()).await?;
    ensure_eq!(uses(store, &old).await?, [None, Some(start())], "the use of the new secret and of the old one");
    Ok(())
}

async fn a_use_of_a_secret_that_is_gone_does_nothing(store: &dyn Store) -> Held {
    let old = inserted(store, Some(&ProjectId::generate())).await?;
    let mut new = rotated(&old);
    new.client_secrets.truncate(1);
    store.update_client(&new).await?;
    store.record_secret_use(&old, secret(&old)?, start()).await?;
    store.record_secret_use(&new, &fixtures::unique(), start()).await?;
    ensure_eq!(store.find_client(&old.id).await?.as_ref(), Some(&new), "the client without the secret");
    store.delete_client(&new).await?;
    store.record_secret_use(&new, secret(&new)?, start()).await?;
    ensure_eq!(store.find_client(&old.id).await?, None, "the deleted client");
    Ok(())
}

async fn a_client_is_listed_for_its_project_only(store: &dyn Store) -> Held {
    let (project, other) = (ProjectId::generate(), ProjectId::generate());
    let client = inserted(store, Some(&project)).await?;
    ensure!(listed(store, Some(&project), 100).await?.contains(&client.id), "its project does not list it");
    ensure!(!listed(store, Some(&other), 100).await?.contains(&client.id), "another project lists it");
    Ok(())
}

async fn a_global_client_is_listed_for_every_project(store: &dyn Store) -> Held {
    let client = inserted(store, None).await?;
    let listed = listed(store, Some(&ProjectId::generate()), 100).await?;
    store.delete_client(&client).await?;
    ensure!(listed.contains(&client.id), "a project does not list it");
    Ok(())
}

async fn a_shared_client_is_listed_where_it_is_shared(store: &dyn Store) -> Held {
    let [home, first, second] = [(); 3].map(|()| ProjectId::generate());
    let mut client = shared(&home, &first);
    store.insert_client(&client).await?;
    for (revision, shared_with) in [(1, vec![&first]), (2, vec![&first, &second]), (3, vec![&second]), (4, vec![])] {
        if revision > 1 {
            client.revision = revision;
            client.settings.shared_with = shared_with.iter().map(|project| (*project).clone()).collect();
            store.update_client(&client).await?;
        }
        for (project, expected) in
            [(&home, true), (&first, shared_with.contains(&&first)), (&second, shared_with.contains(&&second))]
        {
            let is_listed = listed(store, Some(project), 100).await?.contains(&client.id);
            ensure_eq!(is_listed, expected, "whether a project lists a client that is shared, or no longer");
        }
    }
    Ok(())
}

/// A client of one project that another may use.
fn shared(home: &ProjectId, guest: &ProjectId) -> Client {
    let mut client = fixtures::client(Some(home));
    client.settings.shared_with.push(guest.clone());
    client
}

async fn pages_of_clients_bring_each_once(store: &dyn Store) -> Held {
    let (project, other) = (ProjectId::generate(), ProjectId::generate());
    let mut expected = Vec::new();
    let mut globals = Vec::new();
    for number in 0..9 {
        let client = match number % 3 {
            0 => fixtures::client(Some(&project)),
            1 => fixtures::client(None),
            _ => shared(&other, &project),
        };
        store.insert_client(&client).await?;
        expected.push(client.id.clone());
        globals.extend(client.settings.project.is_none().then_some(client));
    }
    let mut outcome = Ok(());
    for limit in [1, 2, 3, 100] {
        let listed = listed(store, Some(&project), limit).await?;
        outcome = outcome.and(ensure_listed(&listed, &expected));
    }
    // A global client shows in the list of every project, so it does not stay.
    for global in globals {
        store.delete_client(&global).await?;
    }
    outcome
}

async fn without_a_project_all_clients_are_listed(store: &dyn Store) -> Held {
    let of_project = inserted(store, Some(&ProjectId::generate())).await?;
    let global = inserted(store, None).await?;
    let listed = listed(store, None, 50).await?;
    store.delete_client(&global).await?;
    ensure_listed(&listed, &[of_project.id.clone(), global.id])?;
    found(store.find_client(&of_project.id).await?, "the client of a project")?;
    Ok(())
}
