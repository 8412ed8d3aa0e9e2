//! The points of an attempt as traps, and what others do meanwhile.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;
use grantkeeper::refresh::sweep::Work;
use grantkeeper::store::{AcquireRefresh, Attempted};
use grantkeeper::testing::FixedClock;
use grantkeeper::testing::fixtures::unique;
use http::StatusCode;
use serde_json::{Value, json};

use super::bench::{Bench, Subject};
use super::point::Point;
use super::trap::{Meanwhile, Op, Trap, Way};

/// A lease is over so long after it was taken (seconds).
const LEASE_OVER: i64 = 26;

/// What goes wrong at a point with a worker that is at this credential.
pub fn trap(point: Point, bench: &Arc<Bench>, subject: &Subject) -> Trap {
    let (op, way) = match point {
        Point::None => return Trap::none(),
        Point::DieBeforeAcquire => (Op::Acquire, Way::DieBefore),
        Point::AcquireFails => (Op::Acquire, Way::Fail(1)),
        Point::AcquireAnswerLost => (Op::Acquire, Way::LoseAnswer),
        Point::DieAfterAcquire => (Op::Acquire, Way::DieAfter),
        Point::VaultDown => (Op::Open, Way::Fail(1)),
        Point::DieBeforeSecondSend => (Op::NoteUnknown, Way::DieAfter),
        Point::DieAfterTried => (Op::NoteTried, Way::DieAfter),
        Point::DieBeforeStage => (Op::Stage, Way::DieBefore),
        Point::StageThrottled => (Op::Stage, Way::Fail(2)),
        Point::StageAnswerLost => (Op::Stage, Way::LoseAnswer),
        Point::DieAfterStage => (Op::Stage, Way::DieAfter),
        Point::DieBeforeCommit => (Op::Commit, Way::DieBefore),
        Point::CommitThrottled => (Op::Commit, Way::Fail(2)),
        Point::CommitAnswerLost => (Op::Commit, Way::LoseAnswer),
        Point::DieAfterCommit => (Op::Commit, Way::DieAfter),
        Point::CommitSuperseded => (Op::Commit, Way::Before(meanwhile(bench, subject, take_lease))),
        Point::Overtaken => (Op::Stage, Way::Before(meanwhile(bench, subject, overtake))),
        Point::CommitSuspended => (Op::Commit, Way::Before(meanwhile(bench, subject, suspend))),
        Point::CommitDisconnected => (Op::Commit, Way::Before(meanwhile(bench, subject, disconnect))),
        Point::DieBeforeRelease => (Op::Release, Way::DieBefore),
        Point::DieAfterRelease => (Op::Release, Way::DieAfter),
    };
    Trap::at(op, way)
}

/// What somebody else does with a credential.
pub fn meanwhile<F>(
    bench: &Arc<Bench>,
    subject: &Subject,
    others: impl Fn(Arc<Bench>, Subject) -> F + Send + Sync + 'static,
) -> Meanwhile
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (bench, subject) = (Arc::downgrade(bench), subject.clone());
    Box::new(move || {
        let done = bench.upgrade().map(|bench| others(bench, subject.clone()));
        Box::pin(async move {
            if let Some(done) = done {
                // What they were to do and did not shows in what comes of the case.
                drop(done.await.inspect_err(|error| eprintln!("meanwhile: {error:#}")));
            }
        })
    })
}

/// Another worker takes the lease over, and is heard of no more.
async fn take_lease(bench: Arc<Bench>, subject: Subject) -> anyhow::Result<()> {
    let stored = bench.stored(&subject.credential).await?;
    let now = bench.now() + Duration::seconds(LEASE_OVER);
    let acquire = AcquireRefresh {
        generation: stored.generation,
        owner: "another worker".to_owned(),
        attempt: unique(),
        rt_fp: "fingerprint".to_owned(),
        now,
        until: now + Duration::seconds(25),
        take_over: Some(stored.intent.context("an intent")?.attempt),
        tried: Vec::new(),
        due_before: stored.due_at,
    };
    let taken = bench.store.acquire_refresh(bench.project(), &subject.credential, &acquire).await?;
    ensure!(matches!(taken, Attempted::Applied(_)), "the lease was not to be had");
    Ok(())
}

/// Another worker, for which the lease is over, does the whole work.
async fn overtake(bench: Arc<Bench>, subject: Subject) -> anyhow::Result<()> {
    let ahead = FixedClock::at(bench.now() + Duration::seconds(LEASE_OVER));
    let other = bench.worker_at(ahead, &Arc::new(Trap::none()), None);
    let (credential, project) = (subject.credential.clone(), bench.project().clone());
    other.work(&Work { credential, project, generation: 2, apart: true }).await?;
    Ok(())
}

async fn change(bench: &Bench, subject: &Subject, body: Value) -> anyhow::Result<()> {
    let owner = bench.world.platform().acting_for("ada");
    let answer = owner.patch(&format!("/v1/credentials/{}", subject.credential), body).await?;
    ensure!(answer.status == StatusCode::OK, "{} {}", answer.status, answer.body);
    Ok(())
}

async fn suspend(bench: Arc<Bench>, subject: Subject) -> anyhow::Result<()> {
    change(&bench, &subject, json!({ "suspended": true })).await
}

/// The owner lifts a suspension, if there is one.
pub async fn lift_suspension(bench: &Bench, subject: &Subject) -> anyhow::Result<()> {
    change(bench, subject, json!({ "suspended": false })).await
}

async fn disconnect(bench: Arc<Bench>, subject: Subject) -> anyhow::Result<()> {
    let owner = bench.world.platform().acting_for("ada");
    let answer = owner.delete(&format!("/v1/credentials/{}", subject.credential)).await?;
    ensure!(answer.status.is_success(), "{} {}", answer.status, answer.body);
    Ok(())
}
