//! `POST /v1/credentials`.

use axum::Json;
use axum::extract::State;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::create_credential::NewCredential;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, IdempotencyHeader, Problem, ProjectHeader, UserHeader, WithBody};
use grantkeeper::inbound::view::CredentialView;
use lambda_http::http::StatusCode;

/// Makes a credential without a browser.
///
/// The body has one of three forms. With `kind: raw` a JSON document is stored; with `import`, tokens that were obtained
/// elsewhere are. Otherwise a token is fetched first, by the grant that `grant_type` names, and nothing is stored when
/// none comes.
#[utoipa::path(
    post, path = "/v1/credentials", operation_id = "create_credential", tag = "credentials",
    params(ProjectHeader, UserHeader, IdempotencyHeader),
    request_body = NewCredential,
    responses(
        (status = 201, description = "The credential", body = CredentialView),
        AnyCall, WithBody, Problem<409>, Problem<502>
    )
)]
pub async fn create(
    State(broker): State<Broker>,
    caller: Caller,
    Body(new): Body<NewCredential>,
) -> Result<(StatusCode, Json<CredentialView>)> {
    let credential = broker.create_credential(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(credential.into())))
}
