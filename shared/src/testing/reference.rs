//! What the conditional updates of a refresh mean, as pure functions of the stored credential: the model check explores
//! these in place of a table, and a test holds the deployed store to them, so that what is proven of the model is true of
//! the store.
//!
//! `Ok` is the item after an update that was applied; `Err` is the item that stood against it. Both are what
//! [`crate::store::Attempted`] carries.

use crate::model::credential::{Credential, CredentialStatus, Intent, Lease, Outcome};
use crate::model::event::Event;
use crate::store::{AcquireRefresh, CommitRefresh, NoteAttempt, Orphan, ReleaseRefresh, StatusChange};

/// The item after an update, or the one that refused it.
pub type Updated = Result<Credential, Box<Credential>>;

/// [`crate::store::Store::acquire_refresh`].
///
/// # Errors
/// The item that stood against it.
pub fn acquire(stored: &Credential, acquire: &AcquireRefresh) -> Updated {
    let now_ms = acquire.now.timestamp_millis();
    let free = stored.lease.as_ref().is_none_or(|lease| lease.until_ms < now_ms);
    let left = stored.intent.as_ref().map(|intent| &intent.attempt);
    if stored.generation == acquire.generation && refreshable(stored) && free && left == acquire.take_over.as_ref() {
        let until = acquire.until.timestamp_millis();
        // Work that was put off after the caller read it is moved all the same.
        let stays = [acquire.due_before, stored.due_at].iter().all(|due| due.is_some_and(|due| due <= until));
        return Ok(Credential {
            fence: stored.fence + 1,
            lease: Some(Lease { owner: acquire.owner.clone(), until_ms: until }),
            intent: Some(Intent {
                attempt: acquire.attempt.clone(),
                base_gen: acquire.generation,
                rt_fp: acquire.rt_fp.clone(),
                at_ms: now_ms,
                outcome: Outcome::Prepared,
                tried: acquire.tried.clone(),
            }),
            due_at: if stays { stored.due_at } else { Some(until) },
            ..stored.clone()
        });
    }
    // A repetition is refused by its own lease.
    let ours = refreshable(stored)
        && stored.lease.as_ref().is_some_and(|lease| lease.owner == acquire.owner)
        && left == Some(&acquire.attempt);
    if ours { Ok(stored.clone()) } else { refused(stored) }
}

/// [`crate::store::Store::commit_refresh`].
///
/// # Errors
/// The item that stood against it.
pub fn commit(stored: &Credential, commit: &CommitRefresh) -> Updated {
    if !holds(stored, commit.fence, &commit.attempt) || stored.generation != commit.base_generation {
        // A repetition meets its own commit.
        return if stored.attempt == commit.attempt { Ok(stored.clone()) } else { refused(stored) };
    }
    let aside = commit.status == CredentialStatus::Suspended;
    Ok(Credential {
        generation: commit.base_generation + 1,
        status: commit.status,
        status_reason: commit.status_reason.clone(),
        suspended_from: if aside { Some(CredentialStatus::Active) } else { stored.suspended_from },
        attempt: commit.attempt.clone(),
        cur: commit.cur.clone(),
        prev: Some(commit.prev.clone()),
        prev_until: Some(commit.prev_until),
        issued_at: commit.issued_at,
        at_exp: commit.at_exp,
        refresh_after: commit.refresh_after,
        written_until: commit.written_until,
        fails: 0,
        granted_scopes: commit.granted_scopes.clone(),
        last_refreshed_at: Some(commit.now),
        due_at: commit.next_due,
        lease: None,
        intent: None,
        backoff_until: None,
        ..stored.clone()
    })
}

/// [`crate::store::Store::release_refresh`].
///
/// # Errors
/// The item that stood against it.
pub fn release(stored: &Credential, release: &ReleaseRefresh) -> Updated {
    if !holds(stored, release.fence, &release.attempt) {
        return refused(stored);
    }
    let intent = stored.intent.clone().zip(release.keep_intent);
    Ok(Credential {
        fails: release.fails,
        status: release.status,
        status_reason: release.status_reason.clone(),
        backoff_until: release.backoff_until,
        due_at: release.next_due,
        lease: None,
        intent: intent.map(|(intent, outcome)| Intent { outcome, ..intent }),
        ..stored.clone()
    })
}

/// [`crate::store::Store::note_attempt`].
///
/// # Errors
/// The item that stood against it.
pub fn note_attempt(stored: &Credential, note: &NoteAttempt) -> Updated {
    match &stored.intent {
        Some(intent) if holds(stored, note.fence, &note.attempt) => {
            let tried = intent.tried.iter().chain(&note.tried).cloned().collect();
            let intent = Intent { outcome: note.outcome, tried, ..intent.clone() };
            Ok(Credential { intent: Some(intent), ..stored.clone() })
        }
        _ => refused(stored),
    }
}

/// [`crate::store::Store::reschedule`].
///
/// # Errors
/// The item that stood against it.
pub fn reschedule(stored: &Credential, base: &Credential, next_due: Option<i64>) -> Updated {
    let owner = |of: &Credential| of.lease.as_ref().map(|lease| lease.owner.clone());
    let still = stored.generation == base.generation && stored.fence == base.fence && stored.status == base.status;
    if !still || owner(stored) != owner(base) {
        return refused(stored);
    }
    Ok(Credential { due_at: next_due, backoff_until: None, ..stored.clone() })
}

/// [`crate::store::Store::change_status`], as far as it concerns the credential itself.
///
/// # Errors
/// The item that stood against it.
pub fn change_status(stored: &Credential, base: &Credential, change: &StatusChange) -> Updated {
    let same_reason = base.status != CredentialStatus::Suspended
        || base.status_reason.is_none()
        || stored.status_reason == base.status_reason;
    let changed = Credential {
        status: change.status,
        status_reason: change.status_reason.clone(),
        suspended_from: change.suspended_from,
        fails: change.fails,
        evidence: change.evidence.clone(),
        due_at: change.next_due,
        ..stored.clone()
    };
    if stored.status == base.status && stored.owner == base.owner && same_reason {
        return Ok(changed);
    }
    // A repetition meets its own result.
    let repeated = Credential { due_at: stored.due_at, ..changed } == *stored && stored.owner == base.owner;
    if repeated { Ok(stored.clone()) } else { refused(stored) }
}

/// [`crate::store::Store::keep_orphan`]: a repetition changes nothing.
pub fn keep_orphan(journal: &mut Vec<Orphan>, orphan: &Orphan) {
    let same =
        |kept: &Orphan| (kept.base_gen, kept.fence, &kept.attempt) == (orphan.base_gen, orphan.fence, &orphan.attempt);
    journal.retain(|kept| !same(kept));
    journal.push(orphan.clone());
}

/// [`crate::store::Store::list_orphans`]: the newest first.
pub fn list_orphans(journal: &[Orphan], base_generation: u64) -> Vec<Orphan> {
    let mut of_this: Vec<_> = journal.iter().filter(|orphan| orphan.base_gen == base_generation).cloned().collect();
    of_this.sort_by(|a, b| (b.fence, &a.attempt).cmp(&(a.fence, &b.attempt)));
    of_this
}

/// Puts the event of an update into the outbox, in the same step: one of the same id is replaced.
pub fn tell(outbox: &mut Vec<Event>, event: Option<&Event>) {
    if let Some(event) = event {
        outbox.retain(|told| told.id != event.id);
        outbox.push(event.clone());
        outbox.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

fn refused(stored: &Credential) -> Updated {
    Err(Box::new(stored.clone()))
}

/// Whether a status lets a refresh be begun or ended with a result.
fn refreshable(stored: &Credential) -> bool {
    matches!(stored.status, CredentialStatus::Active | CredentialStatus::RefreshFailing)
}

/// Whether fence and attempt are still those of a worker. The end of its lease is deliberately not asked for.
fn holds(stored: &Credential, fence: u64, attempt: &str) -> bool {
    let ours = stored.intent.as_ref().is_some_and(|intent| intent.attempt == attempt);
    stored.fence == fence && ours && refreshable(stored)
}
