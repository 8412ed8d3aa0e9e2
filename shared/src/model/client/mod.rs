//! A client: our registration at one authorization server (RFC 6749 §2).

mod defaults;
mod facts;
mod resolve;
mod sets;
mod settings;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::credential::Lifetimes;
use super::ids::{ClientId, ProjectId};
use crate::clock::Timestamp;
use crate::protocol::token::AuthMethod;

pub use facts::{HeaderScheme, OptionalScope, RefreshFacts, RefreshKind, ReusePenalty, Scopes, TestRequest};
pub use resolve::{Resolved, Unresolved, binds};
pub use sets::Sets;
pub(crate) use sets::put_in;
pub use settings::{ClientSettings, CredentialsFrom, GrantType};

/// Whether a client can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientStatus {
    /// It lacks something that its grants need.
    Draft,
    /// It can be used.
    Active,
    /// It was switched off; its credentials are not refreshed.
    Disabled,
}

/// A client secret as the client's record knows it; the value is in Secrets Manager, as the version of this id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClientSecret {
    /// Its id, also the version id in Secrets Manager.
    pub id: String,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    pub added_at: Timestamp,
    /// When a token request last succeeded with it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_success_at: Option<Timestamp>,
    /// When it is no longer tried.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retire_at: Option<Timestamp>,
    /// When the provider lets it expire.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// A client as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// The unguessable part of its redirect URI: 256 bits, never used again.
    pub client_key: String,
    /// Counts changes of what a flow depends on; a flow that was started under another version is aborted.
    pub version: u64,
    /// Counts every change of the record, a rotated secret included: what guards the store against a lost update.
    #[serde(default)]
    pub revision: u64,
    /// Switched off.
    pub disabled: bool,
    /// Its secrets, newest first.
    pub client_secrets: Vec<ClientSecret>,
    /// The only origins that the client secrets may be sent to: those of the endpoints they were entered for.
    pub secret_origin: Option<String>,
    /// RFC 9207 §3: the authorization server promises `iss`.
    pub iss_required: bool,
    /// The keys that sign ID tokens.
    pub jwks_uri: Option<String>,
    /// What was configured.
    pub settings: ClientSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Client {
    /// What it still lacks for its grants, as names of fields; a value as `values.` and its key.
    pub fn missing(&self) -> Vec<String> {
        let mut missing: Vec<&str> = Vec::new();
        let settings = &self.settings;
        let own = settings.credentials_from == CredentialsFrom::Client;
        if own && settings.client_id.is_none() {
            missing.push("client_id");
        }
        if settings.token_endpoint.is_none() {
            missing.push("token_endpoint");
        }
        if settings.offers(GrantType::AuthorizationCode) && settings.authorization_endpoint.is_none() {
            missing.push("authorization_endpoint");
        }
        if own && settings.auth_method() != AuthMethod::None && self.client_secrets.is_empty() {
            missing.push("client_secret");
        }
        let values = settings.missing_values().map(|variable| format!("values.{}", variable.key));
        missing.into_iter().map(str::to_owned).chain(values).collect()
    }

    /// Whether it can be used.
    pub fn status(&self) -> ClientStatus {
        if self.disabled {
            ClientStatus::Disabled
        } else if self.missing().is_empty() {
            ClientStatus::Active
        } else {
            ClientStatus::Draft
        }
    }

    /// Whether a project may use it.
    pub fn is_visible_to(&self, project: &ProjectId) -> bool {
        let settings = &self.settings;
        settings.project.as_ref().is_none_or(|home| home == project) || settings.shared_with.contains(project)
    }

    /// What is known about the lives of its tokens.
    pub fn lifetimes(&self, learned: Option<u32>) -> Lifetimes {
        let facts = &self.settings.refresh;
        Lifetimes { default_lifetime: facts.default_lifetime, learned, min_age: facts.min_age_seconds }
    }

    /// The secrets to try now, in order: the newest first, without those that are retired or expired. When all have
    /// expired, the newest that is not retired: only the provider knows whether it still counts.
    pub fn usable_secrets(&self, now: Timestamp) -> impl Iterator<Item = &ClientSecret> {
        let some_live = self.client_secrets.iter().any(|secret| secret.is_live(now));
        let last_resort = self.client_secrets.iter().position(|secret| !secret.is_retired(now)).filter(|_| !some_live);
        let usable = move |(index, secret): &(usize, &ClientSecret)| secret.is_live(now) || last_resort == Some(*index);
        self.client_secrets.iter().enumerate().filter(usable).map(|(_, secret)| secret)
    }

    /// Drops the secrets that are over, but for those that were over only now: who rotates sees what became of them.
    pub fn forget_spent_secrets(&mut self, now: Timestamp) {
        let usable: Vec<String> = self.usable_secrets(now).map(|secret| secret.id.clone()).collect();
        let over_before = |at: Option<Timestamp>| at.is_some_and(|at| now > at);
        self.client_secrets.retain(|secret| {
            usable.contains(&secret.id) || !(over_before(secret.retire_at) || over_before(secret.expires_at))
        });
    }

    /// Whether the client's own secrets may be sent to an endpoint that has these settings' variables: it has the origin
    /// of one that they were entered for (SECURITY.md 24). An endpoint that is not there takes nothing.
    pub fn may_send_secrets_to(&self, endpoint: Option<&str>, settings: &ClientSettings) -> bool {
        let Some(endpoint) = endpoint else { return true };
        let entered_for = self.secret_origin.as_deref().unwrap_or_default();
        settings.origin_of(endpoint).is_some_and(|origin| resolve::lists(entered_for, &origin))
    }
}

impl ClientSecret {
    /// Whether it is no longer tried.
    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.retire_at.is_some_and(|at| now >= at)
    }

    /// Whether the provider has let it expire, as far as anybody said so.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| now >= at)
    }

    /// Whether it is tried: neither retired nor expired.
    pub fn is_live(&self, now: Timestamp) -> bool {
        !self.is_retired(now) && !self.is_expired(now)
    }
}

#[cfg(test)]
mod tests;
