//! What goes out and what comes back, within limits.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use zeroize::Zeroizing;

use crate::protocol::headers::OF_THE_CONNECTION;

/// How much may come back, and how long all of it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest accepted body, in bytes.
    pub max_body: usize,
    /// Time from the call to the last byte of the body. Connecting has its own limit of 3 seconds within it.
    pub total: Duration,
}

impl Limits {
    /// Token, revocation and registration endpoints: 64 kB in 10 seconds.
    pub const TOKEN: Self = Self { max_body: 64 * 1024, total: Duration::from_secs(10) };
    /// One question about a token that was just issued: 64 kB in 4 seconds, for a person waits.
    pub const LOOKUP: Self = Self { max_body: 64 * 1024, total: Duration::from_secs(4) };
    /// Authorization server metadata and key sets: 1 MB in 4 seconds, for a person may wait.
    pub const DISCOVERY: Self = Self { max_body: 1024 * 1024, total: Duration::from_secs(4) };
}

/// A request to the outside. Its `Debug` shows neither URL nor headers nor body: all three may hold secrets.
#[derive(Clone)]
pub struct OutboundRequest {
    /// The method.
    pub method: Method,
    /// The URL; checked when it is sent.
    pub url: String,
    /// Headers besides those the client sets. `Accept` defaults to `application/json`.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// Limits on the answer.
    pub limits: Limits,
}

impl OutboundRequest {
    /// A `GET` without headers or body.
    pub fn get(url: impl Into<String>, limits: Limits) -> Self {
        Self { method: Method::GET, url: url.into(), headers: HeaderMap::new(), body: Vec::new(), limits }
    }

    /// A `POST` of an `application/x-www-form-urlencoded` body.
    pub fn post_form(url: impl Into<String>, body: impl Into<Vec<u8>>, limits: Limits) -> Self {
        Self::post(url, "application/x-www-form-urlencoded", body, limits)
    }

    /// A `POST` of an `application/json` body.
    pub fn post_json(url: impl Into<String>, body: impl Into<Vec<u8>>, limits: Limits) -> Self {
        Self::post(url, "application/json", body, limits)
    }

    /// The same request with one header set.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn post(url: impl Into<String>, media_type: &'static str, body: impl Into<Vec<u8>>, limits: Limits) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        Self { method: Method::POST, url: url.into(), headers, body: body.into(), limits }
    }

    /// The headers to send: the caller's, without those that belong to the connection and not to the message.
    ///
    /// A caller's `Host` or `Transfer-Encoding` could make the other side see another request than the one checked here,
    /// and nothing here undoes a compression that `Accept-Encoding` asks for.
    pub(super) fn end_to_end_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        for name in OF_THE_CONNECTION.into_iter().chain(["accept-encoding"]) {
            headers.remove(name);
        }
        headers
    }
}

impl fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundRequest")
            .field("method", &self.method)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A complete answer. Its `Debug` shows the status only.
pub struct OutboundResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, wiped from memory when dropped.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OutboundResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundResponse").field("status", &self.status).finish_non_exhaustive()
    }
}
