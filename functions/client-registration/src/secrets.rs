//! `/v1/clients/{id}/secrets`.

use axum::Json;
use axum::extract::{Path, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::rotate_secret::NewSecret;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, IdempotencyHeader, Problem, ProjectHeader, WithBody};
use grantkeeper::model::client::ClientSecret;
use lambda_http::http::StatusCode;

/// Adds a client secret, with overlap.
///
/// The new secret is tried first; the others are tried as well until they retire. Sign-ins under way go on.
#[utoipa::path(
    post, path = "/v1/clients/{id}/secrets", operation_id = "add_client_secret", tag = "clients",
    params(("id" = String, Path, description = "The client"), ProjectHeader, IdempotencyHeader),
    request_body = NewSecret,
    responses(
        (status = 201, description = "The secret, without its value", body = ClientSecret),
        AnyCall, WithBody, Problem<404>, Problem<409>
    )
)]
pub async fn add(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<NewSecret>,
) -> Result<(StatusCode, Json<ClientSecret>)> {
    Ok((StatusCode::CREATED, Json(broker.add_client_secret(&caller, &id, new).await?)))
}

/// Deletes a client secret: it is not tried any more.
#[utoipa::path(
    delete, path = "/v1/clients/{id}/secrets/{secret}", operation_id = "delete_client_secret", tag = "clients",
    params(
        ("id" = String, Path, description = "The client"),
        ("secret" = String, Path, description = "The secret's id"),
        ProjectHeader
    ),
    responses((status = 204, description = "It is gone"), AnyCall, Problem<404>, Problem<409>, Problem<422>)
)]
pub async fn remove(
    State(broker): State<Broker>,
    caller: Caller,
    Path((id, secret)): Path<(String, String)>,
) -> Result<StatusCode> {
    broker.delete_client_secret(&caller, &id, &secret).await?;
    Ok(StatusCode::NO_CONTENT)
}
