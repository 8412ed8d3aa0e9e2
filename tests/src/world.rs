//! A whole stack for one test: free ports, a directory of its own, a clock that the test moves.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use grantkeeper::lambda::Vaults;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::ids::CredentialId;
use grantkeeper::store::Store as _;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::testing::FixedClock;
use grantkeeper::vault::{Prefetched, Vault, VaultKind};
use grantkeeper_local::stack::{Options, Stack};
use grantkeeper_sandbox::{ClientSettings, LogEntry, Sandbox};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::{Answer, Backend, Browser};

/// The page of the platform to which people return.
pub const RETURN_URL: &str = "https://app.example/connected?from=grantkeeper";

/// A stack with its sandbox.
pub struct World {
    /// The stack.
    pub stack: Stack,
    /// The clock of broker and, by [`World::advance`], sandbox.
    pub clock: FixedClock,
    http: reqwest::Client,
    directory: TempDir,
}

impl World {
    /// A new stack, on the machine's time of now, which then stands still.
    pub async fn new() -> anyhow::Result<Self> {
        Self::with(|options| options).await
    }

    /// A new stack with other options.
    pub async fn with(change: impl FnOnce(Options) -> Options) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let clock = FixedClock::at(now());
        let options = Options {
            clock: Arc::new(clock.clone()),
            ephemeral: true,
            vault: tested_vault()?,
            ..Options::at(directory.path())
        };
        let stack = Stack::start(change(options)).await?;
        let world = Self { stack, clock, http: crate::browser::http(), directory };
        let project = format!("/v1/projects/{}", world.stack.project);
        let answer = world.superuser().patch(&project, json!({ "return_urls": [RETURN_URL] })).await?;
        ensure!(answer.status == StatusCode::OK, "{}", answer.body);
        Ok(world)
    }

    /// The directory of the stack.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Stack and directory, for a test that ends the one and keeps the other.
    pub fn into_parts(self) -> (Stack, TempDir) {
        (self.stack, self.directory)
    }

    /// A caller with this key.
    pub fn with_key(&self, key: &str) -> Backend {
        Backend::over(self.http.clone(), &self.stack.url, Some(key))
    }

    /// A caller without a key.
    pub fn nobody(&self) -> Backend {
        Backend::over(self.http.clone(), &self.stack.url, None)
    }

    /// The superuser, in the default project.
    pub fn superuser(&self) -> Backend {
        self.with_key(self.stack.keys.superuser.expose())
    }

    /// The backend of the default project.
    pub fn platform(&self) -> Backend {
        self.with_key(self.stack.keys.platform.expose())
    }

    /// A program of the default project.
    pub fn runner(&self) -> Backend {
        self.with_key(self.stack.keys.runner.expose())
    }

    /// The sandbox.
    pub fn sandbox(&self) -> &Sandbox {
        &self.stack.sandbox.as_ref().expect("a sandbox").sandbox
    }

    /// The sandbox's origin.
    pub fn sandbox_url(&self) -> &str {
        &self.stack.sandbox.as_ref().expect("a sandbox").url
    }

    /// The id of the client that is registered at the sandbox from the start.
    pub fn client(&self) -> String {
        self.stack.sandbox.as_ref().expect("a sandbox").client.id.to_string()
    }

    /// Moves the clocks of broker and sandbox.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.sandbox().advance_clock(by.num_seconds());
    }

    /// The token requests that reached the sandbox.
    pub fn token_requests(&self) -> Vec<LogEntry> {
        self.sandbox().log().into_iter().filter(|entry| entry.path == "/token").collect()
    }

    /// The token requests of one grant type.
    pub fn requests_of(&self, grant_type: &str) -> Vec<LogEntry> {
        let is_of = |entry: &LogEntry| entry.grant_type.as_deref() == Some(grant_type);
        self.token_requests().into_iter().filter(is_of).collect()
    }

    /// Changes what the sandbox knows of a client.
    pub async fn change_at_sandbox(&self, client_id: &str, change: Value) -> anyhow::Result<()> {
        let sandbox = Backend::over(self.http.clone(), self.sandbox_url(), None);
        let answer = sandbox.patch(&format!("/admin/clients/{client_id}"), change).await?;
        ensure!(answer.status == StatusCode::OK, "{}", answer.body);
        Ok(())
    }

    /// Withdraws at the sandbox whatever a person has granted.
    pub async fn withdraw(&self, user: &str) -> anyhow::Result<()> {
        let sandbox = Backend::over(self.http.clone(), self.sandbox_url(), None);
        let answer = sandbox.post("/admin/revoke", json!({ "user": user })).await?;
        ensure!(answer.status == StatusCode::OK, "{}", answer.body);
        Ok(())
    }

    /// Calls the sandbox's API with an access token.
    pub async fn call_api(&self, access_token: &str) -> anyhow::Result<Answer> {
        Backend::over(self.http.clone(), self.sandbox_url(), Some(access_token)).get("/api/me").await
    }

    /// The store behind the stack.
    pub fn store(&self) -> DynamoDbStore {
        let table = self.stack.broker.config().table.clone();
        DynamoDbStore::new(aws_sdk_dynamodb::Client::new(&self.stack.engines.sdk_config()), table)
    }

    /// The vaults of the stack.
    pub fn vaults(&self) -> Vaults {
        let config = self.stack.broker.config();
        let (sdk, clock) = (self.stack.engines.sdk_config(), Arc::new(self.clock.clone()));
        Vaults::new(&sdk, &config.table, &config.secret_prefix, clock)
    }

    /// The vault that the stack writes to and reads from.
    pub fn vault(&self) -> Arc<dyn Vault> {
        self.vaults().written(self.stack.broker.config().vault)
    }

    /// A credential of the default project as it is stored.
    pub async fn stored(&self, id: &str) -> anyhow::Result<Credential> {
        let found = self.store().find_credential(&self.stack.project, &CredentialId::parse(id)?).await?;
        found.context("the credential")
    }

    /// The document that a credential of the default project points at, as it stands in the vault.
    pub async fn secret(&self, id: &str) -> anyhow::Result<String> {
        let stored = self.stored(id).await?;
        let place = stored.place(stored.generation);
        Ok(self.vault().open(&place, &stored.cur, Prefetched::Nothing).await?.expose().clone())
    }

    /// How many versions of documents both vaults have of a credential of the default project.
    pub async fn versions(&self, id: &str) -> anyhow::Result<usize> {
        let config = self.stack.broker.config();
        let secrets = aws_sdk_secretsmanager::Client::new(&self.stack.engines.sdk_config());
        let name = format!("{}/{}/{id}", config.secret_prefix, self.stack.project);
        let listed = secrets.list_secret_version_ids().secret_id(name).include_deprecated(true).send().await;
        let in_secrets_manager = listed.map_or(0, |listed| listed.versions().len());
        let sealed = aws_sdk_dynamodb::Client::new(&self.stack.engines.sdk_config())
            .query()
            .table_name(&config.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(format!("V#{}#{id}", self.stack.project)))
            .send()
            .await?;
        Ok(in_secrets_manager + sealed.items().len())
    }

    /// A key of this role for these projects. It works for `days`.
    pub async fn key(&self, role: &str, projects: Value, days: i64) -> anyhow::Result<Answer> {
        let expires_at = (self.stack.broker.now() + Duration::days(days)).to_rfc3339();
        let body = json!({ "name": format!("a {role}"), "role": role, "projects": projects, "expires_at": expires_at });
        let answer = self.superuser().post("/v1/keys", body).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        Ok(answer)
    }

    /// A caller with a new key of this role for these projects.
    pub async fn caller(&self, role: &str, projects: Value) -> anyhow::Result<Backend> {
        let key = self.key(role, projects, 30).await?;
        Ok(self.with_key(&key.text("/key")))
    }

    /// Another project; `patch` goes over the body. Returns its id.
    pub async fn project(&self, patch: Value) -> anyhow::Result<String> {
        let mut body = json!({ "name": "Other", "return_urls": [RETURN_URL] });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
        }
        let answer = self.superuser().post("/v1/projects", body).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        Ok(answer.text("/id"))
    }

    /// Registers a client at the sandbox and at the broker; `settings` are the sandbox's, `patch` goes over the body of
    /// `POST /v1/clients`. Returns its id.
    pub async fn register(&self, settings: ClientSettings, patch: Value) -> anyhow::Result<String> {
        let mut body = json!({
            "name": settings.client_id,
            "project": self.stack.project,
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "issuer": self.sandbox_url(),
            "scopes": { "required": ["read"], "optional": [{ "value": "write" }, { "value": "openid" }] },
            "api_base_url": self.sandbox_url(),
        });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
        }
        let answer = self.superuser().post("/v1/clients", body).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        let redirect_uris = vec![answer.text("/redirect_uri")];
        self.sandbox().register(ClientSettings { redirect_uris, ..settings })?;
        Ok(answer.text("/id"))
    }

    /// Opens a session for `ada` at the first client; `patch` goes over the body. Returns the answer.
    pub async fn open_session(&self, patch: Value) -> anyhow::Result<Answer> {
        let mut body = json!({ "owner": "ada", "clients": [self.client()], "return_url": RETURN_URL });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
        }
        self.platform().post("/v1/connect-sessions", body).await
    }

    /// Opens a session, starts it in the browser and consents: everything up to the callback. Returns its URL.
    pub async fn to_callback(&self, browser: &Browser, patch: Value) -> anyhow::Result<Url> {
        let session = self.open_session(patch).await?;
        ensure!(session.status == StatusCode::CREATED, "{}", session.body);
        let authorization_url = browser.start(&session.text("/connect_url"), &[]).await?;
        browser.consent(&authorization_url, "ada").await
    }

    /// The whole flow. Returns the credential as `complete` answered it.
    pub async fn connect(&self, patch: Value) -> anyhow::Result<Value> {
        let browser = Browser::new();
        let callback = self.to_callback(&browser, patch).await?;
        let returned = browser.get(callback.as_str()).await?;
        ensure!(returned.status == StatusCode::SEE_OTHER, "{} {}", returned.status, returned.text);
        let answer = self.complete(&returned.location()?, "ada").await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        Ok(answer.body)
    }

    /// Completes the flow that a return URL names, for this owner.
    pub async fn complete(&self, return_url: &Url, owner: &str) -> anyhow::Result<Answer> {
        let part =
            |name: &str| return_url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let flow = part("flow").context("no flow in the return URL")?;
        let completion_code = part("completion_code").context("no completion_code in the return URL")?;
        let body = json!({ "completion_code": completion_code, "owner": owner });
        self.platform().post(&format!("/v1/flows/{flow}/complete"), body).await
    }

    /// Reads a token as the runner.
    pub async fn read_token(&self, credential: &str, body: Value) -> anyhow::Result<Answer> {
        self.runner().post(&format!("/v1/credentials/{credential}/token"), body).await
    }
}

/// The vault that `GRANTKEEPER_TEST_VAULT` names, so that all tests can be run on each.
#[expect(clippy::disallowed_methods, reason = "the tests are told by the environment which vault to run on")]
pub fn tested_vault() -> anyhow::Result<VaultKind> {
    let Ok(name) = std::env::var("GRANTKEEPER_TEST_VAULT") else { return Ok(VaultKind::default()) };
    VaultKind::parse(&name).with_context(|| format!("GRANTKEEPER_TEST_VAULT={name} is no vault"))
}

#[expect(clippy::disallowed_methods, reason = "the test's clock begins now, and then stands still")]
fn now() -> DateTime<Utc> {
    // A whole second, so that a life of 3600 seconds is one of 3600 seconds.
    Utc::now().trunc_subsecs(0)
}
