//! What others left behind: tokens that were received and not committed, and work that cannot be done (REFRESH.md S-R).

use chrono::Duration;

use super::commit::Staged;
use super::release::Release;
use super::steps::newest_orphan;
use super::{Engine, Step, WRITE_WITHIN};
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, Schedule};
use crate::model::token_set::TokenSet;
use crate::protocol::token::is_usable_type;
use crate::store::{AcquireRefresh, Attempted};
use crate::vault::{Prefetched, VaultError};

/// A token set that was received for a generation and never committed.
pub(super) struct Received {
    tokens: TokenSet,
    pointer: String,
    /// The attempt that received it.
    attempt: String,
}

impl Engine {
    /// What was received for this generation and not committed: by a late worker that journalled it, or by a dead one that
    /// staged it. Presenting the old refresh token again instead could cost the grant.
    pub(super) async fn received(&self, credential: &Credential) -> Result<Option<Received>> {
        // Whoever was superseded left the intent of the other behind.
        let Some(intent) = &credential.intent else { return Ok(None) };
        match self.journalled(credential).await? {
            Some(journalled) => Ok(Some(journalled)),
            None => self.open_received(credential, &intent.attempt, &intent.attempt).await,
        }
    }

    /// The newest token set in the journal of this generation.
    pub(super) async fn journalled(&self, credential: &Credential) -> Result<Option<Received>> {
        let (project, id) = (&credential.project, &credential.id);
        let orphans = self.store.list_orphans(project, id, credential.generation).await?;
        match newest_orphan(credential, orphans) {
            Some(orphan) => self.open_received(credential, &orphan.pointer, &orphan.attempt).await,
            None => Ok(None),
        }
    }

    async fn open_received(&self, credential: &Credential, pointer: &str, attempt: &str) -> Result<Option<Received>> {
        let next = credential.generation + 1;
        match self.vault.open(&credential.place(next), pointer, Prefetched::Nothing).await {
            Ok(document) => Ok(TokenSet::from_document(&document)
                .filter(|tokens| tokens.generation == next)
                .map(|tokens| Received { tokens, pointer: pointer.to_owned(), attempt: attempt.to_owned() })),
            Err(VaultError::Missing) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// S-R 1: commits what a dead or late worker received, without calling the provider.
    pub(super) async fn adopt(&self, client: &Client, credential: &Credential, received: Received) -> Result<Step> {
        // The same attempt goes on: whoever takes over from us must find the same staged version.
        let acquire = AcquireRefresh { attempt: received.attempt.clone(), ..self.acquisition(credential, "") };
        let held = match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => held,
            Attempted::Refused(Some(other)) => return Ok(Step::Busy(other)),
            Attempted::Refused(None) => return Err(Error::NotFound),
        };
        self.adopt_held(client, &held, &acquire, received).await
    }

    /// As [`Engine::adopt`], under a lease that is held.
    pub(super) async fn adopt_held(
        &self,
        client: &Client,
        held: &Credential,
        acquire: &AcquireRefresh,
        received: Received,
    ) -> Result<Step> {
        let Received { tokens, pointer, attempt } = received;
        let now = self.clock.now();
        let left = tokens.expires_at.map(|at| u64::try_from((at - now).num_seconds()).unwrap_or_default());
        let planned = Schedule::plan(now, left, &client.lifetimes(None), true).spread(&held.id, held.generation + 1);
        let schedule = Schedule { at_exp: tokens.expires_at.map(|at| at.timestamp_millis()), ..planned };
        tracing::warn!(credential = %held.id, %attempt, "what another worker received is adopted");
        let usable = is_usable_type(&tokens.token_type);
        let staged = Staged { pointer, scopes: tokens.scopes, schedule, usable, persist_for: WRITE_WITHIN };
        self.commit_staged(client, held, acquire, staged).await
    }

    /// Ends a credential that cannot be refreshed any more, whoever is asked: its token endpoint moved to another origin,
    /// where the refresh token must not follow, or its client is gone.
    pub(super) async fn park(&self, credential: &Credential, why: &'static str) -> Result<Step> {
        let acquire = self.acquisition(credential, "");
        match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => {
                self.release_held(&held, &acquire, Release::dead(why)).await?;
                Err(Error::ReauthorizationRequired { reason: why.to_owned(), url: None })
            }
            Attempted::Refused(Some(other)) => Ok(Step::Busy(other)),
            Attempted::Refused(None) => Err(Error::NotFound),
        }
    }

    /// Puts work off that cannot be done now, so that it does not stand before the work of others. It comes back within
    /// `spread`, or a quarter of the time, and not all at once.
    pub(super) async fn postpone(
        &self,
        credential: &Credential,
        wait: Duration,
        spread: Option<Duration>,
    ) -> Result<()> {
        let at = (self.clock.now() + wait + super::spread(spread.unwrap_or(wait / 4))).timestamp_millis();
        // Refused: another call decides when it is due.
        self.store.reschedule(credential, Some(at)).await?;
        Ok(())
    }
}
