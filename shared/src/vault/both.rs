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

    async fn prepare(&self, place: &Place) -> VaultResult<()> {
        match self.only(place) {
            Some(only) => only.prepare(place).await,
            None => self.primary.prepare(place).await,
        }
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    /// A vault in memory. What is opened in it can be moved away at that very moment, to another.
    #[derive(Default)]
    struct Fake {
        kept: Mutex<HashMap<(String, String), String>>,
        moves_to: Mutex<Option<Arc<Fake>>>,
    }

    impl Fake {
        fn kept(&self) -> MutexGuard<'_, HashMap<(String, String), String>> {
            self.kept.lock().unwrap()
        }
    }

    #[async_trait]
    impl Vault for Fake {
        async fn prefetch(&self, _place: &Place) -> Prefetched {
            Prefetched::Nothing
        }

        async fn open(&self, place: &Place, pointer: &str, _prefetched: Prefetched) -> VaultResult<Secret<String>> {
            if let Some(other) = self.moves_to.lock().unwrap().take() {
                other.kept().extend(self.kept().drain());
            }
            let document = self.kept().get(&(place.id.clone(), pointer.to_owned())).cloned();
            document.map(Secret::new).ok_or(VaultError::Missing)
        }

        async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String> {
            self.kept().insert((place.id.clone(), version.to_owned()), document.expose().clone());
            Ok(version.to_owned())
        }

        async fn delete(&self, place: &Place) -> VaultResult<()> {
            self.kept().retain(|(id, _), _| *id != place.id);
            Ok(())
        }
    }

    fn place(id: &str, generation: u64) -> Place {
        Place::new("prj_A", id).bound(generation, "https://as.example")
    }

    #[tokio::test]
    async fn a_document_that_is_moved_between_the_two_looks_is_found() {
        for kind in [VaultKind::SecretsManager, VaultKind::Sealed] {
            let (secrets, sealed) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
            let both = BothVaults::new(kind, secrets.clone(), sealed.clone());
            let (primary, other) = match kind {
                VaultKind::SecretsManager => (secrets, sealed),
                VaultKind::Sealed => (sealed, secrets),
            };
            other.stage(&place("crd_A", 1), "v1", &Secret::from("tokens")).await.unwrap();
            *other.moves_to.lock().unwrap() = Some(primary);
            let opened = both.open(&place("crd_A", 1), "v1", Prefetched::Nothing).await.unwrap();
            assert!(opened.matches(b"tokens"), "{kind:?}");
            assert!(other.kept().is_empty(), "{kind:?}: it was not moved");
        }
    }

    #[tokio::test]
    async fn what_is_written_goes_to_one_vault_and_what_clients_have_to_secrets_manager() {
        for kind in [VaultKind::SecretsManager, VaultKind::Sealed] {
            let (secrets, sealed) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
            let both = BothVaults::new(kind, secrets.clone(), sealed.clone());
            both.stage(&place("crd_A", 1), "v1", &Secret::from("tokens")).await.unwrap();
            both.stage(&Place::new("prj_A", "clt_A"), "v2", &Secret::from("client secret")).await.unwrap();
            let expected = if kind == VaultKind::Sealed { (1, 1) } else { (2, 0) };
            assert_eq!((secrets.kept().len(), sealed.kept().len()), expected, "{kind:?}");
            both.delete(&place("crd_A", 1)).await.unwrap();
            let client = both.open(&Place::new("prj_A", "clt_A"), "v2", Prefetched::Nothing).await.unwrap();
            assert!(client.matches(b"client secret"), "{kind:?}");
            assert_eq!((secrets.kept().len(), sealed.kept().len()), (1, 0), "{kind:?}");
        }
    }
}
