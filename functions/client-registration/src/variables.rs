//! `/v1/clients/{id}/variables`.

use axum::Json;
use axum::extract::{Path, Query, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::error::Result;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader};
use grantkeeper::model::client::GrantType;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

/// Which grant is meant.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// One of the client's grants; its first when not given.
    #[serde(default)]
    grant_type: Option<GrantType>,
}

/// What a person must give, as a JSON Schema (2020-12).
///
/// The entries of the grant come first, then the client's variables; `x-order` is their order, secrets are `writeOnly`.
#[utoipa::path(
    get, path = "/v1/clients/{id}/variables", operation_id = "read_client_variables", tag = "clients",
    params(("id" = String, Path, description = "The client"), ProjectHeader, Wanted),
    responses((status = 200, description = "The schema", body = Object), AnyCall, Problem<404>, Problem<422>)
)]
pub async fn read(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>> {
    Ok(Json(broker.describe_inputs(&caller, &id, wanted.grant_type).await?))
}
