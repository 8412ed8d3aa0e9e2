//! Scheduled refresh: find what is due, hand it out, refresh it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::decide::is_due;
use super::{Engine, Reason, WAIT_BUDGET};
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{DUE_SHARDS, Due};

/// The most that one tick takes from one shard; what is left is found by the next tick.
const PER_SHARD: u32 = 500;

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
}

impl From<&Credential> for Work {
    fn from(credential: &Credential) -> Self {
        let Credential { id, project, generation, .. } = credential;
        Self { credential: id.clone(), project: project.clone(), generation: *generation }
    }
}

impl From<Due> for Work {
    fn from(due: Due) -> Self {
        Self { credential: due.credential, project: due.project, generation: due.generation }
    }
}

impl Engine {
    /// What is due now, over all shards.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn find_due(&self) -> Result<Vec<Work>> {
        let now = self.clock.now();
        let shards = (0..DUE_SHARDS).map(|shard| self.store.list_due(shard, now, PER_SHARD));
        let mut work = Vec::new();
        for due in futures::future::join_all(shards).await {
            work.extend(due?.into_iter().map(Work::from));
        }
        Ok(work)
    }

    /// Does a piece of work, if it is still to be done: the index and the queue may be behind.
    ///
    /// # Errors
    /// Only when the work should come again: the store or the vault did not answer. What the provider did is noted on
    /// the credential, with the time of the next try, and is no reason to repeat.
    pub async fn work(
        &self,
        work: &Work,
        client: impl AsyncFnOnce(&Work, &crate::model::ids::ClientId) -> Result<Arc<Client>>,
    ) -> Result<()> {
        let Some(credential) = self.store.find_credential(&work.project, &work.credential).await? else {
            return Ok(());
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
            return self.end(client.as_deref(), &credential).await;
        }
        if !is_due(&credential, work.generation, self.clock.now()) {
            return Ok(());
        }
        // A raw credential is never due.
        let Some(id) = &credential.client else { return Ok(()) };
        let client = match client(work, id).await {
            Ok(client) => client,
            Err(Error::NotFound) => {
                return match self.park(&credential, "client_deleted").await {
                    Err(error) if !error.needs_reauthorization() => Err(error),
                    Ok(_) | Err(_) => Ok(()),
                };
            }
            Err(error) => return Err(error),
        };
        match self.refresh(&client, credential.clone(), Reason::Due, WAIT_BUDGET).await {
            Ok(_) => Ok(()),
            Err(error @ (Error::Dependency(_) | Error::Internal(_))) => Err(error),
            Err(error) => {
                tracing::warn!(credential = %work.credential, %error, "a scheduled refresh brought no tokens");
                // The client or the vault cannot be used now; nothing was noted on the credential yet.
                if let Error::RefreshedTooOften { retry_after } = error {
                    self.postpone(&credential, chrono::Duration::from_std(retry_after).ok()).await
                } else if matches!(error, Error::Conflict { .. }) {
                    self.postpone(&credential, None).await
                } else {
                    Ok(())
                }
            }
        }
    }
}
