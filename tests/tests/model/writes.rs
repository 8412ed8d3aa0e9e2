//! The updates of the table that a worker makes.

use grantkeeper::model::credential::{CredentialStatus, Outcome};
use grantkeeper::model::event::Event;
use grantkeeper::store::{AcquireRefresh, CommitRefresh, NoteAttempt, ReleaseRefresh};
use grantkeeper::testing::{fixtures, reference};

use super::record::{Record, fingerprint, interned, now, until};
use super::state::{Entry, State};
use super::worker::{How, Pc, Worker};
use super::{Mutant, Protocol};

impl Protocol {
    /// The update of the table that a worker makes; the record that refused it.
    pub fn write(&self, state: &mut State, worker: &Worker) -> Result<(), Record> {
        let held = worker.held.credential();
        let attempt = worker.attempt.to_string();
        match worker.pc {
            Pc::Acquire | Pc::AcquireToAdopt => {
                let seen = worker.seen.credential();
                let acquire = AcquireRefresh {
                    owner: worker.owner.to_string(),
                    attempt,
                    now: now(),
                    until: until(),
                    take_over: seen.intent.as_ref().map(|intent| intent.attempt.clone()),
                    tried: seen.intent.as_ref().map(|intent| intent.tried.clone()).unwrap_or_default(),
                    due_before: seen.due_at,
                    ..fixtures::acquire(&seen, now())
                };
                state.update(
                    |stored| {
                        let mut stored = stored.clone();
                        if self.mutant == Some(Mutant::LeaseIsIgnored) {
                            stored.lease = None;
                        }
                        reference::acquire(&stored, &acquire)
                    },
                    None,
                )
            }
            Pc::NoteUnknown | Pc::NoteTried => {
                let tried = (worker.pc == Pc::NoteTried).then(|| fingerprint(worker.token));
                let note = NoteAttempt { fence: held.fence, attempt, outcome: Outcome::Unknown, tried };
                state.update(|stored| reference::note_attempt(stored, &note), None)
            }
            Pc::Commit => {
                let event = Event::of_change(&held, CredentialStatus::Active, None, now());
                let commit = CommitRefresh {
                    fence: held.fence,
                    base_generation: held.generation,
                    attempt,
                    cur: worker.pointer.to_string(),
                    prev: held.cur.clone(),
                    prev_until: until().timestamp_millis(),
                    refresh_after: Some(now().timestamp_millis()),
                    next_due: Some(now().timestamp_millis()),
                    event,
                    ..fixtures::commit(&held, now())
                };
                state.update(
                    |stored| {
                        let mut stored = stored.clone();
                        if self.mutant == Some(Mutant::CommitIsUnconditional) {
                            (stored.fence, stored.generation) = (held.fence, held.generation);
                            stored.intent.clone_from(&held.intent);
                        }
                        reference::commit(&stored, &commit)
                    },
                    commit.event.as_ref(),
                )
            }
            Pc::Journal { .. } => {
                let (base, fence) = (worker.held.generation, worker.held.fence);
                state.keep(Entry { base, fence, attempt: worker.attempt, pointer: worker.pointer });
                Ok(())
            }
            Pc::Reschedule => {
                let base = worker.seen.credential();
                state.update(|stored| reference::reschedule(stored, &base, Some(now().timestamp_millis())), None)
            }
            Pc::Release(how) => {
                let release = self.release(worker, how);
                state.update(|stored| reference::release(stored, &release), release.event.as_ref())
            }
            _ => Ok(()),
        }
    }

    /// `release_held` and what leads to it.
    fn release(&self, worker: &Worker, how: How) -> ReleaseRefresh {
        let held = worker.held.credential();
        let doubt = worker.in_doubt();
        let (keeps, paused, fails, status, reason) = match how {
            How::Untouched => (false, false, held.fails, held.status, held.status_reason.clone()),
            How::Failing { reason, keeps, fails } => {
                let fails = fails.map_or(held.fails.saturating_add(1), u32::from);
                (keeps, true, fails, CredentialStatus::RefreshFailing, Some(reason.to_owned()))
            }
            How::Dead => (false, false, 0, CredentialStatus::ReauthorizationRequired, Some("invalid_grant".to_owned())),
        };
        let dead = status == CredentialStatus::ReauthorizationRequired;
        ReleaseRefresh {
            fence: held.fence,
            attempt: worker.attempt.to_string(),
            keep_intent: (keeps || doubt).then_some(Outcome::Unknown),
            fails,
            backoff_until: paused.then(|| until().timestamp_millis()),
            status,
            event: Event::of_change(&held, status, reason.as_deref(), now()),
            status_reason: reason.as_deref().map(interned).map(str::to_owned),
            next_due: (!dead && self.mutant != Some(Mutant::WorkIsForgotten)).then(|| now().timestamp_millis()),
        }
    }
}
