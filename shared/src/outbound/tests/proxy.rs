//! The forward proxy that the operator set.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;

use super::server::{Server, answer, listen, read_request};
use super::tls_server::{Ca, Everywhere, Record, outbound, serve, unchecked, way_out};
use crate::outbound::{
    ForwardProxy, Limits, Outbound, OutboundError, OutboundPolicy, OutboundRequest, UrlRefusal, WayOut,
};

/// A proxy that says 200 to every `CONNECT` and then is the host that was asked for.
struct Proxy {
    /// `127.0.0.1:<port>`
    address: String,
    connects: Record,
    requests: Record,
}

impl Proxy {
    fn start(host: Arc<ServerConfig>) -> Self {
        let (connects, requests) = (Record::default(), Record::default());
        let (asked, seen) = (Arc::clone(&connects), Arc::clone(&requests));
        let address = listen(move |stream| {
            asked.lock().expect("the record").push(read_request(stream));
            drop(stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n"));
            serve(&host, stream, &seen);
        });
        Self { address, connects, requests }
    }
}

fn through(url: &str, way_out: WayOut) -> WayOut {
    WayOut { proxy: Some(ForwardProxy::parse(&url.into()).expect("a proxy")), ..way_out }
}

async fn get(outbound: &Outbound, url: &str) -> Result<u16, OutboundError> {
    outbound.send(OutboundRequest::get(url, Limits::TOKEN)).await.map(|answer| answer.status.as_u16())
}

#[tokio::test]
async fn every_request_asks_the_proxy_to_connect_and_resolves_nothing_here() {
    let ca = Ca::new();
    let origins = "https://dhis2.intra.example:8443";
    for (url, asked) in [
        ("https://as.example/token?code=CANARY", "as.example:443"),
        ("https://8.8.8.8/token", "8.8.8.8:443"),
        ("https://dhis2.intra.example:8443/token", "dhis2.intra.example:8443"),
    ] {
        let host = asked.split(':').next().expect("a host");
        let proxy = Proxy::start(ca.server(host));
        let lookup = Everywhere::at("93.184.215.14");
        let way_out = through(&format!("http://{}", proxy.address), way_out(origins, ca.bundle()));
        assert_eq!(get(&outbound(&way_out, &lookup), url).await, Ok(200), "{url}");
        let connects = proxy.connects.lock().expect("the record").concat();
        assert!(connects.starts_with(&format!("CONNECT {asked} HTTP/1.1\r\n")), "{connects}");
        // The proxy learns the host and nothing else.
        assert!(!connects.contains("CANARY") && !connects.contains("/token"), "{connects}");
        assert!(proxy.requests.lock().expect("the record").concat().starts_with("GET /token"));
        assert_eq!(lookup.1.lock().expect("the record").len(), 0);
    }
}

#[tokio::test]
async fn with_a_proxy_the_policy_still_judges_schemes_ports_literals_and_names() {
    let ca = Ca::new();
    let proxy = Proxy::start(ca.server("as.example"));
    let way_out = through(&format!("http://{}", proxy.address), way_out("", ca.bundle()));
    let client = outbound(&way_out, &Everywhere::at("93.184.215.14"));
    for url in [
        "http://as.example/",
        "https://as.example:8443/",
        "https://10.1.2.3/",
        "https://127.0.0.1/",
        "https://[::ffff:169.254.169.254]/",
        "https://localhost/",
        "https://metadata.google.internal/",
        "https://intranet/",
    ] {
        assert!(matches!(get(&client, url).await, Err(OutboundError::Refused(_))), "{url}");
    }
    assert_eq!(proxy.connects.lock().expect("the record").len(), 0);
}

#[tokio::test]
async fn the_proxys_own_name_may_be_private_and_is_the_only_one_resolved() {
    let ca = Ca::new();
    let proxy = Proxy::start(ca.server("as.example"));
    let port = proxy.address.rsplit_once(':').map(|(_, port)| port.to_owned()).expect("a port");
    let lookup = Everywhere::at("10.0.0.9");
    let way_out = through(&format!("http://Proxy.internal:{port}"), way_out("", ca.bundle()));
    let client = outbound(&way_out, &lookup);
    assert_eq!(get(&client, "https://as.example/").await, Ok(200));
    assert_eq!(*lookup.1.lock().expect("the record"), ["proxy.internal"]);
}

#[tokio::test]
async fn a_proxy_may_be_reached_by_https_under_a_private_ca() {
    let ca = Ca::new();
    let (outer, inner) = (ca.server("127.0.0.1"), ca.server("as.example"));
    let connects = Record::default();
    let record = Arc::clone(&connects);
    let address = listen(move |stream| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&outer)).expect("a connection");
        let mut tls = rustls::Stream::new(&mut connection, stream);
        record.lock().expect("the record").push(read_request(&mut tls));
        drop(tls.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        let mut host = rustls::ServerConnection::new(Arc::clone(&inner)).expect("a connection");
        let mut tls = rustls::Stream::new(&mut host, &mut tls);
        read_request(&mut tls);
        drop(tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
    });
    let url = format!("https://{address}");
    let client = outbound(&through(&url, way_out("", ca.bundle())), &Everywhere::at("93.184.215.14"));
    assert_eq!(get(&client, "https://as.example/").await, Ok(204));
    assert!(connects.lock().expect("the record").concat().starts_with("CONNECT as.example:443 "));
    let distrusting = outbound(&through(&url, WayOut::default()), &Everywhere::at("93.184.215.14"));
    assert_eq!(get(&distrusting, "https://as.example/").await, Err(OutboundError::Tls));
}

#[tokio::test]
async fn a_proxy_does_not_make_a_bad_certificate_good() {
    let ca = Ca::new();
    for host in [ca.server("other.example"), ca.expired_server("as.example"), Ca::new().server("as.example")] {
        let proxy = Proxy::start(host);
        let way_out = through(&format!("http://{}", proxy.address), way_out("", ca.bundle()));
        let client = outbound(&way_out, &Everywhere::at("93.184.215.14"));
        assert_eq!(get(&client, "https://as.example/").await, Err(OutboundError::Tls));
        assert_eq!(proxy.requests.lock().expect("the record").concat(), "");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_or_refuses_is_an_error_of_its_own_and_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let mut addresses = vec![closed.to_string()];
    for refusal in ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway", "302 Found"] {
        addresses.push(Server::answering(answer(refusal, "text/plain", "CANARY")).address);
    }
    addresses.push(Server::start(|_| ()).address);
    addresses.push(Server::answering("not http\r\n\r\n").address);
    for address in addresses {
        let way_out = through(&format!("http://user:CANARY@{address}"), WayOut::default());
        let client = outbound(&way_out, &Everywhere::at("93.184.215.14"));
        let error = get(&client, "https://as.example/").await.expect_err("no answer");
        assert_eq!(error, OutboundError::Proxy, "{address}");
        assert!(!error.maybe_processed());
        assert!(!format!("{error} {error:?}").contains("CANARY"));
    }
    let unknown = through("http://proxy.example:3128", WayOut::default());
    let lookup = Arc::new(NoNames);
    let client = Outbound::with_lookup(OutboundPolicy::strict(), &unknown, lookup).expect("a client");
    assert_eq!(get(&client, "https://as.example/").await, Err(OutboundError::Proxy));
}

/// A name server that knows nothing.
struct NoNames;

impl super::super::resolver::Lookup for NoNames {
    fn addresses(&self, _: String) -> futures::future::BoxFuture<'static, std::io::Result<Vec<std::net::IpAddr>>> {
        Box::pin(async { Err(std::io::Error::other("no such name")) })
    }
}

#[tokio::test]
async fn a_proxy_that_never_answers_was_not_sent_anything() {
    let address = listen(|stream| drop(stream.read_to_end(&mut Vec::new())));
    let way_out = through(&format!("http://{address}"), WayOut::default());
    let client = outbound(&way_out, &Everywhere::at("93.184.215.14"));
    assert_eq!(get(&client, "https://as.example/").await, Err(OutboundError::Timeout { sent: false }));
}

#[tokio::test]
async fn the_proxy_gets_its_credentials_and_nobody_else_sees_them() {
    let ca = Ca::new();
    let proxy = Proxy::start(ca.server("as.example"));
    let way_out = through(&format!("http://us%3Aer:CAN%40ARY@{}", proxy.address), way_out("", ca.bundle()));
    let client = outbound(&way_out, &Everywhere::at("93.184.215.14"));
    assert_eq!(get(&client, "https://as.example/").await, Ok(200));
    let expected = STANDARD.encode("us:er:CAN@ARY");
    let connects = proxy.connects.lock().expect("the record").concat();
    let header = connects.lines().find(|line| line.to_ascii_lowercase().starts_with("proxy-authorization: "));
    assert_eq!(
        header.and_then(|line| line.split_once(": ")).map(|(_, value)| value),
        Some(&*format!("Basic {expected}"))
    );
    assert!(!proxy.requests.lock().expect("the record").concat().to_ascii_lowercase().contains("proxy-"));
    let printed = format!("{client:?} {way_out:?} {:#?}", way_out.clone());
    for secret in ["CAN%40ARY", "CAN@ARY", "CAN", &expected] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[tokio::test]
async fn exempt_origins_are_on_this_machine_and_reached_directly() {
    let ca = Ca::new();
    let (proxy, server) =
        (Proxy::start(ca.server("as.example")), Server::answering(answer("200 OK", "text/plain", "")));
    let way_out = through(&format!("http://{}", proxy.address), WayOut::default());
    let policy = OutboundPolicy::allowing(&[server.origin()]).expect("an origin");
    let client = Outbound::with_way_out(policy, &way_out).expect("a client");
    assert_eq!(get(&client, &server.origin()).await, Ok(200));
    assert_eq!(proxy.connects.lock().expect("the record").len(), 0);
}

/// If the proxy were ever forgotten, the resolver would still let nothing out.
#[tokio::test]
async fn the_resolver_of_a_client_with_a_proxy_knows_no_other_name() {
    let lookup = Everywhere::at("93.184.215.14");
    let rule = super::super::resolver::Rule::Only("proxy.example".to_owned());
    let resolver = super::super::resolver::CheckedResolver { lookup: Arc::clone(&lookup) as _, rule };
    let refused = resolver.clone().checked("as.example".to_owned()).await;
    assert_eq!(refused, Err(UrlRefusal::AddressNotAllowed.into()));
    assert!(resolver.checked("PROXY.example".to_owned()).await.is_ok());
    assert_eq!(lookup.1.lock().expect("the record").len(), 1);
}

#[tokio::test]
async fn a_proxy_is_used_for_literal_addresses_underneath_too() {
    let ca = Ca::new();
    let proxy = Proxy::start(ca.server("127.0.0.1"));
    let way_out = through(&format!("http://{}", proxy.address), way_out("", ca.bundle()));
    let client = outbound(&way_out, &Everywhere::at("93.184.215.14"));
    assert_eq!(unchecked(&client, "https://127.0.0.1:1/").await, Ok(200));
    assert!(proxy.connects.lock().expect("the record").concat().starts_with("CONNECT 127.0.0.1:1 "));
}
