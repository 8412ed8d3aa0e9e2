//! A stack on which workers are put together over its store and vault, each with what goes wrong with it, and credentials
//! are made without a browser.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::read_token::{Delivered, TokenRequest};
use grantkeeper::broker::{Broker, Parts};
use grantkeeper::catalogue::Catalogue;
use grantkeeper::clock::{Clock, Timestamp};
use grantkeeper::model::client::{Client, ClientSettings, ReusePenalty};
use grantkeeper::model::credential::Credential;
use grantkeeper::model::ids::{ClientId, CredentialId, ProjectId};
use grantkeeper::model::token_set::{SecretInputs, TokenSet};
use grantkeeper::outbound::{Outbound, OutboundPolicy};
use grantkeeper::refresh::sweep::Work;
use grantkeeper::secret::Secret;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::store::queue::RefreshQueue;
use grantkeeper::store::{DUE_SHARDS, Store};
use grantkeeper::testing::FixedClock;
use grantkeeper::testing::fixtures::unique;
use grantkeeper::vault::root_key::RootKeys;
use grantkeeper::vault::{Prefetched, Vault};
use grantkeeper_sandbox::{ClientSettings as AtSandbox, Sandbox};
use grantkeeper_tests::World;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::provider::Mode;
use super::trap::Trap;
use super::worker_parts::{WorkerStore, WorkerVault};

/// How many pieces of work are done at once.
pub const AT_ONCE: usize = 6;

pub use grantkeeper::vault::VaultKind as Keeping;

/// The stack.
pub struct Bench {
    pub world: World,
    pub store: Arc<dyn Store>,
    pub vault: Arc<dyn Vault>,
    /// A worker with which nothing goes wrong. It has no queue.
    pub healthy: Broker,
    root_keys: Arc<RootKeys>,
    outbound: Outbound,
    provider: Router,
    client: Client,
    credential: Credential,
    runner: Caller,
}

/// A credential with a client of its own.
#[derive(Clone)]
pub struct Subject {
    /// What the sandbox calls the client.
    pub client_id: String,
    pub client: ClientId,
    pub credential: CredentialId,
    /// The refresh tokens that it was given, the newest last.
    pub given: Vec<Secret<String>>,
}

/// What a read brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A token, with its warning.
    Served(Option<&'static str>),
    /// The code of the problem.
    Refused(&'static str),
}

impl Bench {
    pub async fn new(keeping: Keeping) -> anyhow::Result<Self> {
        let world = World::new().await?;
        let stack = &world.stack;
        let sdk = stack.engines.sdk_config();
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk);
        let config = stack.broker.config().clone();
        let store: Arc<dyn Store> = Arc::new(world.store());
        let vault = world.vaults().written(keeping);
        let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
        let root_keys = Arc::new(RootKeys::new(secrets, &config.root_key, clock.clone()));
        let policy = OutboundPolicy::allowing(&[world.sandbox_url().to_owned()])?;
        let outbound = Outbound::with_way_out(policy, &config.way_out)?;
        let healthy = Broker::new(Parts {
            config,
            store: store.clone(),
            vault: vault.clone(),
            root_keys: root_keys.clone(),
            clock,
            outbound: outbound.clone(),
            queue: None,
            catalogue: Catalogue::default(),
        });
        let runner = Caller { key: healthy.authenticate(&stack.keys.runner).await?, project: None, user: None };
        let provider = world.sandbox().router();
        let (client, credential) = patterns(&world).await?;
        Ok(Self { world, store, vault, healthy, root_keys, outbound, provider, client, credential, runner })
    }

    pub fn project(&self) -> &ProjectId {
        &self.world.stack.project
    }

    pub fn sandbox(&self) -> &Sandbox {
        self.world.sandbox()
    }

    pub fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// A worker with its trap.
    pub fn worker(&self, trap: &Arc<Trap>) -> Broker {
        self.worker_at(self.world.clock.clone(), trap, None)
    }

    /// A worker whose clock shows something else, perhaps with queues.
    pub fn worker_at(&self, clock: FixedClock, trap: &Arc<Trap>, queue: Option<RefreshQueue>) -> Broker {
        Broker::new(Parts {
            config: self.world.stack.broker.config().clone(),
            store: Arc::new(WorkerStore { real: self.store.clone(), trap: trap.clone() }),
            vault: Arc::new(WorkerVault { real: self.vault.clone(), trap: trap.clone() }),
            root_keys: self.root_keys.clone(),
            clock: Arc::new(clock),
            outbound: self.outbound.clone(),
            queue,
            catalogue: Catalogue::default(),
        })
    }

    /// A client of this mode, on both sides.
    pub async fn client(&self, mode: Mode) -> anyhow::Result<(String, ClientId)> {
        let client_id = unique();
        self.sandbox().register(mode.at_sandbox(&client_id))?;
        let settings = ClientSettings {
            client_id: Some(client_id.clone()),
            refresh: mode.facts(),
            ..self.client.settings.clone()
        };
        let client = Client { id: ClientId::generate(), client_key: unique(), settings, ..self.client.clone() };
        self.store.insert_client(&client).await?;
        Ok((client_id, client.id))
    }

    /// A credential of the second generation at a client of its own.
    pub async fn subject(&self, mode: Mode) -> anyhow::Result<Subject> {
        let (client_id, client) = self.client(mode).await?;
        self.subject_of(mode, client_id, client, Duration::zero()).await
    }

    /// A credential of the second generation whose tokens were issued so long ago. They live for an hour.
    pub async fn subject_of(
        &self,
        mode: Mode,
        client_id: String,
        client: ClientId,
        age: Duration,
    ) -> anyhow::Result<Subject> {
        let password = [("grant_type", "password"), ("username", "ada"), ("password", "sandbox"), ("scope", "read")];
        let first = self.ask(&client_id, &password).await?;
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", first.refresh_token.expose().as_str())];
        let second = self.ask(&client_id, &refresh).await?;
        let issued = self.now() - age;
        let ms = |seconds| (issued + Duration::seconds(seconds)).timestamp_millis();
        let previous_for = match mode.facts() {
            facts if facts.reuse_penalty == Some(ReusePenalty::None) => 86_400,
            facts => facts.grace_seconds.unwrap_or_default(),
        };
        let id = CredentialId::generate();
        let attempt = unique();
        let template = &self.credential;
        let mut credential = Credential {
            name: id.to_string(),
            id: id.clone(),
            client: Some(client.clone()),
            generation: 2,
            attempt: attempt.clone(),
            created_at: issued,
            granted_at: Some(issued),
            issued_at: ms(0),
            at_exp: Some(ms(3600)),
            refresh_after: Some(ms(2880)),
            last_refreshed_at: Some(issued),
            prev_until: Some(ms(previous_for.into())),
            ..template.clone()
        };
        let (mut pointers, expires_at) = (Vec::new(), credential.expires_at());
        let mut given = Vec::new();
        for (generation, (obtained, version)) in (1..).zip([(first, unique()), (second, attempt)]) {
            let tokens = TokenSet {
                access_token: obtained.access_token,
                refresh_token: Some(obtained.refresh_token.clone()),
                token_type: "Bearer".to_owned(),
                expires_at,
                scopes: credential.granted_scopes.clone(),
                generation,
                bound_origin: credential.bound_origin.clone(),
                extra: serde_json::Map::new(),
                inputs: SecretInputs::new(),
            };
            given.push(obtained.refresh_token);
            pointers.push(self.vault.stage(&credential.place(generation), &version, &tokens.to_document()).await?);
        }
        let [prev, cur] = <[String; 2]>::try_from(pointers).map_err(|_| anyhow::anyhow!("two generations"))?;
        (credential.prev, credential.cur) = (Some(prev), cur);
        self.store.insert_credential(&credential).await?;
        Ok(Subject { client_id, client, credential: id, given })
    }

    /// What the sandbox is told of a client from now on.
    pub fn change_at_sandbox(
        &self,
        mode: Mode,
        client_id: &str,
        change: impl FnOnce(&mut AtSandbox),
    ) -> anyhow::Result<()> {
        let mut settings = mode.at_sandbox(client_id);
        change(&mut settings);
        self.sandbox().register(settings)
    }

    /// A credential as it is stored.
    pub async fn stored(&self, id: &CredentialId) -> anyhow::Result<Credential> {
        self.store.find_credential(self.project(), id).await?.context("the credential is gone")
    }

    /// The refresh token of the committed generation.
    pub async fn refresh_token(&self, credential: &Credential) -> anyhow::Result<Secret<String>> {
        let place = credential.place(credential.generation);
        let document = self.vault.open(&place, &credential.cur, Prefetched::Nothing).await?;
        TokenSet::from_document(&document).and_then(|tokens| tokens.refresh_token).context("a refresh token")
    }

    /// Reads the token as a program. With the token, where there is one.
    pub async fn read(&self, id: &CredentialId) -> anyhow::Result<(Read, Option<Secret<String>>)> {
        match self.healthy.read_token(&self.runner, id.as_str(), TokenRequest::default()).await {
            Ok(Delivered::Token(token)) => Ok((Read::Served(token.warning), Some(token.access_token))),
            Ok(Delivered::Raw(_)) => anyhow::bail!("a raw credential"),
            Err(error) => Ok((Read::Refused(error.plain().code()), None)),
        }
    }

    /// Whether the provider's API takes a token.
    pub async fn works(&self, token: &Secret<String>) -> anyhow::Result<bool> {
        let request = Request::get("/api/me").header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {}", token.expose())).body(Body::empty())?;
        Ok(self.provider.clone().oneshot(request).await?.status() == StatusCode::OK)
    }

    /// Finds what is due and does it, as the tick and the workers do. Returns what there was.
    pub async fn sweep(&self) -> anyhow::Result<Vec<CredentialId>> {
        let engine = self.healthy.engine();
        let pages = stream::iter(0..DUE_SHARDS).map(|shard| engine.find_due(shard, None)).buffer_unordered(AT_ONCE);
        let pages: Vec<_> = pages.try_collect().await?;
        let due: Vec<_> = pages.into_iter().flat_map(|page| page.items).collect();
        let worked = stream::iter(&due).map(async |due| {
            // In whichever queue it would have gone.
            let work = Work { apart: true, ..Work::from(due) };
            self.healthy.work(&work).await.map(|()| due.credential.clone())
        });
        Ok(worked.buffer_unordered(AT_ONCE).try_collect().await?)
    }

    /// Asks the provider for tokens past the broker.
    async fn ask(&self, client_id: &str, form: &[(&str, &str)]) -> anyhow::Result<Obtained> {
        let form = form.iter().copied().chain([("client_id", client_id)]);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post("/token").header("host", "localhost");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(body))?;
        let answer = self.provider.clone().oneshot(request).await?;
        let status = answer.status();
        let body: Value = serde_json::from_slice(&to_bytes(answer.into_body(), 65_536).await?)?;
        ensure!(status == StatusCode::OK, "{status} {body}");
        let token = |name: &str| body.get(name).and_then(Value::as_str).map(Secret::from).context("a token");
        Ok(Obtained { access_token: token("access_token")?, refresh_token: token("refresh_token")? })
    }
}

struct Obtained {
    access_token: Secret<String>,
    refresh_token: Secret<String>,
}

/// A client without a secret and a credential of it as the product makes them, from which all others are made.
async fn patterns(world: &World) -> anyhow::Result<(Client, Credential)> {
    let settings = AtSandbox { client_id: "pattern".to_owned(), ..AtSandbox::default() };
    let client = world.register(settings, json!({ "token_endpoint_auth_method": "none" })).await?;
    let import = json!({ "access_token": "at", "refresh_token": "rt", "scopes": ["read"] });
    let body = json!({ "name": "pattern", "owner": "ada", "client": client, "import": import });
    let made = world.platform().post("/v1/credentials", body).await?;
    ensure!(made.status == StatusCode::CREATED, "{}", made.body);
    let store: DynamoDbStore = world.store();
    let client = store.find_client(&ClientId::parse(&client)?).await?.context("the client")?;
    let id = CredentialId::parse(&made.text("/id"))?;
    let credential = store.find_credential(&world.stack.project, &id).await?.context("the credential")?;
    // It would be found as due with all the others.
    let gone = world.platform().acting_for("ada").delete(&format!("/v1/credentials/{id}")).await?;
    ensure!(gone.status.is_success(), "{} {}", gone.status, gone.body);
    Ok((client, Credential { refreshable: true, ..credential }))
}
