//! `/v1/credentials/{id}/value`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::credential_value::NewValue;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, WithBody};
use grantkeeper::inbound::value_view::ValueView;
use grantkeeper::inbound::view::CredentialView;

/// Reads what the owner gave.
///
/// For the owner alone: the document of a raw credential, or the variables, user name and password of another. Tokens
/// and the client's own secrets are not in it.
#[utoipa::path(
    get, path = "/v1/credentials/{id}/value", operation_id = "read_value", tag = "credentials",
    params(
        ("id" = String, Path, description = "The credential"),
        ("Grantkeeper-User" = String, Header, description = "The platform's id of the owner"),
        ProjectHeader
    ),
    responses(
        (status = 200, description = "What the owner gave", body = ValueView),
        AnyCall, Problem<404>, Problem<409>, Problem<422>, Problem<423>
    )
)]
pub async fn read_value(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<Response> {
    let value = broker.read_value(&caller, &id).await?;
    Ok(Json(ValueView::from(&value)).into_response())
}

/// Replaces what the owner gave.
///
/// It is tried first: a document against its schema, the rest by fetching a token. When that fails, everything is as it
/// was.
#[utoipa::path(
    put, path = "/v1/credentials/{id}/value", operation_id = "replace_value", tag = "credentials",
    params(
        ("id" = String, Path, description = "The credential"),
        ("Grantkeeper-User" = String, Header, description = "The platform's id of the owner"),
        ProjectHeader
    ),
    request_body = NewValue,
    responses(
        (status = 200, description = "The credential as it is now", body = CredentialView),
        AnyCall, WithBody, Problem<404>, Problem<409>, Problem<423>, Problem<502>
    )
)]
pub async fn replace_value(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<NewValue>,
) -> Result<Json<CredentialView>> {
    Ok(Json(broker.replace_value(&caller, &id, new).await?.into()))
}
