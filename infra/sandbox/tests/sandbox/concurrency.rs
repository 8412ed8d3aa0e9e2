//! Races: the state machine has one winner.

use std::time::Duration;

use grantkeeper_sandbox::{Options, Sandbox};
use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::*;

/// Sends the same request 200 times at once and returns the answers that succeeded.
async fn winners_of_200(sandbox: &Sandbox, parameters: &[(&'static str, String)]) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let (sandbox, parameters) = (sandbox.clone(), parameters.to_vec());
        tasks.spawn(async move {
            let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
            as_app(&sandbox, "/token", &parameters).await
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200 || answer.text("error") == "invalid_grant"));
    answers.into_iter().filter(|answer| answer.status == 200).collect()
}

fn refresh_request(refresh_token: String) -> Vec<(&'static str, String)> {
    vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh_token)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_refreshes_with_one_token_exactly_one_wins() {
    let sandbox = sandbox_with(json!({ "reuse_penalty": "token" }));
    let token = tokens(&sandbox).await.text("refresh_token");
    let winners = winners_of_200(&sandbox, &refresh_request(token)).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(refresh(&sandbox, &winners[0].text("refresh_token")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_losers_of_a_race_cost_the_winner_its_family() {
    let sandbox = sandbox_with(json!({}));
    let token = tokens(&sandbox).await.text("refresh_token");
    let winners = winners_of_200(&sandbox, &refresh_request(token)).await;
    assert_eq!(winners.len(), 1);
    assert_dead(&sandbox, &winners[0].text("access_token")).await;
    refresh(&sandbox, &winners[0].text("refresh_token")).await.assert_error(400, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_one_winner_is_also_the_one_in_the_data_file() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { issuer: ISSUER.into(), data_file: Some(directory.path().join("state.json")) };
    let sandbox = Sandbox::open(options.clone()).unwrap();
    register(&sandbox, "app", json!({ "reuse_penalty": "token" }));
    let token = tokens(&sandbox).await.text("refresh_token");
    let winners = winners_of_200(&sandbox, &refresh_request(token)).await;
    assert_eq!(winners.len(), 1);
    let reopened = Sandbox::open(options).unwrap();
    assert_eq!(refresh(&reopened, &winners[0].text("refresh_token")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn within_the_grace_all_200_refreshes_win() {
    let sandbox = sandbox_with(json!({ "grace_seconds": 60 }));
    let token = tokens(&sandbox).await.text("refresh_token");
    assert_eq!(winners_of_200(&sandbox, &refresh_request(token)).await.len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_redemptions_of_one_code_one_wins_and_its_tokens_die() {
    let sandbox = sandbox_with(json!({}));
    let parameters = vec![
        ("grant_type", "authorization_code".to_owned()),
        ("code", new_code(&sandbox).await),
        ("redirect_uri", REDIRECT_URI.to_owned()),
        ("code_verifier", VERIFIER.to_owned()),
    ];
    let winners = winners_of_200(&sandbox, &parameters).await;
    assert_eq!(winners.len(), 1);
    assert_dead(&sandbox, &winners[0].text("access_token")).await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_during_the_delay_leaves_a_rotated_token() {
    let sandbox = sandbox_with(json!({ "reuse_penalty": "token" }));
    let token = tokens(&sandbox).await.text("refresh_token");
    register(&sandbox, "app", json!({ "reuse_penalty": "token", "delay_ms": 5000 }));
    sandbox.clear_log();
    assert!(tokio::time::timeout(Duration::from_millis(4900), refresh(&sandbox, &token)).await.is_err());
    assert_eq!(sandbox.log().len(), 1, "the request is in the log before it is answered");
    refresh(&sandbox, &token).await.assert_error(400, "invalid_grant");
}
