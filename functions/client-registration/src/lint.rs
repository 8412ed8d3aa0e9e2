//! `/v1/clients/{id}/check`.

use axum::Json;
use axum::extract::{Path, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::check_client::Finding;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::OptionalBody;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, WithBody};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The check takes no fields.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoFields {}

/// What a check found.
#[derive(Serialize, ToSchema)]
pub struct ClientCheck {
    /// The worst first; empty: nothing to say.
    findings: Vec<Finding>,
}

/// Checks how a client is configured.
///
/// Nobody's token is used; only the issuer is asked for its metadata, and that it does not answer is a finding, too.
#[utoipa::path(
    post, path = "/v1/clients/{id}/check", operation_id = "check_client", tag = "clients",
    params(("id" = String, Path, description = "The client"), ProjectHeader),
    request_body = Option<NoFields>,
    responses((status = 200, description = "What was found", body = ClientCheck), AnyCall, WithBody, Problem<404>)
)]
pub async fn check(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalBody(NoFields {}): OptionalBody<NoFields>,
) -> Result<Json<ClientCheck>> {
    Ok(Json(ClientCheck { findings: broker.check_client(&caller, &id).await? }))
}
