//! A token answer in the shape of its client.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use crate::oauth_error::{OauthError, no_store};
use crate::settings::{ClientSettings, ExpiresAtFormat, ExpiresInFormat, TokenResponseShape};
use crate::state::Issued;

/// A successful answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
pub(super) fn tokens(client: &ClientSettings, issued: &Issued, id_token: Option<String>) -> Response {
    let shape = &client.token_response;
    let expiry = issued.expiry.filter(|_| !client.omit_expires_in);
    let members = [
        ("access_token", Some(json!(issued.access_token))),
        ("token_type", Some(json!("Bearer"))),
        ("expires_in", expiry.and_then(|expiry| expires_in(shape.expires_in_format, expiry.seconds))),
        ("expires_at", expiry.zip(shape.expires_at).map(|(expiry, format)| expires_at(format, expiry.at))),
        ("refresh_token", issued.refresh_token.as_ref().map(|token| json!(token))),
        ("scope", (!client.omit_scope).then(|| scope(shape, &issued.scopes))),
        ("id_token", id_token.map(|token| json!(token))),
    ];
    let mut answer = json!({});
    if shape.errors_in_200 {
        place(&mut answer, "/ok", json!(true));
    }
    for (name, value) in members {
        if let Some(value) = value {
            place(&mut answer, &pointer(shape, name), value);
        }
    }
    lay_over(&mut answer, &shape.extra);
    no_store(encoded(shape, answer))
}

/// An error answer: RFC 6749 §5.2 unless the client is set to something else.
pub(super) fn refusal(shape: &TokenResponseShape, error: OauthError) -> Response {
    let mut body = json!({ "error": error.code, "error_description": error.description });
    if shape.errors_in_200 {
        place(&mut body, "/ok", json!(false));
        return no_store(encoded(shape, body));
    }
    if shape.form_encoded {
        return no_store((error.status, encoded(shape, body)));
    }
    error.into_response()
}

fn encoded(shape: &TokenResponseShape, answer: Value) -> Response {
    if !shape.form_encoded {
        return Json(answer).into_response();
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in answer.as_object().into_iter().flatten() {
        form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), String::from));
    }
    (StatusCode::OK, [(CONTENT_TYPE, "application/x-www-form-urlencoded")], form.finish()).into_response()
}

fn expires_in(format: ExpiresInFormat, seconds: u32) -> Option<Value> {
    match format {
        ExpiresInFormat::Number => Some(json!(seconds)),
        ExpiresInFormat::String => Some(json!(seconds.to_string())),
        ExpiresInFormat::Milliseconds => Some(json!(u64::from(seconds) * 1000)),
        ExpiresInFormat::Float => Some(json!(f64::from(seconds))),
        ExpiresInFormat::Missing => None,
    }
}

fn expires_at(format: ExpiresAtFormat, at: i64) -> Value {
    match format {
        ExpiresAtFormat::Epoch => json!(at / 1000),
        ExpiresAtFormat::EpochMs => json!(at),
        ExpiresAtFormat::Iso => {
            let moment = DateTime::from_timestamp_millis(at).unwrap_or_default();
            json!(moment.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
    }
}

fn scope(shape: &TokenResponseShape, scopes: &[String]) -> Value {
    if shape.scope_as_list {
        json!(scopes)
    } else {
        json!(scopes.join(shape.scope_separator.as_deref().unwrap_or(" ")))
    }
}

/// Where a member stands, as a JSON Pointer (RFC 6901) from the top.
fn pointer(shape: &TokenResponseShape, standard: &str) -> String {
    match shape.names.get(standard) {
        Some(pointer) if pointer.starts_with('/') => pointer.clone(),
        Some(name) => format!("{}/{}", shape.root, name.replace('~', "~0").replace('/', "~1")),
        None => format!("{}/{standard}", shape.root),
    }
}

/// Puts a value where a pointer says, through objects that are made on the way.
fn place(answer: &mut Value, pointer: &str, value: Value) {
    let mut target = answer;
    for segment in pointer.split('/').skip(1) {
        if !target.is_object() {
            *target = json!({});
        }
        let Value::Object(members) = target else { return };
        target = members.entry(segment.replace("~1", "/").replace("~0", "~")).or_insert(Value::Null);
    }
    *target = value;
}

fn lay_over(answer: &mut Value, extra: &Map<String, Value>) {
    let Value::Object(members) = answer else { return };
    for (name, value) in extra {
        match (members.get_mut(name), value) {
            (Some(present @ Value::Object(_)), Value::Object(inner)) => lay_over(present, inner),
            _ => {
                members.insert(name.clone(), value.clone());
            }
        }
    }
}
