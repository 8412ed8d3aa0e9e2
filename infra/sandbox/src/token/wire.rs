//! A token request as it arrived, read by the rules of its client.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value};

use crate::client_auth::basic_client_id;
use crate::oauth_error::OauthError;
use crate::parameters::{Parameters, has_media_type};
use crate::settings::{ClientSettings, GrantTypeWords, TokenRequestRules};

pub(super) struct Wire<'a> {
    method: &'a Method,
    headers: &'a HeaderMap,
    query: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Form(Vec<(String, String)>),
    Json(Value),
    Unreadable,
}

impl<'a> Wire<'a> {
    pub(super) fn read(
        method: &'a Method,
        uri: &Uri,
        headers: &'a HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Wire<'a> {
        let body = body.map_or(Body::Unreadable, |bytes| Body::read(headers, &bytes));
        Wire { method, headers, query: pairs(uri.query().unwrap_or_default().as_bytes()), body }
    }

    /// The client whose rules count: named by HTTP Basic, or by the parameter that is the client id in its own rules.
    pub(super) fn find_client<'c>(&self, clients: &'c BTreeMap<String, ClientSettings>) -> Option<&'c ClientSettings> {
        if let Some(client_id) = basic_client_id(self.headers) {
            return clients.get(&client_id);
        }
        let named = clients.values().find(|client| {
            let name = client.token_request.name_of("client_id");
            self.values(name).contains(&client.client_id)
        });
        // One that calls itself by the wrong name is refused by its rules, not as unknown.
        named.or_else(|| clients.get(self.values("client_id").first()?))
    }

    /// The parameters under their standard names, whether or not the rules are kept.
    pub(super) fn parameters(&self, rules: &TokenRequestRules) -> Parameters {
        let renamed = rules
            .names
            .iter()
            .flat_map(|(standard, name)| self.values(name).into_iter().map(|value| (standard.clone(), value)));
        let is_plain =
            |name: &String| !rules.names.contains_key(name) && !rules.names.values().any(|wire| wire == name);
        let plain = self.all().into_iter().filter(|(name, _)| is_plain(name));
        let mut parameters: Vec<(String, String)> = renamed.chain(plain).collect();
        if let Some(words) = &rules.grant_type {
            standardize_grant_type(words, &mut parameters);
        }
        Parameters::from(parameters)
    }

    /// Whether the request is what the rules say; the error names the first rule that is broken.
    pub(super) fn check(&self, rules: &TokenRequestRules) -> Result<(), OauthError> {
        match rules.method.as_deref() {
            None if self.method != Method::POST => return Err(OauthError::method_not_allowed()),
            Some(method) if self.method.as_str() != method => return broken("the method is another one"),
            _ => {}
        }
        if self.method != Method::GET {
            if !has_media_type(self.headers, rules.media_type()) {
                return broken("the body must be application/x-www-form-urlencoded, or what the client is set to");
            }
            if matches!(self.body, Body::Unreadable) {
                return broken("the body cannot be read");
            }
        }
        let is_wire_name = |name: &String| rules.names.values().any(|wire| wire == name);
        if rules.names.keys().any(|standard| !is_wire_name(standard) && !self.values(standard).is_empty()) {
            return broken("a parameter goes by another name here");
        }
        if !rules.query.iter().all(|wanted| self.query.iter().any(|(name, value)| wanted == (name, value))) {
            return broken("a parameter of the query is missing or has another value");
        }
        let has_header = |(name, value): (&String, &String)| {
            self.headers.get_all(name).iter().any(|given| given.as_bytes() == value.as_bytes())
        };
        if !rules.headers.iter().all(has_header) {
            return broken("a header is missing or has another value");
        }
        if !rules.body.iter().all(|(name, value)| self.carries(name, value)) {
            return broken("a member of the body is missing or has another value");
        }
        self.check_grant_type(rules)
    }

    fn check_grant_type(&self, rules: &TokenRequestRules) -> Result<(), OauthError> {
        let values = self.values(rules.name_of("grant_type"));
        let value = values.first().map_or("", String::as_str);
        let kept = match &rules.grant_type {
            None => true,
            Some(GrantTypeWords::Every(word)) => value == word,
            Some(GrantTypeWords::Each(words)) => !words.contains_key(value) || words.values().any(|word| word == value),
        };
        if kept { Ok(()) } else { broken("grant_type has another value here") }
    }

    fn carries(&self, name: &str, wanted: &Value) -> bool {
        match &self.body {
            Body::Json(json) if self.method != Method::GET => member(json, name) == Some(wanted),
            _ => text(wanted).is_some_and(|wanted| self.values(name).contains(&wanted)),
        }
    }

    fn values(&self, name: &str) -> Vec<String> {
        match &self.body {
            Body::Json(json) if self.method != Method::GET => member(json, name).and_then(text).into_iter().collect(),
            _ => self.all().into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect(),
        }
    }

    /// Every parameter of the request under the name it came with.
    fn all(&self) -> Vec<(String, String)> {
        if self.method == Method::GET {
            return self.query.clone();
        }
        match &self.body {
            Body::Form(pairs) => pairs.clone(),
            Body::Json(Value::Object(members)) => {
                members.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
            }
            Body::Json(_) | Body::Unreadable => Vec::new(),
        }
    }
}

impl Body {
    fn read(headers: &HeaderMap, bytes: &[u8]) -> Body {
        let json = || serde_json::from_slice::<Map<String, Value>>(bytes).ok().map(Value::Object);
        if has_media_type(headers, "application/json") {
            return json().map_or(Body::Unreadable, Body::Json);
        }
        if has_media_type(headers, "application/x-www-form-urlencoded") {
            return Body::Form(pairs(bytes));
        }
        json().map_or_else(|| Body::Form(pairs(bytes)), Body::Json)
    }
}

fn standardize_grant_type(words: &GrantTypeWords, parameters: &mut Vec<(String, String)>) {
    let given = parameters.iter().find(|(name, _)| name == "grant_type").map(|(_, value)| value.clone());
    let given = given.unwrap_or_default();
    let standard = match words {
        GrantTypeWords::Every(word) if *word == given => {
            let has = |wanted: &str| parameters.iter().any(|(name, value)| name == wanted && !value.is_empty());
            [("refresh_token", "refresh_token"), ("code", "authorization_code"), ("username", "password")]
                .into_iter()
                .find(|(parameter, _)| has(parameter))
                .map_or("client_credentials", |(_, grant)| grant)
                .to_owned()
        }
        GrantTypeWords::Every(_) => return,
        GrantTypeWords::Each(words) => match words.iter().find(|(_, word)| **word == given) {
            Some((standard, _)) => standard.clone(),
            None => return,
        },
    };
    parameters.retain(|(name, _)| name != "grant_type");
    parameters.push(("grant_type".to_owned(), standard));
}

fn broken(description: &'static str) -> Result<(), OauthError> {
    Err(OauthError::invalid_request(description))
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded).into_owned().collect()
}

/// A member by its name, or by a JSON Pointer (RFC 6901).
fn member<'a>(json: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') { json.pointer(name) } else { json.get(name) }
}

/// A JSON value as a form would carry it; a list is what spaces stand between.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(text).collect::<Vec<_>>().join(" ")),
        other => Some(other.to_string()),
    }
}
