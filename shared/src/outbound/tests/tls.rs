use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::server::{failure, listen};
use crate::outbound::{Limits, OutboundError, aws_lc_rs};

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
    // A throw-away P-256 pair for 127.0.0.1, valid for a century, signed by nobody else.
    let certificate = CertificateDer::from(include_bytes!("self_signed.cert.der").as_slice());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("self_signed.key.der").as_slice());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .expect("a certificate");
    let config = Arc::new(config);
    let handshakes = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&handshakes);
    let address = listen(move |stream| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut plain = Vec::new();
        let outcome = rustls::Stream::new(&mut connection, stream).read_to_end(&mut plain);
        record.lock().expect("the record").push((outcome.is_err(), plain));
    });
    assert_eq!(failure(format!("https://{address}"), Limits::TOKEN).await, OutboundError::Tls);
    let deadline = Instant::now() + Duration::from_secs(3);
    while handshakes.lock().expect("the record").is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(*handshakes.lock().expect("the record"), [(true, Vec::new())]);
}
