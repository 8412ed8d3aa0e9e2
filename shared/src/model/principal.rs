//! Who calls: API keys and their roles.

use serde::{Deserialize, Serialize};

use super::ids::{KeyId, ProjectId};
use crate::clock::Timestamp;

/// A key that nobody used for this long disables itself (days).
pub const IDLE_DAYS: i64 = 90;

/// What a key can be narrowed to; each call of the API needs one of them.
pub const PERMISSIONS: [&str; 15] = [
    "clients:read",
    "clients:write",
    "credentials:read",
    "credentials:refresh",
    "credentials:write",
    "flows:complete",
    "flows:read",
    "keys:read",
    "keys:write",
    "projects:read",
    "projects:write",
    "sessions:read",
    "sessions:write",
    "tokens:read",
    "tokens:report",
];

/// What a key may do (API.md, "Keys").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The instance: projects, keys, clients. Never a credential's value or token.
    Superuser,
    /// The backend of a platform, vouching for its people.
    Platform,
    /// A program that reads tokens of credentials shared with its project.
    Runner,
}

/// The projects a key is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Projects {
    /// A list of project ids.
    Some(Vec<ProjectId>),
    /// `"*"`: all of them.
    All(Everything),
}

/// The text `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Everything {
    /// `*`
    #[serde(rename = "*")]
    Everything,
}

impl Projects {
    /// Whether the key is for this project.
    pub fn contains(&self, project: &ProjectId) -> bool {
        match self {
            Self::Some(list) => list.contains(project),
            Self::All(_) => true,
        }
    }
}

/// An API key as stored: never the key itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public name.
    pub id: KeyId,
    /// SHA-256 of the key, hex. The key is 256 bits of randomness, so the hash needs no salt and no stretching.
    pub hash: String,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub projects: Projects,
    /// Narrows the role further; empty: the whole role.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last day on which it was used; written at most once a day.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it works at this time: not expired, and not idle for [`IDLE_DAYS`].
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let last_sign_of_life = self.last_used_at.unwrap_or(self.created_at);
        now < self.expires_at && now - last_sign_of_life < chrono::Duration::days(IDLE_DAYS)
    }

    /// Whether today's use is not recorded yet.
    pub fn use_is_unrecorded(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|at| now - at >= chrono::Duration::days(1))
    }

    /// Whether the key has a permission that a call needs; an empty list narrows nothing.
    pub fn permits(&self, permission: &str) -> bool {
        self.permissions.is_empty() || self.permissions.iter().any(|held| held == permission)
    }
}
