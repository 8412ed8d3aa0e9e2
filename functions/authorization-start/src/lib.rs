//! The Lambda function that opens connect sessions and starts authorization.

mod connect;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::open_session::NewSession;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::{idempotency, routes};
use lambda_http::http::StatusCode;
use serde_json::json;

/// `/v1/connect-sessions` and `/connect/{token}`.
pub fn router(broker: Broker) -> Router {
    let create = post(open).layer(middleware::from_fn_with_state(broker.clone(), idempotency::layer));
    let router = Router::new()
        .route("/v1/connect-sessions", create)
        .route("/v1/connect-sessions/{id}", get(read).delete(delete))
        .route("/connect/{token}", get(connect::show).post(connect::start));
    routes::finish(router, broker)
}

async fn open(State(broker): State<Broker>, caller: Caller, Body(new): Body<NewSession>) -> Result<impl IntoResponse> {
    let opened = broker.open_session(&caller, new).await?;
    let body = json!({
        "id": opened.session.id,
        "connect_url": opened.connect_url.expose(),
        "expires_at": opened.session.expires_at,
    });
    Ok((StatusCode::CREATED, Json(body)))
}

async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    let (session, flow, status) = broker.read_session(&caller, &id).await?;
    Ok(Json(json!({
        "id": session.id,
        "status": status.as_str(),
        "owner": session.owner,
        "flow": session.flow,
        "credential": flow.as_ref().and_then(|flow| flow.credential.clone()),
        "problem": flow.as_ref().and_then(|flow| flow.problem.clone()),
        "context": session.context,
        "created_at": session.created_at,
        "expires_at": session.expires_at,
    })))
}

async fn delete(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    broker.delete_session(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
