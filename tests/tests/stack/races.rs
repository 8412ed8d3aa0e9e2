//! Many at once: one winner, one exchange, one refresh.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::Duration;
use grantkeeper_tests::{Answer, Browser, Page, World};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Outcome;

/// Runs so many copies at once.
pub(super) async fn at_once<T, F>(copies: usize, call: impl Fn() -> F) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let start = Arc::new(tokio::sync::Barrier::new(copies));
    let mut calls = JoinSet::new();
    for _ in 0..copies {
        let (start, call) = (start.clone(), call());
        calls.spawn(async move {
            start.wait().await;
            call.await
        });
    }
    calls.join_all().await.into_iter().collect()
}

async fn fifty_callbacks(world: &World, session: Value) -> anyhow::Result<Page> {
    let browser = Browser::new();
    let callback = world.to_callback(&browser, session).await?;
    let pages = at_once(50, || {
        let (browser, callback) = (browser.clone(), callback.clone());
        async move { browser.get(callback.as_str()).await }
    })
    .await?;
    let (winners, losers): (Vec<_>, Vec<_>) = pages.into_iter().partition(|page| page.status == StatusCode::SEE_OTHER);
    assert_eq!((winners.len(), losers.len()), (1, 49));
    for loser in &losers {
        assert_eq!((loser.status, loser.code()), (StatusCode::CONFLICT, "already_used"));
    }
    Ok(winners[0].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_copies_of_a_callback_one_wins() -> Outcome {
    let world = World::new().await?;
    let winner = fifty_callbacks(&world, json!({})).await?;
    assert_eq!(world.token_requests(), []);
    assert_eq!(world.complete(&winner.location()?, "ada").await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_copies_of_a_callback_that_exchanges_one_exchanges() -> Outcome {
    let world = World::new().await?;
    fifty_callbacks(&world, json!({ "binding": "browser" })).await?;
    let requests = world.token_requests();
    assert_eq!((requests.len(), requests[0].status), (1, 200));
    assert_eq!(world.platform().get("/v1/credentials").await?.body["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_completions_get_one_credential_from_one_exchange() -> Outcome {
    let world = Arc::new(World::new().await?);
    world.change_at_sandbox("grantkeeper-local", json!({ "delay_ms": 300 })).await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({})).await?;
    let location = browser.get(callback.as_str()).await?.location()?;
    let answers = at_once(50, || {
        let (world, location) = (world.clone(), location.clone());
        async move { world.complete(&location, "ada").await }
    })
    .await?;
    let statuses: BTreeSet<_> = answers.iter().map(|answer| (answer.status.as_u16(), answer.text("/id"))).collect();
    assert_eq!(statuses.len(), 1, "{statuses:?}");
    assert_eq!(answers[0].status, StatusCode::CREATED, "{}", answers[0].body);
    assert_eq!(world.token_requests().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reads_of_an_expired_token_cost_one_refresh() -> Outcome {
    let world = Arc::new(World::new().await?);
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let old = world.read_token(&id, json!({})).await?.text("/access_token");
    world.advance(Duration::seconds(3601));
    let answers = at_once(200, || {
        let (world, id) = (world.clone(), id.clone());
        async move { world.read_token(&id, json!({})).await }
    })
    .await?;
    let tokens: BTreeSet<_> = answers
        .iter()
        .map(|answer: &Answer| {
            (answer.status.as_u16(), answer.text("/access_token"), answer.body["generation"].as_u64())
        })
        .collect();
    assert_eq!(tokens.len(), 1, "{}", tokens.len());
    let (status, token, generation) = tokens.first().unwrap();
    assert_eq!((*status, *generation), (200, Some(2)));
    assert_ne!(*token, old);
    assert_eq!(world.requests_of("refresh_token").len(), 1);
    assert_eq!(world.call_api(token).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_forced_refreshes_join_and_never_show_a_refresh_token_twice() -> Outcome {
    let world = Arc::new(World::new().await?);
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    world.change_at_sandbox("grantkeeper-local", json!({ "delay_ms": 300 })).await?;
    let answers = at_once(20, || {
        let (world, id) = (world.clone(), id.clone());
        async move { world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await }
    })
    .await?;
    let requests = world.requests_of("refresh_token");
    let shown: BTreeSet<_> = requests.iter().map(|entry| entry.refresh_token.clone()).collect();
    assert_eq!(shown.len(), requests.len(), "each refresh token was presented once");
    assert!(requests.iter().all(|entry| entry.status == 200), "{requests:?}");
    assert!(requests.len() < 10, "{} of 20 refreshed by themselves", requests.len());
    let last = 1 + requests.len() as u64;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert!((2..=last).contains(&answer.body["generation"].as_u64().unwrap()), "{}", answer.body);
    }
    let token = world.read_token(&id, json!({})).await?;
    assert_eq!(token.body["generation"], json!(last));
    assert_eq!(world.call_api(&token.text("/access_token")).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_starts_of_one_session_the_last_alone_can_return() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let pages = at_once(20, || {
        let (browser, link) = (browser.clone(), link.clone());
        async move { browser.post(&link, &[]).await }
    })
    .await?;
    let mut outcomes = Vec::new();
    for page in &pages {
        if page.status != StatusCode::SEE_OTHER {
            assert_eq!((page.status, page.code()), (StatusCode::CONFLICT, "already_used"));
            continue;
        }
        let callback = browser.consent(&page.location()?, "ada").await?;
        let returned = browser.get(callback.as_str()).await?;
        outcomes.push((returned.status.as_u16(), returned.code().to_owned()));
    }
    let (winners, voided): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(status, _)| *status == 303);
    assert_eq!(winners.len(), 1);
    assert!(voided.iter().all(|outcome| *outcome == (400, "unknown_state".to_owned())), "{voided:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creations_with_one_idempotency_key_one_creates() -> Outcome {
    let world = Arc::new(World::new().await?);
    let answers = at_once(20, || {
        let superuser = world.superuser().with("Idempotency-Key", "same");
        async move { superuser.post("/v1/projects", json!({ "name": "Once" })).await }
    })
    .await?;
    let mut made = BTreeSet::new();
    for answer in &answers {
        match answer.status {
            StatusCode::CREATED => drop(made.insert(answer.text("/id"))),
            _ => assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "idempotency_in_progress")),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    let projects = world.superuser().get("/v1/projects").await?;
    let named = projects.body["items"].as_array().unwrap().iter().filter(|project| project["name"] == "Once");
    assert_eq!(named.count(), 1);
    Ok(())
}
