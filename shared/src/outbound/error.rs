//! Why a request brought no answer, and whether the other side may have acted on it all the same.

use std::error::Error;
use std::io;

use super::policy::UrlRefusal;
use crate::protocol::exchange::NoAnswer;

/// Why a request brought no answer. Holds no URL, header or body, and no source that could.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The policy forbids the URL, or what its host resolves to. Nothing was sent.
    #[error("the request was not sent: {0}")]
    Refused(#[from] UrlRefusal),
    /// The host name could not be resolved. Nothing was sent.
    #[error("the host name could not be resolved")]
    Dns,
    /// The proxy that the operator set could not be reached, or would not connect to the host. Nothing was sent.
    #[error("the proxy could not be reached, or would not connect to the host")]
    Proxy,
    /// No connection came about. Nothing was sent.
    #[error("no connection could be made")]
    Connect,
    /// The TLS handshake, with the host or with the proxy, failed, for example on the certificate. Nothing was sent.
    #[error("the TLS handshake failed")]
    Tls,
    /// Time ran out: while connecting (`sent: false`) or afterwards (`sent: true`).
    #[error("time ran out {}", if *.sent { "before the answer was complete" } else { "while connecting" })]
    Timeout {
        /// Whether the request may have reached the other side.
        sent: bool,
    },
    /// The answer is longer than the limit. The other side has processed the request.
    #[error("the answer is longer than allowed")]
    TooLarge,
    /// The connection was lost after sending, or what came back is not HTTP.
    #[error("the connection was lost before the answer was complete")]
    Interrupted,
    /// The request could not be built, or the client could not be set up. Nothing was sent.
    #[error("the request could not be built, or the HTTP client could not be set up (are CA certificates installed?)")]
    Internal,
}

impl OutboundError {
    /// Whether the other side may have processed the request although no answer arrived.
    ///
    /// When this is false a one-time secret (a code, a rotating refresh token) surely was not spent.
    pub fn maybe_processed(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Dns | Self::Proxy | Self::Connect | Self::Tls | Self::Internal => false,
            Self::Timeout { sent } => *sent,
            Self::TooLarge | Self::Interrupted => true,
        }
    }

    /// Classifies a failure to get a response head. The original, which may print the URL, is dropped here.
    ///
    /// With a proxy, resolving and connecting mean the proxy's, and its refusals look like either.
    pub(super) fn from_send(error: &reqwest::Error, through_proxy: bool) -> Self {
        if let Some(refusal) = find::<UrlRefusal>(error) {
            Self::Refused(*refusal)
        } else if error.is_builder() {
            Self::Internal
        } else if !error.is_connect() {
            Self::Interrupted
        } else if error.is_timeout() {
            Self::Timeout { sent: false }
        } else if find::<rustls::Error>(error).is_some() {
            Self::Tls
        } else if through_proxy {
            Self::Proxy
        } else if error.is_dns() {
            Self::Dns
        } else {
            Self::Connect
        }
    }
}

impl From<OutboundError> for NoAnswer {
    fn from(error: OutboundError) -> Self {
        match error {
            OutboundError::Refused(_) => Self::Refused,
            OutboundError::Dns => Self::Dns,
            OutboundError::Connect => Self::Connect,
            OutboundError::Tls => Self::Tls,
            OutboundError::Timeout { .. } => Self::Timeout,
            OutboundError::TooLarge => Self::TooLarge,
            OutboundError::Interrupted => Self::Interrupted,
            OutboundError::Proxy => Self::Proxy,
            OutboundError::Internal => Self::Unbuildable,
        }
    }
}

/// Finds an error of one type among the causes. `io::Error` hides the error it wraps from `source`, so look inside it.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        next = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    None
}
