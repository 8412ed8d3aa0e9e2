//! Servers on loopback that speak TLS, with certificates of a CA made for the test, under the names and addresses that
//! a test gives them.

use std::io;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::super::resolver::{CheckedResolver, Lookup};
use super::server::{listen, read_request};
use crate::outbound::{CaBundle, Outbound, OutboundError, OutboundPolicy, OwnHosts, PrivateOrigins, WayOut, aws_lc_rs};

/// A CA that nobody trusts by default.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// What trusts this CA.
    pub fn bundle(&self) -> CaBundle {
        let file = TemporaryFile(std::env::temp_dir().join(format!("grantkeeper-ca-{}.pem", uuid::Uuid::new_v4())));
        std::fs::write(&file.0, &self.pem).expect("a file");
        CaBundle::read(&file.0).expect("a bundle")
    }

    /// A server with a certificate for this name.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let certificate = for_name(name).signed_by(&key, &self.issuer).expect("a certificate");
        server(certificate.der(), &key)
    }

    /// The same, but its time is over.
    pub fn expired_server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = for_name(name);
        params.not_after = date_time_ymd(2020, 1, 1);
        server(params.signed_by(&key, &self.issuer).expect("a certificate").der(), &key)
    }
}

/// A server with a certificate for this name that nobody else signed.
pub fn self_signed_server(name: &str) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    server(for_name(name).self_signed(&key).expect("a certificate").der(), &key)
}

fn for_name(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).expect("parameters")
}

fn server(certificate: &CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .expect("a certificate");
    Arc::new(config)
}

struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// What came in over TLS: a request, or nothing where the handshake failed.
pub type Record = Arc<Mutex<Vec<String>>>;

/// A server that answers each request with `{}`. Returns its port and its record.
pub fn start(config: Arc<ServerConfig>) -> (u16, Record) {
    let record = Record::default();
    let seen = Arc::clone(&record);
    let address = listen(move |stream| serve(&config, stream, &seen));
    (address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port"), record)
}

/// Speaks TLS on a connection and answers one request with `{}`.
pub fn serve(config: &Arc<ServerConfig>, stream: &mut TcpStream, record: &Record) {
    let mut connection = ServerConnection::new(Arc::clone(config)).expect("a connection");
    let mut tls = rustls::Stream::new(&mut connection, stream);
    let request = read_request(&mut tls);
    record.lock().expect("the record").push(request);
    drop(tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"));
    tls.conn.send_close_notify();
    drop(tls.flush());
}

/// The record, as soon as it has an entry: a server notices a refused certificate a moment after the client.
pub fn seen(record: &Record) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(3);
    while record.lock().expect("the record").is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    record.lock().expect("the record").clone()
}

/// A name server that gives this address for every name, and remembers the names.
pub struct Everywhere(pub IpAddr, pub Record);

impl Everywhere {
    pub fn at(ip: &str) -> Arc<Self> {
        Arc::new(Self(ip.parse().expect("an address"), Record::default()))
    }
}

impl Lookup for Everywhere {
    fn addresses(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.1.lock().expect("the record").push(name);
        let ip = self.0;
        Box::pin(async move { Ok(vec![ip]) })
    }
}

/// Judges like the real resolver, and then leads to loopback, where the servers of the tests are: a network that has
/// the private addresses.
struct Detour(CheckedResolver);

impl Resolve for Detour {
    fn resolve(&self, name: Name) -> Resolving {
        let resolving = self.0.resolve(name);
        Box::pin(async move {
            let here = resolving.await?.map(|address| (Ipv4Addr::LOCALHOST, address.port()).into());
            Ok(Box::new(here) as Addrs)
        })
    }
}

/// A way out with these private origins and certificates.
pub fn way_out(origins: &str, ca_bundle: CaBundle) -> WayOut {
    let private_origins = PrivateOrigins::parse(origins, &OwnHosts::default()).expect("origins");
    WayOut { private_origins, ca_bundle, ..WayOut::default() }
}

/// A strict client in a network where every name has the address of `lookup`.
pub fn outbound(way_out: &WayOut, lookup: &Arc<Everywhere>) -> Outbound {
    let resolver = |rule| Detour(CheckedResolver { lookup: Arc::clone(lookup) as _, rule });
    Outbound::with_resolvers(OutboundPolicy::strict(), way_out, resolver).expect("a client")
}

/// A request straight to the client underneath: `check_url` would refuse its port before any connection.
pub async fn unchecked(outbound: &Outbound, url: &str) -> Result<u16, OutboundError> {
    use crate::outbound::{Limits, OutboundRequest};
    let request = OutboundRequest::get("", Limits::TOKEN);
    outbound.start(url.parse().expect("a URL"), request).await.map(|answer| answer.status().as_u16())
}
