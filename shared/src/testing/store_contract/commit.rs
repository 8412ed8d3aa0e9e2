//! The commit of a refresh: the next generation, under the fence (REFRESH.md S5).

use chrono::Duration;

use super::steps::{acquire, applied, ensure_refused, leased, overtaken, released, reread_credential};
use crate::model::credential::{Credential, CredentialStatus, Outcome};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{Attempted, CommitRefresh, ReleaseRefresh, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure_eq};

checks!(dyn Store:
    a_commit_is_the_next_generation,
    a_commit_after_failures_clears_them,
    a_commit_can_suspend,
    a_late_commit_that_nobody_overtook_is_applied,
    a_repeated_commit_is_applied_once,
    no_commit_under_an_older_fence,
    no_commit_of_another_attempt,
    no_commit_on_another_generation,
    no_commit_after_a_takeover,
    no_commit_when_the_status_forbids_a_refresh,
    no_commit_under_another_project,
);

async fn committed(store: &dyn Store, of: &Credential, commit: &CommitRefresh) -> Result<Credential, Broken> {
    applied(store.commit_refresh(&of.project, &of.id, commit).await?)
}

/// Tries to commit and expects to be refused, with nothing changed.
async fn commit_refused(store: &dyn Store, before: &Credential, commit: &CommitRefresh) -> Held {
    let attempted = store.commit_refresh(&before.project, &before.id, commit).await?;
    ensure_refused(store, attempted, before).await
}

/// What a credential is after a commit.
fn with_tokens(before: &Credential, commit: &CommitRefresh) -> Credential {
    Credential {
        status: commit.status,
        status_reason: commit.status_reason.clone(),
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
        written_until: commit.written_until,
        fails: 0,
        backoff_until: None,
        last_refreshed_at: Some(commit.now),
        due_at: commit.next_due,
        ..before.clone()
    }
}

async fn a_commit_is_the_next_generation(store: &dyn Store) -> Held {
    let mut before = leased(store).await?;
    for number in 0..2 {
        let mut commit = fixtures::commit(&before, start() + Duration::milliseconds(1_500));
        commit.next_due = commit.refresh_after;
        if number == 1 {
            // The provider no longer says when the token expires.
            (commit.at_exp, commit.refresh_after, commit.next_due) = (None, None, None);
        }
        let after = committed(store, &before, &commit).await?;
        ensure_eq!(after, with_tokens(&before, &commit), "the item that is returned");
        ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
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
    ensure_eq!(committed(store, &again, &commit).await?, with_tokens(&again, &commit), "the item");
    Ok(())
}

async fn a_commit_can_suspend(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = CommitRefresh {
        status: CredentialStatus::Suspended,
        status_reason: Some("scopes_widened".to_owned()),
        ..fixtures::commit(&before, start())
    };
    let suspended = Credential { suspended_from: Some(CredentialStatus::Active), ..with_tokens(&before, &commit) };
    ensure_eq!(committed(store, &before, &commit).await?, suspended, "the item");
    Ok(())
}

async fn a_late_commit_that_nobody_overtook_is_applied(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = fixtures::commit(&before, start() + Duration::hours(1));
    ensure_eq!(committed(store, &before, &commit).await?, with_tokens(&before, &commit), "the item");
    Ok(())
}

async fn a_repeated_commit_is_applied_once(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = fixtures::commit(&before, start());
    let after = committed(store, &before, &commit).await?;
    ensure_eq!(committed(store, &before, &commit).await?, after, "the answer to the repetition");
    ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
    Ok(())
}

async fn no_commit_under_an_older_fence(store: &dyn Store) -> Held {
    let before = overtaken(store, &leased(store).await?).await?;
    let commit = fixtures::commit(&before, start());
    for fence in [before.fence - 1, before.fence + 1] {
        commit_refused(store, &before, &CommitRefresh { fence, ..commit.clone() }).await?;
    }
    Ok(())
}

async fn no_commit_of_another_attempt(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = CommitRefresh { attempt: fixtures::unique(), ..fixtures::commit(&before, start()) };
    commit_refused(store, &before, &commit).await
}

async fn no_commit_on_another_generation(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let commit = fixtures::commit(&before, start());
    for base_generation in [0, 2] {
        commit_refused(store, &before, &CommitRefresh { base_generation, ..commit.clone() }).await?;
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
        let switched_off = ReleaseRefresh { keep_intent: Some(Outcome::Unknown), status, ..fixtures::release(&leased) };
        let before = released(store, &leased, &switched_off).await?;
        commit_refused(store, &before, &fixtures::commit(&leased, start())).await?;
    }
    Ok(())
}

async fn no_commit_under_another_project(store: &dyn Store) -> Held {
    let mine = leased(store).await?;
    let commit = fixtures::commit(&mine, start());
    for (project, id) in [(&ProjectId::generate(), &mine.id), (&mine.project, &CredentialId::generate())] {
        let attempted = store.commit_refresh(project, id, &commit).await?;
        ensure_eq!(attempted, Attempted::Refused(None), "the commit to what is not there");
        ensure_eq!(store.find_credential(project, id).await?, None, "what the refused commit leaves");
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
