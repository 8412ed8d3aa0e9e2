//! Name resolution that hands on only checked addresses, so that the connection goes where the check looked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{is_listable, is_listable_name, is_private_name, is_public};
use super::policy::UrlRefusal;
use super::way_out::OwnHosts;

/// Looks names up. A trait because a test must be able to answer like a hostile name server.
pub(super) trait Lookup: Send + Sync {
    /// All addresses of a name.
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Which answers may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public addresses only.
    Public,
    /// Public addresses and private networks: for origins the operator listed.
    Private,
    /// Any address: for origins the policy exempts.
    Anywhere,
}

/// Resolves a name once for each connection, checks every address, and returns exactly the checked ones.
///
/// A name with one bad address is refused altogether: filtering would let an attacker probe which addresses are tried,
/// and a name that mixes public and private addresses is an attack or a mistake (DNS rebinding).
#[derive(Clone)]
pub(super) struct CheckedResolver {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) rule: Rule,
}

/// What a resolver may answer.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Names and addresses within this reach, except the hosts that are never reached.
    Within(Reach, OwnHosts),
    /// This one name, wherever it leads: the proxy's, which alone is resolved here when everything goes through it.
    Only(String),
}

impl Rule {
    fn admits_name(&self, name: &str) -> bool {
        match self {
            Self::Within(Reach::Public, own) => !is_private_name(name) && !own.has_name(name),
            Self::Within(Reach::Private, own) => is_listable_name(name) && !own.has_name(name),
            Self::Within(Reach::Anywhere, _) => true,
            Self::Only(only) => only.eq_ignore_ascii_case(name),
        }
    }

    fn admits(&self, ip: IpAddr) -> bool {
        match self {
            Self::Within(Reach::Public, own) => is_public(ip) && !own.has_ip(ip),
            Self::Within(Reach::Private, own) => is_listable(ip) && !own.has_ip(ip),
            Self::Within(Reach::Anywhere, _) | Self::Only(_) => true,
        }
    }
}

impl CheckedResolver {
    pub(super) async fn checked(self, name: String) -> Result<Vec<IpAddr>, Unresolved> {
        if !self.rule.admits_name(&name) {
            return Err(UrlRefusal::AddressNotAllowed.into());
        }
        let addresses = self.lookup.addresses(name).await.map_err(|_| Unresolved::NotFound)?;
        if addresses.is_empty() {
            return Err(Unresolved::NotFound);
        }
        if !addresses.iter().all(|ip| self.rule.admits(*ip)) {
            return Err(UrlRefusal::AddressNotAllowed.into());
        }
        Ok(addresses)
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.checked(name.as_str().to_owned()).await?;
            // Port 0 stands for the port of the URL.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

/// Why a name yields no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    /// At least one address may not be connected to.
    #[error("an address of this name may not be reached")]
    Refused(#[from] UrlRefusal),
    /// The lookup failed or was empty.
    #[error("no address found")]
    NotFound,
}
