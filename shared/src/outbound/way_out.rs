//! What the operator sets about the way out: private origins, a forward proxy, a private CA.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{Host, Origin, Url};

use super::address::{is_listable, is_listable_name};
use super::policy::{UrlRefusal, parse_origin};
use crate::secret::Secret;

/// The way out. The default is the open internet, directly, with the certificates of the system.
#[derive(Debug, Clone, Default)]
pub struct WayOut {
    /// The origins that may be private.
    pub private_origins: PrivateOrigins,
    /// Where all requests go through, if not directly.
    pub proxy: Option<ForwardProxy>,
    /// What is trusted besides the certificates of the system.
    pub ca_bundle: CaBundle,
    /// Hosts that are never reached, whatever they look like.
    pub own_hosts: OwnHosts,
}

/// Something the operator set that cannot be used. Says nothing of the value, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WayOutError {
    /// An entry of the private origins, counted from 1, is no origin, or not https.
    #[error("entry {0} is not an https origin like https://dhis2.intra.example or https://10.1.2.3:8443")]
    NotAnHttpsOrigin(usize),
    /// An entry of the private origins, counted from 1, means this machine, its network segment or its platform.
    #[error(
        "entry {0} names a loopback, link-local, metadata, multicast or reserved address, \
         or the Lambda runtime, which are never reached"
    )]
    NeverReached(usize),
    /// The proxy is not a URL of the right form.
    #[error("it must be the http:// or https:// URL of a proxy, without a path, such as http://proxy.example:3128")]
    NotAProxy,
    /// The file with the certificates is missing, or may not be read.
    #[error("the file cannot be read")]
    BundleUnreadable,
    /// The file has no certificate in it.
    #[error("the file holds no certificate in PEM form")]
    BundleEmpty,
    /// The file is damaged, or a certificate in it is not one.
    #[error("the file holds a certificate that cannot be read")]
    BundleInvalid,
}

/// The https origins that may live at private addresses and on any port.
#[derive(Debug, Clone, Default)]
pub struct PrivateOrigins(Vec<Origin>);

impl PrivateOrigins {
    /// Reads origins that are separated by spaces.
    ///
    /// # Errors
    /// [`WayOutError::NotAnHttpsOrigin`] and [`WayOutError::NeverReached`].
    pub fn parse(list: &str, own_hosts: &OwnHosts) -> Result<Self, WayOutError> {
        let origins = list.split_whitespace().enumerate().map(|(index, text)| {
            let entry = index + 1;
            let origin = parse_origin(text).map_err(|_: UrlRefusal| WayOutError::NotAnHttpsOrigin(entry))?;
            let host = match &origin {
                Origin::Tuple(scheme, host, _) if scheme == "https" => host,
                _ => return Err(WayOutError::NotAnHttpsOrigin(entry)),
            };
            let listable = match host {
                // Also no wildcards and no commas: the parser lets them be part of a name.
                Host::Domain(name) if name.contains(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)) => {
                    return Err(WayOutError::NotAnHttpsOrigin(entry));
                }
                Host::Domain(name) => is_listable_name(name),
                Host::Ipv4(ip) => is_listable((*ip).into()),
                Host::Ipv6(ip) => is_listable((*ip).into()),
            };
            if listable && !own_hosts.has(host) { Ok(origin) } else { Err(WayOutError::NeverReached(entry)) }
        });
        origins.collect::<Result<_, _>>().map(Self)
    }

    /// Whether this is one of them: the same scheme, host and port.
    pub(super) fn has(&self, origin: &Origin) -> bool {
        self.0.contains(origin)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Hosts that belong to what runs this process, as its environment names them: who could reach them through us could
/// take our invocations and our AWS credentials. The usual ones are loopback and link-local and refused as such.
#[derive(Debug, Clone, Default)]
pub struct OwnHosts(Vec<Host<String>>);

impl OwnHosts {
    /// Reads values like `127.0.0.1:9001` and `http://169.254.170.23/v1/credentials`. One without a host adds none.
    pub fn new(addresses: impl IntoIterator<Item = String>) -> Self {
        let host = |address: String| {
            let url = if address.contains("://") { address } else { format!("http://{address}") };
            Url::parse(&url).ok()?.host().map(|host| host.to_owned())
        };
        Self(addresses.into_iter().filter_map(host).collect())
    }

    /// Whether a URL with this host leads to one of them. One trailing dot does not matter.
    pub(super) fn has<S: AsRef<str>>(&self, host: &Host<S>) -> bool {
        match host {
            Host::Domain(name) => self.has_name(name.as_ref()),
            Host::Ipv4(ip) => self.has_ip((*ip).into()),
            Host::Ipv6(ip) => self.has_ip((*ip).into()),
        }
    }

    /// Whether this name is one of them.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let bare = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.0.iter().any(|own| matches!(own, Host::Domain(own) if bare(own) == bare(name)))
    }

    /// Whether this address is one of them.
    pub(super) fn has_ip(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|own| match own {
            Host::Domain(_) => false,
            Host::Ipv4(own) => ip == IpAddr::V4(*own),
            Host::Ipv6(own) => ip == IpAddr::V6(*own).to_canonical(),
        })
    }
}

/// A forward proxy, asked with `CONNECT` (RFC 9110 §9.3.6). Its URL is a secret, for it may hold a password.
#[derive(Clone)]
pub struct ForwardProxy {
    url: Secret<String>,
    host: String,
}

impl ForwardProxy {
    /// Reads the URL of a proxy, with `user:password@` before the host if it wants one.
    ///
    /// # Errors
    /// [`WayOutError::NotAProxy`].
    pub fn parse(url: &Secret<String>) -> Result<Self, WayOutError> {
        let text = url.expose();
        let parsed = Url::parse(text).map_err(|_| WayOutError::NotAProxy)?;
        let is_bare = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
        // reqwest reads the text as an `http::Uri`, and goes directly where it cannot.
        let is_uri = parsed.as_str().parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_some());
        match parsed.host_str() {
            Some(host) if matches!(parsed.scheme(), "http" | "https") && is_bare && is_uri => {
                Ok(Self { host: host.to_owned(), url: Secret::new(parsed.into()) })
            }
            _ => Err(WayOutError::NotAProxy),
        }
    }

    /// The one name that has to be resolved here when everything goes through the proxy.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The proxy for a client.
    pub(super) fn build(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::all(self.url.expose())
    }
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy").finish_non_exhaustive()
    }
}

/// Certificates of CAs that are trusted besides those of the system.
#[derive(Clone, Default)]
pub struct CaBundle(Vec<CertificateDer<'static>>);

impl CaBundle {
    /// Reads a PEM file (RFC 7468). What is no certificate in it, a key for example, is passed over.
    ///
    /// # Errors
    /// [`WayOutError::BundleUnreadable`], [`WayOutError::BundleEmpty`] and [`WayOutError::BundleInvalid`].
    pub fn read(path: &Path) -> Result<Self, WayOutError> {
        let pem = std::fs::read(path).map_err(|_| WayOutError::BundleUnreadable)?;
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| WayOutError::BundleInvalid)?;
        if certificates.is_empty() {
            return Err(WayOutError::BundleEmpty);
        }
        let mut trusted = RootCertStore::empty();
        for certificate in &certificates {
            trusted.add(certificate.clone()).map_err(|_| WayOutError::BundleInvalid)?;
        }
        Ok(Self(certificates))
    }

    /// One certificate, of a CA that a test made.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn of(certificate: CertificateDer<'static>) -> Self {
        Self(vec![certificate])
    }

    /// The certificates for a client.
    pub(super) fn build(&self) -> reqwest::Result<Vec<reqwest::Certificate>> {
        self.0.iter().map(|certificate| reqwest::Certificate::from_der(certificate)).collect()
    }
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} certificates)", self.0.len())
    }
}

#[cfg(test)]
mod tests;
