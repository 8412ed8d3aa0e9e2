//! The protected resources: a small API and the UserInfo endpoint (RFC 6750, OpenID Connect Core §5.3).

use axum::Json;
use axum::extract::State as Shared;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::Sandbox;
use crate::id_token::subject;
use crate::log::Facts;
use crate::oauth_error::no_store;
use crate::state::{AccessToken, Grant};

/// Why a protected resource is refused (RFC 6750 §3.1).
enum Refusal {
    /// No bearer token at all: the answer names no error (§3.1).
    NoToken,
    InvalidToken,
    InsufficientScope,
}

/// `GET /api/me`: who the access token speaks for.
pub(crate) async fn me(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    protected(&sandbox, &headers, |token, grant| {
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

/// `/userinfo`: claims about the person, for access tokens with `openid`.
pub(crate) async fn userinfo(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    protected(&sandbox, &headers, |token, grant| {
        let granted = |scope: &str| token.scopes.iter().any(|held| held == scope);
        let user = grant.user.as_deref().filter(|_| granted("openid")).ok_or(Refusal::InsufficientScope)?;
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
    })
}

/// Any other path under `/api`: protected as well, and not there.
pub(crate) async fn unknown(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap) -> Response {
    protected(&sandbox, &headers, |_, _| Ok((StatusCode::NOT_FOUND, json!({ "error": "not_found" }))))
}

/// Answers a request that must carry a valid access token.
fn protected(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    answer: impl FnOnce(&AccessToken, &Grant) -> Result<(StatusCode, Value), Refusal>,
) -> Response {
    let mut facts = Facts::default();
    let outcome = bearer_token(headers).and_then(|value| {
        sandbox.read(|state| {
            let (token, grant) = state.find_access_token(value, state.now()).ok_or(Refusal::InvalidToken)?;
            facts.client_id = Some(grant.client_id.clone());
            answer(token, grant)
        })
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
            Refusal::InvalidToken => Some("invalid_token"),
            Refusal::InsufficientScope => Some("insufficient_scope"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, challenge) = match self {
            Refusal::NoToken => (StatusCode::UNAUTHORIZED, "Bearer realm=\"sandbox\""),
            Refusal::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                "Bearer realm=\"sandbox\", error=\"invalid_token\", \
                 error_description=\"the access token is unknown, expired or revoked\"",
            ),
            Refusal::InsufficientScope => {
                (StatusCode::FORBIDDEN, "Bearer realm=\"sandbox\", error=\"insufficient_scope\", scope=\"openid\"")
            }
        };
        let body = Json(json!({ "error": self.code().unwrap_or("unauthorized") }));
        no_store((status, [(WWW_AUTHENTICATE, challenge)], body))
    }
}
