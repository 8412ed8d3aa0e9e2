//! Whose a code or token is, for those who only have its value.

use super::{GrantId, Millis, State};
use crate::opaque::Digest;

impl State {
    /// The client that a code or token was given to, used or not.
    pub(crate) fn owner_of(&self, value: &str) -> Option<&str> {
        let code = self.codes.get(&Digest::of(value)).map(|code| code.client_id.as_str());
        code.or_else(|| Some(self.grants.get(&self.grant_of(value)?)?.client_id.as_str()))
    }

    /// The redirect URI that a code was asked with.
    pub(crate) fn redirect_uri_of(&self, code: &str) -> Option<&str> {
        self.codes.get(&Digest::of(code)).map(|code| code.redirect_uri.as_str())
    }

    /// Milliseconds since a refresh token was given out.
    pub(crate) fn age_of(&self, refresh_token: &str) -> Option<Millis> {
        let token = self.refresh_tokens.get(&Digest::of(refresh_token))?;
        Some(self.now().saturating_sub(token.issued_at))
    }

    /// The grant that a token belongs to, if it stands.
    pub(crate) fn grant_of(&self, token: &str) -> Option<GrantId> {
        let digest = Digest::of(token);
        let of_access_token = self.access_tokens.get(&digest).map(|token| token.grant);
        of_access_token.or_else(|| self.refresh_tokens.get(&digest).map(|token| token.grant))
    }
}
