//! A client: our registration at one authorization server (RFC 6749 §2).

mod facts;
mod resolve;
mod settings;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::credential::Lifetimes;
use super::ids::{ClientId, ProjectId};
use crate::clock::Timestamp;
use crate::protocol::token::AuthMethod;

pub use facts::{HeaderScheme, OptionalScope, RefreshFacts, RefreshKind, ReusePenalty, Scopes, TestRequest};
pub use resolve::{Resolved, Unresolved, binds};
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
    /// Counts changes; a flow that was started under another version is aborted.
    pub version: u64,
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
    /// What it still lacks for its grants, as names of fields.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
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
        missing
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

    /// The secrets to try now, in order: the newest first, without those that are retired or expired.
    pub fn usable_secrets(&self, now: Timestamp) -> impl Iterator<Item = &ClientSecret> {
        let over = move |at: Option<Timestamp>| at.is_some_and(|at| now >= at);
        self.client_secrets.iter().filter(move |secret| !over(secret.retire_at) && !over(secret.expires_at))
    }
}
