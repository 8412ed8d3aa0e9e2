//! The end of a refresh that brought no tokens, under the fence (REFRESH.md S5).

use super::steps::{acquire, ensure_refused, leased, overtaken, released, reread_credential};
use crate::model::credential::{Credential, CredentialStatus, Intent, Outcome};
use crate::model::ids::ProjectId;
use crate::store::{AcquireRefresh, Attempted, ReleaseRefresh, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure_eq};

checks!(dyn Store:
    a_release_ends_the_attempt,
    a_release_can_keep_the_intent,
    a_kept_intent_is_taken_over_at_once,
    no_release_under_an_older_fence,
    no_release_of_another_attempt,
    no_release_under_another_project,
);

/// Tries to release and expects to be refused, with nothing changed.
async fn release_refused(store: &dyn Store, before: &Credential, release: &ReleaseRefresh) -> Held {
    let attempted = store.release_refresh(&before.project, &before.id, release).await?;
    ensure_refused(store, attempted, before).await
}

/// A release that changes all it can.
fn failure(leased: &Credential) -> ReleaseRefresh {
    ReleaseRefresh {
        fails: 4,
        backoff_until: Some(start().timestamp_millis() + 5_000),
        status: CredentialStatus::RefreshFailing,
        status_reason: Some("provider_unavailable".to_owned()),
        next_due: Some(start().timestamp_millis() + 5_000),
        ..fixtures::release(leased)
    }
}

/// What a credential is after a release.
fn without_lease(before: &Credential, release: &ReleaseRefresh) -> Credential {
    let intent = before.intent.clone().zip(release.keep_intent);
    Credential {
        status: release.status,
        status_reason: release.status_reason.clone(),
        lease: None,
        intent: intent.map(|(intent, outcome)| Intent { outcome, ..intent }),
        fails: release.fails,
        backoff_until: release.backoff_until,
        due_at: release.next_due,
        ..before.clone()
    }
}

async fn a_release_ends_the_attempt(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let failure = failure(&leased);
    let after = released(store, &leased, &failure).await?;
    ensure_eq!(after, without_lease(&leased, &failure), "the item that is returned");
    ensure_eq!(reread_credential(store, &leased).await?, after, "the item that is stored");

    let again = acquire(store, &after, &fixtures::acquire(&after, start())).await?;
    let harmless = ReleaseRefresh { fails: 0, ..fixtures::release(&again) };
    let after = released(store, &again, &harmless).await?;
    ensure_eq!(after, without_lease(&again, &harmless), "the item after a release without a failure");
    Ok(())
}

async fn a_release_can_keep_the_intent(store: &dyn Store) -> Held {
    for outcome in [Outcome::Unknown, Outcome::Prepared] {
        let leased = leased(store).await?;
        let unknown = ReleaseRefresh { keep_intent: Some(outcome), ..failure(&leased) };
        let after = released(store, &leased, &unknown).await?;
        ensure_eq!(after, without_lease(&leased, &unknown), "the item");
    }
    Ok(())
}

async fn a_kept_intent_is_taken_over_at_once(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let unknown = ReleaseRefresh { keep_intent: Some(Outcome::Unknown), ..fixtures::release(&leased) };
    let left = released(store, &leased, &unknown).await?;
    let ignorant = fixtures::acquire(&left, start());
    let attempted = store.acquire_refresh(&left.project, &left.id, &ignorant).await?;
    ensure_refused(store, attempted, &left).await?;
    let take_over = left.intent.as_ref().map(|intent| intent.attempt.clone());
    acquire(store, &left, &AcquireRefresh { take_over, ..ignorant }).await?;
    Ok(())
}

async fn no_release_under_an_older_fence(store: &dyn Store) -> Held {
    let before = overtaken(store, &leased(store).await?).await?;
    release_refused(store, &before, &ReleaseRefresh { fence: before.fence - 1, ..failure(&before) }).await
}

async fn no_release_of_another_attempt(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    release_refused(store, &before, &ReleaseRefresh { attempt: fixtures::unique(), ..failure(&before) }).await
}

async fn no_release_under_another_project(store: &dyn Store) -> Held {
    let mine = leased(store).await?;
    let attempted = store.release_refresh(&ProjectId::generate(), &mine.id, &failure(&mine)).await?;
    ensure_eq!(attempted, Attempted::Refused(None), "the release of what is not there");
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
