//! What an answer says beyond RFC 6749, kept without its tokens.

use serde_json::{Map, Value};

/// Members that are read on their own, at the top of an answer.
const READ: [&str; 9] = [
    "access_token",
    "error",
    "error_description",
    "error_uri",
    "expires_in",
    "id_token",
    "refresh_token",
    "scope",
    "token_type",
];

/// Most bytes kept, as JSON.
const MAX_BYTES: usize = 16 * 1024;

/// Everything else of the whole answer, without any member that is a token by its name or its value, at any depth. Above
/// 16 kB the largest members go first.
pub(super) fn extra(answer: &Value, tokens: &[&str]) -> Map<String, Value> {
    let Value::Object(members) = answer else { return Map::new() };
    let mut kept: Map<String, Value> = members
        .iter()
        .filter(|(name, _)| !READ.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.clone(), without_tokens(name, value, tokens)?)))
        .collect();
    let mut sizes: Vec<(usize, String)> =
        kept.iter().map(|(name, value)| (name.len() + value.to_string().len() + 4, name.clone())).collect();
    sizes.sort();
    let mut total: usize = sizes.iter().map(|(size, _)| size).sum();
    while let (true, Some((size, name))) = (total > MAX_BYTES, sizes.pop()) {
        kept.remove(&name);
        total -= size;
    }
    kept
}

fn without_tokens(name: &str, value: &Value, tokens: &[&str]) -> Option<Value> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    // Names such as `token`, `userToken`, `refresh-token`, `client_secret`; not `tokenType` or `refresh_token_expires_in`.
    let telling = ["token", "tokens", "secret", "password"].iter().any(|end| plain.ends_with(end));
    match value {
        Value::String(_) | Value::Array(_) | Value::Object(_) if telling => None,
        Value::String(text) if tokens.iter().any(|token| is_or_holds(text, token)) => None,
        Value::Array(list) => {
            Some(Value::Array(list.iter().filter_map(|value| without_tokens("", value, tokens)).collect()))
        }
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Some(Value::Object(
                members
                    .filter_map(|(name, value)| Some((name.clone(), without_tokens(name, value, tokens)?)))
                    .collect(),
            ))
        }
        Value::Null => None,
        Value::String(_) | Value::Number(_) | Value::Bool(_) => Some(value.clone()),
    }
}

/// A short token is found inside anything, so it only counts when it is the whole text.
fn is_or_holds(text: &str, token: &str) -> bool {
    text == token || (token.len() >= 8 && text.contains(token))
}
