//! Reads an access token that is fresh. A token that is still valid is always served, whatever a refresh says.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Duration;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::raw_credential::RawDelivery;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialKind, CredentialStatus};
use crate::model::ids::{CredentialId, ProjectId};
use crate::model::principal::Role;
use crate::model::token_set::TokenSet;
use crate::refresh::decide::{Need, need, warning};
use crate::refresh::sweep::Work;
use crate::refresh::{Reason, WAIT_BUDGET, suspended};
use crate::secret::Secret;
use crate::telemetry;
use crate::vault::Place;

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

/// An access token with what a program needs to use it. Never a refresh token.
pub struct Delivery {
    /// The access token.
    pub access_token: Secret<String>,
    /// As the provider sent it.
    pub token_type: String,
    /// When it expires; `None` when the provider does not say.
    pub expires_at: Option<Timestamp>,
    /// From when a newer one may be there.
    pub refresh_after: Option<Timestamp>,
    /// Which generation it is.
    pub generation: u64,
    /// What is granted.
    pub scopes: Vec<String>,
    /// The header to send it in.
    pub header_name: String,
    /// The header's value.
    pub header_value: Secret<String>,
    /// The API that it is for.
    pub api_base_url: Option<String>,
    /// Further headers of the API.
    pub headers: BTreeMap<String, String>,
    /// Something that the caller should know.
    pub warning: Option<&'static str>,
}

/// What a read brings.
pub enum Reading {
    /// An access token.
    Token(Box<Delivery>),
    /// A raw credential.
    Raw(RawDelivery),
}

impl Broker {
    /// Reads an access token, or a raw credential.
    ///
    /// # Errors
    /// [`Error::ReauthorizationRequired`], [`Error::Suspended`], [`Error::Refreshing`], [`Error::ProviderUnavailable`],
    /// [`Error::ClientRejected`]: only when no valid token is left.
    pub async fn read_token(&self, caller: &Caller, id: &str, request: TokenRequest) -> Result<Reading> {
        caller.require(&[Role::Runner, Role::Platform], "tokens:read")?;
        let project = caller.project(None)?;
        let id = CredentialId::parse(id).map_err(|_| Error::NotFound)?;
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

        // One consistent read of the item and one of the vault, at once.
        let place = Place::new(project.as_str(), id.as_str());
        let (found, prefetched) =
            tokio::join!(self.store().find_credential(&project, &id), self.vault().prefetch(&place));
        let credential = found?.ok_or(Error::NotFound)?;
        may_read(caller, &credential)?;
        if credential.kind == CredentialKind::Raw {
            return Ok(Reading::Raw(self.read_raw(&credential, prefetched).await?));
        }
        let client = self.client_of_credential(&credential).await?;

        let (credential, prefetched, warning) = match need(&credential, self.now(), min_ttl) {
            Need::Serve => {
                let warning = warning(&credential);
                (credential, prefetched, warning)
            }
            Need::ServeShort => (credential, prefetched, Some("min_ttl_unreachable")),
            Need::ServeAndRefresh => {
                let (project, generation) = (project.clone(), credential.generation);
                self.enqueue(Work { credential: id.clone(), project, generation }).await;
                let warning = warning(&credential);
                (credential, prefetched, warning)
            }
            Need::Refresh { alive } => match self.refresh_first(&client, &credential, alive).await? {
                Some(newer) => {
                    let short =
                        min_ttl.is_some_and(|min_ttl| newer.expires_at().is_some_and(|at| at - self.now() < min_ttl));
                    (newer, crate::vault::Prefetched::Nothing, short.then_some("min_ttl_unreachable"))
                }
                None => (credential, prefetched, Some("refresh_failed")),
            },
            Need::Nothing => return Err(self.dead(&project, &credential).await),
        };
        let document = self.vault().open(&place, &credential.cur, prefetched).await?;
        let tokens = TokenSet::from_document(&document).ok_or(Error::Internal("a token set cannot be read"))?;
        telemetry::count("TokenRead", "served", self.now());
        tracing::info!(
            credential = %credential.id, generation = credential.generation, key = %caller.key.id,
            user = caller.user.as_deref(), purpose = request.purpose.as_deref(), reference = request.reference.as_deref(),
            "token read"
        );
        Ok(Reading::Token(Box::new(deliver(&client, &credential, tokens, warning))))
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

    /// Waits for a refresh. `None`: it failed, and what is there can still be served.
    async fn refresh_first(
        &self,
        client: &Arc<Client>,
        credential: &Credential,
        alive: bool,
    ) -> Result<Option<Credential>> {
        match self.engine().refresh(client, credential.clone(), Reason::Due, WAIT_BUDGET).await {
            Ok(newer) => Ok(Some(newer)),
            Err(error) if alive => {
                tracing::warn!(credential = %credential.id, %error, "a refresh that was asked for failed");
                Ok(None)
            }
            Err(error) if error.needs_reauthorization() => {
                Err(error.reauthorized_at(self.reauthorize_url(&credential.project, credential).await))
            }
            Err(error) => Err(error),
        }
    }

    /// Why a credential whose access token has expired cannot be served.
    async fn dead(&self, project: &ProjectId, credential: &Credential) -> Error {
        match credential.status {
            CredentialStatus::Suspended => suspended(credential),
            CredentialStatus::Revoking | CredentialStatus::Revoked => Error::Revoked,
            CredentialStatus::Active | CredentialStatus::RefreshFailing | CredentialStatus::ReauthorizationRequired => {
                let reason =
                    credential.status_reason.clone().unwrap_or_else(|| "expired_without_refresh_token".to_owned());
                Error::ReauthorizationRequired { reason, url: self.reauthorize_url(project, credential).await }
            }
        }
    }

    pub(crate) async fn reauthorize_url(&self, project: &ProjectId, credential: &Credential) -> Option<String> {
        let project = self.project(project).await.ok()?;
        project.reauthorize_url(&credential.id)
    }
}

/// A runner reads what its project has; a platform key reads what belongs to the person it acts for.
fn may_read(caller: &Caller, credential: &Credential) -> Result<()> {
    match credential.status {
        CredentialStatus::Suspended => return Err(suspended(credential)),
        CredentialStatus::Revoking | CredentialStatus::Revoked => return Err(Error::Revoked),
        CredentialStatus::Active | CredentialStatus::RefreshFailing | CredentialStatus::ReauthorizationRequired => {}
    }
    if caller.key.role == Role::Platform && caller.require_user()? != credential.owner {
        return Err(Error::Forbidden {
            code: "not_the_owner",
            detail: "A platform key reads tokens only for the credential's owner.".to_owned(),
        });
    }
    Ok(())
}

fn deliver(client: &Client, credential: &Credential, tokens: TokenSet, warning: Option<&'static str>) -> Delivery {
    let header = &client.settings.header;
    let header_value = match header.prefix.as_str() {
        "" => tokens.access_token.expose().clone(),
        prefix => format!("{prefix} {}", tokens.access_token.expose()),
    };
    Delivery {
        access_token: tokens.access_token,
        token_type: tokens.token_type,
        expires_at: credential.expires_at(),
        refresh_after: credential.refresh_after.and_then(chrono::DateTime::from_timestamp_millis),
        generation: credential.generation,
        scopes: credential.granted_scopes.clone(),
        header_name: header.name.clone(),
        header_value: Secret::new(header_value),
        api_base_url: client.settings.api_base_url.clone(),
        headers: BTreeMap::new(),
        warning,
    }
}
