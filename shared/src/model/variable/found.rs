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
        let said = match self.source {
            VariableSource::Callback => answer.get(self.place()).cloned(),
            // A place may be a path; the whole answer is an object again for it.
            _ => find(&Value::Object(answer.clone()), self.place()).cloned(),
        };
        match said.as_ref().and_then(scalar) {
            Some(text) => self.take(&text).map(Some),
            None => Ok(self.default.clone()),
        }
    }

    /// A value from outside as it is kept, if it is one of this variable: of its kind, among its choices, of its pattern. A
    /// URL where a host is wanted is cut to its host.
    ///
    /// # Errors
    /// [`Misfit`].
    pub fn take(&self, value: &str) -> Result<String, Misfit> {
        let value = if self.kind == VariableKind::Host { host_of(value) } else { value };
        conform(self, value).map_err(|(code, _)| Misfit { code })
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
