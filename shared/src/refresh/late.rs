//! S5b: tokens that came too late to be committed.

use super::steps::{Late, after_refusal};
use super::{Engine, Step, persist, suspended};
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::token_set::TokenPair;
use crate::store::{AcquireRefresh, CommitRefresh, Orphan};
use crate::telemetry;
use crate::vault::Prefetched;

impl Engine {
    /// A commit that was refused loses nothing of what was received.
    pub(super) async fn not_committed(
        &self,
        client: &Client,
        held: &Credential,
        acquire: &AcquireRefresh,
        commit: &CommitRefresh,
        other: Option<Credential>,
    ) -> Result<Step> {
        let late = after_refusal(held, &acquire.attempt, other.as_ref());
        tracing::warn!(credential = %held.id, base = held.generation, attempt = %acquire.attempt, ?late, "a refresh was not committed");
        telemetry::count("Refresh", "not_committed", self.clock.now());
        let Some(other) = other else { return Err(Error::NotFound) };
        match late {
            Late::Committed => return Ok(Step::Refreshed(Box::new(other))),
            // Another grant took the place of this one: what its last refresh brought is nobody's.
            Late::OtherGrant => self.end_late(client, held, &commit.cur, Some(&other)).await,
            // It is over at the provider already, so nobody will look into the journal any more.
            Late::Ended if other.status == CredentialStatus::Revoked => {
                self.end_late(client, held, &commit.cur, None).await
            }
            Late::Ended | Late::PutAside | Late::Superseded => {
                let orphan = Orphan {
                    base_gen: held.generation,
                    fence: held.fence,
                    attempt: acquire.attempt.clone(),
                    pointer: commit.cur.clone(),
                    received_at: commit.now,
                };
                persist(|| self.store.keep_orphan(&held.project, &held.id, &orphan)).await?;
                if late == Late::Superseded && other.generation == held.generation {
                    // Whoever doubts the grant by now need not: it is adopted at once.
                    self.store.reschedule(&other, Some(commit.now.timestamp_millis())).await?;
                }
            }
            Late::Gone => return Err(Error::NotFound),
        }
        match late {
            Late::PutAside => Err(suspended(&other)),
            Late::Ended => Err(Error::Revoked),
            _ => Ok(Step::Busy(Box::new(other))),
        }
    }

    /// The grant was replaced or ended while its last refresh was under way: nobody else knows of the tokens that this
    /// brought. `over`: the credential with the grant that took its place, which must not end with them.
    async fn end_late(&self, client: &Client, held: &Credential, staged: &str, over: Option<&Credential>) {
        // Servers that keep one grant per person and client would end the new one with the old.
        if over.is_some() && !client.settings.revocation_request.revokes_replaced() {
            return;
        }
        let ended = async {
            let tokens = self.tokens_at(&held.place(held.generation + 1), staged, Prefetched::Nothing).await?;
            if let Some(over) = over {
                let current = self.tokens_at(&over.place(over.generation), &over.cur, Prefetched::Nothing).await?;
                // Where a server gives the same token again, the new grant is the old one.
                if TokenPair::of(&current).shares_a_token_with(&tokens) {
                    return Ok(());
                }
            }
            self.keep_apart(held, tokens).await.map(drop)
        };
        if let Err::<(), Error>(error) = ended.await {
            tracing::error!(credential = %held.id, %error, "what a late refresh brought was not ended");
        }
    }
}
