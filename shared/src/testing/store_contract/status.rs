//! Suspending, unsuspending and ending a credential, whoever refreshes it.

use chrono::Duration;

use super::steps::{
    acquire, applied, changed, credential, credential_of, ensure_listed_alone, ensure_refused, leased, listed,
    name_is_taken, reread_credential, store_credential, suspended,
};
use crate::model::credential::{Credential, CredentialStatus, Evidence};
use crate::model::ids::ProjectId;
use crate::store::{Attempted, StatusChange, Store, StoreError};
use crate::testing::fixtures::{self, start, status_change};
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_status_changes_with_all_that_belongs_to_it,
    a_status_changes_whoever_refreshes,
    no_refresh_goes_on_after_a_suspension_or_an_end,
    a_refresh_goes_on_when_the_suspension_is_lifted,
    no_change_from_another_status,
    no_change_of_status_for_another_owner,
    of_racing_changes_of_status_one_wins,
    a_repeated_change_of_status_is_applied,
    a_status_changes_whatever_the_name_is_by_now,
    a_freed_name_can_be_taken,
    a_name_that_is_not_freed_stays_taken,
    a_name_is_freed_by_its_own_credential_only,
    what_has_ended_is_not_changed,
    a_rename_that_meets_the_end_leaves_no_name_taken,
    a_detached_credential_ends_without_a_name,
    no_change_of_status_under_another_project,
);

/// A change of everything that a change of status can change.
fn full(status: CredentialStatus) -> StatusChange {
    StatusChange {
        status_reason: Some("by_owner".to_owned()),
        suspended_from: Some(CredentialStatus::RefreshFailing),
        fails: 4,
        next_due: Some(start().timestamp_millis() + 5_000),
        evidence: Some(Evidence { verdict: "refused".to_owned(), provider_status: Some(400), at: start() }),
        ..status_change(status)
    }
}

/// The end of a credential: it frees its name, and may be forgotten after a month.
fn end(status: CredentialStatus) -> StatusChange {
    StatusChange { frees_name: true, forget_after: Some(start() + Duration::days(30)), ..full(status) }
}

/// What a credential is after a change of status.
fn with_status(before: &Credential, change: &StatusChange) -> Credential {
    Credential {
        status: change.status,
        status_reason: change.status_reason.clone(),
        suspended_from: change.suspended_from,
        fails: change.fails,
        evidence: change.evidence.clone(),
        due_at: change.next_due,
        ..before.clone()
    }
}

async fn a_status_changes_with_all_that_belongs_to_it(store: &dyn Store) -> Held {
    let mut before = credential(store).await?;
    for change in [
        full(CredentialStatus::Suspended),
        status_change(CredentialStatus::RefreshFailing),
        end(CredentialStatus::Revoking),
        full(CredentialStatus::Revoking),
        StatusChange { forget_after: Some(start() + Duration::days(30)), ..status_change(CredentialStatus::Revoked) },
    ] {
        let after = changed(store, &before, &change).await?;
        ensure_eq!(after, with_status(&before, &change), "the item that is returned");
        ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
        before = after;
    }
    ensure_listed_alone(store, &before).await?;
    Ok(())
}

async fn a_status_changes_whoever_refreshes(store: &dyn Store) -> Held {
    for change in [full(CredentialStatus::Suspended), end(CredentialStatus::Revoking)] {
        let before = credential(store).await?;
        let leased = acquire(store, &before, &fixtures::acquire(&before, start())).await?;
        let after = changed(store, &before, &change).await?;
        ensure_eq!(after, with_status(&leased, &change), "the item");
        // A newer generation is no hindrance either.
        let active = credential(store).await?;
        let leased = acquire(store, &active, &fixtures::acquire(&active, start())).await?;
        let commit = fixtures::commit(&leased, start());
        let refreshed = applied(store.commit_refresh(&active.project, &active.id, &commit).await?)?;
        ensure_eq!(changed(store, &active, &change).await?, with_status(&refreshed, &change), "the refreshed item");
    }
    Ok(())
}

async fn no_refresh_goes_on_after_a_suspension_or_an_end(store: &dyn Store) -> Held {
    for status in [CredentialStatus::Suspended, CredentialStatus::Revoking, CredentialStatus::Revoked] {
        let leased = leased(store).await?;
        let before = changed(store, &leased, &full(status)).await?;
        let (project, id) = (&before.project, &before.id);
        let commit = store.commit_refresh(project, id, &fixtures::commit(&leased, start())).await?;
        ensure_refused(store, commit, &before).await?;
        let release = store.release_refresh(project, id, &fixtures::release(&leased)).await?;
        ensure_refused(store, release, &before).await?;

        let idle = credential(store).await?;
        let acquire = fixtures::acquire(&idle, start());
        let before = changed(store, &idle, &full(status)).await?;
        let lease = store.acquire_refresh(&idle.project, &idle.id, &acquire).await?;
        ensure_refused(store, lease, &before).await?;

        // The SDK repeats a call whose answer was lost; the lease is no right to send any more.
        let idle = credential(store).await?;
        let acquire = fixtures::acquire(&idle, start());
        applied(store.acquire_refresh(&idle.project, &idle.id, &acquire).await?)?;
        let before = changed(store, &idle, &full(status)).await?;
        let lease = store.acquire_refresh(&idle.project, &idle.id, &acquire).await?;
        ensure_refused(store, lease, &before).await?;
    }
    Ok(())
}

async fn a_refresh_goes_on_when_the_suspension_is_lifted(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let switched_off = suspended(store, &leased).await?;
    let lift = StatusChange { next_due: leased.due_at, ..status_change(CredentialStatus::Active) };
    let lifted = changed(store, &switched_off, &lift).await?;
    ensure_eq!(lifted, leased, "the credential as it was before");
    let commit = fixtures::commit(&leased, start());
    let refreshed = applied(store.commit_refresh(&leased.project, &leased.id, &commit).await?)?;
    ensure_eq!(refreshed.generation, 2, "the generation");
    Ok(())
}

async fn no_change_from_another_status(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let stored = suspended(store, &base).await?;
    for change in [full(CredentialStatus::Revoking), end(CredentialStatus::Revoking)] {
        let attempted = store.change_status(&base, &change).await?;
        ensure_refused(store, attempted, &stored).await?;
        ensure!(name_is_taken(store, &base).await?, "the refused change freed the name");
    }
    Ok(())
}

async fn no_change_of_status_for_another_owner(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let given = Credential { owner: fixtures::unique(), ..base.clone() };
    store.update_credential(&base, &given).await?;
    for change in [full(CredentialStatus::Suspended), end(CredentialStatus::Revoking)] {
        let attempted = store.change_status(&base, &change).await?;
        ensure_refused(store, attempted, &given).await?;
    }
    ensure!(name_is_taken(store, &given).await?, "the refused change freed the name");
    Ok(())
}

async fn of_racing_changes_of_status_one_wins(store: &dyn Store) -> Held {
    for change in [full(CredentialStatus::Suspended), end(CredentialStatus::Revoking)] {
        let base = credential(store).await?;
        let changes = racers(|number| StatusChange { status_reason: Some(number.to_string()), ..change.clone() });
        let results = race(&changes, |change| store.change_status(&base, change)).await;
        let winner = one_winner(results, |attempted| matches!(attempted, Attempted::Applied(_)))?;
        let expected = changes.get(winner).map(|change| with_status(&base, change));
        ensure_eq!(Some(reread_credential(store, &base).await?), expected, "the credential");
    }
    Ok(())
}

async fn a_repeated_change_of_status_is_applied(store: &dyn Store) -> Held {
    for change in [full(CredentialStatus::Suspended), end(CredentialStatus::Revoking)] {
        let base = credential(store).await?;
        let after = changed(store, &base, &change).await?;
        ensure_eq!(changed(store, &base, &change).await?, after, "the answer to the repetition");
        ensure_eq!(reread_credential(store, &base).await?, after, "the item that is stored");
    }
    Ok(())
}

async fn a_status_changes_whatever_the_name_is_by_now(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let renamed = Credential { name: "Renamed".to_owned(), projects: vec![ProjectId::generate()], ..base.clone() };
    store.update_credential(&base, &renamed).await?;
    let change = end(CredentialStatus::Revoking);
    ensure_eq!(changed(store, &base, &change).await?, with_status(&renamed, &change), "the item");
    for credential in [base, renamed] {
        ensure!(!name_is_taken(store, &credential).await?, "a name of the ended credential is taken");
    }
    Ok(())
}

/// Another credential of the same owner and name, stored.
async fn store_namesake(store: &dyn Store, of: &Credential) -> Result<Credential, crate::testing::suite::Broken> {
    let next = Credential { owner: of.owner.clone(), name: of.name.clone(), ..credential_of(&of.project) };
    store_credential(store, &next).await?;
    Ok(next)
}

async fn a_freed_name_can_be_taken(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    changed(store, &base, &end(CredentialStatus::Revoking)).await?;
    ensure!(!name_is_taken(store, &base).await?, "the name is taken");
    store_namesake(store, &base).await?;
    Ok(())
}

async fn a_name_that_is_not_freed_stays_taken(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let kept = StatusChange { frees_name: false, ..end(CredentialStatus::Revoking) };
    changed(store, &base, &kept).await?;
    ensure!(name_is_taken(store, &base).await?, "the name is not taken");
    Ok(())
}

async fn a_name_is_freed_by_its_own_credential_only(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let ending = changed(store, &base, &end(CredentialStatus::Revoking)).await?;
    let next = store_namesake(store, &base).await?;
    changed(store, &ending, &end(CredentialStatus::Revoked)).await?;
    ensure!(name_is_taken(store, &next).await?, "the name of the next credential is not taken");
    Ok(())
}

async fn what_has_ended_is_not_changed(store: &dyn Store) -> Held {
    for status in [CredentialStatus::Revoking, CredentialStatus::Revoked] {
        let base = credential(store).await?;
        let ended = changed(store, &base, &end(status)).await?;
        let next = store_namesake(store, &base).await?;
        for base in [&base, &ended] {
            let renamed = Credential { name: "Renamed".to_owned(), ..base.clone() };
            let shared = Credential { projects: vec![ProjectId::generate()], ..base.clone() };
            for new in [renamed, shared] {
                ensure_eq!(store.update_credential(base, &new).await, Err(StoreError::Changed), "the update");
                ensure_eq!(reread_credential(store, base).await?, ended, "the credential");
            }
        }
        ensure!(name_is_taken(store, &next).await?, "the name of the next credential is not taken");
    }
    Ok(())
}

async fn a_rename_that_meets_the_end_leaves_no_name_taken(store: &dyn Store) -> Held {
    for _ in 0..10 {
        let base = credential(store).await?;
        let renamed = Credential { name: "Renamed".to_owned(), ..base.clone() };
        let change = end(CredentialStatus::Revoking);
        let (_, ended) = futures::join!(store.update_credential(&base, &renamed), store.change_status(&base, &change));
        applied(ended?)?;
        for credential in [base, renamed] {
            ensure!(!name_is_taken(store, &credential).await?, "a name of the ended credential is taken");
        }
    }
    Ok(())
}

async fn a_detached_credential_ends_without_a_name(store: &dyn Store) -> Held {
    let named = credential(store).await?;
    let detached = Credential {
        detached: true,
        status: CredentialStatus::Revoking,
        owner: named.owner.clone(),
        ..credential_of(&named.project)
    };
    store.insert_credential(&detached).await?;
    let change = end(CredentialStatus::Revoked);
    ensure_eq!(changed(store, &detached, &change).await?, with_status(&detached, &change), "the item");
    ensure!(name_is_taken(store, &named).await?, "the name of a credential that lives is not taken");
    ensure_listed_alone(store, &named).await?;
    Ok(())
}

async fn no_change_of_status_under_another_project(store: &dyn Store) -> Held {
    let mine = credential(store).await?;
    let foreign = Credential { project: ProjectId::generate(), ..mine.clone() };
    for change in [full(CredentialStatus::Suspended), end(CredentialStatus::Revoked)] {
        let attempted = store.change_status(&foreign, &change).await?;
        ensure_eq!(attempted, Attempted::Refused(None), "the change of what is not there");
        let left = store.find_credential(&foreign.project, &mine.id).await?;
        ensure_eq!(left, None, "what the refused change leaves");
        ensure_eq!(listed(store, &foreign.project, 100).await?, [], "the list of the other project");
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
