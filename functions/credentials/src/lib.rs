//! The Lambda function that serves credentials and delivers access tokens.

mod attempts;
mod create;
mod life;
mod report;
mod test;
mod tokens;
mod told;
mod value;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_credentials::CredentialFilter;
use grantkeeper::broker::read_token::TokenRequest;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::OptionalBody;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, UserHeader, WithBody};
use grantkeeper::inbound::query::{ListQuery, Listing};
use grantkeeper::inbound::value_view::DeliveredView;
use grantkeeper::inbound::view::CredentialView;
use grantkeeper::inbound::{idempotency, routes};
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper::model::ids::ProjectId;
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(
    list,
    create::create,
    read,
    life::update,
    life::disconnect,
    attempts::list,
    value::read_value,
    value::replace_value,
    token,
    tokens::tokens,
    refresh,
    report::report,
    test::test
))]
struct Document;

/// The calls of this function.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// A page of credentials.
type CredentialList = Listing<CredentialView>;

/// The filters of the list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Filters {
    /// The project, where the key is for several.
    project: Option<ProjectId>,
    /// Credentials of this person.
    owner: Option<String>,
    /// Credentials made with this client.
    client: Option<String>,
    /// Credentials that stand there; without it, all but the revoked ones.
    status: Option<CredentialStatus>,
    /// The credential with the platform's id.
    external_id: Option<String>,
}

/// A call that takes no fields.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `/v1/credentials`.
pub fn router(broker: Broker) -> Router {
    let create = post(create::create).layer(middleware::from_fn_with_state(broker.clone(), idempotency::layer));
    let router = Router::new()
        .route("/v1/credentials", create.get(list))
        .route("/v1/credentials/{id}", get(read).patch(life::update).delete(life::disconnect))
        .route("/v1/credentials/{id}/attempts", get(attempts::list))
        .route("/v1/credentials/{id}/token", post(token))
        .route("/v1/credentials/{id}/refresh", post(refresh))
        .route("/v1/credentials/{id}/value", get(value::read_value).put(value::replace_value))
        .route("/v1/credentials/{id}/report", post(report::report))
        .route("/v1/credentials/{id}/test", post(test::test))
        .route("/v1/tokens", post(tokens::tokens));
    routes::finish(router, broker)
}

/// Lists credentials of a project, and those that are shared with it: metadata only. What is revoked is listed only where
/// `status` asks for it.
///
/// A page of a filtered list can have fewer items than `limit`, or none, before the end.
#[utoipa::path(
    get, path = "/v1/credentials", operation_id = "list_credentials", tag = "credentials",
    params(ProjectHeader, ListQuery<Filters>),
    responses(
        (status = 200, description = "A page of credentials", body = CredentialList),
        AnyCall, Problem<422>
    )
)]
async fn list(State(broker): State<Broker>, caller: Caller, query: ListQuery<Filters>) -> Result<Json<CredentialList>> {
    let Filters { project, owner, client, status, external_id } = query.filters;
    let filter = CredentialFilter { project, owner, client, status, external_id };
    let found = broker.list_credentials(&caller, &filter, query.limit, query.cursor.as_deref()).await?;
    Ok(Json(CredentialView::page_of(&broker, found).await))
}

/// Reads a credential: metadata only.
#[utoipa::path(
    get, path = "/v1/credentials/{id}", operation_id = "read_credential", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader),
    responses(
        (status = 200, description = "The credential", body = CredentialView),
        AnyCall, Problem<404>, Problem<422>
    )
)]
async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<Json<CredentialView>> {
    let found = broker.read_credential(&caller, &id).await?;
    Ok(Json(CredentialView::of(&broker, found).await))
}

/// Delivers an access token.
///
/// A token that is still valid is always served, whatever a refresh says. With less than `min_ttl` left the caller waits
/// (12 seconds at most) for one refresh.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/token", operation_id = "read_token", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader, UserHeader),
    request_body = Option<TokenRequest>,
    responses(
        (status = 200, description = "The access token, with what is needed to use it", body = DeliveredView),
        AnyCall, WithBody, Problem<404>, Problem<409>, Problem<423>, Problem<502>
    )
)]
async fn token(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalBody(request): OptionalBody<TokenRequest>,
) -> Result<Response> {
    let delivered = broker.read_token(&caller, &id, request).await?;
    Ok(Json(DeliveredView::from(&delivered)).into_response())
}

/// Refreshes a credential.
///
/// Always calls the provider, or joins a refresh under way; answers after the commit.
#[utoipa::path(
    post, path = "/v1/credentials/{id}/refresh", operation_id = "refresh_credential", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader),
    request_body = Option<Nothing>,
    responses(
        (status = 200, description = "The credential after the refresh", body = CredentialView),
        AnyCall, WithBody, Problem<404>, Problem<409>, Problem<423>, Problem<502>
    )
)]
async fn refresh(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<CredentialView>> {
    let refreshed = broker.refresh(&caller, &id).await?;
    Ok(Json(CredentialView::of(&broker, refreshed).await))
}
