//! API keys.

use chrono::Duration;

use super::steps::{ensure_listed, found, walk};
use crate::model::ids::{KeyId, ProjectId};
use crate::model::principal::{ApiKey, Everything, Projects, Role};
use crate::store::{Store, StoreError};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq, race, racers};

checks!(dyn Store:
    a_key_is_found_by_its_hash_as_it_was_inserted,
    an_unknown_key_is_not_found,
    a_hash_is_inserted_once,
    a_key_id_is_inserted_once,
    a_put_adds_a_key,
    a_put_replaces_the_key_of_the_same_hash,
    after_racing_puts_one_key_has_the_hash,
    a_put_never_takes_the_id_of_another_hash,
    a_deleted_key_is_gone,
    a_use_is_noted,
    a_use_of_a_deleted_key_brings_nothing_back,
    all_keys_are_listed_by_id,
);

fn key() -> ApiKey {
    fixtures::api_key(&ProjectId::generate())
}

async fn listed(store: &dyn Store) -> Result<Vec<ApiKey>, Broken> {
    walk(25, |cursor: Option<String>| async move { store.list_keys(25, cursor.as_deref()).await }).await
}

async fn a_key_is_found_by_its_hash_as_it_was_inserted(store: &dyn Store) -> Held {
    let mut superuser = key();
    superuser.role = Role::Superuser;
    superuser.projects = Projects::All(Everything::Everything);
    superuser.permissions.clear();
    superuser.last_used_at = Some(start());
    for key in [key(), superuser] {
        store.insert_key(&key).await?;
        ensure_eq!(store.find_key(&key.hash).await?, Some(key), "the key");
    }
    Ok(())
}

async fn an_unknown_key_is_not_found(store: &dyn Store) -> Held {
    ensure_eq!(store.find_key(&fixtures::unique_hash()).await?, None, "an unknown key");
    ensure!(!store.delete_key(&KeyId::generate()).await?, "a key that never was is deleted");
    Ok(())
}

async fn a_hash_is_inserted_once(store: &dyn Store) -> Held {
    let first = key();
    store.insert_key(&first).await?;
    let second = ApiKey { hash: first.hash.clone(), ..key() };
    ensure_eq!(store.insert_key(&second).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_key(&first.hash).await?, Some(first), "the key");
    ensure!(listed(store).await?.iter().all(|key| key.id != second.id), "the refused key is listed");
    Ok(())
}

async fn a_key_id_is_inserted_once(store: &dyn Store) -> Held {
    let first = key();
    store.insert_key(&first).await?;
    let second = ApiKey { id: first.id.clone(), ..key() };
    ensure_eq!(store.insert_key(&second).await, Err(StoreError::AlreadyExists), "the second insert");
    ensure_eq!(store.find_key(&second.hash).await?, None, "the refused key");
    Ok(())
}

async fn a_put_adds_a_key(store: &dyn Store) -> Held {
    let key = key();
    store.put_key(&key).await?;
    ensure!(listed(store).await?.contains(&key), "the key is not listed");
    ensure_eq!(store.find_key(&key.hash).await?, Some(key), "the key");
    Ok(())
}

async fn a_put_replaces_the_key_of_the_same_hash(store: &dyn Store) -> Held {
    let first = key();
    store.insert_key(&first).await?;
    let same_id = ApiKey { name: "renamed".to_owned(), permissions: Vec::new(), ..first.clone() };
    let other_id = ApiKey { hash: first.hash.clone(), ..key() };
    for replacement in [same_id, other_id.clone()] {
        store.put_key(&replacement).await?;
        ensure_eq!(store.find_key(&first.hash).await?, Some(replacement), "the key");
    }
    let of_hash: Vec<_> = listed(store).await?.into_iter().filter(|key| key.hash == first.hash).collect();
    ensure_eq!(of_hash, [other_id], "the keys of this hash in the list");
    ensure!(!store.delete_key(&first.id).await?, "the replaced key can be deleted");
    Ok(())
}

async fn after_racing_puts_one_key_has_the_hash(store: &dyn Store) -> Held {
    let hash = fixtures::unique_hash();
    let keys = racers(|_| ApiKey { hash: hash.clone(), ..key() });
    race(&keys, |key| store.put_key(key)).await;
    let stored = found(store.find_key(&hash).await?, "the key")?;
    let of_hash: Vec<_> = listed(store).await?.into_iter().filter(|key| key.hash == hash).collect();
    ensure_eq!(of_hash, [stored], "the keys of this hash in the list");
    Ok(())
}

async fn a_put_never_takes_the_id_of_another_hash(store: &dyn Store) -> Held {
    let first = key();
    store.insert_key(&first).await?;
    let second = ApiKey { id: first.id.clone(), ..key() };
    ensure_eq!(store.put_key(&second).await, Err(StoreError::AlreadyExists), "the put");
    ensure_eq!(store.find_key(&second.hash).await?, None, "the refused key");
    ensure!(store.delete_key(&first.id).await?, "the first key cannot be deleted");
    ensure_eq!(store.find_key(&first.hash).await?, None, "the deleted key");
    Ok(())
}

async fn a_deleted_key_is_gone(store: &dyn Store) -> Held {
    let key = key();
    store.insert_key(&key).await?;
    ensure!(store.delete_key(&key.id).await?, "a key is not deleted");
    ensure_eq!(store.find_key(&key.hash).await?, None, "the deleted key");
    ensure!(listed(store).await?.iter().all(|other| other.id != key.id), "the deleted key is listed");
    ensure!(!store.delete_key(&key.id).await?, "a key is deleted twice");
    Ok(())
}

async fn a_use_is_noted(store: &dyn Store) -> Held {
    let mut key = key();
    store.insert_key(&key).await?;
    let now = start() + Duration::days(1);
    store.record_key_use(&key.hash, now).await?;
    key.last_used_at = Some(now);
    ensure_eq!(store.find_key(&key.hash).await?, Some(key), "the key");
    Ok(())
}

async fn a_use_of_a_deleted_key_brings_nothing_back(store: &dyn Store) -> Held {
    let key = key();
    store.insert_key(&key).await?;
    store.delete_key(&key.id).await?;
    store.record_key_use(&key.hash, start()).await?;
    ensure_eq!(store.find_key(&key.hash).await?, None, "the deleted key");
    Ok(())
}

async fn all_keys_are_listed_by_id(store: &dyn Store) -> Held {
    let mut ids = Vec::new();
    for _ in 0..5 {
        let key = key();
        store.insert_key(&key).await?;
        ids.push(key.id);
    }
    for limit in [2, 100] {
        let page = |cursor: Option<String>| async move { store.list_keys(limit, cursor.as_deref()).await };
        let listed: Vec<_> = walk(limit, page).await?.into_iter().map(|key| key.id).collect();
        ensure_listed(&listed, &ids)?;
    }
    Ok(())
}
