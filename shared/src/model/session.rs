//! A connect session: what a backend fixed for one person's consent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{ClientId, CredentialId, FlowId, ProjectId, SessionId};
use crate::clock::Timestamp;
use crate::vault::root_key::Sealed;

/// Where the code is exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// Only after the backend vouched that its signed-in person is the owner.
    #[default]
    Backend,
    /// In the callback, tied only to the browser that started.
    Browser,
}

/// A client that a session offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The client.
    pub client: ClientId,
    /// Scopes fixed for this client; `None`: those of the session, or the person's choice.
    pub scopes: Option<Vec<String>>,
    /// Values that the backend fixed for this client and that are no secrets.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Values that it fixed and that are, sealed.
    #[serde(default)]
    pub inputs: Option<Sealed>,
}

/// A connect session. Nothing of it can be supplied or overridden by the browser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// SHA-256 of the token in the connect link, hex.
    pub token_hash: String,
    /// Whose credential it will be.
    pub owner: String,
    /// The clients to choose from, in order; a single one is fixed.
    pub offers: Vec<Offer>,
    /// The name of the credential, when the backend fixed it.
    pub name: Option<String>,
    /// Scopes, when the backend fixed them.
    pub scopes: Option<Vec<String>>,
    /// Optional scopes that are ticked at first.
    pub suggested_scopes: Vec<String>,
    /// The credential whose grant will be replaced; absent: a new one is made.
    #[serde(default)]
    pub credential: Option<CredentialId>,
    /// Whether another account than before may take the place.
    #[serde(default)]
    pub allow_account_change: bool,
    /// Extra authorization parameters such as `login_hint`.
    pub authorization_params: BTreeMap<String, String>,
    /// Where the browser goes afterwards; `None`: a page of ours.
    pub return_url: Option<String>,
    /// Where the code is exchanged.
    pub binding: Binding,
    /// Opaque to us, given back on return.
    pub context: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The flow that was started last.
    pub flow: Option<FlowId>,
}

impl Session {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}
