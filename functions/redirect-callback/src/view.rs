//! A flow as API.md writes it.

use grantkeeper::clock::Timestamp;
use grantkeeper::model::flow::{Flow, FlowStatus};
use grantkeeper::model::ids::{CredentialId, FlowId, SessionId};
use serde::Serialize;
use utoipa::ToSchema;

/// A flow: one authorization request in flight.
#[derive(Serialize, ToSchema)]
#[schema(as = Flow)]
pub struct FlowView {
    id: FlowId,
    /// Where it stands.
    status: FlowState,
    /// The session it was started from.
    session: SessionId,
    /// When the completion code stops working.
    #[schema(value_type = Option<String>, format = DateTime)]
    completion_expires_at: Option<Timestamp>,
    /// What came of it.
    credential: Option<CredentialId>,
    /// Why nothing came of it, as a stable code.
    problem: Option<String>,
}

/// Where a flow stands, for callers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FlowStatus)]
enum FlowState {
    /// The person is at the authorization server.
    Pending,
    /// The person is back, and `complete` is awaited.
    Parked,
    /// The credential exists.
    Completed,
    /// Nothing came of it; `problem` says why.
    Failed,
    /// Its time is over, or a newer start replaced it.
    Expired,
}

/// Shows a flow at this time.
pub fn flow(flow: Flow, now: Timestamp) -> FlowView {
    let status = match flow.status {
        FlowStatus::Pending if now >= flow.expires_at => FlowState::Expired,
        FlowStatus::Pending => FlowState::Pending,
        FlowStatus::Parked if flow.completion_expires_at.is_none_or(|at| now >= at) => FlowState::Expired,
        FlowStatus::Parked | FlowStatus::Exchanging => FlowState::Parked,
        FlowStatus::Completed => FlowState::Completed,
        FlowStatus::Failed => FlowState::Failed,
        FlowStatus::Voided => FlowState::Expired,
    };
    FlowView {
        id: flow.id,
        status,
        session: flow.session,
        completion_expires_at: flow.completion_expires_at,
        credential: flow.credential,
        problem: flow.problem,
    }
}
