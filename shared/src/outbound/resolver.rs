//! Name resolution that hands on only checked addresses, so that the connection goes where the check looked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::{is_private_name, is_public};
use super::policy::UrlRefusal;

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
    /// Any address: for origins the policy exempts.
    Anywhere,
}

/// Resolves a name once for each connection, checks every address, and returns exactly the checked ones.
///
/// A name with one bad address is refused altogether: filtering would let an attacker probe which addresses are tried,
/// and a name that mixes public and private addresses is an attack or a mistake (DNS rebinding).
pub(super) struct CheckedResolver {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) reach: Reach,
}

impl CheckedResolver {
    pub(super) async fn checked(
        lookup: Arc<dyn Lookup>,
        reach: Reach,
        name: String,
    ) -> Result<Vec<IpAddr>, Unresolved> {
        let must_be_public = reach == Reach::Public;
        if must_be_public && is_private_name(&name) {
            return Err(UrlRefusal::AddressNotAllowed.into());
        }
        let addresses = lookup.addresses(name).await.map_err(|_| Unresolved::NotFound)?;
        if addresses.is_empty() {
            return Err(Unresolved::NotFound);
        }
        if must_be_public && !addresses.iter().copied().all(is_public) {
            return Err(UrlRefusal::AddressNotAllowed.into());
        }
        Ok(addresses)
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, reach) = (Arc::clone(&self.lookup), self.reach);
        Box::pin(async move {
            let addresses = Self::checked(lookup, reach, name.as_str().to_owned()).await?;
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
