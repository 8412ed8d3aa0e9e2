//! A project: the unit of isolation.

use serde::{Deserialize, Serialize};

use super::ids::ProjectId;
use crate::clock::Timestamp;

/// A project of the platform that uses this stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// A name for people.
    pub name: String,
    /// A name for URLs and scripts, unique in the stack.
    pub slug: String,
    /// What is allowed in it.
    #[serde(default)]
    pub policies: Policies,
    /// Pages of the platform to which people may return, compared character by character.
    #[serde(default)]
    pub return_urls: Vec<String>,
    /// Where people are sent to consent again; `{credential}` stands for the credential's id.
    pub reauthorize_url: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a project allows beyond the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// The password grant (RFC 6749 §4.3), which RFC 9700 §2.4 advises against.
    pub allow_password_grant: bool,
    /// Sessions with `binding: browser`, whose code is exchanged in the callback, tied only to the browser.
    pub allow_browser_binding: bool,
    /// When given, no session may ask for a scope outside this list.
    pub allowed_scopes: Option<Vec<String>>,
    /// Whether the project may register clients of its own.
    pub own_clients: bool,
}

impl Project {
    /// Where the owner of a credential is sent to consent again.
    pub fn reauthorize_url(&self, credential: &super::ids::CredentialId) -> Option<String> {
        self.reauthorize_url.as_ref().map(|url| url.replace("{credential}", credential.as_str()))
    }
}
