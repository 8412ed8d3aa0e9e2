//! A grant that no credential will use: it is kept apart until the provider was told that it is over.

use super::{Engine, persist};
use crate::error::Result;
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::ids::CredentialId;
use crate::model::token_set::TokenSet;

impl Engine {
    /// Keeps a grant apart, `like` the credential that it was meant for, to be ended at the provider. Durable once this
    /// returns: it is tried until the provider has been told.
    ///
    /// # Errors
    /// When vault or store do not take it.
    pub(crate) async fn keep_apart(&self, like: &Credential, mut tokens: TokenSet) -> Result<Credential> {
        let (id, now) = (CredentialId::generate(), self.clock.now());
        let attempt = uuid::Uuid::new_v4().to_string();
        tokens.generation = 1;
        let place = Credential { id: id.clone(), ..like.clone() }.place(1);
        let document = tokens.to_document();
        let pointer = persist(|| self.vault.stage(&place, &attempt, &document)).await?;
        let apart = Credential {
            name: id.to_string(),
            id,
            status: CredentialStatus::Revoking,
            status_reason: None,
            suspended_from: None,
            detached: true,
            evidence: None,
            projects: Vec::new(),
            external_id: None,
            generation: 1,
            attempt,
            cur: pointer,
            prev: None,
            prev_until: None,
            fence: 0,
            lease: None,
            intent: None,
            fails: 0,
            backoff_until: None,
            refresh_after: Some(now.timestamp_millis()),
            created_at: now,
            ..like.clone()
        };
        persist(|| self.store.insert_credential(&apart)).await?;
        Ok(apart)
    }
}
