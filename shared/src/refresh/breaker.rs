//! Asks the breaker before a request, and tells it afterwards (N13). It never fails what it protects: a breaker that cannot
//! be read is closed.

use chrono::Duration;

use super::ask::Answer;
use super::attempt::Obtained;
use super::release::is_urgent;
use super::send::Trial;
use super::{Engine, Reason, jitter};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::{Client, CredentialsFrom, binds};
use crate::model::credential::Credential;
use crate::model::health::{Ailment, Gate, Health};
use crate::model::ids::ClientId;
use crate::telemetry;

/// How long what was read is believed.
pub(super) const BELIEVED: Duration = Duration::seconds(5);
/// How often a change is tried when others change the same.
const ROUNDS: u32 = 3;
/// The refusal that every other request of the client would meet, too, where the server says it by this name (RFC 6749
/// §5.2). Any other, and a 401 that only looks like it, may be of one credential, and is only counted.
const OF_EVERY_REQUEST: &str = "invalid_client";

/// The right to send, with what was known of the endpoint.
pub(super) struct Pass {
    health: Health,
}

impl Engine {
    /// How the endpoints of a client are doing.
    pub(crate) async fn health(&self, client: &ClientId) -> Vec<Health> {
        let now = self.clock.now();
        if let Some(known) = self.healths.get(client, now) {
            return known.to_vec();
        }
        match self.store.list_health(client).await {
            Ok(all) => self.healths.insert(client.clone(), all, now).to_vec(),
            Err(error) => {
                tracing::warn!(%client, %error, "how a client is doing cannot be read");
                Vec::new()
            }
        }
    }

    /// Whether the work of a client belongs into the queue of those that take long or fail.
    pub(crate) async fn is_apart(&self, client: &ClientId) -> bool {
        let now = self.clock.now();
        self.health(client).await.iter().any(|health| health.is_apart(now))
    }

    async fn health_at(&self, client: &ClientId, origin: &str) -> Health {
        let known = self.health(client).await.into_iter().find(|health| health.origin == origin);
        known.unwrap_or_else(|| Health::unknown(client.clone(), origin))
    }

    /// S0: whether the breaker lets a request through. A refresh that is asked for by name always goes, and is a probe.
    ///
    /// # Errors
    /// [`Error::ClientRejected`] or [`Error::ProviderUnavailable`] while it is open; nothing was touched then.
    pub(super) async fn pass(
        &self,
        client: &Client,
        credential: &Credential,
        obtained: &Obtained,
        reason: Reason,
    ) -> Result<Pass> {
        let endpoint = match obtained.renewal.is_spent_by_use() {
            true => obtained.resolved.refresh_endpoint.as_deref().unwrap_or_default(),
            false => &obtained.resolved.token_endpoint,
        };
        let origin = binds(&credential.bound_origin, endpoint).unwrap_or_default();
        let health = self.health_at(&client.id, &origin).await;
        if reason == Reason::Forced {
            return Ok(Pass { health });
        }
        match health.gate(client.revision, self.clock.now()) {
            Gate::Closed => Ok(Pass { health }),
            // Few are in doubt, and a provider's grace may be running for them: what the breaker spares it is the others.
            Gate::Open { .. } | Gate::Probe if is_urgent(credential) => Ok(Pass { health }),
            Gate::Open { wait, ailment } => Err(kept_out(ailment, wait)),
            Gate::Probe => {
                let now = self.clock.now();
                let probing = health.probing(now);
                self.healths.remove(&client.id);
                match self.store.put_health(&probing, now).await.unwrap_or(true) {
                    true => Ok(Pass { health: probing }),
                    // Another worker probes; a few seconds tell.
                    false => Err(kept_out(health.ailment.unwrap_or(Ailment::Unavailable), BELIEVED)),
                }
            }
        }
    }

    /// Tells the breaker what a request showed. Never fails what it notes.
    pub(super) async fn note_health(&self, pass: Pass, seen: Option<Seen>, trial: &Trial<'_>) {
        let Some(seen) = seen else { return };
        let mut health = pass.health;
        for _ in 0..ROUNDS {
            let now = self.clock.now();
            let Some(next) = seen.after(&health, trial, now) else { return };
            self.healths.remove(&next.client);
            match self.store.put_health(&next, now).await {
                Ok(true) => {
                    if health.open_until.is_none() && next.open_until.is_some() {
                        telemetry::count("Breaker", "opened", now);
                        tracing::error!(client = %next.client, origin = next.origin, ailment = ?next.ailment, "a token endpoint is left alone for a while");
                    }
                    if health.open_until.is_some() && next.open_until.is_none() {
                        telemetry::count("Breaker", "closed", now);
                        tracing::info!(client = %next.client, origin = next.origin, "a token endpoint works again");
                    }
                    return;
                }
                // Others count, too: what they wrote is what this one comes on top of.
                Ok(false) => health = self.health_at(&health.client, &health.origin).await,
                Err(error) => {
                    tracing::warn!(client = %health.client, %error, "how a client is doing was not noted");
                    return;
                }
            }
        }
    }
}

/// What a request showed.
pub(super) enum Seen {
    Works,
    /// With whether it alone proves it, and for how long the endpoint wants to be left alone.
    Failed(Ailment, bool, Option<Duration>),
}

impl Seen {
    /// `None`: it says nothing about the endpoint.
    pub(super) fn of(answer: &Answer, trial: &Trial<'_>) -> Option<Self> {
        Some(match answer {
            Answer::Tokens(_) | Answer::GrantRefused => Self::Works,
            // A person's own client says nothing about the others.
            Answer::ClientRefused { .. } if trial.client.settings.credentials_from == CredentialsFrom::Person => {
                return None;
            }
            Answer::ClientRefused { .. } => {
                let said = trial.exchanges.last().and_then(|exchange| exchange.reading.as_ref()?.error.as_deref());
                Self::Failed(Ailment::Refused, said == Some(OF_EVERY_REQUEST), None)
            }
            Answer::Later { retry_after } => {
                let asked = retry_after.and_then(|after| Duration::from_std(after).ok());
                Self::Failed(Ailment::Unavailable, false, asked)
            }
            Answer::NotSent | Answer::Unknown | Answer::Misbehaved(_) => {
                Self::Failed(Ailment::Unavailable, false, None)
            }
        })
    }

    /// `None`: nothing is to be written.
    fn after(&self, health: &Health, trial: &Trial<'_>, now: Timestamp) -> Option<Health> {
        let seen = match self {
            Self::Works => health.worked(),
            Self::Failed(ailment, at_once, asked) => {
                let known = Health { revision: trial.client.revision, ..health.clone() };
                let spread = f64::from(jitter()) / f64::from(u8::MAX);
                Some(known.failed(*ailment, *at_once, *asked, spread, now))
            }
        };
        let slow = seen.as_ref().unwrap_or(health).took(trial.slowest, now);
        // One write for both.
        slow.map(|slow| Health { version: health.version + 1, ..slow }).or(seen)
    }
}

fn kept_out(ailment: Ailment, wait: Duration) -> Error {
    match ailment {
        Ailment::Refused => Error::ClientRejected { error: "invalid_client", status: None },
        Ailment::Unavailable => Error::ProviderUnavailable {
            what: "its token endpoint does not work at the moment; the next try has a time",
            retry_after: wait.to_std().ok(),
        },
    }
}
