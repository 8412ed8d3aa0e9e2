//! Reads and deletes connect sessions.

use serde::Serialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::SessionId;
use crate::model::principal::Role;
use crate::model::session::Session;

/// Where a session stands, by its own time and the flow that was started last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Nobody has pressed the button.
    Open,
    /// The person is at the authorization server.
    Started,
    /// The person is back, and `complete` is awaited.
    Returned,
    /// The credential exists.
    Completed,
    /// The last flow failed; the link may be tried again.
    Failed,
    /// Its time is over.
    Expired,
}

impl Broker {
    /// A session of the caller's project, with the flow that was started last.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_session(&self, caller: &Caller, id: &str) -> Result<(Session, Option<Flow>, SessionStatus)> {
        caller.require(&[Role::Platform], "sessions:read")?;
        let session = self.find_session(caller, id).await?;
        let flow = match &session.flow {
            Some(flow) => self.store().find_flow(&session.project, flow).await?,
            None => None,
        };
        let status = session_status(&session, flow.as_ref(), self.now());
        Ok((session, flow, status))
    }

    /// Deletes a session: its link stops working.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_session(&self, caller: &Caller, id: &str) -> Result<()> {
        caller.require(&[Role::Platform], "sessions:write")?;
        let session = self.find_session(caller, id).await?;
        if let Some(flow) = &session.flow
            && let Some(flow) = self.store().find_flow(&session.project, flow).await?
        {
            self.store().fail_flow(&flow, FlowStatus::Pending, "session_deleted", self.now()).await?;
        }
        if self.store().delete_session(&session).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    async fn find_session(&self, caller: &Caller, id: &str) -> Result<Session> {
        let project = caller.project(None)?;
        let id = SessionId::parse(id).map_err(|_| Error::NotFound)?;
        self.store().find_session(&project, &id).await?.ok_or(Error::NotFound)
    }
}

/// Where a session stands.
pub(crate) fn session_status(session: &Session, flow: Option<&Flow>, now: Timestamp) -> SessionStatus {
    match flow.map(|flow| flow.status) {
        Some(FlowStatus::Completed) => SessionStatus::Completed,
        Some(FlowStatus::Parked) if flow.is_some_and(|flow| flow.completion_expires_at.is_none_or(|at| now >= at)) => {
            SessionStatus::Expired
        }
        Some(FlowStatus::Parked | FlowStatus::Exchanging) => SessionStatus::Returned,
        _ if session.is_expired(now) => SessionStatus::Expired,
        Some(FlowStatus::Failed) => SessionStatus::Failed,
        Some(FlowStatus::Pending) if flow.is_some_and(|flow| now < flow.expires_at) => SessionStatus::Started,
        Some(FlowStatus::Pending | FlowStatus::Voided) | None => SessionStatus::Open,
    }
}
