//! The local stack in several processes: the engines in one, any number of workers that share them, and the sandbox here,
//! so that a test reads its log. Their clocks run, and are moved together.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use grantkeeper_local::keys;
use grantkeeper_local::stack::Options;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::part::{EnginesReady, Role, WorkerReady, WorkerRole};
use crate::{Ahead, Backend, Browser, World};

/// How long a process may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How many files a process may have open: a thousand callers at once need more than a shell usually grants.
const OPEN_FILES: u64 = 8192;

/// The processes of one test.
pub struct Parts {
    /// A stack in the test's process, over the engines elsewhere, to set up and to look: it does no work of the queue.
    pub world: World,
    clock: Ahead,
    engines: EnginesReady,
    secrets: aws_sdk_secretsmanager::Client,
    program: PathBuf,
    // The last to go.
    _process: Process,
}

impl Parts {
    /// Starts the engines and, over them, a stack in this process with a sandbox. `program` is the binary `part`.
    ///
    /// # Errors
    /// A process that does not start.
    pub async fn start(program: &str) -> anyhow::Result<Self> {
        // The children have the same limit.
        rlimit::increase_nofile_limit(OPEN_FILES).context("the limit of open files")?;
        let program = PathBuf::from(program);
        let (process, engines) = Process::start::<EnginesReady>(&program, &Role::Engines).await?;
        let (clock, elsewhere) = (Ahead::default(), engines.engines()?);
        let shown = Arc::new(clock.clone());
        let world = World::with(|options| Options { engines: Some(elsewhere), works: false, clock: shown, ..options });
        let world = world.await?;
        let secrets = aws_sdk_secretsmanager::Client::new(&world.stack.engines.sdk_config());
        Ok(Self { world, clock, engines, secrets, program, _process: process })
    }

    /// Starts a worker, which shows the time of the others. With `sweep_every` it looks for due work and does it.
    ///
    /// # Errors
    /// A process that does not start.
    pub async fn worker(&self, sweep_every: Option<Duration>) -> anyhow::Result<Worker> {
        let directory = tempfile::tempdir()?;
        std::fs::copy(self.world.directory().join(keys::FILE), directory.path().join(keys::FILE))?;
        let role = WorkerRole {
            engines: self.engines.clone(),
            data: directory.path().to_owned(),
            sandbox: self.world.sandbox_url().to_owned(),
            ahead: self.clock.seconds(),
            sweep_every_ms: sweep_every.map(|every| every.as_millis().try_into()).transpose()?,
        };
        let (process, ready) = Process::start::<WorkerReady>(&self.program, &Role::Worker(role)).await?;
        Ok(Worker { url: ready.url, process, _directory: directory })
    }

    /// Moves the clocks of sandbox and broker here; workers are told by [`Worker::follow`], or start with the new time.
    pub fn advance(&self, seconds: i64) {
        self.world.sandbox().advance_clock(seconds);
        self.clock.set(self.clock.seconds() + seconds);
    }

    /// A program that reads tokens from this worker.
    pub fn runner(&self, worker: &Worker) -> Backend {
        Backend::new(&worker.url, Some(self.world.stack.keys.runner.expose()))
    }

    /// The whole flow for a credential of one person of the sandbox. Returns its id.
    ///
    /// # Errors
    /// A step that was refused.
    pub async fn connect(&self, client: &str, person: &str) -> anyhow::Result<String> {
        let (world, browser) = (&self.world, Browser::new());
        let session = json!({ "clients": [client], "scopes": ["read"], "name": person });
        let session = world.open_session(session).await?;
        ensure!(session.status == StatusCode::CREATED, "{}", session.body);
        let authorization_url = browser.start(&session.text("/connect_url"), &[]).await?;
        let callback = browser.consent(&authorization_url, person).await?;
        let returned = browser.get(callback.as_str()).await?;
        ensure!(returned.status == StatusCode::SEE_OTHER, "{} {}", returned.status, returned.text);
        let completed = world.complete(&returned.location()?, "ada").await?;
        ensure!(completed.status == StatusCode::CREATED, "{}", completed.body);
        Ok(completed.text("/id"))
    }

    /// What the vault holds of a credential of the default project in one version; `None` if it has no such version.
    ///
    /// # Errors
    /// The vault does not answer.
    pub async fn secret_version(&self, id: &str, version: &str) -> anyhow::Result<Option<Value>> {
        let stack = &self.world.stack;
        let name = format!("{}/{}/{id}", stack.broker.config().secret_prefix, stack.project);
        match self.secrets.get_secret_value().secret_id(name).version_id(version).send().await {
            Ok(answer) => Ok(Some(serde_json::from_str(&answer.secret_string.context("the secret has no text")?)?)),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// How far the clocks are ahead of the machine's (seconds).
    pub fn ahead(&self) -> i64 {
        self.clock.seconds()
    }
}

/// A running worker, killed on drop.
pub struct Worker {
    /// Where it listens.
    pub url: String,
    process: Process,
    _directory: TempDir,
}

impl Worker {
    /// Shows it the time of the others, after [`Parts::advance`].
    ///
    /// # Errors
    /// It is gone.
    pub async fn follow(&mut self, parts: &Parts) -> anyhow::Result<()> {
        let line = format!("{}\n", parts.ahead());
        self.process.stdin.write_all(line.as_bytes()).await.context("the worker is gone")
    }

    /// `kill -9`. When it returns, the process is no more.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.process.child.kill().await?)
    }
}

/// A child that is ready, killed on drop.
struct Process {
    child: Child,
    // It ends with its standard input, so it also goes when this process is killed and cannot drop anything.
    stdin: ChildStdin,
}

impl Process {
    async fn start<Ready: DeserializeOwned>(program: &Path, role: &Role) -> anyhow::Result<(Self, Ready)> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut stdin = child.stdin.take().context("standard input is piped")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        stdin.write_all(format!("{}\n", serde_json::to_string(role)?).as_bytes()).await?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START_LIMIT, lines.next_line()).await.context("a process does not get ready")??;
        let line = line.context("a process ended before it was ready; its standard error says why")?;
        Ok((Self { child, stdin }, serde_json::from_str(&line)?))
    }
}
