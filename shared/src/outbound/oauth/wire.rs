//! What token endpoints really send, turned into what RFC 6749 §5 says. Pure.

use http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::OAuthHttpError;

/// Longest `error` and `error_description` handed on, in characters.
const MAX_ERROR_CODE: usize = 100;
const MAX_ERROR_DESCRIPTION: usize = 500;

/// Presents an answer as a 200 with a token set (§5.1) or as an error status with an error code (§5.2), both as JSON.
///
/// # Errors
/// The answer is neither.
pub(super) fn to_rfc6749(
    status: StatusCode,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<(StatusCode, Vec<u8>), OAuthHttpError> {
    let wire_status = status.as_u16();
    let not_json = OAuthHttpError::NotJson { status: wire_status };
    let mut answer = parse(content_type, body).ok_or(not_json)?;
    // An explicit null says the same as an absent member.
    answer.retain(|_, value| !value.is_null());

    let (status, answer) = if status.is_success() && !claims_error(&answer) {
        repair_token_set(&mut answer, wire_status)?;
        (StatusCode::OK, answer)
    } else {
        let error = error_answer(&answer).ok_or(OAuthHttpError::NoErrorCode { status: wire_status })?;
        (if status.is_success() { StatusCode::BAD_REQUEST } else { status }, error)
    };
    serde_json::to_vec(&answer).map(|body| (status, body)).map_err(|_| not_json)
}

/// A JSON object whatever its declared type, or a form where the type allows one.
fn parse(content_type: Option<&str>, body: &[u8]) -> Option<Map<String, Value>> {
    if let Ok(answer) = serde_json::from_slice(body) {
        return Some(answer);
    }
    let media_type = content_type?.split(';').next()?.trim();
    let may_be_form =
        ["application/x-www-form-urlencoded", "text/plain"].iter().any(|t| media_type.eq_ignore_ascii_case(t));
    let form: Map<_, _> = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    (may_be_form && (form.contains_key("access_token") || form.contains_key("error"))).then_some(form)
}

/// Whether a success is none: some providers send errors with status 200, others an empty `error` beside a token.
fn claims_error(answer: &Map<String, Value>) -> bool {
    match answer.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(code)) => !code.is_empty(),
        Some(Value::Number(number)) => number.as_i64() != Some(0),
        Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => true,
    }
}

/// The error answer of §5.2, also when `error` is an object; nothing without a usable code.
fn error_answer(answer: &Map<String, Value>) -> Option<Map<String, Value>> {
    let (code, description) = match answer.get("error")? {
        Value::String(code) => (code.as_str(), string(answer, &["error_description"])),
        Value::Object(error) => {
            (string(error, &["error", "type", "status", "code"])?, string(error, &["message", "error_description"]))
        }
        _ => return None,
    };
    // §5.2: %x20-21 / %x23-5B / %x5D-7E
    let is_code = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    if code.is_empty() || code.len() > MAX_ERROR_CODE || !code.chars().all(is_code) {
        return None;
    }
    let mut error = Map::new();
    error.insert("error".to_owned(), code.into());
    if let Some(description) = description {
        let printable = description.chars().map(|c| if c.is_control() { ' ' } else { c });
        error.insert("error_description".to_owned(), printable.take(MAX_ERROR_DESCRIPTION).collect::<String>().into());
    }
    Some(error)
}

/// Makes a success keep to §5.1, member by member.
fn repair_token_set(answer: &mut Map<String, Value>, status: u16) -> Result<(), OAuthHttpError> {
    let access_token = string(answer, &["access_token"]).ok_or(OAuthHttpError::NoAccessToken { status })?;
    check_token(access_token)?;

    // An empty refresh token means none: the old one stays valid (§6).
    match answer.get("refresh_token") {
        Some(Value::String(token)) if token.is_empty() => drop(answer.remove("refresh_token")),
        Some(Value::String(token)) => check_token(token)?,
        Some(_) => return Err(OAuthHttpError::UnsafeToken),
        None => {}
    }
    if string(answer, &["token_type"]).is_none() {
        answer.insert("token_type".to_owned(), "bearer".into());
    }
    if let Some(expires_in) = answer.remove("expires_in").as_ref().and_then(whole_seconds) {
        answer.insert("expires_in".to_owned(), expires_in.into());
    }
    if let Some(scope) = answer.remove("scope").as_ref().and_then(scope_text) {
        answer.insert("scope".to_owned(), scope.into());
    }
    // A success carries no error; an empty one was said by way of form.
    answer.remove("error");
    Ok(())
}

/// The first of these members that is a string with something in it.
fn string<'v>(object: &'v Map<String, Value>, names: &[&str]) -> Option<&'v str> {
    names.iter().find_map(|name| object.get(*name)?.as_str().filter(|text| !text.is_empty()))
}

fn check_token(token: &str) -> Result<(), OAuthHttpError> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(OAuthHttpError::UnsafeToken) }
}

/// Seconds as a number, also when sent as text or with a fraction; nothing when negative or no number.
fn whole_seconds(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) if number.is_u64() => return number.as_u64(),
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.trim().parse() {
            Ok(seconds) => return Some(seconds),
            Err(_) => text.trim().parse().ok()?,
        },
        _ => return None,
    };
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

/// §3.3: scopes separated by spaces, also when sent as a list. A character no scope may have becomes `?`: the scope then
/// differs visibly from what was requested, and reaches neither a log nor a header as it was.
fn scope_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    Some(text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect())
}

#[cfg(test)]
mod tests;
