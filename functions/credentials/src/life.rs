//! The life of a credential after it exists: change, suspension, end.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::change_credential::CredentialChange;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, Problem, ProjectHeader, UserHeader, WithBody};
use grantkeeper::inbound::view::CredentialView;

/// Changes a credential.
///
/// A platform key acts for the owner; a superuser key may set `suspended` and nothing else. What a superuser suspended
/// only a superuser lifts.
#[utoipa::path(
    patch, path = "/v1/credentials/{id}", operation_id = "update_credential", tag = "credentials",
    params(("id" = String, Path, description = "The credential"), ProjectHeader, UserHeader),
    request_body = CredentialChange,
    responses(
        (status = 200, description = "The credential as it is now", body = CredentialView),
        AnyCall, WithBody, Problem<404>, Problem<409>
    )
)]
pub(crate) async fn update(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<CredentialChange>,
) -> Result<Json<CredentialView>> {
    let changed = broker.change_credential(&caller, &id, change).await?;
    Ok(Json(CredentialView::of(&broker, changed).await))
}

/// Disconnects a credential.
///
/// Its token is not served any more at once, and its name is free. The grant is ended at the provider (RFC 7009), which
/// is tried until it is proven; then the status is `revoked`, and `evidence` says what the provider answered. That stays
/// readable for 30 days.
#[utoipa::path(
    delete, path = "/v1/credentials/{id}", operation_id = "disconnect_credential", tag = "credentials",
    params(
        ("id" = String, Path, description = "The credential"),
        ("Grantkeeper-User" = String, Header, description = "The platform's id of the owner"),
        ProjectHeader
    ),
    responses(
        (status = 202, description = "The credential, with the status `revoking`", body = CredentialView),
        AnyCall, Problem<404>, Problem<409>, Problem<422>
    )
)]
pub(crate) async fn disconnect(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<CredentialView>)> {
    let ending = broker.disconnect_credential(&caller, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(CredentialView::of(&broker, ending).await)))
}
