//! The variables of a client: what a person, the client or the provider's answers put into its URLs, headers and bodies.

use std::collections::BTreeMap;
use std::fmt;

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::client::HeaderScheme;
use crate::secret::Secret;

mod accept;
mod confine;
mod definition;
mod found;
mod schema;

pub use self::accept::{Accepted, accept};
pub use self::definition::{check_definition, check_definitions};
pub use self::found::{Misfit, scalar};
pub use self::schema::{Implicit, schema};

/// The longest value (bytes).
const MAX_VALUE: usize = 2048;
/// The largest program that a pattern may become (bytes).
const MAX_PATTERN_PROGRAM: usize = 256 * 1024;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VariableKind {
    /// A line of text.
    #[default]
    String,
    /// An absolute http or https URL without user name and fragment; its trailing slash is left off.
    Url,
    /// A host name (RFC 1123 §2.1).
    Host,
    /// A decimal integer of 64 bits.
    Integer,
    /// `true` or `false`.
    Boolean,
}

/// Whether a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// A person is asked, and sees the default.
    #[default]
    Shown,
    /// No page asks; a backend may give it.
    Hidden,
    /// It is always the client's value or the default.
    Fixed,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VariableSource {
    /// The person, or the backend in their name.
    #[default]
    Person,
    /// The client's own `values`.
    Client,
    /// A parameter of the authorization response: `from`, or the one that is named like the variable.
    Callback,
    /// A member of the token response: the place `from`, or the one that is named like the variable.
    Token,
    /// One request with the new access token, or the item that was chosen for another variable: `lookup`.
    Lookup,
    /// A list that such a request brings: the person chooses, unless there is only one.
    Choice,
}

impl VariableSource {
    /// Whether an answer of the provider supplies it, which is hostile until it was checked.
    pub fn is_outside(self) -> bool {
        matches!(self, Self::Callback | Self::Token | Self::Lookup | Self::Choice)
    }
}

/// Where a value is looked up once a grant is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// What is asked, by GET and with the access token as the API wants it. It may have variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The variable for which an item of a list is chosen: the value is a member of that item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The place of the list, for a choice; `/` when the answer itself is the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<String>,
    /// The place of the value in the answer, or in an item of the list.
    pub value: String,
    /// The place of the words for people in an item of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// How the token is sent where that differs from the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderScheme>,
}

/// One of the values that are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "ChoiceForm")]
pub struct Choice {
    /// The value.
    pub value: String,
    /// What it is called, when that differs.
    pub label: Option<String>,
    /// Further placeholders and what stands for them when this is chosen. Every choice sets the same ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, String>,
}

/// How a choice is written: as a value alone, or with a label.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, deny_unknown_fields, expecting = "a choice is a string or an object of `value` and `label`")]
enum ChoiceForm {
    Value(String),
    Labelled {
        value: String,
        #[serde(default)]
        label: Option<String>,
        #[serde(default)]
        sets: BTreeMap<String, String>,
    },
}

impl From<ChoiceForm> for Choice {
    fn from(form: ChoiceForm) -> Self {
        match form {
            ChoiceForm::Value(value) => Self { value, label: None, sets: BTreeMap::new() },
            ChoiceForm::Labelled { value, label, sets } => Self { value, label, sets },
        }
    }
}

/// A variable of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name in placeholders and requests: 1 to 64 of `A-Z a-z 0-9 _ . -`, compared byte for byte.
    pub key: String,
    /// What people call it; the key when not given.
    #[serde(default)]
    pub label: Option<String>,
    /// Where people find it.
    #[serde(default)]
    pub help: Option<String>,
    /// What a value must be.
    #[serde(default, rename = "type")]
    pub kind: VariableKind,
    /// The only values that are allowed; empty for any.
    #[serde(default)]
    #[schema(value_type = Vec<ChoiceForm>)]
    pub choices: Vec<Choice>,
    /// The value when none is given.
    #[serde(default, deserialize_with = "scalar_text")]
    #[schema(value_type = Option<Scalar>)]
    pub default: Option<String>,
    /// A regular expression that the whole value matches, for text. Its classes are those of ASCII.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Whether nothing works without it.
    #[serde(default)]
    pub required: bool,
    /// Whether it is kept with the tokens, and never shown again.
    #[serde(default)]
    pub secret: bool,
    /// Whether a person is asked.
    #[serde(default)]
    pub visibility: Visibility,
    /// Where the value comes from. The default of one that an answer supplies is for answers without it.
    #[serde(default)]
    pub source: VariableSource,
    /// Where it stands in the answer that supplies it: the name of a parameter of the authorization response, or the place
    /// of a member of the token response. The key when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How it is looked up, for the sources `lookup` and `choice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup: Option<Lookup>,
    /// A value that fits, to show people what one looks like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Variable {
    /// What to call it.
    pub fn title(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.key)
    }

    /// Whether a page asks a person for it.
    pub fn is_asked(&self) -> bool {
        self.source == VariableSource::Person && self.visibility == Visibility::Shown
    }
}

/// The value of a variable as a request gives it: a JSON string, integer or boolean. It may be a secret, so it cannot be
/// printed or serialized, and its memory is overwritten when it is dropped.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(from = "Scalar")]
#[schema(value_type = Scalar)]
pub struct GivenValue(Secret<String>);

impl GivenValue {
    /// The value as text. Never pass it to a log, an error or a metric.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl AsRef<str> for GivenValue {
    fn as_ref(&self) -> &str {
        self.expose()
    }
}

impl fmt::Debug for GivenValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GivenValue([redacted])")
    }
}

impl From<&str> for GivenValue {
    fn from(value: &str) -> Self {
        Self(Secret::from(value))
    }
}

impl From<Scalar> for GivenValue {
    fn from(value: Scalar) -> Self {
        Self(Secret::new(value.into()))
    }
}

/// A value in JSON. A fraction is given as a string: `59.0` would become `59`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "a value is a string, an integer or a boolean")]
enum Scalar {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

impl From<Scalar> for String {
    fn from(value: Scalar) -> Self {
        match value {
            Scalar::Text(text) => text,
            Scalar::Integer(number) => number.to_string(),
            Scalar::Boolean(flag) => flag.to_string(),
        }
    }
}

fn scalar_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(deserializer)?.map(String::from))
}

/// A pattern that must match the whole value.
fn anchored(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}

/// A pattern, anchored. `None` for one that is no expression by itself (`a)|(b` would escape the anchors), that is too
/// large, or that has inline flags or named groups, which browsers read differently.
fn compile(pattern: &str) -> Option<Regex> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(MAX_PATTERN_PROGRAM).nest_limit(20).build().ok();
    build(pattern)?;
    if has_extension(pattern) { None } else { build(&anchored(pattern)) }
}

/// Whether a group begins with `(?` and is no plain `(?:`.
fn has_extension(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => drop(rest.next()),
            '(' if rest.as_str().starts_with('?') && !rest.as_str().starts_with("?:") => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
