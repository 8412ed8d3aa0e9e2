//! Scheduled refresh: find what is due, hand it out, refresh it.

use std::sync::Arc;

use chrono::Duration;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::decide::{is_due, is_open};
use super::plan::{next_due, warns_of};
use super::{Engine, Reason, WAIT_BUDGET};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::event::Event;
use crate::model::ids::{ClientId, CredentialId, ProjectId};
use crate::store::{Due, Page};

/// The most that is read from one shard at once.
const PER_PAGE: u32 = 500;
/// The time over which work is spread that an open breaker put off: what waited for an outage does not come back at once.
const SPREAD: Duration = Duration::minutes(5);
/// The pauses of work that only an operator can make possible again: they grow with the time that it has waited.
const FIRST_PAUSE: Duration = Duration::minutes(1);
const MAX_PAUSE: Duration = Duration::hours(1);

/// A piece of work in the queue: the refresh of one generation of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The credential.
    pub credential: CredentialId,
    /// Its project.
    pub project: ProjectId,
    /// The generation that was due; a newer one makes the work void.
    pub generation: u64,
    /// It is in the queue of those whose provider is slow or fails, so that they hold up nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

impl From<&Credential> for Work {
    fn from(credential: &Credential) -> Self {
        let Credential { id, project, generation, .. } = credential;
        Self { credential: id.clone(), project: project.clone(), generation: *generation, apart: false }
    }
}

impl From<&Due> for Work {
    fn from(due: &Due) -> Self {
        let Due { project, credential, generation, .. } = due;
        Self { credential: credential.clone(), project: project.clone(), generation: *generation, apart: false }
    }
}

/// What became of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worked {
    /// It is done, or void.
    Done,
    /// Its provider is slow or fails: it belongs into the other queue.
    Apart,
}

impl Engine {
    /// One page of what is due now in a shard.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn find_due(&self, shard: u32, cursor: Option<&str>) -> Result<Page<Due>> {
        Ok(self.store.list_due(shard, self.clock.now(), PER_PAGE, cursor).await?)
    }

    /// Does a piece of work, if it is still to be done: the index and the queue may be behind.
    ///
    /// # Errors
    /// Only when the work should come again: the store or the vault did not answer. What the provider did is noted on
    /// the credential, with the time of the next try, and is no reason to repeat.
    pub async fn work(
        &self,
        work: &Work,
        client: impl AsyncFnOnce(&Work, &ClientId) -> Result<Arc<Client>>,
    ) -> Result<Worked> {
        let begun = Instant::now();
        let Some(credential) = self.store.find_credential(&work.project, &work.credential).await? else {
            return Ok(Worked::Done);
        };
        if credential.status == CredentialStatus::Revoking {
            let client = match &credential.client {
                Some(id) => match client(work, id).await {
                    Ok(client) => Some(client),
                    Err(Error::NotFound) => None,
                    Err(error) => return Err(error),
                },
                None => None,
            };
            return match self.end(client.as_deref(), &credential).await {
                Err(error @ Error::Internal(_)) => {
                    tracing::error!(credential = %work.credential, %error, "a grant cannot be ended");
                    self.postpone(&credential, MAX_PAUSE, None).await?;
                    Ok(Worked::Done)
                }
                ended => ended.map(|()| Worked::Done),
            };
        }
        let now = self.clock.now();
        if !is_open(&credential, work.generation, now) {
            return Ok(Worked::Done);
        }
        // A raw credential is never due.
        let Some(id) = &credential.client else { return Ok(Worked::Done) };
        let client = match client(work, id).await {
            Ok(client) => client,
            Err(Error::NotFound) => {
                return match self.park(&credential, "client_deleted").await {
                    Err(error) if !error.needs_reauthorization() => Err(error),
                    Ok(_) | Err(_) => Ok(Worked::Done),
                };
            }
            Err(error) => return Err(error),
        };
        if let Some(dies_at) = warns_of(&credential, &client.settings, now) {
            self.warn(&credential, dies_at, now).await?;
        }
        if !is_due(&credential, &client.settings, now) {
            // Nobody uses it, or it was found for its warning alone.
            if credential.due_at.is_some_and(|at| at <= now.timestamp_millis()) {
                self.store.reschedule(&credential, next_due(&credential, &client.settings, now)).await?;
            }
            return Ok(Worked::Done);
        }
        if !work.apart && self.is_apart(id).await {
            return Ok(Worked::Apart);
        }
        match self.refresh(begun, &client, credential.clone(), Reason::Due, WAIT_BUDGET).await {
            Ok(_) => Ok(Worked::Done),
            Err(error @ Error::Dependency(_)) => Err(error),
            Err(error) => {
                // One of our own that repeating would not mend is told, and waits like the others.
                if matches!(error, Error::Internal(_)) {
                    tracing::error!(credential = %work.credential, %error, "a credential cannot be refreshed");
                } else {
                    tracing::warn!(credential = %work.credential, %error, "a scheduled refresh brought no tokens");
                }
                // An attempt has noted the time of the next one. Where none was made, nothing was noted yet.
                let (wait, spread) = match error.plain() {
                    Error::RefreshedTooOften { retry_after } => (Duration::from_std(*retry_after).ok(), None),
                    Error::ProviderUnavailable { retry_after, .. } => {
                        (retry_after.and_then(|after| Duration::from_std(after).ok()), Some(SPREAD))
                    }
                    Error::ClientRejected { .. } => (None, Some(SPREAD)),
                    _ => (None, None),
                };
                self.postpone(&credential, wait.unwrap_or_else(|| pause(&credential, now)), spread).await?;
                Ok(Worked::Done)
            }
        }
    }

    /// N6: the project hears of it once, a week before.
    async fn warn(&self, credential: &Credential, dies_at: Timestamp, now: Timestamp) -> Result<()> {
        if self.store.warn_of(credential, &Event::expiring(credential, dies_at, now)).await? {
            tracing::warn!(credential = %credential.id, %dies_at, "its refresh token dies soon");
        }
        Ok(())
    }
}

/// Half of the time that it has waited, within bounds: so that it is tried ever less often without being counted.
fn pause(credential: &Credential, now: Timestamp) -> Duration {
    let wanted = credential.refresh_after.unwrap_or_default();
    Duration::milliseconds((now.timestamp_millis() - wanted) / 2).clamp(FIRST_PAUSE, MAX_PAUSE)
}
