//! A token answer in the shape of its client.

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
        (
            "expires_at",
            expiry.zip(shape.expires_at).map(|(expiry, format)| expires_at(format, client.shown(expiry.at))),
        ),
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
    let (media_type, body) = encoded(shape, &answer);
    no_store(([(CONTENT_TYPE, media_type)], body))
}

/// An error answer: RFC 6749 §5.2 unless the client is set to something else.
pub(super) fn refusal(shape: &TokenResponseShape, error: OauthError) -> Response {
    if !shape.errors_in_200 && !shape.form_encoded {
        return error.into_response();
    }
    let status = if shape.errors_in_200 { StatusCode::OK } else { error.status };
    let (media_type, body) = error_body(shape, error.code, error.description);
    no_store((status, [(CONTENT_TYPE, media_type)], body))
}

/// The media type and the body of an error answer.
pub(crate) fn error_body(shape: &TokenResponseShape, code: &str, description: &str) -> (&'static str, String) {
    let mut body = json!({ "error": code, "error_description": description });
    if shape.errors_in_200 {
        place(&mut body, "/ok", json!(false));
    }
    encoded(shape, &body)
}

fn encoded(shape: &TokenResponseShape, answer: &Value) -> (&'static str, String) {
    if !shape.form_encoded {
        return ("application/json", answer.to_string());
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in answer.as_object().into_iter().flatten() {
        form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), String::from));
    }
    ("application/x-www-form-urlencoded", form.finish())
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
