//! A thousand readers of one expired token, in four processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Backend, Parts, Worker};
use http::StatusCode;
use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{ALONE, Outcome, PART};

const WORKERS: usize = 4;
const READERS_EACH: usize = 250;
/// Nobody is put off before this: so long after its beginning a read may still begin a refresh, or join one.
const PUT_OFF_AFTER: Duration = Duration::from_secs(3);
/// A machine that serves as many reads without a refresh within this has no reason to put anybody off.
const IDLE_MACHINE: Duration = Duration::from_secs(4);
/// How long a machine that is busy with other things may take in all.
const PATIENCE: Duration = Duration::from_secs(150);

/// What all readers got.
struct Herd {
    /// How many got which status, token and generation in the end.
    seen: BTreeMap<(StatusCode, String, Option<u64>), usize>,
    took: Duration,
    /// The code of each answer that said to come again, and how long it took.
    put_off: Vec<(String, Duration)>,
}

/// All readers at once, each by a connection of its own.
async fn herd(parts: &Parts, workers: &[Worker], credential: &str) -> anyhow::Result<Herd> {
    let start = Arc::new(Barrier::new(workers.len() * READERS_EACH));
    let (mut reads, path) = (JoinSet::new(), format!("/v1/credentials/{credential}/token"));
    for worker in workers {
        let runner = parts.runner(worker);
        for _ in 0..READERS_EACH {
            let (runner, start, path) = (runner.clone(), start.clone(), path.clone());
            reads.spawn(async move {
                start.wait().await;
                read(&runner, &path).await
            });
        }
    }
    let (begun, mut seen, mut put_off) = (Instant::now(), BTreeMap::new(), Vec::new());
    while let Some(done) = reads.join_next().await {
        let (answer, again) = done??;
        let generation = answer.body["generation"].as_u64();
        *seen.entry((answer.status, answer.text("/access_token"), generation)).or_insert(0) += 1;
        put_off.extend(again);
    }
    Ok(Herd { seen, took: begun.elapsed(), put_off })
}

/// Reads, and comes again when it is told to, as a program does that minds `Retry-After`.
async fn read(runner: &Backend, path: &str) -> anyhow::Result<(Answer, Vec<(String, Duration)>)> {
    let (begun, mut put_off) = (Instant::now(), Vec::new());
    loop {
        let asked = Instant::now();
        let answer = runner.post(path, json!({})).await?;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE || begun.elapsed() > PATIENCE {
            return Ok((answer, put_off));
        }
        let (took, code) = (asked.elapsed(), answer.code());
        ensure!(took >= PUT_OFF_AFTER, "put off with {code} after {took:?} only");
        put_off.push((code.to_owned(), took));
        let after = match answer.headers.get("retry-after") {
            Some(after) => after.to_str()?.parse()?,
            None => 1.0,
        };
        // Longer each time and never together, so that those who come again do not keep the refresh from being made.
        let longer = f64::from(1 << put_off.len().min(5)) * (0.5 + fastrand::f64());
        tokio::time::sleep(Duration::from_secs_f64(after * longer)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reads_of_an_expired_token_in_four_processes_cost_one_refresh() -> Outcome {
    let _alone = ALONE.lock().await;
    let parts = Parts::start(PART).await?;
    // The strictest provider: a refresh token is good once, and its second use ends the grant.
    let settings =
        ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..Default::default() };
    let client = parts.world.register(settings, json!({})).await?;
    let id = parts.connect(&client, "ada").await?;
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(parts.worker(None).await?);
    }
    let alike = |herd: &Herd| -> anyhow::Result<String> {
        let counts: Vec<_> = herd.seen.iter().map(|((status, _, number), count)| (status, number, count)).collect();
        let (_, token, _) = herd.seen.keys().next().context("an answer")?;
        ensure!(counts.len() == 1 && !token.is_empty(), "{counts:?}");
        Ok(token.clone())
    };

    let alive = herd(&parts, &workers, &id).await?;
    let old = alike(&alive)?;
    assert_eq!(parts.world.requests_of("refresh_token").len(), 0);

    parts.advance(3601);
    for worker in &mut workers {
        worker.follow(&parts).await?;
    }
    // They read the time a moment later.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let expired = herd(&parts, &workers, &id).await?;
    let put_off = expired.put_off.len();
    let mut told = BTreeMap::new();
    for (code, took) in &expired.put_off {
        let (count, shortest) = told.entry(code).or_insert((0, *took));
        (*count, *shortest) = (*count + 1, took.min(shortest).to_owned());
    }
    eprintln!(
        "1,000 reads of a living token: {:?}, put off: {}; of an expired one: {:?}, put off: {told:?}",
        alive.took,
        alive.put_off.len(),
        expired.took
    );
    assert_eq!(parts.world.requests_of("refresh_token").len(), 1);
    let new = alike(&expired)?;
    assert_ne!(new, old);
    assert_eq!(expired.seen, BTreeMap::from([((StatusCode::OK, new.clone(), Some(2)), WORKERS * READERS_EACH)]));
    assert!(put_off == 0 || alive.took > IDLE_MACHINE, "{put_off} readers were put off by an idle machine");
    assert_eq!(parts.world.call_api(&new).await?.status, StatusCode::OK);
    Ok(())
}
