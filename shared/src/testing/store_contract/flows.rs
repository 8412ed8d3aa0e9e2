//! Starting flows.

use chrono::Duration;

use super::steps::{claim, exchanging, park, parked, pending, reread, reread_session, session, start_in};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::{FlowId, ProjectId};
use crate::model::session::Session;
use crate::store::{Completion, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Broken, Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_flow_is_found_by_id_and_by_state_as_it_was_started,
    an_unknown_flow_is_not_found,
    a_flow_is_not_found_under_another_project,
    a_start_is_noted_in_the_session,
    no_flow_starts_in_a_session_that_is_over,
    no_flow_starts_in_a_session_that_is_gone,
    no_flow_starts_when_another_came_first,
    of_racing_starts_one_wins,
    of_racing_newer_starts_one_wins,
    a_newer_start_voids_the_earlier_flow,
    a_newer_start_replaces_a_failed_flow,
    no_newer_start_once_the_earlier_flow_is_parked,
    no_newer_start_while_the_earlier_flow_is_exchanged_or_completed,
    a_flow_is_started_once,
);

async fn a_flow_is_found_by_id_and_by_state_as_it_was_started(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    let by_state = store.find_flow_by_state(&flow.state_hash).await?;
    ensure_eq!(by_state.as_ref(), Some(&flow), "the flow by its state");
    ensure_eq!(store.find_flow(&flow.project, &flow.id).await?, Some(flow), "the flow");
    Ok(())
}

async fn an_unknown_flow_is_not_found(store: &dyn Store) -> Held {
    let flow = fixtures::flow(&session(store).await?);
    ensure_not_started(store, &flow).await
}

async fn a_flow_is_not_found_under_another_project(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    let other = pending(store).await?;
    ensure_eq!(store.find_flow(&other.project, &flow.id).await?, None, "the flow under another project");
    ensure_eq!(store.find_flow(&flow.project, &FlowId::generate()).await?, None, "an unknown flow of its project");
    Ok(())
}

async fn a_start_is_noted_in_the_session(store: &dyn Store) -> Held {
    let session = session(store).await?;
    let flow = start_in(store, &session).await?;
    let expected = Session { flow: Some(flow.id), ..session.clone() };
    ensure_eq!(reread_session(store, &session).await?, expected, "the session");
    Ok(())
}

/// Checks that nothing of a refused start was written.
async fn ensure_not_started(store: &dyn Store, flow: &Flow) -> Held {
    ensure_eq!(store.find_flow(&flow.project, &flow.id).await?, None, "the flow");
    ensure_eq!(store.find_flow_by_state(&flow.state_hash).await?, None, "the flow by its state");
    Ok(())
}

async fn no_flow_starts_in_a_session_that_is_over(store: &dyn Store) -> Held {
    let session = session(store).await?;
    let flow = fixtures::flow(&session);
    for now in [session.expires_at, session.expires_at + Duration::days(1)] {
        ensure!(!store.start_flow(&flow, &session, now).await?, "a flow starts in a session that is over");
    }
    ensure_not_started(store, &flow).await?;
    ensure_eq!(reread_session(store, &session).await?, session, "the session");
    let in_time = store.start_flow(&flow, &session, session.expires_at - Duration::milliseconds(1)).await?;
    ensure!(in_time, "no flow starts in the last millisecond of a session");
    Ok(())
}

async fn no_flow_starts_in_a_session_that_is_gone(store: &dyn Store) -> Held {
    let session = session(store).await?;
    store.delete_session(&session).await?;
    let never_was = fixtures::session(&ProjectId::generate());
    for session in [session, never_was] {
        let flow = fixtures::flow(&session);
        ensure!(!store.start_flow(&flow, &session, start()).await?, "a flow starts in no session");
        ensure_not_started(store, &flow).await?;
        ensure_eq!(store.find_session(&session.project, &session.id).await?, None, "the session");
    }
    Ok(())
}

async fn no_flow_starts_when_another_came_first(store: &dyn Store) -> Held {
    let fresh = session(store).await?;
    let first = start_in(store, &fresh).await?;
    let after_first = reread_session(store, &fresh).await?;
    let second = start_in(store, &after_first).await?;
    // Both calls read the session before the second flow was started.
    for stale in [fresh, after_first] {
        let late = fixtures::flow(&stale);
        ensure!(!store.start_flow(&late, &stale, start()).await?, "a flow starts in a session as it no longer is");
        ensure_not_started(store, &late).await?;
    }
    ensure_eq!(reread(store, &second).await?, second, "the flow that was started last");
    ensure_eq!(reread(store, &first).await?.status, FlowStatus::Voided, "the status of the first flow");
    Ok(())
}

/// Starts many flows at once in a session as it is, and checks that there is one.
async fn race_to_start(store: &dyn Store, session: &Session) -> Held {
    let flows = racers(|_| fixtures::flow(session));
    let started = race(&flows, |flow| store.start_flow(flow, session, start())).await;
    let winner = one_winner(started, |started| *started)?;
    let noted = reread_session(store, session).await?.flow;
    ensure_eq!(noted.as_ref(), flows.get(winner).map(|flow| &flow.id), "the flow in the session");
    for (number, flow) in flows.iter().enumerate() {
        if number == winner {
            ensure_eq!(reread(store, flow).await?.status, FlowStatus::Pending, "the status of the winner");
        } else {
            ensure_not_started(store, flow).await?;
        }
    }
    Ok(())
}

async fn of_racing_starts_one_wins(store: &dyn Store) -> Held {
    race_to_start(store, &session(store).await?).await
}

async fn of_racing_newer_starts_one_wins(store: &dyn Store) -> Held {
    let (_, session) = started(store).await?;
    race_to_start(store, &session).await
}

/// A pending flow and its session.
async fn started(store: &dyn Store) -> Result<(Flow, Session), Broken> {
    let session = session(store).await?;
    let flow = start_in(store, &session).await?;
    Ok((flow, reread_session(store, &session).await?))
}

async fn a_newer_start_voids_the_earlier_flow(store: &dyn Store) -> Held {
    let (earlier, session) = started(store).await?;
    let newer = start_in(store, &session).await?;
    let voided = reread(store, &earlier).await?;
    ensure_eq!(voided, Flow { status: FlowStatus::Voided, inputs: None, ..earlier.clone() }, "the earlier flow");
    let parked = store.park_flow(&earlier, &fixtures::parking(start()), start()).await?;
    ensure!(!parked, "a voided flow is parked");
    ensure_eq!(reread(store, &newer).await?, newer, "the newer flow");
    Ok(())
}

async fn a_newer_start_replaces_a_failed_flow(store: &dyn Store) -> Held {
    let (earlier, session) = started(store).await?;
    ensure!(store.fail_flow(&earlier, FlowStatus::Pending, "access_denied", start()).await?, "the flow cannot fail");
    start_in(store, &session).await?;
    Ok(())
}

/// Checks that no flow can replace the one that the session shows.
async fn ensure_not_replaced(store: &dyn Store, session: &Session, earlier: &Flow) -> Held {
    let newer = fixtures::flow(session);
    ensure!(
        !store.start_flow(&newer, session, start()).await?,
        "a newer flow starts although the earlier is {:?}",
        earlier.status
    );
    ensure_not_started(store, &newer).await?;
    ensure_eq!(&reread(store, earlier).await?, earlier, "the earlier flow");
    ensure_eq!(&reread_session(store, session).await?, session, "the session");
    Ok(())
}

async fn no_newer_start_once_the_earlier_flow_is_parked(store: &dyn Store) -> Held {
    let (earlier, session) = started(store).await?;
    let parked = park(store, &earlier).await?;
    ensure_not_replaced(store, &session, &parked).await
}

async fn no_newer_start_while_the_earlier_flow_is_exchanged_or_completed(store: &dyn Store) -> Held {
    let (earlier, session) = started(store).await?;
    let exchanging = claim(store, &park(store, &earlier).await?).await?;
    ensure_not_replaced(store, &session, &exchanging).await?;
    let completion = store.complete_flow(&exchanging, &fixtures::credential(&exchanging), start()).await?;
    ensure_eq!(completion, Completion::Done, "the outcome of completing the flow");
    let completed = reread(store, &exchanging).await?;
    ensure_not_replaced(store, &session, &completed).await
}

async fn a_flow_is_started_once(store: &dyn Store) -> Held {
    for flow in [pending(store).await?, parked(store).await?, exchanging(store).await?] {
        let elsewhere = fixtures::session(&flow.project);
        store.insert_session(&elsewhere).await?;
        let same_id = Flow { id: flow.id.clone(), ..fixtures::flow(&elsewhere) };
        let same_state = Flow { state_hash: flow.state_hash.clone(), ..fixtures::flow(&elsewhere) };
        for again in [same_id, same_state] {
            ensure!(!store.start_flow(&again, &elsewhere, start()).await?, "a flow is started twice");
        }
        ensure_eq!(store.find_flow_by_state(&flow.state_hash).await?, Some(flow), "the flow by its state");
    }
    Ok(())
}
