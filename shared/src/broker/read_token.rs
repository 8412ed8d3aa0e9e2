//! Reads an access token that is fresh. A token that is still valid is always served, whatever a refresh says.

use std::sync::Arc;

use chrono::Duration;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::delivery::{Delivery, deliver};
use super::find_credential::not_the_owner;
use super::raw_credential::RawDelivery;
use super::settle::has_open_choice;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialKind, CredentialStatus};
use crate::model::ids::{CredentialId, ProjectId};
use crate::model::principal::Role;
use crate::protocol::scope;
use crate::refresh::decide::{Need, need, warning as status_warning};
use crate::refresh::plan::{is_hot, next_due, notes_use};
use crate::refresh::suspended::choice_required;
use crate::refresh::sweep::Work;
use crate::refresh::{Reason, START_WITHIN, WAIT_BUDGET, suspended};
use crate::telemetry;
use crate::vault::{Place, Prefetched};

/// The longest `min_ttl` (seconds).
const MAX_MIN_TTL: i64 = 24 * 60 * 60;

/// The body of `POST /v1/credentials/{id}/token`; it may be empty.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The life that must be left (seconds).
    #[serde(default)]
    pub min_ttl: Option<i64>,
    /// What the token is for; kept in the log.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The caller's own reference; kept in the log.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

/// A request for tokens, checked: for one credential or for many.
pub(super) struct Reading<'a> {
    pub(super) caller: &'a Caller,
    pub(super) project: ProjectId,
    min_ttl: Option<Duration>,
    request: &'a TokenRequest,
    /// When the call began, where it reads one after the other: refreshes that the function's time limit could cut off
    /// are not begun.
    pub(super) begun: Option<Instant>,
}

/// What a read brings.
pub enum Delivered {
    /// An access token.
    Token(Box<Delivery>),
    /// A raw credential.
    Raw(RawDelivery),
}

impl<'a> Reading<'a> {
    /// Checks everything that holds for each of the credentials alike.
    pub(super) fn check(caller: &'a Caller, request: &'a TokenRequest) -> Result<Self> {
        caller.require(&[Role::Runner, Role::Platform], "tokens:read")?;
        let project = caller.project(None)?;
        let min_ttl = match request.min_ttl {
            Some(seconds) if !(0..=MAX_MIN_TTL).contains(&seconds) => {
                let rule = format!("0 to {MAX_MIN_TTL} seconds.");
                return Err(Error::field("/min_ttl", "out_of_range", rule));
            }
            seconds => seconds.map(Duration::seconds),
        };
        for (pointer, text) in [("/purpose", &request.purpose), ("/ref", &request.reference)] {
            if text.as_ref().is_some_and(|text| text.len() > 256 || text.chars().any(char::is_control)) {
                return Err(Error::field(pointer, "too_long", "At most 256 characters, no control characters."));
            }
        }
        Ok(Self { caller, project, min_ttl, request, begun: None })
    }
}

impl Broker {
    /// Reads an access token, or a raw credential.
    ///
    /// # Errors
    /// [`Error::ReauthorizationRequired`], [`Error::Suspended`], [`Error::Refreshing`], [`Error::ProviderUnavailable`],
    /// [`Error::ClientRejected`]: only when no valid token is left.
    pub async fn read_token(&self, caller: &Caller, id: &str, request: TokenRequest) -> Result<Delivered> {
        self.read_one(&Reading::check(caller, &request)?, id).await
    }

    pub(super) async fn read_one(&self, reading: &Reading<'_>, id: &str) -> Result<Delivered> {
        let begun = reading.begun.unwrap_or_else(Instant::now);
        let id = CredentialId::parse(id).map_err(|_| Error::NotFound)?;
        let (credential, prefetched) = self.find_with_secret(&reading.project, &id).await?;
        may_read(reading.caller, &credential)?;
        if credential.kind == CredentialKind::Raw {
            let raw = self.read_raw(&credential, prefetched).await?;
            log_read(reading, &credential, "raw credential read");
            return Ok(Delivered::Raw(raw));
        }
        let client = self.client_of_credential(&credential).await?;
        self.note_use(&client, &credential).await;

        let min_ttl = reading.min_ttl;
        let (mut credential, prefetched, mut warning) = match need(&credential, self.now(), min_ttl) {
            Need::Serve => (credential, prefetched, None),
            Need::ServeShort => (credential, prefetched, Some("min_ttl_unreachable")),
            Need::ServeAndRefresh => {
                self.enqueue(Work::from(&credential)).await;
                (credential, prefetched, None)
            }
            Need::Refresh { alive } => match self.refresh_first(&client, &credential, begun).await {
                Ok(newer) => {
                    let short =
                        min_ttl.is_some_and(|min_ttl| newer.expires_at().is_some_and(|at| at - self.now() < min_ttl));
                    (newer, Prefetched::Nothing, short.then_some("min_ttl_unreachable"))
                }
                // What was taken away meanwhile is not served from what was read before.
                Err(error) if alive && !takes_away(&error) => {
                    tracing::warn!(credential = %credential.id, %error, "a refresh that was asked for failed");
                    (credential, prefetched, Some("refresh_failed"))
                }
                Err(error) => return Err(error),
            },
            Need::Nothing => return Err(self.dead(&credential).await),
        };
        let place = credential.place(credential.generation);
        let mut tokens = self.engine().tokens_at(&place, &credential.cur, prefetched).await?;
        // Imported with a refresh token alone, or not fetched yet: there is nothing to serve, whatever its times say.
        if tokens.access_token.is_empty() {
            if !credential.may_refresh() {
                return Err(self.dead(&credential).await);
            }
            credential = self.refresh_first(&client, &credential, begun).await?;
            tokens = self.open_tokens(&credential).await?;
            warning = None;
        }
        // What the first call after the consent did not find is looked up now.
        let (read, settled) = (credential.cur.clone(), self.settle(&client, credential, &tokens, begun).await?);
        credential = settled;
        may_read(reading.caller, &credential)?;
        if has_open_choice(&client, &credential) {
            return Err(choice_required());
        }
        // A refresh came between: its tokens belong to what is told of them.
        if credential.cur != read {
            tokens = self.open_tokens(&credential).await?;
        }
        telemetry::count("TokenRead", "served", self.now());
        log_read(reading, &credential, "token read");
        let warning = warning.or_else(|| status_warning(&credential)).or_else(|| scope_warning(&credential));
        let delivery = deliver(self.outbound().policy(), &client, &credential, tokens, warning);
        Ok(Delivered::Token(Box::new(delivery)))
    }

    /// Notes that somebody uses a credential, now and then: what nobody uses is not refreshed for every expiry. One that was
    /// idle is due again like the others. Never fails the read.
    async fn note_use(&self, client: &Client, credential: &Credential) {
        let now = self.now();
        if !credential.may_refresh() || !notes_use(credential, now) {
            return;
        }
        let used = Credential { last_used_at: Some(now.timestamp_millis()), ..credential.clone() };
        let woken = if is_hot(credential, now) { None } else { next_due(&used, &client.settings, now) };
        if let Err(error) = self.store().note_use(credential, now, woken).await {
            tracing::warn!(credential = %credential.id, %error, "the use of a credential was not noted");
        }
    }

    /// A credential that the project has or shares, with what the vault may have fetched meanwhile: for one of its own a
    /// consistent read of the item and one of the vault, at once.
    async fn find_with_secret(&self, project: &ProjectId, id: &CredentialId) -> Result<(Credential, Prefetched)> {
        let place = Place::new(project.as_str(), id.as_str());
        let (own, prefetched) = tokio::join!(self.store().find_credential(project, id), self.vault().prefetch(&place));
        let found = match own? {
            Some(own) => Some((own, prefetched)),
            None => {
                let shared = self.store().find_shared_credential(project, id).await?;
                shared.map(|shared| (shared, Prefetched::Nothing))
            }
        };
        // A grant that is only kept until it is ended is nobody's to use.
        found.filter(|(credential, _)| !credential.detached).ok_or(Error::NotFound)
    }

    /// The client that a credential was made with. Without it the credential cannot be used.
    pub(crate) async fn client_of_credential(&self, credential: &Credential) -> Result<Arc<Client>> {
        let client = credential.client.as_ref().ok_or_else(|| Error::Conflict {
            code: "not_refreshable",
            detail: "A raw credential has no tokens.".to_owned(),
            advice: &["Replace its value instead (PUT /v1/credentials/{id}/value)."],
        })?;
        match self.client(client).await {
            Err(Error::NotFound) => Err(Error::ReauthorizationRequired {
                reason: "client_deleted".to_owned(),
                url: self.reauthorize_url(&credential.project, credential).await,
            }),
            other => other,
        }
    }

    /// Waits for a refresh, for a call that began at `begun`.
    pub(super) async fn refresh_first(
        &self,
        client: &Arc<Client>,
        credential: &Credential,
        begun: Instant,
    ) -> Result<Credential> {
        if begun.elapsed() >= START_WITHIN {
            // Too late for this call: the queue does it, and the next call finds it done.
            self.enqueue(Work::from(credential)).await;
        }
        self.refresh_now(client, credential, Reason::Due, begun).await
    }

    /// As [`Broker::refresh_first`], for any reason; and an owner whose consent is needed is told where to go.
    pub(super) async fn refresh_now(
        &self,
        client: &Arc<Client>,
        credential: &Credential,
        reason: Reason,
        begun: Instant,
    ) -> Result<Credential> {
        match self.engine().refresh(begun, client, credential.clone(), reason, WAIT_BUDGET).await {
            Err(error) if error.needs_reauthorization() => {
                Err(error.reauthorized_at(self.reauthorize_url(&credential.project, credential).await))
            }
            other => other,
        }
    }

    /// Why a credential whose access token has expired cannot be served.
    pub(super) async fn dead(&self, credential: &Credential) -> Error {
        match credential.status {
            CredentialStatus::Suspended => suspended(credential),
            CredentialStatus::Revoking | CredentialStatus::Revoked => Error::Revoked,
            CredentialStatus::Active
            | CredentialStatus::ChoiceRequired
            | CredentialStatus::RefreshFailing
            | CredentialStatus::ReauthorizationRequired => {
                let reason =
                    credential.status_reason.clone().unwrap_or_else(|| "expired_without_refresh_token".to_owned());
                let url = self.reauthorize_url(&credential.project, credential).await;
                Error::ReauthorizationRequired { reason, url }
            }
        }
    }

    pub(crate) async fn reauthorize_url(&self, project: &ProjectId, credential: &Credential) -> Option<String> {
        let project = self.project(project).await.ok()?;
        project.reauthorize_url(&credential.id)
    }
}

/// Who read what, and what for.
fn log_read(reading: &Reading<'_>, credential: &Credential, what: &'static str) {
    let Reading { caller, request: TokenRequest { purpose, reference, .. }, .. } = reading;
    tracing::info!(
        credential = %credential.id, generation = credential.generation, key = %caller.key.id,
        user = caller.user.as_deref(), purpose = purpose.as_deref(), reference = reference.as_deref(), "{what}"
    );
}

/// Whether a refresh found that nothing may be served any more.
fn takes_away(error: &Error) -> bool {
    matches!(error.plain(), Error::Suspended | Error::PutAside(_) | Error::Revoked | Error::NotFound)
}

/// A runner reads what its project has; a platform key reads what belongs to the person it acts for.
fn may_read(caller: &Caller, credential: &Credential) -> Result<()> {
    match credential.status {
        CredentialStatus::Suspended => return Err(suspended(credential)),
        CredentialStatus::Revoking | CredentialStatus::Revoked => return Err(Error::Revoked),
        CredentialStatus::ChoiceRequired
        | CredentialStatus::Active
        | CredentialStatus::RefreshFailing
        | CredentialStatus::ReauthorizationRequired => {}
    }
    if caller.key.role == Role::Platform && caller.require_user()? != credential.owner {
        return Err(not_the_owner());
    }
    Ok(())
}

/// A platform key that names a person names the owner.
pub(super) fn may_use(caller: &Caller, credential: &Credential) -> Result<()> {
    let other = caller.user.as_ref().is_some_and(|user| *user != credential.owner);
    if caller.key.role == Role::Platform && other { Err(not_the_owner()) } else { Ok(()) }
}

/// Fewer scopes are granted than were asked. Everything else that there is to warn of is more urgent.
fn scope_warning(credential: &Credential) -> Option<&'static str> {
    let missing = scope::missing(&credential.granted_scopes, &credential.requested_scopes);
    (!missing.is_empty()).then_some("scope_reduced")
}
