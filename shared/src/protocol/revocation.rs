//! Token revocation (RFC 7009).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{self, byte_serialize};

use super::advice::meaning;
use super::answer::{FORM, denies, is_of_type, is_page};
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

/// How the API of the provider is called, for those that take a revocation as such a call.
#[derive(Clone, Copy)]
pub struct ApiCall<'a> {
    /// The header that carries the access token.
    pub header: &'a str,
    /// What stands before it; empty for nothing.
    pub prefix: &'a str,
    /// The access token of the grant; without one, the token that is revoked takes its place.
    pub access_token: Option<&'a Secret<String>>,
}

/// What the answer to a revocation request proves (RFC 7009 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The token is dead, now or before.
    Revoked,
    /// The token must be taken for alive: ask again later. The code says why, where the answer did.
    Later(Option<&'static str>),
    /// Asking again will not help: the server does not revoke tokens of this kind (§2.2.1). The code says so.
    Refused(&'static str),
}

/// The request that revokes `token`, a `hint` (`refresh_token` or `access_token`, §2.1). Where the dialect says `bearer`
/// it is authenticated as a call of the `api`.
///
/// Nothing comes of an address that is no URL or of a dialect that no check has passed.
pub fn request(
    endpoint: &str,
    token: &Secret<String>,
    hint: &str,
    auth: ClientAuth<'_>,
    dialect: &RevocationDialect,
    api: ApiCall<'_>,
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
            let token = api.access_token.unwrap_or(token).expose();
            let value = if api.prefix.is_empty() { token.clone() } else { format!("{} {token}", api.prefix) };
            headers.insert(HeaderName::from_bytes(api.header.as_bytes()).ok()?, sensitive(&value)?);
        }
    }
    // A header or text of the dialect may name them wherever they are sent.
    let secret = auth.client_secret.map(|secret| ("client_secret".to_owned(), secret.expose().clone()));
    let elsewhere: Vec<_> = [("client_id".to_owned(), auth.client_id.to_owned())].into_iter().chain(secret).collect();
    encode(&dialect.shape(), &url, &parameters, &elsewhere, headers)
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

/// Error codes that are passed on (RFC 6749 §5.2).
const KNOWN: [&str; 4] = ["invalid_client", "invalid_request", "unauthorized_client", "access_denied"];

/// What an answer proves. A success is proof unless its body says otherwise (`error`, or `ok` false) or is a web page.
/// Only a server that cannot revoke such a token at all is believed that it never will: everything else may be mended.
pub fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> Verdict {
    let answer = said(content_type, body);
    let error = answer.get("error");
    let code = error.and_then(|error| {
        error.as_str().or_else(|| error.get("code").or_else(|| error.get("type")).and_then(Value::as_str))
    });
    let code = code.filter(|code| !code.is_empty());
    match (status, code) {
        (200..=299, _) if is_page(content_type, body) => Verdict::Later(Some("not_an_answer")),
        (200..=299, _) if !denies(&answer, None) => Verdict::Revoked,
        (408 | 425 | 429 | 500..=599, _) | (_, Some("temporarily_unavailable" | "server_error" | "ratelimited")) => {
            Verdict::Later(None)
        }
        // Whether it is the token or our authentication that a 401 calls invalid, it does not say.
        (200..=299 | 400, Some(code)) if DEAD.contains(&code) => Verdict::Revoked,
        (_, Some("unsupported_token_type")) => Verdict::Refused("unsupported_token_type"),
        (401, Some(code)) if meaning(code) == "invalid_client" => Verdict::Later(Some("invalid_client")),
        (401, _) => Verdict::Later(Some("unauthorized")),
        (_, Some(code)) => Verdict::Later(KNOWN.into_iter().find(|known| *known == meaning(code)).or(Some("other"))),
        (300..=399, _) => Verdict::Later(Some("redirected")),
        (403, _) => Verdict::Later(Some("forbidden")),
        (404 | 410, _) => Verdict::Later(Some("not_found")),
        (405, _) => Verdict::Later(Some("method_not_allowed")),
        _ => Verdict::Later(Some("other")),
    }
}

/// The members of an answer in JSON, or in a form where the type allows one.
fn said(content_type: Option<&str>, body: &[u8]) -> Value {
    if let Ok(answer) = serde_json::from_slice(body) {
        return answer;
    }
    let form = [FORM, "text/plain"].iter().any(|form| is_of_type(content_type, form));
    let members = form_urlencoded::parse(body).filter(|_| form);
    members.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests;
