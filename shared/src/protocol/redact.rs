//! Takes the secrets out of what a provider said, so that it can be shown and kept.

use chrono::DateTime;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::dialect::REDACTED;

/// Shortest secret that is looked for inside other text: anything shorter is found everywhere.
pub(crate) const MIN_SECRET: usize = 4;
/// Longest text kept, in characters.
const MAX_TEXT: usize = 200;
/// Most elements of a list and members of an object kept, and how deep they go.
const MAX_ELEMENTS: usize = 20;
const MAX_MEMBERS: usize = 50;
const MAX_DEPTH: usize = 6;
/// Shortest run of letters and digits that looks random.
const MIN_RANDOM: usize = 24;

/// What in a member's name tells a secret.
const TELLING: [&str; 15] = [
    "token",
    "secret",
    "pass",
    "pwd",
    "jwt",
    "verifier",
    "signature",
    "key",
    "authorization",
    "cookie",
    "assertion",
    "code",
    "session",
    "credential",
    "private",
];

/// Words that tell one when they are the whole name or one of its words: inside others they stand for nothing.
const TELLING_WORDS: [&str; 2] = ["otp", "pin"];

/// Names with such a word in them that tell none. Any other code may be one that a person was sent.
const HARMLESS: [&str; 5] = ["errcode", "error_code", "expires_in", "status_code", "token_type"];

/// Ends of names whose numbers are no secrets: `refresh_token_expires_in`, `token_count`.
const COUNTED: [&str; 6] = ["expires_in", "expires_at", "expires", "expiresin", "ttl", "count"];

/// Members beside which `code` is that of an error, and how long it then is.
const BESIDE_CODE: [&str; 3] = ["error", "ok", "status"];
const MAX_CODE: usize = 64;
/// The largest `code` that is no more than a status.
const MAX_STATUS: u64 = 999;

/// A copy without secrets: members with telling names, texts that hold one of `secrets` (4 bytes or longer), JWTs and what
/// looks random are masked; long texts, long lists and deep nesting are cut.
pub fn redact(value: &Value, secrets: &[&str]) -> Value {
    let secrets: Vec<&str> = secrets.iter().copied().filter(|secret| secret.len() >= MIN_SECRET).collect();
    inside(value, &secrets, 0)
}

/// The body of an answer, redacted: JSON, or a form as an object; of anything else only its type and length.
pub fn redact_body(content_type: Option<&str>, body: &[u8], secrets: &[&str]) -> Value {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return redact(&value, secrets);
    }
    let media_type = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
    if media_type.is_some_and(|text| text.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
        let form: Map<_, _> = form_urlencoded::parse(body)
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
        return redact(&Value::Object(form), secrets);
    }
    redact(&json!({"content_type": media_type, "length": body.len()}), secrets)
}

fn inside(value: &Value, secrets: &[&str], depth: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => "[cut]".into(),
        Value::Array(list) => {
            let mut kept: Vec<_> =
                list.iter().take(MAX_ELEMENTS).map(|value| inside(value, secrets, depth + 1)).collect();
            if list.len() > MAX_ELEMENTS {
                kept.push("[cut]".into());
            }
            Value::Array(kept)
        }
        Value::Object(members) => {
            let kept = members.iter().take(MAX_MEMBERS).map(|(name, value)| {
                let telling = if name == "code" { !is_status(members, value) } else { is_telling(name, value) };
                let value = if telling { mask(value) } else { inside(value, secrets, depth + 1) };
                (text(name, secrets), value)
            });
            Value::Object(kept.collect())
        }
        Value::String(value) => text(value, secrets).into(),
        Value::Number(number) if holds_one(&number.to_string(), secrets) => REDACTED.into(),
        Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
    }
}

/// What is left of a secret: whether there is one.
fn mask(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::String(text) if text.is_empty() => "".into(),
        _ => REDACTED.into(),
    }
}

fn is_telling(name: &str, value: &Value) -> bool {
    let words = words(name);
    let name = name.to_ascii_lowercase();
    let counted = value.is_number() && COUNTED.iter().any(|end| name.ends_with(end));
    let told = TELLING.iter().any(|word| name.contains(word))
        || TELLING_WORDS.iter().any(|word| words.iter().any(|known| known == word));
    told && !counted && !HARMLESS.contains(&name.as_str())
}

/// The words of a name in lower case: `userPin`, `user-pin` and `USER_PIN` have two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = false;
    for c in name.chars() {
        let begins = !c.is_alphanumeric() || (c.is_ascii_uppercase() && before);
        if begins {
            words.push(String::new());
        }
        before = c.is_ascii_lowercase();
        words.last_mut().into_iter().for_each(|word| word.extend(c.is_alphanumeric().then(|| c.to_ascii_lowercase())));
    }
    words
}

/// Whether a member `code` is that of an error and no authorization code.
fn is_status(members: &Map<String, Value>, code: &Value) -> bool {
    let short = match code {
        Value::Number(number) if number.as_u64().is_some_and(|number| number <= MAX_STATUS) => return true,
        Value::Number(_) => true,
        Value::String(text) => text.len() <= MAX_CODE,
        _ => false,
    };
    short && BESIDE_CODE.iter().any(|name| members.contains_key(*name))
}

/// The parameters of a request, as far as they may be shown beside these secrets.
pub(crate) fn mask_shown(parameters: &[(String, String)], secrets: &[&str]) -> Vec<(String, String)> {
    let secrets: Vec<&str> = secrets.iter().copied().filter(|secret| secret.len() >= MIN_SECRET).collect();
    let masked = |text: &String| if holds_one(text, &secrets) { REDACTED.to_owned() } else { text.clone() };
    parameters.iter().map(|(name, value)| (name.clone(), masked(value))).collect()
}

fn holds_one(text: &str, secrets: &[&str]) -> bool {
    secrets.iter().any(|secret| text.contains(secret))
}

fn text(text: &str, secrets: &[&str]) -> String {
    if holds_one(text, secrets) {
        return REDACTED.to_owned();
    }
    let mut kept = String::new();
    let mut run = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "_-.+/=~|!*%:".contains(c) {
            run.push(c);
        } else {
            push_run(&mut kept, &run);
            run.clear();
            kept.push(c);
        }
    }
    push_run(&mut kept, &run);
    match kept.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => kept.split_at(end).0.to_owned() + "…",
        None => kept,
    }
}

fn push_run(kept: &mut String, run: &str) {
    // An address and a time are no token, however long they are.
    if let Some((scheme, rest)) = run.split_once("://") {
        kept.push_str(scheme);
        kept.push_str("://");
        rest.split_inclusive([':', '|', '!', '*', '%']).for_each(|part| push_run(kept, part));
        return;
    }
    if DateTime::parse_from_rfc3339(run).is_ok() {
        return kept.push_str(run);
    }
    let has = |kind: fn(&char) -> bool| run.chars().any(|c| kind(&c));
    let is_random = run.len() >= MIN_RANDOM && has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    let is_jwt = run.starts_with("eyJ") && run.matches('.').count() >= 2;
    kept.push_str(if is_random || is_jwt { REDACTED } else { run });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_with_telling_names_are_masked_and_the_rest_stays() {
        let answer = json!({
            "access_token": "a", "ID_TOKEN": "b", "client_secret": 7, "apiKey": ["x"], "session": {"id": 1},
            "token_type": "Bearer", "expires_in": 3600, "refresh_token_expires_in": 86400, "error": "invalid_grant",
            "error_code": "E7", "code": 40029, "authorization_code": "c", "password": "", "private": null, "ok": true,
        });
        let expected = json!({
            "access_token": REDACTED, "ID_TOKEN": REDACTED, "client_secret": REDACTED, "apiKey": REDACTED,
            "session": REDACTED, "token_type": "Bearer", "expires_in": 3600, "refresh_token_expires_in": 86400,
            "error": "invalid_grant", "error_code": "E7", "code": 40029, "authorization_code": REDACTED,
            "password": "", "private": null, "ok": true,
        });
        assert_eq!(redact(&answer, &[]), expected);
    }

    #[test]
    fn a_code_is_shown_only_where_it_is_that_of_an_error() {
        for (answer, shown) in [
            (json!({"auth_code": 839_201}), false),
            (json!({"verification_code": 839_201}), false),
            (json!({"otp_code": 839_201}), false),
            (json!({"passcode": 839_201}), false),
            (json!({"authorization_code": 839_201}), false),
            (json!({"code": 839_201}), false),
            (json!({"code": "SplxlOBe"}), false),
            (json!({"code": 401}), true),
            (json!({"code": 40_029, "error": "x"}), true),
            (json!({"code": "E7", "status": 400}), true),
            (json!({"code": "a".repeat(65), "error": "x"}), false),
            (json!({"errcode": 839_201}), true),
            (json!({"error_code": "E839201"}), true),
            (json!({"status_code": 839_201}), true),
            (json!({"country_code": 839_201}), false),
        ] {
            assert_eq!(redact(&answer, &[]) == answer, shown, "{answer}");
        }
    }

    #[test]
    fn more_names_that_tell_a_secret() {
        for name in
            ["pass", "passphrase", "otp", "user_otp", "pin", "userPin", "PIN", "jwt", "code_verifier", "signature"]
        {
            assert_eq!(redact(&json!({name: "x"}), &[]), json!({name: REDACTED}), "{name}");
        }
        for name in ["shipping", "options", "description"] {
            assert_eq!(redact(&json!({name: "x"}), &[]), json!({name: "x"}), "{name}");
        }
    }

    #[test]
    fn texts_that_hold_or_look_like_a_secret_are_masked() {
        for (given, expected) in [
            ("The code s3cr was used", REDACTED),
            ("bad eyJh.eyJz.c2ln here", "bad [redacted] here"),
            ("token ya29a0AfB_byC1234567890-x is bad", "token [redacted] is bad"),
            ("is 0a1b2c|3d4e5f!6a7b8c*9d0e1f here", "is [redacted] here"),
            ("https://login.example.com/docs:8080/x", "https://login.example.com/docs:8080/x"),
            ("at 2026-01-01T00:00:00.000Z", "at 2026-01-01T00:00:00.000Z"),
            ("The authorization code has expired or was used", "The authorization code has expired or was used"),
            ("https://example.com/help", "https://example.com/help"),
        ] {
            assert_eq!(redact(&json!(given), &["s3cr", "abc"]), json!(expected), "{given}");
        }
        assert_eq!(redact(&json!({"s3cr3t": 123_456}), &["s3cr3t", "3456"]), json!({REDACTED: REDACTED}));
    }

    #[test]
    fn long_texts_long_lists_and_deep_nesting_are_cut() {
        assert_eq!(redact(&json!("é ".repeat(300)), &[]).as_str().map(|text| text.chars().count()), Some(201));
        assert_eq!(redact(&json!(vec![1; 50]), &[]).as_array().map(Vec::len), Some(21));
        let deep = json!([[[[[[["x"]]]]]]]);
        assert_eq!(redact(&deep, &[]), json!([[[[[["[cut]"]]]]]]));
    }

    #[test]
    fn of_a_body_only_json_and_forms_are_shown() {
        let form = redact_body(Some("application/x-www-form-urlencoded"), b"error=x&access_token=y", &[]);
        assert_eq!(form, json!({"error": "x", "access_token": REDACTED}));
        let page = redact_body(Some("text/html; charset=utf-8"), b"<html>s3cr</html>", &["s3cr"]);
        assert_eq!(page, json!({"content_type": "text/html", "length": 17}));
        assert_eq!(redact_body(None, b"", &[]), json!({"content_type": null, "length": 0}));
        assert_eq!(redact_body(Some("text/plain"), br#"{"error":"x"}"#, &[]), json!({"error": "x"}));
    }

    fn any_json(secret: String) -> impl Strategy<Value = Value> {
        let around = ("[ a-z\"\\\\é]{0,30}", "[ a-z<>&]{0,30}");
        let planted = around.prop_map(move |(before, after)| format!("{before}{secret}{after}"));
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            planted.clone().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(8, 64, 6, move |inner| {
            let name = prop_oneof![planted.clone(), "[a-z_]{1,12}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..30).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_planted_secret_never_comes_through(
            (secret, value) in "Q[A-Za-z0-9\"\\\\é ]{3,40}".prop_flat_map(|s| (Just(s.clone()), any_json(s)))
        ) {
            fn texts(value: &Value, all: &mut Vec<String>) {
                match value {
                    Value::Array(list) => list.iter().for_each(|value| texts(value, all)),
                    Value::Object(members) => members.iter().for_each(|(name, value)| {
                        all.push(name.clone());
                        texts(value, all);
                    }),
                    Value::String(text) => all.push(text.clone()),
                    other => all.push(other.to_string()),
                }
            }
            let mut all = Vec::new();
            texts(&redact(&value, &[&secret]), &mut all);
            prop_assert!(all.iter().all(|text| !text.contains(&secret)));
            let mut all = Vec::new();
            texts(&redact_body(Some("text/plain"), value.to_string().as_bytes(), &[&secret]), &mut all);
            prop_assert!(all.iter().all(|text| !text.contains(&secret)));
        }

        #[test]
        fn redacting_any_body_never_panics(body in prop::collection::vec(any::<u8>(), 0..200), kind in ".{0,40}") {
            redact_body(Some(&kind), &body, &["abcd"]);
        }
    }
}
