//! `/v1/projects`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_projects::{NewProject, ProjectChange};
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::query::{ListQuery, NoFilters, page};
use grantkeeper::model::project::Project;
use lambda_http::http::StatusCode;
use serde_json::{Value, json};

pub async fn create(
    State(broker): State<Broker>,
    caller: Caller,
    Body(new): Body<NewProject>,
) -> Result<impl IntoResponse> {
    Ok((
        StatusCode::CREATED,
        Json(view(&broker.create_project(&caller, new).await?)),
    ))
}

pub async fn list(
    State(broker): State<Broker>,
    caller: Caller,
    query: ListQuery<NoFilters>,
) -> Result<impl IntoResponse> {
    Ok(Json(page(
        broker
            .list_projects(&caller, query.limit, query.cursor.as_deref())
            .await?,
        view,
    )))
}

pub async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<impl IntoResponse> {
    Ok(Json(view(&broker.read_project(&caller, &id).await?)))
}

pub async fn update(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<ProjectChange>,
) -> Result<impl IntoResponse> {
    Ok(Json(view(&broker.update_project(&caller, &id, change).await?)))
}

fn view(project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "slug": project.slug,
        "policies": project.policies,
        "return_urls": project.return_urls,
        "reauthorize_url": project.reauthorize_url,
        "created_at": project.created_at,
    })
}
