//! A worker: the order in which the engine waits for store, vault and provider (`refresh/attempt.rs`, `send.rs`,
//! `commit.rs`, `recover.rs`). Each await is one step; what is decided between two of them is decided by the engine's own
//! functions (`refresh::steps`).

use chrono::Duration;
use grantkeeper::model::credential::{CredentialStatus, Outcome};
use grantkeeper::model::event::Event;
use grantkeeper::refresh::steps::{
    Entrance, Heard, IN_DOUBT, Late, Next, Refused, Standing, Verdict, after_answer, after_refusal, entrance, examine,
    newest_orphan,
};
use grantkeeper::store::{AcquireRefresh, CommitRefresh, NoteAttempt, ReleaseRefresh};
use grantkeeper::testing::{fixtures, reference};

use super::provider::Mode;
use super::record::{Held, Record, Status, fingerprint, interned, now, until};
use super::state::{Entry, State, Version};
use super::{Mutant, Protocol};

/// What a worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pc {
    /// Reads the credential; in the loop of `refresh_alone`.
    Read,
    /// Waits for whoever has the lease, and reads again.
    Wait,
    /// `journalled`, before the lease.
    LookIntoJournal,
    /// `open_received` of what the attempt before may have staged.
    LookIntoVault,
    /// S1.
    Acquire,
    /// S1, for tokens that were received already.
    AcquireToAdopt,
    /// S2.
    CheckTime,
    /// S3.
    Send,
    /// The request is on its way.
    Sent,
    /// The provider answered: with this refresh token, or `invalid_grant`.
    Answered(Option<u8>),
    /// The outcome is noted before the same request goes out again.
    NoteUnknown,
    Stage,
    Commit,
    /// S5b; with what stood against the commit.
    Journal {
        superseded: bool,
    },
    Reschedule,
    EndLate,
    /// S6.
    ReadAgain,
    Examine,
    NoteTried,
    Release(How),
    Done,
    Crashed,
}

/// How an attempt ends without tokens (`commit::Release`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum How {
    Untouched,
    Failing { reason: &'static str, keeps: bool, fails: Option<u8> },
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    pub pc: Pc,
    /// The generation that its caller had.
    pub base: u8,
    /// How often it has tried to take a lease; names what it tries.
    pub tries: u8,
    /// By what its lease is known.
    pub owner: u8,
    pub attempt: u8,
    /// What it read last, or what stood against it.
    pub seen: Record,
    /// The credential as it was acquired.
    pub held: Record,
    /// The attempt of a dead worker that it took over from.
    pub took_over: bool,
    pub sent_again: bool,
    /// Its lease has ended.
    pub late: bool,
    /// What it presents or received.
    pub token: u8,
    /// Where that is in the vault.
    pub pointer: u8,
    /// It presents an older refresh token.
    pub older: bool,
    pub tried: u32,
    pub sends: u8,
}

impl Worker {
    pub fn new() -> Self {
        Self {
            pc: Pc::Read,
            base: super::state::FIRST_GENERATION,
            tries: 0,
            owner: 0,
            attempt: 0,
            seen: Record::default(),
            held: Record::default(),
            took_over: false,
            sent_again: false,
            late: false,
            token: 0,
            pointer: 0,
            older: false,
            tried: 0,
            sends: 0,
        }
    }

    /// One that is over, with nothing left that would tell two states apart.
    fn over(self, pc: Pc) -> Self {
        Self { pc, base: self.base, tries: self.tries, ..Self::new() }
    }

    pub fn crashed(self) -> Self {
        self.over(Pc::Crashed)
    }

    pub fn is_alive(&self) -> bool {
        !matches!(self.pc, Pc::Done | Pc::Crashed)
    }

    /// Whether a crash would leave something behind.
    pub fn is_under_way(&self) -> bool {
        self.is_alive() && !matches!(self.pc, Pc::Read | Pc::Wait | Pc::LookIntoJournal | Pc::LookIntoVault)
    }

    /// Whether the next step is an update of the table that is repeated where its acknowledgement is lost.
    pub fn writes(&self) -> bool {
        matches!(
            self.pc,
            Pc::Acquire
                | Pc::AcquireToAdopt
                | Pc::Commit
                | Pc::Journal { .. }
                | Pc::Reschedule
                | Pc::NoteTried
                | Pc::Release(_)
        )
    }

    fn in_doubt(&self) -> bool {
        self.sent_again || self.took_over
    }

    fn standing(&self) -> Standing {
        Standing { spent_by_use: true, sent_again: self.sent_again, may_send: !self.late }
    }
}

impl Protocol {
    /// The next step of a worker; `None` where it has none, or where it would change nothing.
    pub fn step(&self, state: &State, w: usize) -> Option<State> {
        let mut next = state.clone();
        let mut worker = next.workers[w];
        match worker.pc {
            Pc::Read | Pc::Wait => {
                if worker.pc == Pc::Wait && state.record.is_leased() && state.record.generation <= worker.base {
                    return None;
                }
                worker = self.read(state, worker, w);
            }
            Pc::LookIntoJournal => {
                let orphans = state.orphans(worker.seen.generation);
                match newest_orphan(&worker.seen.credential(), orphans) {
                    Some(orphan) => {
                        worker.attempt = number(&orphan.attempt);
                        worker.pointer = number(&orphan.pointer);
                        worker = self.enter(worker, w, true);
                    }
                    None => worker.pc = Pc::LookIntoVault,
                }
            }
            Pc::LookIntoVault => {
                let left = worker.seen.intent.expect("an intent is what led here").attempt;
                let staged = state.version(left).filter(|version| version.generation == worker.seen.generation + 1);
                (worker.attempt, worker.pointer) = (left, left);
                let found = staged.is_some() && self.mutant != Some(Mutant::NothingIsAdopted);
                worker = self.enter(worker, w, found);
            }
            Pc::CheckTime => worker.pc = if worker.late { Pc::Release(How::Untouched) } else { Pc::Send },
            Pc::Send => {
                next.presented(worker.token, &worker.held);
                worker.sends += 1;
                next.broken.pushed |= worker.sends > 2 + u8::from(worker.older);
                worker.pc = Pc::Sent;
            }
            Pc::Sent => worker.pc = Pc::Answered(next.provider.present(worker.token)),
            Pc::Answered(Some(token)) => {
                worker.token = token;
                worker = self.hear(worker, Heard::Tokens);
            }
            Pc::Answered(None) => worker = self.hear(worker, Heard::GrantRefused),
            Pc::NoteUnknown => {
                // Best effort: whether it was applied makes no difference.
                drop(self.write(&mut next, &worker));
                worker.pc = Pc::Send;
            }
            Pc::Stage => {
                let (pointer, generation) = (worker.attempt, worker.held.generation + 1);
                next.stage(Version { pointer, generation, token: worker.token });
                worker.pointer = pointer;
                worker.pc = Pc::Commit;
            }
            Pc::EndLate => {
                next.revoked |= 1 << worker.token;
                worker = worker.over(Pc::Done);
            }
            Pc::ReadAgain => {
                worker.seen = state.record;
                worker.pc = Pc::Examine;
            }
            Pc::Examine => worker = self.examine(state, worker),
            Pc::Done | Pc::Crashed => return None,
            _ => {
                let written = self.write(&mut next, &worker);
                worker = self.go_on(&next, worker, written);
            }
        }
        next.workers[w] = worker;
        Some(next)
    }

    /// The loop of `refresh_alone`, and the beginning of `attempt`.
    fn read(&self, state: &State, mut worker: Worker, w: usize) -> Worker {
        worker.seen = state.record;
        if worker.seen.generation > worker.base {
            return worker.over(Pc::Done);
        }
        if worker.seen.is_leased() {
            return waiting(worker);
        }
        if !worker.seen.status.may_refresh() {
            return worker.over(Pc::Done);
        }
        match worker.seen.intent {
            Some(_) => Worker { pc: Pc::LookIntoJournal, ..worker },
            None => self.enter(worker, w, false),
        }
    }

    /// S0: what is known decides how the attempt begins.
    fn enter(&self, mut worker: Worker, w: usize, received: bool) -> Worker {
        let seen = worker.seen.credential();
        match entrance(&seen, received, now()) {
            Entrance::Wait => waiting(worker),
            Entrance::Adopt => {
                // Each acquisition has an owner of its own; the attempt goes on under its own name.
                worker.tries += 1;
                worker.owner = name(w, worker.tries);
                worker.pc = Pc::AcquireToAdopt;
                worker
            }
            // `check`: a pause is respected by scheduled work, and by everybody where an intent was left.
            Entrance::Ask { .. } if worker.seen.paused => worker.over(Pc::Done),
            Entrance::Ask { take_over } => {
                worker.tries += 1;
                worker.owner = name(w, worker.tries);
                worker.attempt = worker.owner;
                worker.took_over = take_over.is_some();
                worker.pc = Pc::Acquire;
                worker.pointer = 0;
                worker
            }
        }
    }

    /// What came of a request.
    pub fn hear(&self, mut worker: Worker, heard: Heard) -> Worker {
        let next = match after_answer(heard, worker.standing()) {
            Next::KeepIntent if heard == Heard::Unknown && self.mutant == Some(Mutant::SendsOnAndOn) && worker.sends < 3 => {
                Next::SendAgain
            }
            next => next,
        };
        worker.pc = match next {
            Next::Commit if self.mutant == Some(Mutant::CommitsFirst) => Pc::Commit,
            Next::Commit => Pc::Stage,
            // Only the first request is repeated: `settle` ends the attempt on any later one.
            Next::SendAgain if !worker.older => {
                worker.sent_again = true;
                Pc::NoteUnknown
            }
            Next::Examine => Pc::ReadAgain,
            Next::SendAgain | Next::KeepIntent | Next::Release => {
                let keeps = next != Next::Release && self.mutant != Some(Mutant::IntentIsForgotten);
                let reason = if heard == Heard::Later { "provider_unavailable" } else { "answer_lost" };
                Pc::Release(How::Failing { reason, keeps, fails: None })
            }
        };
        worker
    }

    /// S6.
    fn examine(&self, state: &State, mut worker: Worker) -> Worker {
        let (held, stored) = (worker.held.credential(), worker.seen.credential());
        let journalled = newest_orphan(&stored, state.orphans(worker.seen.generation));
        let previous = worker.held.prev.and_then(|prev| state.token(prev)).filter(|token| {
            let tried = worker.tried & (1 << token) != 0;
            state.provider.mode == Mode::Lenient && !worker.late && !tried && Some(*token) != state.token(worker.held.cur)
        });
        let refused = Refused {
            in_doubt: worker.in_doubt() && self.mutant != Some(Mutant::NothingIsDoubted),
            has_orphan: journalled.is_some(),
            has_previous: previous.is_some(),
            lease: Duration::seconds(25),
        };
        match (examine(&held, &stored, refused), journalled, previous) {
            (Verdict::Adopt, Some(orphan), _) => {
                worker.pointer = number(&orphan.pointer);
                worker.token = state.token(worker.pointer).expect("it was staged");
                worker.pc = Pc::Commit;
                worker
            }
            (Verdict::TryPrevious, _, Some(token)) => {
                worker.token = token;
                worker.older = true;
                worker.pc = if self.mutant == Some(Mutant::TriedIsNotNoted) { Pc::Send } else { Pc::NoteTried };
                worker
            }
            (Verdict::Doubt { doubts, .. }, ..) => {
                let fails = Some(u8::try_from(doubts).expect("few doubts"));
                worker.pc = Pc::Release(How::Failing { reason: IN_DOUBT, keeps: true, fails });
                worker
            }
            (Verdict::Dead, ..) => {
                worker.pc = Pc::Release(How::Dead);
                worker
            }
            _ => busy(worker, worker.seen),
        }
    }

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
                let pointer = if self.mutant == Some(Mutant::CommitsFirst) { worker.attempt } else { worker.pointer };
                let event = Event::of_change(&held, CredentialStatus::Active, None, now());
                let commit = CommitRefresh {
                    fence: held.fence,
                    base_generation: held.generation,
                    attempt,
                    cur: pointer.to_string(),
                    prev: held.cur.clone(),
                    prev_until: until().timestamp_millis(),
                    refresh_after: Some(now().timestamp_millis()),
                    next_due: Some(now().timestamp_millis()),
                    event,
                    ..fixtures::commit(&held, now())
                };
                if self.mutant == Some(Mutant::CommitsFirst) {
                    let (generation, token) = (worker.held.generation + 1, worker.token);
                    if state.version(pointer).is_none() {
                        state.vault.push(Version { pointer, generation, token });
                    }
                }
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
        let doubt = worker.in_doubt() && self.mutant != Some(Mutant::IntentIsForgotten);
        let (keeps, paused, fails, status, reason) = match how {
            How::Untouched => (false, false, held.fails, held.status, held.status_reason.clone()),
            How::Failing { reason, keeps, fails } => {
                let fails = fails.map_or(held.fails.saturating_add(1), u32::from);
                (keeps, true, fails, CredentialStatus::RefreshFailing, Some(reason.to_owned()))
            }
            How::Dead => {
                (false, false, 0, CredentialStatus::ReauthorizationRequired, Some("invalid_grant".to_owned()))
            }
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
            next_due: (!dead).then(|| now().timestamp_millis()),
        }
    }

    /// What a worker does once its update was made or refused.
    fn go_on(&self, state: &State, mut worker: Worker, written: Result<(), Record>) -> Worker {
        match (worker.pc, written) {
            (Pc::Acquire | Pc::AcquireToAdopt | Pc::NoteTried, Err(other)) => busy(worker, other),
            (Pc::Acquire, Ok(())) => {
                worker.tried = worker.seen.intent.map_or(0, |left| left.tried);
                worker.seen = Record::default();
                worker.held = state.record;
                worker.token = state.token(worker.held.cur).expect("what is committed is in the vault");
                worker.pc = Pc::CheckTime;
                worker
            }
            (Pc::AcquireToAdopt, Ok(())) => {
                worker.seen = Record::default();
                worker.held = state.record;
                worker.token = state.token(worker.pointer).expect("it was opened before");
                worker.pc = Pc::Commit;
                worker
            }
            (Pc::NoteTried, Ok(())) => {
                worker.tried |= 1 << worker.token;
                worker.seen = Record::default();
                worker.pc = Pc::Send;
                worker
            }
            (Pc::Commit, Ok(())) if self.mutant == Some(Mutant::CommitsFirst) => Worker { pc: Pc::Stage, ..worker },
            (Pc::Commit, Err(_)) if self.mutant == Some(Mutant::NoJournal) => worker.over(Pc::Done),
            (Pc::Commit, Err(other)) => self.not_committed(worker, other),
            (Pc::Journal { superseded }, _) => {
                if superseded && worker.seen.generation == worker.held.generation {
                    worker.pc = Pc::Reschedule;
                    worker
                } else if superseded {
                    busy(worker, worker.seen)
                } else {
                    worker.over(Pc::Done)
                }
            }
            (Pc::Reschedule, _) => busy(worker, worker.seen),
            _ => worker.over(Pc::Done),
        }
    }

    /// S5b.
    fn not_committed(&self, mut worker: Worker, other: Record) -> Worker {
        let held = worker.held.credential();
        worker.seen = other;
        worker.pc = match after_refusal(&held, &worker.attempt.to_string(), Some(&other.credential())) {
            Late::Committed | Late::Gone => return worker.over(Pc::Done),
            Late::OtherGrant => Pc::EndLate,
            Late::Ended if other.status == Status::Revoked => Pc::EndLate,
            Late::Ended | Late::PutAside => Pc::Journal { superseded: false },
            Late::Superseded => Pc::Journal { superseded: true },
        };
        worker
    }
}

/// `Step::Busy`: a newer generation is what was wanted, and anything else is waited for.
fn busy(mut worker: Worker, other: Record) -> Worker {
    worker.seen = other;
    if other.generation > worker.base { worker.over(Pc::Done) } else { waiting(worker) }
}

fn waiting(worker: Worker) -> Worker {
    Worker { pc: Pc::Wait, base: worker.base, tries: worker.tries, ..Worker::new() }
}

/// The name of the nth attempt of a worker.
fn name(w: usize, nth: u8) -> u8 {
    1 + u8::try_from(w).expect("three workers") * 40 + nth
}

fn number(text: &str) -> u8 {
    text.parse().expect("names are small numbers")
}

/// Whose lease this is.
pub fn holds(worker: &Worker, lease: Held) -> bool {
    worker.is_under_way() && worker.owner == lease.owner
}
