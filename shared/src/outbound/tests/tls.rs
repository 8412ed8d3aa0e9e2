use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::server::{failure, get, listen};
use super::tls_server::{Ca, Everywhere, outbound, seen, self_signed_server, start, unchecked, way_out};
use crate::outbound::{CaBundle, Limits, OutboundError, WayOut};

const NAME: &str = "as.example";

/// What a client that trusts `bundle` gets from this server, as the host `as.example` of the public internet, and what
/// the server saw.
async fn answer_of(config: Arc<ServerConfig>, ca_bundle: CaBundle) -> (Result<u16, OutboundError>, Vec<String>) {
    let (port, record) = start(config);
    let client = outbound(&WayOut { ca_bundle, ..WayOut::default() }, &Everywhere::at("93.184.215.14"));
    let answer = unchecked(&client, &format!("https://{NAME}:{port}/token")).await;
    (answer, seen(&record))
}

const HANDSHAKE_FAILED: (Result<u16, OutboundError>, [&str; 1]) = (Err(OutboundError::Tls), [""]);

#[tokio::test]
async fn a_handshake_that_never_ends_was_not_sent() {
    let address = listen(|stream| drop(stream.read_to_end(&mut Vec::new())));
    let started = Instant::now();
    assert_eq!(failure(format!("https://{address}"), Limits::TOKEN).await, OutboundError::Timeout { sent: false });
    assert!(started.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_fails_the_handshake() {
    let address = listen(|stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    assert_eq!(failure(format!("https://{address}"), Limits::TOKEN).await, OutboundError::Tls);
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_before_anything_is_sent() {
    let (answer, seen) = answer_of(self_signed_server(NAME), CaBundle::default()).await;
    assert_eq!((answer, [seen.concat().as_str()]), HANDSHAKE_FAILED);
    // Nor does trusting some other CA help.
    let (answer, seen) = answer_of(self_signed_server(NAME), Ca::new().bundle()).await;
    assert_eq!((answer, [seen.concat().as_str()]), HANDSHAKE_FAILED);
    // An exempt origin must have a good certificate, too.
    let (port, _) = start(self_signed_server("127.0.0.1"));
    assert_eq!(get(format!("https://127.0.0.1:{port}"), Limits::TOKEN).await.err(), Some(OutboundError::Tls));
}

#[tokio::test]
async fn a_private_ca_is_trusted_only_where_it_was_given() {
    let ca = Ca::new();
    let (answer, seen) = answer_of(ca.server(NAME), ca.bundle()).await;
    assert_eq!(answer, Ok(200));
    assert!(seen.concat().starts_with("GET /token HTTP/1.1\r\n"), "{seen:?}");
    for bundle in [CaBundle::default(), Ca::new().bundle()] {
        let (answer, seen) = answer_of(ca.server(NAME), bundle).await;
        assert_eq!((answer, [seen.concat().as_str()]), HANDSHAKE_FAILED);
    }
}

#[tokio::test]
async fn a_certificate_of_another_host_is_refused_before_anything_is_sent() {
    let ca = Ca::new();
    for other in ["other.example", "example", "a.as.example", "93.184.215.14"] {
        let (answer, seen) = answer_of(ca.server(other), ca.bundle()).await;
        assert_eq!((answer, [seen.concat().as_str()]), HANDSHAKE_FAILED, "{other}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused_before_anything_is_sent() {
    let ca = Ca::new();
    let (answer, seen) = answer_of(ca.expired_server(NAME), ca.bundle()).await;
    assert_eq!((answer, [seen.concat().as_str()]), HANDSHAKE_FAILED);
}

#[tokio::test]
async fn a_listed_origin_must_have_a_good_certificate_too() {
    let ca = Ca::new();
    for (config, bundle) in [
        (self_signed_server("dhis2.intra.example"), CaBundle::default()),
        (ca.server("dhis2.intra.example"), CaBundle::default()),
        (ca.server("other.intra.example"), ca.bundle()),
        (ca.expired_server("dhis2.intra.example"), ca.bundle()),
    ] {
        let (port, record) = start(config);
        let origin = format!("https://dhis2.intra.example:{port}");
        let client = outbound(&way_out(&origin, bundle), &Everywhere::at("10.1.2.3"));
        assert_eq!(unchecked(&client, &origin).await, Err(OutboundError::Tls));
        assert_eq!(seen(&record).concat(), "");
    }
}
