//! Moves the documents of credentials from one vault to the other, while the stack reads and refreshes.
//!
//! The stack writes to the new vault already, and reads from both ([`crate::vault::both`]). A version keeps its id, so
//! nothing in the store changes. Nothing is deleted before everything that the credential points at was opened in the new
//! vault and compared; a version that is there already is compared and not written again. So a migration that ends
//! anywhere is taken up by the next one.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Duration;

use super::walk_credentials::{Ended, Work};
use crate::clock::{Clock, Timestamp};
use crate::model::credential::{Credential, Intent};
use crate::refresh::{LEASE_SECONDS, persist};
use crate::secret::Secret;
use crate::store::{AcquireRefresh, Attempted, ReleaseRefresh, Store};
use crate::vault::{Place, Prefetched, Vault, VaultError};

/// Stands in the place of a token's fingerprint: this intent presents none.
const NO_TOKEN: &str = "migration";
/// What is left of the lease when the old vault is told to delete (seconds): more than such a call may take.
const DELETE_WITHIN: i64 = 10;

/// How long to wait between the switch of a deployed stack and its migration: invocations that began before it write to
/// the old vault, and are over by then.
pub const SETTLE_AFTER: std::time::Duration = std::time::Duration::from_secs(LEASE_SECONDS.unsigned_abs());

/// A migration from one vault to another.
pub struct MigrateVault {
    /// The metadata.
    pub store: Arc<dyn Store>,
    /// The vault that is left.
    pub from: Arc<dyn Vault>,
    /// The vault that the stack writes to.
    pub to: Arc<dyn Vault>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What became of the versions of a credential.
type Moving<T> = Result<T, Ended>;

#[async_trait]
impl Work for MigrateVault {
    async fn work(&self, credential: Credential) -> Ended {
        if credential.is_leased(self.clock.now()) {
            return Ended::Later("it is being refreshed");
        }
        if !credential.may_refresh() {
            // Nobody may take a lease, and nobody commits a refresh either.
            return self.move_all(&credential, None).await.unwrap_or_else(|ended| ended);
        }
        self.move_under_lease(&credential).await
    }
}

impl MigrateVault {
    async fn move_under_lease(&self, base: &Credential) -> Ended {
        // The intent of a worker that died stays what it is: only its lease is taken over.
        let theirs = base.intent.as_ref().filter(|intent| intent.rt_fp != NO_TOKEN);
        let acquire = self.acquisition(base);
        let held = match self.store.acquire_refresh(&base.project, &base.id, &acquire).await {
            Ok(Attempted::Applied(held)) => held,
            Ok(Attempted::Refused(Some(_))) => return Ended::Later("it is being refreshed"),
            Ok(Attempted::Refused(None)) => return Ended::Nothing,
            Err(_) => return Ended::Failed("the store did not answer"),
        };
        let moved = self.move_all(&held, Some(acquire.until)).await;
        let release = released(&held, &acquire, theirs);
        // A refusal means that it was suspended, ended or given a new grant meanwhile. If the store does not answer, the
        // lease ends by itself.
        if persist(|| self.store.release_refresh(&held.project, &held.id, &release)).await.is_err() {
            tracing::warn!(credential = %held.id, "a lease was not given back");
        }
        moved.unwrap_or_else(|ended| ended)
    }

    fn acquisition(&self, base: &Credential) -> AcquireRefresh {
        let now = self.clock.now();
        let intent = base.intent.as_ref();
        AcquireRefresh {
            generation: base.generation,
            owner: uuid::Uuid::new_v4().to_string(),
            attempt: intent.map_or_else(|| uuid::Uuid::new_v4().to_string(), |intent| intent.attempt.clone()),
            rt_fp: intent.map_or(NO_TOKEN, |intent| &intent.rt_fp).to_owned(),
            now,
            until: now + Duration::seconds(LEASE_SECONDS),
            take_over: intent.map(|intent| intent.attempt.clone()),
            tried: intent.map(|intent| intent.tried.clone()).unwrap_or_default(),
            due_before: base.due_at,
        }
    }

    /// Copies everything that the credential points at, and deletes it where it was.
    async fn move_all(&self, held: &Credential, lease_until: Option<Timestamp>) -> Moving<Ended> {
        let (mut moved, mut there) = (false, false);
        for (pointer, generation) in held.versions() {
            let copied = self.copy(&held.place(generation), pointer).await?;
            moved |= copied == Copied::Now;
            there |= pointer == held.cur && copied != Copied::Absent;
        }
        // What was received and could not be committed is in the journal alone.
        let journal = self.store.list_orphans(&held.project, &held.id, held.generation).await;
        for orphan in journal.map_err(|_| Ended::Failed("the store did not answer"))? {
            moved |= self.copy(&held.place(held.generation + 1), &orphan.pointer).await? == Copied::Now;
        }
        // The tokens of what has ended are deleted with the proof of its end.
        if !there && !held.is_ended() {
            return Err(Ended::Failed("neither vault has its tokens"));
        }
        let current = self.store.find_credential(&held.project, &held.id).await;
        let current = current.map_err(|_| Ended::Failed("the store did not answer"))?;
        let Some(current) = current else { return Ok(Ended::Nothing) };
        let pointed = |credential: &Credential| -> Vec<_> {
            credential.versions().map(|(pointer, generation)| (pointer.to_owned(), generation)).collect()
        };
        let same = current.fence == held.fence && pointed(&current) == pointed(held);
        let in_time = lease_until.is_none_or(|until| self.clock.now() + Duration::seconds(DELETE_WITHIN) < until);
        if !same || !in_time {
            return Err(Ended::Later("it is being changed"));
        }
        let place = held.place(held.generation);
        self.from.delete(&place).await.map_err(|_| Ended::Failed("it was copied, but not deleted where it was"))?;
        Ok(if moved { Ended::Done } else { Ended::Nothing })
    }

    /// Sees to it that the new vault has a version, if the old one does.
    async fn copy(&self, place: &Place, pointer: &str) -> Moving<Copied> {
        let open = async |vault: &dyn Vault, what| match vault.open(place, pointer, Prefetched::Nothing).await {
            Ok(document) => Ok(Some(document)),
            Err(VaultError::Missing) => Ok(None),
            Err(VaultError::Unavailable) => Err(Ended::Later("a vault did not answer")),
            Err(_) => Err(Ended::Failed(what)),
        };
        let old = open(&*self.from, "the old vault has it, and it does not open").await?;
        let new = open(&*self.to, "the new vault has it, and it does not open").await?;
        match (old, new) {
            (None, None) => Ok(Copied::Absent),
            (None, Some(_)) => Ok(Copied::Before),
            (Some(old), Some(new)) if same(&old, &new) => Ok(Copied::Before),
            (Some(_), Some(_)) => Err(Ended::Failed("the new vault has another document under its id")),
            (Some(old), None) => {
                let staged = self.to.stage(place, pointer, &old).await;
                staged.map_err(|error| match error {
                    VaultError::Unavailable => Ended::Later("the new vault did not take it"),
                    _ => Ended::Failed("the new vault refuses it"),
                })?;
                let new = open(&*self.to, "what the new vault took does not open").await?;
                if new.is_some_and(|new| same(&old, &new)) {
                    Ok(Copied::Now)
                } else {
                    Err(Ended::Failed("the new vault took it, and opens something else"))
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copied {
    Now,
    Before,
    Absent,
}

fn same(one: &Secret<String>, other: &Secret<String>) -> bool {
    one.matches(other.expose().as_bytes())
}

/// The end of the lease: everything is as it was.
fn released(held: &Credential, acquire: &AcquireRefresh, theirs: Option<&Intent>) -> ReleaseRefresh {
    // Of one that was killed here the due time is only the end of its lease.
    let before = acquire.due_before.filter(|_| acquire.take_over.is_none());
    let planned = held.backoff_until.or(before).or(held.refresh_after);
    ReleaseRefresh {
        fence: held.fence,
        attempt: acquire.attempt.clone(),
        keep_intent: theirs.map(|intent| intent.outcome),
        fails: held.fails,
        backoff_until: held.backoff_until,
        status: held.status,
        status_reason: held.status_reason.clone(),
        // What a dead worker left was due when its lease had ended.
        next_due: if theirs.is_some() && held.backoff_until.is_none() {
            Some(acquire.now.timestamp_millis())
        } else {
            planned
        },
        event: None,
    }
}
