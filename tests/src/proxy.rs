//! A server between the stack and what it calls: it records each call, holds it back, or answers in its place.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The largest body that is passed on (bytes).
const BODY_LIMIT: usize = 1024 * 1024;

/// What becomes of a call.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It is passed on.
    Forward,
    /// It is answered here, and never arrives.
    Instead(u16, Value),
    /// It is answered here with this `Retry-After` and an empty object, and never arrives.
    Later(u16, &'static str),
    /// It is passed on, and its answer replaced.
    Lose(u16, Value),
}

/// A call that came in.
#[derive(Debug, Clone)]
pub struct Call {
    /// The path.
    pub path: String,
    /// `X-Amz-Target`, or an empty text.
    pub target: String,
    /// The body.
    pub body: String,
}

#[derive(Default)]
struct Inner {
    upstream: String,
    calls: Vec<Call>,
    script: VecDeque<Reply>,
    always: Option<Reply>,
    delay: Duration,
}

/// The server. It ends when this is dropped.
pub struct Proxy {
    /// Where it listens.
    pub url: String,
    inner: Arc<Mutex<Inner>>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// A server that passes calls on to this URL.
    pub async fn to(upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let inner = Arc::new(Mutex::new(Inner { upstream: upstream.to_owned(), ..Inner::default() }));
        let router = Router::new().fallback(pass).with_state((inner.clone(), crate::browser::http()));
        Ok(Self { url, inner, server: serve(listener, router) })
    }

    /// Where calls are passed on to.
    pub fn point_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.lock().upstream);
    }

    /// What becomes of the next calls, in order; those after them are passed on.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.lock().script.extend(replies);
    }

    /// What becomes of all calls from now on; `None`: they are passed on.
    pub fn always(&self, reply: Option<Reply>) {
        self.lock().always = reply;
    }

    /// Holds each call back.
    pub fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// The calls since the last time.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of a test, which ends with the test")]
fn serve(listener: TcpListener, router: Router) -> JoinHandle<()> {
    tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") })
}

type Shared = (Arc<Mutex<Inner>>, reqwest::Client);

async fn pass(State((inner, http)): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.expect("a body");
    let (upstream, reply, delay) = {
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        inner.calls.push(Call {
            path: parts.uri.path().to_owned(),
            target: target.to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let next = inner.script.pop_front().or_else(|| inner.always.clone()).unwrap_or(Reply::Forward);
        (inner.upstream.clone(), next, inner.delay)
    };
    tokio::time::sleep(delay).await;
    if let Reply::Instead(status, body) = &reply {
        return answer(*status, body);
    }
    if let Reply::Later(status, retry_after) = &reply {
        let mut later = answer(*status, &Value::Object(serde_json::Map::new()));
        later.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
        return later;
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers: HeaderMap = parts.headers;
    headers.remove(header::HOST);
    let sent = http.request(parts.method, format!("{upstream}{path}")).headers(headers).body(body).send().await;
    let Ok(response) = sent else {
        return answer(502, &Value::Null);
    };
    if let Reply::Lose(status, body) = &reply {
        drop(response.bytes().await);
        return answer(*status, body);
    }
    let mut passed = Response::builder().status(response.status());
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != header::TRANSFER_ENCODING) {
        passed = passed.header(name, value);
    }
    passed.body(Body::from(response.bytes().await.expect("an answer"))).expect("a response")
}

fn answer(status: u16, body: &Value) -> Response {
    let (content_type, text) = match body {
        Value::String(page) => ("text/html", page.clone()),
        other => ("application/json", other.to_string()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
