//! The journal of token sets that were received and could not be committed (REFRESH.md S5b).

use super::steps::credential_of;
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{Orphan, Store};
use crate::testing::fixtures::orphan;
use crate::testing::suite::{Held, checks, ensure_eq};

checks!(dyn Store:
    orphans_are_listed_as_they_were_kept_the_newest_first,
    many_orphans_are_all_listed,
    an_orphan_that_is_kept_again_is_one,
    orphans_of_another_generation_are_not_listed,
    orphans_of_others_are_not_listed,
);

async fn orphans_are_listed_as_they_were_kept_the_newest_first(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    ensure_eq!(store.list_orphans(&of.project, &of.id, 1).await?, [], "the orphans before the first");
    let [first, second, third] = [orphan(1, 8), orphan(1, 9), orphan(1, 10)];
    // They may come late.
    for orphan in [&third, &first, &second] {
        store.keep_orphan(&of.project, &of.id, orphan).await?;
    }
    ensure_eq!(store.list_orphans(&of.project, &of.id, 1).await?, [third, second, first], "the orphans");
    Ok(())
}

async fn many_orphans_are_all_listed(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    let mut kept = Vec::new();
    for fence in 1..=101 {
        let orphan = orphan(1, fence);
        store.keep_orphan(&of.project, &of.id, &orphan).await?;
        kept.insert(0, orphan);
    }
    ensure_eq!(store.list_orphans(&of.project, &of.id, 1).await?, kept, "the orphans");
    Ok(())
}

async fn an_orphan_that_is_kept_again_is_one(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    let orphan: Orphan = orphan(1, 1);
    for _ in 0..2 {
        store.keep_orphan(&of.project, &of.id, &orphan).await?;
    }
    ensure_eq!(store.list_orphans(&of.project, &of.id, 1).await?, [orphan], "the orphans");
    Ok(())
}

async fn orphans_of_another_generation_are_not_listed(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    let [first, second, tenth] = [orphan(1, 1), orphan(2, 2), orphan(10, 3)];
    for orphan in [&first, &second, &tenth] {
        store.keep_orphan(&of.project, &of.id, orphan).await?;
    }
    for (generation, expected) in [(1, vec![first]), (2, vec![second]), (3, vec![]), (10, vec![tenth])] {
        ensure_eq!(store.list_orphans(&of.project, &of.id, generation).await?, expected, "those of a generation");
    }
    Ok(())
}

async fn orphans_of_others_are_not_listed(store: &dyn Store) -> Held {
    let of = credential_of(&ProjectId::generate());
    store.keep_orphan(&of.project, &of.id, &orphan(1, 1)).await?;
    for (project, id) in [(&ProjectId::generate(), &of.id), (&of.project, &CredentialId::generate())] {
        ensure_eq!(store.list_orphans(project, id, 1).await?, [], "the orphans of another credential");
    }
    Ok(())
}
