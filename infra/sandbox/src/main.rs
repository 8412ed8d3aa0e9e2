//! The sandbox as a program, on the loopback interface only.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use grantkeeper_sandbox::{Options, Sandbox};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A scriptable authorization server with an API behind it. Anybody may sign in: for loopback use only.
#[derive(Parser)]
#[command(name = "grantkeeper-sandbox")]
struct Arguments {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8090)]
    port: u16,
    /// Keep clients, grants and the signing key in this file.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))
        .await
        .with_context(|| format!("cannot listen on 127.0.0.1:{}", arguments.port))?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let sandbox = Sandbox::open(Options { issuer: issuer.clone(), data_file: arguments.data })?;
    let mut terminate = signal(SignalKind::terminate())?;
    eprintln!("sandbox ready {issuer}");
    axum::serve(listener, sandbox.router())
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await?;
    Ok(())
}
