//! The sandbox behind every pose, asked by the book.

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use tower::ServiceExt;

use crate::Sandbox;
use crate::delivery::{Cut, closed_connection};
use crate::log::{BehindPose, Replaced};

/// The longest answer of the sandbox that is read.
const MAX_ANSWER: usize = 1 << 20;

/// What came of a request to the sandbox.
pub(super) enum Reply {
    /// An answer in JSON.
    Json(StatusCode, Map<String, Value>),
    /// Any other, which may be none: a connection that is to be closed.
    Other(Response),
}

/// What the sandbox does to an answer apart from what it says; the pose's own answer has it as well.
#[derive(Default)]
pub(super) struct Marks {
    /// It was replaced, or lost.
    pub(super) is_replaced: bool,
    cut: Option<Cut>,
    date: Option<HeaderValue>,
}

impl Marks {
    pub(super) async fn put_on(self, response: Response) -> Response {
        let mut marked = match self.cut {
            Some(cut) => cut.apply(response).await,
            None => response,
        };
        if let Some(date) = self.date {
            marked.headers_mut().insert(DATE, date);
        }
        marked
    }
}

/// A form for one of the endpoints of a client.
pub(super) async fn post(
    sandbox: &Sandbox,
    path: &str,
    client: (&str, Option<&str>),
    parameters: &[(&str, &str)],
) -> (Reply, Marks) {
    let (client_id, secret) = client;
    let named = secret.is_none().then_some(("client_id", client_id));
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).extend_pairs(named).finish();
    let mut request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(secret) = secret {
        let half = |value: &str| form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", half(client_id), half(secret));
        request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
    }
    send(sandbox, request.body(Body::from(form))).await
}

/// What the authorization endpoint sends the browser to.
pub(super) async fn authorize(sandbox: &Sandbox, parameters: &[(&str, &str)]) -> Reply {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    send(sandbox, Request::get(format!("/authorize?{query}")).body(Body::empty())).await.0
}

/// Whom an access token speaks for.
pub(super) async fn me(sandbox: &Sandbox, access_token: &str) -> Reply {
    let bearer = format!("Bearer {access_token}");
    send(sandbox, Request::get("/api/me").header(AUTHORIZATION, bearer).body(Body::empty())).await.0
}

async fn send(sandbox: &Sandbox, request: axum::http::Result<Request<Body>>) -> (Reply, Marks) {
    let mut failed = Response::new(Body::empty());
    *failed.status_mut() = StatusCode::BAD_REQUEST;
    let Ok(mut request) = request else { return (Reply::Other(failed), Marks::default()) };
    request.extensions_mut().insert(BehindPose);
    let Ok(response) = sandbox.router().oneshot(request).await;
    let (mut head, body) = response.into_parts();
    let is_replaced = head.extensions.remove::<Replaced>().is_some();
    let marks = Marks { is_replaced, cut: head.extensions.remove(), date: head.headers.get(DATE).cloned() };
    let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
        return (Reply::Other(closed_connection()), Marks { is_replaced: true, ..Marks::default() });
    };
    let reply = match serde_json::from_slice(&body) {
        Ok(members) => Reply::Json(head.status, members),
        Err(_) => Reply::Other(Response::from_parts(head, Body::from(body))),
    };
    (reply, marks)
}
