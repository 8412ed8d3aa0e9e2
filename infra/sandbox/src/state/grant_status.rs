//! What tests can read about grants, with fingerprints instead of tokens, also after they ended.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Grant, GrantId, Millis, State};
use crate::opaque::Digest;
use crate::settings::GrantType;

/// How many ended grants are remembered.
const ENDED_CAPACITY: usize = 100_000;

/// A grant, as long as it stands and after it was revoked. One that merely ran out of tokens is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantStatus {
    /// Its number: 1 for the first grant of the sandbox. 0 for one that ended before grants were numbered.
    #[serde(default)]
    pub id: u64,
    /// The client it was given to.
    pub client_id: String,
    /// The person; `None` for client credentials.
    pub user: Option<String>,
    /// How it came to be.
    pub grant_type: GrantType,
    /// The scopes that were allowed.
    pub scopes: Vec<String>,
    /// False once it was revoked: none of its tokens works any more.
    pub alive: bool,
    /// Fingerprints of all its refresh tokens, the oldest first and the newest last: the first 12 hex digits of their SHA-256.
    pub refresh_tokens: Vec<String>,
    /// Those of them that can be used now.
    pub usable_refresh_tokens: Vec<String>,
}

/// What is left of revoked grants, oldest first.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "VecDeque<GrantStatus>", into = "VecDeque<GrantStatus>")]
pub(super) struct Ended {
    statuses: VecDeque<GrantStatus>,
    /// The grants of their refresh tokens and how many of each were given out later, by fingerprint.
    places: BTreeMap<String, (GrantId, u32)>,
}

impl Ended {
    fn push(&mut self, status: GrantStatus) {
        if self.statuses.len() == ENDED_CAPACITY {
            for fingerprint in self.statuses.pop_front().into_iter().flat_map(|status| status.refresh_tokens) {
                self.places.remove(&fingerprint);
            }
        }
        for (fingerprint, age) in status.refresh_tokens.iter().rev().zip(0..) {
            self.places.insert(fingerprint.clone(), (status.id, age));
        }
        self.statuses.push_back(status);
    }
}

impl From<VecDeque<GrantStatus>> for Ended {
    fn from(statuses: VecDeque<GrantStatus>) -> Ended {
        let mut ended = Ended::default();
        statuses.into_iter().for_each(|status| ended.push(status));
        ended
    }
}

impl From<Ended> for VecDeque<GrantStatus> {
    fn from(ended: Ended) -> Self {
        ended.statuses
    }
}

impl State {
    /// All grants that are remembered, ended ones first.
    pub(crate) fn grant_statuses(&self, now: Millis) -> Vec<GrantStatus> {
        let standing = self.grants.iter().map(|(id, grant)| self.status_of(*id, grant, true, now));
        self.ended.statuses.iter().cloned().chain(standing).collect()
    }

    /// One grant, if it is remembered.
    pub(crate) fn grant_status(&self, id: GrantId, now: Millis) -> Option<GrantStatus> {
        let standing = self.grants.get(&id).map(|grant| self.status_of(id, grant, true, now));
        standing.or_else(|| self.ended.statuses.iter().rev().find(|status| status.id == id).cloned())
    }

    /// The grant of a refresh token and how many of it were given out later, also when the grant was revoked.
    pub(crate) fn place_of(&self, refresh_token: &Digest) -> Option<(GrantId, u32)> {
        let standing =
            self.refresh_tokens.get(refresh_token).map(|token| (token.grant, self.refresh_tokens.age(token)));
        standing.or_else(|| self.ended.places.get(&refresh_token.fingerprint().to_string()).copied())
    }

    pub(super) fn remember_end(&mut self, id: GrantId) {
        let Some(grant) = self.grants.get(&id) else { return };
        self.ended.push(self.status_of(id, grant, false, 0));
    }

    fn status_of(&self, id: GrantId, grant: &Grant, alive: bool, now: Millis) -> GrantStatus {
        let tokens: Vec<_> = self.refresh_tokens.of(id).collect();
        let client = self.clients.get(&grant.client_id).filter(|_| alive);
        let usable = tokens.iter().filter(|(_, token)| client.is_some_and(|client| token.is_usable(client, now)));
        GrantStatus {
            id,
            client_id: grant.client_id.clone(),
            user: grant.user.clone(),
            grant_type: grant.grant_type,
            scopes: grant.scopes.clone(),
            alive,
            usable_refresh_tokens: usable.map(|(digest, _)| digest.fingerprint().to_string()).collect(),
            refresh_tokens: tokens.iter().map(|(digest, _)| digest.fingerprint().to_string()).collect(),
        }
    }
}
