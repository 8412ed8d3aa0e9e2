//! The pages of due work, and what each piece says.

use super::due::{LOOKS, PAUSE, due_at, later, long_ago, ms};
use super::steps::walk;
use crate::clock::Timestamp;
use crate::model::credential::Credential;
use crate::store::{DUE_SHARDS, Due, Store};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq};

checks!(dyn Store:
    due_work_says_its_client_and_since_when,
    pages_of_due_work_bring_each_once,
    a_page_goes_on_when_the_last_of_the_one_before_was_moved,
);

/// What the index says of a credential.
fn due_of(credential: &Credential, due_at: i64) -> Due {
    Due {
        project: credential.project.clone(),
        credential: credential.id.clone(),
        generation: credential.generation,
        client: credential.client.clone(),
        due_at,
    }
}

/// What is due in one shard, page by page.
async fn walked(store: &dyn Store, shard: u32, now: Timestamp, limit: u32) -> Result<Vec<Due>, Broken> {
    walk(limit, |cursor| async move { store.list_due(shard, now, limit, cursor.as_deref()).await }).await
}

/// What is due of these credentials, over the pages of all shards, sorted as they are given.
async fn due(store: &dyn Store, of: &[Credential], now: Timestamp, limit: u32) -> Result<Vec<Due>, Broken> {
    let mut all = Vec::new();
    for shard in 0..DUE_SHARDS {
        let found = walked(store, shard, now, limit).await?;
        all.extend(found.into_iter().filter_map(|due| {
            let place = of.iter().position(|known| known.id == due.credential)?;
            Some((place, due))
        }));
    }
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, due)| due).collect())
}

/// Looks until exactly this is due of these credentials.
async fn ensure_due(store: &dyn Store, of: &[Credential], now: Timestamp, limit: u32, expected: &[Due]) -> Held {
    let mut listed = Vec::new();
    for _ in 0..LOOKS {
        listed = due(store, of, now, limit).await?;
        if listed == expected {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    ensure_eq!(listed, expected, "what is due");
    Ok(())
}

async fn due_work_says_its_client_and_since_when(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let credential = due_at(store, ms(at, 0)).await?;
    let expected = [due_of(&credential, ms(at, 0))];
    ensure_due(store, std::slice::from_ref(&credential), later(at, 60_000), 1_000, &expected).await
}

async fn pages_of_due_work_bring_each_once(store: &dyn Store) -> Held {
    let at = long_ago()?;
    // Most shards get several, due at the same time.
    let mut credentials = Vec::new();
    for _ in 0..3 * DUE_SHARDS {
        credentials.push(due_at(store, ms(at, 0)).await?);
    }
    let expected: Vec<_> = credentials.iter().map(|credential| due_of(credential, ms(at, 0))).collect();
    ensure_due(store, &credentials, at, 2, &expected).await
}

async fn a_page_goes_on_when_the_last_of_the_one_before_was_moved(store: &dyn Store) -> Held {
    let at = long_ago()?;
    // One more than there are shards: one of these has at least two.
    let mut credentials = Vec::new();
    for place in 0..=i64::from(DUE_SHARDS) {
        credentials.push(due_at(store, ms(at, place)).await?);
    }
    let now = later(at, i64::from(DUE_SHARDS));
    let expected: Vec<_> = credentials.iter().zip(0..).map(|(one, place)| due_of(one, ms(at, place))).collect();
    ensure_due(store, &credentials, now, 1_000, &expected).await?;
    let is_ours = |due: &Due| credentials.iter().any(|known| known.id == due.credential);
    for shard in 0..DUE_SHARDS {
        let ours: Vec<_> = walked(store, shard, now, 1_000).await?.into_iter().filter(is_ours).collect();
        let [first, second, ..] = ours.as_slice() else { continue };
        // Pages of one, up to the first of ours.
        let (mut cursor, mut page) = (None, Vec::new());
        while !page.contains(first) {
            let next = store.list_due(shard, now, 1, cursor.as_deref()).await?;
            ensure!(next.next.is_some(), "the pages end before the first of two");
            (page, cursor) = (next.items, next.next);
        }
        let base = credentials.iter().find(|known| known.id == first.credential);
        let base = super::steps::found(base, "the first of two")?;
        ensure!(store.reschedule(base, None).await?, "a move is refused");
        let mut rest = Vec::new();
        while cursor.is_some() {
            let next = store.list_due(shard, now, 1, cursor.as_deref()).await?;
            rest.extend(next.items);
            cursor = next.next;
        }
        ensure!(rest.contains(second), "the second of two is lost");
        ensure!(!rest.contains(first), "what was moved comes again");
        return Ok(());
    }
    Err(Broken::new("no shard has two".to_owned()))
}
