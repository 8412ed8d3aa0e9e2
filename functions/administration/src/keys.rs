//! `/v1/keys`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_keys::NewKey;
use grantkeeper::clock::Timestamp;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, IdempotencyHeader, Problem, WithBody};
use grantkeeper::inbound::query::{ListQuery, Listing, NoFilters, page};
use grantkeeper::model::ids::KeyId;
use grantkeeper::model::principal::{ApiKey, Projects, Role};
use lambda_http::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// An API key: never the key itself.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// Its public name.
    id: KeyId,
    /// A name for people.
    name: String,
    /// What it may do.
    role: Role,
    /// Where: a list of projects, or `*`.
    projects: Projects,
    /// Narrows the role; empty: the whole role.
    permissions: Vec<String>,
    /// When it stops working.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to the day. A key that nobody used for 90 days disables itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            role: key.role,
            projects: key.projects,
            permissions: key.permissions,
            expires_at: key.expires_at,
            created_at: key.created_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// A page of keys.
type KeyList = Listing<KeyView>;

/// An API key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedKey)]
pub struct CreatedView<'a> {
    #[serde(flatten)]
    view: KeyView,
    /// The key itself: in this answer and in no other.
    key: &'a str,
}

/// Makes an API key. The key itself is in this answer and in no other.
#[utoipa::path(
    post, path = "/v1/keys", operation_id = "create_key", tag = "administration",
    params(IdempotencyHeader),
    request_body = NewKey,
    responses((status = 201, description = "The key", body = CreatedView), AnyCall, WithBody, Problem<409>)
)]
pub async fn create(State(broker): State<Broker>, caller: Caller, Body(new): Body<NewKey>) -> Result<Response> {
    let (key, value) = broker.create_key(&caller, new).await?;
    let created = CreatedView { view: key.into(), key: value.expose() };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// Lists API keys.
#[utoipa::path(
    get, path = "/v1/keys", operation_id = "list_keys", tag = "administration",
    params(ListQuery<NoFilters>),
    responses((status = 200, description = "A page of keys", body = KeyList), AnyCall)
)]
pub async fn list(State(broker): State<Broker>, caller: Caller, query: ListQuery<NoFilters>) -> Result<Json<KeyList>> {
    let found = broker.list_keys(&caller, query.limit, query.cursor.as_deref()).await?;
    Ok(Json(page(found, KeyView::from)))
}

/// Deletes an API key; a key cannot delete itself.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", operation_id = "delete_key", tag = "administration",
    params(("id" = String, Path, description = "The key's public name")),
    responses((status = 204, description = "It is gone"), AnyCall, Problem<404>, Problem<409>)
)]
pub async fn delete(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    broker.delete_key(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
