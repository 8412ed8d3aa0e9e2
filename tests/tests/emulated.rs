//! The functions as Lambda runs them: their own processes with their own `main`, polling the Runtime API of cargo-lambda's
//! emulator, called over its HTTP API, on nothing but the environment that the template gives them, over the embedded
//! engines. What they do there is held against the template's permissions; what stays untested for want of an account is
//! AWS itself.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as it should be"
)]

#[path = "emulated/functions.rs"]
mod functions;
#[path = "emulated/grants.rs"]
mod grants;
#[expect(dead_code, reason = "shared with the test of the template, which reads more of it")]
#[path = "template/reading.rs"]
mod reading;
#[path = "emulated/rights.rs"]
mod rights;
#[path = "emulated/routes.rs"]
mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::Client as Sqs;
use grantkeeper_local::stack::{Options, Stack};
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::world::{RETURN_URL, tested_vault};
use grantkeeper_tests::{Answer, Backend, Browser, port};
use http::StatusCode;
use serde_json::{Value, json};

use functions::Functions;
use rights::Doors;

const QUEUE_BATCH: &str = include_str!("fixtures/queue_batch.json");
const SCHEDULE_TICK: &str = include_str!("fixtures/schedule_tick.json");

const CLIENT_SECRET: &str = "emulated-client-secret";

/// The functions, and a local stack that lends them engines, sandbox, project and keys and serves nothing itself.
struct Emulated {
    functions: Functions,
    doors: Doors,
    stack: Stack,
    queue_url: String,
    _directory: tempfile::TempDir,
}

impl Emulated {
    async fn start() -> anyhow::Result<Self> {
        let (directory, port) = (tempfile::tempdir()?, port::free()?);
        let public_url = format!("http://127.0.0.1:{port}");
        let options = Options {
            ephemeral: true,
            public_url: Some(public_url.clone()),
            vault: tested_vault()?,
            ..Options::at(directory.path())
        };
        let stack = Stack::start(options).await?;
        // A queue of its own: the stack reads the other one, and would do the work of token-refresh.
        let queue_url = other_queue(&stack).await?;

        let config = stack.broker.config();
        let mut variables = BTreeMap::from([
            ("GRANTKEEPER_PUBLIC_URL".to_owned(), public_url),
            ("GRANTKEEPER_TABLE".to_owned(), config.table.clone()),
            ("GRANTKEEPER_ROOT_KEY".to_owned(), config.root_key.clone()),
            ("GRANTKEEPER_SECRET_PREFIX".to_owned(), config.secret_prefix.clone()),
            ("GRANTKEEPER_VAULT".to_owned(), config.vault.as_str().to_owned()),
            ("GRANTKEEPER_LOG".to_owned(), "trace".to_owned()),
            ("GRANTKEEPER_EMULATED_ORIGINS".to_owned(), sandbox_url(&stack)?),
        ]);
        variables.extend(stack.engines.environment());
        let doors = Doors::to(variables.get("AWS_ENDPOINT_URL_DYNAMODB").context("the engines")?).await?;
        let functions = Functions::start(port, &variables, &queue_url, &doors)?;
        Ok(Self { functions, doors, stack, queue_url, _directory: directory })
    }

    fn superuser(&self) -> Backend {
        Backend::new(self.functions.url(), Some(self.stack.keys.superuser.expose()))
    }

    fn platform(&self) -> Backend {
        Backend::new(self.functions.url(), Some(self.stack.keys.platform.expose()))
    }

    fn runner(&self) -> Backend {
        Backend::new(self.functions.url(), Some(self.stack.keys.runner.expose()))
    }

    async fn read_token(&self, credential: &str) -> anyhow::Result<Answer> {
        let answer = self.runner().post(&format!("/v1/credentials/{credential}/token"), json!({})).await?;
        expect(&answer, StatusCode::OK)?;
        Ok(answer)
    }

    /// Sets the life of the access tokens that the sandbox issues from now on.
    fn issue_tokens_of(&self, seconds: u32, redirect_uri: &str) -> anyhow::Result<()> {
        self.stack.sandbox.as_ref().context("a sandbox")?.sandbox.register(ClientSettings {
            client_id: "emulated".to_owned(),
            client_secret: Some(CLIENT_SECRET.to_owned()),
            redirect_uris: vec![redirect_uri.to_owned()],
            access_token_seconds: Some(seconds),
            ..ClientSettings::default()
        })
    }

    /// How many refreshes the sandbox saw; each must have succeeded.
    fn refreshes(&self) -> anyhow::Result<usize> {
        let log = self.stack.sandbox.as_ref().context("a sandbox")?.sandbox.log();
        let refreshes = log.iter().filter(|entry| entry.grant_type.as_deref() == Some("refresh_token"));
        ensure!(refreshes.clone().all(|entry| entry.status == 200), "{log:?}");
        Ok(refreshes.count())
    }
}

fn sandbox_url(stack: &Stack) -> anyhow::Result<String> {
    Ok(stack.sandbox.as_ref().context("a sandbox")?.url.clone())
}

async fn other_queue(stack: &Stack) -> anyhow::Result<String> {
    const NAME: &str = "emulated";
    Sqs::new(&stack.engines.sdk_config()).create_queue().queue_name(NAME).send().await?;
    let (account, _) = stack.engines.queue_url().rsplit_once('/').context("a queue URL")?;
    Ok(format!("{account}/{NAME}"))
}

fn expect(answer: &Answer, status: StatusCode) -> anyhow::Result<()> {
    ensure!(answer.status == status, "{} instead of {status}: {}", answer.status, answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_connect_read_and_refresh_a_credential() {
    let emulated = Emulated::start().await.unwrap();
    let stories = async {
        let mut secrets = story(&emulated).await?;
        secrets.extend(grants::story(&emulated).await?);
        anyhow::Ok(secrets)
    };
    let told = tokio::time::timeout(Duration::from_secs(120), stories).await;
    let outcome = told.context("it took more than 120 seconds").flatten();
    let logs = emulated.functions.logs().unwrap();
    let secrets = outcome.unwrap_or_else(|error| panic!("{error:?}\n{logs}"));

    let config = emulated.stack.broker.config();
    emulated.doors.check(&config.root_key, &config.secret_prefix).unwrap();
    // The functions log as in Lambda, down to debug, and no secret of the story is in it.
    assert!(logs.contains("refreshed"), "{logs}");
    for secret in secrets {
        assert!(!secret.is_empty() && !logs.contains(&secret), "a secret is in the log:\n{logs}");
    }
}

/// From registration to scheduled refresh. Returns every secret that went through the functions.
async fn story(emulated: &Emulated) -> anyhow::Result<Vec<String>> {
    let (superuser, platform) = (emulated.superuser(), emulated.platform());
    let (project, url) = (&emulated.stack.project, emulated.functions.url());
    let keys = &emulated.stack.keys;
    let mut secrets: Vec<String> =
        [&keys.superuser, &keys.platform, &keys.runner].map(|key| key.expose().clone()).to_vec();
    secrets.push(CLIENT_SECRET.to_owned());

    // administration
    expect(&superuser.get("/v1/health").await?, StatusCode::OK)?;
    expect(&superuser.get("/v1/ready").await?, StatusCode::OK)?;
    expect(&superuser.get("/v1/keys").await?, StatusCode::OK)?;
    let return_urls = json!({ "return_urls": [RETURN_URL] });
    expect(&superuser.patch(&format!("/v1/projects/{project}"), return_urls).await?, StatusCode::OK)?;

    // client-registration
    let new = json!({
        "name": "Emulated", "project": project, "client_id": "emulated", "client_secret": CLIENT_SECRET,
        "issuer": sandbox_url(&emulated.stack)?, "api_base_url": sandbox_url(&emulated.stack)?,
        "scopes": { "required": ["openid", "offline_access", "read"] },
    });
    let client = superuser.post("/v1/clients", new).await?;
    expect(&client, StatusCode::CREATED)?;
    let redirect_uri = client.text("/redirect_uri");
    ensure!(redirect_uri.starts_with(&format!("{url}/callback/")), "{redirect_uri}");
    emulated.issue_tokens_of(3600, &redirect_uri)?;
    expect(&superuser.get(&format!("/v1/clients/{}", client.text("/id"))).await?, StatusCode::OK)?;

    // authorization-start
    let new = json!({ "owner": "ada", "clients": [client.text("/id")], "return_url": RETURN_URL, "context": "a b&c" });
    let session = platform.post("/v1/connect-sessions", new).await?;
    expect(&session, StatusCode::CREATED)?;
    let (browser, connect_url) = (Browser::new(), session.text("/connect_url"));
    let page = browser.get(&connect_url).await?;
    ensure!(page.status == StatusCode::OK && page.text.contains("<form"), "{} {}", page.status, page.text);
    let authorization_url = browser.start(&connect_url, &[]).await?;
    let callback = browser.consent(&authorization_url, "ada").await?;
    secrets.extend(connect_url.rsplit('/').next().map(str::to_owned));
    let returned_secrets = ["code", "state"];
    secrets.extend(callback.query_pairs().filter(|(name, _)| returned_secrets.contains(&name.as_ref())).map(value));

    // redirect-callback
    let stranger = Browser::new().get(callback.as_str()).await?;
    ensure!(stranger.code() == "wrong_browser", "{} {}", stranger.status, stranger.text);
    let returned = browser.get(callback.as_str()).await?;
    ensure!(returned.status == StatusCode::SEE_OTHER, "{} {}", returned.status, returned.text);
    let return_url = returned.location()?;
    let part = |wanted: &str| return_url.query_pairs().find(|(name, _)| name == wanted).map(value).context("missing");
    ensure!(part("context")? == "a b&c", "{return_url}");
    secrets.push(part("completion_code")?);
    let completion = json!({ "completion_code": part("completion_code")?, "owner": "ada" });
    let completed = platform.post(&format!("/v1/flows/{}/complete", part("flow")?), completion).await?;
    expect(&completed, StatusCode::CREATED)?;
    ensure!(!completed.text("/account/subject").is_empty(), "no account: {}", completed.body);
    let credential = completed.text("/id");

    // credentials
    let first = emulated.read_token(&credential).await?;
    ensure!(first.body["generation"] == 1, "{}", first.body["generation"]);
    check_token(&first).await?;
    // The token of the forced refresh is due in 10 seconds.
    emulated.issue_tokens_of(20, &redirect_uri)?;
    let refreshed = platform.post(&format!("/v1/credentials/{credential}/refresh"), json!({})).await?;
    expect(&refreshed, StatusCode::OK)?;
    ensure!(refreshed.body["generation"] == 2 && emulated.refreshes()? == 1, "{}", refreshed.body);
    let second = emulated.read_token(&credential).await?;
    check_token(&second).await?;
    emulated.issue_tokens_of(3600, &redirect_uri)?;

    // token-refresh
    let work = due_work(emulated).await?;
    ensure!(work == json!({ "credential": credential, "project": project, "generation": 2 }), "{work}");
    let mut batch: Value = serde_json::from_str(QUEUE_BATCH)?;
    batch["Records"][0]["body"] = json!(work.to_string());
    let only_the_unreadable = json!({ "batchItemFailures": [{ "itemIdentifier": batch["Records"][1]["messageId"] }] });
    // Queues deliver twice; the second time nothing is left to do.
    for _ in 0..2 {
        let answer = emulated.functions.invoke("token-refresh", &batch).await?;
        ensure!(answer == only_the_unreadable, "{answer}");
    }
    ensure!(emulated.refreshes()? == 2, "{} refreshes", emulated.refreshes()?);
    let third = emulated.read_token(&credential).await?;
    ensure!(third.body["generation"] == 3, "{}", third.body["generation"]);
    check_token(&third).await?;
    ensure!(emulated.functions.invoke("token-refresh", &json!({ "unknown": 1 })).await.is_err(), "it takes any event");

    secrets.extend([first, second, third].map(|token| token.text("/access_token")));
    Ok(secrets)
}

fn value((_, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> String {
    value.into_owned()
}

/// Calls the sandbox's API with the delivered header.
async fn check_token(delivery: &Answer) -> anyhow::Result<()> {
    let request = grantkeeper_tests::browser::http()
        .get(format!("{}/api/me", delivery.text("/api_base_url")))
        .header(delivery.text("/header/name"), delivery.text("/header/value"));
    let me: Value = request.send().await?.error_for_status()?.json().await?;
    ensure!(me["user"] == "ada", "{me}");
    Ok(())
}

/// Ticks until something is due, and takes it from the queue, as the event source mapping would.
async fn due_work(emulated: &Emulated) -> anyhow::Result<Value> {
    let tick: Value = serde_json::from_str(SCHEDULE_TICK)?;
    while emulated.functions.invoke("token-refresh", &tick).await? != json!({ "queued": 1 }) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let sqs = Sqs::new(&emulated.stack.engines.sdk_config());
    let received = sqs.receive_message().queue_url(&emulated.queue_url).max_number_of_messages(10).send().await?;
    let messages = received.messages.unwrap_or_default();
    let [message] = messages.as_slice() else { anyhow::bail!("{} messages in the queue", messages.len()) };
    Ok(serde_json::from_str(message.body.as_deref().unwrap_or_default())?)
}
