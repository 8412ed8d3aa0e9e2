//! What went wrong, in plain words, and what to check: from the step, the HTTP status, the RFC code and what is known of
//! the provider. Nothing of it repeats free text of a provider.

mod api;
mod asked;
mod authorization;
mod challenge;
mod endpoint;
mod finding;
mod grant;
mod hint;
mod reach;
mod shape;
#[cfg(test)]
mod tests;
mod token;
mod words;

use serde::Serialize;
use utoipa::ToSchema;

pub use challenge::{WwwAuthenticate, parse_www_authenticate};
pub use hint::{Hint, known_error};
pub(crate) use hint::{RATE_LIMITED, meaning};
pub use shape::{Check, Verdict, token_checks};

/// What happened, and what to check, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Advice {
    /// Stable code of the case.
    pub code: &'static str,
    /// One sentence, the same for every case of this code.
    pub title: &'static str,
    /// What happened here, with the values that are safe to show: URLs without query, scopes, status, RFC code.
    pub detail: String,
    /// What to check or do, in order; never empty.
    pub advice: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
}

/// How bad a case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It works, and will not always.
    Warning,
    /// It does not work.
    Error,
}

impl Advice {
    fn new(severity: Severity, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { code, title, detail: detail.into(), advice: Vec::new(), severity }
    }

    fn error(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, title, detail)
    }

    fn warning(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, title, detail)
    }

    fn info(code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, title, detail)
    }

    /// One more thing to check.
    fn check(mut self, what: impl Into<String>) -> Self {
        self.advice.push(what.into());
        self
    }

    /// One more thing to check, when there is one.
    fn check_some(mut self, what: Option<String>) -> Self {
        self.advice.extend(what);
        self
    }
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// The authorization request and its response (RFC 6749 §4.1.1, §4.1.2).
    Authorization,
    /// The exchange of the code (RFC 6749 §4.1.3).
    Exchange,
    /// The client credentials grant (RFC 6749 §4.4).
    ClientCredentials,
    /// The resource owner password grant (RFC 6749 §4.3).
    Password,
    /// A refresh (RFC 6749 §6).
    Refresh,
    /// A revocation (RFC 7009).
    Revocation,
    /// An introspection (RFC 7662).
    Introspection,
    /// The authorization server's metadata (RFC 8414, OpenID Connect Discovery).
    Discovery,
    /// A request to the API with the access token (RFC 6750).
    ApiRequest,
    /// What is found in the configuration or in the result, without any answer.
    #[default]
    Setup,
}

impl Step {
    /// Whether the token endpoint was asked for tokens.
    fn asks_tokens(self) -> bool {
        matches!(self, Self::Exchange | Self::ClientCredentials | Self::Password | Self::Refresh)
    }
}

/// Why no complete answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The host name could not be resolved.
    Dns,
    /// No connection came about.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// Time ran out.
    Timeout,
    /// The answer is longer than the limit.
    TooLarge,
    /// The connection was lost, or what came back is not HTTP.
    Interrupted,
    /// Our policy forbids the address.
    Refused,
    /// The operator's proxy could not be reached, or would not connect.
    Proxy,
    /// No request could be made of what is configured.
    Unbuildable,
}

/// What is known of the provider, from its catalogue entry or its metadata.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quirks<'a> {
    /// How a client authenticates there (RFC 7591 §2: `client_secret_post`, …).
    pub auth_method: Option<&'a str>,
    /// What stands before the token in a request to the API.
    pub header_prefix: Option<&'a str>,
    /// How one asks for a refresh token there: `offline_access` (a scope), `access_type=offline` (a parameter).
    pub offline: Option<&'a str>,
    /// A refresh token dies there when it is unused for this long (days).
    pub refresh_idle_days: Option<u32>,
    /// Whether the token endpoint wants a JSON body.
    pub json_body: bool,
}

/// Everything that the classifier looks at. What is not known stays at its default.
#[derive(Debug, Clone, Default)]
pub struct Situation<'a> {
    /// The step.
    pub step: Step,
    /// The HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The `error` of the answer (RFC 6749 §4.1.2.1, §5.2, OpenID Connect Core §3.1.2.6, RFC 8707 §2). A code that is not
    /// known here is never shown.
    pub error: Option<&'a str>,
    /// What the answer's free text gave away, see [`Hint::recognise`].
    pub hint: Option<Hint>,
    /// Why no answer came.
    pub failure: Option<Failure>,
    /// The answer is a web page.
    pub is_html: bool,
    /// The answer is not the JSON (or form) that it should be.
    pub not_json: bool,
    /// A success without an access token (RFC 6749 §5.1).
    pub no_access_token: bool,
    /// `Retry-After`, in seconds.
    pub retry_after_seconds: Option<u64>,
    /// The grant type that was sent: `authorization_code`, `client_credentials`, `password`, `refresh_token`.
    pub grant: Option<&'a str>,
    /// The redirect URI that was sent, byte for byte.
    pub redirect_uri: Option<&'a str>,
    /// The scopes that were sent.
    pub scopes: &'a [String],
    /// The scopes of the answer.
    pub granted: Option<&'a [String]>,
    /// The token endpoint.
    pub token_endpoint: Option<&'a str>,
    /// What was asked, where that is not the token endpoint: the API, the metadata, the revocation endpoint.
    pub url: Option<&'a str>,
    /// How the client authenticated (RFC 7591 §2).
    pub auth_method: Option<&'a str>,
    /// What stood before the token in the request to the API.
    pub header_prefix: Option<&'a str>,
    /// The API's challenge.
    pub www_authenticate: Option<WwwAuthenticate>,
    /// The `audience` that was sent.
    pub audience: Option<&'a str>,
    /// The `resource` that was sent (RFC 8707 §2).
    pub resource: Option<&'a str>,
    /// Fields that the grant needs and that the configuration lacks, by their names on the wire.
    pub missing_fields: &'a [&'a str],
    /// Whether a PKCE verifier was sent (RFC 7636 §4.5).
    pub pkce: bool,
    /// How old the code was when it was sent (seconds).
    pub code_age_seconds: Option<i64>,
    /// How far the other side's clock is ahead of ours (seconds; negative: behind).
    pub clock_skew_seconds: Option<i64>,
    /// Whether the access token's time was over by our own clock.
    pub token_expired: Option<bool>,
    /// There is no refresh token where one was expected.
    pub refresh_token_missing: bool,
    /// The client secret's time at the provider is over.
    pub client_secret_expired: bool,
    /// The same account is connected already.
    pub account_connected: bool,
    /// Another account than before was brought.
    pub account_mismatch: bool,
    /// Another person than the one for whom the session was opened came back.
    pub owner_mismatch: bool,
    /// What is known of the provider.
    pub quirks: Quirks<'a>,
}

/// Says what happened and what to check. Total: every situation has a title, a detail and at least one advice.
pub fn classify(situation: &Situation<'_>) -> Advice {
    finding::known_to_us(situation)
        .or_else(|| reach::no_answer(situation))
        .or_else(|| reach::not_now(situation))
        .unwrap_or_else(|| match situation.step {
            Step::Authorization => authorization::refused(situation),
            Step::Exchange | Step::ClientCredentials | Step::Password | Step::Refresh => token::refused(situation),
            Step::Revocation => endpoint::revocation(situation),
            Step::Introspection => endpoint::introspection(situation),
            Step::Discovery => endpoint::discovery(situation),
            Step::ApiRequest => api::refused(situation),
            Step::Setup => finding::nothing(situation),
        })
}
