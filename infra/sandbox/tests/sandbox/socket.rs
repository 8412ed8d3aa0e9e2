//! The sandbox over real connections, for what only shows there.

use std::future::IntoFuture;
use std::time::Duration;

use grantkeeper_sandbox::Sandbox;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::form;

/// Everything the sandbox writes on a connection with this one form on it.
pub async fn over_a_socket(sandbox: &Sandbox, path: &str, parameters: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request(path, parameters).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let server = axum::serve(listener, sandbox.router()).into_future();
    tokio::select! {
        answer = exchange => answer,
        _ = server => panic!("the server ended"),
    }
}

/// Sends this one form, waits, and hangs up without having read anything. Returns when the sandbox has noticed.
pub async fn hang_up_after(sandbox: &Sandbox, path: &str, parameters: &[(&str, &str)], wait: Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let caller = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request(path, parameters).as_bytes()).await.unwrap();
        tokio::time::sleep(wait).await;
        drop(stream);
        stop.send(()).unwrap();
    };
    // It ends when every request is over.
    let server = axum::serve(listener, sandbox.router()).with_graceful_shutdown(async {
        stopped.await.unwrap();
    });
    let (served, ()) = tokio::join!(server.into_future(), caller);
    served.unwrap();
}

fn request(path: &str, parameters: &[(&str, &str)]) -> String {
    let body = form(&[parameters, &[("client_id", "app"), ("client_secret", "s3cret")]].concat());
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
