//! The due time of a credential that is leased: should the worker die, its work is found again when the lease ends.

use super::due::{due_at, ensure_listed, later, long_ago, ms};
use super::steps::{acquire, reread_credential};
use crate::store::{AcquireRefresh, Store};
use crate::testing::fixtures;
use crate::testing::suite::{Held, checks, ensure, ensure_eq};

checks!(dyn Store:
    work_that_is_due_before_a_lease_ends_stays_where_it_is,
    other_work_is_due_when_the_lease_ends,
    work_that_was_put_off_meanwhile_is_due_when_the_lease_ends,
);

/// How long a lease of the fixtures lasts (milliseconds).
const LEASE: i64 = 25_000;

async fn work_that_is_due_before_a_lease_ends_stays_where_it_is(store: &dyn Store) -> Held {
    let now = long_ago()?;
    for plus in [-60_000, 0, LEASE] {
        let idle = reread_credential(store, &due_at(store, ms(now, plus)).await?).await?;
        let leased = acquire(store, &idle, &fixtures::acquire(&idle, now)).await?;
        ensure_eq!(leased.due_at, Some(ms(now, plus)), "the due time");
        ensure_listed(store, &idle, later(now, plus - 1), &[]).await?;
        ensure_listed(store, &idle, later(now, plus), &[1]).await?;
    }
    Ok(())
}

async fn other_work_is_due_when_the_lease_ends(store: &dyn Store) -> Held {
    let now = long_ago()?;
    for plus in [LEASE + 1, 3_600_000] {
        let idle = reread_credential(store, &due_at(store, ms(now, plus)).await?).await?;
        for due_before in [idle.due_at, None] {
            let idle = reread_credential(store, &due_at(store, ms(now, plus)).await?).await?;
            let with = AcquireRefresh { due_before, ..fixtures::acquire(&idle, now) };
            let leased = acquire(store, &idle, &with).await?;
            ensure_eq!(leased.due_at, Some(ms(now, LEASE)), "the due time");
            ensure_listed(store, &idle, later(now, LEASE - 1), &[]).await?;
            ensure_listed(store, &idle, later(now, LEASE), &[1]).await?;
        }
    }
    Ok(())
}

async fn work_that_was_put_off_meanwhile_is_due_when_the_lease_ends(store: &dyn Store) -> Held {
    let now = long_ago()?;
    for put_off in [Some(ms(now, 3_600_000)), None] {
        let idle = reread_credential(store, &due_at(store, ms(now, 0)).await?).await?;
        ensure!(store.reschedule(&idle, put_off).await?, "a move is refused");
        let leased = acquire(store, &idle, &fixtures::acquire(&idle, now)).await?;
        ensure_eq!(leased.due_at, Some(ms(now, LEASE)), "the due time");
        ensure_listed(store, &idle, later(now, LEASE - 1), &[]).await?;
        ensure_listed(store, &idle, later(now, LEASE), &[1]).await?;
    }
    Ok(())
}
