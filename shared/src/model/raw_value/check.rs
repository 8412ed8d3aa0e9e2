//! What a raw credential may be.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, HeaderValue};

use super::RawValue;
use super::schema::Schema;
use crate::error::FieldError;
use crate::protocol::template::{self, TemplateError, absolute_url, normalise_url_value};
use crate::secret::Secret;

/// The largest body (bytes of JSON).
const MAX_BODY: usize = 64_000;
/// The largest document that the vault takes (bytes).
const MAX_DOCUMENT: usize = 65_536;
/// The most headers, and the longest value of one.
const MAX_HEADERS: usize = 50;
const MAX_HEADER: usize = 8192;
/// The longest URL.
const MAX_URL: usize = 2048;

impl RawValue {
    /// The value as it is kept, if it may be kept.
    ///
    /// # Errors
    /// All that is wrong, with JSON Pointers into the request. Nothing of the body is quoted.
    pub fn accept(mut self) -> Result<Self, Vec<FieldError>> {
        let mut wrong = Vec::new();
        let mut refuse = |pointer: &str, code, detail: &str| {
            wrong.push(FieldError { pointer: pointer.to_owned(), code, detail: detail.to_owned() });
        };
        if !self.body.is_object() {
            refuse("/body", "not_an_object", "The body of a raw credential is a JSON object.");
        }
        if self.body.to_string().len() > MAX_BODY {
            refuse("/body", "too_large", "At most 64,000 bytes of JSON.");
        } else if self.to_document().expose().len() > MAX_DOCUMENT {
            refuse("", "too_large", "Body, schema and headers together have at most 65,536 bytes of JSON.");
        }
        if let Some(url) = &self.api_base_url {
            let url = normalise_url_value(url);
            if url.len() > MAX_URL || url.contains('?') || absolute_url(&url).is_err() {
                let rule = "An absolute http or https URL without user name, password, query and fragment.";
                refuse("/api_base_url", "not_a_base_url", rule);
            }
            self.api_base_url = Some(url);
        }
        if let Err(errors) = self.render_headers() {
            wrong.extend(errors);
        }
        let below = |start: &'static str| {
            move |error: FieldError| FieldError { pointer: format!("{start}{}", error.pointer), ..error }
        };
        match self.schema.as_ref().map(Schema::parse) {
            None => {}
            Some(Ok(schema)) => wrong.extend(schema.check(&self.body).into_iter().map(below("/body"))),
            Some(Err(error)) => wrong.push(below("/schema")(error)),
        }
        if wrong.is_empty() { Ok(self) } else { Err(wrong) }
    }

    /// The headers of a request to the API, with the members of the body in them.
    ///
    /// # Errors
    /// Names that are no header names, values that would be no header values, and members that the body does not have.
    pub fn render_headers(&self) -> Result<BTreeMap<String, Secret<String>>, Vec<FieldError>> {
        let members = self.members();
        let (mut rendered, mut wrong, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        if self.headers.len() > MAX_HEADERS {
            let detail = format!("There may be at most {MAX_HEADERS} headers.");
            return Err(vec![FieldError { pointer: "/headers".to_owned(), code: "too_many", detail }]);
        }
        for (name, value) in &self.headers {
            let mut refuse = |code, detail: String| {
                let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
                wrong.push(FieldError { pointer, code, detail });
            };
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                refuse("not_a_header", "A header name like X-Api-Key (RFC 9110 §5.1).".to_owned());
            } else if !seen.insert(name.to_ascii_lowercase()) {
                refuse("repeated", "Header names are compared without case, and this one is there twice.".to_owned());
            }
            match template::render(value, &members) {
                // RFC 9110 §5.5: a line break in a value would begin another header, and beyond ASCII readers differ.
                Ok(text) if text.len() <= MAX_HEADER && text.is_ascii() && HeaderValue::from_str(&text).is_ok() => {
                    rendered.insert(name.clone(), Secret::new(text));
                }
                Ok(_) => refuse(
                    "not_a_header_value",
                    "With the members of the body in it, it is no header value: visible ASCII and spaces.".to_owned(),
                ),
                Err(TemplateError::Missing(member)) => refuse(
                    "unknown_member",
                    format!("The body has no member `{member}` that is a text, a number or a boolean."),
                ),
                Err(error) => refuse("not_a_template", format!("It is no template: {error}.")),
            }
        }
        if wrong.is_empty() { Ok(rendered) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wrong(body: Value, url: Option<&str>, headers: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let errors = RawValue::new(body, None, url.map(str::to_owned), headers).accept().err().unwrap_or_default();
        assert!(!format!("{errors:?}").contains("CANARY"));
        errors.into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn a_member_cannot_begin_another_header() {
        for hostile in ["CANARY\r\nX-Admin: 1", "CANARY\n", "CANARY\0", "CANARYé", "\u{7f}CANARY", "\rCANARY"] {
            let found = wrong(json!({ "key": hostile }), None, &[("X-Api-Key", "{key}")]);
            assert_eq!(found, [("/headers/X-Api-Key".to_owned(), "not_a_header_value")], "{hostile:?}");
        }
        for (name, value, code) in [
            ("X Api", "{key}", "not_a_header"),
            ("X:Y", "{key}", "not_a_header"),
            ("", "{key}", "not_a_header"),
            ("X\r\nY", "{key}", "not_a_header"),
            ("X", "{other}", "unknown_member"),
            ("X", "{nested}", "unknown_member"),
            ("X", "{key", "not_a_template"),
            ("X", "{a b}", "not_a_template"),
        ] {
            let found = wrong(json!({ "key": "k", "nested": {} }), None, &[(name, value)]);
            assert_eq!(found, [(format!("/headers/{name}"), code)]);
        }
        let twice = wrong(json!({}), None, &[("X-A", "1"), ("x-a", "2")]);
        assert_eq!(twice, [("/headers/x-a".to_owned(), "repeated")]);
    }

    #[test]
    fn a_base_url_leads_to_one_host_and_loses_its_slash() {
        for url in ["http://10.0.0.7:8080/openmrs/", "https://h.example", "http://h/openmrs//"] {
            let kept = RawValue::new(json!({}), None, Some(url.to_owned()), BTreeMap::new()).accept().ok().unwrap();
            assert_eq!(kept.api_base_url.as_deref(), Some(url.trim_end_matches('/')));
        }
        for url in [
            "h.example",
            "ftp://h",
            "https://ada:p@h",
            "https://h/?q",
            "https://h/#f",
            "https://",
            "/x",
            "",
            "http://h/\r\n",
        ] {
            assert_eq!(wrong(json!({}), Some(url), &[]), [("/api_base_url".to_owned(), "not_a_base_url")], "{url:?}");
        }
    }

    #[test]
    fn the_body_is_an_object_of_at_most_64_kilobytes() {
        assert_eq!(wrong(json!([1]), None, &[]), [("/body".to_owned(), "not_an_object")]);
        assert_eq!(wrong(json!({ "a": "x".repeat(64_000) }), None, &[]), [("/body".to_owned(), "too_large")]);
        assert_eq!(wrong(json!({ "a": "x".repeat(63_990) }), None, &[]), []);
    }

    #[test]
    fn members_stand_in_headers() {
        let headers = [("Authorization".to_owned(), "ApiKey {id}:{secret}".to_owned())].into();
        let value = RawValue::new(json!({ "id": 7, "secret": "s3" }), None, None, headers).accept().ok().unwrap();
        let rendered = value.render_headers().ok().unwrap();
        assert!(rendered["Authorization"].matches(b"ApiKey 7:s3"));
    }
}
