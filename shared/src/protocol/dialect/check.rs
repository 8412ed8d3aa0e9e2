//! What may stand in a dialect.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::encode::Kind;
use super::lookup::{condition, is_place};
use super::placeholder::{Found, Rules, Stage, substitute};
use super::{
    BodyTemplate, RESERVED, RevocationDialect, RevocationMethod, TokenMethod, TokenRequestDialect,
    TokenResponseDialect, is_standard,
};
use crate::protocol::headers::is_settable;

/// What is wrong: where (a JSON Pointer below the dialect's own field), a stable code, and a sentence.
pub type Finding = (String, &'static str, String);

/// Most entries of any map.
const MAX_ENTRIES: usize = 50;
/// Longest name and value of a parameter or header, and longest text body, in bytes.
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 4096;
const MAX_TEXT: usize = 16 * 1024;

/// Headers that `content_type` sets, and one that would make an answer unreadable.
const OF_THE_BODY: [&str; 2] = ["accept-encoding", "content-type"];

/// Reserved parameters that an extra one may stand for once `names` has renamed or left them out.
const FREE_WHEN_RENAMED: [&str; 3] = ["client_id", "grant_type", "redirect_uri"];

/// What a provider's own error code may stand for: RFC 6749 §4.1.2.1 and §5.2, RFC 8707 §2.
const MEANINGS: [&str; 10] = [
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];

impl TokenRequestDialect {
    /// Checks it as a client's `token_request`; no finding means that it is good.
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = self.check_common(&RESERVED);
        let only_refresh = |set: bool, at: &str| {
            set.then(|| finding(at, "only_in_refresh_request", "Only refresh_request has this field."))
        };
        findings.extend(only_refresh(self.url.is_some(), "/url"));
        findings.extend(only_refresh(self.auth.is_some(), "/auth"));
        findings
    }

    /// Checks it as a client's `refresh_request`: the flow sets no `redirect_uri` there, so it may be an extra parameter.
    /// The caller checks `url` as it checks any endpoint.
    pub fn check_refresh(&self) -> Vec<Finding> {
        let reserved: Vec<&str> = RESERVED.into_iter().filter(|name| *name != "redirect_uri").collect();
        self.check_common(&reserved)
    }

    fn check_common(&self, reserved: &[&str]) -> Vec<Finding> {
        let mut checks = Checks { findings: Vec::new(), reserved, names: &self.names };
        let in_query = self.method == Some(TokenMethod::Get);
        checks.names();
        checks.strings("/query", &self.query);
        checks.headers(&self.headers);
        checks.content(self.content_type.as_deref(), in_query, self.body.as_ref());
        if self.grant_type.as_deref().is_some_and(|value| !is_line(value, MAX_NAME)) {
            checks.wrong(
                "/grant_type",
                "not_a_value",
                "A grant type has 1 to 128 characters and no control character.",
            );
        }
        checks.findings
    }
}

impl RevocationDialect {
    /// Checks it as a client's `revocation_request`; no finding means that it is good.
    pub fn check(&self) -> Vec<Finding> {
        // A revocation request has no grant type, code or user of its own.
        let reserved = ["client_id", "client_secret", "token", "token_type_hint"];
        let mut checks = Checks { findings: Vec::new(), reserved: &reserved, names: &self.names };
        let in_query = self.method == Some(RevocationMethod::Get);
        checks.names();
        checks.headers(&self.headers);
        checks.content(self.content_type.as_deref(), in_query, self.body.as_ref());
        checks.findings
    }
}

impl TokenResponseDialect {
    /// Checks it as a client's `token_response`; no finding means that it is good.
    pub fn check(&self) -> Vec<Finding> {
        let places = [
            ("/root", self.root.as_deref()),
            ("/access_token", self.access_token.as_deref()),
            ("/refresh_token", self.refresh_token.as_deref()),
            ("/expires_in", self.expires_in.as_deref()),
            ("/expires_at", self.expires_at.as_deref()),
            ("/scope", self.scope.as_deref()),
            ("/token_type", self.token_type.as_deref()),
            ("/ok", self.ok.as_deref().map(|ok| condition(ok).0)),
            ("/error", self.error.as_deref()),
            ("/error_description", self.error_description.as_deref()),
        ];
        let rule = "A key, a dotted path, or a JSON Pointer such as /data/token.";
        let mut findings: Vec<_> = places
            .into_iter()
            .filter(|(_, place)| place.is_some_and(|place| !is_place(place)))
            .map(|(at, _)| finding(at, "not_a_place", rule))
            .collect();
        if self.error_codes.len() > MAX_ENTRIES {
            let detail = format!("There may be at most {MAX_ENTRIES} entries.");
            findings.push(finding("/error_codes", "too_many", &detail));
        }
        for (code, meaning) in &self.error_codes {
            let at = below("/error_codes", code);
            if !is_line(code, MAX_NAME) {
                findings.push(finding(&at, "not_a_name", "A code has 1 to 128 characters and no control character."));
            }
            if !MEANINGS.contains(&meaning.as_str()) {
                let detail = format!("One of {}.", MEANINGS.join(", "));
                findings.push(finding(&at, "not_an_error_code", &detail));
            }
        }
        if self.scope_separator.as_deref().is_some_and(|text| text.is_empty() || text.len() > 8) {
            findings.push(finding("/scope_separator", "not_a_separator", "A separator has 1 to 8 characters."));
        }
        findings
    }
}

fn finding(at: &str, code: &'static str, detail: &str) -> Finding {
    (at.to_owned(), code, detail.to_owned())
}

fn is_line(text: &str, max: usize) -> bool {
    !text.is_empty() && text.len() <= max && !text.contains(char::is_control)
}

/// A name as one reference token of a JSON Pointer.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

struct Checks<'a> {
    findings: Vec<Finding>,
    reserved: &'a [&'a str],
    names: &'a BTreeMap<String, String>,
}

impl Checks<'_> {
    fn wrong(&mut self, at: &str, code: &'static str, detail: &str) {
        self.findings.push(finding(at, code, detail));
    }

    fn count(&mut self, at: &str, entries: usize) {
        if entries > MAX_ENTRIES {
            self.wrong(at, "too_many", &format!("There may be at most {MAX_ENTRIES} entries."));
        }
    }

    fn names(&mut self) {
        self.count("/names", self.names.len());
        let mut taken = Vec::new();
        for (name, wire) in self.names {
            let at = below("/names", name);
            if !is_standard(name) {
                self.wrong(&at, "not_a_parameter", "Only parameters that the flow sets itself have other names.");
            }
            if !wire.is_empty() && !is_line(wire, MAX_NAME) {
                self.wrong(&at, "not_a_name", "A name has at most 128 characters and no control character.");
            }
            if !wire.is_empty() && taken.contains(&wire) {
                self.wrong(&at, "duplicate", "Two parameters cannot have one name.");
            }
            taken.push(wire);
        }
    }

    /// Extra parameters: a name that is not the flow's own, however it is written, nor one that `names` gave away.
    fn parameter(&mut self, at: &str, name: &str) {
        if !is_line(name, MAX_NAME) {
            self.wrong(at, "not_a_name", "A name has 1 to 128 characters and no control character.");
        }
        let plain = name.trim().to_ascii_lowercase();
        // What is no secret may be left out or renamed, and then set to something fixed.
        let is_free = FREE_WHEN_RENAMED.contains(&name) && self.names.contains_key(name);
        let is_own = self.reserved.contains(&plain.as_str()) && !is_free;
        let is_given =
            self.names.iter().any(|(standard, wire)| wire == name && self.reserved.contains(&standard.as_str()));
        if is_own || is_given {
            let detail = "The flow sets this parameter itself; names and grant_type change it.";
            self.wrong(at, "reserved_parameter", detail);
        }
    }

    fn strings(&mut self, at: &str, strings: &BTreeMap<String, String>) {
        self.count(at, strings.len());
        for (name, text) in strings {
            let at = below(at, name);
            self.parameter(&at, name);
            self.text(&at, text, MAX_VALUE);
        }
    }

    fn text(&mut self, at: &str, text: &str, max: usize) {
        if text.len() > max {
            self.wrong(at, "too_long", &format!("At most {max} bytes."));
        }
    }

    fn headers(&mut self, headers: &BTreeMap<String, String>) {
        self.count("/headers", headers.len());
        for (name, text) in headers {
            let at = below("/headers", name);
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => self.wrong(&at, "not_a_header", "This is not the name of a header."),
                Ok(name) if !is_settable(name.as_str()) || OF_THE_BODY.contains(&name.as_str()) => {
                    self.wrong(&at, "reserved_header", "This header cannot be set here.");
                }
                Ok(_) => {}
            }
            self.text(&at, text, MAX_VALUE);
            // With every placeholder standing for something harmless.
            let find = |_: &str| Found::Text("x".to_owned());
            let plain = substitute(text, Rules { stage: Stage::Last, find: &find, inside: None });
            let is_legal = matches!(&plain, Ok(Some(text)) if HeaderValue::from_str(text).is_ok());
            if !is_legal {
                self.wrong(&at, "control_character", "A header value is one line without control characters.");
            }
        }
    }

    fn content(&mut self, content_type: Option<&str>, in_query: bool, body: Option<&BodyTemplate>) {
        let kind = if in_query { Kind::Query } else { Kind::of(content_type) };
        let is_media_type = |text: &str| {
            ["form", "json", "query"].contains(&text)
                || (is_line(text, MAX_NAME)
                    && text.is_ascii()
                    && text.split('/').filter(|part| !part.is_empty()).count() > 1)
        };
        if content_type.is_some_and(|text| !is_media_type(text)) {
            self.wrong("/content_type", "not_a_media_type", "form, json, query or a media type.");
        }
        match body {
            Some(BodyTemplate::Text(text)) => {
                self.text("/body", text, MAX_TEXT);
                if kind == Kind::Query {
                    self.wrong("/body", "no_body", "This request has no body: its parameters are in the query string.");
                }
            }
            _ if matches!(kind, Kind::OtherJson | Kind::OtherXml | Kind::Other) => {
                self.wrong("/body", "text_required", "This media type needs the whole body as a text.");
            }
            Some(BodyTemplate::Parameters(parameters)) => {
                self.count("/body", parameters.len());
                for (name, value) in parameters {
                    let at = below("/body", name);
                    self.parameter(&at, name);
                    self.text(&at, &value.to_string(), MAX_VALUE);
                    if kind != Kind::Json && matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) {
                        self.wrong(
                            &at,
                            "not_a_value",
                            "A text, a number or a boolean, unless the content type is json.",
                        );
                    }
                }
            }
            None => {}
        }
    }
}
