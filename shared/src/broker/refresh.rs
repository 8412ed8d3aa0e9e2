//! Refreshes a credential because a caller says so.

use tokio::time::Instant;

use super::Broker;
use super::access::Caller;
use crate::error::{Error, Result};
use crate::model::credential::Credential;
use crate::model::ids::CredentialId;
use crate::model::principal::Role;
use crate::refresh::Reason;

impl Broker {
    /// Always calls the provider, or joins a refresh under way; returns after the commit.
    ///
    /// # Errors
    /// Why there are no new tokens. A token that is still valid can still be read.
    pub async fn refresh(&self, caller: &Caller, id: &str) -> Result<Credential> {
        let begun = Instant::now();
        caller.require(&[Role::Platform, Role::Superuser], "credentials:refresh")?;
        let project = caller.project(None)?;
        let id = CredentialId::parse(id).map_err(|_| Error::NotFound)?;
        let credential = self.store().find_credential(&project, &id).await?.ok_or(Error::NotFound)?;
        let client = self.client_of_credential(&credential).await?;
        self.refresh_now(&client, &credential, Reason::Forced, begun).await
    }
}
