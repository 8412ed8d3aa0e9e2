//! Which URLs may be reached, decided on the parsed URL and never on its text.

use url::{Host, Origin, Url};

use super::address::{is_private_name, is_public};
use super::resolver::Reach;
use super::way_out::{OwnHosts, PrivateOrigins};

/// Longest URL accepted, in bytes.
const MAX_URL: usize = 2048;

/// Who may be reached: https on port 443 at public hosts, the private https origins that the operator listed, and
/// nothing else.
///
/// The `insecure-origins` feature adds a constructor that exempts named origins, for the local stack and tests.
#[derive(Debug, Clone)]
pub struct OutboundPolicy {
    exempt: Vec<Origin>,
    private: PrivateOrigins,
    own_hosts: OwnHosts,
}

impl OutboundPolicy {
    /// The policy of every deployed build.
    pub fn strict() -> Self {
        Self { exempt: Vec::new(), private: PrivateOrigins::default(), own_hosts: OwnHosts::default() }
    }

    /// The strict policy, except that these origins (scheme, host and port, such as `http://127.0.0.1:8090`) may use
    /// http, any port and any address.
    ///
    /// # Errors
    /// An entry that is not an http or https origin.
    #[cfg(any(test, feature = "insecure-origins"))]
    pub fn allowing(origins: &[String]) -> Result<Self, UrlRefusal> {
        let exempt = origins.iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>()?;
        Ok(Self { exempt, ..Self::strict() })
    }

    /// The same policy with the private origins that the operator listed, and the hosts that are never reached.
    #[must_use]
    pub(super) fn listing(self, private: PrivateOrigins, own_hosts: OwnHosts) -> Self {
        Self { private, own_hosts, ..self }
    }

    /// Checks a URL typed by somebody or found in metadata: at registration, and again at each use.
    ///
    /// The host is judged as the WHATWG parser understands it, so `2130706433`, `0x7f.1`, `127.1` and full-width digits
    /// are the IPv4 addresses they would become. Names are judged again after resolution, when [`super::Outbound`]
    /// connects.
    ///
    /// # Errors
    /// The first rule the URL breaks.
    pub fn check_url(&self, url: &str) -> Result<Url, UrlRefusal> {
        let parsed = parse(url)?;
        if self.reach(&parsed) == Reach::Public {
            check_public(&parsed)?;
            if parsed.host().is_some_and(|host| self.own_hosts.has(&host)) {
                return Err(UrlRefusal::AddressNotAllowed);
            }
        }
        Ok(parsed)
    }

    /// The exempt origins, which a page's policy must also let forms lead to.
    pub fn insecure_origins(&self) -> Vec<String> {
        self.exempt.iter().map(Origin::ascii_serialization).collect()
    }

    /// How far a request to this URL may reach.
    pub(super) fn reach(&self, url: &Url) -> Reach {
        match url.origin() {
            origin if self.exempt.contains(&origin) => Reach::Anywhere,
            origin if self.private.has(&origin) => Reach::Private,
            _ => Reach::Public,
        }
    }

    /// Whether any origin is exempt at all.
    pub(super) fn has_exemptions(&self) -> bool {
        !self.exempt.is_empty()
    }

    /// Whether any private origin is listed.
    pub(super) fn has_private_origins(&self) -> bool {
        !self.private.is_empty()
    }
}

/// Reads an origin as it is kept with a secret: scheme, host and port, with nothing behind them.
///
/// # Errors
/// Anything that is not an http or https origin.
pub(super) fn parse_origin(origin: &str) -> Result<Origin, UrlRefusal> {
    let url = parse(origin)?;
    let is_bare = matches!(url.scheme(), "http" | "https") && url.path() == "/" && url.query().is_none();
    if is_bare { Ok(url.origin()) } else { Err(UrlRefusal::NotAUrl) }
}

/// The rules that hold for exempt origins too.
fn parse(url: &str) -> Result<Url, UrlRefusal> {
    if url.len() > MAX_URL {
        return Err(UrlRefusal::TooLong);
    }
    // The WHATWG parser drops tabs and newlines and reads `\` as `/`; another reader of the same text would not.
    if url.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(UrlRefusal::ControlCharacter);
    }
    let parsed = Url::parse(url).map_err(|error| match error {
        url::ParseError::EmptyHost => UrlRefusal::HostMissing,
        _ => UrlRefusal::NotAUrl,
    })?;
    if !parsed.username().is_empty() || parsed.password().is_some() || authority(url).contains('@') {
        return Err(UrlRefusal::HasUserinfo);
    }
    if parsed.fragment().is_some() {
        return Err(UrlRefusal::HasFragment);
    }
    Ok(parsed)
}

/// The rules of the public internet.
fn check_public(url: &Url) -> Result<(), UrlRefusal> {
    if url.scheme() != "https" {
        return Err(UrlRefusal::NotHttps);
    }
    // `port()` is `None` for 443, the default of https.
    if let Some(port) = url.port() {
        return Err(UrlRefusal::PortNotAllowed(port));
    }
    let allowed = match url.host().ok_or(UrlRefusal::HostMissing)? {
        Host::Domain(name) => !is_private_name(name),
        Host::Ipv4(ip) => is_public(ip.into()),
        Host::Ipv6(ip) => is_public(ip.into()),
    };
    if allowed { Ok(()) } else { Err(UrlRefusal::AddressNotAllowed) }
}

/// The text between `//` and the path, to see an empty userinfo (`https://@host`), which the parser drops.
fn authority(url: &str) -> &str {
    let after_scheme = url.split_once(':').map_or("", |(_, rest)| rest).trim_start_matches('/');
    after_scheme.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Why a URL may not be reached. Carries nothing of the URL but the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    /// The text does not parse as an absolute URL.
    #[error("this is not an absolute URL")]
    NotAUrl,
    /// The scheme is not https.
    #[error("the URL does not use https")]
    NotHttps,
    /// A user name or password stands before the host.
    #[error("the URL carries a user name or password")]
    HasUserinfo,
    /// The URL has a `#`.
    #[error("the URL has a fragment")]
    HasFragment,
    /// The port is not 443.
    #[error("port {0} may not be reached")]
    PortNotAllowed(u16),
    /// The host is, or resolves to, an address that is not on the public internet.
    #[error("the host is not on the public internet")]
    AddressNotAllowed,
    /// There is no host.
    #[error("the URL has no host")]
    HostMissing,
    /// The text holds a control character, a space or a backslash.
    #[error("the URL holds a control character, a space or a backslash")]
    ControlCharacter,
    /// The text is longer than 2048 bytes.
    #[error("the URL is longer than 2048 bytes")]
    TooLong,
    /// The URL is fine by itself, but the secret about to be sent is bound to another origin.
    #[error("the URL is not at the origin this secret is bound to")]
    OriginNotBound,
}

impl UrlRefusal {
    /// The stable code for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAUrl => "url_invalid",
            Self::NotHttps => "url_not_https",
            Self::HasUserinfo => "url_has_userinfo",
            Self::HasFragment => "url_has_fragment",
            Self::PortNotAllowed(_) => "url_port_not_allowed",
            Self::AddressNotAllowed => "url_address_not_allowed",
            Self::HostMissing => "url_host_missing",
            Self::ControlCharacter => "url_control_character",
            Self::TooLong => "url_too_long",
            Self::OriginNotBound => "url_origin_not_bound",
        }
    }

    /// What the person who entered the URL can do.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotAUrl => "Enter the full URL, starting with https://.",
            Self::NotHttps => "Enter the https:// form of the URL; tokens are never sent in the clear.",
            Self::HasUserinfo => "Remove everything up to the @ sign; enter credentials in their own fields.",
            Self::HasFragment => "Remove the # sign and what follows it.",
            Self::PortNotAllowed(_) => {
                "Use the provider's address on port 443, the default of https. Another port can be reached only at an \
                 origin that the operator of this instance has listed."
            }
            Self::AddressNotAllowed => {
                "Use a host name of the public internet. Private addresses can be reached only at origins that the \
                 operator of this instance has listed; loopback and link-local addresses never."
            }
            Self::HostMissing => "Add the provider's host name after https://.",
            Self::ControlCharacter => "Remove spaces, line breaks and backslashes from the URL.",
            Self::TooLong => "Enter the URL of the endpoint alone, without long query parameters.",
            Self::OriginNotBound => "Enter the client's secret again for the new address, or restore the former one.",
        }
    }
}

#[cfg(test)]
mod tests;
