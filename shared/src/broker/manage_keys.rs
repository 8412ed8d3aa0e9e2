//! API keys: make, list, delete.

use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::Fields;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::ids::{KeyId, ProjectId};
use crate::model::principal::{ApiKey, Everything, PERMISSIONS, Projects, Role};
use crate::secret::Secret;
use crate::store::Page;
use crate::vault::root_key::{random_token, sha256};

/// What every key begins with, so that scanners for leaked secrets recognise it.
pub const PREFIX: &str = "gk_";
/// The longest life of a key (days).
const MAX_LIFE_DAYS: i64 = 400;

/// How many keys are read at once when one is looked for.
const KEYS_PER_PAGE: u32 = 100;

/// The body of `POST /v1/keys`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// A list of project ids, or `"*"`.
    pub projects: Projects,
    /// Narrows the role.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// When it stops working; at most 400 days from now.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

impl Broker {
    /// Makes a key. Its value is returned once and stored only as a hash.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub async fn create_key(&self, caller: &Caller, new: NewKey) -> Result<(ApiKey, Secret<String>)> {
        caller.require(&[Role::Superuser], "keys:write")?;
        let now = self.now();
        let mut fields = Fields::default();
        fields.text("/name", &new.name);
        if new.expires_at <= now || new.expires_at > now + chrono::Duration::days(MAX_LIFE_DAYS) {
            let rule = format!("It must lie in the future, at most {MAX_LIFE_DAYS} days from now.");
            fields.wrong("/expires_at", "out_of_range", rule);
        }
        match &new.projects {
            Projects::Some(projects) => {
                if projects.is_empty() {
                    fields.wrong("/projects", "empty", "Name at least one project, or \"*\".");
                }
                for (index, project) in projects.iter().enumerate() {
                    let known =
                        caller.key.projects.contains(project) && self.store().find_project(project).await?.is_some();
                    if !known {
                        fields.wrong(&format!("/projects/{index}"), "unknown_project", "There is no such project.");
                    }
                }
            }
            Projects::All(_) if !matches!(caller.key.projects, Projects::All(_)) => {
                fields.wrong("/projects", "not_allowed", "A key for some projects cannot make one for all.");
            }
            Projects::All(_) => {}
        }
        // A key that was narrowed makes only keys that are narrowed at least as far.
        if new.permissions.is_empty() && !caller.key.permissions.is_empty() {
            fields.wrong("/permissions", "not_allowed", "This key has permissions: name some of them for the new key.");
        }
        for (index, permission) in new.permissions.iter().enumerate() {
            let pointer = format!("/permissions/{index}");
            if !PERMISSIONS.contains(&permission.as_str()) {
                let known = format!("A permission is one of: {}.", PERMISSIONS.join(", "));
                fields.wrong(&pointer, "unknown_permission", known);
            } else if !caller.key.permits(permission) {
                fields.wrong(&pointer, "not_allowed", "This key does not have that permission itself.");
            }
        }
        fields.done()?;

        let value = Secret::new(format!("{PREFIX}{}", random_token()?.expose()));
        let key = ApiKey {
            id: KeyId::generate(),
            hash: sha256(value.expose()),
            name: new.name,
            role: new.role,
            projects: new.projects,
            permissions: new.permissions,
            expires_at: new.expires_at,
            created_at: now,
            last_used_at: None,
        };
        self.store().insert_key(&key).await?;
        Ok((key, value))
    }

    /// All keys that the caller oversees, without their values. A page may hold fewer than `limit` although more follow.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list_keys(&self, caller: &Caller, limit: u32, cursor: Option<&str>) -> Result<Page<ApiKey>> {
        caller.require(&[Role::Superuser], "keys:read")?;
        let mut page = self.store().list_keys(limit, cursor).await?;
        page.items.retain(|key| oversees(caller, key));
        Ok(page)
    }

    /// Deletes a key. Processes that used it lately believe in it for at most 30 seconds more.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_key(&self, caller: &Caller, id: &str) -> Result<()> {
        caller.require(&[Role::Superuser], "keys:write")?;
        let id = KeyId::parse(id).map_err(|_| Error::NotFound)?;
        if caller.key.id == id {
            return Err(Error::Conflict {
                code: "own_key",
                detail: "A key cannot delete itself.".to_owned(),
                advice: &["Use another superuser key."],
            });
        }
        if self.may_delete_key(caller, &id).await? && self.store().delete_key(&id).await? {
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }

    /// A superuser of some projects is rare, and so is the walk through the list that finds what a key is for.
    async fn may_delete_key(&self, caller: &Caller, id: &KeyId) -> Result<bool> {
        if matches!(caller.key.projects, Projects::All(_)) {
            return Ok(true);
        }
        let mut cursor = None;
        loop {
            let page = self.store().list_keys(KEYS_PER_PAGE, cursor.as_deref()).await?;
            if let Some(key) = page.items.iter().find(|key| key.id == *id) {
                return Ok(oversees(caller, key));
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(false);
            }
        }
    }

    /// Makes sure that a project and a key exist, as the local stack does at its start.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn ensure_key(
        &self,
        name: &str,
        role: Role,
        projects: Projects,
        value: &Secret<String>,
        expires_at: Timestamp,
    ) -> Result<()> {
        let hash = sha256(value.expose());
        let id = self.store().find_key(&hash).await?.map_or_else(KeyId::generate, |known| known.id);
        let key = ApiKey {
            id,
            hash,
            name: name.to_owned(),
            role,
            projects,
            permissions: Vec::new(),
            expires_at,
            created_at: self.now(),
            last_used_at: None,
        };
        Ok(self.store().put_key(&key).await?)
    }

    /// Deletes a key by its value, as the local stack does with a key that was replaced.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn revoke_key(&self, value: &Secret<String>) -> Result<()> {
        if let Some(key) = self.store().find_key(&sha256(value.expose())).await? {
            self.store().delete_key(&key.id).await?;
        }
        Ok(())
    }

    /// The operator's first superuser key, of which the configuration holds only the hash.
    pub(crate) fn bootstrap_key(&self, hash: &str) -> Option<ApiKey> {
        let now = self.now();
        let configured = self.config().bootstrap_key_sha256.as_deref()?;
        (configured == hash).then(|| ApiKey {
            id: KeyId::generate(),
            hash: hash.to_owned(),
            name: "bootstrap".to_owned(),
            role: Role::Superuser,
            projects: Projects::All(Everything::Everything),
            permissions: Vec::new(),
            expires_at: now + chrono::Duration::days(1),
            created_at: now,
            // It is not in the table, so there is nothing to record.
            last_used_at: Some(now),
        })
    }

    /// Projects of a key that is for one project.
    pub fn only(project: &ProjectId) -> Projects {
        Projects::Some(vec![project.clone()])
    }
}

/// Whether all projects of a key are among the caller's own.
fn oversees(caller: &Caller, key: &ApiKey) -> bool {
    match (&caller.key.projects, &key.projects) {
        (Projects::All(_), _) => true,
        (Projects::Some(_), Projects::All(_)) => false,
        (own, Projects::Some(theirs)) => theirs.iter().all(|project| own.contains(project)),
    }
}
