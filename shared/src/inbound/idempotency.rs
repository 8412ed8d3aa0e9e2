//! `Idempotency-Key`: the same key and body give the same answer for 24 hours; another body is refused.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Duration;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};

use super::body;
use super::caller::identify;
use crate::broker::Broker;
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::store::{IdempotencyRecord, Idempotent};
use crate::vault::root_key::{Purpose, sha256};

/// How long an answer is kept (hours).
const HOURS: i64 = 24;
/// The longest key.
const MAX_KEY: usize = 255;

/// An answer as it is sealed: it may hold a link or a key that is shown once.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

/// The layer around a creating call.
pub async fn layer(State(broker): State<Broker>, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get("idempotency-key").cloned() else {
        return next.run(request).await;
    };
    match run(&broker, key, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn run(broker: &Broker, key: HeaderValue, request: Request, next: Next) -> Result<Response> {
    let readable = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
    let key = readable.ok_or_else(|| {
        Error::Malformed(format!("The header Idempotency-Key has 1 to {MAX_KEY} visible ASCII characters."))
    })?;
    let caller = identify(request.headers(), broker).await?;
    let (parts, body) = request.into_parts();
    let bytes = body::bytes(body).await?;
    let scope = [
        caller.key.id.as_str(),
        parts.uri.path(),
        caller.project.as_deref().unwrap_or_default(),
        caller.user.as_deref().unwrap_or_default(),
        key,
    ];
    let record = IdempotencyRecord {
        id: sha256(&scope.join("\n")),
        body_hash: sha256(&String::from_utf8_lossy(&bytes)),
        expires_at: broker.now() + Duration::hours(HOURS),
    };
    match broker.begin_idempotent(&record).await? {
        Idempotent::Begun => {}
        Idempotent::OtherBody => {
            return Err(Error::Conflict {
                code: "idempotency_key_reused",
                detail: "This Idempotency-Key came with another body before.".to_owned(),
                advice: &["Use a new key for a new request."],
            });
        }
        Idempotent::UnderWay => {
            return Err(Error::Conflict {
                code: "idempotency_in_progress",
                detail: "The first call with this Idempotency-Key is not over yet.".to_owned(),
                advice: &["Repeat the call in a second."],
            });
        }
        Idempotent::Answered(sealed) => return replay(broker, &record, &sealed).await,
    }
    let response = next.run(Request::from_parts(parts, axum::body::Body::from(bytes))).await;
    if !response.status().is_success() {
        broker.abandon_idempotent(&record).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(|_| Error::Internal("an answer cannot be read"))?.to_bytes();
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let answer = Answer {
        status: parts.status.as_u16(),
        content_type: content_type.to_owned(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    };
    let document = Secret::new(serde_json::to_string(&answer).unwrap_or_default());
    broker.finish_idempotent(&record, &document).await?;
    Ok(Response::from_parts(parts, axum::body::Body::from(bytes)))
}

async fn replay(
    broker: &Broker,
    record: &IdempotencyRecord,
    sealed: &crate::vault::root_key::Sealed,
) -> Result<Response> {
    let unreadable = || Error::Internal("a kept answer cannot be read");
    let document = broker.open_idempotent(record, sealed).await?;
    let answer: Answer = serde_json::from_str(document.expose()).map_err(|_| unreadable())?;
    let status = StatusCode::from_u16(answer.status).map_err(|_| unreadable())?;
    let content_type = HeaderValue::from_str(&answer.content_type).map_err(|_| unreadable())?;
    Ok((status, [(header::CONTENT_TYPE, content_type)], answer.body).into_response())
}

impl Broker {
    async fn begin_idempotent(&self, record: &IdempotencyRecord) -> Result<Idempotent> {
        Ok(self.store().begin_idempotent(record, self.now()).await?)
    }

    async fn abandon_idempotent(&self, record: &IdempotencyRecord) -> Result<()> {
        Ok(self.store().abandon_idempotent(record).await?)
    }

    async fn finish_idempotent(&self, record: &IdempotencyRecord, answer: &Secret<String>) -> Result<()> {
        let sealed = self.root_keys().current().await?.seal(Purpose::Idempotency, &record.id, answer)?;
        Ok(self.store().finish_idempotent(record, &sealed).await?)
    }

    async fn open_idempotent(
        &self,
        record: &IdempotencyRecord,
        sealed: &crate::vault::root_key::Sealed,
    ) -> Result<Secret<String>> {
        let key = self.root_keys().version(&sealed.key_version).await?;
        key.open(Purpose::Idempotency, &record.id, sealed)
    }
}
