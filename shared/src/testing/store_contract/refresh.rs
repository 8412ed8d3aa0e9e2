//! Taking the lease of a refresh: one holder, and no attempt forgotten (REFRESH.md S1).

use chrono::Duration;

use super::steps::{acquire, applied, credential, ensure_refused, found, leased, reread_credential};
use crate::clock::Timestamp;
use crate::model::credential::{Credential, CredentialStatus, Intent, Lease, Outcome};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{AcquireRefresh, Attempted, ReleaseRefresh, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    lease_fence_and_intent_are_taken_in_one_step,
    of_racing_workers_one_takes_the_lease,
    of_racing_workers_one_takes_over,
    no_lease_while_another_lives,
    no_lease_over_an_attempt_that_is_left,
    an_attempt_that_is_left_is_taken_over_after_its_lease,
    only_the_attempt_that_is_there_is_taken_over,
    no_lease_on_another_generation,
    no_lease_when_the_status_forbids_a_refresh,
    a_failing_credential_can_be_leased,
    no_lease_under_another_project,
);

/// The first millisecond after the lease of a credential.
fn after_lease(leased: &Credential) -> Result<Timestamp, Broken> {
    let until = found(leased.lease.as_ref(), "the lease")?.until_ms;
    found(chrono::DateTime::from_timestamp_millis(until + 1), "the end of the lease")
}

/// What a worker writes who finds the attempt that a credential shows.
fn take_over(leased: &Credential, now: Timestamp) -> AcquireRefresh {
    let take_over = leased.intent.as_ref().map(|intent| intent.attempt.clone());
    AcquireRefresh { take_over, ..fixtures::acquire(leased, now) }
}

/// What a credential is after a worker took its lease.
fn with_lease(before: &Credential, by: &AcquireRefresh) -> Credential {
    let until_ms = by.until.timestamp_millis();
    Credential {
        fence: before.fence + 1,
        lease: Some(Lease { owner: by.owner.clone(), until_ms }),
        intent: Some(Intent {
            attempt: by.attempt.clone(),
            base_gen: by.generation,
            rt_fp: by.rt_fp.clone(),
            at_ms: by.now.timestamp_millis(),
            outcome: Outcome::Prepared,
            tried: by.tried.clone(),
        }),
        // Work that is due before the lease ends is found again without being moved.
        due_at: Some(by.due_before.unwrap_or(until_ms).min(until_ms)),
        ..before.clone()
    }
}

/// Tries to take a lease and expects to be refused, with nothing changed.
async fn refused(store: &dyn Store, before: &Credential, acquire: &AcquireRefresh) -> Held {
    let attempted = store.acquire_refresh(&before.project, &before.id, acquire).await?;
    ensure_refused(store, attempted, before).await
}

async fn lease_fence_and_intent_are_taken_in_one_step(store: &dyn Store) -> Held {
    let before = credential(store).await?;
    let acquire = fixtures::acquire(&before, start());
    let after = applied(store.acquire_refresh(&before.project, &before.id, &acquire).await?)?;
    ensure_eq!(after, with_lease(&before, &acquire), "the item that is returned");
    ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
    Ok(())
}

async fn race_for_lease(store: &dyn Store, before: &Credential, workers: &[AcquireRefresh]) -> Held {
    let results = race(workers, |worker| store.acquire_refresh(&before.project, &before.id, worker)).await;
    for refused in results.iter().filter_map(|result| match result {
        Ok(Attempted::Refused(old)) => Some(old),
        _ => None,
    }) {
        let fence = refused.as_ref().map(|old| old.fence);
        ensure_eq!(fence, Some(before.fence + 1), "the fence in the image that a loser gets");
    }
    let winner = one_winner(results, |attempted| matches!(attempted, Attempted::Applied(_)))?;
    let expected = workers.get(winner).map(|worker| with_lease(before, worker));
    ensure_eq!(Some(reread_credential(store, before).await?), expected, "the item after the race");
    Ok(())
}

async fn of_racing_workers_one_takes_the_lease(store: &dyn Store) -> Held {
    let before = credential(store).await?;
    let workers = racers(|_| fixtures::acquire(&before, start()));
    race_for_lease(store, &before, &workers).await
}

async fn of_racing_workers_one_takes_over(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let now = after_lease(&before)?;
    let workers = racers(|_| take_over(&before, now));
    race_for_lease(store, &before, &workers).await
}

async fn no_lease_while_another_lives(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let last = after_lease(&leased)? - Duration::milliseconds(1);
    for now in [start(), last] {
        refused(store, &leased, &take_over(&leased, now)).await?;
        refused(store, &leased, &fixtures::acquire(&leased, now)).await?;
    }
    Ok(())
}

async fn no_lease_over_an_attempt_that_is_left(store: &dyn Store) -> Held {
    let leased = leased(store).await?;
    let now = after_lease(&leased)? + Duration::hours(1);
    refused(store, &leased, &fixtures::acquire(&leased, now)).await
}

async fn an_attempt_that_is_left_is_taken_over_after_its_lease(store: &dyn Store) -> Held {
    let dead = leased(store).await?;
    let next = take_over(&dead, after_lease(&dead)?);
    let after = acquire(store, &dead, &next).await?;
    ensure_eq!(after, with_lease(&dead, &next), "the item that is returned");
    Ok(())
}

async fn only_the_attempt_that_is_there_is_taken_over(store: &dyn Store) -> Held {
    let dead = leased(store).await?;
    let now = after_lease(&dead)?;
    let other = AcquireRefresh { take_over: Some(fixtures::unique()), ..fixtures::acquire(&dead, now) };
    refused(store, &dead, &other).await?;
    let idle = credential(store).await?;
    let nobody = AcquireRefresh { take_over: Some(fixtures::unique()), ..fixtures::acquire(&idle, now) };
    refused(store, &idle, &nobody).await
}

async fn no_lease_on_another_generation(store: &dyn Store) -> Held {
    let idle = credential(store).await?;
    let dead = leased(store).await?;
    let now = after_lease(&dead)?;
    for generation in [0, 2] {
        refused(store, &idle, &AcquireRefresh { generation, ..fixtures::acquire(&idle, now) }).await?;
        refused(store, &dead, &AcquireRefresh { generation, ..take_over(&dead, now) }).await?;
    }
    Ok(())
}

/// A credential that an attempt left in this status, with nothing in the air.
async fn credential_that_is(store: &dyn Store, status: CredentialStatus) -> Result<Credential, Broken> {
    let leased = leased(store).await?;
    let release = ReleaseRefresh { status, ..fixtures::release(&leased) };
    applied(store.release_refresh(&leased.project, &leased.id, &release).await?)
}

async fn no_lease_when_the_status_forbids_a_refresh(store: &dyn Store) -> Held {
    for status in [CredentialStatus::ReauthorizationRequired, CredentialStatus::Suspended] {
        let credential = credential_that_is(store, status).await?;
        refused(store, &credential, &fixtures::acquire(&credential, start())).await?;
    }
    Ok(())
}

async fn a_failing_credential_can_be_leased(store: &dyn Store) -> Held {
    let failing = credential_that_is(store, CredentialStatus::RefreshFailing).await?;
    let leased = acquire(store, &failing, &fixtures::acquire(&failing, start())).await?;
    ensure_eq!(leased.status, CredentialStatus::RefreshFailing, "the status");
    Ok(())
}

async fn no_lease_under_another_project(store: &dyn Store) -> Held {
    let (mine, other) = (credential(store).await?, credential(store).await?);
    let worker = fixtures::acquire(&mine, start());
    for (project, id) in
        [(&other.project, &mine.id), (&ProjectId::generate(), &mine.id), (&mine.project, &CredentialId::generate())]
    {
        let attempted = store.acquire_refresh(project, id, &worker).await?;
        ensure_eq!(attempted, Attempted::Refused(None), "the lease of what is not there");
        ensure!(store.find_credential(project, id).await?.is_none(), "the refused lease leaves an item");
    }
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
