//! Answers of the token endpoint in the provider's shape.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::facts::{Source, Unit};
use super::place::{put, put_ok, slot};
use super::{Complaint, Endpoint, Posed};
use crate::Sandbox;
use crate::oauth_error::no_store;

/// A success: the members of RFC 6749 §5.1 where the provider has them, and what the entry's variables find there.
pub(super) fn tokens(sandbox: &Sandbox, posed: &Posed, members: &Map<String, Value>) -> Response {
    let facts = &posed.entry.token_response;
    let mut answer = Value::Null;
    if let Some(ok) = &facts.ok {
        put_ok(&mut answer, ok, true);
    }
    if let Some(root) = slot(&mut answer, facts.root.as_deref().unwrap_or("/")) {
        for (name, place, value) in told(sandbox, posed, members) {
            put(root, place.unwrap_or(name), value);
        }
    }
    for variable in posed.entry.variables.iter().filter(|variable| variable.source == Source::Token) {
        if let (Some(from), Some(value)) = (&variable.from, posed.known.brought(&variable.key).first()) {
            put(&mut answer, from, value.clone());
        }
    }
    match answer {
        // The token alone, as a text.
        Value::String(token) => no_store(([(CONTENT_TYPE, "text/plain")], token)),
        answer => no_store(Json(answer)),
    }
}

type Member<'p> = (&'static str, Option<&'p str>, Value);

fn told<'p>(sandbox: &Sandbox, posed: &'p Posed, members: &Map<String, Value>) -> Vec<Member<'p>> {
    let facts = &posed.entry.token_response;
    let mut told = Vec::new();
    let mut tell = |name: &'static str, place: &'p Option<String>, value: Option<Value>| {
        told.extend(value.map(|value| (name, place.as_deref(), value)));
    };
    let given = |name: &str| members.get(name).cloned();
    let whole = facts.access_token.as_deref() == Some("/");
    tell("access_token", &facts.access_token, given("access_token"));
    if whole {
        return told;
    }
    let scopes: Vec<String> = given("scope")
        .and_then(|scope| Some(scope.as_str()?.split(' ').map(str::to_owned).collect()))
        .unwrap_or_default();
    let is_refreshable = posed.entry.refresh.scope.as_ref().is_none_or(|scope| scopes.contains(scope));
    if is_refreshable && !posed.entry.renews_itself() {
        tell("refresh_token", &facts.refresh_token, given("refresh_token"));
    }
    tell("token_type", &facts.token_type, given("token_type"));
    tell("id_token", &None, given("id_token").map(|token| id_token(sandbox, posed, token)));
    if !posed.scopes.is_empty() {
        tell("scope", &facts.scope, Some(scope(posed, &scopes)));
    }
    let seconds = given("expires_in").and_then(|seconds| seconds.as_i64()).filter(|_| posed.tells_lifetime());
    if let Some(seconds) = seconds {
        if facts.expires_at.is_some() {
            tell("expires_at", &facts.expires_at, Some(date(sandbox, posed, seconds)));
        }
        if facts.expires_at.is_none() || facts.expires_in.is_some() {
            let unit = if facts.expires_in_unit == Some(Unit::Milliseconds) { 1000 } else { 1 };
            tell("expires_in", &facts.expires_in, Some(json!(seconds.saturating_mul(unit))));
        }
    }
    told
}

/// A list where the place is one of a list's items, else a text.
fn scope(posed: &Posed, scopes: &[String]) -> Value {
    let facts = &posed.entry.token_response;
    let last = facts.scope.as_deref().and_then(|place| place.rsplit(['/', '.']).next()).unwrap_or_default();
    if last == "scopes" { json!(scopes) } else { json!(scopes.join(facts.scope_separator.as_deref().unwrap_or(" "))) }
}

fn date(sandbox: &Sandbox, posed: &Posed, seconds: i64) -> Value {
    let now = sandbox.read(|state| {
        let client = state.clients.get(&posed.settings.client_id);
        client.map_or(state.now(), |client| client.shown(state.now()))
    });
    let end = DateTime::from_timestamp_millis(now.saturating_add(seconds.saturating_mul(1000))).unwrap_or_default();
    json!(end.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Issued by the provider, where the entry says who that is.
fn id_token(sandbox: &Sandbox, posed: &Posed, token: Value) -> Value {
    let issuer = super::metadata::issuer(posed);
    let reissued =
        issuer.zip(token.as_str()).and_then(|(issuer, token)| sandbox.0.signing_key.reissued(token, &issuer).ok());
    reissued.map_or(token, Value::from)
}

/// A refusal by the sandbox itself, as the provider would put it.
pub(super) fn passed_on(
    posed: &Posed,
    endpoint: Endpoint,
    status: StatusCode,
    members: &Map<String, Value>,
) -> Response {
    let member = |name: &str| members.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let (code, description) = (member("error"), member("error_description"));
    posed.complain(endpoint, &format!("{code}: {description}"));
    error(posed, status, code, description)
}

/// A refusal of a request that is not as the entry says.
pub(super) fn refusal(posed: &Posed, complaint: &Complaint) -> Response {
    error(posed, StatusCode::BAD_REQUEST, complaint.code, &complaint.reason)
}

/// RFC 6749 §5.2 in the provider's places and codes, with status 200 where an `ok` tells success from failure.
fn error(posed: &Posed, status: StatusCode, code: &str, description: &str) -> Response {
    let facts = &posed.entry.token_response;
    let mut answer = Value::Null;
    if let Some(ok) = &facts.ok {
        put_ok(&mut answer, ok, false);
    }
    let own = facts.error_codes.iter().find(|(_, meaning)| *meaning == code).map_or(code, |(own, _)| own.as_str());
    let own = own.parse::<i64>().map_or_else(|_| json!(own), |number| json!(number));
    put(&mut answer, facts.error.as_deref().unwrap_or("error"), own);
    put(&mut answer, facts.error_description.as_deref().unwrap_or("error_description"), json!(description));
    let status = if facts.ok.is_some() { StatusCode::OK } else { status };
    no_store((status, Json(answer)).into_response())
}
