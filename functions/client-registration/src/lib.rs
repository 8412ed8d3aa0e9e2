//! The Lambda function that registers OAuth clients.

mod lint;
mod openapi;
mod providers;
mod secrets;
mod variables;
mod view;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, IdempotencyHeader, Problem, ProjectHeader, WithBody};
use grantkeeper::inbound::query::{ListQuery, Listing, page};
use grantkeeper::inbound::{idempotency, routes};
use grantkeeper::model::ids::ProjectId;
use lambda_http::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

pub use openapi::openapi;
use view::ClientView;

/// A page of clients.
type ClientList = Listing<ClientView>;

/// The filters of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Filters {
    /// Clients that this project may use.
    project: Option<ProjectId>,
    /// Clients that were taken from this entry of the catalogue.
    provider: Option<String>,
}

/// `/v1/providers` and `/v1/clients`.
pub fn router(broker: Broker) -> Router {
    let create = post(register).layer(middleware::from_fn_with_state(broker.clone(), idempotency::layer));
    let add_secret = post(secrets::add).layer(middleware::from_fn_with_state(broker.clone(), idempotency::layer));
    let router = Router::new()
        .route("/v1/providers", get(providers::list))
        .route("/v1/providers/{provider}", get(providers::read))
        .route("/v1/clients", create.get(list))
        .route("/v1/clients/{id}", get(read).patch(update).delete(delete))
        .route("/v1/clients/{id}/variables", get(variables::read))
        .route("/v1/clients/{id}/check", post(lint::check))
        .route("/v1/clients/{id}/secrets", add_secret)
        .route("/v1/clients/{id}/secrets/{secret}", axum::routing::delete(secrets::remove));
    routes::finish(router, broker)
}

/// Registers a client.
///
/// Calls nobody, except for discovery when `issuer` is given. A client that still lacks what its grants need is a draft
/// and already has its redirect URI.
#[utoipa::path(
    post, path = "/v1/clients", operation_id = "register_client", tag = "clients",
    params(ProjectHeader, IdempotencyHeader),
    request_body = openapi::NewClient,
    responses(
        (status = 201, description = "The client", body = ClientView),
        AnyCall, WithBody, Problem<409>, Problem<502>
    )
)]
async fn register(
    State(broker): State<Broker>,
    caller: Caller,
    Body(body): Body<Value>,
) -> Result<(StatusCode, Json<ClientView>)> {
    let client = broker.register_client(&caller, broker.new_client(body)?).await?;
    Ok((StatusCode::CREATED, Json(view::client(client, &broker))))
}

/// Lists clients: those of a project with the global ones, or all.
#[utoipa::path(
    get, path = "/v1/clients", operation_id = "list_clients", tag = "clients",
    params(ProjectHeader, ListQuery<Filters>),
    responses((status = 200, description = "A page of clients", body = ClientList), AnyCall, Problem<422>)
)]
async fn list(State(broker): State<Broker>, caller: Caller, query: ListQuery<Filters>) -> Result<Json<ClientList>> {
    let Filters { project, provider } = &query.filters;
    let (limit, cursor) = (query.limit, query.cursor.as_deref());
    let found = broker.list_clients(&caller, project.as_ref(), provider.as_deref(), limit, cursor).await?;
    Ok(Json(page(found, |client| view::client(client, &broker))))
}

/// Reads a client.
#[utoipa::path(
    get, path = "/v1/clients/{id}", operation_id = "read_client", tag = "clients",
    params(("id" = String, Path, description = "The client"), ProjectHeader),
    responses((status = 200, description = "The client", body = ClientView), AnyCall, Problem<404>, Problem<422>)
)]
async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<Json<ClientView>> {
    let client = broker.read_client(&caller, &id).await?;
    Ok(Json(view::client(client, &broker)))
}

/// Changes a client.
#[utoipa::path(
    patch, path = "/v1/clients/{id}", operation_id = "update_client", tag = "clients",
    params(("id" = String, Path, description = "The client"), ProjectHeader),
    request_body = openapi::ClientChange,
    responses(
        (status = 200, description = "The client as it is now", body = ClientView),
        AnyCall, WithBody, Problem<404>, Problem<409>, Problem<502>
    )
)]
async fn update(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(patch): Body<Value>,
) -> Result<Json<ClientView>> {
    let client = broker.update_client(&caller, &id, patch).await?;
    Ok(Json(view::client(client, &broker)))
}

/// Deletes a client.
#[utoipa::path(
    delete, path = "/v1/clients/{id}", operation_id = "delete_client", tag = "clients",
    params(("id" = String, Path, description = "The client"), ProjectHeader),
    responses((status = 204, description = "It is gone"), AnyCall, Problem<404>, Problem<422>)
)]
async fn delete(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    broker.delete_client(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
