//! Projects: make, read, change.

use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::Fields;
use crate::error::{Error, Result};
use crate::model::ids::ProjectId;
use crate::model::principal::{Projects, Role};
use crate::model::project::{Policies, Project};
use crate::store::{Page, StoreError};

/// The body of `POST /v1/projects`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// A name for people.
    pub name: String,
    /// A name for URLs and scripts: lower-case letters, digits and hyphens. Made from `name` when absent.
    #[serde(default)]
    pub slug: Option<String>,
    /// What is allowed beyond the default.
    #[serde(default)]
    pub policies: Policies,
    /// Pages to which people may return, compared character by character.
    #[serde(default)]
    pub return_urls: Vec<String>,
    /// Where people consent again; `{credential}` stands for the credential's id.
    #[serde(default)]
    pub reauthorize_url: Option<String>,
}

/// The body of `PATCH /v1/projects/{id}`: what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectChange {
    /// A name for people.
    pub name: Option<String>,
    /// What is allowed beyond the default; replaces all policies.
    pub policies: Option<Policies>,
    /// Pages to which people may return; replaces the list.
    pub return_urls: Option<Vec<String>>,
    /// Where people consent again; an empty text removes it.
    pub reauthorize_url: Option<String>,
}

impl Broker {
    /// Makes a project.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] when the slug is taken; [`Error::Forbidden`] for a key of some projects.
    pub async fn create_project(&self, caller: &Caller, new: NewProject) -> Result<Project> {
        caller.require(&[Role::Superuser], "projects:write")?;
        if !matches!(caller.key.projects, Projects::All(_)) {
            return Err(Error::Forbidden {
                code: "project_not_allowed",
                detail: "This key is for some projects, and makes none beside them.".to_owned(),
            });
        }
        let project = Project {
            id: ProjectId::generate(),
            slug: new.slug.unwrap_or_else(|| slug_of(&new.name)),
            name: new.name,
            policies: new.policies,
            return_urls: new.return_urls,
            reauthorize_url: new.reauthorize_url,
            created_at: self.now(),
        };
        self.validate_project(&project)?;
        match self.store().insert_project(&project).await {
            Err(StoreError::AlreadyExists) => Err(Error::Conflict {
                code: "slug_taken",
                detail: format!("Another project has the slug {:?}.", project.slug),
                advice: &["Choose another slug."],
            }),
            other => Ok(other.map(|()| project)?),
        }
    }

    /// A project that the key is for.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_project(&self, caller: &Caller, id: &str) -> Result<Project> {
        caller.require(&[Role::Superuser, Role::Platform], "projects:read")?;
        let id = ProjectId::parse(id).map_err(|_| Error::NotFound)?;
        if !caller.key.projects.contains(&id) {
            return Err(Error::NotFound);
        }
        self.store().find_project(&id).await?.ok_or(Error::NotFound)
    }

    /// All projects.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list_projects(&self, caller: &Caller, limit: u32, cursor: Option<&str>) -> Result<Page<Project>> {
        caller.require(&[Role::Superuser], "projects:read")?;
        let mut page = self.store().list_projects(limit, cursor).await?;
        page.items.retain(|project| caller.key.projects.contains(&project.id));
        Ok(page)
    }

    /// Changes a project.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`].
    pub async fn update_project(&self, caller: &Caller, id: &str, change: ProjectChange) -> Result<Project> {
        caller.require(&[Role::Superuser], "projects:write")?;
        let old = self.read_project(caller, id).await?;
        let project = Project {
            name: change.name.unwrap_or(old.name),
            policies: change.policies.unwrap_or(old.policies),
            return_urls: change.return_urls.unwrap_or(old.return_urls),
            reauthorize_url: match change.reauthorize_url {
                Some(url) => Some(url).filter(|url| !url.is_empty()),
                None => old.reauthorize_url,
            },
            ..old
        };
        self.validate_project(&project)?;
        self.store().update_project(&project).await?;
        self.inner.projects.remove(&project.id);
        Ok(project)
    }

    fn validate_project(&self, project: &Project) -> Result<()> {
        let mut fields = Fields::default();
        fields.text("/name", &project.name);
        let slug = &project.slug;
        let sluggish = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if slug.is_empty() || slug.len() > 63 || !slug.bytes().all(sluggish) {
            fields.wrong("/slug", "not_a_slug", "A slug has 1 to 63 lower-case letters, digits and hyphens.");
        }
        self.check_return_urls(&mut fields, "/return_urls", &project.return_urls);
        if let Some(url) = &project.reauthorize_url {
            let plain = url.replace("{credential}", "crd");
            self.check_return_urls(&mut fields, "/reauthorize_url", &[plain]);
        }
        if let Some(scopes) = &project.policies.allowed_scopes {
            fields.scopes("/policies/allowed_scopes", scopes);
        }
        fields.done()
    }
}

fn slug_of(name: &str) -> String {
    let lowered = name.to_lowercase();
    let words = lowered.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() {
        ProjectId::generate().as_str().to_lowercase().replace('_', "-")
    } else {
        slug.chars().take(63).collect()
    }
}
