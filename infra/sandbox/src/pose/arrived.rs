//! A request as it arrived.

use axum::body::Bytes;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::address::authority_of;
use crate::client_auth::form_decode;

pub(super) struct Arrived {
    pub(super) method: Method,
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How the parameters of a request are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Form,
    Json,
    Query,
    /// Another media type, escaped like JSON, like XML or not at all.
    JsonText,
    XmlText,
    PlainText,
}

impl Media {
    /// Of the words and media types that `content_type` has; a GET has no body.
    pub(super) fn of(content_type: Option<&str>, method: &str) -> Media {
        let essence = essence(content_type.unwrap_or("form"));
        match essence.as_str() {
            _ if method == "GET" => Media::Query,
            "form" | FORM => Media::Form,
            "json" | JSON => Media::Json,
            "query" => Media::Query,
            other if other.contains("json") => Media::JsonText,
            other if other.contains("xml") => Media::XmlText,
            _ => Media::PlainText,
        }
    }

    /// A value as it stands inside a text.
    pub(super) fn escape(self, value: &str) -> String {
        match self {
            Media::Form | Media::Query => form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            Media::Json | Media::JsonText => {
                let quoted = Value::from(value).to_string();
                quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned()
            }
            Media::XmlText => {
                ENTITIES.iter().fold(value.to_owned(), |text, (plain, entity)| text.replace(plain, entity))
            }
            Media::PlainText => value.to_owned(),
        }
    }

    /// The other way round.
    pub(super) fn unescape(self, text: &str) -> String {
        match self {
            Media::Form | Media::Query => form_decode(text),
            Media::Json | Media::JsonText => serde_json::from_str(&format!("\"{text}\"")).unwrap_or_default(),
            Media::XmlText => {
                ENTITIES.iter().rev().fold(text.to_owned(), |text, (plain, entity)| text.replace(entity, plain))
            }
            Media::PlainText => text.to_owned(),
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const ENTITIES: [(&str, &str); 5] = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&apos;")];

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Arrived {
    pub(super) fn of(head: &Parts, body: Bytes) -> Arrived {
        let host = head.headers.get(HOST).and_then(|value| value.to_str().ok());
        Arrived {
            method: head.method.clone(),
            authority: authority_of(host, &head.uri),
            path: head.uri.path().to_owned(),
            query: form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
            headers: head.headers.clone(),
            body,
        }
    }

    /// The one value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// What every program says: who it is, and that it wants JSON; unless the entry has it say otherwise.
    pub(super) fn check_manners(&self, is_set: impl Fn(&str) -> bool) -> Result<(), String> {
        if self.header(USER_AGENT.as_str()).is_none_or(|value| value.trim().is_empty()) {
            return Err("the header User-Agent is missing".to_owned());
        }
        let accepts_json = self.header(ACCEPT.as_str()).is_some_and(|value| value.contains(JSON));
        if !accepts_json && !is_set(ACCEPT.as_str()) {
            return Err(format!("the header Accept must be {JSON}"));
        }
        Ok(())
    }

    /// User name and password of HTTP Basic, each form-urlencoded in it (RFC 6749 §2.3.1).
    pub(super) fn basic(&self) -> Result<(String, String), String> {
        let value = self.header(AUTHORIZATION.as_str()).ok_or("HTTP Basic is missing")?;
        let pair = value.strip_prefix("Basic ").and_then(|pair| STANDARD.decode(pair).ok());
        let pair = pair.and_then(|pair| String::from_utf8(pair).ok());
        let (id, secret) = pair.as_deref().and_then(|pair| pair.split_once(':')).ok_or("HTTP Basic cannot be read")?;
        Ok((Media::Form.unescape(id), Media::Form.unescape(secret)))
    }

    /// The parameters of the body, which must say that it is what it is.
    pub(super) fn parameters(&self, media: Media, content_type: Option<&str>) -> Result<Vec<(String, Value)>, String> {
        if self.body.is_empty() {
            return Ok(Vec::new());
        }
        self.check_content_type(media, content_type)?;
        if media == Media::Json {
            let body: Result<Map<String, Value>, _> = serde_json::from_slice(&self.body);
            return Ok(body.map_err(|_| "the body must be JSON")?.into_iter().collect());
        }
        let text = std::str::from_utf8(&self.body).map_err(|_| "the body must be a form")?;
        Ok(as_values(form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }

    /// The body as a text, which must say that it is what it is.
    pub(super) fn text(&self, media: Media, content_type: Option<&str>) -> Result<&str, String> {
        self.check_content_type(media, content_type)?;
        std::str::from_utf8(&self.body).map_err(|_| "the body must be a text".to_owned())
    }

    fn check_content_type(&self, media: Media, wanted: Option<&str>) -> Result<(), String> {
        let given = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let wanted = match (media, wanted) {
            (_, Some(wanted)) if wanted.contains('/') => wanted,
            (Media::Json, _) => JSON,
            _ => FORM,
        };
        // Parameters of a media type count where the entry has some.
        let same = if wanted.contains(';') {
            given.trim().eq_ignore_ascii_case(wanted.trim())
        } else {
            essence(given) == essence(wanted)
        };
        match (same, media) {
            (true, _) => Ok(()),
            (false, Media::Json) => Err(format!("the body must be JSON, not `{given}`")),
            (false, Media::Form) => Err(format!("the body must be a form, not `{given}`")),
            (false, _) => Err(format!("the body must be `{wanted}`, not `{given}`")),
        }
    }

    /// Whether a value stands anywhere among the parameters, in whatever form, or as the user name of HTTP Basic.
    pub(super) fn mentions(&self, value: &str) -> bool {
        let in_query = self.query.iter().any(|(_, given)| given == value);
        let in_basic = || self.basic().is_ok_and(|(id, _)| id == value);
        let encoded = Media::Form.escape(value);
        let in_body = || {
            let body = String::from_utf8_lossy(&self.body);
            body.contains(value) || body.contains(&encoded)
        };
        in_query || in_basic() || in_body()
    }

    /// Every code and token of the sandbox that stands anywhere in the request.
    pub(super) fn credentials(&self) -> Vec<String> {
        let values = self.headers.values().filter_map(|value| value.to_str().ok());
        let body = String::from_utf8_lossy(&self.body);
        let query = self.query.iter().map(|(_, value)| value.as_str());
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        values
            .chain(query)
            .chain([body.as_ref()])
            .flat_map(|text| text.split(move |c| !is_part(c)).filter(|word| word.starts_with("sbx_")))
            .map(str::to_owned)
            .collect()
    }
}

/// Parameters of a form or query, which are all texts.
pub(super) fn as_values(pairs: Vec<(String, String)>) -> Vec<(String, Value)> {
    pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}
