//! The Lambda function that receives the redirect callback and completes flows.

mod callback;

use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::complete_flow::Completion;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::{routes, view};
use grantkeeper::model::flow::{Flow, FlowStatus};
use lambda_http::http::StatusCode;
use serde_json::{Value, json};

/// `/callback/{client_key}` and `/v1/flows`.
pub fn router(broker: Broker) -> Router {
    let router = Router::new()
        .route("/callback/{client_key}", get(callback::receive).post(callback::bounce))
        .route("/v1/flows/{flow}", get(read))
        .route("/v1/flows/{flow}/complete", post(complete));
    routes::finish(router, broker)
}

async fn read(State(broker): State<Broker>, caller: Caller, Path(flow): Path<String>) -> Result<impl IntoResponse> {
    let flow = broker.read_flow(&caller, &flow).await?;
    Ok(Json(view_flow(&flow, &broker)))
}

async fn complete(
    State(broker): State<Broker>,
    caller: Caller,
    Path(flow): Path<String>,
    Body(completion): Body<Completion>,
) -> Result<impl IntoResponse> {
    let credential = broker.complete_flow(&caller, &flow, completion).await?;
    Ok((StatusCode::CREATED, Json(view::credential(&credential))))
}

fn view_flow(flow: &Flow, broker: &Broker) -> Value {
    let status = match flow.status {
        FlowStatus::Pending if broker.now() >= flow.expires_at => "expired",
        FlowStatus::Pending => "pending",
        FlowStatus::Parked if flow.completion_expires_at.is_none_or(|at| broker.now() >= at) => "expired",
        FlowStatus::Parked | FlowStatus::Exchanging => "parked",
        FlowStatus::Completed => "completed",
        FlowStatus::Failed => "failed",
        FlowStatus::Voided => "expired",
    };
    json!({
        "id": flow.id,
        "status": status,
        "session": flow.session,
        "completion_expires_at": flow.completion_expires_at,
        "credential": flow.credential,
        "problem": flow.problem,
    })
}
