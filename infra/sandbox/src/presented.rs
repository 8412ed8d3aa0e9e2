//! The refresh tokens that were presented, for tests that prove how one was used.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::opaque::{Digest, Fingerprint};
use crate::state::{GrantId, Millis, State};

/// How many presentations are kept; older ones make room.
const CAPACITY: usize = 1_000_000;

/// A token request that carried a refresh token. Requests that were refused for whatever reason, or never answered, are
/// here too; `/revoke` and `/introspect` are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presentation {
    /// When it arrived, on the sandbox's clock.
    pub at: DateTime<Utc>,
    /// The client, if the request named a registered one.
    pub client_id: Option<String>,
    /// Fingerprint: the first 12 hex digits of its SHA-256.
    pub refresh_token: String,
    /// The grant it was given out for ([`GrantStatus::id`](crate::GrantStatus::id)), whether or not that still stands;
    /// `None` when the sandbox knows no such token, or no longer.
    pub grant: Option<u64>,
    /// How many refresh tokens had been given out for the grant after this one when it arrived: 0 for the newest, 1 for
    /// the one before.
    pub age: Option<u32>,
    /// Tokens were issued for it.
    pub accepted: bool,
    /// It cost the grant: a spent token of a client with `"reuse_penalty": "family"`.
    pub revoked: bool,
    /// What the caller saw of the answer.
    pub answer: AnswerFate,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFate {
    /// It was handed to the connection as it should be.
    Sent,
    /// Nothing was sent: the connection was closed, or the caller gave up before.
    Lost,
    /// Something else was sent, or a part of it: a scripted answer.
    Spoiled,
}

/// The same in less room.
struct Entry {
    at: Millis,
    client_id: Option<Arc<str>>,
    refresh_token: Fingerprint,
    place: Option<(GrantId, u32)>,
    accepted: bool,
    revoked: bool,
    answer: AnswerFate,
}

/// The presentations since the start.
#[derive(Default)]
pub(crate) struct Presented(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: VecDeque<Entry>,
    /// How many entries are gone.
    gone: u64,
    /// Each client id once.
    client_ids: BTreeSet<Arc<str>>,
}

impl Presented {
    pub(crate) fn all(&self) -> Vec<Presentation> {
        self.lock().entries.iter().map(Entry::told).collect()
    }

    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        // What is on its way must not be taken for a later one.
        kept.gone = kept.gone.saturating_add(u64::try_from(kept.entries.len()).unwrap_or(u64::MAX));
        kept.entries.clear();
    }

    /// Notes that a token arrived; returns the number of the entry. Nothing was answered so far.
    pub(crate) fn arrived(&self, state: &State, client_id: Option<&str>, refresh_token: &str) -> u64 {
        let digest = Digest::of(refresh_token);
        let mut kept = self.lock();
        let client_id = client_id.map(|client_id| kept.shared(client_id));
        if kept.entries.len() == CAPACITY {
            kept.entries.pop_front();
            kept.gone += 1;
        }
        kept.entries.push_back(Entry {
            at: state.now(),
            client_id,
            refresh_token: digest.fingerprint(),
            place: state.place_of(&digest),
            accepted: false,
            revoked: false,
            answer: AnswerFate::Lost,
        });
        kept.gone + u64::try_from(kept.entries.len()).unwrap_or(u64::MAX) - 1
    }

    /// Notes what the request came to.
    pub(crate) fn carried_out(&self, number: u64, accepted: bool, revoked: bool) {
        if let Some(entry) = self.lock().find(number) {
            (entry.accepted, entry.revoked) = (accepted, revoked);
        }
    }

    /// Notes what became of the answer.
    pub(crate) fn answered(&self, number: u64, answer: AnswerFate) {
        if let Some(entry) = self.lock().find(number) {
            entry.answer = answer;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, number: u64) -> Option<&mut Entry> {
        let index = number.checked_sub(self.gone)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    fn shared(&mut self, client_id: &str) -> Arc<str> {
        if let Some(known) = self.client_ids.get(client_id) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = Arc::from(client_id);
        self.client_ids.insert(Arc::clone(&shared));
        shared
    }
}

impl Entry {
    fn told(&self) -> Presentation {
        Presentation {
            at: DateTime::from_timestamp_millis(self.at).unwrap_or_default(),
            client_id: self.client_id.as_deref().map(String::from),
            refresh_token: self.refresh_token.to_string(),
            grant: self.place.map(|(grant, _)| grant),
            age: self.place.map(|(_, age)| age),
            accepted: self.accepted,
            revoked: self.revoked,
            answer: self.answer,
        }
    }
}
