//! Ends a grant at the provider (RFC 7009), however often it must be asked.

use chrono::Duration;

use super::ask::may_tell;
use super::tell::{Telling, Told};
use super::{Engine, persist};
use crate::error::{Error, Result};
use crate::model::client::{Client, binds};
use crate::model::credential::{Credential, CredentialStatus, Evidence};
use crate::model::token_set::TokenSet;
use crate::store::{Attempted, StatusChange};
use crate::telemetry;
use crate::vault::{Prefetched, VaultError};

/// The first pause between two tries; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::seconds(10);
const MAX_PAUSE: Duration = Duration::hours(1);
/// How often it is tried, mostly hourly: a month. Then the operator is told, and the tokens are not kept any longer.
const MAX_TRIES: u32 = 730;
/// How long what is known about an ended credential is kept (days).
const KEEP_DAYS: i64 = 30;

/// What one try came to.
enum Ending {
    Proven(Evidence),
    /// The last status, and the seconds that the provider wants to be left alone.
    Later {
        status: Option<u16>,
        after: Option<u64>,
    },
}

impl Engine {
    /// Tells the provider that a grant is over, once, and notes the proof or the time of the next try.
    ///
    /// # Errors
    /// When the store or the vault does not answer; the work then comes again.
    pub(crate) async fn end(&self, client: Option<&Client>, credential: &Credential) -> Result<()> {
        let now = self.clock.now();
        let credential = match &credential.evidence {
            Some(_) => credential.clone(),
            None => {
                // Whoever refreshes it now may still bring tokens, which have to be ended as well.
                if let Some(lease) = credential.lease.as_ref().filter(|_| credential.is_leased(now)) {
                    return self.note(credential, credential.fails, Some(lease.until_ms + 1), None).await.map(drop);
                }
                match self.try_to_end(client, credential).await? {
                    Ending::Later { status, after } => {
                        telemetry::count("Revocation", "later", now);
                        tracing::warn!(credential = %credential.id, status, "the provider was not told yet that a grant is over");
                        let asked = after.and_then(|after| Duration::try_seconds(i64::try_from(after).ok()?));
                        let asked = asked.unwrap_or_default();
                        let pause = (FIRST_PAUSE * (1 << credential.fails.min(10))).max(asked).min(MAX_PAUSE);
                        let next = (now + pause).timestamp_millis();
                        return self
                            .note(credential, credential.fails.saturating_add(1), Some(next), None)
                            .await
                            .map(drop);
                    }
                    Ending::Proven(evidence) => {
                        telemetry::count("Revocation", "proven", now);
                        tracing::info!(credential = %credential.id, verdict = evidence.verdict, "a grant is over");
                        let due = Some(now.timestamp_millis());
                        match self.note(credential, credential.fails, due, Some(evidence)).await? {
                            Some(noted) => noted,
                            None => return Ok(()),
                        }
                    }
                }
            }
        };
        // The proof is noted; only then do the tokens go.
        let place = credential.place(credential.generation);
        self.vault.delete(&place).await?;
        let change = StatusChange {
            status: CredentialStatus::Revoked,
            status_reason: credential.evidence.as_ref().map(|evidence| evidence.verdict.clone()),
            suspended_from: None,
            fails: credential.fails,
            next_due: None,
            evidence: credential.evidence.clone(),
            frees_name: false,
            forget_after: Some(now + Duration::days(KEEP_DAYS)),
        };
        persist(|| self.store.change_status(&credential, &change)).await?;
        Ok(())
    }

    async fn note(
        &self,
        credential: &Credential,
        fails: u32,
        next_due: Option<i64>,
        evidence: Option<Evidence>,
    ) -> Result<Option<Credential>> {
        let change = StatusChange {
            status: CredentialStatus::Revoking,
            status_reason: None,
            suspended_from: None,
            fails,
            next_due,
            evidence,
            frees_name: false,
            forget_after: None,
        };
        match persist(|| self.store.change_status(credential, &change)).await? {
            Attempted::Applied(noted) => Ok(Some(*noted)),
            Attempted::Refused(_) => Ok(None),
        }
    }

    async fn try_to_end(&self, client: Option<&Client>, credential: &Credential) -> Result<Ending> {
        let at = self.clock.now();
        let proven = |verdict: &str, status| {
            Ok(Ending::Proven(Evidence { verdict: verdict.to_owned(), provider_status: status, at }))
        };
        let grants = self.grants_of(credential).await?;
        let Some(first) = grants.first() else { return proven("nothing_to_revoke", None) };
        let Some(client) = client else { return proven("client_deleted", None) };
        if client.settings.revocation_endpoint.is_none() {
            return proven("not_supported", None);
        }
        if credential.fails >= MAX_TRIES {
            return proven("gave_up", None);
        }
        // The client was changed so that it cannot be asked with; a superuser may mend that.
        let later = Ok(Ending::Later { status: None, after: None });
        let Ok(resolved) = client.resolve(&credential.variables, &first.inputs) else { return later };
        let Some(endpoint) = &resolved.revocation_endpoint else { return later };
        // A token goes only to the origins it is bound to (SECURITY.md 24), so this one will never be asked.
        if binds(&credential.bound_origin, endpoint).is_none() {
            return proven("endpoint_not_bound", None);
        }
        // Until a superuser enters the secret for this endpoint, too.
        if !may_tell(client, client.settings.revocation_endpoint.as_deref()) {
            return Ok(Ending::Later { status: None, after: None });
        }
        let secrets = match self.secrets_for(client, &resolved, &first.inputs).await {
            Ok(secrets) => secrets,
            Err(error @ Error::Dependency(_)) => return Err(error),
            // A superuser may mend the client.
            Err(_) => return Ok(Ending::Later { status: None, after: None }),
        };
        let mut telling =
            Telling { resolved: &resolved, endpoint, secrets: &secrets, exchanges: Vec::new(), last: None };
        let told = self.tell_all(&mut telling, &grants).await;
        let (status, after) = telling.last.map_or((None, None), |last| (last.status, last.retry_after));
        let error = match told {
            Told::All => None,
            Told::Refused(error) | Told::Later(Some(error)) => Some(Error::ClientRejected { error, status }),
            Told::Later(None) => {
                Some(Error::ProviderUnavailable { what: "it did not take a revocation", retry_after: None })
            }
        };
        // After the last refresh of it, which no other can follow.
        let number = credential.fence + 1 + u64::from(credential.fails);
        self.record(credential, number, "revoke", at, &telling.exchanges, error.as_ref()).await;
        match told {
            Told::All => proven("revoked", status),
            Told::Refused(_) => proven("refused", status),
            Told::Later(_) => Ok(Ending::Later { status, after }),
        }
    }

    /// The committed token set, and one that a refresh brought and could not commit any more.
    async fn grants_of(&self, credential: &Credential) -> Result<Vec<TokenSet>> {
        let (current, next) = (credential.generation, credential.generation + 1);
        let journal = self.store.list_orphans(&credential.project, &credential.id, current).await?;
        let journalled = journal.iter().map(|orphan| (orphan.pointer.as_str(), next));
        let staged = credential.intent.as_ref().map(|intent| (intent.attempt.as_str(), next));
        let mut grants = Vec::new();
        for (pointer, generation) in journalled.chain(staged).chain([(credential.cur.as_str(), current)]) {
            match self.vault.open(&credential.place(generation), pointer, Prefetched::Nothing).await {
                Ok(document) => grants.extend(TokenSet::from_document(&document)),
                Err(VaultError::Missing) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(grants)
    }
}
