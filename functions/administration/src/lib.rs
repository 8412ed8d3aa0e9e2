//! The Lambda function that serves projects, keys, health and the API's description.

mod keys;
mod projects;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::error::Result;
use grantkeeper::inbound::openapi::{Flattened, Problem};
use grantkeeper::inbound::{idempotency, routes};
use lambda_http::http::header;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(
    paths(
        projects::create, projects::list, projects::read, projects::update,
        keys::create, keys::list, keys::delete,
        health, ready, describe
    ),
    modifiers(&Flattened)
)]
struct Document;

/// The calls of this function.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `/v1/projects`, `/v1/keys`, `/v1/health`, `/v1/ready`, `/v1/openapi.json`.
pub fn router(broker: Broker) -> Router {
    let layer = || middleware::from_fn_with_state(broker.clone(), idempotency::layer);
    let router = Router::new()
        .route("/v1/projects", post(projects::create).layer(layer()).get(projects::list))
        .route("/v1/projects/{id}", get(projects::read).patch(projects::update))
        .route("/v1/keys", post(keys::create).layer(layer()).get(keys::list))
        .route("/v1/keys/{id}", delete(keys::delete))
        .route("/v1/health", get(health))
        .route("/v1/ready", get(ready))
        .route("/v1/openapi.json", get(describe));
    routes::finish(router, broker)
}

/// How the stack is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// Says that the process answers.
#[utoipa::path(
    get, path = "/v1/health", operation_id = "health", tag = "administration", security(()),
    responses((status = 200, description = "It answers", body = Health))
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Says whether table, vault and keys can be reached, without detail.
#[utoipa::path(
    get, path = "/v1/ready", operation_id = "ready", tag = "administration", security(()),
    responses((status = 200, description = "They can", body = Health), Problem<500>, Problem<503>)
)]
async fn ready(State(broker): State<Broker>) -> Result<Json<Health>> {
    broker.check_ready().await?;
    Ok(Json(Health { status: "ready" }))
}

/// Describes the API: this document, OpenAPI 3.1.
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "describe", tag = "administration", security(()),
    responses((status = 200, description = "The document", body = Object, content_type = "application/json"))
)]
async fn describe() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("../openapi.json"))
}
