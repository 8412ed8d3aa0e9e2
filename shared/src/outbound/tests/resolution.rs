use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use reqwest::dns::Resolve;

use super::super::resolver::{CheckedResolver, Lookup, Reach, Rule, Unresolved};
use super::server::{Server, answer};
use crate::outbound::{Limits, Outbound, OutboundError, OutboundPolicy, OutboundRequest, OwnHosts, UrlRefusal, WayOut};

const PUBLIC: &str = "93.184.215.14";

/// A name server that gives these answers one after the other, and fails when they are used up.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().expect("an address")).collect();
        Arc::new(Self(Mutex::new(answers.iter().map(parse).collect())))
    }

    fn left(&self) -> usize {
        self.0.lock().expect("the script").len()
    }
}

impl Lookup for Script {
    fn addresses(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let answer = self.0.lock().expect("the script").pop_front();
        Box::pin(async { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn public(script: &Arc<Script>) -> CheckedResolver {
    let rule = Rule::Within(Reach::Public, OwnHosts::default());
    CheckedResolver { lookup: Arc::clone(script) as _, rule }
}

async fn checked(script: &Arc<Script>, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
    public(script).checked(name.to_owned()).await
}

fn strict(script: &Arc<Script>) -> Outbound {
    Outbound::with_lookup(OutboundPolicy::strict(), &WayOut::default(), Arc::clone(script) as _).expect("a client")
}

async fn get(outbound: &Outbound, url: &str) -> Result<u16, OutboundError> {
    outbound.send(OutboundRequest::get(url, Limits::TOKEN)).await.map(|answer| answer.status.as_u16())
}

#[tokio::test]
async fn a_name_that_moves_to_loopback_is_refused_the_second_time() {
    let script = Script::new(&[&[PUBLIC], &["127.0.0.1"]]);
    assert_eq!(checked(&script, "rebind.example").await, Ok(vec![PUBLIC.parse().expect("an address")]));
    assert_eq!(script.left(), 1, "one resolution for one check");
    assert_eq!(checked(&script, "rebind.example").await, Err(UrlRefusal::AddressNotAllowed.into()));
}

#[tokio::test]
async fn the_connection_gets_exactly_the_checked_addresses_and_none_is_kept() {
    let script = Script::new(&[&[PUBLIC, "2606:4700::1111"]]);
    let resolver = public(&script);
    let addresses = resolver.resolve("as.example".parse().expect("a name")).await.expect("addresses");
    let addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
    assert_eq!(addresses, [PUBLIC, "2606:4700::1111"]);
    assert!(resolver.resolve("as.example".parse().expect("a name")).await.is_err(), "asked again, not remembered");
}

#[tokio::test]
async fn one_bad_address_among_good_ones_refuses_the_name() {
    for bad in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:169.254.169.254", "fd00:ec2::254"] {
        for addresses in [&[PUBLIC, bad], &[bad, PUBLIC]] {
            let outbound = strict(&Script::new(&[addresses]));
            let answer = get(&outbound, "https://mixed.example/token").await;
            assert_eq!(answer, Err(OutboundError::Refused(UrlRefusal::AddressNotAllowed)), "{bad}");
        }
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_loopback_never_reaches_the_server_there() {
    let script = Script::new(&[&["127.0.0.1"]]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    // The strict client is asked directly: `check_url` would refuse the port before any resolution.
    let url = format!("https://rebind.example:{port}/token").parse().expect("a URL");
    let answer = strict(&script).start(url, OutboundRequest::get("", Limits::TOKEN)).await;
    assert_eq!(answer.err(), Some(OutboundError::Refused(UrlRefusal::AddressNotAllowed)));
    assert_eq!(script.left(), 0);
    listener.set_nonblocking(true).expect("non-blocking");
    assert_eq!(listener.accept().err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn literals_and_private_names_are_refused_without_asking_a_name_server() {
    let script = Script::new(&[&[PUBLIC]]);
    let outbound = strict(&script);
    for url in
        ["https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://localhost./", "https://2130706433/"]
    {
        assert_eq!(get(&outbound, url).await, Err(OutboundError::Refused(UrlRefusal::AddressNotAllowed)), "{url}");
    }
    assert_eq!(script.left(), 1);
}

#[tokio::test]
async fn a_name_without_addresses_is_a_dns_error() {
    assert_eq!(get(&strict(&Script::new(&[])), "https://nowhere.example/").await, Err(OutboundError::Dns));
    assert_eq!(get(&strict(&Script::new(&[&[]])), "https://nowhere.example/").await, Err(OutboundError::Dns));
}

#[tokio::test]
async fn an_exemption_does_not_loosen_the_same_name_elsewhere() {
    let server = Server::answering(answer("200 OK", "application/json", "{}"));
    let origin = format!("http://as.example:{}", server.port());
    let policy = OutboundPolicy::allowing(std::slice::from_ref(&origin)).expect("an origin");
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.1"]]);
    let outbound = Outbound::with_lookup(policy, &WayOut::default(), script).expect("a client");
    assert_eq!(get(&outbound, &origin).await, Ok(200));
    let elsewhere = get(&outbound, "https://as.example/").await;
    assert_eq!(elsewhere, Err(OutboundError::Refused(UrlRefusal::AddressNotAllowed)));
}
