//! Exchanges a parked code for tokens, once, and makes the credential (RFC 6749 §4.1.3).

use chrono::Duration;
use jsonwebtoken::jwk::JwkSet;
use tokio::time::Instant;

use super::Broker;
use super::answered::{found_of, take_callback};
use super::complete_flow::problem_of;
use super::inputs::Inputs;
use super::new_grant::{NewGrant, only_tokens};
use super::reauthorize::flow_lost;
use super::receive_callback::Parked;
use crate::error::{Error, Result};
use crate::model::client::{Client, GrantType, Resolved};
use crate::model::credential::{Account, Credential};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::CredentialId;
use crate::outbound::{Limits, OutboundRequest};
use crate::protocol::id_token::{self, Expected};
use crate::protocol::token::TokenAnswer;
use crate::refresh::ask::{Grant, KnownSecret, Presented};
use crate::refresh::diagnose::{Facts, advised, step_of};
use crate::refresh::{LEASE_SECONDS, persist};
use crate::store::Completion;

/// How long after its beginning a call may still begin an exchange: 10 s for the answer and 5 s for our writes remain.
const CLAIM_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
/// How long after its beginning a call may still ask whose the account is: 4 s for that and 5 s for our writes remain.
const ASK_ACCOUNT_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// How long after its beginning a call may still ask the API whose the account is.
const SETTLE_WITHIN: std::time::Duration = std::time::Duration::from_secs(12);
/// How many numbers are tried when the wanted name was taken between consent and exchange; then the id serves.
const NAMES: u32 = 20;

/// A flow whose code this call alone may exchange. Only [`Broker::exchange_code`] makes one, after every check.
struct Claimed<'a> {
    flow: &'a Flow,
    client: &'a Client,
    parked: Parked,
    inputs: Inputs,
    resolved: Resolved,
    secrets: Vec<KnownSecret>,
    /// The issuer's keys, when an ID token is to be verified with them.
    keys: Option<JwkSet>,
    /// The credential whose grant is replaced.
    target: Option<Credential>,
}

impl Broker {
    /// Takes the right to exchange, exchanges, and stores. Consent that was given is not lost to a taken name.
    ///
    /// # Errors
    /// [`Error::ProviderUnavailable`] and the code stays parked when the request surely was not sent; every other
    /// failure ends the flow, since a code works once.
    pub(crate) async fn exchange_code(&self, flow: &Flow, begun: Instant) -> Result<Credential> {
        let client = self.store().find_client(&flow.client).await?;
        let changed = || Error::Conflict {
            code: "client_changed",
            detail: "The client was changed or deleted while the sign-in was under way.".to_owned(),
            advice: &["Open a new connect session."],
        };
        let client = client.filter(|client| client.version == flow.client_version).ok_or_else(changed)?;
        // Everything that can fail comes before the code is sent.
        let parked = self.open_parked(flow).await?;
        let mut inputs = Inputs {
            shown: flow.variables.clone(),
            secret: self.open_inputs(flow.inputs.as_ref(), flow.id.as_str()).await?,
        };
        take_callback(&client, &parked.callback, &mut inputs)?;
        let target = self.target_of(flow).await?;
        if let Some(target) = &target {
            self.keep_secrets(&client, flow, &mut inputs, target)?;
        }
        let resolved = self.resolve_inputs(&client, &inputs, "")?;
        let secrets = self.engine().secrets_for(&client, &resolved, &inputs.secret).await?;
        let keys = match &client.jwks_uri {
            Some(uri) if asks_openid(flow) => Some(self.fetch_keys(uri).await?),
            _ => None,
        };
        // An exchange that the function's time limit would cut off is not begun: the code works once.
        if begun.elapsed() > CLAIM_WITHIN {
            return Err(in_progress());
        }
        let now = self.now();
        let until = now + Duration::seconds(LEASE_SECONDS);
        // From here on the flow is named with this exchange: no repetition of a write can touch another's.
        let flow = &Flow { exchange_attempt: Some(uuid::Uuid::new_v4().to_string()), ..flow.clone() };
        if !self.store().claim_exchange(flow, until, now).await? {
            return Err(in_progress());
        }
        let claimed = Claimed {
            flow,
            client: &client,
            parked,
            inputs,
            resolved,
            secrets,
            keys,
            target: target.map(|(base, _)| base),
        };
        match self.redeem(&claimed, begun).await {
            Ok(credential) => Ok(credential),
            // Why it failed is what the caller must know, also where the flow cannot be told.
            Err(Failure::NotSent(error)) => {
                persist(|| self.store().release_exchange(flow)).await.unwrap_or_default();
                Err(error)
            }
            Err(Failure::Final(error)) => {
                let (problem, now) = (problem_of(&error), self.now());
                let failed = persist(|| self.store().fail_flow(flow, FlowStatus::Exchanging, problem, now)).await;
                failed.unwrap_or_default();
                Err(error)
            }
        }
    }

    async fn redeem(&self, claimed: &Claimed<'_>, begun: Instant) -> Result<Credential, Failure> {
        let Claimed { flow, client, parked, inputs, resolved, secrets, .. } = claimed;
        let secret = |key: &str| inputs.secret.get(key).ok_or(Error::Internal("a flow lacks what its grant needs"));
        let grant = match flow.grant {
            GrantType::AuthorizationCode | GrantType::RefreshToken => Grant::Code {
                code: parked.code.as_ref().ok_or(Error::Internal("a parked flow has no code"))?,
                verifier: flow.pkce.then_some(&parked.verifier),
                redirect_uri: &flow.redirect_uri,
                scopes: &flow.requested_scopes,
                state: &parked.state,
            },
            GrantType::ClientCredentials => Grant::ClientCredentials { scopes: &flow.requested_scopes },
            GrantType::Password => Grant::Password {
                username: secret("username")?,
                password: secret("password")?,
                scopes: &flow.requested_scopes,
            },
        };
        let step = step_of(flow.grant);
        let began = self.now();
        // The endpoints that were pinned when the flow started: the client's version is still the same.
        let asked = self.engine().ask(client, resolved, secrets, &resolved.origins(), &grant).await?;
        let advise = |error: Error| {
            let facts = Facts::of_code(client, resolved, &flow.redirect_uri, flow.pkce);
            advised(error, step, &asked.exchanges, &flow.requested_scopes, &facts)
        };
        let answer = asked.answer.tokens(&asked.exchanges).map_err(|(error, presented)| {
            // A code is spent by its use; the other grants can be presented again whenever they were not refused.
            let code = flow.grant == GrantType::AuthorizationCode;
            let again = presented == Presented::Unused || (presented == Presented::Unknown && !code);
            let error = advise(error);
            if again { Failure::NotSent(error) } else { Failure::Final(error) }
        })?;
        let says_its_end = answer.expires_in.is_some();
        let (found, bound_origin) = self.bind_answer(client, inputs, resolved, &answer.extra);
        // Tokens are not used or stored before the ID token that came with them was verified.
        let account = match self.verify_id_token(claimed, &resolved.client_id, &answer).await {
            Ok(Some(account)) => Ok(Some(account)),
            // The tokens are not durable yet: there must be time for that.
            Ok(None) if begun.elapsed() < ASK_ACCOUNT_WITHIN => {
                let mut known = found.clone();
                // What was chosen before is asked for again: another account does not answer by it.
                if let Some(target) = &claimed.target {
                    for (key, value) in found_of(client, &target.variables) {
                        known.shown.entry(key).or_insert(value);
                    }
                }
                Ok(self.ask_account(client, resolved, &known, &answer.access_token, &answer.extra).await)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let new = NewGrant {
            project: &flow.project,
            owner: &flow.owner,
            client,
            grant: flow.grant,
            requested_scopes: &flow.requested_scopes,
            inputs: found,
            bound_origin,
            account: account.as_ref().ok().cloned().flatten(),
            extra: parked.callback.clone(),
            aside: None,
        };
        let received = only_tokens(answer.access_token.clone(), answer.refresh_token.clone(), resolved.origins());
        let stored = match (account, &claimed.target) {
            (Err(error), _) => Err(error),
            (Ok(_), None) => self.store_credential(flow, &new, answer).await,
            (Ok(_), Some(base)) => self.replace_in_place(flow, &new, base, answer).await,
        };
        let stored = match stored {
            Ok(stored) => stored,
            // When the store does not answer, the tokens may be a credential's by now.
            Err(error @ Error::Dependency(_)) => return Err(Failure::Final(error)),
            Err(error) => {
                // Where ending one grant ends all of the account's, the credential's own would go with it.
                if claimed.target.is_none() || client.settings.revocation_request.revokes_replaced() {
                    self.end_grant_quietly(&new, received).await;
                }
                return Err(Failure::Final(error));
            }
        };
        self.engine().note_success(client, asked.secret.as_ref()).await;
        self.engine().record(&stored, stored.fence, "exchange", began, &asked.exchanges, None).await;
        let stored = if says_its_end { stored } else { self.learn_expiry(client, resolved, stored).await };
        // The tokens are durable: what is not found now is looked up at the next read.
        let settled = self.settle_quietly(client, stored, begun).await;
        Ok(match begun.elapsed() < SETTLE_WITHIN {
            true => self.note_account(client, settled, false).await,
            false => settled,
        })
    }

    /// When `openid` was asked, an ID token must be there and must be ours (OpenID Connect Core §3.1.3.7).
    async fn verify_id_token(
        &self,
        claimed: &Claimed<'_>,
        client_id: &str,
        answer: &TokenAnswer,
    ) -> Result<Option<Account>> {
        let Claimed { flow, parked, keys, .. } = claimed;
        if !asks_openid(flow) {
            return Ok(None);
        }
        let missing = "openid was asked, and the answer has no ID token";
        let token = answer.id_token.as_ref().ok_or(Error::ProviderMisbehaved(missing))?;
        let expected = Expected { issuer: flow.issuer.as_deref(), client_id, nonce: &parked.nonce, now: self.now() };
        match id_token::verify(token, keys.as_ref(), &expected) {
            Ok(subject) => {
                Ok(Some(Account { issuer: subject.issuer, subject: subject.subject, label: None, named_by_api: false }))
            }
            Err(refusal) => {
                tracing::warn!(flow = %flow.id, %refusal, security = true, "an ID token was refused");
                Err(Error::ProviderMisbehaved("its ID token was refused"))
            }
        }
    }

    async fn fetch_keys(&self, uri: &str) -> Result<JwkSet> {
        let unreadable = || Error::ProviderMisbehaved("its signing keys could not be read");
        let answer = self.outbound().send(OutboundRequest::get(uri, Limits::DISCOVERY)).await;
        let answer = answer.map_err(|_| unreadable())?;
        if !answer.status.is_success() {
            return Err(unreadable());
        }
        serde_json::from_slice(&answer.body).map_err(|_| unreadable())
    }

    /// Tokens first, then the credential that points at them: a crash in between leaves a secret that nothing names.
    async fn store_credential(&self, flow: &Flow, new: &NewGrant<'_>, answer: TokenAnswer) -> Result<Credential> {
        let (id, now) = (CredentialId::generate(), self.now());
        let staged = self.stage_grant(&flow.project, &id, new.tokens(answer, 1, now)).await?;
        let mut credential = new.credential(id, flow.name.clone(), &staged, now);
        for number in 2.. {
            match persist(|| self.store().complete_flow(flow, &credential, now)).await? {
                Completion::Done => {
                    tracing::info!(flow = %flow.id, credential = %credential.id, "credential connected");
                    return Ok(credential);
                }
                Completion::NameTaken if number < NAMES => credential.name = format!("{} ({number})", flow.name),
                Completion::NameTaken => credential.name = format!("{} ({})", flow.name, credential.id),
                Completion::Lost => return Err(flow_lost()),
            }
        }
        Err(Error::Internal("there are no more names"))
    }
}

/// Another call is at it, or this one is too late for it; the same call may be repeated.
pub(crate) fn in_progress() -> Error {
    Error::Conflict {
        code: "completion_in_progress",
        detail: "Another call completes this flow now.".to_owned(),
        advice: &["Repeat the call in a second: it then gets the same answer."],
    }
}

/// Whether an ID token must come: with a code it does (OpenID Connect Core §3.1.3.3); no other grant carries a nonce.
fn asks_openid(flow: &Flow) -> bool {
    flow.grant == GrantType::AuthorizationCode && flow.requested_scopes.iter().any(|scope| scope == "openid")
}

/// How an exchange failed.
enum Failure {
    /// What was to be presented was surely not processed, and can be sent again.
    NotSent(Error),
    /// The flow is over.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}
