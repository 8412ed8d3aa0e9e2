//! A thousand readers of one expired token, in four processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Backend, Parts};
use http::StatusCode;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{ALONE, Outcome, PART};

const WORKERS: usize = 4;
const READERS_EACH: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_of_an_expired_token_in_four_processes_cost_one_refresh() -> Outcome {
    let _alone = ALONE.lock().await;
    let parts = Parts::start(PART).await?;
    // The strictest provider: a refresh token is good once, and its second use ends the grant.
    let settings =
        ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..Default::default() };
    let client = parts.world.register(settings, json!({})).await?;
    let id = parts.connect(&client, "ada").await?;
    let old = parts.world.read_token(&id, json!({})).await?;
    assert_eq!((old.status, &old.body["generation"]), (StatusCode::OK, &json!(1)));

    parts.advance(3601);
    let started = (0..WORKERS).map(|_| parts.worker(None));
    let mut workers = Vec::new();
    for worker in started {
        workers.push(worker.await?);
    }
    let start = Arc::new(Barrier::new(WORKERS * READERS_EACH));
    let (mut reads, path) = (JoinSet::new(), format!("/v1/credentials/{id}/token"));
    for worker in &workers {
        let runner = parts.runner(worker);
        for _ in 0..READERS_EACH {
            let (runner, start, path): (Backend, _, _) = (runner.clone(), start.clone(), path.clone());
            reads.spawn(async move {
                start.wait().await;
                let begun = Instant::now();
                (runner.post(&path, json!({})).await, begun.elapsed())
            });
        }
    }
    let (mut seen, mut longest) = (BTreeMap::new(), std::time::Duration::ZERO);
    for (answer, took) in reads.join_all().await {
        let answer = answer?;
        let told =
            (answer.status, answer.code().to_owned(), answer.text("/access_token"), answer.body["generation"].as_u64());
        *seen.entry(told).or_insert(0) += 1;
        longest = longest.max(took);
    }
    let told: Vec<_> =
        seen.iter().map(|((status, code, _, generation), count)| (status, code, generation, count)).collect();
    eprintln!("1,000 reads: {told:?}, the longest took {longest:?}");
    assert_eq!(seen.len(), 1, "{told:?}");
    let ((status, _, token, generation), count) = seen.first_key_value().unwrap();
    assert_eq!((*status, *generation, *count), (StatusCode::OK, Some(2), WORKERS * READERS_EACH));
    assert_ne!(*token, old.text("/access_token"));
    assert_eq!(parts.world.requests_of("refresh_token").len(), 1);
    assert_eq!(parts.world.call_api(token).await?.status, StatusCode::OK);
    Ok(())
}
