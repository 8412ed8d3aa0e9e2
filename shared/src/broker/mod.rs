//! The use cases, one file each, named by their verb. Handlers call them; they call everything else.

pub mod access;
mod addresses;
mod answered;
mod api_request;
pub mod browse_providers;
pub mod change_credential;
mod change_variables;
pub mod check_client;
pub mod check_provider;
pub mod choose;
pub mod client_body;
pub mod complete_flow;
pub mod connect_page;
mod create_by_grant;
pub mod create_credential;
pub mod credential_value;
pub mod delivery;
mod disconnect_credential;
mod exchange_code;
mod fetch_tokens;
mod fields;
mod find_credential;
pub mod finding;
mod fix_values;
pub mod import_credential;
pub mod inputs;
mod learn;
mod list_attempts;
pub mod manage_clients;
pub mod manage_credentials;
pub mod manage_keys;
pub mod manage_projects;
pub mod migrate_vault;
mod new_grant;
mod offer_clients;
pub mod open_session;
pub mod questions;
pub mod raw_credential;
pub mod read_session;
pub mod read_token;
pub mod read_tokens;
mod reauthorize;
pub mod receive_callback;
pub mod refresh;
pub mod register_client;
mod replace_inputs;
pub mod report_token;
pub mod reseal_vault;
pub mod rotate_secret;
mod settle;
pub mod start_flow;
mod suspend_credential;
mod sweep;
pub mod test_credential;
mod validate_client;
pub mod walk_credentials;

use std::sync::Arc;

use crate::cache::Cache;
use crate::catalogue::Catalogue;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::ids::{ClientId, ProjectId};
use crate::model::principal::ApiKey;
use crate::model::project::Project;
use crate::outbound::Outbound;
use crate::refresh::Engine;
use crate::refresh::sweep::Work;
use crate::store::Store;
use crate::store::queue::RefreshQueue;
use crate::vault::Vault;
use crate::vault::root_key::RootKeys;

/// How long keys, clients and projects are believed: a revoked key or a changed client is felt everywhere within that time.
const BELIEVED: chrono::Duration = chrono::Duration::seconds(30);

/// What the broker is made of.
pub struct Parts {
    /// The stack's configuration.
    pub config: Config,
    /// Metadata.
    pub store: Arc<dyn Store>,
    /// Secrets.
    pub vault: Arc<dyn Vault>,
    /// The stack's root key.
    pub root_keys: Arc<RootKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way out.
    pub outbound: Outbound,
    /// Where refresh work goes; functions that send none have none.
    pub queue: Option<RefreshQueue>,
    /// The catalogue of providers.
    pub catalogue: Catalogue,
}

/// The broker: every use case is a method of it. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    catalogue: Catalogue,
    engine: Engine,
    queue: Option<RefreshQueue>,
    keys: Cache<String, ApiKey>,
    clients: Cache<ClientId, Client>,
    projects: Cache<ProjectId, Project>,
    queued: Cache<(String, u64), ()>,
}

impl Broker {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts { config, store, vault, root_keys, clock, outbound, queue, catalogue } = parts;
        let config = Arc::new(config);
        let engine = Engine::new(config, store, vault, clock, outbound, root_keys);
        let inner = Inner {
            catalogue,
            engine,
            queue,
            keys: Cache::lasting(BELIEVED),
            clients: Cache::lasting(BELIEVED),
            projects: Cache::lasting(BELIEVED),
            queued: Cache::lasting(BELIEVED),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The stack's configuration.
    pub fn config(&self) -> &Config {
        &self.inner.engine.config
    }

    /// The catalogue of providers.
    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.inner.catalogue
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.inner.engine.clock.now()
    }

    /// The refresh engine.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.inner.engine.store.as_ref()
    }

    pub(crate) fn vault(&self) -> &dyn Vault {
        self.inner.engine.vault.as_ref()
    }

    pub(crate) fn root_keys(&self) -> &RootKeys {
        &self.inner.engine.root_keys
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.inner.engine.outbound
    }

    /// Origins of `http` that the browser may be sent to; empty unless this is a local stack.
    pub fn insecure_origins(&self) -> Vec<String> {
        self.outbound().policy().insecure_origins()
    }

    /// A client, from the cache of 30 seconds or the store.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn client(&self, id: &ClientId) -> Result<Arc<Client>> {
        let now = self.now();
        if let Some(client) = self.inner.clients.get(id, now) {
            return Ok(client);
        }
        let client = self.store().find_client(id).await?.ok_or(Error::NotFound)?;
        Ok(self.inner.clients.insert(id.clone(), client, now))
    }

    /// A client that the project may use. Another project's does not exist for it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn client_of(&self, project: &ProjectId, id: &ClientId) -> Result<Arc<Client>> {
        let client = self.client(id).await?;
        if client.is_visible_to(project) { Ok(client) } else { Err(Error::NotFound) }
    }

    /// A project, from the cache of 30 seconds or the store.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) async fn project(&self, id: &ProjectId) -> Result<Arc<Project>> {
        let now = self.now();
        if let Some(project) = self.inner.projects.get(id, now) {
            return Ok(project);
        }
        let project = self.store().find_project(id).await?.ok_or(Error::NotFound)?;
        Ok(self.inner.projects.insert(id.clone(), project, now))
    }

    /// Has a credential refreshed soon, by the queue. Each generation is sent once per process and half minute, however
    /// often it is read; the tick finds it in any case.
    pub(crate) async fn enqueue(&self, work: Work) {
        let (marker, now) = ((work.credential.to_string(), work.generation), self.now());
        if self.inner.queued.get(&marker, now).is_some() {
            return;
        }
        self.inner.queued.insert(marker, (), now);
        self.enqueue_again(work).await;
    }

    /// The same, whatever was queued before.
    pub(crate) async fn enqueue_again(&self, work: Work) {
        let Some(queue) = &self.inner.queue else { return };
        if let Err(error) = queue.send(&[work]).await {
            tracing::warn!(%error, "work was not queued; the tick will find it");
        }
    }

    /// Whether the table, the vault and the root key can be reached.
    ///
    /// # Errors
    /// [`Error::Dependency`].
    pub async fn check_ready(&self) -> Result<()> {
        // Anybody may ask, so the answer does not say what is missing; the log does.
        let unready = |_| Error::Dependency("stack");
        self.store().ping().await.map_err(Error::from).map_err(unready)?;
        self.root_keys().current().await.map(drop).map_err(unready)
    }
}
