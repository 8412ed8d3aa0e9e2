//! The refresh protocol as a small state machine, explored over all interleavings of two workers with crashes, lost
//! answers, lost acknowledgements and the owner's changes, for each kind of provider (REFRESH.md b.0).
//!
//! What is decided, and what is written, is decided by the engine's own functions (`refresh::steps`) and by the reference
//! of the store (`testing::reference`), to which the contract test holds the deployed store. The model adds only the
//! order of the awaits (`model/worker.rs`), providers, and the things that go wrong.
//!
//! A run ends where nothing can happen any more. After both workers are done, a healer comes as often as the index of
//! due work has the credential, without faults; an attempt always goes forward or raises the fence, which is bounded, so
//! no run is endless, and whatever holds where runs end is reached from everywhere.

#[path = "model/provider.rs"]
mod provider;
#[path = "model/record.rs"]
mod record;
#[path = "model/state.rs"]
mod state;
#[path = "model/worker.rs"]
mod worker;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, PoisonError};

use grantkeeper::refresh::steps::Heard;
use grantkeeper::store::StatusChange;
use grantkeeper::testing::{fixtures, reference};
use stateright::{Checker, Model, Property};

use provider::{MODES, Mode, OTHER};
use record::{Record, Status, interned, now};
use state::{HEALER, OTHER_POINTER, State, Version};
use worker::{Pc, Worker};

/// What is changed in the protocol to see that a property notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// A commit asks for neither fence nor generation nor attempt.
    CommitIsUnconditional,
    /// A lease that is live does not keep anybody off.
    LeaseIsIgnored,
    /// A token set is committed before it is in the vault.
    CommitsFirst,
    /// What was received and not committed is dropped.
    NoJournal,
    /// What a dead worker staged is not looked for.
    NothingIsAdopted,
    /// A refused grant is believed at once.
    NothingIsDoubted,
    /// An attempt whose answer was lost ends like any other.
    IntentIsForgotten,
    /// A request whose answer was lost is sent a third time.
    SendsOnAndOn,
    /// An older refresh token is presented without a note.
    TriedIsNotNoted,
}

/// What the owner does once, at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Suspends,
    Disconnects,
    /// Consents anew.
    Replaces,
}

/// What is explored.
struct Protocol {
    mode: Mode,
    /// How many things go wrong in one run.
    faults: u8,
    /// How often a lease ends while its holder lives.
    overlaps: u8,
    owner: Option<Owner>,
    /// A request whose sender gave up may be processed even after the lease.
    late_requests: bool,
    mutant: Option<Mutant>,
    /// The states in which nothing can happen any more, and whether the connection is lost there.
    ends: Mutex<BTreeMap<u64, bool>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// A worker goes on to its next await, or the provider with its request.
    Step(usize),
    /// A worker that waits has no time left.
    GiveUp(usize),
    /// Its update is made, and it does not hear of it.
    AckLost(usize),
    Crash(usize),
    /// The request of a worker that dies, or does not wait any longer, is still on its way.
    CrashSending(usize),
    TimeOut(usize),
    RequestLost(usize),
    AnswerLost(usize),
    /// The provider asks to come again later.
    Later(usize),
    /// The newest refresh token is not known yet to whichever server answers.
    RefusedForNow(usize),
    StrayProcessed(usize),
    StrayDropped(usize),
    /// The lease ends.
    Lapse,
    Suspend,
    Lift,
    Disconnect,
    Replace,
    /// The provider is told that the grant is over; and then that is noted.
    Tell,
    NoteEnd,
    Heal,
}

impl Protocol {
    fn new(mode: Mode, faults: u8, overlaps: u8) -> Self {
        let ends = Mutex::default();
        Self { mode, faults, overlaps, owner: None, late_requests: false, mutant: None, ends }
    }

    fn is_faultless(&self) -> bool {
        self.faults == 0 && self.overlaps == 0
    }

    /// Whether there is work that the index leads to.
    fn needs_healing(state: &State) -> bool {
        let record = &state.record;
        let interrupted = record.intent.is_some() || record.status == Status::Failing;
        record.status.may_refresh() && record.due && interrupted
    }

    fn is_end(&self, state: &State) -> bool {
        if !state.is_quiet() || state.workers[HEALER].is_alive() {
            return false;
        }
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.is_empty()
    }

    fn of_worker(&self, state: &State, w: usize, actions: &mut Vec<Action>) {
        let worker = &state.workers[w];
        let waits = worker.pc == Pc::Wait;
        if worker.is_alive()
            && !(waits && state.record.is_leased() && state.record.generation <= worker.base)
        {
            actions.push(Action::Step(w));
        }
        if waits {
            actions.push(Action::GiveUp(w));
        }
        if state.faults == 0 || w == HEALER {
            return;
        }
        if worker.is_under_way() {
            actions.push(Action::Crash(w));
        }
        if worker.writes() {
            actions.push(Action::AckLost(w));
        }
        match worker.pc {
            Pc::Sent => {
                actions.extend([
                    Action::CrashSending(w),
                    Action::TimeOut(w),
                    Action::RequestLost(w),
                    Action::Later(w),
                ]);
                if self.mode == Mode::Lenient && !worker.older {
                    actions.push(Action::RefusedForNow(w));
                }
            }
            Pc::Answered(_) => actions.push(Action::AnswerLost(w)),
            _ => {}
        }
    }

    /// What goes wrong for a worker.
    fn fault(&self, state: &mut State, action: Action) {
        state.faults -= 1;
        match action {
            Action::AckLost(w) => {
                let worker = state.workers[w];
                drop(self.write(state, &worker));
            }
            Action::Crash(w) | Action::CrashSending(w) => {
                let worker = state.workers[w];
                if matches!(action, Action::CrashSending(_)) {
                    state.strays.push(worker.token);
                }
                // Between the provider's commit and the durable write.
                state.window |= matches!(worker.pc, Pc::Answered(Some(_)) | Pc::Stage);
                state.workers[w] = worker.crashed();
            }
            Action::TimeOut(w) => {
                state.strays.push(state.workers[w].token);
                state.workers[w] = self.hear(state.workers[w], Heard::Unknown);
            }
            Action::RequestLost(w) => state.workers[w] = self.hear(state.workers[w], Heard::Unknown),
            Action::AnswerLost(w) => {
                state.window |= matches!(state.workers[w].pc, Pc::Answered(Some(_)));
                state.workers[w] = self.hear(state.workers[w], Heard::Unknown);
            }
            Action::Later(w) => state.workers[w] = self.hear(state.workers[w], Heard::Later),
            Action::RefusedForNow(w) => state.workers[w].pc = Pc::Answered(None),
            _ => {}
        }
        state.strays.sort_unstable();
    }

    /// Time goes by, longer than a lease.
    fn wait(state: &mut State) {
        if let Some(lease) = &mut state.record.lease {
            lease.lapsed = true;
        }
        state.record.paused = false;
        state.provider.wait();
    }

    /// A change of status by somebody who is no worker.
    fn change(state: &mut State, change: &StatusChange) {
        let base = state.record.credential();
        let after = reference::change_status(&base, &base, change).expect("nothing came in between");
        state.record = Record::from(&after);
    }

    fn suspend(state: &mut State) {
        let base = state.record.credential();
        let reason = match state.record.reason {
            Some(before) => interned(&format!("suspended_by_owner:{before}")),
            None => "suspended_by_owner",
        };
        let change = StatusChange {
            status_reason: Some(reason.to_owned()),
            suspended_from: Some(base.status),
            fails: base.fails,
            ..fixtures::status_change(Status::Suspended.into())
        };
        Self::change(state, &change);
    }

    fn lift(state: &mut State) {
        let base = state.record.credential();
        let status = base.suspended_from.unwrap_or(Status::Active.into());
        let change = StatusChange {
            status_reason: state.record.reason.and_then(|reason| Some(reason.split_once(':')?.1.to_owned())),
            fails: base.fails,
            next_due: Status::from(status).may_refresh().then(|| now().timestamp_millis()),
            ..fixtures::status_change(status)
        };
        Self::change(state, &change);
    }

    /// Another grant takes the place of this one, and what leads to this one is handed over to be ended.
    fn replace(state: &mut State) {
        let record = state.record;
        let old = [Some(record.cur), record.intent.map(|left| left.attempt)];
        let old = old.into_iter().flatten().filter_map(|pointer| state.token(pointer));
        let old = old.fold(0, |all, token| all | 1 << token);
        state.revoked |= old;
        state.provider.live |= 1 << OTHER;
        let generation = record.generation + 1;
        state.stage(Version { pointer: OTHER_POINTER, generation, token: OTHER });
        state.committed |= 1 << OTHER;
        state.record = Record {
            grant: record.grant + 1,
            generation,
            attempt: OTHER_POINTER,
            cur: OTHER_POINTER,
            fence: record.fence + 1,
            due: true,
            ..Record::default()
        };
    }

    /// `grants_of`: what leads to tokens of a grant that is over.
    fn tell(state: &mut State) {
        let record = state.record;
        let journalled: Vec<u8> =
            state.orphans(record.generation).iter().filter_map(|orphan| orphan.pointer.parse().ok()).collect();
        let staged = record.intent.map(|left| left.attempt);
        for pointer in journalled.into_iter().chain(staged).chain([record.cur]) {
            state.revoked |= state.token(pointer).map_or(0, |token| 1 << token);
        }
        state.ending = true;
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self.mode, self.faults, self.overlaps, self.owner.is_some())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for w in 0..state.workers.len() {
            self.of_worker(state, w, actions);
        }
        for stray in 0..state.strays.len() {
            actions.extend([Action::StrayProcessed(stray), Action::StrayDropped(stray)]);
        }
        // A request takes no longer than a lease, except where that is what is looked at.
        let time_may_pass = state.strays.is_empty() || self.late_requests;
        if let Some(lease) = state.record.lease.filter(|lease| !lease.lapsed) {
            let lives = state.workers.iter().any(|worker| worker::holds(worker, lease));
            if time_may_pass && (!lives || state.overlaps > 0) {
                actions.push(Action::Lapse);
            }
        }
        if state.owner {
            match self.owner {
                Some(Owner::Suspends) if state.record.status.may_refresh() => actions.push(Action::Suspend),
                Some(Owner::Disconnects) if state.record.status.may_refresh() => actions.push(Action::Disconnect),
                Some(Owner::Replaces) if state.record.status.may_refresh() => actions.push(Action::Replace),
                _ => {}
            }
        }
        match state.record.status {
            Status::Suspended => actions.push(Action::Lift),
            Status::Revoking if state.ending => actions.push(Action::NoteEnd),
            Status::Revoking if state.record.due && !state.record.is_leased() => actions.push(Action::Tell),
            _ => {}
        }
        let nobody = state.is_quiet() && !state.workers[HEALER].is_alive();
        if nobody && time_may_pass && Self::needs_healing(state) {
            actions.push(Action::Heal);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        if let Action::Step(w) = action {
            return self.step(last, w);
        }
        let mut state = last.clone();
        match action {
            Action::GiveUp(w) => state.workers[w] = Worker { pc: Pc::Done, ..state.workers[w] },
            Action::StrayProcessed(stray) => {
                let token = state.strays.remove(stray);
                state.window |= state.provider.present(token).is_some();
            }
            Action::StrayDropped(stray) => drop(state.strays.remove(stray)),
            Action::Lapse => {
                let lease = state.record.lease?;
                if let Some(holder) = state.workers.iter_mut().find(|worker| worker::holds(worker, lease)) {
                    holder.late = true;
                    state.overlaps -= 1;
                }
                Self::wait(&mut state);
            }
            Action::Suspend => {
                state.owner = false;
                Self::suspend(&mut state);
            }
            Action::Disconnect => {
                state.owner = false;
                let next_due = Some(now().timestamp_millis());
                let change = StatusChange { next_due, ..fixtures::status_change(Status::Revoking.into()) };
                Self::change(&mut state, &change);
            }
            Action::Replace => {
                state.owner = false;
                Self::replace(&mut state);
            }
            Action::Lift => Self::lift(&mut state),
            Action::Tell => Self::tell(&mut state),
            Action::NoteEnd => {
                state.ending = false;
                let change = fixtures::status_change(Status::Revoked.into());
                Self::change(&mut state, &change);
            }
            Action::Heal => {
                Self::wait(&mut state);
                let tries = state.workers[HEALER].tries;
                state.workers[HEALER] = Worker { base: state.record.generation, tries, ..Worker::new() };
            }
            fault => self.fault(&mut state, fault),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(G1, |model: &Self, state: &State| !model.is_faultless() || !state.broken.twice),
            Property::always(G1_TWICE, |_: &Self, state: &State| !state.broken.pushed),
            Property::always(G2_NEWER, |_: &Self, state: &State| !state.broken.overwritten),
            Property::always(G2_RECORDED, |_: &Self, state: &State| state.unrecorded() == 0),
            Property::always(G3_WINDOW, |model: &Self, state: &State| !state.is_lost() || state.window || !model.is_end(state)),
            Property::always(G3_GRACE, |model: &Self, state: &State| {
                let gives = matches!(model.mode, Mode::Static | Mode::Grace | Mode::Lenient);
                !gives || !state.is_lost() || !model.is_end(state)
            }),
            Property::always(G4, |_: &Self, state: &State| !state.broken.too_old),
            Property::always(ENDED, |model: &Self, state: &State| {
                let all = state.received & !state.revoked == 0;
                state.record.status != Status::Revoked || all || !model.is_end(state)
            }),
            Property::always(EVENTS, |_: &Self, state: &State| state.told.len() == usize::from(state.changes)),
            Property::always(INDEX, |_: &Self, state: &State| {
                let works = state.record.status.may_refresh() || state.record.status == Status::Revoking;
                state.record.due || !works
            }),
            Property::always(ENDS, |model: &Self, state: &State| is_final(&state.record) || !model.is_end(state)),
            Property::always(BOUNDED, |_: &Self, state: &State| state.record.fence < 12),
            Property::always("the ends are counted", |model: &Self, state: &State| {
                if model.is_end(state) {
                    let mut ends = model.ends.lock().unwrap_or_else(PoisonError::into_inner);
                    ends.insert(BuildHasherDefault::<DefaultHasher>::default().hash_one(state), state.is_lost());
                }
                true
            }),
        ]
    }
}

const G1: &str = "G1: without faults there is one request for each generation";
const G1_TWICE: &str = "G1: an attempt presents a refresh token at most twice";
const G2_NEWER: &str = "G2: what is newer is not overwritten";
const G2_RECORDED: &str = "G2: what was received is recorded";
const G3_WINDOW: &str = "G3: a connection is lost only in the window";
const G3_GRACE: &str = "G3: no connection is lost where the provider gives grace";
const G4: &str = "G4: nothing older than the refresh token before is presented";
const ENDED: &str = "a grant ends with all that was received for it";
const EVENTS: &str = "each change of status is told once";
const INDEX: &str = "what has work is in the index";
const ENDS: &str = "every run comes to an end that is one";
const BOUNDED: &str = "the number of attempts is bounded";

/// Whether nothing is left to be done.
fn is_final(record: &Record) -> bool {
    match record.status {
        Status::Active => record.intent.is_none() && record.lease.is_none() && !record.paused,
        Status::Dead => record.lease.is_none(),
        Status::Revoked => true,
        Status::Failing | Status::Suspended | Status::Revoking => false,
    }
}

/// What an exploration came to.
struct Explored {
    states: usize,
    ends: usize,
    lost: usize,
    /// Each property that does not hold, with the shortest way there.
    broken: BTreeMap<&'static str, String>,
}

fn explore(protocol: Protocol) -> Explored {
    let checker = protocol.checker().spawn_bfs().join();
    let broken = checker.discoveries().into_iter().map(|(name, path)| {
        let actions: Vec<_> = path.clone().into_actions();
        (name, format!("{actions:?}\n{:#?}", path.last_state()))
    });
    let broken = broken.collect();
    let ends = checker.model().ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lost = ends.values().filter(|lost| **lost).count();
    Explored { states: checker.unique_state_count(), ends: ends.len(), lost, broken }
}

#[test]
fn table() {
    for overlaps in [0, 1] {
        for faults in [0, 1] {
            for mode in MODES {
                let t = std::time::Instant::now();
                let e = explore(Protocol::new(mode, faults, overlaps));
                eprintln!("{mode:?} overlaps {overlaps} faults {faults}: {}/{} of {} states {:?}", e.lost, e.ends, e.states, t.elapsed());
                for (name, trace) in e.broken { eprintln!("   BROKEN {name}: {}", trace.lines().next().unwrap()); }
            }
        }
    }
}
