//! What token endpoints really send, turned into what RFC 6749 §5 says. Pure.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::OAuthHttpError;
use super::expiry::{lifetime, seconds_until};
use super::extra::extra;
use crate::clock::Timestamp;
use crate::protocol::answer::{FORM, denies, is_of_type, is_ok, repeated_fields, repeated_members};
use crate::protocol::dialect::TokenResponseDialect;
use crate::protocol::dialect::lookup::find;
use crate::protocol::scope;

/// Longest `error` and `error_description` handed on, in characters.
const MAX_ERROR_CODE: usize = 100;
const MAX_ERROR_DESCRIPTION: usize = 500;
/// Longest token type, in bytes.
const MAX_TOKEN_TYPE: usize = 64;

/// The code of a refusal that the dialect's `ok` tells and that has no usable code of its own.
const REFUSED: &str = "refused";

/// An answer as it came, and how to read it.
pub(super) struct Wire<'a> {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
    pub(super) dialect: &'a TokenResponseDialect,
    /// Without it, an absolute end of a token cannot be understood.
    pub(super) now: Option<Timestamp>,
}

/// Presents an answer as a 200 with a token set (§5.1) or as an error status with an error code (§5.2).
///
/// # Errors
/// The answer is neither.
pub(super) fn to_rfc6749(wire: &Wire<'_>) -> Result<(StatusCode, Map<String, Value>), OAuthHttpError> {
    let Wire { status, content_type, body, dialect, .. } = *wire;
    let wire_status = status.as_u16();
    let answer = parse(content_type, body, dialect).ok_or(OAuthHttpError::NotJson { status: wire_status })?;

    Ok(if status.is_success() && !claims_error(&answer, dialect) {
        (StatusCode::OK, token_set(&answer, wire)?)
    } else {
        let error = error_answer(&answer, dialect).ok_or(OAuthHttpError::NoErrorCode { status: wire_status })?;
        (if status.is_success() { StatusCode::BAD_REQUEST } else { status }, error)
    })
}

/// The texts that stand where the dialect has the tokens, whatever else the answer is, for a record to leave them out.
pub(super) fn tokens_of(content_type: Option<&str>, body: &[u8], dialect: &TokenResponseDialect) -> Vec<String> {
    let Some(answer) = parse_once(content_type, body, dialect) else { return Vec::new() };
    let root = dialect.root.as_deref().and_then(|root| find(&answer, root));
    let places = [dialect.access_token.as_deref(), dialect.refresh_token.as_deref()].into_iter().flatten();
    let places: Vec<&str> = places.chain(["access_token", "refresh_token", "id_token"]).collect();
    let mut texts = Vec::new();
    for place in places {
        // The whole answer is a token only where it is no object.
        let found = root.into_iter().chain([&answer]).filter_map(|inside| find(inside, place));
        found.filter(|found| !(found.is_object() && place == "/")).for_each(|found| collect(found, &mut texts));
    }
    texts
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        Value::Object(members) => members.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// What may not be there twice: readers differ in which of the two they believe.
fn is_ambiguous(repeated: &BTreeSet<String>, dialect: &TokenResponseDialect) -> bool {
    let places = [&dialect.access_token, &dialect.refresh_token, &dialect.error, &dialect.ok];
    let own = places.into_iter().flatten().flat_map(|place| place.split(['|', '/', '.', '=']).map(str::trim));
    ["access_token", "refresh_token", "error"].into_iter().chain(own).any(|name| repeated.contains(name))
}

/// As [`parse_once`]; nothing when a member that matters is there twice.
fn parse(content_type: Option<&str>, body: &[u8], dialect: &TokenResponseDialect) -> Option<Value> {
    let answer = parse_once(content_type, body, dialect)?;
    let body = without_mark(body);
    let mut repeated = repeated_members(body);
    if is_form(content_type) && repeated.is_empty() {
        repeated = repeated_fields(body);
    }
    (!is_ambiguous(&repeated, dialect)).then_some(answer)
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)
}

fn is_form(content_type: Option<&str>) -> bool {
    [FORM, "text/plain"].iter().any(|form| is_of_type(content_type, form))
}

/// A JSON object whatever its declared type, or a form where the type allows one. A list or a text only where the dialect
/// knows a place in it.
fn parse_once(content_type: Option<&str>, body: &[u8], dialect: &TokenResponseDialect) -> Option<Value> {
    let body = without_mark(body);
    let is_text = is_of_type(content_type, "text/plain");
    let text_is_token = is_text && dialect.access_token.as_deref() == Some("/");
    if text_is_token && !body.trim_ascii_start().starts_with(b"{") && !body.trim_ascii_start().starts_with(b"\"") {
        // Digits are a token, too, and no number.
        return std::str::from_utf8(body).ok().map(|text| text.trim().into());
    }
    if let Ok(answer) = serde_json::from_slice::<Value>(body) {
        let has_place = answer.is_object()
            || [&dialect.root, &dialect.access_token].iter().any(|place| {
                place.as_deref().is_some_and(|place| place.starts_with('/') && find(&answer, place).is_some())
            });
        return has_place.then_some(answer);
    }
    let form = form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect::<Map<_, _>>();
    let form = Value::Object(form);
    let has = |place: Option<&str>, name| find(&form, place.unwrap_or(name)).is_some();
    let is_answer = has(dialect.access_token.as_deref(), "access_token") || has(dialect.error.as_deref(), "error");
    (is_form(content_type) && is_answer).then_some(form)
}

/// Whether a success is none: some providers send errors with status 200, others an empty `error` beside a token. Where
/// the dialect has an `ok`, that alone decides.
fn claims_error(answer: &Value, dialect: &TokenResponseDialect) -> bool {
    if let Some(ok) = &dialect.ok {
        return !is_ok(answer, ok);
    }
    denies(answer, dialect.error.as_deref())
}

/// The error answer of §5.2, also when `error` is an object; nothing without a usable code.
fn error_answer(answer: &Value, dialect: &TokenResponseDialect) -> Option<Map<String, Value>> {
    let said = find(answer, dialect.error.as_deref().unwrap_or("error"));
    let description = find(answer, dialect.error_description.as_deref().unwrap_or("error_description"));
    let description = description.and_then(Value::as_str).filter(|text| !text.is_empty());
    let meaning = |code: &str| dialect.error_codes.get(code).cloned();
    let (code, inner) = match said {
        Some(Value::String(code)) => (meaning(code).or_else(|| Some(code.clone())), None),
        Some(Value::Object(error)) => {
            let names = ["error", "type", "status", "code"];
            let listed = names.iter().find_map(|name| meaning(&scalar(error.get(*name)?)?));
            let code = listed.or_else(|| string(error, &names).map(str::to_owned));
            (code, string(error, &["message", "error_description"]))
        }
        // A number is a code where the dialect says that it is.
        Some(Value::Number(number)) => {
            let number = number.to_string();
            (meaning(&number).or_else(|| dialect.error.is_some().then_some(number)), None)
        }
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
fn token_set(answer: &Value, wire: &Wire<'_>) -> Result<Map<String, Value>, OAuthHttpError> {
    let Wire { status, dialect, now, .. } = *wire;
    let no_token = OAuthHttpError::NoAccessToken { status: status.as_u16() };
    let root = dialect.root.as_deref().map_or(Some(answer), |root| find(answer, root)).ok_or(no_token)?;
    let member = |place: &Option<String>, name| find(root, place.as_deref().unwrap_or(name));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);

    // An empty refresh token means none: the old one stays valid (§6).
    let refresh_token = member(&dialect.refresh_token, "refresh_token");
    let sound = match refresh_token {
        Some(Value::String(token)) => check_token(token),
        Some(_) => Err(OAuthHttpError::UnsafeToken),
        None => Ok(()),
    };
    let refresh_token = refresh_token.and_then(scalar).filter(|token| !token.is_empty());
    let access_token = text(member(&dialect.access_token, "access_token")).ok_or(no_token);
    let access_token = access_token.and_then(|token| check_token(&token).and(sound).map(|()| token));
    // An answer without a token that can be used replaces nothing: what is stored stays, and serves while it lives.
    let access_token = access_token?;
    let id_token = text(find(root, "id_token"));
    let tokens = [Some(&access_token), refresh_token.as_ref(), id_token.as_ref()];
    let tokens: Vec<&str> =
        tokens.into_iter().flatten().map(String::as_str).filter(|token| !token.is_empty()).collect();

    let mut set = extra(answer, &tokens);
    let until = dialect.expires_at.as_deref().and_then(|place| seconds_until(find(root, place)?, now?));
    let expires_in = until.or_else(|| lifetime(member(&dialect.expires_in, "expires_in")?, dialect.expires_in_unit));
    let scope = member(&dialect.scope, "scope").map(|value| scope_text(value, dialect.scope_separator.as_deref()));
    let token_type = member(&dialect.token_type, "token_type").and_then(Value::as_str).and_then(type_name);
    let token_type = token_type.unwrap_or("bearer");
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

/// A text, or a number as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The type of a token: the first word, if it is a token of RFC 9110 §5.6.2. Anything else says nothing, and means bearer.
fn type_name(text: &str) -> Option<&str> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_whitespace().next().filter(|word| word.len() <= MAX_TOKEN_TYPE && word.chars().all(is_token))
}

fn check_token(token: &str) -> Result<(), OAuthHttpError> {
    if token.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(OAuthHttpError::UnsafeToken) }
}

/// §3.3: the scopes with a space between them, also when sent as a list; what cannot be read grants nothing. Where the dialect gives a separator, nothing else
/// separates. A character no scope may have becomes `?`: the scope then differs visibly from what was requested, and
/// reaches neither a log nor a header as it was.
fn scope_text(value: &Value, separator: Option<&str>) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(separator.unwrap_or(" ")),
        _ => return String::new(),
    };
    let visible = |text: &str, also: char| -> String {
        let stays = |c: char| c == also || (c.is_ascii_graphic() && c != '"' && c != '\\');
        text.chars().map(|c| if stays(c) { c } else { '?' }).collect()
    };
    match separator {
        None => scope::parse(&visible(&text, ' ')).join(" "),
        Some(separator) => {
            let scopes = text.split(separator).map(str::trim).filter(|scope| !scope.is_empty());
            scopes.map(|scope| visible(scope, '?')).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests;
