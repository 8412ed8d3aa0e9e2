//! Credentials: read, list, rename. Metadata only.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::Fields;
use crate::error::{Error, Result};
use crate::model::credential::{AccountKind, Credential, CredentialStatus};
use crate::model::ids::ProjectId;
use crate::model::principal::Role;
use crate::store::{Page, StoreError};

/// What a list is narrowed to.
#[derive(Default)]
pub struct CredentialFilter {
    /// The project, where the key is for several.
    pub project: Option<ProjectId>,
    /// The owner.
    pub owner: Option<String>,
    /// The client.
    pub client: Option<String>,
    /// The status.
    pub status: Option<CredentialStatus>,
    /// The platform's id.
    pub external_id: Option<String>,
}

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
}

impl CredentialFilter {
    fn admits(&self, credential: &Credential) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == credential.owner)
            && self
                .client
                .as_ref()
                .is_none_or(|client| credential.client.as_ref().is_some_and(|known| known.as_str() == client))
            && self.status.is_none_or(|status| status == credential.status)
            && self.external_id.as_ref().is_none_or(|id| credential.external_id.as_ref() == Some(id))
    }
}

impl Broker {
    /// A credential of the caller's project, or one that is shared with it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_credential(&self, caller: &Caller, id: &str) -> Result<Credential> {
        caller.require(&[Role::Superuser, Role::Platform], "credentials:read")?;
        let project = caller.project(None)?;
        self.credential_of(&project, id).await
    }

    /// Credentials of a project. A page may hold fewer than `limit` although more follow.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a project that the key is not for.
    pub async fn list_credentials(
        &self,
        caller: &Caller,
        filter: &CredentialFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Credential>> {
        caller.require(&[Role::Superuser, Role::Platform], "credentials:read")?;
        let project = caller.project(filter.project.as_ref())?;
        let mut page = self.store().list_credentials(&project, limit, cursor).await?;
        page.items.retain(|credential| filter.admits(credential));
        Ok(page)
    }

    /// Renames or relabels a credential.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when the name is taken.
    pub async fn update_credential(&self, caller: &Caller, id: &str, change: CredentialChange) -> Result<Credential> {
        caller.require(&[Role::Platform], "credentials:write")?;
        let user = caller.require_user()?;
        let old = self.own_credential(&caller.project(None)?, id).await?;
        if user != old.owner {
            return Err(Error::Forbidden {
                code: "not_the_owner",
                detail: "Only the credential's owner may change it.".to_owned(),
            });
        }
        let new = Credential {
            name: change.name.unwrap_or_else(|| old.name.clone()),
            labels: change.labels.unwrap_or_else(|| old.labels.clone()),
            account_kind: change.account_kind.unwrap_or(old.account_kind),
            ..old.clone()
        };
        let mut fields = Fields::default();
        fields.text("/name", &new.name);
        fields.labels("/labels", &new.labels);
        fields.done()?;
        match self.store().update_credential(&old, &new).await {
            Err(StoreError::AlreadyExists) => Err(super::open_session::name_taken()),
            other => Ok(other.map(|()| new)?),
        }
    }
}
