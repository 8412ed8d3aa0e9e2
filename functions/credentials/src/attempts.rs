//! What was said to a provider for one credential.

use axum::Json;
use axum::extract::{Path, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::error::Result;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader};
use grantkeeper::inbound::query::Listing;
use grantkeeper::model::attempt::Attempt;

/// The attempts of a credential.
type AttemptList = Listing<Attempt>;

/// Lists the last attempts of a credential at its provider, the newest first: 20 at most, on one page.
///
/// Each has the requests that were made and their answers, without tokens, codes, secrets and passwords.
#[utoipa::path(
    get, path = "/v1/credentials/{id}/attempts", operation_id = "list_attempts", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader),
    responses(
        (status = 200, description = "The attempts", body = AttemptList),
        AnyCall, Problem<404>, Problem<422>
    )
)]
pub(crate) async fn list(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AttemptList>> {
    Ok(Json(Listing { items: broker.list_attempts(&caller, &id).await?, next: None }))
}
