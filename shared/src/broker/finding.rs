//! What is found out when an API refuses a token, in words that help.

use super::delivery::Api;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::model::client::Client;
use crate::model::credential::Credential;
use crate::protocol::advice::{Advice, Failure, Situation, Step, WwwAuthenticate, classify, parse_www_authenticate};

/// What there is to say of an outcome.
pub enum Finding {
    /// It is known here.
    Said {
        /// Stable code.
        code: &'static str,
        /// What happened.
        detail: String,
        /// What to check or do, in order.
        advice: Vec<String>,
    },
    /// The classifier knows it.
    Classified(Advice),
    /// It is an error, which has its own code and advice.
    Failed(Error),
}

impl Finding {
    pub(super) fn said(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Said { code, detail: detail.into(), advice: Vec::new() }
    }

    pub(super) fn advising(code: &'static str, detail: impl Into<String>, advice: &[&str]) -> Self {
        Self::Said { code, detail: detail.into(), advice: advice.iter().map(|text| (*text).to_owned()).collect() }
    }
}

/// An API's answer to a request with a token, as far as it is known.
#[derive(Default)]
pub(super) struct ApiAnswer<'a> {
    pub(super) status: Option<u16>,
    pub(super) www_authenticate: Option<&'a str>,
    /// The address without its query.
    pub(super) url: Option<&'a str>,
    pub(super) is_html: bool,
    pub(super) retry_after_seconds: Option<u64>,
    pub(super) clock_skew_seconds: Option<i64>,
    pub(super) failure: Option<Failure>,
}

impl ApiAnswer<'_> {
    /// Says what the answer means for this credential.
    pub(super) fn classify(&self, client: &Client, credential: &Credential, now: Timestamp) -> Advice {
        let challenge = self.www_authenticate.and_then(parse_www_authenticate);
        let prefix = client.settings.header.prefix.as_str();
        classify(&Situation {
            step: Step::ApiRequest,
            status: self.status,
            failure: self.failure,
            is_html: self.is_html,
            retry_after_seconds: self.retry_after_seconds,
            url: self.url,
            scopes: &credential.requested_scopes,
            granted: Some(&credential.granted_scopes),
            audience: client.settings.audience.as_deref(),
            resource: client.settings.resource.as_deref(),
            // An API that names an error of the token has seen the token (RFC 6750 §3.1).
            header_prefix: Some(prefix)
                .filter(|_| challenge.as_ref().is_none_or(|challenge| challenge.error.is_none())),
            token_expired: self.token_expired(credential, now),
            clock_skew_seconds: self.clock_skew_seconds,
            www_authenticate: challenge,
            ..Situation::default()
        })
    }

    /// Whether the token's time was over: by our clock, or because the API says so and nothing else.
    fn token_expired(&self, credential: &Credential, now: Timestamp) -> Option<bool> {
        let says = |words: &[&str]| words.iter().any(|word| self.says(word));
        if self.names_audience() {
            return Some(false);
        }
        if says(&["expired"]) && !says(&["revoked", "invalid or", "unknown", "malformed", "not expired"]) {
            return Some(true);
        }
        credential.expires_at().map(|at| now >= at)
    }

    /// Whether the challenge says that the token is for another audience (RFC 8707 §2 has `invalid_target` for that).
    pub(super) fn names_audience(&self) -> bool {
        self.says("audience") || self.says("invalid_target")
    }

    fn says(&self, word: &str) -> bool {
        self.www_authenticate.is_some_and(|text| text.to_ascii_lowercase().contains(word))
    }

    /// The scopes that the API wants, where it says so.
    pub(super) fn wants_scope(&self) -> bool {
        let challenge: Option<WwwAuthenticate> = self.www_authenticate.and_then(parse_www_authenticate);
        challenge.is_some_and(|challenge| challenge.error == Some("insufficient_scope"))
    }
}

/// The names of the client's headers that have no value for this credential.
pub(super) fn headers_left_out<'a>(client: &'a Client, api: &Api<'_>) -> Vec<&'a str> {
    let rendered = api.headers();
    client.settings.api_headers.keys().map(String::as_str).filter(|name| !rendered.contains_key(*name)).collect()
}
