//! Credentials: read and list. Metadata only.

use super::Broker;
use super::access::Caller;
use crate::error::Result;
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::forecast::RefreshForecast;
use crate::model::ids::ProjectId;
use crate::model::principal::Role;
use crate::store::Page;

/// What a list is narrowed to.
#[derive(Default)]
pub struct CredentialFilter {
    /// The project, where the key is for several.
    pub project: Option<ProjectId>,
    /// The owner.
    pub owner: Option<String>,
    /// The client.
    pub client: Option<String>,
    /// The status. Without one, what is disconnected and done with is left out.
    pub status: Option<CredentialStatus>,
    /// The platform's id.
    pub external_id: Option<String>,
}

impl CredentialFilter {
    fn admits(&self, credential: &Credential) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == credential.owner)
            && self
                .client
                .as_ref()
                .is_none_or(|client| credential.client.as_ref().is_some_and(|known| known.as_str() == client))
            && match self.status {
                Some(status) => status == credential.shown_status(),
                None => credential.status != CredentialStatus::Revoked,
            }
            && self.external_id.as_ref().is_none_or(|id| credential.external_id.as_ref() == Some(id))
    }
}

/// How many pages of the store are looked at for one page of a filtered list.
const LOOKS: u32 = 20;

impl Broker {
    /// A credential of the caller's project, or one that is shared with it.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn read_credential(&self, caller: &Caller, id: &str) -> Result<Credential> {
        caller.require(&[Role::Superuser, Role::Platform], "credentials:read")?;
        let project = caller.project(None)?;
        self.credential_of(&project, id).await
    }

    /// When the refresh token of a credential dies, as far as it is known. A client that cannot be read now, or that is
    /// gone, foretells nothing.
    pub async fn refresh_forecast(&self, credential: &Credential) -> Option<RefreshForecast> {
        let client = credential.client.as_ref().filter(|_| credential.lives_by_refresh_token())?;
        credential.refresh_forecast(&self.client(client).await.ok()?.settings)
    }

    /// Credentials of a project, and those that are shared with it. A page may hold fewer than `limit` although more follow.
    ///
    /// # Errors
    /// [`crate::error::Error::Forbidden`] for a project that the key is not for.
    pub async fn list_credentials(
        &self,
        caller: &Caller,
        filter: &CredentialFilter,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Credential>> {
        caller.require(&[Role::Superuser, Role::Platform], "credentials:read")?;
        let project = caller.project(filter.project.as_ref())?;
        let mut page = Page { items: Vec::new(), next: cursor.map(str::to_owned) };
        // A filter that admits few must not lead to a caller who sees an empty page and stops: some more are looked at.
        for _ in 0..LOOKS {
            let wanted = limit.saturating_sub(u32::try_from(page.items.len()).unwrap_or(limit));
            let more = self.store().list_credentials(&project, wanted, page.next.as_deref()).await?;
            page.items.extend(more.items.into_iter().filter(|credential| filter.admits(credential)));
            page.next = more.next;
            if page.next.is_none() || page.items.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                break;
            }
        }
        Ok(page)
    }
}
