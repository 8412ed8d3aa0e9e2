//! The embedded AWS engines: DynamoDB, Secrets Manager and SQS on one loopback listener.
//!
//! The product reaches them through the real AWS SDKs, so there is one implementation of each adapter: the deployed one.
//! Each start makes a new access key; a request without it is refused, so no other program of this machine and no web
//! page can read what the engines hold.

mod dynamodb;
mod gateway;
mod journal;
mod secrets;
mod sqs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use winterbaume_core::{MockRequest, MockResponse};

use gateway::Gateway;
use secrets::Secrets;
use sqs::Queues;

/// The region the engines pretend to be in.
const REGION: &str = "us-east-1";

/// The variables of [`Engines::environment`] that say everything.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// How long a shutdown waits for requests in flight.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// The embedded engines of this process, or the way to those of another.
///
/// Dropping them without [`Engines::shutdown`] loses nothing that was answered: every write is on disk before its answer.
pub struct Engines {
    address: SocketAddr,
    access: AccessKey,
    queue_url: String,
    apart_queue_url: String,
    /// `None`: they run in another process.
    running: Option<Running>,
}

/// What runs here.
struct Running {
    secrets: Arc<Secrets>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// The access key of this run: what a request has to show to be served.
#[derive(Clone)]
struct AccessKey {
    id: String,
    secret: String,
}

impl Engines {
    /// Starts the engines on a free loopback port.
    ///
    /// `data` is the directory that keeps tables (`dynamodb.sqlite`) and secrets (`secrets.json`, `secrets.journal`), all
    /// readable by their owner only. `None` keeps everything in memory. Messages are always in memory: the next tick finds
    /// again what is due.
    ///
    /// # Errors
    ///
    /// The directory cannot be written, is in use by another process or holds damaged files; no port is free.
    pub async fn start(data: Option<&Path>) -> anyhow::Result<Self> {
        let secrets = Arc::new(Secrets::open(data)?);
        let tables = dynamodb::open(data)?;
        let queues = Queues::create().await?;
        let access = AccessKey { id: random_text(20)?, secret: random_text(40)? };

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free loopback port")?;
        let address = listener.local_addr()?;
        let queue_url = format!("http://{address}/{}", sqs::queue_path());
        let apart_queue_url = format!("http://{address}/{}", sqs::apart_queue_path());
        let (stop, stopped) = watch::channel(false);
        background(dynamodb::sweep_expired(tables.clone(), until(stopped.clone())));
        let gateway = Gateway::new(access.id.clone(), tables, Arc::clone(&secrets), queues);
        let server = background(gateway.serve(listener, until(stopped)));
        Ok(Self { address, access, queue_url, apart_queue_url, running: Some(Running { secrets, stop, server }) })
    }

    /// The engines of another process of this machine, by what [`Engines::environment`] and [`Engines::queue_url`] say
    /// there. Nothing is sent to them yet.
    ///
    /// # Errors
    ///
    /// A variable is missing or does not come from engines.
    pub fn elsewhere(environment: &BTreeMap<String, String>, queue_url: &str) -> anyhow::Result<Self> {
        let variable = |name: &str| environment.get(name).with_context(|| format!("{name} is missing"));
        let endpoint = variable(ENDPOINT)?;
        let address = endpoint.strip_prefix("http://").and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("{ENDPOINT} is not the address of engines"))?;
        let access = AccessKey { id: variable(KEY_ID)?.clone(), secret: variable(SECRET_KEY)?.clone() };
        let apart_queue_url = format!("http://{address}/{}", sqs::apart_queue_path());
        Ok(Self { address, access, queue_url: queue_url.to_owned(), apart_queue_url, running: None })
    }

    /// The configuration for SDK clients in this process: endpoint, region and static credentials. Nothing is looked up in
    /// the environment, in files or on the network.
    pub fn sdk_config(&self) -> SdkConfig {
        let AccessKey { id, secret } = &self.access;
        let credentials = Credentials::new(id, secret, None, None, "local-engines");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .endpoint_url(self.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// The environment variables that make the SDKs of a separate process reach these engines. They hold the access key.
    pub fn environment(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        [
            (ENDPOINT, endpoint.as_str()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.as_str()),
            ("AWS_ENDPOINT_URL_SQS", endpoint.as_str()),
            ("AWS_REGION", REGION),
            (KEY_ID, self.access.id.as_str()),
            (SECRET_KEY, self.access.secret.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The URL of the queue of due refreshes: `gk-refresh`, visibility timeout 120 seconds, with the dead-letter queue
    /// `gk-refresh-dlq` after three deliveries.
    pub fn queue_url(&self) -> &str {
        &self.queue_url
    }

    /// The URL of the queue of work whose provider is slow or fails: `gk-refresh-apart`, otherwise like the other.
    pub fn apart_queue_url(&self) -> &str {
        &self.apart_queue_url
    }

    /// Stops accepting requests, gives those in flight one second to finish and closes the files. Engines of another
    /// process go on.
    pub async fn shutdown(mut self) {
        let Some(running) = &mut self.running else { return };
        running.stop.send_replace(true);
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut running.server).await.is_err() {
            running.server.abort();
        }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Engines {
    /// Lets another process, or the next start in this one, open the directory.
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.secrets.close();
        }
    }
}

/// What an engine answers over HTTP.
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn ok(body: &serde_json::Value) -> Self {
        Self { status: 200, body: body.to_string() }
    }

    /// An error in the form of the AWS JSON protocols: the SDKs read `__type`.
    fn error(status: u16, code: &str, message: &str) -> Self {
        Self { status, body: serde_json::json!({ "__type": code, "message": message }).to_string() }
    }
}

impl From<MockResponse> for Answer {
    fn from(response: MockResponse) -> Self {
        Self { status: response.status, body: String::from_utf8_lossy(&response.body).into_owned() }
    }
}

/// A request in the form the `winterbaume` engines take. `None` if the action is no valid header text.
fn mock_request(service: &str, action: &str, body: Bytes) -> Option<MockRequest> {
    let target = HeaderValue::from_str(&format!("{service}.{action}")).ok()?;
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-amz-target"), target)]);
    // An empty URI means the engines' default region, us-east-1.
    Some(MockRequest { method: "POST".to_owned(), uri: String::new(), headers, body })
}

/// Random base32 text, 5 bits a character.
fn random_text(length: usize) -> anyhow::Result<String> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes
        .into_iter()
        .map(|byte| char::from(if byte % 32 < 26 { b'A' + byte % 32 } else { b'2' + byte % 32 - 26 }))
        .collect())
}

/// Resolves when the engines stop: on shutdown, or when they are dropped.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _dropped_or_stopped = stopped.wait_for(|stop| *stop).await;
}

#[expect(clippy::disallowed_methods, reason = "a server outlives the call that starts it; this process never freezes")]
fn background<F: Future<Output = ()> + Send + 'static>(work: F) -> JoinHandle<()> {
    tokio::spawn(work)
}
