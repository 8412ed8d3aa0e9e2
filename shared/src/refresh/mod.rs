//! The refresh engine: one refresh at a time per credential, and no refresh token lost (REFRESH.md).
//!
//! The order is fixed: everything that can fail is obtained first, then lease and intent are taken in one conditional
//! update, then the provider is asked once, then the new token set is staged in the vault and committed by one
//! conditional update, and only then does anybody see it. Nothing is detached: an invocation that is killed leaves an
//! intent behind, and the next worker takes it over when the lease has lapsed.

mod apart;
pub(crate) mod ask;
mod attempt;
mod breaker;
pub(crate) mod commit;
pub mod decide;
pub(crate) mod diagnose;
mod end;
mod examine;
mod flight;
mod introspect;
mod late;
pub mod plan;
mod record;
mod recover;
mod release;
mod send;
pub mod steps;
pub(crate) mod suspended;
pub mod sweep;
mod tell;

pub(crate) use suspended::suspended;

use flight::Landing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::Cache;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::Credential;
use crate::model::health::Health;
use crate::model::ids::{ClientId, CredentialId, ProjectId};
use crate::model::token_set::TokenSet;
use crate::outbound::Outbound;
use crate::secret::Secret;
use crate::store::Store;
use crate::vault::root_key::RootKeys;
use crate::vault::{Place, Prefetched, Vault};

/// The longest that a function which refreshes may run (seconds). The template sets the same timeout, so a lease that
/// has lapsed belongs to an invocation that is dead.
pub const FUNCTION_TIMEOUT_SECONDS: i64 = 20;
/// What clocks may differ by (seconds).
const CLOCK_SKEW_SECONDS: i64 = 5;
/// How long a lease lasts (seconds).
pub(crate) const LEASE_SECONDS: i64 = FUNCTION_TIMEOUT_SECONDS + CLOCK_SKEW_SECONDS;
/// How long after its beginning a call may still start an attempt: an attempt needs up to 17 of the function's 20 seconds.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(3);
/// How long after its beginning a call may still send: 10 s for the answer and 5 s for the commit must remain.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long a caller waits for a refresh at most: the HTTP API ends at 30 seconds and the function at 20.
pub const WAIT_BUDGET: Duration = Duration::from_secs(12);

/// The engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outbound: Outbound,
    pub(crate) root_keys: Arc<RootKeys>,
    /// When this process last saw a client secret work, by its id.
    pub(crate) noted: Arc<Mutex<BTreeMap<String, Timestamp>>>,
    /// The refreshes that this process has under way.
    pub(crate) flights: Arc<flight::Flights>,
    /// How the token endpoints of clients are doing.
    healths: Arc<Cache<ClientId, Vec<Health>>>,
    /// Values of clients' secrets by their ids: one value for ever, whatever becomes of the secret.
    client_secrets: Arc<Cache<(ClientId, String), Secret<String>>>,
}

/// Why a refresh is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is due; a backoff is respected.
    Due,
    /// A caller asked for it by name; a backoff is not respected.
    Forced,
}

/// What one attempt came to.
pub(crate) enum Step {
    /// The credential has a newer generation.
    Refreshed(Box<Credential>),
    /// Another worker has it; this is the item that stood against us.
    Busy(Box<Credential>),
}

impl Engine {
    /// Puts the parts together.
    pub(crate) fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        vault: Arc<dyn Vault>,
        clock: Arc<dyn Clock>,
        outbound: Outbound,
        root_keys: Arc<RootKeys>,
    ) -> Self {
        let (noted, flights) = Default::default();
        let healths = Arc::new(Cache::lasting(breaker::BELIEVED));
        let client_secrets = Arc::new(Cache::lasting(ask::SECRETS_KEPT));
        Self { config, store, vault, clock, outbound, root_keys, noted, flights, healths, client_secrets }
    }

    /// Brings the credential to a newer generation than the given one, by a refresh of our own or by waiting for the
    /// one that is under way, for a call that began at `begun`: `budget`, and the time that an attempt needs, count from
    /// there.
    ///
    /// # Errors
    /// [`Error::Refreshing`] when the budget is over; otherwise why no refresh was possible. What is stored is never
    /// worse than before: a token that is still valid stays readable.
    pub async fn refresh(
        &self,
        begun: Instant,
        client: &Client,
        credential: Credential,
        mut reason: Reason,
        budget: Duration,
    ) -> Result<Credential> {
        let mut credential = credential;
        let base = credential.generation;
        let seat = self.flights.board(&credential.id, base);
        let alone = seat.try_lock();
        let joined = alone.is_err();
        let mut seat = match alone {
            Ok(seat) => seat,
            Err(_) => match tokio::time::timeout_at(begun + budget, seat.lock()).await {
                Ok(seat) => seat,
                Err(_) => return Err(Error::Refreshing { retry_after: Duration::from_secs(1) }),
            },
        };
        match &*seat {
            Landing::Newer(newer) => return Ok(Credential::clone(newer)),
            // It failed for all of those who waited; what is stored says why.
            Landing::Failed => drop(seat),
            Landing::None => {
                if joined {
                    credential = self.find(&credential.project, &credential.id).await?;
                    reason = Reason::Due;
                }
                let done = self.refresh_alone(begun, client, credential, base, reason, budget).await;
                *seat = match &done {
                    Ok(newer) => Landing::Newer(Box::new(newer.clone())),
                    Err(_) => Landing::Failed,
                };
                return done;
            }
        }
        credential = self.find(&credential.project, &credential.id).await?;
        self.refresh_alone(begun, client, credential, base, Reason::Due, budget).await
    }

    /// As [`Engine::refresh`], whoever else in this process does the same.
    async fn refresh_alone(
        &self,
        begun: Instant,
        client: &Client,
        credential: Credential,
        base: u64,
        reason: Reason,
        budget: Duration,
    ) -> Result<Credential> {
        let (project, id) = (credential.project.clone(), credential.id.clone());
        let mut reason = reason;
        let mut current = credential;
        let mut pause = Pause::default();
        loop {
            if current.generation > base {
                return Ok(current);
            }
            let now = self.clock.now();
            if !current.is_leased(now) {
                if begun.elapsed() >= START_WITHIN {
                    // Too late for an attempt of our own: what the last one left behind is the answer.
                    self.check(client, &current, Reason::Due)?;
                    return Err(Error::Refreshing { retry_after: Duration::from_secs(1) });
                }
                match self.attempt(client, current, reason, begun).await? {
                    Step::Refreshed(newer) => return Ok(*newer),
                    Step::Busy(other) => current = *other,
                }
                if current.generation > base {
                    return Ok(current);
                }
            }
            if !pause.wait(begun + budget).await {
                let left = current.lease.as_ref().map_or(1000, |lease| lease.until_ms - now.timestamp_millis());
                let retry_after = Duration::from_millis(u64::try_from(left.clamp(1000, 30_000)).unwrap_or(1000));
                return Err(Error::Refreshing { retry_after });
            }
            current = self.find(&project, &id).await?;
            // Whoever joined a refresh shares its outcome: a failure is not repeated by each of those who waited.
            reason = Reason::Due;
        }
    }

    /// The token set that a pointer names.
    ///
    /// # Errors
    /// When the vault does not answer, or lacks it.
    pub(crate) async fn tokens_at(&self, place: &Place, pointer: &str, prefetched: Prefetched) -> Result<TokenSet> {
        let document = self.vault.open(place, pointer, prefetched).await?;
        TokenSet::from_document(&document).ok_or(Error::Internal("a token set cannot be read"))
    }

    async fn find(&self, project: &ProjectId, id: &CredentialId) -> Result<Credential> {
        self.store.find_credential(project, id).await?.ok_or(Error::NotFound)
    }
}

/// How long the writes after the provider answered are repeated, and the first pause between them.
pub(crate) const WRITE_WITHIN: Duration = Duration::from_secs(4);
const WRITE_PAUSE: Duration = Duration::from_millis(100);

/// Repeats one of our own writes after the provider answered: giving up here could lose tokens that exist nowhere else.
pub(crate) async fn persist<T, E, F>(write: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    persist_for(WRITE_WITHIN, write).await
}

/// As [`persist`], for another time.
async fn persist_for<T, E, F>(time: Duration, write: impl Fn() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let (begun, mut pause) = (Instant::now(), WRITE_PAUSE);
    loop {
        match write().await {
            Err(_) if begun.elapsed() + pause < time => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(800));
            }
            done => return done,
        }
    }
}

/// Something between 0 and 255, to spread what would come at once.
pub(crate) fn jitter() -> u8 {
    // A random UUID is the randomness at hand; only its spread matters here.
    uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or_default()
}

/// Something between nothing and that long, so that what failed at once does not come back at once.
fn spread(over: chrono::Duration) -> chrono::Duration {
    chrono::Duration::milliseconds(over.num_milliseconds() * i64::from(jitter()) / i64::from(u8::MAX))
}

/// Growing, jittered pauses of 100 ms to 1 s.
#[derive(Default)]
struct Pause {
    rounds: u32,
}

impl Pause {
    /// Waits; `false` when the deadline came first.
    async fn wait(&mut self, deadline: Instant) -> bool {
        let base = 100u64.saturating_mul(1 << self.rounds.min(3));
        self.rounds += 1;
        let jitter = u64::from(jitter()) * base / 512;
        let until = Instant::now() + Duration::from_millis((base / 2 + jitter).min(1000));
        if until >= deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}
