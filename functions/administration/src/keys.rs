//! `/v1/keys`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_keys::NewKey;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::query::{ListQuery, NoFilters, page};
use grantkeeper::model::principal::ApiKey;
use lambda_http::http::StatusCode;
use serde_json::{Value, json};

/// The key itself is in this answer and in no other.
pub async fn create(
    State(broker): State<Broker>,
    caller: Caller,
    Body(new): Body<NewKey>,
) -> Result<impl IntoResponse> {
    let (key, value) = broker.create_key(&caller, new).await?;
    let mut view = view(&key);
    if let Some(view) = view.as_object_mut() {
        view.insert("key".to_owned(), value.expose().as_str().into());
    }
    Ok((StatusCode::CREATED, Json(view)))
}

pub async fn list(
    State(broker): State<Broker>,
    caller: Caller,
    query: ListQuery<NoFilters>,
) -> Result<impl IntoResponse> {
    Ok(Json(page(
        broker.list_keys(&caller, query.limit, query.cursor.as_deref()).await?,
        view,
    )))
}

pub async fn delete(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    broker.delete_key(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "projects": key.projects,
        "permissions": key.permissions,
        "expires_at": key.expires_at,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
    })
}
