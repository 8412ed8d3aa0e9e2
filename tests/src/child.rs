//! An authorization server that nobody here wrote, as a child process on loopback.
//!
//! Its script reads one line of JSON from standard input, prints `ready` when it listens, ends with its standard input,
//! exits with 98 if its port is taken, and answers `GET /test/token-requests`.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Seek as _};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::browser;

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How many ports are tried before giving up.
const PORT_ATTEMPTS: u16 = 10;
/// The exit status by which a server says that its port is taken.
const PORT_IS_TAKEN: i32 = 98;

/// A running server, killed on drop.
pub(crate) struct ChildServer {
    /// `http://127.0.0.1:PORT` without a trailing slash.
    pub url: String,
    http: reqwest::Client,
    _child: Child,
    // The server ends with its standard input, so it also goes when this process is killed and cannot drop anything.
    _stdin: ChildStdin,
}

/// One request to the token endpoint, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The `grant_type`; empty if the request had none.
    pub grant_type: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The `error` of the answer (RFC 6749 §5.2); `None` for success.
    pub error: Option<String>,
}

impl ChildServer {
    /// Starts `command` for a random port until one is free.
    ///
    /// # Errors
    /// The program cannot be started, it ended or was not ready in time (its log is part of the error), or no port was
    /// free.
    pub async fn start(name: &str, command: impl Fn(u16) -> Command, configuration: &Value) -> anyhow::Result<Self> {
        for attempt in 0..PORT_ATTEMPTS {
            let port = random_port(attempt);
            if let Some((child, stdin)) = start_on_port(name, command(port), configuration).await? {
                let url = format!("http://127.0.0.1:{port}");
                return Ok(Self { url, http: browser::http(), _child: child, _stdin: stdin });
            }
        }
        bail!("{name}: {PORT_ATTEMPTS} random ports were all taken")
    }

    /// Every request that the token endpoint has answered, oldest first.
    ///
    /// # Errors
    /// The server does not answer, or not with the expected list.
    pub async fn token_requests(&self) -> anyhow::Result<Vec<TokenRequest>> {
        let url = format!("{}/test/token-requests", self.url);
        let list: Vec<Value> = self.http.get(url).send().await?.error_for_status()?.json().await?;
        list.iter().map(|entry| token_request(entry).context("an entry of /test/token-requests")).collect()
    }
}

fn token_request(entry: &Value) -> Option<TokenRequest> {
    Some(TokenRequest {
        grant_type: entry.get("grant_type")?.as_str()?.to_owned(),
        status: entry.get("status")?.as_u64()?.try_into().ok()?,
        error: entry.get("error")?.as_str().map(str::to_owned),
    })
}

/// A port of 20000..32000: below the range from which the system picks ports for outgoing connections, which could
/// take it at any time.
fn random_port(attempt: u16) -> u16 {
    let offset = RandomState::new().hash_one(attempt) % 12_000;
    20_000 + u16::try_from(offset).unwrap_or_default()
}

/// `None` if the port is taken.
async fn start_on_port(
    name: &str,
    mut command: Command,
    configuration: &Value,
) -> anyhow::Result<Option<(Child, ChildStdin)>> {
    let mut log = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{name} cannot be started: run make tools"))?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let stdout = child.stdout.take().context("standard output is piped")?;

    // A server that has ended already is reported below, with its log.
    let _ = stdin.write_all(format!("{configuration}\n").as_bytes()).await;

    let mut lines = BufReader::new(stdout).lines();
    match timeout(START_LIMIT, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == "ready" => Ok(Some((child, stdin))),
        Ok(_) => {
            let ended = timeout(START_LIMIT, child.wait()).await;
            let status = ended.with_context(|| format!("{name} neither starts nor ends"))??;
            if status.code() == Some(PORT_IS_TAKEN) {
                return Ok(None);
            }
            bail!("{name} ended ({status}):\n{}", written(&mut log)?)
        }
        Err(_) => {
            child.kill().await?;
            bail!("{name} was not ready after {START_LIMIT:?}:\n{}", written(&mut log)?)
        }
    }
}

fn written(log: &mut File) -> anyhow::Result<String> {
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_below_the_range_of_outgoing_connections() {
        assert!((0..1000).map(random_port).all(|port| (20_000..32_000).contains(&port)));
    }
}
