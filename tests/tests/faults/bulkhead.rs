//! One slow provider holds up nobody else: its work goes to a queue of its own.

use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::Client as Sqs;
use chrono::Duration;
use futures::future::try_join_all;
use grantkeeper::broker::Broker;
use grantkeeper::model::ids::CredentialId;
use grantkeeper::refresh::sweep::Work;
use grantkeeper::store::queue::RefreshQueue;

use super::bench::{Bench, Keeping, Subject};
use super::provider::Mode;
use super::trap::Trap;

/// How long the slow provider takes: longer than what counts as slow.
const SLOW_MS: u32 = 3300;
/// How long a batch may take in which no provider is slow.
const QUICK: StdDuration = StdDuration::from_millis(2500);
/// How many credentials each provider has.
const EACH: usize = 5;

/// A queue that nobody else reads.
async fn queue(sqs: &Sqs, name: &str) -> anyhow::Result<String> {
    sqs.create_queue().queue_name(name).send().await?.queue_url.context("a queue's URL")
}

/// Takes all the work out of a queue.
async fn drain(sqs: &Sqs, url: &str) -> anyhow::Result<Vec<Work>> {
    let mut work = Vec::new();
    loop {
        let received = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await?;
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(work);
        }
        for message in messages {
            work.push(serde_json::from_str(&message.body.unwrap_or_default())?);
            let handle = message.receipt_handle.unwrap_or_default();
            sqs.delete_message().queue_url(url).receipt_handle(handle).send().await?;
        }
    }
}

fn are_of(work: &[Work], subjects: &[Subject]) -> bool {
    let mut found: Vec<&CredentialId> = work.iter().map(|work| &work.credential).collect();
    let mut wanted: Vec<&CredentialId> = subjects.iter().map(|subject| &subject.credential).collect();
    found.sort();
    wanted.sort();
    found == wanted
}

/// A batch, as the function works it off.
async fn work_off(broker: &Broker, work: &[Work]) -> anyhow::Result<StdDuration> {
    let begun = Instant::now();
    try_join_all(work.iter().map(|work| broker.work(work))).await?;
    Ok(begun.elapsed())
}

pub async fn keeps_a_slow_provider_apart(keeping: Keeping) -> anyhow::Result<()> {
    let bench = Arc::new(Bench::new(keeping).await?);
    let sqs = Sqs::new(&bench.world.stack.engines.sdk_config());
    let (usual, apart) = (queue(&sqs, "usual").await?, queue(&sqs, "apart").await?);
    let queues = RefreshQueue::new(sqs.clone(), &usual, &apart);
    let broker = bench.worker_at(bench.world.clock.clone(), &Arc::new(Trap::none()), Some(queues));
    let (slow, quick) = (bench.client(Mode::Strict).await?, bench.client(Mode::Strict).await?);
    let (slow_id, mut of_slow, mut of_quick) = (slow.0.clone(), Vec::new(), Vec::new());
    for _ in 0..EACH {
        of_slow.push(bench.subject_of(Mode::Strict, slow.0.clone(), slow.1.clone(), Duration::zero()).await?);
        of_quick.push(bench.subject_of(Mode::Strict, quick.0.clone(), quick.1.clone(), Duration::zero()).await?);
    }
    bench.change_at_sandbox(Mode::Strict, &slow_id, |at| at.delay_ms = SLOW_MS)?;
    bench.world.advance(Duration::seconds(2890));

    // Nobody knows it yet: one queue for all.
    ensure!(broker.tick().await? == 2 * EACH, "all are due");
    let first = drain(&sqs, &usual).await?;
    ensure!(first.len() == 2 * EACH && drain(&sqs, &apart).await?.is_empty(), "all in the usual queue");
    let is_slow = |work: &&Work| of_slow.iter().any(|subject| subject.credential == work.credential);
    let one = first.iter().find(is_slow).context("work of the slow provider")?.clone();
    let took = work_off(&broker, std::slice::from_ref(&one)).await?;
    ensure!(took >= StdDuration::from_millis(SLOW_MS.into()), "{took:?}");

    // What is in the usual queue already goes over without a request, and the others are not held up.
    let rest: Vec<Work> = first.into_iter().filter(|work| *work != one).collect();
    let took = work_off(&broker, &rest).await?;
    ensure!(took < QUICK, "the usual queue was held up for {took:?}");
    for subject in &of_quick {
        ensure!(bench.stored(&subject.credential).await?.generation == 3, "the quick provider's are refreshed");
    }
    of_slow.retain(|subject| subject.credential != one.credential);
    let moved = drain(&sqs, &apart).await?;
    ensure!(are_of(&moved, &of_slow), "what went over: {moved:?}");
    ensure!(moved.iter().all(|work| work.apart), "it says that it is apart");
    ensure!(drain(&sqs, &usual).await?.is_empty(), "nothing is left in the usual queue");

    // A tick sends its work there at once.
    ensure!(broker.tick().await? == EACH - 1, "the slow provider's are still due");
    let sent = drain(&sqs, &apart).await?;
    ensure!(are_of(&sent, &of_slow) && drain(&sqs, &usual).await?.is_empty(), "apart: {sent:?}");

    // There it is done, however slow.
    let took = work_off(&broker, &sent).await?;
    ensure!(took >= StdDuration::from_millis(SLOW_MS.into()), "{took:?}");
    for subject in &of_slow {
        ensure!(bench.stored(&subject.credential).await?.generation == 3, "the slow provider's are refreshed");
    }
    Ok(())
}
