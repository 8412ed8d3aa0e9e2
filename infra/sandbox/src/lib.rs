//! A scriptable OAuth 2.0 and OpenID Connect authorization server with an API behind it.
//!
//! It serves the demo, the tests and rehearsals: a test sets, per client, how refresh tokens rotate, what a reuse
//! costs, what the answers leave out and how they get lost ([`Fault`], [`FaultRule`]), moves the clock, and reads
//! afterwards which requests arrived ([`Sandbox::log`]) and how old the refresh tokens were that they presented
//! ([`Sandbox::presented`]). Anybody may sign in under any name, so it must never stand in front of anything of value.
//!
//! It can also pose as the providers of a catalogue ([`Sandbox::pose`]): [`Sandbox::poses_router`] then answers at their
//! hosts and paths, takes only requests that are as a provider's entry says, and answers in the provider's shape.

mod admin;
mod api;
mod authorize;
mod client_auth;
mod data_file;
mod delivery;
mod id_token;
mod introspection;
mod log;
mod metadata;
mod oauth_error;
mod opaque;
mod pages;
mod parameters;
mod pose;
mod presented;
mod revocation;
mod settings;
mod state;
mod token;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};
use data_file::DataFile;
use id_token::SigningKey;
use log::Log;
use opaque::Digest;
use pose::Poses;
use presented::Presented;
use state::State;
use url::Url;

pub use log::LogEntry;
pub use opaque::fingerprint;
pub use pose::{Endpoint, Pose, PoseSettings};
pub use presented::{AnswerFate, Presentation};
pub use settings::{
    Always, ApiHeader, AuthMethod, ClientSettings, ExpiresAtFormat, ExpiresInFormat, Fault, FaultKind, FaultRule,
    Garbage, GrantType, GrantTypeWords, LostAnswer, RawAnswer, RefreshTokenMode, ReusePenalty, ScriptedAnswer,
    TokenRequestRules, TokenResponseShape, When,
};
pub use state::GrantStatus;

/// How a sandbox is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The issuer identifier (RFC 8414 §2), an origin such as `http://127.0.0.1:8090`; kept character for character.
    pub issuer: String,
    /// Where the state is kept; `None` keeps it in memory only.
    pub data_file: Option<PathBuf>,
}

/// One authorization server with its state. Clones share it.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    issuer: String,
    data_file: Option<DataFile>,
    signing_key: SigningKey,
    state: Mutex<State>,
    log: Log,
    presented: Presented,
    poses: Poses,
}

impl Sandbox {
    /// Loads the data file, or starts empty with a new signing key.
    ///
    /// # Errors
    /// The issuer is not an http(s) origin, or the data file cannot be read, understood or written.
    pub fn open(options: Options) -> anyhow::Result<Sandbox> {
        let issuer = Url::parse(&options.issuer).context("the issuer is not a URL")?;
        ensure!(matches!(issuer.scheme(), "http" | "https"), "the issuer must be an http or https URL");
        ensure!(
            issuer.path() == "/" && issuer.query().is_none() && issuer.fragment().is_none(),
            "the issuer must be an origin, without path, query or fragment"
        );
        let data_file = options.data_file.map(DataFile::new);
        let loaded = data_file.as_ref().map(DataFile::load).transpose()?.flatten();
        let state = match loaded {
            Some(state) => state,
            None => State::new(SigningKey::generate()?),
        };
        let signing_key = SigningKey::from_stored(&state.signing_key)?;
        if let Some(file) = &data_file {
            file.save(&state)?;
        }
        Ok(Sandbox(Arc::new(Inner {
            issuer: options.issuer,
            data_file,
            signing_key,
            state: Mutex::new(state),
            log: Log::default(),
            presented: Presented::default(),
            poses: Poses::default(),
        })))
    }

    /// All endpoints, mounted at the root.
    pub fn router(&self) -> Router {
        let logged = Router::new()
            .route("/token", any(token::token))
            .route("/revoke", post(revocation::revoke))
            .route("/introspect", post(introspection::introspect))
            .route("/userinfo", get(api::userinfo).post(api::userinfo))
            .route("/api/me", get(api::me))
            .route("/api/echo", any(api::echo))
            .route("/api/needs/{*scope}", get(api::needs))
            .route("/api/key", get(api::key))
            .route("/api/{*rest}", any(api::unknown))
            .layer(from_fn_with_state(self.clone(), log::record));
        Router::new()
            .route("/", get(pages::home))
            .route("/style.css", get(pages::style))
            .route("/.well-known/openid-configuration", get(metadata::metadata))
            .route("/.well-known/oauth-authorization-server", get(metadata::metadata))
            .route("/jwks", get(metadata::jwks))
            .route("/authorize", get(authorize::by_query).post(authorize::by_form))
            .merge(logged)
            .merge(admin::routes(self))
            .with_state(self.clone())
    }

    /// Inserts a client, or replaces its settings; its grants stay.
    ///
    /// # Errors
    /// The settings contradict the rules of `ClientSettings`, or the data file cannot be written.
    pub fn register(&self, client: ClientSettings) -> anyhow::Result<()> {
        client.validate()?;
        self.transact(|state| state.clients.insert(client.client_id.clone(), client))?;
        Ok(())
    }

    /// Moves the sandbox's clock by `seconds`; the offset is kept in the data file.
    pub fn advance_clock(&self, seconds: i64) {
        // A failed save was already reported on stderr; the clock then stays where it was.
        let _saved = self.transact(|state| state.advance_clock(seconds));
    }

    /// The requests to `/token`, `/revoke`, `/introspect`, `/userinfo` and `/api/*` since the start, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        self.0.log.entries()
    }

    /// Forgets the logged requests.
    pub fn clear_log(&self) {
        self.0.log.clear();
    }

    /// The last 1,000,000 times that a refresh token was presented at the token endpoint since the start, oldest first.
    pub fn presented(&self) -> Vec<Presentation> {
        self.0.presented.all()
    }

    /// Forgets the presented refresh tokens. A request that is still being answered is not noted any more.
    pub fn clear_presented(&self) {
        self.0.presented.clear();
    }

    /// The grants that stand and the last 100,000 revoked ones, those first.
    pub fn grants(&self) -> Vec<GrantStatus> {
        self.read(|state| state.grant_statuses(state.now()))
    }

    /// The grant that a refresh token was given out for, standing or among the last 100,000 revoked ones, and how many
    /// refresh tokens were given out for it after this one.
    pub fn grant_of(&self, refresh_token: &str) -> Option<(GrantStatus, u32)> {
        self.read(|state| {
            let (id, age) = state.place_of(&Digest::of(refresh_token))?;
            Some((state.grant_status(id, state.now())?, age))
        })
    }

    fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Looks at the state; nothing is saved.
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// One change of the state, saved before it becomes visible to anybody. When the save fails nothing has happened.
    fn transact<T>(&self, change: impl FnOnce(&mut State) -> T) -> anyhow::Result<T> {
        let mut state = self.lock();
        let Some(file) = &self.0.data_file else {
            return Ok(change(&mut state));
        };
        let mut next = state.clone();
        let outcome = change(&mut next);
        if next != *state {
            file.save(&next).inspect_err(|error| eprintln!("grantkeeper-sandbox: {error:#}"))?;
            *state = next;
        }
        Ok(outcome)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
