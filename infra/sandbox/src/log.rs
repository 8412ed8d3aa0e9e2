//! The log of requests that tests read: what arrived and how it was answered, with fingerprints instead of tokens.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use futures::{future, stream};
use serde::{Deserialize, Serialize};

use crate::Sandbox;
use crate::opaque::{REFRESH_TOKEN_PREFIX, fingerprint};
use crate::parameters::Parameters;
use crate::settings::ScriptedAnswer;

/// How many entries are kept; older ones make room.
const CAPACITY: usize = 100_000;

/// The longest text of a request that is kept, characters.
const MAX_TEXT: usize = 1000;

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
    /// The `Content-Type` of the request.
    pub content_type: Option<String>,
    /// The `scope` of the request.
    pub scope: Option<String>,
    /// The `username` of the request.
    pub username: Option<String>,
    /// Fingerprint of the client secret presented.
    pub client_secret: Option<String>,
    /// The HTTP status of the answer; 0 when the connection was closed without one.
    pub status: u16,
    /// Present when the answer came from `token_answers` or `revoke_answers`: `answer` or `drop` when the request had
    /// no effect, `drop_after` when it had.
    pub scripted: Option<String>,
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
    /// Fingerprint.
    pub(crate) client_secret: Option<String>,
    scripted: Option<ScriptedAnswer>,
    grant_type: Option<String>,
    scope: Option<String>,
    username: Option<String>,
    refresh_token: Option<String>,
    code: Option<String>,
    code_verifier_present: bool,
}

impl Facts {
    /// Takes from the parameters what may be logged.
    pub(crate) fn note(&mut self, parameters: &Parameters) {
        let revoked = parameters.first("token").filter(|token| token.starts_with(REFRESH_TOKEN_PREFIX));
        self.grant_type = parameters.first("grant_type").map(shortened);
        self.scope = parameters.first("scope").map(shortened);
        self.username = parameters.first("username").map(shortened);
        self.refresh_token = parameters.first("refresh_token").or(revoked).map(fingerprint);
        self.code = parameters.first("code").map(fingerprint);
        self.code_verifier_present = parameters.first("code_verifier").is_some();
    }

    /// Keeps the scripted answer of this request; returns the response if it is not to be carried out.
    pub(crate) fn follow(&mut self, scripted: Option<ScriptedAnswer>) -> Option<Response> {
        self.scripted = scripted;
        self.scripted.as_ref()?.instead()
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
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(shortened);
    let mut response = next.run(request).await;
    let facts = response.extensions_mut().remove::<Facts>().unwrap_or_default();
    let is_lost = facts.scripted.as_ref().is_some_and(ScriptedAnswer::is_lost);
    sandbox.0.log.push(LogEntry {
        at: DateTime::from_timestamp_millis(sandbox.read(|state| state.now())).unwrap_or_default(),
        path,
        client_id: facts.client_id,
        grant_type: facts.grant_type,
        content_type,
        scope: facts.scope,
        username: facts.username,
        client_secret: facts.client_secret,
        status: if is_lost { 0 } else { response.status().as_u16() },
        scripted: facts.scripted.map(|scripted| scripted.kind().to_owned()),
        error: facts.error.map(String::from),
        refresh_token: facts.refresh_token,
        code: facts.code,
        code_verifier_present: facts.code_verifier_present,
    });
    if facts.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(u64::from(facts.delay_ms))).await;
    }
    if is_lost { closed_connection() } else { response }
}

/// A response whose body fails before its first byte: the server gives the connection up, and as nothing of the
/// response was flushed by then, the caller sees it close without an answer.
pub(crate) fn closed_connection() -> Response {
    Response::new(Body::from_stream(stream::once(future::err::<Vec<u8>, _>(std::io::Error::other("scripted")))))
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
