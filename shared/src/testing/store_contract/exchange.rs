//! The exchange of a parked code: one holder, and one outcome.

use chrono::Duration;

use super::steps::{claim, ensure_absent, exchanging, exchanging_of, found, parked, pending, reread, session};
use crate::model::credential::Credential;
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::ProjectId;
use crate::store::{Completion, Store};
use crate::testing::fixtures::{self, start};
use crate::testing::suite::{Held, RACERS, checks, ensure, ensure_eq, one_winner, race, racers};

checks!(dyn Store:
    an_exchange_is_claimed_with_its_end,
    of_racing_exchanges_one_is_claimed,
    only_a_parked_flow_is_claimed,
    no_exchange_is_claimed_after_the_completion_code_expired,
    a_released_exchange_can_be_claimed_again,
    of_racing_releases_one_wins,
    only_an_exchange_is_released,
    a_completed_flow_has_its_credential_and_no_code,
    only_the_flow_that_is_exchanged_is_completed,
    of_racing_completions_one_is_done,
    a_taken_name_leaves_the_flow_in_exchange,
    of_racing_flows_one_gets_the_name,
    a_name_is_free_for_other_owners_and_projects,
);

fn until() -> crate::clock::Timestamp {
    start() + Duration::seconds(30)
}

async fn an_exchange_is_claimed_with_its_end(store: &dyn Store) -> Held {
    let flow = parked(store).await?;
    ensure!(store.claim_exchange(&flow, until(), start()).await?, "the exchange of a parked flow is not claimed");
    let expected = Flow { status: FlowStatus::Exchanging, exchange_until: Some(until()), ..flow.clone() };
    ensure_eq!(reread(store, &flow).await?, expected, "the flow");
    Ok(())
}

async fn of_racing_exchanges_one_is_claimed(store: &dyn Store) -> Held {
    let flow = parked(store).await?;
    let ends = racers(|number| until() + Duration::milliseconds(i64::try_from(number).unwrap_or_default()));
    let claimed = race(&ends, |end| store.claim_exchange(&flow, *end, start())).await;
    let winner = one_winner(claimed, |claimed| *claimed)?;
    ensure_eq!(reread(store, &flow).await?.exchange_until.as_ref(), ends.get(winner), "the end of the exchange");
    Ok(())
}

async fn only_a_parked_flow_is_claimed(store: &dyn Store) -> Held {
    let failed = parked(store).await?;
    store.fail_flow(&failed, FlowStatus::Parked, "owner_mismatch", start()).await?;
    for flow in [pending(store).await?, exchanging(store).await?, failed] {
        let before = reread(store, &flow).await?;
        let claimed = store.claim_exchange(&flow, until(), start()).await?;
        ensure!(!claimed, "the exchange of a flow that is {:?} is claimed", before.status);
        ensure_eq!(reread(store, &flow).await?, before, "the flow");
    }
    Ok(())
}

async fn no_exchange_is_claimed_after_the_completion_code_expired(store: &dyn Store) -> Held {
    let flow = parked(store).await?;
    let expiry = found(flow.completion_expires_at, "the expiry of the completion code")?;
    let claimed = store.claim_exchange(&flow, expiry + Duration::seconds(30), expiry).await?;
    ensure!(!claimed, "the exchange is claimed with an expired completion code");
    ensure_eq!(reread(store, &flow).await?, flow, "the flow");
    Ok(())
}

async fn a_released_exchange_can_be_claimed_again(store: &dyn Store) -> Held {
    let parked = parked(store).await?;
    let exchanging = claim(store, &parked).await?;
    ensure!(store.release_exchange(&exchanging).await?, "the exchange is not released");
    ensure_eq!(reread(store, &parked).await?, parked, "the flow");
    claim(store, &parked).await?;
    Ok(())
}

async fn of_racing_releases_one_wins(store: &dyn Store) -> Held {
    let flow = exchanging(store).await?;
    one_winner(race(&racers(|_| ()), |()| store.release_exchange(&flow)).await, |released| *released)?;
    Ok(())
}

async fn only_an_exchange_is_released(store: &dyn Store) -> Held {
    for flow in [pending(store).await?, parked(store).await?] {
        ensure!(!store.release_exchange(&flow).await?, "a flow that is {:?} is released", flow.status);
        ensure_eq!(reread(store, &flow).await?, flow, "the flow");
    }
    Ok(())
}

async fn a_completed_flow_has_its_credential_and_no_code(store: &dyn Store) -> Held {
    let flow = exchanging(store).await?;
    let credential = fixtures::credential(&flow);
    let now = start() + Duration::milliseconds(1_500);
    let completion = store.complete_flow(&flow, &credential, now).await?;
    ensure_eq!(completion, Completion::Done, "the outcome");
    let expected = Flow {
        status: FlowStatus::Completed,
        parked: None,
        inputs: None,
        exchange_until: None,
        completed_at: Some(now),
        credential: Some(credential.id.clone()),
        ..flow.clone()
    };
    ensure_eq!(reread(store, &flow).await?, expected, "the flow");
    let stored = store.find_credential(&credential.project, &credential.id).await?;
    ensure_eq!(stored.as_ref(), Some(&credential), "the credential");
    let taken = store.is_name_taken(&credential.project, &credential.owner, &credential.name).await?;
    ensure!(taken, "the name is not taken");
    Ok(())
}

async fn only_the_flow_that_is_exchanged_is_completed(store: &dyn Store) -> Held {
    let failed = exchanging(store).await?;
    store.fail_flow(&failed, FlowStatus::Exchanging, "invalid_grant", start()).await?;
    for flow in [pending(store).await?, parked(store).await?, failed] {
        let before = reread(store, &flow).await?;
        let credential = fixtures::credential(&flow);
        let completion = store.complete_flow(&flow, &credential, start()).await?;
        ensure_eq!(completion, Completion::Lost, "the outcome");
        ensure_absent(store, &credential).await?;
        let taken = store.is_name_taken(&credential.project, &credential.owner, &credential.name).await?;
        ensure!(!taken, "the name is taken although the flow that was {:?} is lost", before.status);
        ensure_eq!(reread(store, &flow).await?, before, "the flow");
    }
    Ok(())
}

async fn of_racing_completions_one_is_done(store: &dyn Store) -> Held {
    let flow = exchanging(store).await?;
    let name = |number| format!("name {}", number % 2);
    let credentials = racers(|number| Credential { name: name(number), ..fixtures::credential(&flow) });
    let completions = race(&credentials, |credential| store.complete_flow(&flow, credential, start())).await;
    let winner = one_winner(completions, |completion| *completion == Completion::Done)?;
    for (number, credential) in credentials.iter().enumerate() {
        if number == winner {
            ensure_eq!(reread(store, &flow).await?.credential.as_ref(), Some(&credential.id), "the flow's credential");
        } else {
            ensure_absent(store, credential).await?;
        }
    }
    // Who lost the flow is told so, even where the name is taken as well: another name would not help.
    let late = Credential { name: name(winner), ..fixtures::credential(&flow) };
    let late = store.complete_flow(&flow, &late, start()).await?;
    ensure_eq!(late, Completion::Lost, "the outcome of a late completion");
    Ok(())
}

async fn a_taken_name_leaves_the_flow_in_exchange(store: &dyn Store) -> Held {
    let first = exchanging(store).await?;
    let done = store.complete_flow(&first, &fixtures::credential(&first), start()).await?;
    ensure_eq!(done, Completion::Done, "the first outcome");

    let second = exchanging_of(store, &first.project, &first.owner).await?;
    let mut credential = fixtures::credential(&second);
    let refused = store.complete_flow(&second, &credential, start()).await?;
    ensure_eq!(refused, Completion::NameTaken, "the outcome with a taken name");
    ensure_absent(store, &credential).await?;
    ensure_eq!(reread(store, &second).await?, second, "the second flow");

    credential.name.push_str(" 2");
    let renamed = store.complete_flow(&second, &credential, start()).await?;
    ensure_eq!(renamed, Completion::Done, "the outcome with another name");
    Ok(())
}

async fn of_racing_flows_one_gets_the_name(store: &dyn Store) -> Held {
    let session = session(store).await?;
    let mut flows = Vec::new();
    for _ in 0..RACERS {
        flows.push(exchanging_of(store, &session.project, &session.owner).await?);
    }
    let contenders: Vec<_> = flows.iter().map(|flow| (flow, fixtures::credential(flow))).collect();
    let completions = race(&contenders, |(flow, credential)| store.complete_flow(flow, credential, start())).await;
    one_winner(completions, |completion| *completion == Completion::Done)?;
    let credentials = store.list_credentials(&session.project, 100, None).await?.items;
    ensure_eq!(credentials.len(), 1, "the number of credentials of this name");
    Ok(())
}

async fn a_name_is_free_for_other_owners_and_projects(store: &dyn Store) -> Held {
    let first = exchanging(store).await?;
    let elsewhere = ProjectId::generate();
    let other_owner = exchanging_of(store, &first.project, &fixtures::unique()).await?;
    let other_project = exchanging_of(store, &elsewhere, &first.owner).await?;
    for flow in [first, other_owner, other_project] {
        let completion = store.complete_flow(&flow, &fixtures::credential(&flow), start()).await?;
        ensure_eq!(completion, Completion::Done, "the outcome");
    }
    Ok(())
}
