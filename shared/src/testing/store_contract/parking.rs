//! Parking the code of a flow, and the end of flows that fail.

use chrono::Duration;

use super::steps::{claim, exchanging, found, parked, pending, reread};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::ProjectId;
use crate::store::{Completion, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    a_pending_flow_is_parked_with_its_code,
    a_flow_is_parked_once,
    of_racing_callbacks_one_parks,
    an_expired_flow_is_not_parked_and_stays_as_it_is,
    only_a_pending_flow_is_parked,
    a_flow_is_not_changed_under_another_project,
    a_flow_fails_with_its_problem,
    what_was_parked_is_destroyed_when_a_flow_fails,
    a_flow_fails_only_from_the_state_that_is_named,
    of_racing_failures_one_wins,
);

async fn a_pending_flow_is_parked_with_its_code(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    let parking = fixtures::parking(start());
    ensure!(store.park_flow(&flow, &parking, start()).await?, "a pending flow is not parked");
    let expected = Flow {
        status: FlowStatus::Parked,
        parked: Some(parking.parked),
        completion_hash: Some(parking.completion_hash),
        completion_expires_at: Some(parking.completion_expires_at),
        ..flow.clone()
    };
    ensure_eq!(reread(store, &flow).await?, expected, "the parked flow");
    Ok(())
}

async fn a_flow_is_parked_once(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    let first = fixtures::parking(start());
    ensure!(store.park_flow(&flow, &first, start()).await?, "a pending flow is not parked");
    ensure!(!store.park_flow(&flow, &fixtures::parking(start()), start()).await?, "a flow is parked twice");
    ensure_eq!(reread(store, &flow).await?.parked, Some(first.parked), "what is parked");
    Ok(())
}

async fn of_racing_callbacks_one_parks(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    let codes = racers(|_| fixtures::parking(start()));
    let parked = race(&codes, |code| store.park_flow(&flow, code, start())).await;
    let winner = one_winner(parked, |parked| *parked)?;
    let stored = reread(store, &flow).await?;
    let of_winner = found(codes.get(winner), "the winner")?;
    ensure_eq!(stored.parked.as_ref(), Some(&of_winner.parked), "what is parked");
    ensure_eq!(stored.completion_hash.as_ref(), Some(&of_winner.completion_hash), "the completion code's hash");
    Ok(())
}

async fn an_expired_flow_is_not_parked_and_stays_as_it_is(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    for now in [flow.expires_at, flow.expires_at + Duration::hours(1)] {
        ensure!(!store.park_flow(&flow, &fixtures::parking(now), now).await?, "an expired flow is parked");
        ensure_eq!(reread(store, &flow).await?, flow, "the expired flow");
    }
    // A caller cannot stretch the time: the store knows when the flow expires.
    let stretched = Flow { expires_at: flow.expires_at + Duration::hours(9), ..flow.clone() };
    let now = flow.expires_at;
    ensure!(!store.park_flow(&stretched, &fixtures::parking(now), now).await?, "an expired flow is parked");
    let last = flow.expires_at - Duration::milliseconds(1);
    ensure!(store.park_flow(&flow, &fixtures::parking(last), last).await?, "no parking in the last millisecond");
    Ok(())
}

async fn only_a_pending_flow_is_parked(store: &dyn Store) -> Held {
    let failed = pending(store).await?;
    store.fail_flow(&failed, FlowStatus::Pending, "access_denied", start()).await?;
    let completed = exchanging(store).await?;
    let completion = store.complete_flow(&completed, &fixtures::credential(&completed), start()).await?;
    ensure_eq!(completion, Completion::Done, "the outcome of completing a flow");
    for flow in [failed, parked(store).await?, exchanging(store).await?, completed] {
        let before = reread(store, &flow).await?;
        let parked = store.park_flow(&before, &fixtures::parking(start()), start()).await?;
        ensure!(!parked, "a flow that is {:?} is parked", before.status);
        ensure_eq!(reread(store, &flow).await?, before, "the flow");
    }
    Ok(())
}

async fn a_flow_is_not_changed_under_another_project(store: &dyn Store) -> Held {
    let (pending, parked, exchanging) = (pending(store).await?, parked(store).await?, exchanging(store).await?);
    let foreign = |flow: &Flow| Flow { project: ProjectId::generate(), ..flow.clone() };
    let until = start() + Duration::seconds(30);
    let refused = [
        store.park_flow(&foreign(&pending), &fixtures::parking(start()), start()).await?,
        store.fail_flow(&foreign(&pending), FlowStatus::Pending, "access_denied", start()).await?,
        store.claim_exchange(&foreign(&parked), until, start()).await?,
        store.release_exchange(&foreign(&exchanging)).await?,
    ];
    ensure_eq!(refused, [false; 4], "which changes are made under another project");
    let stranger = foreign(&exchanging);
    let completion = store.complete_flow(&stranger, &fixtures::credential(&stranger), start()).await?;
    ensure_eq!(completion, Completion::Lost, "the outcome of completing a flow under another project");
    for flow in [pending, parked, exchanging] {
        ensure_eq!(reread(store, &flow).await?, flow, "the flow");
    }
    Ok(())
}

async fn a_flow_fails_with_its_problem(store: &dyn Store) -> Held {
    let flow = pending(store).await?;
    ensure!(store.fail_flow(&flow, FlowStatus::Pending, "access_denied", start()).await?, "the flow does not fail");
    let problem = Some("access_denied".to_owned());
    let expected = Flow { status: FlowStatus::Failed, problem, inputs: None, ..flow.clone() };
    ensure_eq!(reread(store, &flow).await?, expected, "the failed flow");
    Ok(())
}

async fn what_was_parked_is_destroyed_when_a_flow_fails(store: &dyn Store) -> Held {
    for flow in [parked(store).await?, exchanging(store).await?] {
        ensure!(store.fail_flow(&flow, flow.status, "invalid_grant", start()).await?, "the flow does not fail");
        let failed = reread(store, &flow).await?;
        ensure_eq!(failed.status, FlowStatus::Failed, "the status");
        ensure_eq!(failed.parked, None, "what is parked");
        let claimed = store.claim_exchange(&flow, start() + Duration::seconds(30), start()).await?;
        ensure!(!claimed, "a failed flow is exchanged");
    }
    Ok(())
}

async fn a_flow_fails_only_from_the_state_that_is_named(store: &dyn Store) -> Held {
    let states = [FlowStatus::Pending, FlowStatus::Parked, FlowStatus::Exchanging];
    for flow in [pending(store).await?, parked(store).await?, exchanging(store).await?] {
        for from in states.into_iter().filter(|state| *state != flow.status) {
            let failed = store.fail_flow(&flow, from, "access_denied", start()).await?;
            ensure!(!failed, "a flow that is {:?} fails from {from:?}", flow.status);
        }
        ensure_eq!(reread(store, &flow).await?, flow, "the flow");
    }
    Ok(())
}

async fn of_racing_failures_one_wins(store: &dyn Store) -> Held {
    let flow = claim(store, &parked(store).await?).await?;
    let problems = racers(|number| format!("problem {number}"));
    let failed = race(&problems, |problem| store.fail_flow(&flow, FlowStatus::Exchanging, problem, start())).await;
    let winner = one_winner(failed, |failed| *failed)?;
    ensure_eq!(reread(store, &flow).await?.problem.as_ref(), problems.get(winner), "the problem");
    Ok(())
}
