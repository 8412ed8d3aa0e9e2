//! What every router has: an id for each request, one log line for each failure, and headers that forbid caching, unless
//! the answer is the same for everybody.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::problem;
use crate::broker::Broker;
use crate::error::Error;

/// The response header that names the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("grantkeeper-request-id");

/// The id of a request, for a handler whose answer holds problems of its own.
#[derive(Clone)]
pub struct RequestId(pub String);

/// Marks an answer that its caller may keep for a while: nothing in it is anybody's.
#[derive(Clone)]
pub(super) struct MayBeKept(pub(super) &'static str);

/// Travels from the handler to the boundary, where it is logged and written.
#[derive(Clone)]
struct Failed(Arc<Error>);

impl IntoResponse for Error {
    /// Handlers return errors; the boundary gives them the request's id, logs them once and writes them.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Failed(Arc::new(self)));
        response
    }
}

/// Finishes the router of a function.
pub fn finish(router: Router<Broker>, broker: Broker) -> Router {
    router
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(middleware::from_fn(boundary))
        .with_state(broker)
}

/// An answer that no handler of ours made: the HTTP layer refused the request in plain text.
fn is_bare(response: &Response) -> bool {
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    response.status().is_client_error() && plain
}

/// An error as a response of its own, for whoever answers in a function's stead.
pub fn answer(error: &Error) -> Response {
    let mut response = problem::respond(error, &new_request_id());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn new_request_id() -> String {
    format!("req_{}", ulid::Ulid::generate())
}

async fn boundary(mut request: Request, next: Next) -> Response {
    let request_id = new_request_id();
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if is_bare(&response) {
        response = Error::Malformed("The path or the query cannot be read.".to_owned()).into_response();
    }
    if let Some(Failed(error)) = response.extensions_mut().remove::<Failed>() {
        response = problem::respond(&error, &request_id);
        let status = response.status().as_u16();
        // The path is not logged: it may hold a connect link.
        if status >= 500 {
            tracing::error!(%request_id, %method, status, %error, "request failed");
        } else {
            tracing::info!(%request_id, %method, status, %error, "request refused");
        }
    }
    let kept = response.extensions_mut().remove::<MayBeKept>();
    let headers = response.headers_mut();
    let caching = kept.as_ref().map_or("no-store", |kept| kept.0);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if kept.is_none() {
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}
