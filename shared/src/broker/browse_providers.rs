//! The catalogue, read.

use super::Broker;
use super::access::Caller;
use crate::catalogue::{Provider, Summary};
use crate::error::{Error, Result};
use crate::model::principal::Role;
use crate::store::Page;

impl Broker {
    /// Providers that fit a query, the best first; all of them without one.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a cursor that no list returned.
    pub fn list_providers(
        &self,
        caller: &Caller,
        query: Option<&str>,
        category: Option<&str>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Summary>> {
        caller.require(&[Role::Superuser, Role::Platform], "clients:read")?;
        let start = cursor.map_or(Ok(0), str::parse);
        let start =
            start.map_err(|_| Error::Malformed("The parameter cursor is not one that a list returned.".to_owned()))?;
        Ok(self.catalogue().list(query.unwrap_or_default(), category, limit, start))
    }

    /// A provider.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn read_provider(&self, caller: &Caller, id: &str) -> Result<Provider> {
        caller.require(&[Role::Superuser, Role::Platform], "clients:read")?;
        self.catalogue().find(id)
    }
}
