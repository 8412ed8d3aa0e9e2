//! What requests and answers of the authorization server look like: dialects, parameters.

use std::collections::BTreeMap;

use super::endpoints::{Known, declared, unusable};
use crate::broker::fields::{Fields, escape};
use crate::model::client::ClientSettings;
use crate::protocol::authorization;
use crate::protocol::dialect::{BodyTemplate, Finding, RevocationDialect, TokenRequestDialect};

/// The longest name (bytes).
const MAX_NAME: usize = 128;

/// The authorization parameters that may be left out: what protects the flow may not.
const LEFT_OUT: [&str; 7] = ["audience", "client_id", "nonce", "redirect_uri", "resource", "response_type", "scope"];

/// The authorization parameters that may go by another name; `code` is one of the answer.
const RENAMED: [&str; 11] = [
    "audience",
    "client_id",
    "code",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "resource",
    "response_type",
    "scope",
    "state",
];

pub(super) fn check(fields: &mut Fields, settings: &ClientSettings) {
    dialects(fields, settings);
    authorization_names(fields, settings);
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
    let mut sent: Vec<&str> =
        RENAMED.into_iter().filter(|name| *name != "code" && !names.contains_key(*name)).collect();
    for (name, wire) in names {
        let pointer = format!("/authorization_names/{}", escape(name));
        let is_legal = wire.len() <= MAX_NAME && wire.bytes().all(|byte| byte.is_ascii_graphic());
        if !RENAMED.contains(&name.as_str()) {
            fields.wrong(&pointer, "not_a_parameter", format!("One of {}.", RENAMED.join(", ")));
        } else if !is_legal {
            fields.wrong(&pointer, "not_a_name", "1 to 128 visible ASCII characters.");
        } else if wire.is_empty() && !LEFT_OUT.contains(&name.as_str()) {
            let rule = format!("Only these can be left out: {}.", LEFT_OUT.join(", "));
            fields.wrong(&pointer, "not_left_out", rule);
        } else if name == "nonce" && wire.is_empty() && settings.scopes.allows("openid") {
            let rule = "With openid an ID token must repeat the nonce (OpenID Connect Core §3.1.3.7).";
            fields.wrong(&pointer, "not_left_out", rule);
        } else if name == "code" && ["error", "iss", "state"].contains(&wire.as_str()) {
            fields.wrong(&pointer, "duplicate", "Another parameter of the answer has this name.");
        } else if sent.contains(&wire.as_str()) {
            fields.wrong(&pointer, "duplicate", "Another parameter has this name.");
        }
        sent.extend((!wire.is_empty() && name != "code").then_some(wire.as_str()));
    }
    let own = |(name, _): &(&String, &String)| !authorization::is_free(name, names);
    let params = settings.authorization_params.iter().filter(own);
    let params = params.map(|(name, value)| (name.clone(), value.clone())).collect();
    fields.authorization_params("/authorization_params", &params);
    if let Some(fragment) = &settings.authorization_fragment
        && (fragment.is_empty()
            || fragment.len() > MAX_NAME
            || !fragment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)))
    {
        let rule = "1 to 128 letters, digits, `-`, `.`, `_` or `~`.";
        fields.wrong("/authorization_fragment", "not_a_fragment", rule);
    }
    let given_away = |name: &str| names.values().any(|wire| wire == name);
    for name in params.keys() {
        if given_away(name) && !authorization::is_reserved(name) {
            let pointer = format!("/authorization_params/{}", escape(name));
            fields.wrong(&pointer, "reserved_parameter", "authorization_names gives this name to another parameter.");
        }
    }
}
