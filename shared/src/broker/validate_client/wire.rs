//! What requests and answers look like: dialects, parameters, headers.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::endpoints::{Known, declared, unusable, unusable_in_url};
use crate::broker::fields::{Fields, escape};
use crate::model::client::ClientSettings;
use crate::protocol::dialect::{BodyTemplate, Finding, RevocationDialect, TokenRequestDialect};
use crate::protocol::{authorization, template};

/// The most entries of a map, and the longest name and value in one (bytes).
const MAX_ENTRIES: usize = 50;
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 4096;

/// The authorization parameters that may go by another name.
const RENAMED: [&str; 10] = [
    "audience",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "resource",
    "response_type",
    "scope",
    "state",
];

/// Headers that belong to the connection or to the session of somebody else.
const NOT_SETTABLE: [&str; 12] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn check(fields: &mut Fields, settings: &ClientSettings) {
    dialects(fields, settings);
    authorization_names(fields, settings);
    header(fields, settings);
    api_headers(fields, settings);
    if let Some(test) = &settings.test_request {
        test_path(fields, settings, &test.path);
    }
}

/// A path below `api_base_url`, which may have variables.
fn test_path(fields: &mut Fields, settings: &ClientSettings, path: &str) {
    let pointer = "/test_request/path";
    let below = format!("https://x.example{path}");
    match template::url_placeholders(&below) {
        Ok(keys) if path.starts_with('/') && !path.starts_with("//") => {
            for key in keys {
                if let Some((code, detail)) = unusable_in_url(settings, key, Known::AfterToken) {
                    fields.wrong(pointer, code, detail);
                }
            }
        }
        _ => fields.wrong(pointer, "not_a_path", "A path that begins with one slash, and is written as in a URL."),
    }
}

/// What is wrong with a refresh's own part, or, when nothing is, with what it comes to over `token_request`: two halves
/// that are good may not fit each other.
fn refresh_findings(own: &TokenRequestDialect, settings: &ClientSettings) -> Vec<Finding> {
    let findings = own.check_refresh();
    if findings.is_empty() { settings.refresh_dialect().check_refresh() } else { findings }
}

fn dialects(fields: &mut Fields, settings: &ClientSettings) {
    let refresh = settings.refresh_request.as_ref();
    for (field, findings) in [
        ("token_request", settings.token_request.check()),
        ("refresh_request", refresh.map(|own| refresh_findings(own, settings)).unwrap_or_default()),
        ("token_response", settings.token_response.check()),
        ("revocation_request", settings.revocation_request.check()),
    ] {
        for (at, code, detail) in findings {
            fields.wrong(&format!("/{field}{at}"), code, detail);
        }
    }
    let mut strings = |field: &str, at: String, keys: Vec<String>, known: Known| {
        for key in keys {
            if let Some((code, detail)) = unusable(declared(settings, &key), &key, known) {
                fields.wrong(&format!("/{field}{at}"), code, detail);
            }
        }
    };
    for (at, keys) in placeholders(&settings.token_request) {
        strings("token_request", at, keys, Known::AfterCallback);
    }
    for (at, keys) in refresh.map(placeholders).unwrap_or_default() {
        strings("refresh_request", at, keys, Known::AfterToken);
    }
    let RevocationDialect { headers, body, .. } = &settings.revocation_request;
    for (at, keys) in placeholders(&request(&BTreeMap::new(), headers, body.as_ref())) {
        strings("revocation_request", at, keys, Known::AfterToken);
    }
}

fn request(
    query: &BTreeMap<String, String>,
    headers: &BTreeMap<String, String>,
    body: Option<&BodyTemplate>,
) -> TokenRequestDialect {
    TokenRequestDialect { query: query.clone(), headers: headers.clone(), body: body.cloned(), ..Default::default() }
}

/// The variables of each string of a request, by the string's pointer below the request.
fn placeholders(dialect: &TokenRequestDialect) -> Vec<(String, Vec<String>)> {
    let none = BTreeMap::new();
    let one = |name: &String, text: &String| BTreeMap::from([(name.clone(), text.clone())]);
    let at = |member: &str, name: &str| format!("/{member}/{}", escape(name));
    let mut alone: Vec<(String, TokenRequestDialect)> = Vec::new();
    for (name, text) in &dialect.query {
        alone.push((at("query", name), request(&one(name, text), &none, None)));
    }
    for (name, text) in &dialect.headers {
        alone.push((at("headers", name), request(&none, &one(name, text), None)));
    }
    match &dialect.body {
        Some(BodyTemplate::Parameters(parameters)) => {
            for (name, value) in parameters {
                let body = BodyTemplate::Parameters(BTreeMap::from([(name.clone(), value.clone())]));
                alone.push((at("body", name), request(&none, &none, Some(&body))));
            }
        }
        text => alone.push(("/body".to_owned(), request(&none, &none, text.as_ref()))),
    }
    alone.into_iter().map(|(at, request)| (at, request.placeholders().into_iter().collect())).collect()
}

fn authorization_names(fields: &mut Fields, settings: &ClientSettings) {
    let names = &settings.authorization_names;
    let mut sent: Vec<&str> = RENAMED.into_iter().filter(|name| !names.contains_key(*name)).collect();
    for (name, wire) in names {
        let pointer = format!("/authorization_names/{}", escape(name));
        let is_legal = !wire.is_empty() && wire.len() <= MAX_NAME && wire.bytes().all(|byte| byte.is_ascii_graphic());
        if !RENAMED.contains(&name.as_str()) {
            fields.wrong(&pointer, "not_a_parameter", format!("One of {}.", RENAMED.join(", ")));
        } else if !is_legal {
            fields.wrong(&pointer, "not_a_name", "1 to 128 visible ASCII characters.");
        } else if sent.contains(&wire.as_str()) {
            fields.wrong(&pointer, "duplicate", "Another parameter has this name.");
        }
        sent.push(wire);
    }
    fields.authorization_params("/authorization_params", &settings.authorization_params);
    let given_away = |name: &str| names.values().any(|wire| wire == name);
    for name in settings.authorization_params.keys() {
        if given_away(name) && !authorization::is_reserved(name) {
            let pointer = format!("/authorization_params/{}", escape(name));
            fields.wrong(&pointer, "reserved_parameter", "authorization_names gives this name to another parameter.");
        }
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

fn api_headers(fields: &mut Fields, settings: &ClientSettings) {
    if settings.api_headers.len() > MAX_ENTRIES {
        return fields.wrong("/api_headers", "too_many", format!("There may be at most {MAX_ENTRIES} headers."));
    }
    for (name, text) in &settings.api_headers {
        let pointer = format!("/api_headers/{}", escape(name));
        let is_tokens = name.eq_ignore_ascii_case(&settings.header.name);
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => fields.wrong(&pointer, "not_a_header", "A header name like X-Account-Id (RFC 9110 §5.1)."),
            Ok(name) if is_tokens || NOT_SETTABLE.contains(&name.as_str()) => {
                fields.wrong(
                    &pointer,
                    "reserved_header",
                    "This header cannot be set here; `header` carries the token.",
                );
            }
            Ok(_) => {}
        }
        if text.len() > MAX_VALUE {
            fields.wrong(&pointer, "too_long", format!("At most {MAX_VALUE} bytes."));
        }
        let keys = match template::placeholders(text) {
            Ok(keys) => keys,
            Err(error) => {
                fields.wrong(&pointer, "not_a_template", format!("{error}."));
                continue;
            }
        };
        for key in keys.iter().filter(|key| **key != "client_id") {
            if let Some((code, detail)) = unusable(declared(settings, key), key, Known::AfterToken) {
                fields.wrong(&pointer, code, detail);
            }
        }
        let harmless = keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect();
        let is_line = template::render(text, &harmless).is_ok_and(|line| HeaderValue::from_str(&line).is_ok());
        if !is_line {
            fields.wrong(&pointer, "control_character", "A header value is one line without control characters.");
        }
    }
}
