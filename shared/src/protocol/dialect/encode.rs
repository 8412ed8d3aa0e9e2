//! Turns parameters by the book into the request that a provider wants.

use std::cell::Cell;
use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::placeholder::{Found, Rules, Stage, substitute};
use super::render::replace;
use super::{BodyTemplate, RESERVED};

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// The parameters whose values are no secrets.
const SHOWN: [&str; 6] = ["audience", "client_id", "grant_type", "redirect_uri", "resource", "scope"];

/// A request as it is sent. It has no `Debug`: URL, headers and body may hold secrets.
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// The address, with its query.
    pub url: String,
    /// Headers, `Content-Type` included.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// The names of the parameters as sent, with the values of those that are no secrets.
    pub parameters: Vec<(String, String)>,
}

/// How a request differs from RFC 6749.
pub(crate) struct Shape<'a> {
    pub(crate) method: Method,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) query: &'a BTreeMap<String, String>,
    pub(crate) headers: &'a BTreeMap<String, String>,
    pub(crate) body: Option<&'a BodyTemplate>,
    pub(crate) names: &'a BTreeMap<String, String>,
}

/// Where parameters go, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    Json,
    Query,
    /// Only as a text, escaped for JSON, for XML or not at all.
    OtherJson,
    OtherXml,
    Other,
}

impl Kind {
    pub(super) fn of(content_type: Option<&str>) -> Self {
        let essence = content_type.unwrap_or("form").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "form" | "application/x-www-form-urlencoded" => Self::Form,
            "json" | "application/json" => Self::Json,
            "query" => Self::Query,
            other if other.contains("json") => Self::OtherJson,
            other if other.contains("xml") => Self::OtherXml,
            _ => Self::Other,
        }
    }

    /// Whether a value can stand inside a text body: where nothing is escaped, it must not end what it stands in.
    pub(super) fn takes(self, value: &str) -> bool {
        self != Self::Other || !value.contains(|c: char| c.is_control() || "\"'\\`".contains(c))
    }

    /// A value as it can stand inside a text body.
    pub(super) fn escape(self, value: &str) -> String {
        match self {
            Self::Form | Self::Query => byte_serialize(value.as_bytes()).collect(),
            Self::Json | Self::OtherJson => {
                let quoted = Value::from(value).to_string();
                quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
            }
            Self::OtherXml => {
                let with = |text: String, (plain, entity): (char, &str)| text.replace(plain, entity);
                [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&apos;")]
                    .into_iter()
                    .fold(value.to_owned(), with)
            }
            Self::Other => value.to_owned(),
        }
    }
}

/// One parameter on its way.
struct Parameter {
    name: String,
    /// Its name in the RFCs, when the flow sets it.
    standard: Option<String>,
    value: Value,
}

impl Parameter {
    fn text(&self) -> String {
        match &self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    fn is_reserved(&self) -> bool {
        self.standard.as_deref().is_some_and(|name| RESERVED.contains(&name))
    }

    fn shown(&self) -> (String, String) {
        let shown = self.standard.as_deref().is_some_and(|name| SHOWN.contains(&name));
        (self.name.clone(), if shown { self.text() } else { REDACTED.to_owned() })
    }
}

/// Encodes the standard parameters, in their order, with what the dialect adds. `headers` are those of the request so
/// far; the dialect's replace them. `elsewhere`: what placeholders may name as well and is no parameter, for it is in the
/// header `Authorization`.
///
/// Nothing comes of a dialect that no check has passed (an illegal header, a media type without a text), nor of a value
/// that would leave its place in a text.
pub(crate) fn encode(
    shape: &Shape<'_>,
    url: &Url,
    standard: &[(String, String)],
    elsewhere: &[(String, String)],
    mut headers: HeaderMap,
) -> Option<WireRequest> {
    let kind = if shape.method == Method::GET { Kind::Query } else { Kind::of(shape.content_type) };
    let find = |name: &str| {
        let value = standard.iter().chain(elsewhere).find(|(known, _)| known == name);
        value.map_or(Found::Unset, |(_, value)| Found::Text(value.clone()))
    };
    let rules = Rules { stage: Stage::Last, find: &find, inside: None };
    for (name, text) in shape.headers {
        // A header whose placeholder has no value in this request is left out.
        let Ok(Some(text)) = substitute(text, rules) else { continue };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }

    let mut url = url.clone();
    let parameters = parameters(shape, standard, rules);
    // What the address itself has in its query is on record by name.
    let mut shown: Vec<_> = url.query_pairs().map(|(name, _)| (name.into_owned(), REDACTED.to_owned())).collect();
    for (name, text) in shape.query {
        let is_taken = parameters.iter().any(|known| known.is_reserved() && known.name == *name);
        if let (false, Ok(Some(text))) = (is_taken, substitute(text, rules)) {
            url.query_pairs_mut().append_pair(name, &text);
            shown.push((name.clone(), REDACTED.to_owned()));
        }
    }
    shown.extend(parameters.iter().map(Parameter::shown));

    headers.remove(header::CONTENT_TYPE);
    let body = match (kind, shape.body) {
        (Kind::Query, Some(BodyTemplate::Text(_))) => return None,
        (_, Some(BodyTemplate::Text(text))) => {
            // In a text, a parameter that this request does not have leaves nothing behind.
            let misfit = Cell::new(false);
            let find = |name: &str| match find(name) {
                Found::Unset => Found::Text(String::new()),
                Found::Text(value) if !kind.takes(&value) => {
                    misfit.set(true);
                    Found::Unset
                }
                found => found,
            };
            let rules = Rules { stage: Stage::Last, find: &find, inside: Some(&|value| kind.escape(value)) };
            let text = substitute(text, rules).ok().flatten().filter(|_| !misfit.get())?;
            text.into_bytes()
        }
        (Kind::Query, _) => {
            if !parameters.is_empty() {
                url.query_pairs_mut().extend_pairs(parameters.iter().map(|known| (&known.name, known.text())));
            }
            Vec::new()
        }
        (Kind::Form, _) => {
            let mut form = Serializer::new(String::new());
            form.extend_pairs(parameters.iter().map(|known| (&known.name, known.text())));
            form.finish().into_bytes()
        }
        (Kind::Json, _) => {
            let members: Map<_, _> = parameters.into_iter().map(|known| (known.name, known.value)).collect();
            serde_json::to_vec(&members).ok()?
        }
        (Kind::OtherJson | Kind::OtherXml | Kind::Other, _) => return None,
    };
    if kind != Kind::Query && !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, media_type(kind, shape.content_type)?);
    }
    Some(WireRequest { method: shape.method.clone(), url: url.into(), headers, body, parameters: shown })
}

/// Standard parameters under the provider's names, then the extra ones, of which none replaces a reserved one.
fn parameters(shape: &Shape<'_>, standard: &[(String, String)], rules: Rules<'_>) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for (name, value) in standard {
        let wire = shape.names.get(name).unwrap_or(name);
        if !wire.is_empty() {
            let value = Value::from(value.as_str());
            parameters.push(Parameter { name: wire.clone(), standard: Some(name.clone()), value });
        }
    }
    let Some(BodyTemplate::Parameters(extra)) = shape.body else { return parameters };
    for (name, value) in extra {
        // A parameter whose placeholder has no value in this request is left out.
        let Ok(Some(value)) = replace(value, rules) else { continue };
        match parameters.iter_mut().find(|known| known.name == *name) {
            Some(known) if known.is_reserved() => {}
            // What replaces a parameter may hold a secret, so it is not shown as the parameter would be.
            Some(known) => *known = Parameter { name: name.clone(), standard: None, value },
            None => parameters.push(Parameter { name: name.clone(), standard: None, value }),
        }
    }
    parameters
}

/// The `Content-Type` to send: the standard one of the kind, unless a whole media type was given.
fn media_type(kind: Kind, given: Option<&str>) -> Option<HeaderValue> {
    match (kind, given) {
        (_, Some(given)) if given.contains('/') => HeaderValue::from_str(given.trim()).ok(),
        (Kind::Form, _) => Some(HeaderValue::from_static("application/x-www-form-urlencoded")),
        (Kind::Json, _) => Some(HeaderValue::from_static("application/json")),
        _ => None,
    }
}
