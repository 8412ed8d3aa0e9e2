//! The order in which the engine waits for store, vault and provider (`refresh/attempt.rs`, `send.rs`, `commit.rs`,
//! `recover.rs`). Each await is one step; what is decided between two of them is decided by the engine's own functions
//! (`refresh::steps`).

use crate::Requests;
use chrono::Duration;
use grantkeeper::refresh::steps::{
    Entrance, Heard, IN_DOUBT, Late, Next, Refused, Verdict, after_answer, after_refusal, entrance, examine,
    newest_orphan,
};

use super::provider::Mode;
use super::record::{Record, Status, now};
use super::state::{State, Version};
use super::worker::{How, Pc, Worker, busy, name, number, waiting};
use super::{Mutant, Protocol};

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
                let _ = self.write(&mut next, &worker);
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
        if self.mutant == Some(Mutant::LeaseIsIgnored)
            && let Some(lease) = &mut worker.seen.lease
        {
            lease.lapsed = true;
        }
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
                if self.mutant == Some(Mutant::AdoptsUnderItsOwnName) {
                    worker.attempt = worker.owner;
                }
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
        let overlaps = self.mode == Mode::Family
            && self.requests != Requests::DieWithTheirSender
            && self.mutant != Some(Mutant::SendsWhatMayBeUnderWay);
        let next = match after_answer(heard, worker.standing(overlaps)) {
            Next::KeepIntent if heard == Heard::Unknown && self.mutant == Some(Mutant::SendsOnAndOn) => Next::SendAgain,
            next => next,
        };
        worker.pc = match next {
            Next::Commit => Pc::Stage,
            // Only the first request is repeated: `settle` ends the attempt on any later one.
            Next::SendAgain if !worker.older && self.sends_again => {
                worker.sent_again = true;
                Pc::NoteUnknown
            }
            Next::Examine => Pc::ReadAgain,
            Next::SendAgain | Next::KeepIntent | Next::Release => {
                let keeps = next != Next::Release;
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
            state.provider.mode == Mode::Lenient && !tried && Some(*token) != state.token(worker.held.cur)
        });
        let refused = Refused {
            in_doubt: worker.in_doubt() && self.mutant != Some(Mutant::NothingIsDoubted),
            has_orphan: journalled.is_some(),
            has_previous: previous.is_some(),
            may_send: !worker.late,
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
