//! What must hold, by name.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::PoisonError;

use grantkeeper::refresh::steps::IN_DOUBT;
use stateright::Property;

use super::Protocol;
use super::provider::Mode;
use super::record::{Record, Status};
use super::state::{FIRST_GENERATION, State};
use super::worker::{How, Pc};

pub const G1: &str = "G1: without faults there is one request for each generation";
pub const G1_TWICE: &str = "G1: an attempt presents a refresh token at most twice";
pub const G2_NEWER: &str = "G2: what is newer is not overwritten";
pub const G2_RECORDED: &str = "G2: what was received is recorded";
pub const G3_WINDOW: &str = "G3: a connection is lost only in the window";
pub const G3_GRACE: &str = "G3: no connection is lost where the provider gives grace";
pub const G4: &str = "G4: nothing older than the refresh token before is presented";
pub const G4_ONCE: &str = "G4: the refresh token before is presented once at most for a generation";
pub const ENDED: &str = "a grant ends with all that was received for it";
pub const EVENTS: &str = "each change of status is told once";
pub const INDEX: &str = "what has work is in the index";
pub const ENDS: &str = "every run comes to an end that is one";
pub const BOUNDED: &str = "the number of attempts is bounded";

pub const COMMITTED: &str = "reached: a commit";
pub const ADOPTED: &str = "reached: tokens of a dead worker are adopted";
pub const SENT_AGAIN: &str = "reached: the same request again";
pub const JOURNALLED: &str = "reached: the journal";
pub const RESCHEDULED: &str = "reached: the due time of what was journalled";
pub const TRIED_BEFORE: &str = "reached: the refresh token before";
pub const DOUBTED: &str = "reached: a doubt";
pub const ENDED_LATE: &str = "reached: late tokens are ended";
pub const UNTOUCHED: &str = "reached: no time to send";

pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(G1, |model: &Protocol, state: &State| !model.is_faultless() || !state.broken.twice),
        Property::always(G1_TWICE, |_: &Protocol, state: &State| !state.broken.pushed),
        Property::always(G2_NEWER, |_: &Protocol, state: &State| !state.broken.overwritten),
        Property::always(G2_RECORDED, |_: &Protocol, state: &State| state.unrecorded() == 0),
        Property::always(G3_WINDOW, |model: &Protocol, state: &State| {
            !state.is_lost() || state.window || !model.is_end(state)
        }),
        Property::always(G3_GRACE, |model: &Protocol, state: &State| {
            let gives = matches!(model.mode, Mode::Static | Mode::Grace | Mode::Lenient);
            !gives || !state.is_lost() || !model.is_end(state)
        }),
        Property::always(G4, |_: &Protocol, state: &State| !state.broken.too_old),
        Property::always(G4_ONCE, |_: &Protocol, state: &State| !state.broken.retried),
        Property::always(ENDED, |model: &Protocol, state: &State| {
            let all = state.received & !state.revoked == 0;
            state.record.status != Status::Revoked || all || !model.is_end(state)
        }),
        Property::always(EVENTS, |_: &Protocol, state: &State| state.told.len() == usize::from(state.changes)),
        Property::always(INDEX, |_: &Protocol, state: &State| {
            let works = state.record.status.may_refresh() || state.record.status == Status::Revoking;
            state.record.due || !works
        }),
        Property::always(ENDS, |model: &Protocol, state: &State| is_final(&state.record) || !model.is_end(state)),
        Property::always(BOUNDED, |_: &Protocol, state: &State| state.record.fence < 12),
        Property::always("the ends are counted", |model: &Protocol, state: &State| {
            if model.is_end(state) {
                let mut ends = model.ends.lock().unwrap_or_else(PoisonError::into_inner);
                ends.insert(BuildHasherDefault::<DefaultHasher>::default().hash_one(state), state.is_lost());
            }
            true
        }),
        // These are no promises: that they are found shows that the exploration goes there.
        Property::sometimes(COMMITTED, |_: &Protocol, state: &State| state.record.generation > FIRST_GENERATION),
        Property::sometimes(ADOPTED, |_: &Protocol, state: &State| {
            is_somebody_at(state, |pc| pc == Pc::AcquireToAdopt)
        }),
        Property::sometimes(SENT_AGAIN, |_: &Protocol, state: &State| {
            is_somebody_at(state, |pc| pc == Pc::NoteUnknown)
        }),
        Property::sometimes(JOURNALLED, |_: &Protocol, state: &State| !state.journal.is_empty()),
        Property::sometimes(RESCHEDULED, |_: &Protocol, state: &State| {
            is_somebody_at(state, |pc| pc == Pc::Reschedule)
        }),
        Property::sometimes(TRIED_BEFORE, |_: &Protocol, state: &State| {
            is_somebody_at(state, |pc| pc == Pc::NoteTried)
        }),
        Property::sometimes(DOUBTED, |_: &Protocol, state: &State| state.record.reason == Some(IN_DOUBT)),
        Property::sometimes(ENDED_LATE, |_: &Protocol, state: &State| is_somebody_at(state, |pc| pc == Pc::EndLate)),
        Property::sometimes(UNTOUCHED, |_: &Protocol, state: &State| {
            is_somebody_at(state, |pc| pc == Pc::Release(How::Untouched))
        }),
    ]
}

fn is_somebody_at(state: &State, at: impl Fn(Pc) -> bool) -> bool {
    state.workers.iter().any(|worker| at(worker.pc))
}

/// Whether nothing is left to be done.
fn is_final(record: &Record) -> bool {
    match record.status {
        Status::Active => record.intent.is_none() && record.lease.is_none() && !record.paused,
        Status::Dead => record.lease.is_none(),
        Status::Revoked => true,
        Status::Failing | Status::Suspended | Status::Revoking => false,
    }
}
