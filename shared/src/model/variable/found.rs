//! Values that answers of a provider supply. They come from outside: each is checked before anything is sent where it says.

use serde_json::{Map, Value};

use super::accept::conform;
use super::{Variable, VariableKind, VariableSource};
use crate::protocol::dialect::lookup::find;

/// Why a value from outside is not taken. It never quotes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit {
    /// The stable code of what is wrong with it.
    pub code: &'static str,
}

impl Variable {
    /// The name of the parameter, or the place of the member, that supplies it.
    pub fn place(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.key)
    }

    /// The value among the parameters of an authorization response, or in a token response. `Ok(None)`: nothing is there,
    /// and there is no default.
    ///
    /// # Errors
    /// [`Misfit`]: what is there is no value of this variable.
    pub fn read(&self, answer: &Map<String, Value>) -> Result<Option<String>, Misfit> {
        match self.said_in(answer) {
            Some(text) => self.take(&text).map(Some),
            None => Ok(self.default.clone()),
        }
    }

    /// What an answer says at its place.
    pub fn said_in(&self, answer: &Map<String, Value>) -> Option<String> {
        match self.source {
            VariableSource::Callback => answer.get(self.place()).and_then(scalar),
            // A place may be a path; the whole answer is an object again for it.
            _ => find(&Value::Object(answer.clone()), self.place()).and_then(scalar),
        }
    }

    /// A URL where a host is wanted, cut to its host; anything else as it is.
    pub fn cut<'v>(&self, value: &'v str) -> &'v str {
        if self.kind == VariableKind::Host { host_of(value) } else { value }
    }

    /// A value from outside as it is kept, if it is one of this variable: of its kind, among its choices, of its pattern. A
    /// URL where a host is wanted is cut to its host.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn take(&self, value: &str) -> Result<String, Misfit> {
        conform(self, self.cut(value)).map_err(|(code, _)| Misfit { code })
    }
}

/// What stands between the scheme and the path of a URL.
fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// A text with something in it, a number or a truth value, as text.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn variable(definition: Value) -> Variable {
        serde_json::from_value(definition).unwrap()
    }

    fn read(variable: &Variable, answer: Value) -> Result<Option<String>, Misfit> {
        variable.read(answer.as_object().unwrap())
    }

    #[test]
    fn a_value_is_found_at_its_place_and_kept_as_its_kind_says() {
        let team = variable(json!({ "key": "team", "source": "token", "from": "/team/id" }));
        assert_eq!(read(&team, json!({ "team": { "id": 7 } })), Ok(Some("7".to_owned())));
        assert_eq!(read(&team, json!({ "team": {} })), Ok(None));
        let dotted = variable(json!({ "key": "a.b", "source": "callback" }));
        assert_eq!(read(&dotted, json!({ "a.b": "x", "a": { "b": "y" } })), Ok(Some("x".to_owned())));
        let host = variable(json!({ "key": "h", "type": "host", "source": "callback", "default": "us.example" }));
        assert_eq!(read(&host, json!({ "h": "HTTPS://EU.example/path?x#y" })), Ok(Some("eu.example".to_owned())));
        assert_eq!(read(&host, json!({ "h": " " })), Ok(Some("us.example".to_owned())));
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let listed = variable(json!({ "key": "h", "type": "host", "source": "callback",
                                      "choices": ["us.example", "eu.example"] }));
        for hostile in [
            "evil.example",
            "eu.example@evil.example",
            "https://eu.example@evil.example/",
            "eu.example:444",
            "eu.example\r\nx",
            "evil.example/eu.example",
            "https://evil.example#eu.example",
        ] {
            assert!(listed.take(hostile).is_err(), "{hostile}");
        }
        let patterned = variable(
            json!({ "key": "u", "type": "url", "source": "token", "pattern": "https://[a-z]+\\.acme\\.example" }),
        );
        assert_eq!(patterned.take("https://eu.acme.example/"), Ok("https://eu.acme.example".to_owned()));
        for hostile in [
            "http://eu.acme.example",
            "https://eu.acme.example.evil.example",
            "https://eu.acme.example/x",
            "javascript:x",
        ] {
            assert!(patterned.take(hostile).is_err(), "{hostile}");
        }
    }
}
