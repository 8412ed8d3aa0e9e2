//! The only way out: every request to a provider passes [`Outbound::send`].
//!
//! What a person or a metadata document names as a URL is hostile until shown otherwise (server-side request forgery,
//! RFC 9700 §4.11 and §4.12). So: https to public addresses only, judged after resolution; no redirects, no proxy of the
//! environment, no cookies, no compression, no retries, no kept connections; limits on time and size.
//!
//! The operator, and nobody else, may list private https origins, set a proxy and trust a private CA. Through a proxy
//! only literal addresses and names are judged: what a name resolves to is known to the proxy alone.
//!
//! - `policy`: which URLs may be reached; `address`: which addresses are public; `resolver`: the same after resolution
//! - `way_out`: what the operator sets
//! - `message`: requests, answers and their limits; `error`: why there was no answer
//! - `oauth`: the adapter that lets the oauth2 crate speak through here and shows it RFC 6749
//! - `one_server`: a private internet, for tests

mod address;
mod error;
mod message;
mod oauth;
#[cfg(any(test, feature = "testing"))]
mod one_server;
mod policy;
mod resolver;
mod way_out;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use reqwest::dns::Resolve;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use url::Url;
use zeroize::Zeroizing;

pub use address::{is_private_name, is_public};
pub use error::OutboundError;
pub use message::{Limits, OutboundRequest, OutboundResponse};
pub use oauth::{OAuthHttp, OAuthHttpError, Outcome};
#[cfg(any(test, feature = "testing"))]
pub use one_server::OneServer;
pub use policy::{OutboundPolicy, UrlRefusal};
pub use way_out::{CaBundle, ForwardProxy, OwnHosts, PrivateOrigins, WayOut, WayOutError};

use resolver::{CheckedResolver, Lookup, Reach, Rule, SystemLookup};

/// Time for resolution, TCP and TLS together. Shorter than any total, so that a total that runs out means "sent".
const CONNECT: Duration = Duration::from_secs(3);

/// What we call ourselves; some providers refuse requests without it.
const USER_AGENT: &str = concat!("grantkeeper/", env!("CARGO_PKG_VERSION"));

/// The HTTP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    policy: OutboundPolicy,
    strict: reqwest::Client,
    /// Serves the listed origins only, and only where there is no proxy, which resolves names by itself.
    private: Option<reqwest::Client>,
    /// Serves the exempt origins only, so that an exemption never loosens the client everybody else uses.
    exempt: Option<reqwest::Client>,
    has_proxy: bool,
}

impl Outbound {
    /// A client that keeps to this policy. Installs the TLS provider of the process if there is none yet.
    ///
    /// # Errors
    /// [`OutboundError::Internal`] when the machine has no CA certificates.
    pub fn new(policy: OutboundPolicy) -> Result<Self, OutboundError> {
        Self::with_way_out(policy, &WayOut::default())
    }

    /// The same, by the way that the operator set. Exempt origins are reached directly: they are on this machine.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub fn with_way_out(policy: OutboundPolicy, way_out: &WayOut) -> Result<Self, OutboundError> {
        Self::with_lookup(policy, way_out, Arc::new(SystemLookup))
    }

    fn with_lookup(policy: OutboundPolicy, way_out: &WayOut, lookup: Arc<dyn Lookup>) -> Result<Self, OutboundError> {
        Self::with_resolvers(policy, way_out, |rule| CheckedResolver { lookup: Arc::clone(&lookup), rule })
    }

    fn with_resolvers<R: Resolve + 'static>(
        policy: OutboundPolicy,
        way_out: &WayOut,
        resolver: impl Fn(Rule) -> R,
    ) -> Result<Self, OutboundError> {
        if CryptoProvider::get_default().is_none() {
            // Losing the race against another thread leaves a provider installed, which is all that is needed.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let policy = policy.listing(way_out.private_origins.clone(), way_out.own_hosts.clone());
        let direct = |reach| {
            let builder = builder(&way_out.ca_bundle, reach != Reach::Anywhere)?;
            let rule = Rule::Within(reach, way_out.own_hosts.clone());
            builder.dns_resolver(resolver(rule)).build().map_err(|_| OutboundError::Internal)
        };
        let through = |proxy: &ForwardProxy| {
            let builder =
                builder(&way_out.ca_bundle, true)?.dns_resolver(resolver(Rule::Only(proxy.host().to_owned())));
            proxy.build().and_then(|proxy| builder.proxy(proxy).build()).map_err(|_| OutboundError::Internal)
        };
        let has_proxy = way_out.proxy.is_some();
        let strict = way_out.proxy.as_ref().map_or_else(|| direct(Reach::Public), through)?;
        let private = (policy.has_private_origins() && !has_proxy).then(|| direct(Reach::Private)).transpose()?;
        let exempt = policy.has_exemptions().then(|| direct(Reach::Anywhere)).transpose()?;
        Ok(Self { policy, strict, private, exempt, has_proxy })
    }

    /// The policy this client keeps to, for checks at registration.
    pub fn policy(&self) -> &OutboundPolicy {
        &self.policy
    }

    /// Sends one request, once, and reads the whole answer. Any status is an answer, redirects included.
    ///
    /// # Errors
    /// See [`OutboundError`]; [`OutboundError::maybe_processed`] tells whether the other side may have acted.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let url = self.policy.check_url(&request.url)?;
        let limits = request.limits;
        let answer = async { read(self.start(url, request).await?, limits.max_body).await };
        tokio::time::timeout(limits.total, answer).await.unwrap_or(Err(OutboundError::Timeout { sent: true }))
    }

    /// Connects, sends, and waits for the head of the answer.
    async fn start(&self, url: Url, request: OutboundRequest) -> Result<reqwest::Response, OutboundError> {
        let reach = self.policy.reach(&url);
        let client = match reach {
            Reach::Anywhere => self.exempt.as_ref(),
            Reach::Private => self.private.as_ref(),
            Reach::Public => None,
        };
        let client = client.unwrap_or(&self.strict);
        let through_proxy = self.has_proxy && reach != Reach::Anywhere;
        let mut sending = client.request(request.method.clone(), url).headers(request.end_to_end_headers());
        if !request.body.is_empty() {
            sending = sending.body(request.body);
        }
        sending.send().await.map_err(|error| OutboundError::from_send(&error, through_proxy))
    }
}

/// Begins a client that does nothing by itself: whatever is sent is one request, to the checked address.
fn builder(trusted: &CaBundle, https_only: bool) -> Result<reqwest::ClientBuilder, OutboundError> {
    let mut defaults = HeaderMap::new();
    defaults.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(defaults)
        .https_only(https_only)
        .tls_version_min(reqwest::tls::Version::TLS_1_2)
        .tls_certs_merge(trusted.build().map_err(|_| OutboundError::Internal)?)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .connect_timeout(CONNECT)
        // A connection kept across a frozen Lambda is dead when it thaws: the request written to it would be lost with
        // an unknown outcome. And each request must be checked against a fresh resolution.
        .pool_max_idle_per_host(0);
    Ok(builder)
}

/// Reads the body piece by piece, and stops at the limit.
async fn read(mut response: reqwest::Response, max_body: usize) -> Result<OutboundResponse, OutboundError> {
    let announced = response.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced.is_some_and(|length| length > max_body) {
        return Err(OutboundError::TooLarge);
    }
    // Room for a whole token answer at once: a buffer that grows leaves copies of secrets behind in freed memory.
    let mut body = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(max_body.min(Limits::TOKEN.max_body))));
    while let Some(chunk) = response.chunk().await.map_err(|_| OutboundError::Interrupted)? {
        if body.len() + chunk.len() > max_body {
            return Err(OutboundError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(OutboundResponse { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
}

#[cfg(test)]
mod tests;
