//! Finds a credential for a project: its own, or one of another project that is shared with it.

use super::Broker;
use super::access::Caller;
use crate::error::{Error, Result};
use crate::model::credential::Credential;
use crate::model::ids::{CredentialId, ProjectId};

impl Broker {
    /// A credential that the project has or that is shared with it. What the vault holds of it is at the place of
    /// `credential.project`, the home project, whoever asks.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for an id that cannot be one: the two are not told apart.
    pub(crate) async fn credential_of(&self, project: &ProjectId, id: &str) -> Result<Credential> {
        match self.own_credential(project, id).await {
            Err(Error::NotFound) => {
                let id = CredentialId::parse(id).map_err(|_| Error::NotFound)?;
                self.store().find_shared_credential(project, &id).await?.ok_or(Error::NotFound)
            }
            found => found,
        }
    }

    /// A credential whose home is the project: what only its owner may do is done there.
    ///
    /// # Errors
    /// As [`Broker::credential_of`].
    pub(crate) async fn own_credential(&self, project: &ProjectId, id: &str) -> Result<Credential> {
        let id = CredentialId::parse(id).map_err(|_| Error::NotFound)?;
        let found = self.store().find_credential(project, &id).await?;
        // A grant that only waits for its end is nobody's credential.
        found.filter(|credential| !credential.detached).ok_or(Error::NotFound)
    }

    /// A credential of the caller's project that belongs to the person whom the caller acts for.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no person is named; [`Error::NotFound`]; [`Error::Forbidden`].
    pub(crate) async fn owned_credential(&self, caller: &Caller, id: &str) -> Result<Credential> {
        let user = caller.require_user()?;
        let found = self.own_credential(&caller.project(None)?, id).await?;
        if user == found.owner { Ok(found) } else { Err(not_the_owner()) }
    }
}

pub(crate) fn not_the_owner() -> Error {
    Error::Forbidden {
        code: "not_the_owner",
        detail: "Only the credential's owner may do this, and Grantkeeper-User names somebody else.".to_owned(),
    }
}
