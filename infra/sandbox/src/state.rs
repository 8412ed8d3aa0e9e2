//! Everything the sandbox remembers. Each method is one step of the state machine, pure but for the wall clock in
//! `now`; the caller holds the lock and saves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::opaque::Digest;
use crate::settings::{ClientSettings, GrantType, ReusePenalty};

mod exchange;
mod grant_status;
mod kept;
mod owner;
#[cfg(test)]
mod tests;

pub(crate) use exchange::{CodeRedemption, IdFacts, Issued};
use grant_status::Ended;
pub use grant_status::GrantStatus;
use kept::{AccessTokens, Codes, RefreshTokens};

/// Milliseconds since the Unix epoch, on the sandbox's clock.
pub(crate) type Millis = i64;

/// How far the clock may be moved in all: a hundred years.
const MAX_OFFSET_MS: Millis = 100 * 366 * 86_400 * 1000;

/// So long after its expiry a code is remembered, so that a second use still revokes what the first gave.
const CODE_MEMORY_MS: Millis = 86_400 * 1000;

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// PKCS#8 in Base64.
    pub(crate) signing_key: String,
    pub(crate) clock_offset_ms: Millis,
    pub(crate) clients: BTreeMap<String, ClientSettings>,
    codes: Codes,
    last_grant: GrantId,
    grants: BTreeMap<GrantId, Grant>,
    access_tokens: AccessTokens,
    refresh_tokens: RefreshTokens,
    #[serde(default)]
    ended: Ended,
    /// Grants whose last token was revoked alone.
    #[serde(default)]
    bare: BTreeSet<GrantId>,
}

pub(crate) type GrantId = u64;

/// What one consent, password or client login allows: the family all tokens of it belong to. Revoking removes it
/// together with its tokens, so a token that is present belongs to a grant that stands.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    /// The person; `None` for client credentials.
    pub(crate) user: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) grant_type: GrantType,
    /// When the person signed in.
    auth_time: Millis,
    /// What its access tokens are for unless their own request says more.
    #[serde(default)]
    audiences: Vec<String>,
}

/// An authorization code and the request it answers.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) user: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uri: String,
    /// The authorization request carried `redirect_uri`, so the token request must too (RFC 6749 §4.1.3).
    pub(crate) redirect_uri_given: bool,
    pub(crate) code_challenge: Option<String>,
    pub(crate) nonce: Option<String>,
    #[serde(default)]
    pub(crate) audiences: Vec<String>,
    pub(crate) issued_at: Millis,
    pub(crate) expires_at: Millis,
    /// The grant the first use gave.
    pub(crate) redeemed_as: Option<GrantId>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessToken {
    grant: GrantId,
    /// May be fewer than the grant's (RFC 6749 §6).
    pub(crate) scopes: Vec<String>,
    /// What it was asked for (RFC 8707).
    #[serde(default)]
    pub(crate) audiences: Vec<String>,
    pub(crate) issued_at: Millis,
    /// `None`: never.
    pub(crate) expires_at: Option<Millis>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshToken {
    grant: GrantId,
    /// How many refresh tokens its grant was given before it.
    #[serde(default)]
    ordinal: u32,
    pub(crate) issued_at: Millis,
    /// When rotation first replaced it.
    spent_at: Option<Millis>,
}

impl RefreshToken {
    /// Whether the client may (still) use it: unspent, within the grace, or at a server that does not mind.
    fn is_usable(&self, client: &ClientSettings, now: Millis) -> bool {
        let Some(spent_at) = self.spent_at else { return true };
        client.reuse_penalty == ReusePenalty::None || now < after(spent_at, client.grace_seconds)
    }
}

/// What `/revoke` did (RFC 7009 §2.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The token is dead now, or was before: one answer for both (RFC 7009 §2.2).
    Done,
    /// It was issued to another client and stays.
    OtherClient,
}

/// A token that is valid now, with the grant it belongs to.
pub(crate) enum ValidToken<'a> {
    Access(&'a AccessToken, &'a Grant),
    Refresh(&'a RefreshToken, &'a Grant),
}

impl State {
    pub(crate) fn new(signing_key: String) -> State {
        State {
            signing_key,
            clock_offset_ms: 0,
            clients: BTreeMap::new(),
            codes: Codes::default(),
            last_grant: 0,
            grants: BTreeMap::new(),
            access_tokens: AccessTokens::default(),
            refresh_tokens: RefreshTokens::default(),
            ended: Ended::default(),
            bare: BTreeSet::new(),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        wall_clock().saturating_add(self.clock_offset_ms)
    }

    pub(crate) fn advance_clock(&mut self, seconds: i64) {
        let offset = self.clock_offset_ms.saturating_add(seconds.saturating_mul(1000));
        self.clock_offset_ms = offset.clamp(-MAX_OFFSET_MS, MAX_OFFSET_MS);
    }

    pub(crate) fn insert_code(&mut self, value: &str, code: Code) {
        self.prune(code.issued_at);
        self.codes.insert(Digest::of(value), code);
    }

    /// An access token that is known, unrevoked and unexpired.
    pub(crate) fn find_access_token(&self, value: &str, now: Millis) -> Option<(&AccessToken, &Grant)> {
        let token = self.access_tokens.get(&Digest::of(value))?;
        let valid = token.expires_at.is_none_or(|expires_at| now < expires_at);
        valid.then_some((token, self.grants.get(&token.grant)?))
    }

    /// A token of either kind that is valid now and belongs to this client.
    pub(crate) fn find_token_of(&self, client: &ClientSettings, value: &str, now: Millis) -> Option<ValidToken<'_>> {
        if let Some((token, grant)) = self.find_access_token(value, now) {
            return (grant.client_id == client.client_id).then_some(ValidToken::Access(token, grant));
        }
        let token = self.refresh_tokens.get(&Digest::of(value))?;
        let grant = self.grants.get(&token.grant)?;
        let valid = grant.client_id == client.client_id && token.is_usable(client, now);
        valid.then_some(ValidToken::Refresh(token, grant))
    }

    /// RFC 7009 §2.1. A refresh token takes its whole grant along, an access token only itself. A spent refresh token
    /// is no longer a token: showing it changes nothing.
    pub(crate) fn revoke_token(&mut self, client: &ClientSettings, value: &str, now: Millis) -> Revocation {
        let digest = Digest::of(value);
        if let Some(token) = self.access_tokens.get(&digest) {
            if !self.belongs_to(token.grant, client) {
                return Revocation::OtherClient;
            }
            let grant = token.grant;
            self.access_tokens.remove(&digest);
            if !self.has_tokens(grant) {
                self.bare.insert(grant);
            }
        } else if let Some(token) = self.refresh_tokens.get(&digest) {
            let (grant, usable) = (token.grant, token.is_usable(client, now));
            if !self.belongs_to(grant, client) {
                return Revocation::OtherClient;
            }
            if usable {
                self.revoke_grant(grant);
            }
        }
        Revocation::Done
    }

    /// Ends every grant of a person and every code not yet redeemed; returns how many there were.
    pub(crate) fn revoke_user(&mut self, user: &str) -> usize {
        let of_user = |grant: &Grant| grant.user.as_deref() == Some(user);
        let grants: Vec<GrantId> = self.grants.iter().filter(|(_, grant)| of_user(grant)).map(|(id, _)| *id).collect();
        for grant in &grants {
            self.revoke_grant(*grant);
        }
        grants.len() + self.codes.revoke(user)
    }

    /// Ends a grant with all its tokens.
    pub(crate) fn revoke_grant(&mut self, grant: GrantId) {
        self.remember_end(grant);
        self.grants.remove(&grant);
        self.access_tokens.remove_of(grant);
        self.refresh_tokens.remove_of(grant);
        self.bare.remove(&grant);
    }

    fn belongs_to(&self, grant: GrantId, client: &ClientSettings) -> bool {
        self.grants.get(&grant).is_some_and(|grant| grant.client_id == client.client_id)
    }

    /// Forgets what can no longer matter. Spent refresh tokens stay as long as their grant: their reuse must be seen.
    fn prune(&mut self, now: Millis) {
        self.codes.prune(now);
        let mut bared = self.access_tokens.prune(now);
        if bared.is_empty() {
            return;
        }
        bared.append(&mut self.bare);
        for grant in bared {
            if !self.has_tokens(grant) {
                self.grants.remove(&grant);
            }
        }
    }

    /// Whether a grant stands.
    pub(crate) fn stands(&self, grant: GrantId) -> bool {
        self.grants.contains_key(&grant)
    }

    fn has_tokens(&self, grant: GrantId) -> bool {
        self.access_tokens.has_of(grant) || self.refresh_tokens.has_of(grant)
    }
}

/// A moment some seconds later.
pub(crate) fn after(moment: Millis, seconds: u32) -> Millis {
    moment.saturating_add(i64::from(seconds) * 1000)
}

#[expect(clippy::disallowed_methods, reason = "the sandbox is its own outside world: this is its clock")]
fn wall_clock() -> Millis {
    chrono::Utc::now().timestamp_millis()
}
