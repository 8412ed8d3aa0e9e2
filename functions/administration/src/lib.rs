//! The Lambda function that serves projects, keys and health.

mod keys;
mod projects;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::error::Result;
use grantkeeper::inbound::{idempotency, routes};
use serde_json::json;

/// `/v1/projects`, `/v1/keys`, `/v1/health`, `/v1/ready`.
pub fn router(broker: Broker) -> Router {
    let layer = || middleware::from_fn_with_state(broker.clone(), idempotency::layer);
    let router = Router::new()
        .route(
            "/v1/projects",
            post(projects::create).layer(layer()).get(projects::list),
        )
        .route("/v1/projects/{id}", get(projects::read).patch(projects::update))
        .route("/v1/keys", post(keys::create).layer(layer()).get(keys::list))
        .route("/v1/keys/{id}", delete(keys::delete))
        .route("/v1/health", get(health))
        .route("/v1/ready", get(ready));
    routes::finish(router, broker)
}

/// Open: the process answers.
async fn health() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// Open, without detail: table, vault and keys can be reached.
async fn ready(State(broker): State<Broker>) -> Result<impl IntoResponse> {
    broker.check_ready().await?;
    Ok(Json(json!({ "status": "ready" })))
}
