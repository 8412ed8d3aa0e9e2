//! The Lambda function that opens connect sessions and starts authorization.

mod connect;
mod form;
mod view;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::open_session::NewSession;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, IdempotencyHeader, Problem, ProjectHeader, UserHeader, WithBody};
use grantkeeper::inbound::{idempotency, routes};
use lambda_http::http::StatusCode;
use utoipa::OpenApi;

use view::{OpenedView, SessionView};

#[derive(OpenApi)]
#[openapi(paths(open, read, delete, connect::show, connect::start))]
struct Document;

/// The calls of this function.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `/v1/connect-sessions` and `/connect/{token}`.
pub fn router(broker: Broker) -> Router {
    let create = post(open).layer(middleware::from_fn_with_state(broker.clone(), idempotency::layer));
    let router = Router::new()
        .route("/v1/connect-sessions", create)
        .route("/v1/connect-sessions/{id}", get(read).delete(delete))
        .route("/connect/{token}", get(connect::show).post(connect::start));
    routes::finish(router, broker)
}

/// Opens a connect session.
///
/// The platform's backend fixes what one person may connect, and sends that person to the link. The credential will
/// belong to the session's project.
#[utoipa::path(
    post, path = "/v1/connect-sessions", operation_id = "open_session", tag = "connect",
    params(ProjectHeader, UserHeader, IdempotencyHeader),
    request_body = NewSession,
    responses(
        (status = 201, description = "The session, with its link", body = OpenedView),
        AnyCall, WithBody, Problem<404>, Problem<409>
    )
)]
async fn open(State(broker): State<Broker>, caller: Caller, Body(new): Body<NewSession>) -> Result<Response> {
    let opened = broker.open_session(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(OpenedView::from(&opened))).into_response())
}

/// Reads a connect session.
#[utoipa::path(
    get, path = "/v1/connect-sessions/{id}", operation_id = "read_session", tag = "connect",
    params(("id" = String, Path, description = "The session"), ProjectHeader),
    responses((status = 200, description = "The session", body = SessionView), AnyCall, Problem<404>, Problem<422>)
)]
async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<Json<SessionView>> {
    let (session, flow, status) = broker.read_session(&caller, &id).await?;
    Ok(Json(view::session(session, flow, status)))
}

/// Deletes a connect session: its link stops working, and a flow at the authorization server comes to nothing.
#[utoipa::path(
    delete, path = "/v1/connect-sessions/{id}", operation_id = "delete_session", tag = "connect",
    params(("id" = String, Path, description = "The session"), ProjectHeader),
    responses((status = 204, description = "It is gone"), AnyCall, Problem<404>, Problem<422>)
)]
async fn delete(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    broker.delete_session(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
