//! The end of a refresh: a commit under the fence, or a release (REFRESH.md S5).

use chrono::Duration;

use super::steps::{acquire, applied, ensure_refused, leased, reread_credential};
use crate::model::credential::{Credential, CredentialStatus, Intent, Outcome};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{AcquireRefresh, Attempted, CommitRefresh, ReleaseRefresh, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure_eq};

checks!(dyn Store:
    a_commit_is_the_next_generation,
    a_commit_after_failures_clears_them,
    a_late_commit_that_nobody_overtook_is_applied,
    a_repeated_commit_is_applied_once,
    no_commit_under_an_older_fence,
    no_commit_of_another_attempt,
    no_commit_on_another_generation,
    no_commit_after_a_takeover,
    no_commit_when_the_status_forbids_a_refresh,
    no_commit_under_another_project,
    a_release_ends_the_attempt,
    a_release_can_keep_the_intent,
    a_kept_intent_is_taken_over_at_once,
    no_release_under_an_older_fence,
    no_release_of_another_attempt,
    no_release_under_another_project,
);

async fn committed(store: &dyn Store, of: &Credential, commit: &CommitRefresh) -> Result<Credential, Broken> {
    applied(store.commit_refresh(&of.project, &of.id, commit).await?)
}

async fn released(store: &dyn Store, of: &Credential, release: &ReleaseRefresh) -> Result<Credential, Broken> {
    applied(store.release_refresh(&of.project, &of.id, release).await?)
}

/// Tries to commit and expects to be refused, with nothing changed.
async fn commit_refused(store: &dyn Store, before: &Credential, commit: &CommitRefresh) -> Held {
    let attempted = store.commit_refresh(&before.project, &before.id, commit).await?;
    ensure_refused(store, attempted, before).await
}

/// Tries to release and expects to be refused, with nothing changed.
async fn release_refused(store: &dyn Store, before: &Credential, release: &ReleaseRefresh) -> Held {
    let attempted = store.release_refresh(&before.project, &before.id, release).await?;
    ensure_refused(store, attempted, before).await
}

/// What a credential is after a commit.
fn with_tokens(before: &Credential, commit: &CommitRefresh) -> Credential {
    Credential {
        status: CredentialStatus::Active,
        status_reason: None,
        granted_scopes: commit.granted_scopes.clone(),
        generation: commit.base_generation + 1,
        attempt: commit.attempt.clone(),
        cur: commit.cur.clone(),
        prev: Some(commit.prev.clone()),
        prev_until: Some(commit.prev_until),
        lease: None,
        intent: None,
        issued_at: commit.issued_at,
        at_exp: commit.at_exp,
        refresh_after: commit.refresh_after,
        fails: 0,
        backoff_until: None,
        last_refreshed_at: Some(commit.now),
        ..before.clone()
    }
}

/// Another worker takes over the attempt that a credential shows, after its lease.
async fn overtaken(store: &dyn Store, dead: &Credential) -> Result<Credential, Broken> {
    let take_over = dead.intent.as_ref().map(|intent| intent.attempt.clone());
    let later = start() + Duration::hours(1);
    acquire(
        store,
        dead,
        &AcquireRefresh {
            take_over,
            ..fixtures::acquire(dead, later)
        },
    )
    .await
}

async fn a_commit_is_the_next_generation(store: &dyn Store) -> Held {
    let mut before = leased(store).await?;
    for number in 0..2 {
        let mut commit = fixtures::commit(&before, start() + Duration::milliseconds(1_500));
        if number == 1 {
            // The provider no longer says when the token expires.
            (commit.at_exp, commit.refresh_after) = (None, None);
        }
        let after = committed(store, &before, &commit).await?;
        ensure_eq!(after, with_tokens(&before, &commit), "the item that is returned");
        ensure_eq!(
            reread_credential(store, &before).await?,
            after,
            "the item that is stored"
        );
        before = acquire(store, &after, &fixtures::acquire(&after, start())).await?;
    }
    Ok(())
}

async fn a_commit_after_failures_clears_them(store: &dyn Store) -> Held {
    let first = leased(store).await?;
    let failed = ReleaseRefresh {
        fails: 3,
        backoff_until: Some(start().timestamp_millis()),
        status: CredentialStatus::RefreshFailing,
        status_reason: Some("provider_unavailable".to_owned()),
        ..fixtures::release(&first)
    };
    let failing = released(store, &first, &failed).await?;
    let again = acquire(store, &failing, &fixtures::acquire(&failing, start())).await?;
    let commit = fixtures::commit(&again, start());
    ensure_eq!(
        committed(store, &again, &commit).await?,
        with_tokens(&again, &commit),
        "the item"
    );
    Ok(())
}

async fn a_late_commit_that_nobody_overtook_is_applied(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = fixtures::commit(&before, start() + Duration::hours(1));
    ensure_eq!(
        committed(store, &before, &commit).await?,
        with_tokens(&before, &commit),
        "the item"
    );
    Ok(())
}

async fn a_repeated_commit_is_applied_once(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = fixtures::commit(&before, start());
    let after = committed(store, &before, &commit).await?;
    ensure_eq!(
        committed(store, &before, &commit).await?,
        after,
        "the answer to the repetition"
    );
    ensure_eq!(
        reread_credential(store, &before).await?,
        after,
        "the item that is stored"
    );
    Ok(())
}

async fn no_commit_under_an_older_fence(store: &dyn Store) -> Held {
    let before = overtaken(store, &leased(store).await?).await?;
    let commit = fixtures::commit(&before, start());
    for fence in [before.fence - 1, before.fence + 1] {
        commit_refused(
            store,
            &before,
            &CommitRefresh {
                fence,
                ..commit.clone()
            },
        )
        .await?;
    }
    Ok(())
}

async fn no_commit_of_another_attempt(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = CommitRefresh {
        attempt: fixtures::unique(),
        ..fixtures::commit(&before, start())
    };
    commit_refused(store, &before, &commit).await
}

async fn no_commit_on_another_generation(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = fixtures::commit(&before, start());
    for base_generation in [0, 2] {
        commit_refused(
            store,
            &before,
            &CommitRefresh {
                base_generation,
                ..commit.clone()
            },
        )
        .await?;
    }
    Ok(())
}

async fn no_commit_after_a_takeover(store: &dyn Store) -> Held {
    let late = leased(store).await?;
    let overtaken = overtaken(store, &late).await?;
    commit_refused(store, &overtaken, &fixtures::commit(&late, start())).await
}

async fn no_commit_when_the_status_forbids_a_refresh(store: &dyn Store) -> Held {
    for status in [CredentialStatus::ReauthorizationRequired, CredentialStatus::Suspended] {
        let leased = leased(store).await?;
        let switched_off = ReleaseRefresh {
            keep_intent: Some(Outcome::Unknown),
            status,
            ..fixtures::release(&leased)
        };
        let before = released(store, &leased, &switched_off).await?;
        commit_refused(store, &before, &fixtures::commit(&leased, start())).await?;
    }
    Ok(())
}

async fn no_commit_under_another_project(store: &dyn Store) -> Held {
    let mine = leased(store).await?;
    let commit = fixtures::commit(&mine, start());
    for (project, id) in [
        (&ProjectId::generate(), &mine.id),
        (&mine.project, &CredentialId::generate()),
    ] {
        let attempted = store.commit_refresh(project, id, &commit).await?;
        ensure_eq!(attempted, Attempted::Refused(None), "the commit to what is not there");
        ensure_eq!(
            store.find_credential(project, id).await?,
            None,
            "what the refused commit leaves"
        );
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}

/// A release that changes all it can.
fn failure(leased: &Credential) -> ReleaseRefresh {
    ReleaseRefresh {
        fails: 4,
        backoff_until: Some(start().timestamp_millis() + 5_000),
        status: CredentialStatus::RefreshFailing,
        status_reason: Some("provider_unavailable".to_owned()),
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
        ..before.clone()
    }
}

async fn a_release_ends_the_attempt(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let failure = failure(&leased);
    let after = released(store, &leased, &failure).await?;
    ensure_eq!(after, without_lease(&leased, &failure), "the item that is returned");
    ensure_eq!(
        reread_credential(store, &leased).await?,
        after,
        "the item that is stored"
    );

    let again = acquire(store, &after, &fixtures::acquire(&after, start())).await?;
    let harmless = ReleaseRefresh {
        fails: 0,
        ..fixtures::release(&again)
    };
    let after = released(store, &again, &harmless).await?;
    ensure_eq!(
        after,
        without_lease(&again, &harmless),
        "the item after a release without a failure"
    );
    Ok(())
}

async fn a_release_can_keep_the_intent(store: &dyn Store) -> Held {
    for outcome in [Outcome::Unknown, Outcome::Prepared] {
        let leased = leased(store).await?;
        let unknown = ReleaseRefresh {
            keep_intent: Some(outcome),
            ..failure(&leased)
        };
        let after = released(store, &leased, &unknown).await?;
        ensure_eq!(after, without_lease(&leased, &unknown), "the item");
    }
    Ok(())
}

async fn a_kept_intent_is_taken_over_at_once(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let unknown = ReleaseRefresh {
        keep_intent: Some(Outcome::Unknown),
        ..fixtures::release(&leased)
    };
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
    release_refused(
        store,
        &before,
        &ReleaseRefresh {
            fence: before.fence - 1,
            ..failure(&before)
        },
    )
    .await
}

async fn no_release_of_another_attempt(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    release_refused(
        store,
        &before,
        &ReleaseRefresh {
            attempt: fixtures::unique(),
            ..failure(&before)
        },
    )
    .await
}

async fn no_release_under_another_project(store: &dyn Store) -> Held {
    let mine = leased(store).await?;
    let attempted = store
        .release_refresh(&ProjectId::generate(), &mine.id, &failure(&mine))
        .await?;
    ensure_eq!(attempted, Attempted::Refused(None), "the release of what is not there");
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
