//! Builds the functions with the feature `emulated`, and runs them behind the emulator of cargo-lambda: the HTTP API with
//! the routes of the root `Cargo.toml`, and the Runtime API that each function polls.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::rights::Doors;

/// Every package under `functions/`, and whether it is told the refresh queue (infra/template.yaml).
pub const FUNCTIONS: [(&str, bool); 6] = [
    ("administration", false),
    ("authorization-start", false),
    ("client-registration", false),
    ("credentials", true),
    ("redirect-callback", true),
    ("token-refresh", true),
];

/// How long the emulator may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Ends its command when its own standard input ends, and so also when the test is killed or interrupted and drops
/// nothing.
const ENDS_WITH_STDIN: &str = r#"trap "" HUP INT; "$@" & child=$!; cat >/dev/null; kill -KILL "$child"; wait"#;

/// The emulator and the functions behind it; all end when this is dropped.
pub struct Functions {
    url: String,
    logs: tempfile::TempDir,
    processes: Vec<Child>,
}

impl Functions {
    /// Builds and starts. `variables` go to every function, `queue_url` to those that have it; each finds AWS behind its
    /// own door.
    ///
    /// # Errors
    /// The build fails, a tool is missing, or the emulator does not listen.
    pub fn start(
        port: u16,
        variables: &BTreeMap<String, String>,
        queue_url: &str,
        doors: &Doors,
    ) -> anyhow::Result<Self> {
        let cargo_lambda = cargo_lambda()?;
        let binaries = build()?;
        let (logs, url) = (tempfile::tempdir()?, format!("http://127.0.0.1:{port}"));
        let mut functions = Self { url, logs, processes: Vec::new() };

        let mut emulator = Command::new("sh");
        emulator.args(["-c", ENDS_WITH_STDIN, "sh"]).arg(cargo_lambda).args(["lambda", "watch", "--only-lambda-apis"]);
        emulator.args(["--disable-cors", "--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()]);
        functions.spawn("emulator", emulator.current_dir(root()))?;
        functions.wait_until_listening(port)?;

        for (name, has_queue) in FUNCTIONS {
            let mut function = Command::new("sh");
            function.args(["-c", ENDS_WITH_STDIN, "sh"]).arg(binaries.join(name));
            // Nothing of this machine's environment: what is here is all that the template gives, and Lambda itself.
            function.env_clear().env("PATH", "/usr/bin:/bin").envs(variables).envs(doors.environment(name));
            if has_queue {
                function.env("GRANTKEEPER_REFRESH_QUEUE_URL", queue_url);
                function.env("GRANTKEEPER_APART_QUEUE_URL", queue_url);
            }
            function.envs([
                ("AWS_LAMBDA_RUNTIME_API", format!("{}/.rt/{name}", functions.url)),
                ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ]);
            functions.spawn(name, &mut function)?;
        }
        Ok(functions)
    }

    /// Where the HTTP API answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Invokes a function with an event, as a schedule or an event source does.
    ///
    /// # Errors
    /// The function fails.
    pub async fn invoke(&self, function: &str, event: &Value) -> anyhow::Result<Value> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
        let answer = grantkeeper_tests::browser::http().post(url).json(event).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{function} answered {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// What emulator and functions have written so far.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn logs(&self) -> anyhow::Result<String> {
        let names = FUNCTIONS.iter().map(|(name, _)| *name).chain(["emulator"]);
        let logs = names.map(|name| Ok(format!("{name}\n{}", std::fs::read_to_string(self.logs.path().join(name))?)));
        logs.collect()
    }

    fn spawn(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        let log = File::create(self.logs.path().join(name))?;
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        self.processes.push(command.spawn().with_context(|| format!("{name} cannot be started"))?);
        Ok(())
    }

    fn wait_until_listening(&mut self, port: u16) -> anyhow::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(begun.elapsed() < START_LIMIT, "cargo lambda watch does not listen:\n{}", self.logs()?);
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.stdin.take());
        }
        for process in &mut self.processes {
            drop(process.wait());
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The pinned tool of `.tools/venv` if it is there, else the one on the PATH.
fn cargo_lambda() -> anyhow::Result<PathBuf> {
    let pinned = root().join(".tools/venv/bin/cargo-lambda");
    let tool = if pinned.is_file() { pinned } else { PathBuf::from("cargo-lambda") };
    let version = Command::new(&tool).args(["lambda", "--version"]).output();
    let works = version.is_ok_and(|output| output.status.success());
    ensure!(works, "{} does not run; make tools installs it", tool.display());
    Ok(tool)
}

/// Builds all functions beside this test, and returns the directory of their binaries. The first build takes minutes.
fn build() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(3).context("the test runs outside of a target directory")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--locked", "--features", "emulated", "--target-dir"]).arg(target);
    for (name, _) in FUNCTIONS {
        cargo.args(["-p", name]);
    }
    eprintln!("building the functions with the feature `emulated`");
    // Its progress goes to our standard error.
    match cargo.status().context("cargo cannot be started")? {
        status if status.success() => Ok(target.join("debug")),
        status => bail!("cargo build: {status}"),
    }
}
