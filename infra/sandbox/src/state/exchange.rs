//! The four grants of the token endpoint as state transitions.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{AccessToken, Code, Grant, GrantId, Millis, State, after};
use crate::oauth_error::OauthError;
use crate::opaque::{Digest, FreshTokens, sha256};
use crate::settings::{ClientSettings, GrantType, RefreshTokenMode, ReusePenalty};

/// What a token request with a code carries besides the client (RFC 6749 §4.1.3, RFC 7636 §4.5).
pub(crate) struct CodeRedemption<'a> {
    pub(crate) code: &'a str,
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) code_verifier: Option<&'a str>,
}

/// Tokens to hand out (RFC 6749 §5.1).
pub(crate) struct Issued {
    pub(crate) access_token: String,
    /// `None` when the access token never expires.
    pub(crate) expiry: Option<Expiry>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// Present when an ID token goes along.
    pub(crate) id: Option<IdFacts>,
}

/// When an access token expires.
#[derive(Clone, Copy)]
pub(crate) struct Expiry {
    pub(crate) seconds: u32,
    pub(crate) at: Millis,
}

/// What an ID token says that the token answer does not.
#[derive(Clone)]
pub(crate) struct IdFacts {
    pub(crate) user: String,
    pub(crate) nonce: Option<String>,
    pub(crate) auth_time: Millis,
    pub(crate) issued_at: Millis,
}

impl State {
    /// RFC 6749 §4.1.3. A code is good once; its second use revokes what the first gave (§4.1.2).
    pub(crate) fn redeem_code(
        &mut self,
        client: &ClientSettings,
        request: &CodeRedemption<'_>,
        fresh: FreshTokens,
        now: Millis,
    ) -> Result<Issued, OauthError> {
        let unknown = OauthError::invalid_grant("the code is unknown, expired or already used");
        let digest = Digest::of(request.code);
        let code = self.codes.get(&digest).filter(|code| code.client_id == client.client_id).ok_or(unknown)?.clone();
        if let Some(grant) = code.redeemed_as {
            self.revoke_grant(grant);
            return Err(unknown);
        }
        if now >= code.expires_at {
            return Err(unknown);
        }
        check_redirect_uri(&code, request.redirect_uri)?;
        check_code_verifier(code.code_challenge.as_deref(), request.code_verifier)?;
        let nonce = code.nonce;
        let grant = Grant {
            client_id: code.client_id,
            user: Some(code.user),
            scopes: code.scopes,
            grant_type: GrantType::AuthorizationCode,
            auth_time: code.issued_at,
            audiences: code.audiences,
        };
        let (id, issued) = self.open_grant(client, grant, nonce, fresh, now);
        self.codes.redeem(&digest, id);
        Ok(issued)
    }

    /// RFC 6749 §6, with the rotation and the penalty for reuse the client is set to (RFC 9700 §4.14.2).
    pub(crate) fn refresh(
        &mut self,
        client: &ClientSettings,
        presented: &str,
        requested_scope: Option<&str>,
        fresh: FreshTokens,
        now: Millis,
    ) -> Result<Issued, OauthError> {
        let unknown = OauthError::invalid_grant("the refresh token is unknown, revoked or already used");
        if client.refresh_token == RefreshTokenMode::None {
            return Err(OauthError::unauthorized_client("this client has no refresh tokens"));
        }
        let digest = Digest::of(presented);
        let token = self.refresh_tokens.get(&digest).ok_or(unknown)?;
        let (id, usable) = (token.grant, token.is_usable(client, now));
        let grant = self.grants.get(&id).filter(|grant| grant.client_id == client.client_id).ok_or(unknown)?.clone();
        if !usable {
            if client.reuse_penalty == ReusePenalty::Family {
                self.revoke_grant(id);
            }
            return Err(unknown);
        }
        let scopes = client.granted(&narrowed(client, &grant.scopes, requested_scope)?);
        self.prune(now);
        let refresh_token = if client.omit_refresh_token_on_refresh {
            None
        } else if client.refresh_token == RefreshTokenMode::Static {
            Some(presented.to_owned())
        } else {
            self.refresh_tokens.spend(&digest, now);
            self.refresh_tokens.insert(Digest::of(&fresh.refresh_token), id, now);
            Some(fresh.refresh_token)
        };
        let access_token = AccessToken::new(client, id, &grant, &scopes, now);
        self.access_tokens.insert(Digest::of(&fresh.access_token), access_token);
        Ok(Issued {
            access_token: fresh.access_token,
            expiry: expiry(client, now),
            refresh_token,
            // OpenID Connect Core §12.2: no nonce in an ID token that comes with a refresh.
            id: id_facts(&grant, &scopes, None, now),
            scopes,
        })
    }

    /// RFC 6749 §4.4: the client for itself, without a refresh token (§4.4.3).
    pub(crate) fn grant_client_credentials(
        &mut self,
        client: &ClientSettings,
        scopes: Vec<String>,
        fresh: FreshTokens,
        now: Millis,
    ) -> Issued {
        self.open_grant(client, grant_of(client, None, scopes, GrantType::ClientCredentials, now), None, fresh, now).1
    }

    /// RFC 6749 §4.3, once the password was found right.
    pub(crate) fn grant_password(
        &mut self,
        client: &ClientSettings,
        user: &str,
        scopes: Vec<String>,
        fresh: FreshTokens,
        now: Millis,
    ) -> Issued {
        let grant = grant_of(client, Some(user.to_owned()), scopes, GrantType::Password, now);
        self.open_grant(client, grant, None, fresh, now).1
    }

    fn open_grant(
        &mut self,
        client: &ClientSettings,
        grant: Grant,
        nonce: Option<String>,
        fresh: FreshTokens,
        now: Millis,
    ) -> (GrantId, Issued) {
        self.prune(now);
        self.last_grant += 1;
        let id = self.last_grant;
        let scopes = client.granted(&grant.scopes);
        let access_token = AccessToken::new(client, id, &grant, &scopes, now);
        self.access_tokens.insert(Digest::of(&fresh.access_token), access_token);
        let refresh_token = (grant.user.is_some() && client.gets_refresh_tokens()).then_some(fresh.refresh_token);
        if let Some(value) = &refresh_token {
            self.refresh_tokens.insert(Digest::of(value), id, now);
        }
        let issued = Issued {
            access_token: fresh.access_token,
            expiry: expiry(client, now),
            refresh_token,
            id: id_facts(&grant, &scopes, nonce, now),
            scopes,
        };
        self.grants.insert(id, grant);
        (id, issued)
    }

    /// RFC 8707 §2.2: what a token request asks its access token for. What the first one of a grant asks for without
    /// the authorization request having done so counts for the later ones too.
    pub(crate) fn direct(&mut self, access_token: &str, audiences: Vec<String>) {
        if audiences.is_empty() {
            return;
        }
        let Some(id) = self.access_tokens.direct(&Digest::of(access_token), &audiences) else { return };
        if let Some(grant) = self.grants.get_mut(&id).filter(|grant| grant.audiences.is_empty()) {
            grant.audiences = audiences;
        }
    }
}

impl AccessToken {
    fn new(client: &ClientSettings, id: GrantId, grant: &Grant, scopes: &[String], now: Millis) -> AccessToken {
        AccessToken {
            grant: id,
            scopes: scopes.to_vec(),
            audiences: grant.audiences.clone(),
            issued_at: now,
            expires_at: expiry(client, now).map(|expiry| expiry.at),
        }
    }
}

fn expiry(client: &ClientSettings, now: Millis) -> Option<Expiry> {
    client.expires_in().map(|seconds| Expiry { seconds, at: after(now, seconds) })
}

fn grant_of(
    client: &ClientSettings,
    user: Option<String>,
    scopes: Vec<String>,
    grant_type: GrantType,
    now: Millis,
) -> Grant {
    Grant { client_id: client.client_id.clone(), user, scopes, grant_type, auth_time: now, audiences: Vec::new() }
}

/// An ID token goes along when a person granted `openid` (OpenID Connect Core §3.1.3.3).
fn id_facts(grant: &Grant, scopes: &[String], nonce: Option<String>, now: Millis) -> Option<IdFacts> {
    let user = grant.user.clone().filter(|_| scopes.iter().any(|scope| scope == "openid"))?;
    Some(IdFacts { user, nonce, auth_time: grant.auth_time, issued_at: now })
}

/// RFC 6749 §6: a refresh may ask for less than was granted, never for more.
fn narrowed(client: &ClientSettings, granted: &[String], requested: Option<&str>) -> Result<Vec<String>, OauthError> {
    let Some(requested) = requested else {
        return Ok(granted.to_vec());
    };
    let wanted = client.split_scopes(requested);
    let may_have = |scope: &String| granted.contains(scope) || client.extra_scopes.contains(scope);
    if wanted.is_empty() || !wanted.iter().all(may_have) {
        return Err(OauthError::invalid_scope());
    }
    Ok(granted.iter().filter(|held| wanted.contains(held)).cloned().collect())
}

/// RFC 6749 §4.1.3: required, and identical, when the authorization request carried it.
fn check_redirect_uri(code: &Code, given: Option<&str>) -> Result<(), OauthError> {
    match given {
        Some(given) if given == code.redirect_uri => Ok(()),
        None if !code.redirect_uri_given => Ok(()),
        _ => Err(OauthError::invalid_grant("redirect_uri differs from the authorization request")),
    }
}

/// RFC 7636 §4.6. RFC 9700 §2.1.1: a verifier where no challenge was given is refused too (downgrade).
fn check_code_verifier(challenge: Option<&str>, verifier: Option<&str>) -> Result<(), OauthError> {
    let matches = match (challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            is_code_verifier(verifier) && URL_SAFE_NO_PAD.encode(sha256(verifier)) == challenge
        }
        _ => false,
    };
    matches.then_some(()).ok_or(OauthError::invalid_grant("code_verifier does not match code_challenge"))
}

/// RFC 7636 §4.1: 43 to 128 unreserved characters.
fn is_code_verifier(value: &str) -> bool {
    (43..=128).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}
