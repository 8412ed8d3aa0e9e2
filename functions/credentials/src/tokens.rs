//! `/v1/tokens`: many tokens in one call.

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::read_token::Delivered;
use grantkeeper::broker::read_tokens::TokensRequest;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProblemDocument, ProjectHeader, UserHeader, WithBody};
use grantkeeper::inbound::problem;
use grantkeeper::inbound::routes::RequestId;
use grantkeeper::inbound::value_view::DeliveredView;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One of the credentials that were asked: with its token, or with why there is none.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenItem)]
pub(crate) struct Item<'a> {
    /// The credential, as it was named.
    credential: &'a str,
    /// What `POST /v1/credentials/{id}/token` would answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<DeliveredView<'a>>,
    /// The problem that it would answer instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemDocument>)]
    problem: Option<Value>,
}

impl<'a> Item<'a> {
    fn of(credential: &'a str, read: &'a Result<Delivered>, request_id: &str) -> Self {
        match read {
            Ok(delivered) => Self { credential, token: Some(delivered.into()), problem: None },
            Err(error) => {
                Self { credential, token: None, problem: Some(problem::Problem::from(error).body(request_id)) }
            }
        }
    }
}

/// What was asked, in that order.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenItems)]
pub(crate) struct Items<'a> {
    /// Each credential with its token or its problem.
    items: Vec<Item<'a>>,
}

/// Delivers the access tokens of many credentials.
///
/// Each item is what the call for that credential alone would answer; one that fails does not fail the others. What
/// could not be refreshed in time is a problem `refreshing`: ask for it again.
#[utoipa::path(
    post, path = "/v1/tokens", operation_id = "read_tokens", tag = "credentials",
    params(ProjectHeader, UserHeader),
    request_body = TokensRequest,
    responses(
        (status = 200, description = "A token or a problem for each credential, in the order asked", body = Items),
        AnyCall, WithBody, Problem<422>
    )
)]
pub(crate) async fn tokens(
    State(broker): State<Broker>,
    caller: Caller,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Body(request): Body<TokensRequest>,
) -> Result<Response> {
    let read = broker.read_tokens(&caller, request).await?;
    let items = read.items().map(|(credential, read)| Item::of(credential, read, &request_id)).collect();
    Ok(Json(Items { items }).into_response())
}
