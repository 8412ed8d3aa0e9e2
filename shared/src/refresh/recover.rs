//! What others left behind: tokens that were received and not committed, and work that cannot be done (REFRESH.md S-R).

use super::commit::{CLIENT_BACKOFF, Release, Staged};
use super::{Engine, Step};
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, Schedule};
use crate::model::token_set::TokenSet;
use crate::protocol::token::is_usable_type;
use crate::store::{AcquireRefresh, Attempted};
use crate::vault::{Prefetched, VaultError};

/// A token set that was staged and never committed.
pub(super) struct Orphan {
    tokens: TokenSet,
    pointer: String,
}

impl Engine {
    /// What a dead worker received, staged in the vault and did not commit. Presenting the old refresh token again
    /// instead could cost the grant.
    pub(super) async fn orphan(&self, credential: &Credential) -> Result<Option<Orphan>> {
        let Some(intent) = &credential.intent else { return Ok(None) };
        let place = credential.place(credential.generation + 1);
        match self.vault.open(&place, &intent.attempt, Prefetched::Nothing).await {
            Ok(document) => Ok(TokenSet::from_document(&document)
                .filter(|tokens| tokens.generation == credential.generation + 1)
                .map(|tokens| Orphan { tokens, pointer: intent.attempt.clone() })),
            Err(VaultError::Missing) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// S-R 1: commits what a dead worker staged, without calling the provider.
    pub(super) async fn adopt(&self, client: &Client, credential: &Credential, orphan: Orphan) -> Result<Step> {
        let Orphan { tokens, pointer } = orphan;
        // The same attempt goes on: whoever takes over from us must find the same staged version.
        let acquire = AcquireRefresh { attempt: pointer.clone(), ..self.acquisition(credential, "") };
        let held = match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => held,
            Attempted::Refused(Some(other)) => return Ok(Step::Busy(other)),
            Attempted::Refused(None) => return Err(Error::NotFound),
        };
        let now = self.clock.now();
        let left = tokens.expires_at.map(|at| u64::try_from((at - now).num_seconds()).unwrap_or_default());
        let planned = Schedule::plan(now, left, &client.lifetimes(None), true);
        let schedule = Schedule { at_exp: tokens.expires_at.map(|at| at.timestamp_millis()), ..planned };
        tracing::warn!(credential = %credential.id, attempt = %pointer, "what a dead worker received is adopted");
        let usable = is_usable_type(&tokens.token_type);
        let staged = Staged { pointer, scopes: tokens.scopes, schedule, usable };
        self.commit_staged(client, &held, &acquire, staged).await
    }

    /// Ends a credential that cannot be refreshed any more, whoever is asked: its token endpoint moved to another origin,
    /// where the refresh token must not follow, or its client is gone.
    pub(super) async fn park(&self, credential: &Credential, why: &'static str) -> Result<Step> {
        let acquire = self.acquisition(credential, "");
        match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => {
                self.release(&held, &acquire, Release::dead(why)).await?;
                Err(Error::ReauthorizationRequired { reason: why.to_owned(), url: None })
            }
            Attempted::Refused(Some(other)) => Ok(Step::Busy(other)),
            Attempted::Refused(None) => Err(Error::NotFound),
        }
    }

    /// Puts work off that cannot be done now, so that it does not stand before the work of others.
    pub(super) async fn postpone(&self, credential: &Credential, wait: Option<chrono::Duration>) -> Result<()> {
        // An intent that is left names what a dead worker may have received; it must not be overwritten.
        if credential.intent.is_some() {
            return Ok(());
        }
        let acquire = self.acquisition(credential, "");
        let acquired = self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await?;
        let Attempted::Applied(held) = acquired else { return Ok(()) };
        let release = Release { backoff: Some(wait.unwrap_or(CLIENT_BACKOFF)), ..Release::untouched(&held) };
        self.release(&held, &acquire, release).await
    }
}
