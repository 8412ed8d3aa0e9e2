//! The adapter through which the oauth2 crate reaches a token endpoint.

mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use url::{Origin, Url};

use super::policy::parse_origin;
use super::{Limits, Outbound, OutboundError, OutboundRequest, UrlRefusal};

/// Sends token requests for the oauth2 crate, to one origin only, and shows the crate RFC 6749 whatever the wire said.
///
/// One value serves one token request: [`OAuthHttp::outcome`] is about the last answer.
#[derive(Debug)]
pub struct OAuthHttp<'a> {
    outbound: &'a Outbound,
    /// `None` when the bound origin is not an origin: then nothing may be sent.
    bound: Option<Origin>,
    outcome: Mutex<Option<Outcome>>,
}

/// What the wire said, before it was translated: for telling "try later" and "unknown" from "refused".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The status the server really sent.
    pub status: u16,
    /// `Retry-After` (RFC 9110 §10.2.3); the form that is a date is counted from the answer's own `Date`.
    pub retry_after: Option<Duration>,
}

impl<'a> OAuthHttp<'a> {
    /// An adapter for a secret bound to `bound_origin` (such as `https://as.example.com`): a request to any other origin
    /// is refused with [`UrlRefusal::OriginNotBound`], so an edited endpoint never receives the secret.
    pub fn new(outbound: &'a Outbound, bound_origin: &str) -> Self {
        Self { outbound, bound: parse_origin(bound_origin).ok(), outcome: Mutex::new(None) }
    }

    /// What the last call got from the wire; `None` when no complete answer came.
    pub fn outcome(&self) -> Option<Outcome> {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, outcome: Option<Outcome>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    fn check_bound(&self, url: &str) -> Result<Url, UrlRefusal> {
        let url = self.outbound.policy().check_url(url)?;
        if self.bound.as_ref() == Some(&url.origin()) { Ok(url) } else { Err(UrlRefusal::OriginNotBound) }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, OAuthHttpError> {
        self.remember(None);
        let (head, body) = request.into_parts();
        let url = self.check_bound(&head.uri.to_string()).map_err(OutboundError::from)?;
        let request = OutboundRequest {
            method: head.method,
            url: url.into(),
            headers: head.headers,
            body,
            limits: Limits::TOKEN,
        }
        .with_header(header::ACCEPT, HeaderValue::from_static("application/json"));

        let answer = self.outbound.send(request).await?;
        self.remember(Some(Outcome { status: answer.status.as_u16(), retry_after: retry_after(&answer.headers) }));

        let (status, body) =
            wire::to_rfc6749(answer.status, text(&answer.headers, header::CONTENT_TYPE), &answer.body)?;
        let mut response = HttpResponse::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for OAuthHttp<'_> {
    type Error = OAuthHttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, OAuthHttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

/// Why the oauth2 crate gets no answer to read. Never holds text of the answer; [`OAuthHttp::outcome`] tells the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OAuthHttpError {
    /// No answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The answer is neither a JSON object nor a form: a web page, an empty body, garbage.
    #[error("status {status}: the answer is not JSON")]
    NotJson {
        /// The status the server sent.
        status: u16,
    },
    /// An error answer without a usable `error` code (RFC 6749 §5.2).
    #[error("status {status}: the answer has no error code")]
    NoErrorCode {
        /// The status the server sent.
        status: u16,
    },
    /// A success without an access token (RFC 6749 §5.1).
    #[error("status {status}: the answer has no access token")]
    NoAccessToken {
        /// The status the server sent.
        status: u16,
    },
    /// A token holds something other than visible ASCII, which no header can carry safely.
    #[error("the answer holds a token with characters that are not allowed")]
    UnsafeToken,
}

impl OAuthHttpError {
    /// Whether the server may have acted on the request, for example rotated a refresh token.
    ///
    /// True for every answer that cannot be read: unless [`Outcome::status`] says otherwise (429, 503 with
    /// `Retry-After`), the code or refresh token may be spent.
    pub fn maybe_processed(&self) -> bool {
        match self {
            Self::Outbound(error) => error.maybe_processed(),
            Self::NotJson { .. } | Self::NoErrorCode { .. } | Self::NoAccessToken { .. } | Self::UnsafeToken => true,
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The longest `Retry-After` that is believed: whoever says more is asked again after an hour.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// RFC 9110 §10.2.3: a number of seconds, or a date. The server's own clock is the one its date is measured on.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER)?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
    }
    let until = DateTime::parse_from_rfc2822(value).ok()?;
    let now = DateTime::parse_from_rfc2822(text(headers, header::DATE)?).ok()?;
    Some((until - now).to_std().unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
