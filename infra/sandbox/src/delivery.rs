//! How an answer gets to its caller: late, cut, replaced or not at all.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::{StreamExt, future, stream};

use crate::settings::{Fault, FaultKind, Garbage, LostAnswer, ScriptedAnswer, TokenResponseShape};
use crate::token::error_body;

/// The longest answer that is cut.
const MAX_ANSWER: usize = 1 << 20;

/// What a scripted answer makes of a request.
#[derive(Clone)]
pub(crate) struct Delivery {
    /// What the log says about it.
    pub(crate) word: &'static str,
    /// Whether the request is carried out.
    pub(crate) takes_effect: bool,
    /// How long it waits for that.
    before: Duration,
    /// How long the answer waits then.
    pub(crate) after: Duration,
    pub(crate) spoil: Option<Spoil>,
}

/// What becomes of an answer.
#[derive(Clone)]
pub(crate) enum Spoil {
    /// Nobody gets it: the connection is closed.
    Lose,
    /// The first half is left.
    Cut(Cut),
    /// Another one takes its place.
    Replace(Canned),
}

/// An answer that is cut in the middle of its body.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    full_length: bool,
}

/// An answer that is known beforehand.
#[derive(Clone)]
pub(crate) struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// The error code it tells.
    pub(crate) error: Option<String>,
}

impl Delivery {
    /// `shape` is that of the client's own errors.
    pub(crate) fn of(scripted: &ScriptedAnswer, shape: &TokenResponseShape) -> Delivery {
        let (before, after, spoil) = match scripted {
            ScriptedAnswer::Lost(LostAnswer::Drop | LostAnswer::DropAfter) => (0, 0, Some(Spoil::Lose)),
            ScriptedAnswer::Status(status) => (0, 0, Some(Spoil::Replace(Canned::status(*status, None)))),
            ScriptedAnswer::Raw(raw) => {
                let (headers, body) = raw.parts();
                (0, 0, Some(Spoil::Replace(Canned::new(raw.status, headers, body.into()))))
            }
            ScriptedAnswer::Fault(fault) => {
                let is_early = fault.kind == FaultKind::Delay && !fault.after_commit;
                let (before, after) = if is_early { (fault.delay_ms, 0) } else { (0, fault.delay_ms) };
                (before, after, spoil_of(fault, shape))
            }
        };
        let span = |milliseconds: u32| Duration::from_millis(u64::from(milliseconds));
        Delivery {
            word: scripted.word(),
            takes_effect: scripted.takes_effect(),
            before: span(before),
            after: span(after),
            spoil,
        }
    }

    /// Lets the time pass that comes before the effect.
    pub(crate) async fn wait(&self) {
        if !self.before.is_zero() {
            tokio::time::sleep(self.before).await;
        }
    }
}

fn spoil_of(fault: &Fault, shape: &TokenResponseShape) -> Option<Spoil> {
    Some(match &fault.kind {
        FaultKind::Delay => return None,
        FaultKind::Hang | FaultKind::Drop => Spoil::Lose,
        FaultKind::Status { status, retry_after } => Spoil::Replace(Canned::status(*status, *retry_after)),
        FaultKind::Truncate { full_length } => Spoil::Cut(Cut { full_length: *full_length }),
        FaultKind::Garbage { body } => Spoil::Replace(Canned::garbage(*body)),
        FaultKind::OauthError { error, status, retry_after } => {
            let usual = if error == "invalid_client" { 401 } else { 400 };
            let status = if shape.errors_in_200 { 200 } else { status.unwrap_or(usual) };
            let (media_type, body) = error_body(shape, error, "a scripted error");
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
            let canned = Canned::new(status, with_retry_after(headers, *retry_after), body.into());
            Spoil::Replace(Canned { error: Some(error.clone()), ..canned })
        }
    })
}

fn with_retry_after(mut headers: HeaderMap, seconds: Option<u32>) -> HeaderMap {
    headers.extend(seconds.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds))));
    headers
}

impl Canned {
    fn new(status: u16, headers: HeaderMap, body: Bytes) -> Canned {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Canned { status, headers, body, error: None }
    }

    fn status(status: u16, retry_after: Option<u32>) -> Canned {
        Canned::new(status, with_retry_after(HeaderMap::new(), retry_after), Bytes::new())
    }

    fn garbage(garbage: Garbage) -> Canned {
        let (media_type, body) = match garbage {
            Garbage::Html => ("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes())),
            Garbage::Bytes => ("application/json", Bytes::from_static(NOISE)),
            Garbage::Empty => ("application/json", Bytes::new()),
        };
        Canned::new(200, HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]), body)
    }
}

const PAGE: &str = "<!doctype html>\n<title>Please wait</title>\n<h1>We will be right back</h1>\n";

/// The beginning of a gzip stream, then what is no UTF-8.
const NOISE: &[u8] =
    b"\x1f\x8b\x08\x00\x00\xff\xfe{\"access_token\": \x80\xc3(\xa0\xa1\xe2\x28\xa1\xf0\x28\x8c\xbc\x00";

impl Spoil {
    /// What is sent instead of an answer. A lost one is closed later, when it has waited.
    pub(crate) async fn spoil(&self, response: Response) -> Response {
        match self {
            Spoil::Lose => response,
            Spoil::Cut(cut) => cut.apply(response).await,
            Spoil::Replace(canned) => {
                let mut replaced = Response::new(Body::from(canned.body.clone()));
                *replaced.status_mut() = canned.status;
                replaced.headers_mut().clone_from(&canned.headers);
                replaced
            }
        }
    }
}

impl Cut {
    pub(crate) async fn apply(self, response: Response) -> Response {
        let (mut head, body) = response.into_parts();
        let Ok(whole) = to_bytes(body, MAX_ANSWER).await else { return closed_connection() };
        let half = whole.slice(..whole.len() / 2);
        head.headers.remove(CONTENT_LENGTH);
        if !self.full_length {
            return Response::from_parts(head, Body::from(half));
        }
        // An empty body is announced with one byte, so that something is missing.
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len().max(1)));
        let end = async {
            // The server sends the half when nothing more is there for the moment, and only then meets the error.
            tokio::task::yield_now().await;
            Err(scripted_end())
        };
        let body = stream::once(future::ready(Ok(half))).chain(stream::once(end));
        Response::from_parts(head, Body::from_stream(body))
    }
}

/// A response whose body fails before its first byte: the server gives the connection up, and as nothing of the
/// response was flushed by then, the caller sees it close without an answer.
pub(crate) fn closed_connection() -> Response {
    Response::new(Body::from_stream(stream::once(future::err::<Vec<u8>, _>(scripted_end()))))
}

fn scripted_end() -> std::io::Error {
    std::io::Error::other("scripted")
}
