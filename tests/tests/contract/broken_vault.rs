//! A vault that forgets one obligation and keeps all others.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// It takes a whole place for the version that is to be forgotten.
    ForgetsAll,
    /// It refuses to forget what it does not have.
    ForgetsOnce,
    /// It takes any text for the id of a version.
    TakesAnyVersion,
    /// It takes nothing any more where something was deleted.
    StaysDeleted,
    /// It does not know of places without a generation.
    WantsGeneration,
    /// It does not look at the generation. For a vault that seals.
    ForgetsGeneration,
    /// It does not look at the origins. For a vault that seals.
    ForgetsOrigin,
}

impl Flaw {
    /// Whether only a vault that fetches something in advance can have it.
    pub fn is_of_prefetching(self) -> bool {
        matches!(self, Self::OpensNewest | Self::TrustsPrefetched)
    }
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
    (Flaw::ForgetsAll, &["what_is_forgotten_takes_nothing_else_with_it"]),
    (Flaw::ForgetsOnce, &["forgetting_can_be_repeated"]),
    (Flaw::TakesAnyVersion, &["a_version_id_must_be_of_a_length_that_every_vault_takes"]),
    (Flaw::StaysDeleted, &["after_a_delete_a_place_takes_new_versions"]),
    (Flaw::WantsGeneration, &["what_belongs_to_no_generation_is_kept_as_well"]),
];

/// The vault with its flaw, in front of the real one.
pub struct BrokenVault {
    real: Arc<dyn Vault>,
    flaw: Flaw,
    staged: Mutex<HashSet<String>>,
    deleted: Mutex<HashSet<String>>,
    forgotten: Mutex<HashSet<String>>,
}

impl BrokenVault {
    pub fn new(real: Arc<dyn Vault>, flaw: Flaw) -> Self {
        Self { real, flaw, staged: Mutex::default(), deleted: Mutex::default(), forgotten: Mutex::default() }
    }

    fn place(&self, place: &Place) -> Place {
        let mut place = place.clone();
        match self.flaw {
            Flaw::ForgetsProject => place.project = "all".to_owned(),
            Flaw::ForgetsId => place.id = "all".to_owned(),
            Flaw::ForgetsGeneration => place.binding.generation = 1,
            Flaw::ForgetsOrigin => place.binding.bound_origin.clear(),
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
        let is_new = add(&self.staged, version);
        match self.flaw {
            Flaw::TakesAnyVersion => Ok(version.to_owned()),
            Flaw::WantsGeneration if place.binding.generation == 0 => Err(VaultError::BadVersion),
            Flaw::StaysDeleted if lock(&self.deleted).contains(&place.id) => Err(VaultError::BadVersion),
            Flaw::StagesLater => Ok(version.to_owned()),
            Flaw::RefusesRepetition if !is_new => Err(VaultError::VersionTaken),
            Flaw::AcceptsAnotherDocument if !is_new => Ok(version.to_owned()),
            _ => self.real.stage(&self.place(place), version, document).await,
        }
    }

    async fn forget(&self, place: &Place, pointer: &str) -> VaultResult<()> {
        match self.flaw {
            Flaw::ForgetsAll => self.real.delete(place).await,
            Flaw::ForgetsOnce if !add(&self.forgotten, pointer) => Err(VaultError::Missing),
            _ => self.real.forget(&self.place(place), pointer).await,
        }
    }

    async fn delete(&self, place: &Place) -> VaultResult<()> {
        add(&self.deleted, &place.id);
        if self.flaw == Flaw::NeverDeletes { Ok(()) } else { self.real.delete(&self.place(place)).await }
    }
}

/// `false`: it was there.
fn add(set: &Mutex<HashSet<String>>, text: &str) -> bool {
    lock(set).insert(text.to_owned())
}

fn lock(set: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
