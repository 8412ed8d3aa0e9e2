//! The Lambda function that registers OAuth clients.

mod view;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::register_client::{NewClient, parse_client};
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::query::{ListQuery, page};
use grantkeeper::inbound::{idempotency, routes};
use grantkeeper::model::ids::ProjectId;
use lambda_http::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// The filters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filters {
    project: Option<ProjectId>,
}

/// `/v1/clients`.
pub fn router(broker: Broker) -> Router {
    let create = post(register).layer(middleware::from_fn_with_state(broker.clone(), idempotency::layer));
    let router = Router::new()
        .route("/v1/clients", create.get(list))
        .route("/v1/clients/{id}", get(read).patch(update).delete(delete));
    routes::finish(router, broker)
}

async fn register(State(broker): State<Broker>, caller: Caller, Body(body): Body<Value>) -> Result<impl IntoResponse> {
    let (settings, client_secret, client_key) = parse_client(body)?;
    let client = broker
        .register_client(
            &caller,
            NewClient {
                settings,
                client_secret,
                client_key,
            },
        )
        .await?;
    Ok((StatusCode::CREATED, Json(view::client(&client, &broker))))
}

async fn list(State(broker): State<Broker>, caller: Caller, query: ListQuery<Filters>) -> Result<impl IntoResponse> {
    let project = query.filters.project.as_ref();
    let found = broker
        .list_clients(&caller, project, query.limit, query.cursor.as_deref())
        .await?;
    Ok(Json(page(found, |client| view::client(client, &broker))))
}

async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    Ok(Json(view::client(&broker.read_client(&caller, &id).await?, &broker)))
}

async fn update(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(patch): Body<Value>,
) -> Result<impl IntoResponse> {
    Ok(Json(view::client(
        &broker.update_client(&caller, &id, patch).await?,
        &broker,
    )))
}

async fn delete(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    broker.delete_client(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
