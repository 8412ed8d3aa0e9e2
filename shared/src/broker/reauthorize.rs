//! Replaces the grant of a credential in place: the same id, and unless it was allowed to change the same account (N3).

use serde_json::Map;

use super::Broker;
use super::answered::names_another;
use super::inputs::{Inputs, implicit};
use super::new_grant::NewGrant;
use super::offer_clients::is_kept;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, Schedule};
use crate::model::flow::Flow;
use crate::model::token_set::{TokenPair, TokenSet};
use crate::model::variable::Implicit;
use crate::protocol::token::TokenAnswer;
use crate::refresh::ask::bound_elsewhere;
use crate::refresh::persist;
use crate::refresh::suspended::ACCOUNT_UNVERIFIED;
use crate::store::Replacement;
use crate::vault::Prefetched;

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
        if base.owner != flow.owner || base.client.as_ref() != Some(&flow.client) {
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
        let place = credential.place(credential.generation);
        self.engine().tokens_at(&place, &credential.cur, Prefetched::Nothing).await
    }

    /// Fills in the secrets that nobody gave anew: those that the credential has. They go nowhere but to the origins that
    /// they were entered for.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the client's requests go elsewhere now, or need a secret that is not there.
    pub(crate) fn keep_secrets(
        &self,
        client: &Client,
        flow: &Flow,
        inputs: &mut Inputs,
        (base, old): &(Credential, TokenSet),
    ) -> Result<()> {
        let of_grant: Vec<&str> = implicit(client, flow.grant).iter().map(|asked| asked.key).collect();
        let variables = client.settings.variables.iter().map(|variable| variable.key.as_str());
        let keys = of_grant.iter().copied().chain(variables).filter(|key| is_kept(client, key));
        let mut keeps = false;
        for key in keys.filter(|key| old.inputs.contains_key(*key)) {
            if !inputs.secret.contains_key(key) {
                inputs.secret.extend(old.inputs.get(key).map(|value| (key.to_owned(), value.clone())));
                keeps = true;
            }
        }
        if of_grant.contains(&Implicit::CLIENT_SECRET.key) && !inputs.secret.contains_key(Implicit::CLIENT_SECRET.key) {
            return Err(Error::Conflict {
                code: "secret_missing",
                detail: "The client asks each person for a secret, and this credential has none.".to_owned(),
                advice: &["Open a new connect session and enter the client secret on its page."],
            });
        }
        let resolved = self.resolve_inputs(client, inputs, "")?;
        if keeps && !resolved.origins_are_within(&base.bound_origin) { Err(bound_elsewhere()) } else { Ok(()) }
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
        answer: TokenAnswer,
    ) -> Result<Credential> {
        let mut new = NewGrant { inputs: new.inputs.clone(), ..new.clone() };
        if let Some(known) = base.account.as_ref().filter(|_| !flow.allow_account_change) {
            match new.account.as_ref().map(|brought| brought.is_same(known)) {
                Some(Some(true)) => {}
                Some(Some(false)) => {
                    tracing::warn!(credential = %base.id, flow = %flow.id, security = true, "another account was brought");
                    return Err(Error::AccountMismatch);
                }
                // The consent is not thrown away because nobody could say whose it is: its owner decides.
                Some(None) | None => new.aside = Some(ACCOUNT_UNVERIFIED),
            }
        }
        // The authorization response named another company of the same person, say.
        if !flow.allow_account_change && names_another(new.client, base, &new.inputs.shown) {
            new.aside = Some(ACCOUNT_UNVERIFIED);
        }
        let tokens = new.tokens(answer, base.generation + 1, self.now());
        let current = TokenPair::of(&tokens.0);
        let (stored, replaced) = self.replace_over(Some(flow), &new, base, tokens).await?;
        // As long as nobody knows whose the new grant is, the old one is not ended for it.
        if new.aside.is_none() {
            self.end_replaced(&new, &replaced, &current, false).await;
        }
        tracing::info!(credential = %stored.id, generation = stored.generation, "the grant was replaced");
        Ok(stored)
    }

    /// Ends what was replaced: the token set that the credential had at that moment, and one that a dead worker received.
    /// `only_lasting`: a token set without a refresh token is left to its end.
    pub(crate) async fn end_replaced(
        &self,
        new: &NewGrant<'_>,
        replaced: &Credential,
        current: &TokenPair,
        only_lasting: bool,
    ) {
        // Servers that keep one grant per person and client would end the new one with the old.
        if !new.client.settings.revocation_request.revokes_replaced() {
            return;
        }
        let orphan = replaced.intent.as_ref().map(|intent| (intent.attempt.as_str(), replaced.generation + 1));
        for (pointer, generation) in [Some((replaced.cur.as_str(), replaced.generation)), orphan].into_iter().flatten()
        {
            let place = replaced.place(generation);
            let Ok(old) = self.engine().tokens_at(&place, pointer, Prefetched::Nothing).await else { continue };
            // Where a server gives the same token again, the new grant is the old one.
            if current.shares_a_token_with(&old) || (only_lasting && old.refresh_token.is_none()) {
                continue;
            }
            let of_old = NewGrant {
                grant: replaced.grant,
                requested_scopes: &replaced.requested_scopes,
                inputs: Inputs { shown: replaced.variables.clone(), secret: old.inputs.clone() },
                bound_origin: replaced.bound_origin.clone(),
                account: replaced.account.clone(),
                extra: Map::new(),
                aside: None,
                ..new.clone()
            };
            self.end_grant_quietly(&of_old, old).await;
        }
    }

    /// Stages a new token set and commits it over the credential as it is then. Also answers with the credential as it was
    /// right before.
    ///
    /// # Errors
    /// [`Error::Revoked`], [`Error::Conflict`] when the credential keeps changing.
    pub(crate) async fn replace_over(
        &self,
        flow: Option<&Flow>,
        new: &NewGrant<'_>,
        base: &Credential,
        tokens: (TokenSet, Schedule),
    ) -> Result<(Credential, Credential)> {
        let now = self.now();
        let mut base = base.clone();
        let mut staged = self.stage_grant(&base.project, &base.id, tokens).await?;
        let mut written_until = base.written_until;
        for _ in 0..ROUNDS {
            if let Some(floor) = self.vault().write_floor() {
                written_until = floor.spend(written_until.max(base.written_until), now.timestamp_millis());
            }
            let replaced = new.replacing(&base, &staged, written_until, now);
            match persist(|| self.store().replace_grant(flow, &base, &replaced, now)).await? {
                Replacement::Done => return Ok((Credential { fence: base.fence + 1, ..replaced }, base)),
                Replacement::Lost => return Err(flow_lost()),
                Replacement::Changed => {
                    base = self.store().find_credential(&base.project, &base.id).await?.ok_or(Error::Revoked)?;
                    if base.is_ended() || base.owner != new.owner {
                        return Err(Error::Revoked);
                    }
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

/// Somebody else ended the flow while its code was exchanged.
pub(crate) fn flow_lost() -> Error {
    Error::Conflict {
        code: "flow_failed",
        detail: "The flow was ended by another call while its code was exchanged.".to_owned(),
        advice: &["Open a new connect session, or send the person to the same connect link again."],
    }
}
