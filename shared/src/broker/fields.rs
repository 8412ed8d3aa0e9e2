//! Checks of single fields, collected so that a caller learns all wrong ones at once.

use std::collections::BTreeMap;

use url::Url;

use super::Broker;
use crate::error::{Error, FieldError, Result};
use crate::outbound::OutboundPolicy;
use crate::protocol::{authorization, scope};

/// The longest name, owner or id of the platform's that is stored (characters).
const MAX_TEXT: usize = 256;
/// The longest URL.
const MAX_URL: usize = 2048;
/// The most entries of a list or map.
pub(crate) const MAX_ENTRIES: usize = 50;

/// Collects what is wrong.
#[derive(Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    pub(crate) fn wrong(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.errors.push(FieldError { pointer: pointer.to_owned(), code, detail: detail.into() });
    }

    /// A text for people or an id of the platform: not empty, not too long, no control characters.
    pub(crate) fn text(&mut self, pointer: &str, text: &str) {
        if text.trim().is_empty() {
            self.wrong(pointer, "empty", "It must not be empty.");
        } else if text.chars().count() > MAX_TEXT {
            self.wrong(pointer, "too_long", format!("It must have at most {MAX_TEXT} characters."));
        } else if text.chars().any(char::is_control) {
            self.wrong(pointer, "control_character", "It must not contain control characters.");
        }
    }

    /// How much is wrong so far.
    pub(crate) fn count(&self) -> usize {
        self.errors.len()
    }

    pub(crate) fn text_opt(&mut self, pointer: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.text(pointer, text);
        }
    }

    pub(crate) fn scopes<'a>(&mut self, pointer: &str, scopes: impl IntoIterator<Item = &'a String>) {
        for (index, scope) in scopes.into_iter().enumerate() {
            if index >= 200 {
                return self.wrong(pointer, "too_many", "There are too many scopes.");
            }
            if !scope::is_scope_token(scope) || scope.len() > MAX_TEXT {
                let rule = "A scope is visible ASCII without spaces, quotes and backslashes (RFC 6749 §3.3).";
                self.wrong(&format!("{pointer}/{index}"), "not_a_scope", rule);
            }
        }
    }

    pub(crate) fn labels(&mut self, pointer: &str, labels: &BTreeMap<String, String>) {
        if labels.len() > MAX_ENTRIES {
            return self.wrong(pointer, "too_many", format!("There may be at most {MAX_ENTRIES} labels."));
        }
        for (name, value) in labels {
            let pointer = format!("{pointer}/{}", escape(name));
            self.text(&pointer, name);
            if value.chars().count() > MAX_TEXT || value.chars().any(char::is_control) {
                self.wrong(&pointer, "not_a_label", format!("At most {MAX_TEXT} characters, no control characters."));
            }
        }
    }

    /// Extra authorization parameters: none that the flow sets itself.
    pub(crate) fn authorization_params(&mut self, pointer: &str, params: &BTreeMap<String, String>) {
        for (name, value) in params {
            let pointer = format!("{pointer}/{}", escape(name));
            if authorization::is_reserved(name) {
                self.wrong(&pointer, "reserved_parameter", "The flow sets this parameter itself.");
            } else if name.is_empty() || name.len() > MAX_TEXT || value.len() > MAX_URL {
                self.wrong(&pointer, "too_long", "The name or the value is empty or too long.");
            } else if name.chars().chain(value.chars()).any(char::is_control) {
                self.wrong(&pointer, "control_character", "It must not contain control characters.");
            }
        }
    }

    /// An endpoint or API that we or the browser will call: https, a public host.
    pub(crate) fn endpoint(&mut self, policy: &OutboundPolicy, pointer: &str, url: &str) {
        if let Err(refusal) = policy.check_url(url) {
            self.wrong(pointer, refusal.code(), format!("{refusal}. {}", refusal.advice()));
        }
    }

    /// What was collected, as an error.
    pub(crate) fn into_error(self) -> Error {
        Error::Invalid(self.errors)
    }

    pub(crate) fn done(self) -> Result<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Error::Invalid(self.errors)) }
    }
}

/// A key as a segment of a JSON Pointer (RFC 6901 §3).
pub(crate) fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

impl Broker {
    /// An endpoint or API that we or the browser will call: https, a public host.
    pub(crate) fn check_endpoint(&self, fields: &mut Fields, pointer: &str, url: Option<&String>) {
        if let Some(url) = url {
            fields.endpoint(self.outbound().policy(), pointer, url);
        }
    }

    /// A page of the platform: https, compared character by character later. Loopback http only in the local stack.
    pub(crate) fn check_return_urls(&self, fields: &mut Fields, pointer: &str, urls: &[String]) {
        if urls.len() > MAX_ENTRIES {
            return fields.wrong(pointer, "too_many", format!("There may be at most {MAX_ENTRIES} return URLs."));
        }
        for (index, url) in urls.iter().enumerate() {
            if !self.is_return_url(url) {
                fields.wrong(
                    &format!("{pointer}/{index}"),
                    "not_a_return_url",
                    "A return URL is absolute, uses https, and has no user name, password, fragment or spaces.",
                );
            }
        }
    }

    fn is_return_url(&self, text: &str) -> bool {
        let Ok(url) = Url::parse(text) else { return false };
        let loopback = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback && self.config().plain_http());
        // A URL that the parser had to mend reads differently in different programs.
        let as_written = text.is_ascii()
            && !text.contains(['\\', ' ', '"', '<', '>'])
            && !text.chars().any(char::is_control)
            && (url.as_str() == text || url.as_str() == format!("{text}/"));
        let dotted = url.host_str().is_some_and(|host| host.ends_with('.'));
        scheme
            && as_written
            && !dotted
            && text.len() <= MAX_URL
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    }
}
