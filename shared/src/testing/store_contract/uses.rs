//! The use of a token, which makes a credential one that is refreshed before it expires.

use chrono::Duration;

use super::due::{due_at, ensure_listed, later, long_ago, ms};
use super::steps::{acquire, changed, credential, leased, released, reread_credential, suspended};
use crate::model::credential::{Credential, CredentialStatus, Outcome};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{ReleaseRefresh, Replacement, Store};
use crate::testing::fixtures::{self, start, status_change};
use crate::testing::suite::{Broken, Held, checks, ensure_eq};

checks!(dyn Store:
    a_use_is_noted_and_nothing_else,
    a_use_can_make_it_due,
    a_use_moves_nothing_under_a_lease,
    a_use_moves_nothing_where_an_attempt_was_left,
    a_use_moves_nothing_in_a_backoff,
    a_use_moves_nothing_when_the_status_forbids_a_refresh,
    no_use_of_another_generation_is_noted,
    no_use_is_noted_under_another_project,
);

/// A credential that failed and waits.
async fn backed_off(store: &dyn Store) -> Result<Credential, Broken> {
    let leased = leased(store).await?;
    let backoff_until = Some(ms(start(), 60_000));
    let failed = ReleaseRefresh { backoff_until, next_due: backoff_until, ..fixtures::release(&leased) };
    released(store, &leased, &failed).await
}

/// A credential whose last attempt may have spent its refresh token.
async fn in_doubt(store: &dyn Store) -> Result<Credential, Broken> {
    let leased = leased(store).await?;
    let keep_intent = Some(Outcome::Unknown);
    let unknown = ReleaseRefresh { keep_intent, next_due: Some(ms(start(), 9_000)), ..fixtures::release(&leased) };
    released(store, &leased, &unknown).await
}

/// A use with a due time, which leaves the credential as it is.
async fn ignored(store: &dyn Store, base: &Credential, stored: &Credential) -> Held {
    store.note_use(base, start(), Some(ms(start(), 1_000))).await?;
    ensure_eq!(&reread_credential(store, stored).await?, stored, "the credential");
    Ok(())
}

async fn a_use_is_noted_and_nothing_else(store: &dyn Store) -> Held {
    let due = due_at(store, ms(start(), 0)).await?;
    let due = reread_credential(store, &due).await?;
    for mut base in [credential(store).await?, due, leased(store).await?, backed_off(store).await?] {
        for now in [start(), start() + Duration::hours(7)] {
            store.note_use(&base, now, None).await?;
            base.last_used_at = Some(now.timestamp_millis());
            ensure_eq!(reread_credential(store, &base).await?, base, "the credential");
        }
    }
    Ok(())
}

async fn a_use_can_make_it_due(store: &dyn Store) -> Held {
    let at = long_ago()?;
    for base in [credential(store).await?, due_at(store, ms(at, 60_000)).await?] {
        store.note_use(&base, start(), Some(ms(at, 5_000))).await?;
        let used = Credential { last_used_at: Some(ms(start(), 0)), due_at: Some(ms(at, 5_000)), ..base };
        ensure_eq!(reread_credential(store, &used).await?, used, "the credential");
        ensure_listed(store, &used, later(at, 4_999), &[]).await?;
        ensure_listed(store, &used, later(at, 5_000), &[1]).await?;
    }
    Ok(())
}

async fn a_use_moves_nothing_under_a_lease(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let leased = acquire(store, &base, &fixtures::acquire(&base, start())).await?;
    ignored(store, &base, &leased).await?;
    ignored(store, &leased, &leased).await
}

async fn a_use_moves_nothing_where_an_attempt_was_left(store: &dyn Store) -> Held {
    let left = in_doubt(store).await?;
    ignored(store, &left, &left).await
}

async fn a_use_moves_nothing_in_a_backoff(store: &dyn Store) -> Held {
    let waiting = backed_off(store).await?;
    ignored(store, &waiting, &waiting).await
}

async fn a_use_moves_nothing_when_the_status_forbids_a_refresh(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let off = suspended(store, &base).await?;
    ignored(store, &base, &off).await?;
    let base = credential(store).await?;
    let ending = changed(store, &base, &status_change(CredentialStatus::Revoking)).await?;
    ignored(store, &base, &ending).await
}

async fn no_use_of_another_generation_is_noted(store: &dyn Store) -> Held {
    let old = credential(store).await?;
    let replaced = store.replace_grant(None, &old, &fixtures::replacement(&old), start()).await?;
    ensure_eq!(replaced, Replacement::Done, "the replacement");
    let stored = reread_credential(store, &old).await?;
    ignored(store, &old, &stored).await?;
    store.note_use(&old, start(), None).await?;
    ensure_eq!(reread_credential(store, &stored).await?, stored, "the credential");
    Ok(())
}

async fn no_use_is_noted_under_another_project(store: &dyn Store) -> Held {
    let mine = credential(store).await?;
    for foreign in [
        Credential { project: ProjectId::generate(), ..mine.clone() },
        Credential { id: CredentialId::generate(), ..mine.clone() },
    ] {
        for next_due in [None, Some(ms(start(), 0))] {
            store.note_use(&foreign, start(), next_due).await?;
            let left = store.find_credential(&foreign.project, &foreign.id).await?;
            ensure_eq!(left, None, "what the use leaves");
        }
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
