//! The protected resources: a small API and the UserInfo endpoint (RFC 6750, OpenID Connect Core §5.3).

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::Sandbox;
use crate::client_auth::is_one_of;
use crate::id_token::subject;
use crate::log::Facts;
use crate::oauth_error::no_store;
use crate::settings::is_scope_token;
use crate::state::{AccessToken, Grant, State};

/// Where the API looks for a key.
const KEY_HEADER: &str = "x-api-key";

/// Why a protected resource is refused (RFC 6750 §3.1).
enum Refusal {
    /// No access token at all: the answer names no error (§3.1).
    NoToken,
    InvalidToken,
    /// The token was not asked for with the audience it is shown to.
    OtherAudience,
    /// The scope it would take.
    InsufficientScope(String),
}

/// `GET /api/me`: who the access token speaks for.
pub(crate) async fn me(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    at_api(&sandbox, &headers, |token, grant| {
        Ok((
            StatusCode::OK,
            json!({
                "user": grant.user,
                "client_id": grant.client_id,
                "scopes": token.scopes,
                "grant_type": grant.grant_type,
            }),
        ))
    })
}

/// `/api/echo`: the request as it arrived.
pub(crate) async fn echo(Shared(sandbox): Shared<Sandbox>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    at_api(&sandbox, &headers, |_, _| {
        let mut arrived: Map<String, Value> = Map::new();
        for name in headers.keys() {
            let values: Vec<_> =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            arrived.insert(name.to_string(), json!(values.join(", ")));
        }
        let query = uri.query().unwrap_or_default();
        Ok((
            StatusCode::OK,
            json!({ "method": method.as_str(), "path": uri.path(), "query": query, "headers": arrived }),
        ))
    })
}

/// `GET /api/needs/{scope}`: for access tokens with that scope.
pub(crate) async fn needs(Shared(sandbox): Shared<Sandbox>, Path(scope): Path<String>, headers: HeaderMap) -> Response {
    at_api(&sandbox, &headers, |token, _| {
        if !is_scope_token(&scope) {
            return Ok((StatusCode::NOT_FOUND, json!({ "error": "not_found" })));
        }
        if !token.scopes.contains(&scope) {
            return Err(Refusal::InsufficientScope(scope));
        }
        Ok((StatusCode::OK, json!({ "scope": scope })))
    })
}

/// `GET /api/key`: for callers with a key instead of an access token.
pub(crate) async fn key(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    let mut facts = Facts::default();
    let given = headers.get(KEY_HEADER).and_then(|value| value.to_str().ok());
    facts.client_id = given.and_then(|given| {
        sandbox.read(|state| {
            let owner = state.clients.values().find(|client| is_one_of(client.api_keys.iter(), given));
            owner.map(|client| client.client_id.clone())
        })
    });
    let mut response = if facts.client_id.is_some() {
        no_store(Json(json!({ "client_id": facts.client_id })))
    } else {
        facts.error = Some("invalid_key");
        let challenge = [(WWW_AUTHENTICATE, "ApiKey realm=\"sandbox\"")];
        no_store((StatusCode::UNAUTHORIZED, challenge, Json(json!({ "error": "invalid_key" }))))
    };
    response.extensions_mut().insert(facts);
    response
}

/// `/userinfo`: claims about the person, for access tokens with `openid`. Standard clients read it, so the token is
/// always where RFC 6750 §2.1 says.
pub(crate) async fn userinfo(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    protected(
        &sandbox,
        |state| find_by_rfc(state, &headers),
        |token, grant| {
            let granted = |scope: &str| token.scopes.iter().any(|held| held == scope);
            let user = grant.user.as_deref().filter(|_| granted("openid"));
            let user = user.ok_or(Refusal::InsufficientScope("openid".to_owned()))?;
            let sub = subject(user);
            let mut claims = Map::new();
            if granted("profile") {
                claims.insert("name".to_owned(), json!(user));
                claims.insert("preferred_username".to_owned(), json!(user));
            }
            if granted("email") {
                claims.insert("email".to_owned(), json!(format!("{sub}@sandbox.example")));
                claims.insert("email_verified".to_owned(), json!(true));
            }
            claims.insert("sub".to_owned(), json!(sub));
            Ok((StatusCode::OK, Value::Object(claims)))
        },
    )
}

/// Any other path under `/api`: protected as well, and not there.
pub(crate) async fn unknown(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    at_api(&sandbox, &headers, |_, _| Ok((StatusCode::NOT_FOUND, json!({ "error": "not_found" }))))
}

type Found<'a> = Result<(&'a AccessToken, &'a Grant), Refusal>;

/// Answers a request to the API: the token is where its client's settings say, and for the audience they name.
fn at_api(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    answer: impl FnOnce(&AccessToken, &Grant) -> Result<(StatusCode, Value), Refusal>,
) -> Response {
    protected(sandbox, |state| find_by_settings(state, headers), answer)
}

/// Answers a request that must carry a valid access token.
fn protected(
    sandbox: &Sandbox,
    find: impl for<'a> FnOnce(&'a State) -> Found<'a>,
    answer: impl FnOnce(&AccessToken, &Grant) -> Result<(StatusCode, Value), Refusal>,
) -> Response {
    let mut facts = Facts::default();
    let outcome = sandbox.read(|state| {
        let (token, grant) = find(state)?;
        facts.client_id = Some(grant.client_id.clone());
        answer(token, grant)
    });
    let mut response = match outcome {
        Ok((status, body)) => no_store((status, Json(body))),
        Err(refusal) => {
            facts.error = refusal.code();
            refusal.into_response()
        }
    };
    response.extensions_mut().insert(facts);
    response
}

fn find_by_rfc<'a>(state: &'a State, headers: &HeaderMap) -> Found<'a> {
    state.find_access_token(bearer_token(headers)?, state.now()).ok_or(Refusal::InvalidToken)
}

fn find_by_settings<'a>(state: &'a State, headers: &HeaderMap) -> Found<'a> {
    let mut refusal = bearer_token(headers).err().unwrap_or(Refusal::InvalidToken);
    for client in state.clients.values() {
        let Some(value) = client.api_header.token(headers) else { continue };
        refusal = Refusal::InvalidToken;
        let found = state.find_access_token(value, state.now());
        if let Some((token, grant)) = found.filter(|(_, grant)| grant.client_id == client.client_id) {
            let fits = client.api_audience.as_ref().is_none_or(|audience| token.audiences.contains(audience));
            return if fits { Ok((token, grant)) } else { Err(Refusal::OtherAudience) };
        }
    }
    Err(refusal)
}

/// RFC 6750 §2.1. Tokens in the query or the body are not looked at.
fn bearer_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = headers.get(AUTHORIZATION).ok_or(Refusal::NoToken)?.to_str().map_err(|_| Refusal::InvalidToken)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refusal::NoToken)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(Refusal::NoToken) }
}

impl Refusal {
    fn code(&self) -> Option<&'static str> {
        match self {
            Refusal::NoToken => None,
            Refusal::InvalidToken | Refusal::OtherAudience => Some("invalid_token"),
            Refusal::InsufficientScope(_) => Some("insufficient_scope"),
        }
    }

    fn description(&self) -> Option<&'static str> {
        match self {
            Refusal::NoToken => None,
            Refusal::InvalidToken => Some("the access token is unknown, expired or revoked"),
            Refusal::OtherAudience => Some("the access token is for another audience"),
            Refusal::InsufficientScope(_) => Some("the access token lacks a scope"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut challenge = "Bearer realm=\"sandbox\"".to_owned();
        let mut body = json!({ "error": self.code().unwrap_or("unauthorized") });
        if let (Some(code), Some(description)) = (self.code(), self.description()) {
            challenge.push_str(&format!(", error=\"{code}\", error_description=\"{description}\""));
            body = json!({ "error": code, "error_description": description });
        }
        let status = match self {
            Refusal::InsufficientScope(scope) => {
                challenge.push_str(&format!(", scope=\"{scope}\""));
                StatusCode::FORBIDDEN
            }
            _ => StatusCode::UNAUTHORIZED,
        };
        no_store((status, [(WWW_AUTHENTICATE, challenge)], Json(body)))
    }
}
