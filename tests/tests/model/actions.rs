//! What can happen next, and what it leads to.

use grantkeeper::refresh::steps::Heard;
use grantkeeper::store::StatusChange;
use grantkeeper::testing::fixtures;
use stateright::{Model, Property};

use super::provider::Mode;
use super::record::{Status, now};
use super::state::{HEALER, State};
use super::worker::{self, Pc, Worker};
use super::{Mutant, Owner, Protocol, Requests, properties};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
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
    /// All of it takes so long that there is no time for another request.
    Slow(usize),
    /// A worker is asked for the next generation.
    Again(usize),
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
    /// Whether there is work that the index leads to.
    fn needs_healing(state: &State) -> bool {
        let record = &state.record;
        let interrupted = record.intent.is_some() || record.status == Status::Failing;
        record.status.may_refresh() && record.due && interrupted
    }

    pub fn is_end(&self, state: &State) -> bool {
        if !state.is_quiet() || state.workers[HEALER].is_alive() {
            return false;
        }
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        // The owner may act, and need not.
        actions.iter().all(|action| matches!(action, Action::Suspend | Action::Disconnect | Action::Replace))
    }

    fn of_worker(&self, state: &State, w: usize, actions: &mut Vec<Action>) {
        let worker = &state.workers[w];
        let waits = worker.pc == Pc::Wait;
        if worker.is_alive() && !(waits && state.record.is_leased() && state.record.generation <= worker.base) {
            actions.push(Action::Step(w));
        }
        if waits {
            actions.push(Action::GiveUp(w));
        }
        if worker.pc == Pc::Done && worker.rounds > 0 && state.record.generation > worker.base {
            actions.push(Action::Again(w));
        }
        if state.faults == 0 || w == HEALER {
            return;
        }
        if matches!(worker.pc, Pc::CheckTime | Pc::Sent) && !worker.late {
            actions.push(Action::Slow(w));
        }
        if worker.is_under_way() {
            actions.push(Action::Crash(w));
        }
        if worker.writes() {
            actions.push(Action::AckLost(w));
        }
        match worker.pc {
            Pc::Sent => {
                actions.extend([Action::RequestLost(w), Action::Later(w)]);
                if self.requests != Requests::DieWithTheirSender {
                    actions.extend([Action::CrashSending(w), Action::TimeOut(w)]);
                }
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
                let (worker, told) = (state.workers[w], state.told.clone());
                // Applied or refused: the repetition says which.
                let _ = self.write(state, &worker);
                if self.mutant == Some(Mutant::EventsAreApart) {
                    state.told = told;
                }
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
            Action::Later(w) => {
                let worker = state.workers[w];
                state.unused(&worker);
                state.workers[w] = self.hear(state.workers[w], Heard::Later);
            }
            Action::Slow(w) => state.workers[w].late = true,
            Action::RefusedForNow(w) => state.workers[w].pc = Pc::Answered(None),
            _ => {}
        }
        state.strays.sort_unstable();
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut first = State::first(self.mode, self.faults, self.overlaps, self.owner.is_some());
        for worker in &mut first.workers[..HEALER] {
            worker.rounds = self.rounds;
        }
        vec![first]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for w in 0..state.workers.len() {
            self.of_worker(state, w, actions);
        }
        for stray in 0..state.strays.len() {
            actions.extend([Action::StrayProcessed(stray), Action::StrayDropped(stray)]);
        }
        let time_may_pass = state.strays.is_empty() || self.requests == Requests::OutliveTheLease;
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
            Action::GiveUp(w) => state.workers[w].pc = Pc::Done,
            Action::Again(w) => state.workers[w] = state.workers[w].again(state.record.generation),
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
        properties::all()
    }
}
