//! What was said to a provider for one credential (N16).

use super::Broker;
use super::access::Caller;
use crate::error::Result;
use crate::model::attempt::Attempt;
use crate::model::principal::Role;

impl Broker {
    /// The last attempts of a credential, the newest first, redacted when they were recorded.
    ///
    /// # Errors
    /// [`crate::error::Error::NotFound`].
    pub async fn list_attempts(&self, caller: &Caller, id: &str) -> Result<Vec<Attempt>> {
        caller.require(&[Role::Superuser, Role::Platform], "credentials:read")?;
        let credential = self.credential_of(&caller.project(None)?, id).await?;
        Ok(self.store().list_attempts(&credential.project, &credential.id).await?)
    }
}
