//! Sessions as API.md writes them.

use grantkeeper::broker::open_session::Opened;
use grantkeeper::broker::read_session::SessionStatus;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::flow::Flow;
use grantkeeper::model::ids::{CredentialId, FlowId, SessionId};
use grantkeeper::model::session::Session;
use serde::Serialize;
use utoipa::ToSchema;

/// A connect session that was just opened. The link is in this answer and in no other.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedSession)]
pub struct OpenedView<'a> {
    id: &'a SessionId,
    /// The link for the person's browser; whoever has it can connect an account in the person's name.
    connect_url: &'a str,
    /// When the link stops working.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl<'a> From<&'a Opened> for OpenedView<'a> {
    fn from(opened: &'a Opened) -> Self {
        Self { id: &opened.session.id, connect_url: opened.connect_url.expose(), expires_at: opened.session.expires_at }
    }
}

/// A connect session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionView {
    id: SessionId,
    /// Where it stands.
    status: SessionStatus,
    /// The platform's id of the person whose credential it will be.
    owner: String,
    /// The flow that was started last.
    flow: Option<FlowId>,
    /// What came of it.
    credential: Option<CredentialId>,
    /// Why nothing came of it, as a stable code.
    problem: Option<String>,
    /// As it was given when the session was opened.
    context: Option<String>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When the link stops working.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Shows a session, by the flow that was started last.
pub fn session(session: Session, flow: Option<Flow>, status: SessionStatus) -> SessionView {
    let (credential, problem) = flow.map_or((None, None), |flow| (flow.credential, flow.problem));
    SessionView {
        id: session.id,
        status,
        owner: session.owner,
        flow: session.flow,
        credential,
        problem,
        context: session.context,
        created_at: session.created_at,
        expires_at: session.expires_at,
    }
}
