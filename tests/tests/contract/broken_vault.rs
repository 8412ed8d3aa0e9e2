//! A vault that forgets one obligation and keeps all others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use grantkeeper::secret::Secret;
use grantkeeper::vault::{Place, Prefetched, Vault, VaultError, VaultResult};

/// What a broken vault forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It answers before the version is written, and then loses it.
    StagesLater,
    /// It takes a repetition for another document.
    RefusesRepetition,
    /// It takes another document for a repetition.
    AcceptsAnotherDocument,
    /// It opens the newest version, whatever the pointer.
    OpensNewest,
    /// It opens what was prefetched, whatever the pointer.
    TrustsPrefetched,
    /// It keeps the places of all projects together.
    ForgetsProject,
    /// It keeps all places of a project together.
    ForgetsId,
    /// It deletes nothing.
    NeverDeletes,
}

/// The checks that have to notice each flaw.
pub const FOUND_BY: &[(Flaw, &[&str])] = &[
    (Flaw::StagesLater, &["what_is_staged_can_be_opened", "staging_again_gives_the_same_pointer"]),
    (Flaw::RefusesRepetition, &["staging_again_gives_the_same_pointer"]),
    (Flaw::AcceptsAnotherDocument, &["a_version_is_never_overwritten"]),
    (Flaw::OpensNewest, &["a_pointer_opens_its_own_document_whatever_came_later"]),
    (Flaw::TrustsPrefetched, &["a_pointer_opens_its_own_document_whatever_was_prefetched"]),
    (Flaw::ForgetsProject, &["what_is_staged_at_one_place_is_not_opened_at_another"]),
    (Flaw::ForgetsId, &["what_is_staged_at_one_place_is_not_opened_at_another"]),
    (Flaw::NeverDeletes, &["after_a_delete_everything_is_missing"]),
];

/// The vault with its flaw, in front of the real one.
pub struct BrokenVault {
    real: Arc<dyn Vault>,
    flaw: Flaw,
    staged: Mutex<HashSet<String>>,
}

impl BrokenVault {
    pub fn new(real: Arc<dyn Vault>, flaw: Flaw) -> Self {
        Self { real, flaw, staged: Mutex::default() }
    }

    fn place(&self, place: &Place) -> Place {
        let mut place = place.clone();
        match self.flaw {
            Flaw::ForgetsProject => place.project = "all".to_owned(),
            Flaw::ForgetsId => place.id = "all".to_owned(),
            _ => {}
        }
        place
    }
}

#[async_trait]
impl Vault for BrokenVault {
    async fn prefetch(&self, place: &Place) -> Prefetched {
        self.real.prefetch(&self.place(place)).await
    }

    async fn open(&self, place: &Place, pointer: &str, prefetched: Prefetched) -> VaultResult<Secret<String>> {
        let trusted = match self.flaw {
            Flaw::OpensNewest => self.prefetch(place).await,
            Flaw::TrustsPrefetched => prefetched,
            _ => return self.real.open(&self.place(place), pointer, prefetched).await,
        };
        match trusted {
            Prefetched::Newest { document, .. } => Ok(document),
            Prefetched::Nothing => self.real.open(place, pointer, Prefetched::Nothing).await,
        }
    }

    async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String> {
        let is_new = self.staged.lock().unwrap_or_else(PoisonError::into_inner).insert(version.to_owned());
        match self.flaw {
            Flaw::StagesLater => Ok(version.to_owned()),
            Flaw::RefusesRepetition if !is_new => Err(VaultError::VersionTaken),
            Flaw::AcceptsAnotherDocument if !is_new => Ok(version.to_owned()),
            _ => self.real.stage(&self.place(place), version, document).await,
        }
    }

    async fn delete(&self, place: &Place) -> VaultResult<()> {
        if self.flaw == Flaw::NeverDeletes { Ok(()) } else { self.real.delete(&self.place(place)).await }
    }
}
