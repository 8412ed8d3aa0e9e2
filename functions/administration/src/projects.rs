//! `/v1/projects`.

use axum::Json;
use axum::extract::{Path, State};
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_projects::{NewProject, ProjectChange};
use grantkeeper::clock::Timestamp;
use grantkeeper::error::Result;
use grantkeeper::inbound::body::Body;
use grantkeeper::inbound::openapi::{AnyCall, IdempotencyHeader, Problem, WithBody};
use grantkeeper::inbound::query::{ListQuery, Listing, NoFilters, page};
use grantkeeper::model::ids::ProjectId;
use grantkeeper::model::project::{Policies, Project};
use lambda_http::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// A project: the unit of isolation.
#[derive(Serialize, ToSchema)]
#[schema(as = Project)]
pub struct ProjectView {
    id: ProjectId,
    /// A name for people.
    name: String,
    /// A name for URLs and scripts, unique in the stack.
    slug: String,
    /// What is allowed beyond the default.
    policies: Policies,
    /// Pages to which people may return, compared character by character.
    return_urls: Vec<String>,
    /// Where people consent again; `{credential}` stands for the credential's id.
    reauthorize_url: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A page of projects.
type ProjectList = Listing<ProjectView>;

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            name: project.name,
            slug: project.slug,
            policies: project.policies,
            return_urls: project.return_urls,
            reauthorize_url: project.reauthorize_url,
            created_at: project.created_at,
        }
    }
}

/// Makes a project.
#[utoipa::path(
    post, path = "/v1/projects", operation_id = "create_project", tag = "administration",
    params(IdempotencyHeader),
    request_body = NewProject,
    responses((status = 201, description = "The project", body = ProjectView), AnyCall, WithBody, Problem<409>)
)]
pub async fn create(
    State(broker): State<Broker>,
    caller: Caller,
    Body(new): Body<NewProject>,
) -> Result<(StatusCode, Json<ProjectView>)> {
    let project = broker.create_project(&caller, new).await?;
    Ok((StatusCode::CREATED, Json(project.into())))
}

/// Lists the projects that the key is for.
#[utoipa::path(
    get, path = "/v1/projects", operation_id = "list_projects", tag = "administration",
    params(ListQuery<NoFilters>),
    responses((status = 200, description = "A page of projects", body = ProjectList), AnyCall)
)]
pub async fn list(
    State(broker): State<Broker>,
    caller: Caller,
    query: ListQuery<NoFilters>,
) -> Result<Json<ProjectList>> {
    let found = broker.list_projects(&caller, query.limit, query.cursor.as_deref()).await?;
    Ok(Json(page(found, ProjectView::from)))
}

/// Reads a project.
#[utoipa::path(
    get, path = "/v1/projects/{id}", operation_id = "read_project", tag = "administration",
    params(("id" = String, Path, description = "The project")),
    responses((status = 200, description = "The project", body = ProjectView), AnyCall, Problem<404>)
)]
pub async fn read(State(broker): State<Broker>, caller: Caller, Path(id): Path<String>) -> Result<Json<ProjectView>> {
    Ok(Json(broker.read_project(&caller, &id).await?.into()))
}

/// Changes a project.
#[utoipa::path(
    patch, path = "/v1/projects/{id}", operation_id = "update_project", tag = "administration",
    params(("id" = String, Path, description = "The project")),
    request_body = ProjectChange,
    responses(
        (status = 200, description = "The project as it is now", body = ProjectView),
        AnyCall, WithBody, Problem<404>
    )
)]
pub async fn update(
    State(broker): State<Broker>,
    caller: Caller,
    Path(id): Path<String>,
    Body(change): Body<ProjectChange>,
) -> Result<Json<ProjectView>> {
    Ok(Json(broker.update_project(&caller, &id, change).await?.into()))
}
