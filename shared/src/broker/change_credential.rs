//! Changes what people say of a credential: its name and labels, whose it is, who may use it, and with which values.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::{Fields, MAX_ENTRIES};
use crate::error::{Error, Result};
use crate::model::credential::{AccountKind, Credential};
use crate::model::ids::ProjectId;
use crate::model::principal::Role;
use crate::model::variable::GivenValue;
use crate::refresh::suspended::is_unverified;
use crate::store::StoreError;

/// The body of `PATCH /v1/credentials/{id}`: what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CredentialChange {
    /// The name, unique per owner and project.
    #[serde(default)]
    pub name: Option<String>,
    /// The platform's labels; replaces all.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// A person's own account, or the integration's.
    #[serde(default)]
    pub account_kind: Option<AccountKind>,
    /// The platform's id for it; null removes it.
    #[serde(default, deserialize_with = "also_null")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// The projects whose programs may read its token; replaces all. Its own project is always one of them, named or not.
    #[serde(default)]
    pub projects: Option<Vec<String>>,
    /// The person whom it belongs to from now on.
    #[serde(default)]
    pub owner: Option<String>,
    /// Values of its client's variables, over those that it has; an empty text removes one. No secret ones.
    #[serde(default)]
    pub variables: Option<BTreeMap<String, GivenValue>>,
    /// True: it gives no token and is not refreshed. False: it goes on where it stood; what the provider granted beyond
    /// what was asked is accepted with that.
    #[serde(default)]
    pub suspended: Option<bool>,
}

fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl CredentialChange {
    fn only_suspends(&self) -> bool {
        let Self { name, labels, account_kind, external_id, projects, owner, variables, suspended: _ } = self;
        name.is_none()
            && labels.is_none()
            && account_kind.is_none()
            && external_id.is_none()
            && projects.is_none()
            && owner.is_none()
            && variables.is_none()
    }
}

impl Broker {
    /// Changes a credential for its owner, or suspends it for a superuser.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Invalid`]; [`Error::Conflict`] when the name is taken or a value
    /// would move an endpoint; [`Error::Revoked`] for one that was disconnected.
    pub async fn change_credential(&self, caller: &Caller, id: &str, change: CredentialChange) -> Result<Credential> {
        caller.require(&[Role::Platform, Role::Superuser], "credentials:write")?;
        let old = match caller.key.role {
            Role::Superuser if change.only_suspends() => self.own_credential(&caller.project(None)?, id).await?,
            Role::Superuser => {
                return Err(Error::Forbidden {
                    code: "role_not_allowed",
                    detail: "A superuser key may suspend a credential and nothing else.".to_owned(),
                });
            }
            Role::Platform | Role::Runner => self.owned_credential(caller, id).await?,
        };
        if old.is_ended() {
            return Err(Error::Revoked);
        }
        let suspended = change.suspended;
        let mut new = self.changed(caller, &old, change).await?;
        if new != old {
            match self.store().update_credential(&old, &new).await {
                Err(StoreError::AlreadyExists) => return Err(super::open_session::name_taken()),
                other => other?,
            }
            tracing::info!(
                credential = %new.id, key = %caller.key.id, user = caller.user.as_deref(),
                transferred = new.owner != old.owner, shared = ?new.projects, "credential changed"
            );
        }
        if new.choices != old.choices {
            let client = self.client_of_credential(&new).await?;
            new = self.note_account(&client, new, false).await;
        }
        let Some(suspended) = suspended else { return Ok(new) };
        let unverified = is_unverified(&new);
        let now = self.set_suspended(caller, new, suspended).await?;
        // Its owner accepts whose account it is: the next consent is compared with that one.
        match unverified && !is_unverified(&now) && now.client.is_some() {
            true => Ok(self.note_account(&*self.client_of_credential(&now).await?, now, true).await),
            false => Ok(now),
        }
    }

    async fn changed(&self, caller: &Caller, old: &Credential, change: CredentialChange) -> Result<Credential> {
        let mut fields = Fields::default();
        let projects = match &change.projects {
            Some(given) => self.accept_projects(&mut fields, caller, &old.project, &old.projects, given).await?,
            None => old.projects.clone(),
        };
        let mut new = Credential {
            name: change.name.unwrap_or_else(|| old.name.clone()),
            labels: change.labels.unwrap_or_else(|| old.labels.clone()),
            account_kind: change.account_kind.unwrap_or(old.account_kind),
            external_id: change.external_id.unwrap_or_else(|| old.external_id.clone()),
            owner: change.owner.unwrap_or_else(|| old.owner.clone()),
            projects,
            ..old.clone()
        };
        fields.text("/name", &new.name);
        fields.text("/owner", &new.owner);
        fields.text_opt("/external_id", new.external_id.as_ref());
        fields.labels("/labels", &new.labels);
        fields.done()?;
        if let Some(mut given) = change.variables {
            let chosen = match &old.client {
                Some(_) => self.choose(&*self.client_of_credential(old).await?, old, &mut given).await?,
                None => old.clone(),
            };
            // What was chosen alone leads nowhere new.
            new.variables = match given.is_empty() && chosen != *old {
                true => chosen.variables,
                false => self.change_variables(&chosen, given).await?,
            };
            new.choices = chosen.choices;
        }
        Ok(new)
    }

    /// The further projects of a credential, besides its `home`. New ones must be projects that the key is for; those
    /// that `had` it may stay.
    pub(crate) async fn accept_projects(
        &self,
        fields: &mut Fields,
        caller: &Caller,
        home: &ProjectId,
        had: &[ProjectId],
        given: &[String],
    ) -> Result<Vec<ProjectId>> {
        if given.len() > MAX_ENTRIES {
            fields.wrong("/projects", "too_many", format!("There may be at most {MAX_ENTRIES} projects."));
            return Ok(Vec::new());
        }
        let mut accepted = Vec::new();
        for (index, text) in given.iter().enumerate() {
            let known = match ProjectId::parse(text) {
                Ok(project) if project == *home || had.contains(&project) => Some(project),
                Ok(project) if caller.key.projects.contains(&project) => match self.project(&project).await {
                    Ok(_) => Some(project),
                    Err(Error::NotFound) => None,
                    Err(error) => return Err(error),
                },
                _ => None,
            };
            match known {
                Some(project) if project == *home || accepted.contains(&project) => {}
                Some(project) => accepted.push(project),
                None => {
                    let rule = "There is no such project among those that this key is for.";
                    fields.wrong(&format!("/projects/{index}"), "unknown_project", rule);
                }
            }
        }
        Ok(accepted)
    }
}
