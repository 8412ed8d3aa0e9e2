//! Replaces the grant of a credential in place: the same id, and unless it was allowed to change the same account (N3).

use super::Broker;
use super::new_grant::NewGrant;
use crate::error::{Error, Result};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::flow::Flow;
use crate::model::token_set::TokenSet;
use crate::protocol::token::TokenAnswer;
use crate::refresh::persist;
use crate::store::Replacement;
use crate::vault::{Place, Prefetched};

/// How often a replacement is tried while refreshes of the old grant are committed in between.
const ROUNDS: u32 = 5;

impl Broker {
    /// The credential whose grant a flow replaces, with the token set that it has.
    ///
    /// # Errors
    /// [`Error::Revoked`] when it was disconnected meanwhile.
    pub(crate) async fn target_of(&self, flow: &Flow) -> Result<Option<(Credential, TokenSet)>> {
        let Some(id) = &flow.target else { return Ok(None) };
        let base = self.store().find_credential(&flow.project, id).await?.ok_or(Error::Revoked)?;
        if base.is_ended() {
            return Err(Error::Revoked);
        }
        // It may have changed hands since the session was opened.
        if base.owner != flow.owner {
            return Err(super::find_credential::not_the_owner());
        }
        let tokens = self.open_tokens(&base).await?;
        Ok(Some((base, tokens)))
    }

    /// The committed token set of a credential.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub(crate) async fn open_tokens(&self, credential: &Credential) -> Result<TokenSet> {
        let place = Place::new(credential.project.as_str(), credential.id.as_str());
        let document = self.vault().open(&place, &credential.cur, Prefetched::Nothing).await?;
        TokenSet::from_document(&document).ok_or(Error::Internal("a token set cannot be read"))
    }

    /// Puts the grant of a flow in the place of the credential's. The old one is ended at the provider then; when the
    /// new one cannot be taken, it is the new one that is ended.
    ///
    /// # Errors
    /// [`Error::AccountMismatch`], and the credential is left alone.
    pub(crate) async fn replace_in_place(
        &self,
        flow: &Flow,
        new: &NewGrant<'_>,
        base: &Credential,
        old: &TokenSet,
        answer: TokenAnswer,
    ) -> Result<Credential> {
        let now = self.now();
        let (tokens, schedule) = new.tokens(answer, base.generation + 1, now);
        if !flow.allow_account_change && base.account.is_some() && base.account != new.account {
            tracing::warn!(credential = %base.id, flow = %flow.id, security = true, "another account was brought");
            self.end_grant_quietly(new, tokens).await;
            return Err(Error::AccountMismatch);
        }
        let same = tokens.refresh_token.as_ref().zip(old.refresh_token.as_ref());
        let same = same.is_some_and(|(new, old)| new.matches(old.expose().as_bytes()));
        let stored = self.replace(Some(flow), new, base, (tokens, schedule)).await?;
        // Servers that keep one grant per person and client would end the new one with the old.
        if !same && new.client.settings.revocation_request.revokes_replaced() {
            let outdated = TokenSet {
                access_token: old.access_token.clone(),
                refresh_token: old.refresh_token.clone(),
                inputs: old.inputs.clone(),
                ..super::new_grant::only_tokens("".into(), None, base.bound_origin.clone())
            };
            let of_old = NewGrant {
                requested_scopes: &base.requested_scopes,
                inputs: super::inputs::Inputs { shown: base.variables.clone(), secret: old.inputs.clone() },
                bound_origin: base.bound_origin.clone(),
                account: base.account.clone(),
                extra: Default::default(),
                ..*new
            };
            self.end_grant_quietly(&of_old, outdated).await;
        }
        tracing::info!(credential = %stored.id, generation = stored.generation, "the grant was replaced");
        Ok(stored)
    }

    /// Stages the new token set and commits it over the credential as it is then.
    ///
    /// # Errors
    /// [`Error::Revoked`], [`Error::Conflict`] when the credential keeps changing.
    pub(crate) async fn replace(
        &self,
        flow: Option<&Flow>,
        new: &NewGrant<'_>,
        base: &Credential,
        tokens: (TokenSet, crate::model::credential::Schedule),
    ) -> Result<Credential> {
        let now = self.now();
        let mut base = base.clone();
        let mut suspended = false;
        let mut staged = self.stage_grant(&base.project, &base.id, tokens).await?;
        for _ in 0..ROUNDS {
            let floor = self.vault().write_floor();
            let written = floor.map_or(0, |floor| floor.spend(base.written_until, now.timestamp_millis()));
            let mut replaced = new.replacing(&base, &staged, written, now);
            if suspended {
                replaced.suspended_from = Some(replaced.status);
                replaced.status = CredentialStatus::Suspended;
                replaced.status_reason.clone_from(&base.status_reason);
                replaced.refresh_after = None;
            }
            match persist(|| self.store().replace_grant(flow, &base, &replaced, now)).await? {
                Replacement::Done => {
                    return Ok(Credential { fence: base.fence + 1, ..replaced });
                }
                Replacement::Lost => return Err(Error::Internal("the flow was ended while its code was exchanged")),
                Replacement::Changed => {
                    base = self.store().find_credential(&base.project, &base.id).await?.ok_or(Error::Revoked)?;
                    if base.is_ended() || base.owner != new.owner {
                        self.end_grant_quietly(new, staged.tokens).await;
                        return Err(Error::Revoked);
                    }
                    // Somebody suspended it since the new grant was asked for: it stays so, with the new grant.
                    suspended = base.status == CredentialStatus::Suspended;
                    staged = self.stage_again(&base, staged).await?;
                }
            }
        }
        Err(Error::Conflict {
            code: "changed_meanwhile",
            detail: "The credential is being changed by other calls.".to_owned(),
            advice: &["Try again."],
        })
    }
}
