//! Moving the due time of a credential that nobody refreshes.

use super::due::{due_at, ensure_listed, later, long_ago, ms};
use super::steps::{acquire, changed, credential, leased, overtaken, released, reread_credential, suspended};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{ReleaseRefresh, Store};
use crate::testing::fixtures::{self, start, status_change};
use crate::testing::suite::{Held, checks, ensure, ensure_eq};

checks!(dyn Store:
    a_move_changes_the_due_time,
    a_move_to_no_time_takes_it_out_of_the_index,
    a_move_ends_the_backoff,
    a_move_takes_a_lapsed_lease_that_was_read,
    no_move_under_a_lease,
    no_move_after_a_takeover,
    no_move_once_the_lease_that_was_read_is_gone,
    no_move_on_another_fence,
    no_move_on_another_generation,
    no_move_on_another_status,
    no_move_under_another_project,
);

/// Tries to move and expects `false`, with nothing changed.
async fn refused(store: &dyn Store, base: &Credential, stored: &Credential) -> Held {
    for next_due in [Some(ms(start(), 60_000)), None] {
        ensure!(!store.reschedule(base, next_due).await?, "the move to {next_due:?} is not refused");
        ensure_eq!(&reread_credential(store, stored).await?, stored, "the credential");
    }
    Ok(())
}

async fn a_move_changes_the_due_time(store: &dyn Store) -> Held {
    let at = long_ago()?;
    // Into the index, later, and earlier.
    let mut base = credential(store).await?;
    for (plus, not_yet) in [(9_000, 8_999), (60_000, 59_999), (5_000, 4_999)] {
        ensure!(store.reschedule(&base, Some(ms(at, plus))).await?, "a move is refused");
        base.due_at = Some(ms(at, plus));
        ensure_eq!(reread_credential(store, &base).await?, base, "the credential");
        ensure_listed(store, &base, later(at, not_yet), &[]).await?;
        ensure_listed(store, &base, later(at, plus), &[1]).await?;
    }
    Ok(())
}

async fn a_move_to_no_time_takes_it_out_of_the_index(store: &dyn Store) -> Held {
    let base = due_at(store, ms(long_ago()?, 0)).await?;
    ensure!(store.reschedule(&base, None).await?, "a move is refused");
    ensure_eq!(reread_credential(store, &base).await?, base, "the credential");
    ensure_listed(store, &base, start(), &[]).await
}

async fn a_move_ends_the_backoff(store: &dyn Store) -> Held {
    for next_due in [Some(ms(start(), 0)), None] {
        let leased = leased(store).await?;
        let backoff_until = Some(ms(start(), 60_000));
        let failed = ReleaseRefresh { backoff_until, next_due: backoff_until, ..fixtures::release(&leased) };
        let base = released(store, &leased, &failed).await?;
        ensure!(store.reschedule(&base, next_due).await?, "a move is refused");
        let moved = Credential { due_at: next_due, backoff_until: None, ..base };
        ensure_eq!(reread_credential(store, &moved).await?, moved, "the credential");
    }
    Ok(())
}

async fn a_move_takes_a_lapsed_lease_that_was_read(store: &dyn Store) -> Held {
    let base = leased(store).await?;
    let next_due = Some(ms(start(), 3_600_000));
    ensure!(store.reschedule(&base, next_due).await?, "a move is refused");
    // Lease and intent stay: what the dead worker left is not forgotten.
    let moved = Credential { due_at: next_due, ..base };
    ensure_eq!(reread_credential(store, &moved).await?, moved, "the credential");
    Ok(())
}

async fn no_move_under_a_lease(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let leased = acquire(store, &base, &fixtures::acquire(&base, start())).await?;
    refused(store, &base, &leased).await
}

async fn no_move_after_a_takeover(store: &dyn Store) -> Held {
    let base = leased(store).await?;
    let taken_over = overtaken(store, &base).await?;
    refused(store, &base, &taken_over).await
}

async fn no_move_once_the_lease_that_was_read_is_gone(store: &dyn Store) -> Held {
    let base = leased(store).await?;
    // Its late holder has said when it is due.
    let said = ReleaseRefresh { next_due: Some(ms(start(), 5_000)), ..fixtures::release(&base) };
    let after = released(store, &base, &said).await?;
    refused(store, &base, &after).await
}

async fn no_move_on_another_fence(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let leased = acquire(store, &base, &fixtures::acquire(&base, start())).await?;
    let said = ReleaseRefresh { next_due: Some(ms(start(), 5_000)), ..fixtures::release(&leased) };
    let after = released(store, &leased, &said).await?;
    refused(store, &base, &after).await
}

async fn no_move_on_another_generation(store: &dyn Store) -> Held {
    let stored = credential(store).await?;
    for generation in [0, 2] {
        refused(store, &Credential { generation, ..stored.clone() }, &stored).await?;
    }
    Ok(())
}

async fn no_move_on_another_status(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let off = suspended(store, &base).await?;
    refused(store, &base, &off).await?;
    let base = credential(store).await?;
    let ending = changed(store, &base, &status_change(CredentialStatus::Revoking)).await?;
    refused(store, &base, &ending).await
}

async fn no_move_under_another_project(store: &dyn Store) -> Held {
    let mine = credential(store).await?;
    for foreign in [
        Credential { project: ProjectId::generate(), ..mine.clone() },
        Credential { id: CredentialId::generate(), ..mine.clone() },
    ] {
        ensure!(!store.reschedule(&foreign, Some(ms(start(), 0))).await?, "what is not there is moved");
        let left = store.find_credential(&foreign.project, &foreign.id).await?;
        ensure_eq!(left, None, "what the refused move leaves");
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
