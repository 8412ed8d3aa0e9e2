//! What tests can read about grants, with fingerprints instead of tokens, also after they ended.

use serde::{Deserialize, Serialize};

use super::{Grant, GrantId, Millis, State};
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

impl State {
    /// All grants that are remembered, ended ones first.
    pub(crate) fn grant_statuses(&self, now: Millis) -> Vec<GrantStatus> {
        let standing = self.grants.iter().map(|(id, grant)| self.status_of(*id, grant, true, now));
        self.ended.iter().cloned().chain(standing).collect()
    }

    pub(super) fn remember_end(&mut self, id: GrantId) {
        let Some(grant) = self.grants.get(&id) else { return };
        let status = self.status_of(id, grant, false, 0);
        if self.ended.len() == ENDED_CAPACITY {
            self.ended.pop_front();
        }
        self.ended.push_back(status);
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
