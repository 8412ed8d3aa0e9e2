//! The Lambda function that serves credentials and delivers access tokens.

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_credentials::{CredentialChange, CredentialFilter};
use grantkeeper::broker::read_token::TokenRequest;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::{Body, OptionalBody};
use grantkeeper::inbound::query::{ListQuery, page};
use grantkeeper::inbound::{routes, view};
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper::model::ids::ProjectId;
use serde::Deserialize;

/// The filters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filters {
    project: Option<ProjectId>,
    owner: Option<String>,
    client: Option<String>,
    status: Option<CredentialStatus>,
    external_id: Option<String>,
}

/// A call that takes no fields.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `/v1/credentials`.
pub fn router(broker: Broker) -> Router {
    let router = Router::new()
        .route("/v1/credentials", get(list))
        .route("/v1/credentials/{id}", get(read).patch(update))
        .route("/v1/credentials/{id}/token", post(token))
        .route("/v1/credentials/{id}/refresh", post(refresh));
    routes::finish(router, broker)
}

async fn list(State(broker): State<Broker>, caller: Caller, query: ListQuery<Filters>) -> Result<impl IntoResponse> {
    let Filters {
        project,
        owner,
        client,
        status,
        external_id,
    } = query.filters;
    let filter = CredentialFilter {
        project,
        owner,
        client,
        status,
        external_id,
    };
    let found = broker
        .list_credentials(&caller, &filter, query.limit, query.cursor.as_deref())
        .await?;
    Ok(Json(page(found, view::credential)))
}

async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    Ok(Json(view::credential(&broker.read_credential(&caller, &id).await?)))
}

async fn update(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<CredentialChange>,
) -> Result<impl IntoResponse> {
    Ok(Json(view::credential(
        &broker.update_credential(&caller, &id, change).await?,
    )))
}

async fn token(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalBody(request): OptionalBody<TokenRequest>,
) -> Result<impl IntoResponse> {
    Ok(Json(view::delivery(&broker.read_token(&caller, &id, request).await?)))
}

async fn refresh(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<impl IntoResponse> {
    Ok(Json(view::credential(&broker.refresh(&caller, &id).await?)))
}
