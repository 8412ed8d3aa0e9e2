//! Codes and tokens by digest, with what finds those that expire and those of one grant without looking at all of them:
//! a test may keep a hundred thousand grants. The data file has only the codes and tokens themselves.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AccessToken, CODE_MEMORY_MS, Code, GrantId, Millis, RefreshToken};
use crate::opaque::Digest;

/// What goes when its time has come.
#[derive(Clone, Default, PartialEq)]
struct Ends(BTreeSet<(Millis, Digest)>);

impl Ends {
    fn note(&mut self, end: Millis, digest: Digest) {
        self.0.insert((end, digest));
    }

    fn strike(&mut self, end: Millis, digest: Digest) {
        self.0.remove(&(end, digest));
    }

    /// The next whose end is not later than `now`.
    fn take(&mut self, now: Millis) -> Option<Digest> {
        let is_over = self.0.first().is_some_and(|(end, _)| *end <= now);
        if is_over { self.0.pop_first().map(|(_, digest)| digest) } else { None }
    }
}

/// The authorization codes.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Digest, Code>", into = "BTreeMap<Digest, Code>")]
pub(super) struct Codes {
    by_digest: BTreeMap<Digest, Code>,
    ends: Ends,
}

impl Codes {
    pub(super) fn get(&self, digest: &Digest) -> Option<&Code> {
        self.by_digest.get(digest)
    }

    pub(super) fn insert(&mut self, digest: Digest, code: Code) {
        self.ends.note(code.forgotten_at(), digest);
        self.by_digest.insert(digest, code);
    }

    /// Notes the grant that the first use of a code gave.
    pub(super) fn redeem(&mut self, digest: &Digest, grant: GrantId) {
        if let Some(code) = self.by_digest.get_mut(digest) {
            code.redeemed_as = Some(grant);
        }
    }

    /// Removes a person's codes that are not redeemed; returns how many there were.
    pub(super) fn revoke(&mut self, user: &str) -> usize {
        let before = self.by_digest.len();
        let ends = &mut self.ends;
        self.by_digest.retain(|digest, code| {
            let stays = code.user != user || code.redeemed_as.is_some();
            if !stays {
                ends.strike(code.forgotten_at(), *digest);
            }
            stays
        });
        before - self.by_digest.len()
    }

    pub(super) fn prune(&mut self, now: Millis) {
        while let Some(digest) = self.ends.take(now) {
            self.by_digest.remove(&digest);
        }
    }
}

impl Code {
    fn forgotten_at(&self) -> Millis {
        self.expires_at.saturating_add(CODE_MEMORY_MS)
    }
}

impl From<BTreeMap<Digest, Code>> for Codes {
    fn from(by_digest: BTreeMap<Digest, Code>) -> Codes {
        let ends = Ends(by_digest.iter().map(|(digest, code)| (code.forgotten_at(), *digest)).collect());
        Codes { by_digest, ends }
    }
}

impl From<Codes> for BTreeMap<Digest, Code> {
    fn from(codes: Codes) -> Self {
        codes.by_digest
    }
}

/// The access tokens that are neither revoked nor forgotten.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Digest, AccessToken>", into = "BTreeMap<Digest, AccessToken>")]
pub(super) struct AccessTokens {
    by_digest: BTreeMap<Digest, AccessToken>,
    by_grant: BTreeSet<(GrantId, Digest)>,
    ends: Ends,
}

impl AccessTokens {
    pub(super) fn get(&self, digest: &Digest) -> Option<&AccessToken> {
        self.by_digest.get(digest)
    }

    pub(super) fn insert(&mut self, digest: Digest, token: AccessToken) {
        self.by_grant.insert((token.grant, digest));
        if let Some(end) = token.expires_at {
            self.ends.note(end, digest);
        }
        self.by_digest.insert(digest, token);
    }

    /// Sets what a token is for; returns its grant.
    pub(super) fn direct(&mut self, digest: &Digest, audiences: &[String]) -> Option<GrantId> {
        let token = self.by_digest.get_mut(digest)?;
        audiences.clone_into(&mut token.audiences);
        Some(token.grant)
    }

    pub(super) fn remove(&mut self, digest: &Digest) -> Option<AccessToken> {
        let token = self.by_digest.remove(digest)?;
        self.by_grant.remove(&(token.grant, *digest));
        if let Some(end) = token.expires_at {
            self.ends.strike(end, *digest);
        }
        Some(token)
    }

    pub(super) fn remove_of(&mut self, grant: GrantId) {
        let digests: Vec<Digest> = self.of(grant).collect();
        for digest in digests {
            self.remove(&digest);
        }
    }

    pub(super) fn has_of(&self, grant: GrantId) -> bool {
        self.of(grant).next().is_some()
    }

    /// Forgets the expired ones; returns the grants that they belonged to.
    pub(super) fn prune(&mut self, now: Millis) -> BTreeSet<GrantId> {
        let mut grants = BTreeSet::new();
        while let Some(digest) = self.ends.take(now) {
            grants.extend(self.remove(&digest).map(|token| token.grant));
        }
        grants
    }

    fn of(&self, grant: GrantId) -> impl Iterator<Item = Digest> {
        let whole = (grant, Digest::FIRST)..=(grant, Digest::LAST);
        self.by_grant.range(whole).map(|(_, digest)| *digest)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_digest.len()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_digest.is_empty() && self.by_grant.is_empty() && self.ends.0.is_empty()
    }
}

impl From<BTreeMap<Digest, AccessToken>> for AccessTokens {
    fn from(by_digest: BTreeMap<Digest, AccessToken>) -> AccessTokens {
        let by_grant = by_digest.iter().map(|(digest, token)| (token.grant, *digest)).collect();
        let ends = by_digest.iter().filter_map(|(digest, token)| Some((token.expires_at?, *digest))).collect();
        AccessTokens { by_digest, by_grant, ends: Ends(ends) }
    }
}

impl From<AccessTokens> for BTreeMap<Digest, AccessToken> {
    fn from(tokens: AccessTokens) -> Self {
        tokens.by_digest
    }
}

/// The refresh tokens of the grants that stand, spent ones too: their reuse must be seen.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Digest, RefreshToken>", into = "BTreeMap<Digest, RefreshToken>")]
pub(super) struct RefreshTokens {
    by_digest: BTreeMap<Digest, RefreshToken>,
    /// In the order they were given out in; `RefreshToken::ordinal` is the place.
    by_grant: BTreeMap<GrantId, Vec<Digest>>,
}

impl RefreshTokens {
    pub(super) fn get(&self, digest: &Digest) -> Option<&RefreshToken> {
        self.by_digest.get(digest)
    }

    /// The newest of a grant.
    pub(super) fn insert(&mut self, digest: Digest, grant: GrantId, now: Millis) {
        let of_grant = self.by_grant.entry(grant).or_default();
        let ordinal = u32::try_from(of_grant.len()).unwrap_or(u32::MAX);
        of_grant.push(digest);
        self.by_digest.insert(digest, RefreshToken { grant, ordinal, issued_at: now, spent_at: None });
    }

    /// Notes the first use.
    pub(super) fn spend(&mut self, digest: &Digest, now: Millis) {
        if let Some(token) = self.by_digest.get_mut(digest) {
            token.spent_at.get_or_insert(now);
        }
    }

    pub(super) fn remove_of(&mut self, grant: GrantId) {
        for digest in self.by_grant.remove(&grant).unwrap_or_default() {
            self.by_digest.remove(&digest);
        }
    }

    pub(super) fn has_of(&self, grant: GrantId) -> bool {
        self.by_grant.contains_key(&grant)
    }

    /// The oldest first.
    pub(super) fn of(&self, grant: GrantId) -> impl Iterator<Item = (&Digest, &RefreshToken)> {
        self.by_grant.get(&grant).into_iter().flatten().filter_map(|digest| self.by_digest.get_key_value(digest))
    }

    /// How many were given out after a token to its grant.
    pub(super) fn age(&self, token: &RefreshToken) -> u32 {
        let given_out = self.by_grant.get(&token.grant).map_or(0, Vec::len);
        u32::try_from(given_out).unwrap_or(u32::MAX).saturating_sub(token.ordinal).saturating_sub(1)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_digest.is_empty() && self.by_grant.is_empty()
    }
}

impl From<BTreeMap<Digest, RefreshToken>> for RefreshTokens {
    fn from(mut by_digest: BTreeMap<Digest, RefreshToken>) -> RefreshTokens {
        let mut by_grant: BTreeMap<GrantId, Vec<Digest>> = BTreeMap::new();
        let mut all: Vec<(u32, Millis, Digest, GrantId)> =
            by_digest.iter().map(|(digest, token)| (token.ordinal, token.issued_at, *digest, token.grant)).collect();
        // Data files from before there were ordinals have 0 everywhere: then the time tells.
        all.sort_unstable();
        for (_, _, digest, grant) in all {
            let of_grant = by_grant.entry(grant).or_default();
            if let Some(token) = by_digest.get_mut(&digest) {
                token.ordinal = u32::try_from(of_grant.len()).unwrap_or(u32::MAX);
            }
            of_grant.push(digest);
        }
        RefreshTokens { by_digest, by_grant }
    }
}

impl From<RefreshTokens> for BTreeMap<Digest, RefreshToken> {
    fn from(tokens: RefreshTokens) -> Self {
        tokens.by_digest
    }
}
