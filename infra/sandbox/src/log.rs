//! The log of requests that tests read: what arrived and how it was answered, with fingerprints instead of tokens.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, DATE, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Sandbox;
use crate::delivery::{Delivery, Spoil, closed_connection};
use crate::opaque::{REFRESH_TOKEN_PREFIX, fingerprint};
use crate::parameters::Parameters;
use crate::presented::AnswerFate;
use crate::settings::{ScriptedAnswer, TokenResponseShape};
use crate::state::Millis;

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
    /// Present when the answer was a scripted one, from `token_answers`, `token_faults` or `revoke_answers`: `answer`,
    /// or the name of the fault. `_after` stands behind it when the request had its effect: `drop_after`.
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
    /// What a scripted answer makes of the request.
    pub(crate) delivery: Option<Delivery>,
    /// The number of the presentation of a refresh token.
    pub(crate) presentation: Option<u64>,
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

    /// Keeps what a scripted answer makes of this request and lets the time pass that comes before its effect. Returns
    /// false if it is not to be carried out.
    pub(crate) async fn follow(&mut self, scripted: Option<ScriptedAnswer>, shape: &TokenResponseShape) -> bool {
        let Some(scripted) = scripted else { return true };
        let delivery = self.delivery.insert(Delivery::of(&scripted, shape));
        delivery.wait().await;
        delivery.takes_effect
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

/// A pose asked: it cuts its own answer in the middle, not the one it is made of.
#[derive(Clone, Copy)]
pub(crate) struct BehindPose;

/// Told to the pose: the answer is another one than the request came to.
#[derive(Clone, Copy)]
pub(crate) struct Replaced;

/// Logs a request as soon as it took effect, then holds the answer back as long as the client's settings say. A caller
/// that gives up during the delay leaves a request that was carried out and is in the log.
pub(crate) async fn record(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let path = shortened(request.uri().path());
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(shortened);
    let is_behind_pose = request.extensions().get::<BehindPose>().is_some();
    let mut response = next.run(request).await;
    let facts = response.extensions_mut().remove::<Facts>().unwrap_or_default();
    let spoil = facts.delivery.as_ref().and_then(|delivery| delivery.spoil.as_ref());
    let is_lost = matches!(spoil, Some(Spoil::Lose));
    let mut error = facts.error.map(String::from);
    response = match spoil {
        Some(Spoil::Cut(cut)) if is_behind_pose => {
            response.extensions_mut().insert(*cut);
            response
        }
        Some(spoil) => spoil.spoil(response).await,
        None => response,
    };
    if let Some(Spoil::Replace(canned)) = spoil {
        error.clone_from(&canned.error);
        response.extensions_mut().insert(Replaced);
    }
    let (now, skew) = sandbox.read(|state| {
        let client = facts.client_id.as_ref().and_then(|client_id| state.clients.get(client_id));
        (state.now(), client.map_or(0, |client| client.clock_skew_seconds))
    });
    if skew != 0 {
        show_clock(&mut response, now.saturating_add(skew.saturating_mul(1000)));
    }
    sandbox.0.log.push(LogEntry {
        at: DateTime::from_timestamp_millis(now).unwrap_or_default(),
        path,
        client_id: facts.client_id,
        grant_type: facts.grant_type,
        content_type,
        scope: facts.scope,
        username: facts.username,
        client_secret: facts.client_secret,
        status: if is_lost { 0 } else { response.status().as_u16() },
        scripted: facts.delivery.as_ref().map(|delivery| delivery.word.to_owned()),
        error,
        refresh_token: facts.refresh_token,
        code: facts.code,
        code_verifier_present: facts.code_verifier_present,
    });
    let scripted_delay = facts.delivery.as_ref().map_or(Duration::ZERO, |delivery| delivery.after);
    let delay = Duration::from_millis(u64::from(facts.delay_ms)).saturating_add(scripted_delay);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(number) = facts.presentation.filter(|_| !is_lost) {
        let fate = if spoil.is_some() { AnswerFate::Spoiled } else { AnswerFate::Sent };
        sandbox.0.presented.answered(number, fate);
    }
    if is_lost { closed_connection() } else { response }
}

/// What the caller is told that the time is (RFC 9110 §6.6.1). A scripted answer may say something else.
fn show_clock(response: &mut Response, now: Millis) {
    let moment = DateTime::from_timestamp_millis(now).unwrap_or_default();
    if let Ok(date) = HeaderValue::from_str(&moment.format("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        response.headers_mut().entry(DATE).or_insert(date);
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
