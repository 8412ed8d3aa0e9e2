//! How a provider treats refresh tokens, and what goes wrong with its answers.

use std::collections::VecDeque;

use grantkeeper::model::client::RefreshFacts;
use grantkeeper_sandbox::{
    ClientSettings, Fault as SandboxFault, FaultKind, Garbage, RefreshTokenMode, ReusePenalty, ScriptedAnswer,
};
use serde_json::json;

/// How a provider treats refresh tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They stay the same.
    Static,
    /// A spent one gets a fresh pair for ten minutes, and costs the grant after that.
    Grace,
    /// Each works once.
    Strict,
    /// Each works once, and a second use costs the grant.
    Family,
    /// Older ones keep working, and the client says so.
    Lenient,
}

impl Mode {
    pub const ALL: [Mode; 5] = [Mode::Static, Mode::Grace, Mode::Strict, Mode::Family, Mode::Lenient];

    pub fn name(self) -> &'static str {
        match self {
            Mode::Static => "static",
            Mode::Grace => "grace",
            Mode::Strict => "strict",
            Mode::Family => "family",
            Mode::Lenient => "lenient",
        }
    }

    /// The provider's side.
    pub fn at_sandbox(self, client_id: &str) -> ClientSettings {
        let (refresh_token, grace_seconds, reuse_penalty) = match self {
            Mode::Static => (RefreshTokenMode::Static, 0, ReusePenalty::Family),
            Mode::Grace => (RefreshTokenMode::Rotating, 600, ReusePenalty::Family),
            Mode::Strict => (RefreshTokenMode::Rotating, 0, ReusePenalty::Token),
            Mode::Family => (RefreshTokenMode::Rotating, 0, ReusePenalty::Family),
            Mode::Lenient => (RefreshTokenMode::Rotating, 0, ReusePenalty::None),
        };
        let client_id = client_id.to_owned();
        ClientSettings { client_id, refresh_token, grace_seconds, reuse_penalty, ..ClientSettings::default() }
    }

    /// What a superuser tells of it. Nothing, where the strictest is true.
    pub fn facts(self) -> RefreshFacts {
        let facts = match self {
            Mode::Static => json!({ "kind": "static" }),
            Mode::Grace => json!({ "kind": "rotating", "grace_seconds": 600, "reuse_penalty": "family" }),
            Mode::Strict => json!({ "kind": "rotating", "reuse_penalty": "token" }),
            Mode::Family => json!({}),
            Mode::Lenient => json!({ "kind": "rotating", "reuse_penalty": "none" }),
        };
        serde_json::from_value(facts).unwrap_or_default()
    }

    /// Whether a refresh token whose answer was lost is lost with it.
    pub fn is_unforgiving(self) -> bool {
        matches!(self, Mode::Strict | Mode::Family)
    }
}

/// What becomes of one token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// The connection is closed before the request has an effect.
    Drop,
    /// The connection is closed when the tokens have rotated.
    DropAfter,
    /// The tokens rotate, nothing comes for a second, and the connection is closed.
    HangAfter,
    /// The tokens rotate, and nothing comes for longer than anybody waits.
    TimeoutAfter,
    /// Status 500 without an effect.
    Error,
    /// Status 500 when the tokens have rotated.
    ErrorAfter,
    /// Status 503 without `Retry-After` when the tokens have rotated.
    BusyAfter,
    /// The answer breaks off.
    Truncate,
    /// Half an answer that looks whole.
    Half,
    /// A page with status 200, without an effect.
    Page,
    /// A page with status 200 when the tokens have rotated.
    PageAfter,
    /// Bytes that nobody understands when the tokens have rotated.
    BytesAfter,
    /// Nothing at all with status 200 when the tokens have rotated.
    EmptyAfter,
    /// Status 429 with `Retry-After`.
    TooMany,
    /// Status 503 with `Retry-After`.
    Later,
    /// An `invalid_grant` without a reason.
    InvalidGrant,
    /// A refusal of the client.
    InvalidClient,
}

impl Fault {
    pub const ALL: [Fault; 18] = [
        Fault::None,
        Fault::Drop,
        Fault::DropAfter,
        Fault::HangAfter,
        Fault::TimeoutAfter,
        Fault::Error,
        Fault::ErrorAfter,
        Fault::BusyAfter,
        Fault::Truncate,
        Fault::Half,
        Fault::Page,
        Fault::PageAfter,
        Fault::BytesAfter,
        Fault::EmptyAfter,
        Fault::TooMany,
        Fault::Later,
        Fault::InvalidGrant,
        Fault::InvalidClient,
    ];

    /// What the sandbox is told.
    pub fn scripted(self) -> Option<ScriptedAnswer> {
        let oauth = |error: &str| FaultKind::OauthError { error: error.to_owned(), status: None, retry_after: None };
        let status = |status, retry_after| FaultKind::Status { status, retry_after };
        let garbage = |body| FaultKind::Garbage { body };
        let (kind, after_commit) = match self {
            Fault::None => return None,
            Fault::Drop => (FaultKind::Drop, false),
            Fault::DropAfter => (FaultKind::Drop, true),
            Fault::HangAfter => {
                let hang = SandboxFault { kind: FaultKind::Hang, after_commit: true, delay_ms: 1000 };
                return Some(ScriptedAnswer::Fault(hang));
            }
            Fault::TimeoutAfter => (FaultKind::Hang, true),
            Fault::Error => (status(500, None), false),
            Fault::ErrorAfter => (status(500, None), true),
            Fault::BusyAfter => (status(503, None), true),
            Fault::Truncate => (FaultKind::Truncate { full_length: true }, true),
            Fault::Half => (FaultKind::Truncate { full_length: false }, true),
            Fault::Page => (garbage(Garbage::Html), false),
            Fault::PageAfter => (garbage(Garbage::Html), true),
            Fault::BytesAfter => (garbage(Garbage::Bytes), true),
            Fault::EmptyAfter => (garbage(Garbage::Empty), true),
            Fault::TooMany => (status(429, Some(20)), false),
            Fault::Later => (status(503, Some(20)), false),
            Fault::InvalidGrant => (oauth("invalid_grant"), false),
            Fault::InvalidClient => (oauth("invalid_client"), false),
        };
        Some(ScriptedAnswer::Fault(SandboxFault::new(kind, after_commit)))
    }

    /// Whether nobody knows afterwards what became of the request.
    pub fn is_unknown(self) -> bool {
        !matches!(self, Fault::None | Fault::TooMany | Fault::Later | Fault::InvalidGrant | Fault::InvalidClient)
    }

    /// Whether the tokens rotate and the answer is lost.
    pub fn loses_tokens(self) -> bool {
        self.is_unknown() && !matches!(self, Fault::Drop | Fault::Error | Fault::Page)
    }
}

/// The script of faults for a client.
pub fn script(faults: &[Fault]) -> VecDeque<ScriptedAnswer> {
    faults.iter().filter_map(|fault| fault.scripted()).collect()
}
