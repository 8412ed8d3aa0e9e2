//! The contract of [`Vault`]: each of its obligations as a check.

use std::sync::Arc;

use futures::future::join_all;

use super::fixtures::unique;
use super::suite::{self, Broken, Check, Failure, Held, checks, ensure, ensure_eq};
use crate::secret::Secret;
use crate::vault::{Place, Prefetched, Vault, VaultError};

mod table {
    use super::*;

    checks!(dyn Vault:
        what_is_staged_can_be_opened,
        staging_again_gives_the_same_pointer,
        of_racing_first_stagings_all_are_kept,
        a_version_is_never_overwritten,
        a_pointer_opens_its_own_document_whatever_came_later,
        a_pointer_opens_its_own_document_whatever_was_prefetched,
        what_is_staged_at_one_place_is_not_opened_at_another,
        what_was_never_staged_is_missing,
        what_belongs_to_no_generation_is_kept_as_well,
        what_is_forgotten_takes_nothing_else_with_it,
        forgetting_can_be_repeated,
        a_version_id_must_be_of_a_length_that_every_vault_takes,
        after_a_delete_everything_is_missing,
        a_delete_can_be_repeated,
        after_a_delete_a_place_takes_new_versions,
    );
}

/// All checks.
pub fn checks() -> impl Iterator<Item = &'static Check<dyn Vault>> {
    table::CHECKS.iter()
}

/// Holds a vault to the whole contract. What the checks make stays in it.
pub async fn run(vault: Arc<dyn Vault>) -> Vec<Failure> {
    suite::run(checks(), &*vault).await
}

/// The place of a generation of a credential.
fn place() -> Place {
    Place::new(unique(), unique()).bound(1, "https://as.example")
}

fn document() -> Secret<String> {
    Secret::new(format!("{{\"access_token\":\"{} ü \\u0000\"}}", unique()))
}

/// Checks that a pointer opens this document. The documents of these checks are no secrets, but are not shown either.
async fn ensure_opens(vault: &dyn Vault, place: &Place, pointer: &str, document: &Secret<String>) -> Held {
    ensure_opens_with(vault, place, pointer, document, Prefetched::Nothing).await
}

async fn ensure_opens_with(
    vault: &dyn Vault,
    place: &Place,
    pointer: &str,
    document: &Secret<String>,
    prefetched: Prefetched,
) -> Held {
    let opened = vault.open(place, pointer, prefetched).await?;
    ensure!(opened.matches(document.expose().as_bytes()), "another document is opened");
    Ok(())
}

async fn ensure_missing(vault: &dyn Vault, place: &Place, pointer: &str) -> Held {
    let opened = vault.open(place, pointer, Prefetched::Nothing).await.map(drop);
    ensure_eq!(opened, Err(VaultError::Missing), "what is opened");
    Ok(())
}

async fn what_is_staged_can_be_opened(vault: &dyn Vault) -> Held {
    let (place, first, second) = (place(), document(), document());
    let pointer = vault.stage(&place, &unique(), &first).await?;
    ensure_opens(vault, &place, &pointer, &first).await?;
    let pointer = vault.stage(&place, &unique(), &second).await?;
    ensure_opens(vault, &place, &pointer, &second).await
}

async fn staging_again_gives_the_same_pointer(vault: &dyn Vault) -> Held {
    let (place, version, document) = (place(), unique(), document());
    let pointer = vault.stage(&place, &version, &document).await?;
    ensure_eq!(vault.stage(&place, &version, &document).await?, pointer, "the pointer");
    vault.stage(&place, &unique(), &self::document()).await?;
    ensure_eq!(vault.stage(&place, &version, &document).await?, pointer, "the pointer after another version");
    ensure_opens(vault, &place, &pointer, &document).await
}

async fn of_racing_first_stagings_all_are_kept(vault: &dyn Vault) -> Held {
    let place = &place();
    // Few, for a vault need not keep many versions of the same minute.
    let staged = join_all((0..5).map(|_| async move {
        let document = document();
        Ok::<_, VaultError>((vault.stage(place, &unique(), &document).await?, document))
    }));
    for outcome in staged.await {
        let (pointer, document) = outcome?;
        ensure_opens(vault, place, &pointer, &document).await?;
    }
    Ok(())
}

async fn a_version_is_never_overwritten(vault: &dyn Vault) -> Held {
    let (place, version, first) = (place(), unique(), document());
    let pointer = vault.stage(&place, &version, &first).await?;
    let second = vault.stage(&place, &version, &document()).await;
    ensure_eq!(second, Err(VaultError::VersionTaken), "the outcome of the second staging");
    ensure_opens(vault, &place, &pointer, &first).await
}

/// Three versions at a place, in the order in which they were staged: pointers and documents.
async fn three(vault: &dyn Vault, place: &Place) -> Result<Vec<(String, Secret<String>)>, Broken> {
    let mut staged = Vec::new();
    for _ in 0..3 {
        let document = document();
        staged.push((vault.stage(place, &unique(), &document).await?, document));
    }
    Ok(staged)
}

async fn a_pointer_opens_its_own_document_whatever_came_later(vault: &dyn Vault) -> Held {
    let place = place();
    for (pointer, document) in three(vault, &place).await? {
        ensure_opens(vault, &place, &pointer, &document).await?;
    }
    Ok(())
}

async fn a_pointer_opens_its_own_document_whatever_was_prefetched(vault: &dyn Vault) -> Held {
    let place = place();
    let before = vault.prefetch(&place).await;
    let first = document();
    let pointer = vault.stage(&place, &unique(), &first).await?;
    ensure_opens_with(vault, &place, &pointer, &first, before).await?;
    for (pointer, document) in three(vault, &place).await? {
        let prefetched = vault.prefetch(&place).await;
        ensure_opens_with(vault, &place, &pointer, &document, prefetched).await?;
    }
    Ok(())
}

async fn what_is_staged_at_one_place_is_not_opened_at_another(vault: &dyn Vault) -> Held {
    let (here, version, document) = (place(), unique(), document());
    let pointer = vault.stage(&here, &version, &document).await?;
    let same_project = Place { id: unique(), ..here.clone() };
    let same_id = Place { project: unique(), ..here.clone() };
    for elsewhere in [same_project, same_id] {
        ensure_missing(vault, &elsewhere, &pointer).await?;
        // Also where something else is staged.
        let other = self::document();
        let others = vault.stage(&elsewhere, &unique(), &other).await?;
        ensure_missing(vault, &elsewhere, &pointer).await?;
        ensure_missing(vault, &here, &others).await?;
        let same_version = vault.stage(&elsewhere, &version, &other).await?;
        ensure_opens(vault, &elsewhere, &same_version, &other).await?;
    }
    ensure_opens(vault, &here, &pointer, &document).await
}

async fn what_was_never_staged_is_missing(vault: &dyn Vault) -> Held {
    let place = place();
    ensure_missing(vault, &place, &unique()).await?;
    vault.stage(&place, &unique(), &document()).await?;
    ensure_missing(vault, &place, &unique()).await
}

/// What clients have.
async fn what_belongs_to_no_generation_is_kept_as_well(vault: &dyn Vault) -> Held {
    let (place, document) = (Place::new(unique(), unique()), document());
    let pointer = vault.stage(&place, &unique(), &document).await?;
    ensure_opens(vault, &place, &pointer, &document).await?;
    let newer = self::document();
    let newer_pointer = vault.stage(&place, &unique(), &newer).await?;
    ensure_opens(vault, &place, &pointer, &document).await?;
    ensure_opens(vault, &place, &newer_pointer, &newer).await?;
    vault.delete(&place).await?;
    ensure_missing(vault, &place, &pointer).await
}

async fn what_is_forgotten_takes_nothing_else_with_it(vault: &dyn Vault) -> Held {
    let (place, elsewhere) = (place(), self::place());
    for number in 0..3 {
        let staged = three(vault, &place).await?;
        let Some((forgotten, _)) = staged.get(number) else { continue };
        let same_version = vault.stage(&elsewhere, forgotten, &document()).await?;
        vault.forget(&place, forgotten).await?;
        for (pointer, document) in &staged {
            match vault.open(&place, pointer, Prefetched::Nothing).await {
                Err(VaultError::Missing) if pointer == forgotten => {}
                opened => {
                    let same = opened?.matches(document.expose().as_bytes());
                    ensure!(same, "another document is opened after number {number} of three was forgotten");
                }
            }
        }
        vault.open(&elsewhere, &same_version, Prefetched::Nothing).await?;
    }
    Ok(())
}

async fn forgetting_can_be_repeated(vault: &dyn Vault) -> Held {
    let place = place();
    ensure_eq!(vault.forget(&place, &unique()).await, Ok(()), "the forgetting of nothing");
    let pointer = vault.stage(&place, &unique(), &document()).await?;
    for _ in 0..2 {
        ensure_eq!(vault.forget(&place, &pointer).await, Ok(()), "the forgetting");
    }
    Ok(())
}

async fn a_version_id_must_be_of_a_length_that_every_vault_takes(vault: &dyn Vault) -> Held {
    let place = place();
    for (length, taken) in [(31, false), (32, true), (64, true), (65, false)] {
        let staged = vault.stage(&place, &"v".repeat(length), &document()).await.map(drop);
        let expected = if taken { Ok(()) } else { Err(VaultError::BadVersion) };
        ensure_eq!(staged, expected, "the outcome of staging");
    }
    Ok(())
}

async fn after_a_delete_a_place_takes_new_versions(vault: &dyn Vault) -> Held {
    let (place, document) = (place(), document());
    three(vault, &place).await?;
    vault.delete(&place).await?;
    for _ in 0..2 {
        let pointer = vault.stage(&place, &unique(), &document).await?;
        ensure_opens(vault, &place, &pointer, &document).await?;
    }
    Ok(())
}

async fn after_a_delete_everything_is_missing(vault: &dyn Vault) -> Held {
    let (place, elsewhere, document) = (place(), self::place(), document());
    let staged = three(vault, &place).await?;
    let other = vault.stage(&elsewhere, &unique(), &document).await?;
    vault.delete(&place).await?;
    for (pointer, _) in staged {
        ensure_missing(vault, &place, &pointer).await?;
        let prefetched = vault.prefetch(&place).await;
        let opened = vault.open(&place, &pointer, prefetched).await.map(drop);
        ensure_eq!(opened, Err(VaultError::Missing), "what is opened with what was prefetched");
    }
    ensure_opens(vault, &elsewhere, &other, &document).await
}

async fn a_delete_can_be_repeated(vault: &dyn Vault) -> Held {
    let place = place();
    ensure_eq!(vault.delete(&place).await, Ok(()), "the delete of nothing");
    vault.stage(&place, &unique(), &document()).await?;
    for _ in 0..2 {
        ensure_eq!(vault.delete(&place).await, Ok(()), "the delete");
    }
    Ok(())
}
