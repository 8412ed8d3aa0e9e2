//! Answers a test dictates, each used once.

use std::collections::BTreeMap;

use anyhow::ensure;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ClientSettings;

/// What a request gets instead of the usual answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScriptedAnswer {
    /// No answer: the connection is closed.
    Lost(LostAnswer),
    /// This status and nothing else; the request has no effect.
    Status(u16),
    /// This answer; the request has no effect.
    Raw(RawAnswer),
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
            ScriptedAnswer::Raw(raw) => raw.validate(),
        }
    }

    /// What the log says about it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            ScriptedAnswer::Lost(LostAnswer::Drop) => "drop",
            ScriptedAnswer::Lost(LostAnswer::DropAfter) => "drop_after",
            ScriptedAnswer::Status(_) | ScriptedAnswer::Raw(_) => "answer",
        }
    }

    /// Whether the caller gets no answer at all.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, ScriptedAnswer::Lost(_))
    }

    /// The answer of a request that has no effect; `None` when it is to be carried out.
    pub(crate) fn instead(&self) -> Option<Response> {
        match self {
            ScriptedAnswer::Lost(LostAnswer::DropAfter) => None,
            // Nobody gets to see it: the log middleware closes the connection.
            ScriptedAnswer::Lost(LostAnswer::Drop) => Some(StatusCode::NO_CONTENT.into_response()),
            ScriptedAnswer::Status(status) => Some(status_code(*status).into_response()),
            ScriptedAnswer::Raw(raw) => Some(raw.response()),
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

    fn response(&self) -> Response {
        let (implied, body) = match &self.body {
            Value::Null => (None, String::new()),
            Value::String(text) => (None, text.clone()),
            json => (Some("application/json"), json.to_string()),
        };
        let mut response = Response::new(body.into());
        *response.status_mut() = status_code(self.status);
        let content_type = self.content_type.as_deref().or(implied).map(|value| (CONTENT_TYPE.as_str(), value));
        let others = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in content_type.into_iter().chain(others) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl ClientSettings {
    /// Takes the next scripted answer of the token endpoint.
    pub(crate) fn next_token_answer(&mut self) -> Option<ScriptedAnswer> {
        self.token_answers.pop_front()
    }

    /// Takes the next scripted answer of the revocation endpoint.
    pub(crate) fn next_revoke_answer(&mut self) -> Option<ScriptedAnswer> {
        self.revoke_answers.pop_front()
    }
}

fn check_status(status: u16) -> anyhow::Result<()> {
    ensure!((200..=599).contains(&status), "the status of a scripted answer must be 200 to 599");
    Ok(())
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
