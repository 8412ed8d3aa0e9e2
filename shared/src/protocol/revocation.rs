//! Token revocation (RFC 7009).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::dialect::{RevocationAuth, RevocationDialect, WireRequest, encode};
use super::token::AuthMethod;
use crate::secret::Secret;

/// Who asks at an endpoint other than the token endpoint.
#[derive(Clone, Copy)]
pub struct ClientAuth<'a> {
    /// How the client authenticates.
    pub method: AuthMethod,
    /// Our `client_id` there.
    pub client_id: &'a str,
    /// Our secret, unless the client is public.
    pub client_secret: Option<&'a Secret<String>>,
}

/// What the answer to a revocation request proves (RFC 7009 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The token is dead, now or before.
    Revoked,
    /// The token must be taken for alive: ask again later.
    Later,
    /// Asking again will not help; the code says why.
    Refused(&'static str),
}

/// The request that revokes `token`, a `hint` (`refresh_token` or `access_token`, §2.1). `access_token` authenticates it
/// where the dialect says `bearer`; without one, the token itself does.
///
/// Nothing comes of an address that is no URL or of a dialect that no check has passed.
pub fn request(
    endpoint: &str,
    token: &Secret<String>,
    hint: &str,
    auth: ClientAuth<'_>,
    dialect: &RevocationDialect,
    access_token: Option<&Secret<String>>,
) -> Option<WireRequest> {
    let url = Url::parse(endpoint).ok()?;
    let method = dialect.auth.unwrap_or(match auth.method {
        AuthMethod::ClientSecretBasic => RevocationAuth::ClientSecretBasic,
        AuthMethod::ClientSecretPost => RevocationAuth::ClientSecretPost,
        AuthMethod::None => RevocationAuth::None,
    });
    let mut parameters =
        vec![("token".to_owned(), token.expose().clone()), ("token_type_hint".to_owned(), hint.to_owned())];
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    match method {
        RevocationAuth::ClientSecretBasic => {
            authenticate(AuthMethod::ClientSecretBasic, auth, &mut headers, &mut parameters)?
        }
        RevocationAuth::ClientSecretPost => {
            authenticate(AuthMethod::ClientSecretPost, auth, &mut headers, &mut parameters)?
        }
        RevocationAuth::None => authenticate(AuthMethod::None, auth, &mut headers, &mut parameters)?,
        RevocationAuth::Bearer => {
            parameters.retain(|(name, _)| dialect.names.contains_key(name));
            let bearer = format!("Bearer {}", access_token.unwrap_or(token).expose());
            headers.insert(header::AUTHORIZATION, sensitive(&bearer)?);
        }
    }
    encode(&dialect.shape(), &url, &parameters, headers)
}

/// Adds the client's authentication (RFC 6749 §2.3.1) to a request.
pub(super) fn authenticate(
    method: AuthMethod,
    auth: ClientAuth<'_>,
    headers: &mut HeaderMap,
    parameters: &mut Vec<(String, String)>,
) -> Option<()> {
    let secret = auth.client_secret.map(Secret::expose);
    match (method, secret) {
        (AuthMethod::ClientSecretBasic, secret) => {
            let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encode(auth.client_id), encode(secret.map_or("", String::as_str)));
            headers.insert(header::AUTHORIZATION, sensitive(&format!("Basic {}", STANDARD.encode(pair)))?);
        }
        (AuthMethod::ClientSecretPost, Some(secret)) => {
            parameters.push(("client_id".to_owned(), auth.client_id.to_owned()));
            parameters.push(("client_secret".to_owned(), secret.clone()));
        }
        (AuthMethod::ClientSecretPost | AuthMethod::None, _) => {
            parameters.push(("client_id".to_owned(), auth.client_id.to_owned()));
        }
    }
    Some(())
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What providers say of a token that is dead already, where RFC 7009 §2.2 says 200.
const DEAD: [&str; 8] = [
    "invalid_token",
    "invalid_grant",
    "token_revoked",
    "token_expired",
    "invalid_refresh_token",
    "bad_refresh_token",
    "token_not_found",
    "account_inactive",
];

/// Error codes that are passed on (RFC 6749 §5.2, RFC 7009 §2.2.1).
const KNOWN: [&str; 5] =
    ["unsupported_token_type", "invalid_client", "invalid_request", "unauthorized_client", "access_denied"];

/// What an answer proves. A success is proof unless its body says otherwise (`error`, or `ok` false).
pub fn read(status: u16, body: &[u8]) -> Verdict {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error");
    let code = error.and_then(|error| {
        error.as_str().or_else(|| error.get("code").or_else(|| error.get("type")).and_then(Value::as_str))
    });
    let code = code.filter(|code| !code.is_empty());
    let says_no = code.is_some() || body.get("ok") == Some(&Value::Bool(false));
    match (status, code) {
        (200..=299, _) if !says_no => Verdict::Revoked,
        (408 | 425 | 429 | 500..=599, _) | (_, Some("temporarily_unavailable" | "server_error" | "ratelimited")) => {
            Verdict::Later
        }
        // Whether it is the token or our authentication that a 401 calls invalid, it does not say.
        (200..=299 | 400, Some(code)) if DEAD.contains(&code) => Verdict::Revoked,
        (_, Some(code)) if KNOWN.contains(&code) => {
            Verdict::Refused(KNOWN.into_iter().find(|known| *known == code).unwrap_or("other"))
        }
        (300..=399, _) => Verdict::Refused("redirected"),
        (401, _) => Verdict::Refused("unauthorized"),
        (403, _) => Verdict::Refused("forbidden"),
        (404, _) => Verdict::Refused("not_found"),
        (405, _) => Verdict::Refused("method_not_allowed"),
        _ => Verdict::Refused("other"),
    }
}

#[cfg(test)]
mod tests;
