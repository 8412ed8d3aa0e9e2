//! The warning that a refresh token dies soon (N6): once for each end, whoever refreshes.

use chrono::Duration;

use super::steps::{credential, leased, reread_credential};
use crate::clock::Timestamp;
use crate::model::credential::Credential;
use crate::model::event::{Event, EventKind};
use crate::model::ids::ProjectId;
use crate::store::Store;
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_warning_is_noted_with_its_event_and_nothing_else,
    a_warning_is_noted_once_for_each_end,
    of_racing_warnings_one_is_noted,
    no_warning_of_another_generation,
    no_warning_under_another_project,
);

/// The event of a warning, of which no two are the same.
fn warning(of: &Credential, dies_at: Timestamp) -> Event {
    Event { dies_at: Some(dies_at), ..fixtures::event(of, EventKind::Expiring) }
}

async fn ensure_events(store: &dyn Store, of: &Credential, expected: &[Event]) -> Held {
    ensure_eq!(store.list_events(&of.project, &of.id).await?, expected, "the events");
    Ok(())
}

async fn a_warning_is_noted_with_its_event_and_nothing_else(store: &dyn Store) -> Held {
    let dies_at = start() + Duration::days(6);
    for before in [credential(store).await?, leased(store).await?] {
        let told = Event::expiring(&before, dies_at, start());
        ensure!(store.warn_of(&before, &told).await?, "a warning is refused");
        let warned = Credential { warned_of: Some(dies_at.timestamp_millis()), ..before };
        ensure_eq!(reread_credential(store, &warned).await?, warned, "the credential");
        ensure_events(store, &warned, &[told]).await?;
    }
    Ok(())
}

async fn a_warning_is_noted_once_for_each_end(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let (first, second) = (start() + Duration::days(6), start() + Duration::days(96));
    let mut told = Vec::new();
    for dies_at in [first, second] {
        let event = Event::expiring(&base, dies_at, start());
        ensure!(store.warn_of(&base, &event).await?, "the warning of an end is refused");
        ensure!(!store.warn_of(&base, &warning(&base, dies_at)).await?, "the second warning of an end is not refused");
        told.push(event);
        ensure_events(store, &base, &told).await?;
    }
    Ok(())
}

async fn of_racing_warnings_one_is_noted(store: &dyn Store) -> Held {
    let base = credential(store).await?;
    let warnings = racers(|_| warning(&base, start() + Duration::days(6)));
    let results = race(&warnings, |event| store.warn_of(&base, event)).await;
    let winner = one_winner(results, |noted| *noted)?;
    let told = warnings.get(winner).cloned();
    ensure_eq!(store.list_events(&base.project, &base.id).await?, Vec::from_iter(told), "the events");
    Ok(())
}

async fn no_warning_of_another_generation(store: &dyn Store) -> Held {
    let stored = credential(store).await?;
    for generation in [0, 2] {
        let base = Credential { generation, ..stored.clone() };
        let noted = store.warn_of(&base, &warning(&base, start() + Duration::days(6))).await?;
        ensure!(!noted, "the warning of another generation is not refused");
        ensure_eq!(reread_credential(store, &stored).await?, stored, "the credential");
        ensure_events(store, &stored, &[]).await?;
    }
    Ok(())
}

async fn no_warning_under_another_project(store: &dyn Store) -> Held {
    let mine = credential(store).await?;
    let foreign = Credential { project: ProjectId::generate(), ..mine.clone() };
    let noted = store.warn_of(&foreign, &warning(&foreign, start() + Duration::days(6))).await?;
    ensure!(!noted, "the warning of what is not there is not refused");
    for credential in [&foreign, &mine] {
        ensure_events(store, credential, &[]).await?;
    }
    ensure_eq!(store.find_credential(&foreign.project, &mine.id).await?, None, "what the warning leaves");
    ensure_eq!(reread_credential(store, &mine).await?, mine, "the credential");
    Ok(())
}
