//! A private internet: one TLS server on loopback that is every https host, behind a name server and a root certificate
//! of the test's own.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::serve::Listener;
use grantkeeper::outbound::{OneServer, Outbound};
use grantkeeper_local::stack::{MakeOutbound, Options};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use crate::{Browser, World};

/// The authority of this run, and the certificates it gave.
static AUTHORITY: LazyLock<Arc<Authority>> = LazyLock::new(|| Arc::new(Authority::new()));

/// The server. It ends when this is dropped.
pub struct Internet {
    server: OneServer,
    hosts: Arc<Mutex<Router>>,
    tasks: [JoinHandle<()>; 2],
}

impl Internet {
    /// An internet where no page exists yet.
    ///
    /// # Errors
    /// No port is free.
    pub async fn open() -> anyhow::Result<Self> {
        let hosts = Arc::new(Mutex::new(Router::new()));
        let now = Arc::clone(&hosts);
        let router = Router::new().fallback(move |request: Request| {
            let router = now.lock().unwrap_or_else(PoisonError::into_inner).clone();
            router.oneshot(request)
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (ready, connections) = mpsc::channel(16);
        let tls = TlsListener { connections, address };
        let tasks = [
            background(shake_hands(listener, acceptor(), ready)),
            background(async move { axum::serve(tls, router).await.expect("a server") }),
        ];
        Ok(Self { server: OneServer(address), hosts, tasks })
    }

    /// From now on every host is this router, which tells them apart by `Host`.
    pub fn becomes(&self, router: Router) {
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = router;
    }

    /// What makes the HTTP client of a stack that lives in this internet.
    pub fn outbound(&self) -> MakeOutbound {
        let server = self.server;
        Box::new(move |policy| Outbound::in_private_internet(policy, server, &AUTHORITY.root))
    }

    /// A stack that lives in this internet.
    ///
    /// # Errors
    /// It does not start.
    pub async fn world(&self) -> anyhow::Result<World> {
        World::with(|options| Options { outbound: Some(self.outbound()), ..options }).await
    }

    /// A browser of a person in this internet.
    pub fn browser(&self) -> Browser {
        let root = reqwest::Certificate::from_der(&AUTHORITY.root).expect("a certificate");
        let builder = crate::browser::builder().tls_certs_only([root]).dns_resolver(self.server);
        Browser::over(builder)
    }
}

impl fmt::Debug for Internet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Internet").field(&self.server).finish()
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Signs a certificate for every name that somebody asks for. All of them have one key: nobody here is another's enemy.
#[derive(Debug)]
struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    key: KeyPair,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "Grantkeeper tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate").der().clone();
        let leaf = KeyPair::generate().expect("a key");
        Self { root, issuer: Issuer::new(params, key), key: leaf, certificates: Mutex::default() }
    }

    fn certificate(&self, name: &str) -> Option<CertifiedKey> {
        let params = CertificateParams::new(vec![name.to_owned()]).ok()?;
        let certificate = params.signed_by(&self.key, &self.issuer).ok()?.der().clone();
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let key = aws_lc_rs::sign::any_supported_type(&key.into()).ok()?;
        Some(CertifiedKey::new(vec![certificate], key))
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = certificates.get(&name) {
            return Some(Arc::clone(known));
        }
        let new = Arc::new(self.certificate(&name)?);
        certificates.insert(name, Arc::clone(&new));
        Some(new)
    }
}

fn acceptor() -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&AUTHORITY) as _);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Hands on each connection when its handshake is over: a slow one holds up nobody.
async fn shake_hands(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<TlsConnection>) {
    while let Ok((stream, from)) = listener.accept().await {
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        background(async move {
            // Who does not trust the certificate goes away.
            if let Ok(stream) = acceptor.accept(stream).await {
                drop(ready.send((stream, from)).await);
            }
        });
    }
}

type TlsConnection = (TlsStream<TcpStream>, SocketAddr);

/// The connections that speak TLS already.
struct TlsListener {
    connections: mpsc::Receiver<TlsConnection>,
    address: SocketAddr,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> TlsConnection {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of a test, which ends with the test")]
fn background(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}
