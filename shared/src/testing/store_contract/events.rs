//! The events of a credential: each is there exactly when the change that it tells of was applied.

use futures::future::join_all;

use super::steps::{acquire, applied, ensure_refused, leased, overtaken, released, reread_credential};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::event::{Event, EventKind};
use crate::model::ids::{CredentialId, ProjectId};
use crate::store::{Attempted, CommitRefresh, ReleaseRefresh, Store, StoreError};
use crate::testing::fixtures::{self, event, start};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq};

checks!(dyn Store:
    a_commit_leaves_its_event,
    a_release_leaves_its_event,
    a_change_without_an_event_leaves_none,
    events_are_listed_the_oldest_first,
    a_refused_commit_leaves_no_event,
    a_refused_release_leaves_no_event,
    a_repeated_commit_leaves_one_event,
    of_racing_commits_one_leaves_its_event,
    events_of_others_are_not_listed,
);

/// How many commits race.
const COMMITS: usize = 10;

async fn ensure_events(store: &dyn Store, of: &Credential, expected: &[Event]) -> Held {
    ensure_eq!(store.list_events(&of.project, &of.id).await?, expected, "the events");
    Ok(())
}

fn commit_with(leased: &Credential, event: &Event) -> CommitRefresh {
    CommitRefresh { event: Some(event.clone()), ..fixtures::commit(leased, start()) }
}

fn failure_with(leased: &Credential, event: &Event) -> ReleaseRefresh {
    let status = CredentialStatus::RefreshFailing;
    ReleaseRefresh { status, event: Some(event.clone()), ..fixtures::release(leased) }
}

async fn committed(store: &dyn Store, of: &Credential, commit: &CommitRefresh) -> Result<Credential, Broken> {
    applied(store.commit_refresh(&of.project, &of.id, commit).await?)
}

async fn a_commit_leaves_its_event(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    ensure_events(store, &before, &[]).await?;
    let told = event(&before, EventKind::Recovered);
    let after = committed(store, &before, &commit_with(&before, &told)).await?;
    ensure_eq!((after.generation, &after.lease), (2, &None), "the generation and the lease");
    ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
    ensure_events(store, &before, &[told]).await
}

async fn a_release_leaves_its_event(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let told = event(&before, EventKind::RefreshFailing);
    let after = released(store, &before, &failure_with(&before, &told)).await?;
    ensure_eq!((after.status, &after.lease), (CredentialStatus::RefreshFailing, &None), "the status and the lease");
    ensure_eq!(reread_credential(store, &before).await?, after, "the item that is stored");
    ensure_events(store, &before, &[told]).await
}

async fn a_change_without_an_event_leaves_none(store: &dyn Store) -> Held {
    let first = leased(store).await?;
    let after = released(store, &first, &fixtures::release(&first)).await?;
    let second = acquire(store, &after, &fixtures::acquire(&after, start())).await?;
    committed(store, &second, &fixtures::commit(&second, start())).await?;
    ensure_events(store, &first, &[]).await
}

async fn events_are_listed_the_oldest_first(store: &dyn Store) -> Held {
    let mut before = leased(store).await?;
    let mut told = Vec::new();
    // Fences of one digit and of two, and several generations.
    for number in 0..12 {
        let event = event(&before, EventKind::RefreshFailing);
        let after = if number % 4 == 3 {
            committed(store, &before, &commit_with(&before, &event)).await?
        } else {
            released(store, &before, &failure_with(&before, &event)).await?
        };
        told.push(event);
        before = acquire(store, &after, &fixtures::acquire(&after, start())).await?;
    }
    ensure_events(store, &before, &told).await
}

async fn a_refused_commit_leaves_no_event(store: &dyn Store) -> Held {
    let late = leased(store).await?;
    let before = overtaken(store, &late).await?;
    let told = event(&before, EventKind::Recovered);
    let refused = commit_with(&before, &told);
    for refused in [
        commit_with(&late, &told),
        CommitRefresh { fence: before.fence + 1, ..refused.clone() },
        CommitRefresh { attempt: fixtures::unique(), ..refused.clone() },
        CommitRefresh { base_generation: 2, ..refused },
    ] {
        let attempted = store.commit_refresh(&before.project, &before.id, &refused).await?;
        ensure_refused(store, attempted, &before).await?;
        ensure_events(store, &before, &[]).await?;
    }
    let (project, id) = (ProjectId::generate(), &before.id);
    let attempted = store.commit_refresh(&project, id, &commit_with(&before, &told)).await?;
    ensure_eq!(attempted, Attempted::Refused(None), "the commit to what is not there");
    ensure_eq!(store.list_events(&project, id).await?, [], "the events of what is not there");
    Ok(())
}

async fn a_refused_release_leaves_no_event(store: &dyn Store) -> Held {
    let late = leased(store).await?;
    let before = overtaken(store, &late).await?;
    let told = event(&before, EventKind::RefreshFailing);
    for refused in
        [failure_with(&late, &told), ReleaseRefresh { fence: before.fence - 1, ..failure_with(&before, &told) }]
    {
        let attempted = store.release_refresh(&before.project, &before.id, &refused).await?;
        ensure_refused(store, attempted, &before).await?;
        ensure_events(store, &before, &[]).await?;
    }
    Ok(())
}

async fn a_repeated_commit_leaves_one_event(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    let told = event(&before, EventKind::Recovered);
    let commit = commit_with(&before, &told);
    let after = committed(store, &before, &commit).await?;
    ensure_eq!(committed(store, &before, &commit).await?, after, "the answer to the repetition");
    ensure_events(store, &before, &[told]).await
}

async fn of_racing_commits_one_leaves_its_event(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    // One attempt, so each commit but the first is a repetition; each would tell of it in its own words.
    let commits: Vec<_> = (0..COMMITS).map(|_| commit_with(&before, &event(&before, EventKind::Recovered))).collect();
    let calls = commits.iter().map(|commit| store.commit_refresh(&before.project, &before.id, commit));
    for result in join_all(calls).await {
        match result {
            Ok(attempted) => ensure_eq!(applied(attempted)?.generation, 2, "the generation that a racer sees"),
            // It met the others in the table.
            Err(StoreError::Unavailable) => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure_eq!(reread_credential(store, &before).await?.generation, 2, "the generation");
    let told = store.list_events(&before.project, &before.id).await?;
    ensure_eq!(told.len(), 1, "how many events there are");
    ensure!(commits.iter().any(|commit| commit.event.as_ref() == told.first()), "the event is nobody's");
    Ok(())
}

async fn events_of_others_are_not_listed(store: &dyn Store) -> Held {
    let before = leased(store).await?;
    committed(store, &before, &commit_with(&before, &event(&before, EventKind::Recovered))).await?;
    for (project, id) in [(&ProjectId::generate(), &before.id), (&before.project, &CredentialId::generate())] {
        ensure_eq!(store.list_events(project, id).await?, [], "the events of another credential");
    }
    Ok(())
}
