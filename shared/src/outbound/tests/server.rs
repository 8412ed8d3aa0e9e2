//! Small servers on loopback that read one request per connection and then misbehave as told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::outbound::{Limits, Outbound, OutboundError, OutboundPolicy, OutboundRequest, OutboundResponse};

/// A server that lives as long as the test process.
pub(in crate::outbound) struct Server {
    /// `127.0.0.1:<port>`
    pub address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server; `answer` gets each connection after the request was read.
    pub fn start(answer: impl Fn(&mut TcpStream) + Send + 'static) -> Self {
        let record = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&record);
        let address = listen(move |stream| {
            let request = read_request(stream);
            record.lock().expect("the record").push(request);
            answer(stream);
        });
        Self { address, seen }
    }

    /// Starts a server that gives this answer to every request.
    pub fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::start(move |stream| drop(stream.write_all(answer.as_bytes())))
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port")
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// One entry for each connection: the request as it came in.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("the record").clone()
    }
}

/// Gives each connection, untouched, to `handle`, one after the other. Returns the address.
pub(in crate::outbound) fn listen(handle: impl Fn(&mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            handle(&mut stream.expect("a connection"));
        }
    });
    address
}

/// A client that may also reach these origins.
pub(in crate::outbound) fn outbound_to(origins: &[String]) -> Outbound {
    Outbound::new(OutboundPolicy::allowing(origins).expect("origins")).expect("a client")
}

/// One `GET` to an origin that the policy exempts.
pub(in crate::outbound) async fn get(origin: String, limits: Limits) -> Result<OutboundResponse, OutboundError> {
    outbound_to(std::slice::from_ref(&origin)).send(OutboundRequest::get(origin, limits)).await
}

/// Why that brought no answer.
pub(in crate::outbound) async fn failure(origin: String, limits: Limits) -> OutboundError {
    get(origin, limits).await.expect_err("no answer")
}

/// An answer with a correct length.
pub(in crate::outbound) fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads one request: its head, and as much as it announces.
pub(in crate::outbound) fn read_request(stream: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
    }
}
