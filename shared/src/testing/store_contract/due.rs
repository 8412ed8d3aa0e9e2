//! The index of due work. It may be behind, so each check looks again for a while before it gives up.

use std::time::Duration as Pause;

use chrono::DateTime;

use super::steps::{acquire, applied, credential_of, found, store_credential};
use crate::clock::Timestamp;
use crate::model::credential::Credential;
use crate::model::ids::ProjectId;
use crate::store::{CommitRefresh, DUE_SHARDS, Due, ReleaseRefresh, Store};
use crate::testing::fixtures;
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq};

checks!(dyn Store:
    only_what_is_due_is_listed,
    what_has_no_due_time_is_never_listed,
    the_longest_overdue_comes_first,
    no_more_than_the_limit_is_listed,
    a_commit_moves_the_due_time,
    a_commit_can_end_the_due_time,
    a_release_moves_the_due_time,
    a_release_can_end_the_due_time,
);

/// How often an index that is behind is asked, and how long between (0.5 seconds in all).
pub(super) const LOOKS: u32 = 10;
pub(super) const PAUSE: Pause = Pause::from_millis(50);

/// An instant of the years before 2000 that hardly another check has. Long before everything else in a table, it comes
/// early in the index however much is due.
pub(super) fn long_ago() -> Result<Timestamp, Broken> {
    let random = u64::try_from(uuid::Uuid::new_v4().as_u128() % 900_000_000_000)?;
    found(DateTime::from_timestamp_millis(i64::try_from(random)?), "an instant")
}

pub(super) fn ms(at: Timestamp, plus: i64) -> i64 {
    at.timestamp_millis() + plus
}

pub(super) fn later(at: Timestamp, plus: i64) -> Timestamp {
    at + chrono::Duration::milliseconds(plus)
}

/// A stored credential that is due at this time.
pub(super) async fn due_at(store: &dyn Store, at_ms: i64) -> Result<Credential, Broken> {
    let credential = Credential { refresh_after: Some(at_ms), ..credential_of(&ProjectId::generate()) };
    store_credential(store, &credential).await?;
    Ok(credential)
}

/// What each shard lists, of these credentials only, as places among them and generations.
async fn look(store: &dyn Store, of: &[Credential], now: Timestamp) -> Result<Vec<Vec<(usize, u64)>>, Broken> {
    let mut shards = Vec::new();
    for shard in 0..DUE_SHARDS {
        let mut places = Vec::new();
        let mut cursor = None;
        loop {
            let page = store.list_due(shard, now, 1_000, cursor.as_deref()).await?;
            for Due { project, credential, generation, .. } in page.items {
                let place = of.iter().position(|known| known.id == credential && known.project == project);
                places.extend(place.map(|place| (place, generation)));
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        shards.push(places);
    }
    Ok(shards)
}

/// Looks until these generations of one credential are listed, all shards taken together.
pub(super) async fn ensure_listed(
    store: &dyn Store,
    credential: &Credential,
    now: Timestamp,
    generations: &[u64],
) -> Held {
    let mut listed = Vec::new();
    for _ in 0..LOOKS {
        let shards = look(store, std::slice::from_ref(credential), now).await?;
        listed = shards.into_iter().flatten().map(|(_, generation)| generation).collect();
        if listed == generations {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    ensure_eq!(listed, generations, "the generations that are listed as due");
    Ok(())
}

async fn only_what_is_due_is_listed(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let credential = due_at(store, ms(at, 0)).await?;
    ensure_listed(store, &credential, at, &[1]).await?;
    ensure_listed(store, &credential, later(at, 60_000), &[1]).await?;
    ensure_listed(store, &credential, later(at, -1), &[]).await
}

async fn what_has_no_due_time_is_never_listed(store: &dyn Store) -> Held {
    let credential = credential_of(&ProjectId::generate());
    store_credential(store, &credential).await?;
    ensure_listed(store, &credential, fixtures::start(), &[]).await
}

async fn the_longest_overdue_comes_first(store: &dyn Store) -> Held {
    let at = long_ago()?;
    // More credentials than shards, so some share one. They are stored in another order than they are due.
    let count = i64::from(DUE_SHARDS) + 4;
    let mut credentials = Vec::new();
    for place in 0..count {
        credentials.push(due_at(store, ms(at, place * 7 % count)).await?);
    }
    let mut shards = Vec::new();
    for _ in 0..LOOKS {
        shards = look(store, &credentials, later(at, count)).await?;
        if shards.iter().map(Vec::len).sum::<usize>() == credentials.len() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    for shard in &shards {
        let times: Vec<_> = shard.iter().filter_map(|(place, _)| credentials.get(*place)?.refresh_after).collect();
        ensure!(times.is_sorted(), "a shard is not in the order of due times: {times:?}");
    }
    let mut places: Vec<_> = shards.into_iter().flatten().map(|(place, _)| place).collect();
    places.sort_unstable();
    ensure!(places.iter().copied().eq(0..credentials.len()), "each is listed once: {places:?}");
    Ok(())
}

async fn no_more_than_the_limit_is_listed(store: &dyn Store) -> Held {
    let at = long_ago()?;
    for _ in 0..=DUE_SHARDS {
        due_at(store, ms(at, 0)).await?;
    }
    for shard in 0..DUE_SHARDS {
        ensure!(store.list_due(shard, at, 1, None).await?.items.len() <= 1, "more is listed than was asked for");
    }
    Ok(())
}

/// A credential that is due, and leased since.
pub(super) async fn leased_when_due(store: &dyn Store, at: Timestamp) -> Result<Credential, Broken> {
    let credential = due_at(store, ms(at, 0)).await?;
    acquire(store, &credential, &fixtures::acquire(&credential, at)).await
}

async fn a_commit_moves_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let leased = leased_when_due(store, at).await?;
    let commit = CommitRefresh { next_due: Some(ms(at, 5_000)), ..fixtures::commit(&leased, at) };
    applied(store.commit_refresh(&leased.project, &leased.id, &commit).await?)?;
    ensure_listed(store, &leased, later(at, 4_999), &[]).await?;
    ensure_listed(store, &leased, later(at, 5_000), &[2]).await
}

async fn a_commit_can_end_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let leased = leased_when_due(store, at).await?;
    let commit = CommitRefresh { next_due: None, ..fixtures::commit(&leased, at) };
    applied(store.commit_refresh(&leased.project, &leased.id, &commit).await?)?;
    ensure_listed(store, &leased, fixtures::start(), &[]).await
}

async fn a_release_moves_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let leased = leased_when_due(store, at).await?;
    let release = ReleaseRefresh { next_due: Some(ms(at, 5_000)), ..fixtures::release(&leased) };
    applied(store.release_refresh(&leased.project, &leased.id, &release).await?)?;
    ensure_listed(store, &leased, later(at, 4_999), &[]).await?;
    ensure_listed(store, &leased, later(at, 5_000), &[1]).await
}

async fn a_release_can_end_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    let leased = leased_when_due(store, at).await?;
    let release = ReleaseRefresh { next_due: None, ..fixtures::release(&leased) };
    applied(store.release_refresh(&leased.project, &leased.id, &release).await?)?;
    ensure_listed(store, &leased, fixtures::start(), &[]).await
}
