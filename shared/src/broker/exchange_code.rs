//! Exchanges a parked code for tokens, once, and makes the credential (RFC 6749 §4.1.3).

use chrono::Duration;
use jsonwebtoken::jwk::JwkSet;
use tokio::time::Instant;

use super::Broker;
use super::complete_flow::problem_of;
use super::receive_callback::Parked;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Account, AccountKind, Credential, CredentialStatus, Schedule};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::CredentialId;
use crate::model::token_set::TokenSet;
use crate::outbound::{Limits, OAuthHttp, OutboundRequest};
use crate::protocol::id_token::{self, Expected};
use crate::protocol::token::{TokenAnswer, TokenEndpoint, TokenFailure};
use crate::refresh::{FUNCTION_TIMEOUT_SECONDS, persist};
use crate::store::Completion;
use crate::vault::Place;

/// How long after its beginning a call may still begin an exchange: 10 s for the answer and 5 s for our writes remain.
const CLAIM_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);
/// How many numbers are tried when the wanted name was taken between consent and exchange; then the id serves.
const NAMES: u32 = 20;

/// A flow whose code this call alone may exchange. Only [`Broker::exchange_code`] makes one, after every check.
struct Claimed<'a> {
    flow: &'a Flow,
    client: &'a Client,
    parked: Parked,
    /// The issuer's keys, when an ID token is to be verified with them.
    keys: Option<JwkSet>,
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
        let secrets = self.engine().client_secrets(&client).await?;
        let keys = match &client.jwks_uri {
            Some(uri) if asks_openid(flow) => Some(self.fetch_keys(uri).await?),
            _ => None,
        };
        // An exchange that the function's time limit would cut off is not begun: the code works once.
        if begun.elapsed() > CLAIM_WITHIN {
            return Err(in_progress());
        }
        let now = self.now();
        let until = now + Duration::seconds(FUNCTION_TIMEOUT_SECONDS + 5);
        // From here on the flow is named with this exchange: no repetition of a write can touch another's.
        let flow = &Flow { exchange_attempt: Some(uuid::Uuid::new_v4().to_string()), ..flow.clone() };
        if !self.store().claim_exchange(flow, until, now).await? {
            return Err(in_progress());
        }
        let claimed = Claimed { flow, client: &client, parked, keys };
        match self.redeem(&claimed, secrets.first()).await {
            Ok(credential) => Ok(credential),
            Err(Failure::NotSent) => {
                self.store().release_exchange(flow).await?;
                Err(Error::ProviderUnavailable { what: "its token endpoint could not be reached", retry_after: None })
            }
            Err(Failure::Later(retry_after)) => {
                self.store().release_exchange(flow).await?;
                Err(Error::ProviderUnavailable { what: "it asked to come again later", retry_after })
            }
            Err(Failure::Final(error)) => {
                self.store().fail_flow(flow, FlowStatus::Exchanging, problem_of(&error), self.now()).await?;
                Err(error)
            }
        }
    }

    async fn redeem(
        &self,
        claimed: &Claimed<'_>,
        client_secret: Option<&crate::secret::Secret<String>>,
    ) -> Result<Credential, Failure> {
        let Claimed { flow, client, parked, .. } = claimed;
        let settings = &client.settings;
        let client_id = settings.client_id.as_deref().ok_or(Error::Internal("an active client lacks its client_id"))?;
        let origin = settings.token_origin().ok_or(Error::Internal("an active client lacks its endpoint"))?;
        let extra = settings.token_params();
        let endpoint = TokenEndpoint {
            // The endpoint that was pinned when the flow started.
            url: &flow.token_endpoint,
            client_id,
            client_secret,
            auth_method: settings.auth_method(),
            extra: &extra,
            scope_separator: settings.scopes.separator.as_deref(),
        };
        let http = OAuthHttp::new(self.outbound(), &origin);
        let verifier = flow.pkce.then_some(&parked.verifier);
        let answer = endpoint.exchange_code(&http, &parked.code, verifier, &flow.redirect_uri).await;
        let (status, retry_after) = http.outcome().map_or((0, None), |outcome| (outcome.status, outcome.retry_after));
        // Documented as not processed (RFC 6585 §4, RFC 9110 §15.6.4): the code is still good.
        if answer.is_err() && (status == 429 || (status == 503 && retry_after.is_some())) {
            return Err(Failure::Later(retry_after));
        }
        let answer = answer.map_err(|failure| match failure {
            TokenFailure::Refused("invalid_grant") => Failure::Final(Error::GrantRejected),
            TokenFailure::Refused("temporarily_unavailable") => Failure::Later(retry_after),
            TokenFailure::Refused("server_error") => {
                Failure::Final(Error::ProviderUnavailable { what: "it failed over the code", retry_after })
            }
            TokenFailure::Refused(error) => Failure::Final(Error::ClientRejected { error, status: Some(status) }),
            TokenFailure::Transport(error) if !error.maybe_processed() && status == 0 => Failure::NotSent,
            TokenFailure::Transport(_) if status >= 500 || status == 0 => Failure::Final(Error::ProviderUnavailable {
                what: "its answer to the code was lost",
                retry_after: None,
            }),
            TokenFailure::Transport(_) | TokenFailure::NotOAuth => {
                Failure::Final(Error::ProviderMisbehaved("the token endpoint answered something that is not OAuth"))
            }
        })?;
        // RFC 6749 §7.1: a token of a type that cannot be used must not be used. Other odd names mean bearer.
        if ["dpop", "mac", "pop"].contains(&answer.token_type.to_ascii_lowercase().as_str()) {
            return Err(Failure::Final(Error::ProviderMisbehaved("it issued a token that is not a bearer token")));
        }
        // Tokens are not used or stored before the ID token that came with them was verified.
        let account = self.verify_id_token(claimed, client_id, &answer).await?;
        Ok(self.store_tokens(flow, client, origin, answer, account).await?)
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
            Ok(subject) => Ok(Some(Account { issuer: subject.issuer, subject: subject.subject })),
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
    async fn store_tokens(
        &self,
        flow: &Flow,
        client: &Client,
        bound_origin: String,
        answer: TokenAnswer,
        account: Option<Account>,
    ) -> Result<Credential> {
        let now = self.now();
        let refreshable = answer.refresh_token.is_some();
        let schedule = Schedule::plan(now, answer.expires_in, client.settings.refresh.default_lifetime, refreshable);
        // RFC 6749 §5.1: without scope in the answer, what was asked is granted.
        let granted = answer.scopes.clone().unwrap_or_else(|| flow.requested_scopes.clone());
        let tokens = TokenSet {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            token_type: answer.token_type,
            expires_at: schedule.at_exp.and_then(chrono::DateTime::from_timestamp_millis),
            scopes: granted.clone(),
            generation: 1,
            bound_origin: bound_origin.clone(),
        };
        let (id, attempt) = (CredentialId::generate(), uuid::Uuid::new_v4().to_string());
        let place = Place::new(flow.project.as_str(), id.as_str());
        let document = tokens.to_document();
        let cur = persist(|| self.vault().stage(&place, &attempt, &document)).await?;
        let mut credential = Credential {
            id,
            project: flow.project.clone(),
            name: flow.name.clone(),
            owner: flow.owner.clone(),
            client: flow.client.clone(),
            labels: Default::default(),
            external_id: None,
            created_at: now,
            status: CredentialStatus::Active,
            status_reason: None,
            requested_scopes: flow.requested_scopes.clone(),
            granted_scopes: granted,
            account,
            account_kind: AccountKind::default(),
            bound_origin,
            refreshable,
            generation: 1,
            attempt,
            cur,
            prev: None,
            prev_until: None,
            fence: 0,
            lease: None,
            intent: None,
            issued_at: now.timestamp_millis(),
            at_exp: schedule.at_exp,
            refresh_after: schedule.refresh_after,
            fails: 0,
            backoff_until: None,
            written_until: 0,
            last_refreshed_at: None,
        };
        for number in 2.. {
            match persist(|| self.store().complete_flow(flow, &credential, now)).await? {
                Completion::Done => {
                    tracing::info!(flow = %flow.id, credential = %credential.id, "credential connected");
                    return Ok(credential);
                }
                Completion::NameTaken if number < NAMES => credential.name = format!("{} ({number})", flow.name),
                Completion::NameTaken => credential.name = format!("{} ({})", flow.name, credential.id),
                Completion::Lost => return Err(Error::Internal("the flow was ended while its code was exchanged")),
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

fn asks_openid(flow: &Flow) -> bool {
    flow.requested_scopes.iter().any(|scope| scope == "openid")
}

/// How an exchange failed.
enum Failure {
    /// The code was surely not sent, and can still be.
    NotSent,
    /// The code was surely not processed, and can be sent again.
    Later(Option<std::time::Duration>),
    /// The flow is over.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}
