//! Rows 67, 69, 71 and 75 of the threat table.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;
use grantkeeper::error::Error;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::event::EventKind;
use grantkeeper::refresh::sweep::Work;
use grantkeeper::refresh::{Reason, WAIT_BUDGET};
use grantkeeper_sandbox::{AnswerFate, Presentation};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bench::{Bench, Keeping, Read, Subject};
use super::case::work;
use super::meanwhile;
use super::point::Point;
use super::provider::{Fault, Mode, script};
use super::trap::{Op, Trap, Way};

/// When a token of an hour is due at the latest (seconds).
const DUE: i64 = 2890;

type Outcome = anyhow::Result<()>;

/// A bench with one credential that is due.
pub async fn due(keeping: Keeping, mode: Mode) -> anyhow::Result<(Arc<Bench>, Subject)> {
    let bench = Arc::new(Bench::new(keeping).await?);
    let subject = bench.subject(mode).await?;
    bench.sandbox().clear_presented();
    bench.world.advance(Duration::seconds(DUE));
    Ok((bench, subject))
}

async fn reauthorizations(bench: &Bench, subject: &Subject) -> anyhow::Result<usize> {
    let events = bench.store.list_events(bench.project(), &subject.credential).await?;
    Ok(events.iter().filter(|event| event.kind == EventKind::ReauthorizationRequired).count())
}

pub async fn refresh(bench: &Bench, trap: &Arc<Trap>, subject: &Subject) -> anyhow::Result<Result<Credential, Error>> {
    let client = bench.store.find_client(&subject.client).await?.context("the client")?;
    let stored = bench.stored(&subject.credential).await?;
    Ok(bench.worker(trap).engine().refresh(Instant::now(), &client, stored, Reason::Due, WAIT_BUDGET).await)
}

/// A crash between the answer and the store, where the provider gives the answer again for ten minutes.
pub async fn crash_within_the_grace(keeping: Keeping) -> Outcome {
    let (bench, subject) = due(keeping, Mode::Grace).await?;
    let trap = Arc::new(meanwhile::trap(Point::DieBeforeStage, &bench, &subject));
    work(&bench, &subject, &trap).await;
    ensure!(trap.has_sprung(), "the worker had an answer");
    let mut after = 0;
    while bench.stored(&subject.credential).await?.generation == 2 {
        ensure!(after < 90, "not recovered after {after} seconds");
        after += 10;
        bench.world.advance(Duration::seconds(10));
        bench.sweep().await?;
        ensure!(matches!(bench.read(&subject.credential).await?.0, Read::Served(_)), "not served after {after}");
    }
    let stored = bench.stored(&subject.credential).await?;
    ensure!(stored.status == CredentialStatus::Active, "{:?}", stored.status);
    let (read, token) = bench.read(&subject.credential).await?;
    ensure!(read == Read::Served(None) && bench.works(&token.context("a token")?).await?, "{read:?}");
    ensure!(reauthorizations(&bench, &subject).await? == 0, "consent was asked for");
    Ok(())
}

/// The same where a spent refresh token costs the whole grant.
pub async fn crash_without_a_grace(keeping: Keeping) -> Outcome {
    let (bench, subject) = due(keeping, Mode::Family).await?;
    let trap = Arc::new(meanwhile::trap(Point::DieBeforeStage, &bench, &subject));
    work(&bench, &subject, &trap).await;
    ensure!(trap.has_sprung(), "the worker had an answer");
    let expires_at = bench.stored(&subject.credential).await?.expires_at().context("an end")?;
    let mut asked_at = None;
    while bench.now() < expires_at + Duration::minutes(5) {
        let (read, _) = bench.read(&subject.credential).await?;
        let stored = bench.stored(&subject.credential).await?;
        if bench.now() < expires_at {
            ensure!(matches!(read, Read::Served(_)), "{read:?} at {}", bench.now());
        } else {
            ensure!(read == Read::Refused("reauthorization_required"), "{read:?} at {}", bench.now());
        }
        if stored.status == CredentialStatus::ReauthorizationRequired {
            asked_at.get_or_insert_with(|| bench.now());
            let warned = read == Read::Served(Some("reauthorization_required"));
            ensure!(warned || bench.now() >= expires_at, "{read:?} at {}", bench.now());
        }
        let asked = reauthorizations(&bench, &subject).await?;
        ensure!(asked == usize::from(asked_at.is_some()), "{asked} events at {}", bench.now());
        bench.world.advance(Duration::seconds(15));
        bench.sweep().await?;
    }
    ensure!(asked_at.is_some_and(|at| at < expires_at), "consent was asked for at {asked_at:?}");
    ensure!(reauthorizations(&bench, &subject).await? == 1, "once");
    Ok(())
}

/// A worker pauses for longer than its lease with the answer in its hand, another one commits, and the first goes on.
pub async fn a_paused_holder(keeping: Keeping) -> Outcome {
    let (bench, subject) = due(keeping, Mode::Grace).await?;
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let pause = {
        let (arrived, go_on) = (arrived.clone(), go_on.clone());
        Way::Before(Box::new(move || {
            let (arrived, go_on) = (arrived.clone(), go_on.clone());
            Box::pin(async move {
                arrived.notify_one();
                go_on.notified().await;
            })
        }))
    };
    let paused = Arc::new(Trap::at(Op::Stage, pause));
    let others = async {
        arrived.notified().await;
        bench.world.advance(Duration::seconds(26));
        let found = bench.sweep().await?;
        ensure!(found.contains(&subject.credential), "the other worker found no work");
        let theirs = bench.stored(&subject.credential).await?;
        go_on.notify_one();
        anyhow::Ok(theirs)
    };
    let (ours, theirs) = tokio::join!(refresh(&bench, &paused, &subject), others);
    let (ours, theirs) = (ours?, theirs?);
    ensure!(theirs.generation == 3, "the other worker did not commit");
    ensure!(ours.is_ok_and(|newer| newer == theirs), "the first worker goes on with what the other one stored");

    let stored = bench.stored(&subject.credential).await?;
    ensure!(stored == theirs, "the commit of the first worker changed something");
    let journal = bench.store.list_orphans(bench.project(), &subject.credential, 2).await?;
    let [orphan] = journal.as_slice() else { anyhow::bail!("{} token sets in the journal", journal.len()) };
    ensure!(orphan.pointer != stored.cur && orphan.fence < stored.fence, "another worker's tokens are in the journal");
    let place = stored.place(3);
    bench.vault.open(&place, &orphan.pointer, grantkeeper::vault::Prefetched::Nothing).await?;
    let (read, token) = bench.read(&subject.credential).await?;
    ensure!(read == Read::Served(None) && bench.works(&token.context("a token")?).await?, "{read:?}");
    Ok(())
}

/// The provider rotates and closes the connection.
pub async fn an_unknown_outcome(keeping: Keeping) -> Outcome {
    let (bench, subject) = due(keeping, Mode::Grace).await?;
    let lost = script(&[Fault::DropAfter]);
    bench.change_at_sandbox(Mode::Grace, &subject.client_id, |at| at.token_answers = lost)?;
    let newer = refresh(&bench, &Arc::new(Trap::none()), &subject).await??;
    ensure!(newer.generation == 3 && newer.status == CredentialStatus::Active, "{:?}", newer.status);
    let presented: Vec<Presentation> = bench.sandbox().presented();
    let [lost, second] = presented.as_slice() else { anyhow::bail!("{presented:?}") };
    ensure!(lost.refresh_token == second.refresh_token, "another refresh token was presented");
    ensure!(lost.accepted && lost.answer == AnswerFate::Lost, "{lost:?}");
    ensure!(second.accepted && second.answer == AnswerFate::Sent, "{second:?}");
    // The sandbox's clock goes on by itself.
    ensure!(second.at - lost.at <= Duration::seconds(2), "{} later", second.at - lost.at);
    Ok(())
}

/// An environment is frozen between S1 and the request, and thaws an hour later.
pub async fn a_frozen_environment(keeping: Keeping) -> Outcome {
    let (bench, subject) = due(keeping, Mode::Family).await?;
    let freeze = {
        let clock = bench.world.clock.clone();
        Way::After(Box::new(move || {
            clock.advance(Duration::hours(1));
            Box::pin(std::future::ready(()))
        }))
    };
    let frozen = Arc::new(Trap::at(Op::Acquire, freeze));
    let thawed = refresh(&bench, &frozen, &subject).await?;
    ensure!(frozen.has_sprung(), "it had the lease");
    ensure!(matches!(thawed, Err(Error::Refreshing { .. })), "{thawed:?}");
    ensure!(bench.sandbox().presented().is_empty(), "it sent: {:?}", bench.sandbox().presented());
    let stored = bench.stored(&subject.credential).await?;
    ensure!((stored.generation, &stored.intent) == (2, &None), "nothing was sent, so nothing is in doubt");
    // Whoever comes next refreshes.
    let (credential, project) = (subject.credential.clone(), bench.project().clone());
    bench.healthy.work(&Work { credential, project, generation: 2, apart: false }).await?;
    ensure!(bench.stored(&subject.credential).await?.generation == 3, "the next worker refreshes");
    ensure!(bench.sandbox().presented().len() == 1, "{:?}", bench.sandbox().presented());
    Ok(())
}
