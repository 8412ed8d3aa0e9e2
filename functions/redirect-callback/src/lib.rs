//! The Lambda function that receives the redirect callback and completes flows.

mod callback;
mod view;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::complete_flow::Completion;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, UserHeader, WithBody};
use grantkeeper::inbound::routes;
use grantkeeper::inbound::view::CredentialView;
use lambda_http::http::StatusCode;
use utoipa::OpenApi;

use view::FlowView;

#[derive(OpenApi)]
#[openapi(paths(callback::receive, callback::bounce, read, complete))]
struct Document;

/// The calls of this function.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// `/callback/{client_key}` and `/v1/flows`.
pub fn router(broker: Broker) -> Router {
    let router = Router::new()
        .route("/callback/{client_key}", get(callback::receive).post(callback::bounce))
        .route("/v1/flows/{flow}", get(read))
        .route("/v1/flows/{flow}/complete", post(complete));
    routes::finish(router, broker)
}

/// Reads a flow.
#[utoipa::path(
    get, path = "/v1/flows/{flow}", operation_id = "read_flow", tag = "flows",
    params(("flow" = String, Path, description = "The flow"), ProjectHeader),
    responses((status = 200, description = "The flow", body = FlowView), AnyCall, Problem<404>, Problem<422>)
)]
async fn read(State(broker): State<Broker>, caller: Caller, Path(flow): Path<String>) -> Result<Json<FlowView>> {
    let flow = broker.read_flow(&caller, &flow).await?;
    Ok(Json(view::flow(flow, broker.now())))
}

/// Completes a flow: the code is exchanged, and the credential made.
///
/// The backend vouches that its signed-in person is the owner. Repeated by the same owner with the same code it gives
/// the same answer for 10 minutes. Another owner gets 409 `owner_mismatch`, and the code is destroyed.
#[utoipa::path(
    post, path = "/v1/flows/{flow}/complete", operation_id = "complete_flow", tag = "flows",
    params(("flow" = String, Path, description = "The flow"), ProjectHeader, UserHeader),
    request_body = Completion,
    responses(
        (status = 201, description = "The credential", body = CredentialView),
        AnyCall, WithBody, Problem<404>, Problem<409>, Problem<410>, Problem<502>
    )
)]
async fn complete(
    State(broker): State<Broker>,
    caller: Caller,
    Path(flow): Path<String>,
    Body(completion): Body<Completion>,
) -> Result<(StatusCode, Json<CredentialView>)> {
    let credential = broker.complete_flow(&caller, &flow, completion).await?;
    Ok((StatusCode::CREATED, Json(CredentialView::of(&broker, credential).await)))
}
