//! Answers a test dictates.

use std::collections::BTreeMap;

use anyhow::ensure;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ClientSettings, Fault, GrantType};

/// What a request gets instead of the usual answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ScriptedAnswer {
    /// No answer: the connection is closed.
    Lost(LostAnswer),
    /// This status and nothing else; the request has no effect.
    Status(u16),
    /// Something goes wrong.
    Fault(Fault),
    /// This answer; the request has no effect.
    Raw(RawAnswer),
}

impl<'de> Deserialize<'de> for ScriptedAnswer {
    /// Told apart by what is there, so that a mistake is told in the words of the form that was meant.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let answer = match &value {
            Value::String(_) => serde_json::from_value(value).map(ScriptedAnswer::Lost),
            Value::Number(_) => serde_json::from_value(value).map(ScriptedAnswer::Status),
            Value::Object(members) if members.contains_key("fault") => {
                serde_json::from_value(value).map(ScriptedAnswer::Fault)
            }
            _ => serde_json::from_value(value).map(ScriptedAnswer::Raw),
        };
        answer.map_err(D::Error::custom)
    }
}

/// When a connection is closed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostAnswer {
    /// Before the request has an effect.
    Drop,
    /// After the request had its effect.
    DropAfter,
}

/// An answer, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAnswer {
    /// 200 to 599.
    pub status: u16,
    /// Left out: `application/json` for a body that is JSON, none for a body that is text.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Text as it is, anything else as JSON; left out or null: empty.
    #[serde(default)]
    pub body: Value,
}

impl ScriptedAnswer {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        match self {
            ScriptedAnswer::Lost(_) => Ok(()),
            ScriptedAnswer::Status(status) => check_status(*status),
            ScriptedAnswer::Fault(fault) => fault.validate(),
            ScriptedAnswer::Raw(raw) => raw.validate(),
        }
    }

    /// What the log says about it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            ScriptedAnswer::Lost(LostAnswer::Drop) => "drop",
            ScriptedAnswer::Lost(LostAnswer::DropAfter) => "drop_after",
            ScriptedAnswer::Fault(fault) => fault.word(),
            ScriptedAnswer::Status(_) | ScriptedAnswer::Raw(_) => "answer",
        }
    }

    /// Whether the request is carried out.
    pub(crate) fn takes_effect(&self) -> bool {
        match self {
            ScriptedAnswer::Lost(lost) => *lost == LostAnswer::DropAfter,
            ScriptedAnswer::Fault(fault) => fault.takes_effect(),
            ScriptedAnswer::Status(_) | ScriptedAnswer::Raw(_) => false,
        }
    }
}

impl RawAnswer {
    fn validate(&self) -> anyhow::Result<()> {
        check_status(self.status)?;
        let names_are_good = self.headers.keys().all(|name| HeaderName::from_bytes(name.as_bytes()).is_ok());
        let mut values = self.headers.values().chain(&self.content_type);
        ensure!(
            names_are_good && values.all(|value| HeaderValue::from_str(value).is_ok()),
            "a scripted answer has an impossible header"
        );
        Ok(())
    }

    /// The headers and the body.
    pub(crate) fn parts(&self) -> (HeaderMap, String) {
        let (implied, body) = match &self.body {
            Value::Null => (None, String::new()),
            Value::String(text) => (None, text.clone()),
            json => (Some("application/json"), json.to_string()),
        };
        let mut headers = HeaderMap::new();
        let content_type = self.content_type.as_deref().or(implied).map(|value| (CONTENT_TYPE.as_str(), value));
        let others = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in content_type.into_iter().chain(others) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        (headers, body)
    }
}

impl ClientSettings {
    /// Takes the next scripted answer of the token endpoint, or what a rule has for a request of this grant type.
    pub(crate) fn next_token_answer(&mut self, grant_type: Option<GrantType>) -> Option<ScriptedAnswer> {
        let scripted = self.token_answers.pop_front();
        scripted.or_else(|| self.token_faults.iter_mut().find_map(|rule| rule.decide(grant_type)))
    }

    /// Takes the next scripted answer of the revocation endpoint.
    pub(crate) fn next_revoke_answer(&mut self) -> Option<ScriptedAnswer> {
        self.revoke_answers.pop_front()
    }
}

pub(super) fn check_status(status: u16) -> anyhow::Result<()> {
    ensure!((200..=599).contains(&status), "the status of a scripted answer must be 200 to 599");
    Ok(())
}
