//! What token endpoints really send, turned into what RFC 6749 §5 says. Pure.

use http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::OAuthHttpError;
use super::expiry::{lifetime, seconds_until};
use super::extra::extra;
use crate::clock::Timestamp;
use crate::protocol::dialect::TokenResponseDialect;
use crate::protocol::dialect::lookup::{condition, find};
use crate::protocol::scope;

/// Longest `error` and `error_description` handed on, in characters.
const MAX_ERROR_CODE: usize = 100;
const MAX_ERROR_DESCRIPTION: usize = 500;

/// The code of a refusal that the dialect's `ok` tells and that has no usable code of its own.
const REFUSED: &str = "refused";

/// Presents an answer as a 200 with a token set (§5.1) or as an error status with an error code (§5.2), both as JSON.
///
/// # Errors
/// The answer is neither.
pub(super) fn to_rfc6749(
    status: StatusCode,
    content_type: Option<&str>,
    body: &[u8],
    dialect: &TokenResponseDialect,
    now: Option<Timestamp>,
) -> Result<(StatusCode, Vec<u8>), OAuthHttpError> {
    let wire_status = status.as_u16();
    let not_json = OAuthHttpError::NotJson { status: wire_status };
    let answer = parse(content_type, body, dialect).ok_or(not_json)?;

    let (status, answer) = if status.is_success() && !claims_error(&answer, dialect) {
        (StatusCode::OK, token_set(&answer, wire_status, dialect, now)?)
    } else {
        let error = error_answer(&answer, dialect).ok_or(OAuthHttpError::NoErrorCode { status: wire_status })?;
        (if status.is_success() { StatusCode::BAD_REQUEST } else { status }, error)
    };
    serde_json::to_vec(&answer).map(|body| (status, body)).map_err(|_| not_json)
}

/// A JSON object whatever its declared type, or a form where the type allows one. A list or a text only where the dialect
/// knows a place in it.
fn parse(content_type: Option<&str>, body: &[u8], dialect: &TokenResponseDialect) -> Option<Value> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if let Ok(answer) = serde_json::from_slice::<Value>(body) {
        let has_place = answer.is_object()
            || [&dialect.root, &dialect.access_token].iter().any(|place| {
                place.as_deref().is_some_and(|place| place.starts_with('/') && find(&answer, place).is_some())
            });
        return has_place.then_some(answer);
    }
    let media_type = content_type?.split(';').next()?.trim();
    let is_text = media_type.eq_ignore_ascii_case("text/plain");
    if is_text && dialect.access_token.as_deref() == Some("/") {
        return std::str::from_utf8(body).ok().map(|text| text.trim().into());
    }
    let may_be_form = is_text || media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let form = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect::<Map<_, _>>();
    let form = Value::Object(form);
    let has = |place: Option<&str>, name| find(&form, place.unwrap_or(name)).is_some();
    let is_answer = has(dialect.access_token.as_deref(), "access_token") || has(dialect.error.as_deref(), "error");
    (may_be_form && is_answer).then_some(form)
}

/// Whether a success is none: some providers send errors with status 200, others an empty `error` beside a token. Where
/// the dialect has an `ok`, that alone decides.
fn claims_error(answer: &Value, dialect: &TokenResponseDialect) -> bool {
    if let Some(ok) = &dialect.ok {
        return !is_ok(answer, ok);
    }
    if dialect.error.is_none() && answer.get("ok") == Some(&Value::Bool(false)) {
        return true;
    }
    match find(answer, dialect.error.as_deref().unwrap_or("error")) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(code)) => !code.is_empty(),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)) => true,
    }
}

fn is_ok(answer: &Value, ok: &str) -> bool {
    let (place, wanted) = condition(ok);
    match (find(answer, place), wanted) {
        (Some(Value::String(text)), Some(wanted)) => text == wanted,
        (Some(value), Some(wanted)) => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| *value == wanted),
        (None, _) | (Some(Value::Bool(false) | Value::Null), None) => false,
        (Some(Value::String(text)), None) => !["", "0", "false"].contains(&text.as_str()),
        (Some(Value::Number(number)), None) => number.as_f64() != Some(0.0),
        (Some(Value::Bool(true) | Value::Array(_) | Value::Object(_)), None) => true,
    }
}

/// The error answer of §5.2, also when `error` is an object; nothing without a usable code.
fn error_answer(answer: &Value, dialect: &TokenResponseDialect) -> Option<Map<String, Value>> {
    let said = find(answer, dialect.error.as_deref().unwrap_or("error"));
    let description = find(answer, dialect.error_description.as_deref().unwrap_or("error_description"));
    let description = description.and_then(Value::as_str).filter(|text| !text.is_empty());
    let (code, inner) = match said {
        Some(Value::String(code)) => (Some(code.clone()), None),
        Some(Value::Object(error)) => (
            string(error, &["error", "type", "status", "code"]).map(str::to_owned),
            string(error, &["message", "error_description"]),
        ),
        // A number is a code where the dialect says that it is.
        Some(Value::Number(number)) if dialect.error.is_some() => (Some(number.to_string()), None),
        _ => (None, None),
    };
    // §5.2: %x20-21 / %x23-5B / %x5D-7E
    let is_code = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    let usable = |code: &String| !code.is_empty() && code.len() <= MAX_ERROR_CODE && code.chars().all(is_code);
    let refused = dialect.ok.as_deref().is_some_and(|ok| !is_ok(answer, ok));
    let code = code.filter(usable).or_else(|| refused.then(|| REFUSED.to_owned()))?;
    let mut error = Map::from_iter([("error".to_owned(), code.into())]);
    if let Some(description) = description.or(inner) {
        let printable = description.chars().map(|c| if c.is_control() { ' ' } else { c });
        error.insert("error_description".to_owned(), printable.take(MAX_ERROR_DESCRIPTION).collect::<String>().into());
    }
    Some(error)
}

/// A success in the words of §5.1, with what else it says.
fn token_set(
    answer: &Value,
    status: u16,
    dialect: &TokenResponseDialect,
    now: Option<Timestamp>,
) -> Result<Map<String, Value>, OAuthHttpError> {
    let no_token = OAuthHttpError::NoAccessToken { status };
    let root = dialect.root.as_deref().map_or(Some(answer), |root| find(answer, root)).ok_or(no_token)?;
    let member = |place: &Option<String>, name| find(root, place.as_deref().unwrap_or(name));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);

    let access_token = text(member(&dialect.access_token, "access_token")).ok_or(no_token)?;
    check_token(&access_token)?;
    // An empty refresh token means none: the old one stays valid (§6).
    let refresh_token = match member(&dialect.refresh_token, "refresh_token") {
        Some(Value::String(token)) => {
            check_token(token)?;
            Some(token.clone()).filter(|token| !token.is_empty())
        }
        Some(_) => return Err(OAuthHttpError::UnsafeToken),
        None => None,
    };
    let id_token = text(find(root, "id_token"));
    let tokens = [Some(&access_token), refresh_token.as_ref(), id_token.as_ref()];
    let tokens: Vec<&str> = tokens.into_iter().flatten().map(String::as_str).collect();

    let mut set = extra(answer, &tokens);
    let until = dialect.expires_at.as_deref().and_then(|place| seconds_until(find(root, place)?, now?));
    let expires_in = until.or_else(|| lifetime(member(&dialect.expires_in, "expires_in")?, dialect.expires_in_unit));
    let scope = member(&dialect.scope, "scope").and_then(|value| scope_text(value, dialect.scope_separator.as_deref()));
    let token_type = text(member(&dialect.token_type, "token_type")).unwrap_or_else(|| "bearer".to_owned());
    let members = [
        ("access_token", Some(Value::from(access_token))),
        ("token_type", Some(token_type.into())),
        ("refresh_token", refresh_token.map(Value::from)),
        ("id_token", id_token.map(Value::from)),
        ("expires_in", expires_in.map(Value::from)),
        ("scope", scope.map(Value::from)),
    ];
    set.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(set)
}

/// The first of these members that is a string with something in it.
fn string<'v>(object: &'v Map<String, Value>, names: &[&str]) -> Option<&'v str> {
    names.iter().find_map(|name| object.get(*name)?.as_str().filter(|text| !text.is_empty()))
}

fn check_token(token: &str) -> Result<(), OAuthHttpError> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(OAuthHttpError::UnsafeToken) }
}

/// §3.3: the scopes with a space between them, also when sent as a list. Where the dialect gives a separator, nothing else
/// separates. A character no scope may have becomes `?`: the scope then differs visibly from what was requested, and
/// reaches neither a log nor a header as it was.
fn scope_text(value: &Value, separator: Option<&str>) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(separator.unwrap_or(" ")),
        _ => return None,
    };
    let visible = |text: &str, also: char| -> String {
        text.chars().map(|c| if c.is_ascii_graphic() || c == also { c } else { '?' }).collect()
    };
    Some(match separator {
        None => scope::parse(&visible(&text, ' ')).join(" "),
        Some(separator) => {
            let scopes = text.split(separator).map(str::trim).filter(|scope| !scope.is_empty());
            scopes.map(|scope| visible(scope, '?')).collect::<Vec<_>>().join(" ")
        }
    })
}

#[cfg(test)]
mod tests;
