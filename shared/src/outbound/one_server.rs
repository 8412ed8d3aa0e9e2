//! A private internet, for tests: one server on loopback answers for every host.
//!
//! Only with the feature `testing`, which no function has. What is judged stays judged: URLs by the policy, names by the
//! resolver's rule; just what a name that passed resolves to is decided here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;

use super::resolver::{CheckedResolver, Lookup};
use super::way_out::{CaBundle, WayOut};
use super::{Outbound, OutboundError, OutboundPolicy};

/// The public address that the rules are shown for every name.
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14));

/// A name server for every name but those under `invalid`, which nobody has (RFC 6761 §6.4). Also for the clients that
/// play the browser.
#[derive(Debug, Clone, Copy)]
pub struct OneServer(pub SocketAddr);

impl Outbound {
    /// A client in an internet of which `server` is every host, with certificates that `root` (DER) signed.
    ///
    /// # Errors
    /// [`OutboundError::Internal`] when the certificate cannot be read.
    pub fn in_private_internet(
        policy: OutboundPolicy,
        server: OneServer,
        root: &CertificateDer<'static>,
    ) -> Result<Self, OutboundError> {
        let way_out = WayOut { ca_bundle: CaBundle::of(root.clone()), ..WayOut::default() };
        Self::with_resolvers(policy, &way_out, |rule| Detour {
            judge: CheckedResolver { lookup: Arc::new(server), rule },
            server,
        })
    }
}

impl Lookup for OneServer {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.strip_suffix('.').unwrap_or(&name);
        let known = name != "invalid" && !name.ends_with(".invalid");
        Box::pin(async move { if known { Ok(vec![PUBLIC]) } else { Err(io::Error::other("no such name")) } })
    }
}

impl Resolve for OneServer {
    fn resolve(&self, name: Name) -> Resolving {
        let server = self.0;
        let found = self.addresses(name.as_str().to_owned());
        Box::pin(async move {
            let _found = found.await?;
            Ok(leading_to(server))
        })
    }
}

/// Judges like the real resolver, and then leads to the server.
struct Detour {
    judge: CheckedResolver,
    server: OneServer,
}

impl Resolve for Detour {
    fn resolve(&self, name: Name) -> Resolving {
        let judging = self.judge.resolve(name);
        let OneServer(server) = self.server;
        Box::pin(async move {
            let _judged = judging.await?;
            Ok(leading_to(server))
        })
    }
}

fn leading_to(server: SocketAddr) -> Addrs {
    // A port that is not 0 outweighs that of the URL, where the URL names none.
    Box::new(std::iter::once(server))
}
