//! What others than the workers of a refresh do: time, the owner, and whoever ends a grant at the provider.

use grantkeeper::store::StatusChange;
use grantkeeper::testing::{fixtures, reference};

use super::Protocol;
use super::provider::OTHER;
use super::record::{Record, Status, interned, now};
use super::state::{OTHER_POINTER, State, Version};

impl Protocol {
    /// Time goes by, longer than a lease.
    pub fn wait(state: &mut State) {
        if let Some(lease) = &mut state.record.lease {
            lease.lapsed = true;
        }
        state.record.paused = false;
        state.provider.wait();
    }

    /// A change of status by somebody who is no worker.
    pub fn change(state: &mut State, change: &StatusChange) {
        let base = state.record.credential();
        let after = reference::change_status(&base, &base, change).expect("nothing came in between");
        state.record = Record::from(&after);
    }

    pub fn suspend(state: &mut State) {
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

    pub fn lift(state: &mut State) {
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
    pub fn replace(state: &mut State) {
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
    pub fn tell(state: &mut State) {
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
