//! Completes a flow: the backend vouches that its signed-in person is the owner, and only then is the code exchanged
//! (the defence against session fixation across users).

use std::time::Duration as StdDuration;

use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use crate::error::{Error, Result};
use crate::model::credential::Credential;
use crate::model::flow::{Flow, FlowStatus, REPEAT_SECONDS};
use crate::model::ids::FlowId;
use crate::model::principal::Role;
use crate::secret::Secret;
use crate::vault::root_key::sha256;

/// How long a repeated call waits for the first one.
const PATIENCE: u32 = 40;
const PAUSE: StdDuration = StdDuration::from_millis(250);

/// The body of `POST /v1/flows/{flow}/complete`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// The code that the browser brought to the return URL.
    #[schema(value_type = String)]
    pub completion_code: Secret<String>,
    /// The platform's id of the person who is signed in there now.
    pub owner: String,
}

impl Broker {
    /// A flow of the caller's project.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_flow(&self, caller: &Caller, id: &str) -> Result<Flow> {
        caller.require(&[Role::Platform], "flows:read")?;
        self.find_flow(caller, id).await
    }

    /// Completes a flow. Repeated by the same owner with the same code it gives the same answer for 10 minutes.
    ///
    /// # Errors
    /// [`Error::Conflict`] `owner_mismatch`, and the code is destroyed; [`Error::Gone`] when it is too late.
    pub async fn complete_flow(&self, caller: &Caller, id: &str, completion: Completion) -> Result<Credential> {
        caller.require(&[Role::Platform], "flows:complete")?;
        caller.check_owner(&completion.owner)?;
        let mut flow = self.find_flow(caller, id).await?;
        let given = sha256(completion.completion_code.expose());
        let known = flow.completion_hash.as_deref().unwrap_or_default();
        if flow.completion_hash.is_some() && !bool::from(known.as_bytes().ct_eq(given.as_bytes())) {
            return Err(Error::field(
                "/completion_code",
                "completion_code_wrong",
                "This is not the completion code of this flow: take it from the return URL of the same flow.",
            ));
        }
        if flow.owner != completion.owner {
            return self.owner_mismatch(&flow).await;
        }
        let begun = Instant::now();
        for _ in 0..PATIENCE {
            let now = self.now();
            if flow.status == FlowStatus::Completed {
                return self.completed(&flow).await;
            }
            match flow.check_completable(now) {
                Ok(()) => match self.exchange_code(&flow, begun).await {
                    // Another call was quicker by a moment: its answer is this one's, too.
                    Err(Error::Conflict { code: "completion_in_progress", .. }) => {}
                    other => return other,
                },
                Err(Error::Conflict { code: "completion_in_progress", .. }) => {}
                Err(error) => {
                    if flow.status == FlowStatus::Exchanging {
                        self.end_interrupted(&flow).await?;
                    }
                    return Err(error);
                }
            }
            tokio::time::sleep(PAUSE).await;
            flow = self.find_flow(caller, id).await?;
        }
        if flow.status == FlowStatus::Completed {
            return self.completed(&flow).await;
        }
        flow.check_completable(self.now())?;
        Err(super::exchange_code::in_progress())
    }

    async fn find_flow(&self, caller: &Caller, id: &str) -> Result<Flow> {
        let project = caller.project(None)?;
        let id = FlowId::parse(id).map_err(|_| Error::NotFound)?;
        self.store().find_flow(&project, &id).await?.ok_or(Error::NotFound)
    }

    /// Ends an exchange whose worker died: the code may be spent, and the person must be able to start again.
    pub(crate) async fn end_interrupted(&self, flow: &Flow) -> Result<()> {
        let ended = self.store().fail_flow(flow, FlowStatus::Exchanging, "exchange_interrupted", self.now()).await?;
        if ended {
            tracing::warn!(flow = %flow.id, "an exchange was interrupted");
        }
        Ok(())
    }

    /// Somebody else finished the owner's consent. The code is destroyed, for it may belong to another account.
    async fn owner_mismatch(&self, flow: &Flow) -> Result<Credential> {
        self.store().fail_flow(flow, FlowStatus::Parked, "owner_mismatch", self.now()).await?;
        tracing::warn!(flow = %flow.id, project = %flow.project, security = true, "owner mismatch: the code was destroyed");
        Err(Error::Conflict {
            code: "owner_mismatch",
            detail: "The person who came back is not the person for whom the session was opened.".to_owned(),
            advice: &[
                "Open a new connect session for the person who is signed in now.",
                "If nobody shared a link on purpose, somebody may have been lured into consenting for another's session.",
            ],
        })
    }

    /// The answer of the first call, again.
    pub(crate) async fn completed(&self, flow: &Flow) -> Result<Credential> {
        let in_time = flow.completed_at.is_some_and(|at| (self.now() - at).num_seconds() < REPEAT_SECONDS);
        if !in_time {
            return Err(Error::Conflict {
                code: "flow_completed",
                detail: "This flow was completed before.".to_owned(),
                advice: &["Read the credential that the flow names."],
            });
        }
        let id = flow.credential.as_ref().ok_or(Error::Internal("a completed flow has no credential"))?;
        self.store().find_credential(&flow.project, id).await?.ok_or(Error::NotFound)
    }
}

/// A failed exchange as the stable code that goes to the return URL and into the flow.
pub(crate) fn problem_of(error: &Error) -> &'static str {
    match error.plain() {
        Error::ClientRejected { .. }
        | Error::GrantRejected
        | Error::ProviderUnavailable { .. }
        | Error::ProviderMisbehaved(_)
        | Error::AccountMismatch
        | Error::Conflict { .. }
        | Error::Revoked => error.code(),
        _ => "internal_error",
    }
}
