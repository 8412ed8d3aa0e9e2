//! What requests to the API look like: its headers, its query, the test request.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::endpoints::{Known, declared, unusable, unusable_in_url};
use crate::broker::fields::{Fields, escape};
use crate::model::client::{ClientSettings, TestRequest};
use crate::protocol::dialect::lookup::{condition, is_place};
use crate::protocol::headers::is_settable;
use crate::protocol::template;

/// The most entries of a map, and the longest value in one (bytes).
const MAX_ENTRIES: usize = 50;
const MAX_VALUE: usize = 4096;
/// The longest name of a parameter, and the longest body (bytes).
const MAX_NAME: usize = 128;
const MAX_BODY: usize = 16 * 1024;

pub(super) fn check(fields: &mut Fields, settings: &ClientSettings) {
    header(fields, settings);
    headers(fields, settings, "/api_headers", &settings.api_headers);
    query(fields, settings);
    if let Some(test) = &settings.test_request {
        test_request(fields, settings, test);
    }
}

fn header(fields: &mut Fields, settings: &ClientSettings) {
    if HeaderName::from_bytes(settings.header.name.as_bytes()).is_err() {
        fields.wrong("/header/name", "not_a_header", "A header name like Authorization (RFC 9110 §5.1).");
    }
    if settings.header.prefix.len() > 64 || !settings.header.prefix.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        fields.wrong("/header/prefix", "not_a_prefix", "At most 64 visible ASCII characters.");
    }
}

fn headers(fields: &mut Fields, settings: &ClientSettings, at: &str, headers: &BTreeMap<String, String>) {
    if headers.len() > MAX_ENTRIES {
        return fields.wrong(at, "too_many", format!("There may be at most {MAX_ENTRIES} headers."));
    }
    for (name, text) in headers {
        let pointer = format!("{at}/{}", escape(name));
        let is_tokens = name.eq_ignore_ascii_case(&settings.header.name);
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => fields.wrong(&pointer, "not_a_header", "A header name like X-Account-Id (RFC 9110 §5.1)."),
            Ok(name) if is_tokens || !is_settable(name.as_str()) => {
                let rule = "This header cannot be set here; `header` carries the token.";
                fields.wrong(&pointer, "reserved_header", rule);
            }
            Ok(_) => {}
        }
        if let Some(keys) = line(fields, &pointer, text) {
            declared_keys(fields, settings, &pointer, &keys);
        }
    }
}

/// The placeholders of a text that becomes one line.
fn line<'t>(fields: &mut Fields, pointer: &str, text: &'t str) -> Option<Vec<&'t str>> {
    if text.len() > MAX_VALUE {
        fields.wrong(pointer, "too_long", format!("At most {MAX_VALUE} bytes."));
    }
    match template::line_placeholders(text) {
        Ok(keys) => {
            let line = template::render_line(text, &|_| Some("x".to_owned())).ok().flatten();
            if line.is_none_or(|line| HeaderValue::from_str(&line).is_err()) {
                fields.wrong(pointer, "control_character", "A header value is one line without control characters.");
            }
            Some(keys)
        }
        Err(error) => {
            fields.wrong(pointer, "not_a_template", format!("{error}."));
            None
        }
    }
}

fn declared_keys(fields: &mut Fields, settings: &ClientSettings, pointer: &str, keys: &[&str]) {
    for key in keys.iter().filter(|key| **key != "client_id") {
        if let Some((code, detail)) = unusable(declared(settings, key), key, Known::AfterLookup) {
            fields.wrong(pointer, code, detail);
        }
    }
}

/// Parameters of the API's query. `{access_token}` may stand there alone, for providers that take no header.
fn query(fields: &mut Fields, settings: &ClientSettings) {
    if settings.api_query.len() > MAX_ENTRIES {
        return fields.wrong("/api_query", "too_many", format!("There may be at most {MAX_ENTRIES} parameters."));
    }
    for (name, text) in &settings.api_query {
        let pointer = format!("/api_query/{}", escape(name));
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            fields.wrong(&pointer, "not_a_name", "A name has 1 to 128 characters and no control character.");
        }
        let Some(keys) = line(fields, &pointer, text) else { continue };
        for key in keys.into_iter().filter(|key| *key != "access_token") {
            if let Some((code, detail)) = unusable_in_url(settings, key, Known::AfterLookup) {
                fields.wrong(&pointer, code, detail);
            }
        }
    }
}

fn test_request(fields: &mut Fields, settings: &ClientSettings, test: &TestRequest) {
    let TestRequest { path, body, ok, account, label, .. } = test;
    test_path(fields, settings, path, test.is_url());
    headers(fields, settings, "/test_request/headers", &test.headers);
    let is_body = |body: &Value| matches!(body, Value::Object(_) | Value::String(_));
    if body.as_ref().is_some_and(|body| !is_body(body) || body.to_string().len() > MAX_BODY) {
        fields.wrong("/test_request/body", "not_a_body", "An object or a text, at most 16 kB.");
    }
    let rule = "A key, a dotted path, or a JSON Pointer such as /data/id.";
    let ok = ok.as_deref().map(|ok| condition(ok).0);
    for (at, place) in [("ok", ok), ("account", account.as_deref()), ("label", label.as_deref())] {
        if place.is_some_and(|place| !is_place(place)) {
            fields.wrong(&format!("/test_request/{at}"), "not_a_place", rule);
        }
    }
}

/// A path below `api_base_url`, or a URL at one of the API's origins; either may have variables.
fn test_path(fields: &mut Fields, settings: &ClientSettings, path: &str, is_url: bool) {
    let pointer = "/test_request/path";
    let below = if is_url { path.to_owned() } else { format!("https://x.example{path}") };
    match template::url_placeholders(&below) {
        Ok(keys) if is_url || (path.starts_with('/') && !path.starts_with("//")) => {
            for key in keys {
                if let Some((code, detail)) = unusable_in_url(settings, key, Known::AfterLookup) {
                    fields.wrong(pointer, code, detail);
                }
            }
        }
        _ => {
            let rule = "A path that begins with one slash, or a whole https URL; written as in a URL.";
            fields.wrong(pointer, "not_a_path", rule);
        }
    }
}
