//! Who calls, and what they may do. The project comes from the key, never from what is asked for.

use std::sync::Arc;

use super::Broker;
use crate::error::{Error, Result};
use crate::model::ids::ProjectId;
use crate::model::principal::{ApiKey, Projects, Role};
use crate::secret::Secret;
use crate::vault::root_key::sha256;

/// An authenticated caller.
#[derive(Clone)]
pub struct Caller {
    /// The key that was presented.
    pub key: Arc<ApiKey>,
    /// The header `Grantkeeper-Project`.
    pub project: Option<String>,
    /// The header `Grantkeeper-User`: the person that the key acts for.
    pub user: Option<String>,
}

impl Caller {
    /// The project of this call: the key's only one, or the one that header or body name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the key is not for it; [`Error::Invalid`] when none or two are named.
    pub fn project(&self, in_body: Option<&ProjectId>) -> Result<ProjectId> {
        let header = self.project.as_deref();
        let body = in_body.map(ProjectId::as_str);
        if let (Some(header), Some(body)) = (header, body)
            && header != body
        {
            return Err(Error::field(
                "/project",
                "project_ambiguous",
                "The header Grantkeeper-Project names another project.",
            ));
        }
        match (header.or(body), &self.key.projects) {
            (Some(named), projects) => match ProjectId::parse(named) {
                Ok(project) if projects.contains(&project) => Ok(project),
                _ => Err(Error::Forbidden {
                    code: "project_not_allowed",
                    detail: "This key is not for the project that was named.".to_owned(),
                }),
            },
            (None, Projects::Some(list)) if list.len() == 1 => {
                list.first().cloned().ok_or(Error::Internal("no project"))
            }
            (None, _) => Err(Error::field(
                "",
                "project_required",
                "This key is for more than one project: name one in the header Grantkeeper-Project.",
            )),
        }
    }

    /// The project of a list: as [`Caller::project`], but a superuser need not name one.
    ///
    /// # Errors
    /// As [`Caller::project`].
    pub fn project_filter(&self, named: Option<&ProjectId>) -> Result<Option<ProjectId>> {
        let unnamed = named.is_none() && self.project.is_none();
        if unnamed && self.key.role == Role::Superuser && matches!(self.key.projects, Projects::All(_)) {
            return Ok(None);
        }
        self.project(named).map(Some)
    }

    /// Whether the key's role and permissions allow a call.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn require(&self, roles: &[Role], permission: &str) -> Result<()> {
        if !roles.contains(&self.key.role) {
            return Err(Error::Forbidden {
                code: "role_not_allowed",
                detail: format!("A {} key may not do this.", role_name(self.key.role)),
            });
        }
        if !self.key.permits(permission) {
            return Err(Error::Forbidden {
                code: "permission_missing",
                detail: format!("This key lacks the permission {permission}."),
            });
        }
        Ok(())
    }

    /// The person that the key acts for.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the header is missing.
    pub fn require_user(&self) -> Result<&str> {
        self.user.as_deref().ok_or_else(|| {
            Error::field("", "user_required", "Name the person you act for in the header Grantkeeper-User.")
        })
    }

    /// The header, where it is given, must name the owner in the body.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check_owner(&self, owner: &str) -> Result<()> {
        match self.user.as_deref() {
            Some(user) if user != owner => {
                Err(Error::field("/owner", "owner_differs", "The header Grantkeeper-User names another person."))
            }
            _ => Ok(()),
        }
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Superuser => "superuser",
        Role::Platform => "platform",
        Role::Runner => "runner",
    }
}

impl Broker {
    /// Finds the key that was presented. Unknown, expired, idle and deleted keys are not told apart.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`].
    pub async fn authenticate(&self, presented: &Secret<String>) -> Result<Arc<ApiKey>> {
        // Our keys are shorter; hashing megabytes for a stranger is work for nothing.
        if presented.expose().len() > 512 {
            return Err(Error::Unauthenticated);
        }
        let (hash, now) = (sha256(presented.expose()), self.now());
        let key = match self.inner.keys.get(&hash, now) {
            Some(key) => key,
            None => {
                let found = match self.store().find_key(&hash).await? {
                    Some(key) => key,
                    None => self.bootstrap_key(&hash).ok_or(Error::Unauthenticated)?,
                };
                if found.is_valid(now) && found.use_is_unrecorded(now) {
                    self.store().record_key_use(&hash, now).await?;
                }
                self.inner.keys.insert(hash, found, now)
            }
        };
        if key.is_valid(now) { Ok(key) } else { Err(Error::Unauthenticated) }
    }
}
