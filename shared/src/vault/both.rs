//! Both vaults of a stack: one that is written to, and one in which older documents may still be. So a stack can be
//! switched from the one to the other, and back, at any moment: nothing has to be moved before.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Place, Prefetched, Vault, VaultError, VaultKind, VaultResult, WriteFloor};
use crate::secret::Secret;

/// Two vaults as one. What belongs to no generation, which is what clients have, is in Secrets Manager either way: it is
/// little, and rotated there.
pub struct BothVaults {
    primary: Arc<dyn Vault>,
    other: Arc<dyn Vault>,
    of_clients: Arc<dyn Vault>,
}

impl BothVaults {
    /// Both, of which this kind is written to.
    pub fn new(primary: VaultKind, secrets_manager: Arc<dyn Vault>, sealed: Arc<dyn Vault>) -> Self {
        let of_clients = Arc::clone(&secrets_manager);
        let (primary, other) = match primary {
            VaultKind::SecretsManager => (secrets_manager, sealed),
            VaultKind::Sealed => (sealed, secrets_manager),
        };
        Self { primary, other, of_clients }
    }

    /// The vault that alone has what is at this place, if that is so.
    fn only(&self, place: &Place) -> Option<&dyn Vault> {
        (place.binding.generation == 0).then_some(&*self.of_clients)
    }
}

#[async_trait]
impl Vault for BothVaults {
    /// Of a credential: what is read before the credential is has no generation yet.
    async fn prefetch(&self, place: &Place) -> Prefetched {
        self.primary.prefetch(place).await
    }

    async fn open(&self, place: &Place, pointer: &str, prefetched: Prefetched) -> VaultResult<Secret<String>> {
        if let Some(only) = self.only(place) {
            return only.open(place, pointer, Prefetched::Nothing).await;
        }
        match self.primary.open(place, pointer, prefetched).await {
            Err(VaultError::Missing) => {}
            opened => return opened,
        }
        match self.other.open(place, pointer, Prefetched::Nothing).await {
            // Between the two looks it may have been moved, which is to where the first look was.
            Err(VaultError::Missing) => self.primary.open(place, pointer, Prefetched::Nothing).await,
            opened => opened,
        }
    }

    async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String> {
        self.only(place).unwrap_or(&*self.primary).stage(place, version, document).await
    }

    fn write_floor(&self) -> Option<WriteFloor> {
        self.primary.write_floor()
    }

    async fn forget(&self, place: &Place, pointer: &str) -> VaultResult<()> {
        if let Some(only) = self.only(place) {
            return only.forget(place, pointer).await;
        }
        let (primary, other) = tokio::join!(self.primary.forget(place, pointer), self.other.forget(place, pointer));
        primary.and(other)
    }

    async fn delete(&self, place: &Place) -> VaultResult<()> {
        if let Some(only) = self.only(place) {
            return only.delete(place).await;
        }
        let (primary, other) = tokio::join!(self.primary.delete(place), self.other.delete(place));
        primary.and(other)
    }
}
