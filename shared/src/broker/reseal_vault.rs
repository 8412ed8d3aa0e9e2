//! Seals again, with the newest key of each project, what was sealed with an older one.

use std::sync::Arc;

use async_trait::async_trait;

use super::walk_credentials::{Ended, Work};
use crate::model::credential::Credential;
use crate::vault::VaultError;
use crate::vault::sealed::SealedVault;

/// The sealing again of everything that credentials point at. Documents do not change, so no lease is needed.
pub struct ResealVault {
    /// The vault.
    pub vault: Arc<SealedVault>,
}

#[async_trait]
impl Work for ResealVault {
    async fn work(&self, credential: Credential) -> Ended {
        let mut done = false;
        for (pointer, generation) in credential.versions() {
            match self.vault.reseal(&credential.place(generation), pointer).await {
                Ok(resealed) => done |= resealed,
                // It is in the other vault, or nowhere any more.
                Err(VaultError::Missing) => {}
                Err(VaultError::Unavailable) => return Ended::Later("the vault did not answer"),
                Err(_) => return Ended::Failed("it does not open"),
            }
        }
        if done { Ended::Done } else { Ended::Nothing }
    }
}
