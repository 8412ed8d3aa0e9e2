//! What happened to a credential that others want to hear of: written in the transaction in which it happens, so that there
//! is exactly one for each change of state, and delivered from there.

use serde::{Deserialize, Serialize};

use super::credential::{Credential, CredentialStatus};
use super::ids::{CredentialId, ProjectId};
use crate::clock::Timestamp;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// Refreshes began to fail; the token is served while it lives.
    #[serde(rename = "credential.refresh_failing")]
    RefreshFailing,
    /// A refresh brought tokens again.
    #[serde(rename = "credential.recovered")]
    Recovered,
    /// Only new consent helps.
    #[serde(rename = "credential.reauthorization_required")]
    ReauthorizationRequired,
    /// It was put aside because of what a refresh brought.
    #[serde(rename = "credential.suspended")]
    Suspended,
    /// Its refresh token will die soon.
    #[serde(rename = "credential.expiring")]
    Expiring,
}

/// An event, as it waits for its delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Unique: the credential, its generation and the fence of the attempt that brought it about.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// The project of the credential.
    pub project: ProjectId,
    /// To which one.
    pub credential: CredentialId,
    /// The generation that it had then.
    pub generation: u64,
    /// When.
    pub at: Timestamp,
    /// Why, as the credential's `status_reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the refresh token dies, for [`EventKind::Expiring`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dies_at: Option<Timestamp>,
}

impl Event {
    /// The event of a change of status by the attempt that holds the credential; `None` where its status stays.
    pub fn of_change(held: &Credential, to: CredentialStatus, reason: Option<&str>, at: Timestamp) -> Option<Self> {
        use CredentialStatus::{Active, ReauthorizationRequired, RefreshFailing, Suspended};
        let kind = match (held.status, to) {
            (from, to) if from == to => return None,
            (_, RefreshFailing) => EventKind::RefreshFailing,
            (_, Active) => EventKind::Recovered,
            (_, ReauthorizationRequired) => EventKind::ReauthorizationRequired,
            (_, Suspended) => EventKind::Suspended,
            _ => return None,
        };
        Some(Self { reason: reason.map(str::to_owned), ..Self::of(held, kind, at) })
    }

    /// The event that a refresh token dies soon.
    pub fn expiring(credential: &Credential, dies_at: Timestamp, at: Timestamp) -> Self {
        let event = Self::of(credential, EventKind::Expiring, at);
        // A credential can be warned of without any attempt, so the end that it is warned of tells the events apart.
        Self { id: format!("{}#{}", event.id, dies_at.timestamp()), dies_at: Some(dies_at), ..event }
    }

    fn of(credential: &Credential, kind: EventKind, at: Timestamp) -> Self {
        Self {
            id: format!("{}#{:010}#{:010}", credential.id, credential.generation, credential.fence),
            kind,
            project: credential.project.clone(),
            credential: credential.id.clone(),
            generation: credential.generation,
            at,
            reason: None,
            dies_at: None,
        }
    }
}
