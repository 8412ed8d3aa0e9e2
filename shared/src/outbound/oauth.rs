//! The adapter through which the oauth2 crate reaches a token endpoint.

mod expiry;
mod extra;
mod record;
mod wire;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use serde_json::{Map, Value};
use url::{Origin, Url, form_urlencoded};

use super::policy::parse_origin;
use super::{Limits, Outbound, OutboundError, OutboundRequest, OutboundResponse, UrlRefusal};
use crate::clock::Timestamp;
use crate::protocol::advice::{Hint, known_error};
use crate::protocol::dialect::{TokenRequestDialect, TokenResponseDialect, WireRequest, encode};
use crate::protocol::exchange::{Exchange, Fault, Reading};
use crate::secret::Secret;

/// Sends token requests for the oauth2 crate, to one origin only, and shows the crate RFC 6749 whatever the wire said.
///
/// The crate builds every request by the book; the dialect of the client turns it into what the provider wants, and the
/// answer back. One value serves one token request: [`OAuthHttp::outcome`] and [`OAuthHttp::record`] are about the last.
pub struct OAuthHttp<'a> {
    outbound: &'a Outbound,
    /// `None` when the bound origin is not an origin: then nothing may be sent.
    bound: Option<Origin>,
    request: TokenRequestDialect,
    response: TokenResponseDialect,
    now: Option<Timestamp>,
    hidden: Vec<Secret<String>>,
    supplied: Vec<(String, String)>,
    limits: Limits,
    outcome: Mutex<Option<Outcome>>,
    record: Mutex<Option<Exchange>>,
}

// A rendered dialect may hold secret variables.
impl fmt::Debug for OAuthHttp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthHttp").field("outcome", &self.outcome()).finish_non_exhaustive()
    }
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
        Self {
            outbound,
            bound: parse_origin(bound_origin).ok(),
            request: TokenRequestDialect::default(),
            response: TokenResponseDialect::default(),
            now: None,
            hidden: Vec::new(),
            supplied: Vec::new(),
            limits: Limits::TOKEN,
            outcome: Mutex::new(None),
            record: Mutex::new(None),
        }
    }

    /// The same adapter for a provider with a dialect, whose variables are in it already. The `url` and `auth` of a
    /// `refresh_request` are the caller's to use: the crate is given the address and the method.
    #[must_use]
    pub fn with_dialect(mut self, request: &TokenRequestDialect, response: &TokenResponseDialect) -> Self {
        self.request = request.clone();
        self.response = response.clone();
        self
    }

    /// The same adapter, told the time: without it, an absolute `expires_at` cannot be understood.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = Some(now);
        self
    }

    /// The same adapter, told further secrets that an answer may repeat and a record must not: those of the variables.
    #[must_use]
    pub fn hiding(mut self, secrets: Vec<Secret<String>>) -> Self {
        self.hidden = secrets;
        self
    }

    /// The same adapter, told what the dialect's placeholders may name beside the parameters of the request.
    #[must_use]
    pub fn supplying(mut self, supplied: &[(String, String)]) -> Self {
        self.supplied = supplied.to_vec();
        self
    }

    /// The same adapter, with less time for the whole of its request.
    #[must_use]
    pub fn within(mut self, total: Duration) -> Self {
        self.limits.total = self.limits.total.min(total);
        self
    }

    /// What the last call got from the wire; `None` when no complete answer came.
    pub fn outcome(&self) -> Option<Outcome> {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last call as it may be kept: without secrets. `None` before the first one.
    pub fn record(&self) -> Option<Exchange> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn remember(&self, outcome: Option<Outcome>, record: Exchange) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }

    fn check_bound(&self, url: &str) -> Result<Url, UrlRefusal> {
        let url = self.outbound.policy().check_url(url)?;
        if self.bound.as_ref() == Some(&url.origin()) { Ok(url) } else { Err(UrlRefusal::OriginNotBound) }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, OAuthHttpError> {
        let sent = record::Sent::of(&request, &self.hidden);
        let wire = match self.translate(&request) {
            Ok(wire) => wire,
            Err(error) => {
                self.remember(None, sent.without_answer(error));
                return Err(error.into());
            }
        };
        let sent = sent.on_the_wire(&wire);
        let WireRequest { method, url, headers, body, .. } = wire;
        let request = OutboundRequest { method, url, headers, body, limits: self.limits };

        let answer = self.outbound.send(request).await.inspect_err(|error| {
            self.remember(None, sent.without_answer(*error));
        })?;
        let outcome = Outcome { status: answer.status.as_u16(), retry_after: retry_after(&answer.headers) };
        let translated = self.read(&answer);
        let record = sent.answered(&answer, outcome.retry_after, &self.response);
        self.remember(Some(outcome), Exchange { reading: Some(reading(&translated)), ..record });

        let (status, body) = translated?;
        let body = serde_json::to_vec(&body).map_err(|_| OAuthHttpError::NotJson { status: outcome.status })?;
        let mut response = HttpResponse::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// The answer of the wire by the book.
    fn read(&self, answer: &OutboundResponse) -> Result<(StatusCode, Map<String, Value>), OAuthHttpError> {
        if encoding(&answer.headers).is_some() || answer.body.starts_with(GZIP) {
            return Err(OAuthHttpError::Compressed { status: answer.status.as_u16() });
        }
        wire::to_rfc6749(&wire::Wire {
            status: answer.status,
            content_type: text(&answer.headers, header::CONTENT_TYPE),
            body: &answer.body,
            dialect: &self.response,
            now: self.now,
        })
    }

    /// The crate's request by the book as the one the provider wants, to the bound origin only.
    fn translate(&self, request: &HttpRequest) -> Result<WireRequest, OutboundError> {
        let url = self.check_bound(&request.uri().to_string())?;
        let mut headers = request.headers().clone();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut parameters: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
        if let Some(grant_type) = &self.request.grant_type {
            parameters.iter_mut().filter(|(name, _)| name == "grant_type").for_each(|(_, value)| {
                value.clone_from(grant_type);
            });
        }
        // A header or text of the dialect may name the client's id and secret wherever they are sent.
        let basic = headers.get(header::AUTHORIZATION).and_then(|value| basic(value.to_str().ok()?));
        let mut elsewhere = basic.map_or(Vec::new(), |(id, secret)| {
            vec![("client_id".to_owned(), id), ("client_secret".to_owned(), secret)]
        });
        elsewhere.extend(self.supplied.clone());
        encode(&self.request.shape(), &url, &parameters, &elsewhere, headers).ok_or(OutboundError::Internal)
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
    /// The answer is compressed, although nobody asked for that.
    #[error("status {status}: the answer is compressed")]
    Compressed {
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
            Self::NotJson { .. }
            | Self::Compressed { .. }
            | Self::NoErrorCode { .. }
            | Self::NoAccessToken { .. }
            | Self::UnsafeToken => true,
        }
    }
}

/// What an answer was understood to say, for its record: nothing of it is the provider's own text.
fn reading(translated: &Result<(StatusCode, Map<String, Value>), OAuthHttpError>) -> Reading {
    let fault = match translated {
        Ok((_, answer)) => {
            let member = |name: &str| answer.get(name)?.as_str();
            return Reading {
                error: member("error").map(|error| known_error(error).to_owned()),
                hint: member("error_description").and_then(Hint::recognise),
                fault: None,
            };
        }
        Err(OAuthHttpError::Outbound(_)) => None,
        Err(OAuthHttpError::NotJson { .. }) => Some(Fault::NotUnderstood),
        Err(OAuthHttpError::Compressed { .. }) => Some(Fault::Compressed),
        Err(OAuthHttpError::NoErrorCode { .. }) => Some(Fault::NoErrorCode),
        Err(OAuthHttpError::NoAccessToken { .. }) => Some(Fault::NoAccessToken),
        Err(OAuthHttpError::UnsafeToken) => Some(Fault::UnsafeToken),
    };
    Reading { fault, ..Reading::default() }
}

/// Id and secret of HTTP Basic, each encoded as RFC 6749 §2.3.1 says.
fn basic(header: &str) -> Option<(String, String)> {
    let pair = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
    let decoded = |text: &str| {
        form_urlencoded::parse(text.as_bytes()).next().map_or_else(String::new, |(text, _)| text.into_owned())
    };
    pair.split_once(':').map(|(id, secret)| (decoded(id), decoded(secret)))
}

/// How a gzip file begins (RFC 1952 §2.3.1): some servers compress and do not say so.
const GZIP: &[u8] = b"\x1f\x8b";

/// How an answer is encoded, where it is (RFC 9110 §8.4).
fn encoding(headers: &HeaderMap) -> Option<&str> {
    let encoding = text(headers, header::CONTENT_ENCODING)?.trim();
    Some(encoding).filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity"))
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
mod odd_answers;
#[cfg(test)]
mod odd_requests;
#[cfg(test)]
mod tests;
