//! The log of requests that tests read: what arrived and how it was answered, with fingerprints instead of tokens.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Sandbox;
use crate::opaque::{Digest, REFRESH_TOKEN_PREFIX};
use crate::parameters::Parameters;

/// How many entries are kept; older ones make room.
const CAPACITY: usize = 100_000;

/// The longest text of a request that is kept, characters.
const MAX_TEXT: usize = 100;

/// One request to `/token`, `/revoke`, `/introspect`, `/userinfo` or `/api/*`. Never holds a token, code or secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When it was answered, on the sandbox's clock.
    pub at: DateTime<Utc>,
    /// The path, without query.
    pub path: String,
    /// The client, if the request named or its access token belongs to a registered one.
    pub client_id: Option<String>,
    /// The `grant_type` of a token request.
    pub grant_type: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The error code of the answer.
    pub error: Option<String>,
    /// Fingerprint of the refresh token presented: the first 12 hex digits of its SHA-256.
    pub refresh_token: Option<String>,
    /// Fingerprint of the code presented.
    pub code: Option<String>,
    /// Whether the request carried a `code_verifier`.
    pub code_verifier_present: bool,
}

/// What a handler knows about its request; it travels to `record` with the answer.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    pub(crate) client_id: Option<String>,
    pub(crate) error: Option<&'static str>,
    pub(crate) delay_ms: u32,
    grant_type: Option<String>,
    refresh_token: Option<String>,
    code: Option<String>,
    code_verifier_present: bool,
}

impl Facts {
    /// Takes from the parameters what may be logged.
    pub(crate) fn note(&mut self, parameters: &Parameters) {
        let fingerprint = |value: &str| Digest::of(value).fingerprint();
        let revoked = parameters.first("token").filter(|token| token.starts_with(REFRESH_TOKEN_PREFIX));
        self.grant_type = parameters.first("grant_type").map(shortened);
        self.refresh_token = parameters.first("refresh_token").or(revoked).map(fingerprint);
        self.code = parameters.first("code").map(fingerprint);
        self.code_verifier_present = parameters.first("code_verifier").is_some();
    }
}

#[derive(Default)]
pub(crate) struct Log(Mutex<VecDeque<LogEntry>>);

impl Log {
    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.lock().iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn push(&self, entry: LogEntry) {
        let mut entries = self.lock();
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<LogEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs a request as soon as it took effect, then holds the answer back as long as the client's settings say. A caller
/// that gives up during the delay leaves a request that was carried out and is in the log.
pub(crate) async fn record(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let path = shortened(request.uri().path());
    let mut response = next.run(request).await;
    let facts = response.extensions_mut().remove::<Facts>().unwrap_or_default();
    sandbox.0.log.push(LogEntry {
        at: DateTime::from_timestamp_millis(sandbox.read(|state| state.now())).unwrap_or_default(),
        path,
        client_id: facts.client_id,
        grant_type: facts.grant_type,
        status: response.status().as_u16(),
        error: facts.error.map(String::from),
        refresh_token: facts.refresh_token,
        code: facts.code,
        code_verifier_present: facts.code_verifier_present,
    });
    if facts.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(u64::from(facts.delay_ms))).await;
    }
    response
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
