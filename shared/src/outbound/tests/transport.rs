use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::{HeaderValue, header};

use super::server::{Server, answer, failure, get, outbound_to};
use crate::outbound::{Limits, Outbound, OutboundError, OutboundPolicy, OutboundRequest, UrlRefusal};

#[tokio::test]
async fn a_request_goes_out_with_our_defaults_and_its_answer_comes_back_whole() {
    let server = Server::answering(answer("201 Created", "application/json", r#"{"a":1}"#));
    let request = OutboundRequest::post_form(server.url("/token"), "grant_type=x", Limits::TOKEN);
    let response = outbound_to(&[server.origin()]).send(request).await.expect("an answer");
    assert_eq!(response.status, 201);
    assert_eq!(response.body.as_slice(), br#"{"a":1}"#);
    assert_eq!(response.headers[header::CONTENT_TYPE], "application/json");
    let seen = server.seen().concat().to_ascii_lowercase();
    assert!(seen.starts_with("post /token http/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\ngrant_type=x"), "{seen}");
    for line in
        ["accept: application/json", "user-agent: grantkeeper/", "content-type: application/x-www-form-urlencoded"]
    {
        assert!(seen.contains(line), "{seen}");
    }
    assert!(!seen.contains("accept-encoding"), "{seen}");
}

#[tokio::test]
async fn the_caller_sets_headers_but_not_those_of_the_connection() {
    let server = Server::answering(answer("200 OK", "application/json", "{}"));
    let request = OutboundRequest::post_json(server.url("/"), "{}", Limits::TOKEN)
        .with_header(header::ACCEPT, HeaderValue::from_static("text/csv"))
        .with_header(header::AUTHORIZATION, HeaderValue::from_static("Bearer t"))
        .with_header(header::HOST, HeaderValue::from_static("evil.example"))
        .with_header(header::CONTENT_LENGTH, HeaderValue::from_static("1"))
        .with_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
        .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    outbound_to(&[server.origin()]).send(request).await.expect("an answer");
    let seen = server.seen().concat().to_ascii_lowercase();
    assert!(seen.contains("accept: text/csv\r\n") && seen.contains("authorization: bearer t\r\n"), "{seen}");
    assert!(
        seen.contains(&format!("host: {}\r\n", server.address)) && seen.contains("content-length: 2\r\n"),
        "{seen}"
    );
    for absent in ["evil", "transfer-encoding", "gzip", "accept: application/json"] {
        assert!(!seen.contains(absent), "{seen}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let target = Server::answering(answer("200 OK", "application/json", "{}"));
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = target.url("/stolen");
        let server =
            Server::answering(format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
        let outbound = outbound_to(&[server.origin(), target.origin()]);
        let request = OutboundRequest::post_form(server.url("/token"), "client_secret=s", Limits::TOKEN);
        let response = outbound.send(request).await.expect("an answer");
        assert!(response.status.is_redirection());
    }
    assert_eq!(target.seen().len(), 0);
}

#[tokio::test]
async fn a_slow_body_ends_when_time_runs_out() {
    let server = Server::start(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let started = Instant::now();
    let limits = Limits { total: Duration::from_millis(300), ..Limits::TOKEN };
    assert_eq!(failure(server.origin(), limits).await, OutboundError::Timeout { sent: true });
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_endless_body_ends_at_the_limit() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let server = Server::start(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 1000]).is_ok() {
            count.fetch_add(1000, Ordering::Relaxed);
        }
    });
    assert_eq!(failure(server.origin(), Limits::TOKEN).await, OutboundError::TooLarge);
    thread::sleep(Duration::from_millis(50));
    // What the sockets of both sides buffer, not what an endless server could send.
    assert!(written.load(Ordering::Relaxed) < 32 * 1024 * 1024);
}

#[tokio::test]
async fn a_body_may_fill_the_limit_and_not_pass_it() {
    let limits = Limits { max_body: 5, ..Limits::TOKEN };
    let server = Server::answering(answer("200 OK", "text/plain", "12345"));
    assert_eq!(get(server.origin(), limits).await.expect("an answer").body.as_slice(), b"12345");
    for too_long in [
        answer("200 OK", "text/plain", "123456"),
        "HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n1".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n0\r\n\r\n".to_owned(),
    ] {
        assert!(failure(Server::answering(too_long).origin(), limits).await.maybe_processed());
    }
}

#[tokio::test]
async fn a_compressed_body_stays_as_it_came() {
    let compressed = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbomb";
    let response = get(Server::answering(compressed).origin(), Limits::TOKEN).await.expect("an answer");
    assert_eq!(response.body.as_slice(), b"bomb");
}

#[tokio::test]
async fn a_connection_lost_after_sending_may_have_been_processed() {
    for partial in
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "not http\r\n\r\n"]
    {
        let error = failure(Server::answering(partial).origin(), Limits::TOKEN).await;
        assert_eq!(error, OutboundError::Interrupted, "{partial}");
        assert!(error.maybe_processed());
    }
}

#[tokio::test]
async fn a_request_is_sent_once() {
    let server = Server::start(|_| ());
    let outbound = outbound_to(&[server.origin()]);
    for _ in 0..2 {
        let request = OutboundRequest::post_form(server.url("/"), "x=1", Limits::TOKEN);
        assert!(outbound.send(request).await.is_err());
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_refused_connection_was_not_processed() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let error = failure(format!("http://{address}"), Limits::TOKEN).await;
    assert_eq!(error, OutboundError::Connect);
    assert!(!error.maybe_processed());
}

#[tokio::test]
async fn the_strict_policy_reaches_no_server_here() {
    let server = Server::answering(answer("200 OK", "application/json", "{}"));
    let outbound = Outbound::new(OutboundPolicy::strict()).expect("a client");
    for (url, refusal) in [
        (server.url("/"), UrlRefusal::NotHttps),
        (format!("https://{}/", server.address), UrlRefusal::PortNotAllowed(server.port())),
    ] {
        let error = outbound.send(OutboundRequest::get(url, Limits::TOKEN)).await.expect_err("a refusal");
        assert_eq!(error, OutboundError::Refused(refusal));
        assert!(!error.maybe_processed());
    }
    // The client underneath holds to https even if the check of the URL were missing.
    let unchecked =
        outbound.start(server.url("/").parse().expect("a URL"), OutboundRequest::get("", Limits::TOKEN)).await;
    assert_eq!(unchecked.err(), Some(OutboundError::Internal));
    assert_eq!(server.seen().len(), 0);
}

/// Runs the test named below in a process of its own, whose environment names a proxy.
#[test]
fn a_proxy_in_the_environment_is_ignored() {
    let evil = Server::answering(answer("200 OK", "application/json", r#"{"a":1}"#));
    let (_, module) = module_path!().split_once("::").expect("a module");
    let test = format!("{module}::a_request_goes_out_with_our_defaults_and_its_answer_comes_back_whole");
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", &test]).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, evil.origin());
    }
    let output = child.output().expect("a run");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
    assert_eq!(evil.seen().len(), 0);
}

#[tokio::test]
async fn nothing_prints_a_secret() {
    let body = "client_secret=CANARY";
    let server = Server::answering("HTTP/1.1 200 OK\r\nSet-Cookie: CANARY\r\nContent-Length: 6\r\n\r\nCANARY");
    let request = OutboundRequest::post_form(server.url("/?token=CANARY"), body, Limits::TOKEN)
        .with_header(header::AUTHORIZATION, HeaderValue::from_static("Bearer CANARY"));
    let outbound = outbound_to(&[server.origin()]);
    let printed = format!("{request:?} {:?} {outbound:?}", outbound.send(request.clone()).await);
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let error = failure(format!("http://{closed}"), Limits::TOKEN).await;
    let printed = format!("{printed} {error} {error:?}");
    assert!(!printed.contains("CANARY") && !printed.contains(&closed.to_string()), "{printed}");
}
