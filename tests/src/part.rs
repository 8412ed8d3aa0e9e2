//! A part of the local stack in a process of its own, so that a test can have several of them and kill one: the engines,
//! or a worker, which is the whole product over engines elsewhere.
//!
//! As [`crate::child`] asks of every child: it reads one line of JSON ([`Role`]) from standard input, prints one line of
//! JSON when it is ready ([`EnginesReady`] or [`WorkerReady`]), and ends with its standard input. A worker takes further
//! lines: each says how many seconds its clock is ahead from then on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use grantkeeper_local::engines::Engines;
use grantkeeper_local::stack::{Options, Stack};
use serde::{Deserialize, Serialize};

use crate::Ahead;

/// What a process is to be.
#[derive(Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// DynamoDB, Secrets Manager and SQS, in memory.
    Engines,
    /// The product over them.
    Worker(WorkerRole),
}

/// What a worker has to know.
#[derive(Serialize, Deserialize)]
pub struct WorkerRole {
    /// Where the engines are.
    pub engines: EnginesReady,
    /// A directory of its own with the `keys.env` of the first stack over these engines.
    pub data: PathBuf,
    /// The origin of the sandbox, to which requests are let out.
    pub sandbox: String,
    /// How far the clock is ahead (seconds).
    pub ahead: i64,
    /// The time between two ticks (milliseconds); `None`: it never ticks, and refreshes only what is asked for.
    pub sweep_every_ms: Option<u64>,
}

/// What engines say when they are there.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnginesReady {
    /// As [`Engines::environment`].
    pub environment: BTreeMap<String, String>,
    /// As [`Engines::queue_url`].
    pub queue_url: String,
}

impl EnginesReady {
    /// The way to these engines.
    ///
    /// # Errors
    /// They are none.
    pub fn engines(&self) -> anyhow::Result<Engines> {
        Engines::elsewhere(&self.environment, &self.queue_url)
    }
}

/// What a worker says when every request is served.
#[derive(Serialize, Deserialize)]
pub struct WorkerReady {
    /// Where it listens.
    pub url: String,
}

/// The process.
///
/// # Errors
/// A role that cannot be read or filled.
pub async fn run() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match serde_json::from_str(&line).context("the role")? {
        Role::Engines => {
            let engines = Engines::start(None).await?;
            let environment = engines.environment().into_iter().collect();
            say(&EnginesReady { environment, queue_url: engines.queue_url().to_owned() })?;
            until_the_end(|_| Ok(())).await
        }
        Role::Worker(role) => {
            let clock = Ahead::by(role.ahead);
            let stack = Stack::start(Options {
                engines: Some(role.engines.engines()?),
                sandbox_port: None,
                insecure_origins: vec![role.sandbox],
                refresh_every: role.sweep_every_ms.map(Duration::from_millis),
                clock: Arc::new(clock.clone()),
                ..Options::at(&role.data)
            })
            .await?;
            say(&WorkerReady { url: stack.url.clone() })?;
            until_the_end(move |line| {
                clock.set(line.trim().parse()?);
                Ok(())
            })
            .await
        }
    }
}

fn say(ready: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(ready)?)?;
    Ok(out.flush()?)
}

/// Hands on every further line of standard input.
async fn until_the_end(each: impl Fn(&str) -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let lines = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lines() {
            each(&line?)?;
        }
        anyhow::Ok(())
    });
    lines.await?
}
