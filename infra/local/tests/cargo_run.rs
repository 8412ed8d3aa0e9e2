//! `cargo run` from outside: the process, its output, its files, its signals, and the commands of README.md.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A running process; killed when the test ends.
struct Running {
    child: Child,
    lines: Vec<String>,
}

impl Running {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantkeeper"));
        command.arg("--data").arg(data).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().unwrap().starts_with("ready ") {
                break;
            }
        }
        Self { child, lines }
    }

    /// The rest of the line that begins with this word.
    fn line(&self, word: &str) -> &str {
        let rest = self.lines.iter().find_map(|line| line.strip_prefix(word));
        rest.unwrap_or_else(|| panic!("{:?}", self.lines)).trim()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs the block of README.md that is marked with this name, as a person would paste it.
fn paste(name: &str, data: &Path, running: &Running) -> String {
    let readme = include_str!("../../../README.md");
    let marked = readme.split(&format!("<!-- tested: {name} -->")).nth(1).expect("a marked block");
    let block = marked.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let keys = data.join("keys.env");
    let block = block
        .replace(".grantkeeper/keys.env", keys.to_str().unwrap())
        .replace("http://127.0.0.1:8090", running.line("sandbox"));
    let output: Output = Command::new("bash").args(["-euo", "pipefail", "-c", &block]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a shell prints after it read the keys.
fn shell(data: &Path, script: &str) -> String {
    let script = format!(". {}\n{script}", data.join("keys.env").display());
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const FREE_PORTS: [&str; 4] = ["--port", "0", "--sandbox-port", "0"];

#[test]
fn it_says_ready_last_keeps_its_files_private_and_ends_cleanly_on_sigterm() {
    let data = tempfile::tempdir().unwrap();
    let mut running = Running::start(data.path(), &FREE_PORTS);
    assert!(running.line("ready").starts_with("http://127.0.0.1:"));
    assert!(running.line("connect").starts_with(&format!("{}/connect/", running.line("ready"))));
    let health = shell(data.path(), "curl -s $GRANTKEEPER_URL/v1/health; curl -s $GRANTKEEPER_URL/v1/ready");
    assert_eq!(health, r#"{"status":"ok"}{"status":"ready"}"#);
    for entry in std::fs::read_dir(data.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} can be read by others", entry.file_name());
    }
    running.signal("-TERM");
    assert!(running.child.wait().unwrap().success());
}

#[test]
fn the_commands_of_the_readme_lead_to_a_call_with_the_delivered_token() {
    let data = tempfile::tempdir().unwrap();
    let running = Running::start(data.path(), &FREE_PORTS);
    let answer = paste("first-success", data.path(), &running);
    assert!(answer.contains(r#""user":"ada""#), "{answer}");
    assert!(answer.contains(r#""client_id":"grantkeeper-local""#), "{answer}");

    let client = paste("real-provider", data.path(), &running);
    assert!(client.contains(r#""status":"active""#), "{client}");
    assert!(client.contains(&format!(r#""redirect_uri":"{}/callback/"#, running.line("ready"))), "{client}");
    assert!(!client.contains("your client secret"), "{client}");

    let report = paste("machine", data.path(), &running);
    assert_eq!(report.matches(r#""verdict":"passed""#).count(), 6, "{report}");
    assert!(report.contains(r#""status":200"#) && !report.contains("failed"), "{report}");
}

#[test]
fn after_kill_nine_clients_credentials_and_tokens_are_there_and_refresh() {
    let data = tempfile::tempdir().unwrap();
    let first = Running::start(data.path(), &FREE_PORTS);
    let port = first.line("ready").rsplit(':').next().unwrap().to_owned();
    let sandbox_port = first.line("sandbox").rsplit(':').next().unwrap().to_owned();
    paste("first-success", data.path(), &first);
    let call = |path: &str, key: &str, method: &str| {
        shell(data.path(), &format!("curl -s -X {method} $GRANTKEEPER_URL{path} -H \"Authorization: Bearer ${key}\""))
    };
    let before = call("/v1/credentials", "GRANTKEEPER_PLATFORM_KEY", "GET");
    let keys = std::fs::read_to_string(data.path().join("keys.env")).unwrap();
    first.signal("-KILL");
    drop(first);

    let second = Running::start(data.path(), &["--port", &port, "--sandbox-port", &sandbox_port]);
    assert_eq!(std::fs::read_to_string(data.path().join("keys.env")).unwrap(), keys);
    assert_eq!(call("/v1/credentials", "GRANTKEEPER_PLATFORM_KEY", "GET"), before);
    let credential = format!("crd_{}", before.split("\"crd_").nth(1).and_then(|rest| rest.split('"').next()).unwrap());
    let refreshed = call(&format!("/v1/credentials/{credential}/refresh"), "GRANTKEEPER_PLATFORM_KEY", "POST");
    assert!(refreshed.contains(r#""generation":2"#), "{refreshed}");
    let token = call(&format!("/v1/credentials/{credential}/token"), "GRANTKEEPER_RUNNER_KEY", "POST");
    let token = token.split(r#""access_token":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let me =
        shell(data.path(), &format!("curl -s {}/api/me -H 'Authorization: Bearer {token}'", second.line("sandbox")));
    assert!(me.contains(r#""user":"ada""#), "{me}");
}

#[test]
fn a_preset_key_replaces_that_roles_key_and_a_short_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let call = |key: &str| {
        shell(
            data.path(),
            &format!(
                "curl -s -o /dev/null -w '%{{http_code}}' $GRANTKEEPER_URL/v1/keys -H 'Authorization: Bearer {key}'"
            ),
        )
    };
    let old = {
        let _running = Running::start(data.path(), &FREE_PORTS);
        let old = shell(data.path(), "echo $GRANTKEEPER_SUPERUSER_KEY").trim().to_owned();
        assert_eq!(call(&old), "200");
        old
    };
    let preset = "preset-superuser-key-of-this-test-0123456789";
    let start = |key: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantkeeper"));
        command.arg("--data").arg(data.path()).args(FREE_PORTS).env("GRANTKEEPER_SUPERUSER_KEY", key);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start(preset);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("ready ")));
    let _running = Running { child, lines: Vec::new() };
    assert_eq!(call(preset), "200");
    assert_eq!(call(&old), "401");

    let platform = shell(data.path(), "echo $GRANTKEEPER_PLATFORM_KEY");
    let refused = start(platform.trim()).wait_with_output().unwrap();
    assert!(!refused.status.success(), "one key cannot have two roles");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("must differ"));

    let refused = start("short").wait_with_output().unwrap();
    assert!(!refused.status.success());
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("GRANTKEEPER_SUPERUSER_KEY") && !message.contains("short\""), "{message}");
}

#[test]
fn a_way_out_that_cannot_be_used_ends_the_start_and_shows_no_password() {
    let data = tempfile::tempdir().unwrap();
    let refused = |arguments: &[&str], proxy: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantkeeper"));
        command.arg("--data").arg(data.path()).args(FREE_PORTS).args(arguments).env_remove("GRANTKEEPER_PROXY");
        let output = command.envs(proxy.map(|url| ("GRANTKEEPER_PROXY", url))).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let private = ["--private-origin", "https://10.1.2.3:8443", "--private-origin", "https://localhost"];
    let message = refused(&private, None);
    assert!(message.contains("GRANTKEEPER_PRIVATE_ORIGINS is wrong: entry 2"), "{message}");
    let message = refused(&["--ca-bundle", "/nonexistent.pem"], None);
    assert!(message.contains("GRANTKEEPER_CA_BUNDLE is wrong: the file cannot be read"), "{message}");
    for (arguments, proxy) in [
        (&["--proxy", "http://user:CANARY@proxy.example/path"][..], None),
        (&[], Some("ftp://user:CANARY@proxy.example")),
    ] {
        let message = refused(arguments, proxy);
        assert!(message.contains("GRANTKEEPER_PROXY is wrong") && !message.contains("CANARY"), "{message}");
    }
}

#[test]
fn with_a_proxy_the_sandbox_is_reached_directly() {
    let data = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let more = ["--proxy", &proxy, "--private-origin", "https://dhis2.intra.example:8443"];
    let running = Running::start(data.path(), &[&FREE_PORTS[..], &more].concat());
    assert!(paste("first-success", data.path(), &running).contains(r#""user":"ada""#));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nobody asked the proxy");
}

#[test]
fn tokens_move_between_the_vaults_of_a_stack_that_is_not_running() {
    let data = tempfile::tempdir().unwrap();
    let vault = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantkeeper"));
        command.arg("vault").args(arguments).arg("--data").arg(data.path());
        let output = command.env_remove("GRANTKEEPER_TABLE").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), told, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, _, message) = vault(&["migrate", "--to", "sealed"]);
    assert!(!done && message.contains("is not the data directory of a stack"), "{message}");

    let mut running = Running::start(data.path(), &FREE_PORTS);
    paste("first-success", data.path(), &running);
    let token = || {
        let list = "curl -s $GRANTKEEPER_URL/v1/credentials -H \"Authorization: Bearer $GRANTKEEPER_PLATFORM_KEY\"";
        let script = format!(
            "ID=$({list} | grep -o 'crd_[0-9A-Z]*' | head -n 1)\n\
             curl -s -X POST $GRANTKEEPER_URL/v1/credentials/$ID/token -H \"Authorization: Bearer $GRANTKEEPER_RUNNER_KEY\""
        );
        let answer = shell(data.path(), &script);
        let token = answer.split(r#""access_token":""#).nth(1).and_then(|rest| rest.split('"').next());
        token.unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let before = token();
    let (done, _, message) = vault(&["migrate", "--to", "sealed"]);
    assert!(!done && message.contains("a stack that runs there must be stopped first"), "{message}");
    running.signal("-TERM");
    assert!(running.child.wait().unwrap().success());

    for (to, last) in [
        ("sealed", "moved 1, nothing to do for 0, left 0"),
        ("sealed", "moved 0, nothing to do for 1, left 0"),
        ("secretsmanager", "moved 1, nothing to do for 0, left 0"),
        ("sealed", "moved 1, nothing to do for 0, left 0"),
    ] {
        let (done, told, message) = vault(&["migrate", "--to", to]);
        assert!(done && told.trim_end().ends_with(last), "{told} {message}");
        assert!(!told.contains(&before) && !message.contains(&before));
    }
    let (done, told, message) = vault(&["rotate", "--all"]);
    assert!(done && told.trim_end().ends_with(" seals with key 2"), "{told} {message}");
    let (done, told, message) = vault(&["reseal"]);
    assert!(done && told.trim_end().ends_with("sealed again 1, nothing to do for 0, left 0"), "{told} {message}");

    // Whichever vault it writes to.
    for kind in ["sealed", "secretsmanager"] {
        let mut arguments = vec!["--vault", kind];
        arguments.extend(FREE_PORTS);
        let _running = Running::start(data.path(), &arguments);
        assert_eq!(token(), before, "{kind}");
    }
}
