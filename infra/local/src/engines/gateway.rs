//! The one door to the engines: it checks the access key and passes each request on by its `X-Amz-Target`.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use dynoxide::Database;
use tokio::net::TcpListener;

use super::secrets::Secrets;
use super::sqs::Queues;
use super::{Answer, dynamodb};

/// The largest body of the three services: DynamoDB's 16 MB.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

pub(super) struct Gateway {
    /// What the `Authorization` header of every request begins with.
    authorization: String,
    tables: Database,
    secrets: Arc<Secrets>,
    queues: Queues,
}

impl Gateway {
    pub(super) fn new(access_key_id: String, tables: Database, secrets: Arc<Secrets>, queues: Queues) -> Self {
        let authorization = format!("AWS4-HMAC-SHA256 Credential={access_key_id}/");
        Self { authorization, tables, secrets, queues }
    }

    /// Serves until `stop` resolves and the requests in flight are answered.
    pub(super) async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) {
        let router = Router::new().fallback(receive).with_state(Arc::new(self));
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the embedded engines stopped");
        }
    }

    /// Whether the request comes from an SDK that holds this run's access key. Signatures are not verified: the key id is
    /// random and is known to nobody else. Browsers add `Origin`; the SDKs do not.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        authorization.is_some_and(|value| value.starts_with(&self.authorization))
            && !headers.contains_key(header::ORIGIN)
    }

    async fn answer(&self, request: Request) -> Answer {
        if !self.admits(request.headers()) {
            return Answer::error(403, "AccessDeniedException", "Only the local stack may use its engines.");
        }
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
            return Answer::error(413, "RequestEntityTooLargeException", "The body is too large or incomplete.");
        };
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
        match target.and_then(|target| target.split_once('.')) {
            Some(("DynamoDB_20120810", operation)) => dynamodb::answer(&self.tables, operation, body).await,
            Some(("secretsmanager", action)) => self.secrets.answer(action, body).await,
            Some(("AmazonSQS", action)) => self.queues.answer(action, body).await,
            _ => Answer::error(400, "UnknownOperationException", "No embedded engine serves this X-Amz-Target."),
        }
    }
}

async fn receive(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let answer = gateway.answer(request).await;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    response
}
