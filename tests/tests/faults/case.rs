//! Cases that run side by side on one stack: its clock moves for all of them at once.
//!
//! What goes wrong happens ten seconds after the refreshes became due, when the access tokens have ten minutes left. Then
//! workers with which nothing goes wrong look every half minute for what is due. A few minutes before the tokens expire,
//! and after they have, each case is looked at.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::event::EventKind;
use grantkeeper::refresh::sweep::Work;
use grantkeeper::refresh::{Reason, WAIT_BUDGET};
use grantkeeper_sandbox::{Presentation, fingerprint};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::bench::{AT_ONCE, Bench, Read, Subject};
use super::meanwhile;
use super::point::Point;
use super::provider::{Fault, Mode, script};
use super::trap::Trap;

/// The pause between two looks for what is due (seconds).
const PAUSE: i64 = 30;
/// When what goes wrong happens, after the tokens were issued (seconds).
const BEGINNING: i64 = 2890;
/// After how many looks a suspension is lifted.
const LIFTED_AFTER: i64 = 3;
/// After how many looks each case is read: the tokens have two minutes left.
const READ_AFTER: i64 = 20;
/// How many looks there are at least: the tokens of the beginning are over then.
pub const LOOKS: i64 = 26;

/// What goes wrong with one credential.
#[derive(Clone, Debug)]
pub struct Case {
    pub mode: Mode,
    /// What becomes of the first token requests.
    pub faults: Vec<Fault>,
    /// Workers that are at it at the same time, and where something goes wrong with each.
    pub workers: Vec<Point>,
}

/// What came of a case.
pub struct Outcome {
    /// Which of the workers came to where something goes wrong.
    pub sprung: Vec<bool>,
    /// How many seconds after the beginning a newer generation was there, as far as a look for due work brought it.
    pub newer_after: Option<i64>,
    /// Reads right after the beginning, and while the tokens of the beginning still live.
    pub at_first: Read,
    pub before_expiry: (CredentialStatus, Read),
    /// At the end, when they are over.
    pub status: CredentialStatus,
    pub at_last: Read,
    /// The token of the last read works at the provider's API.
    pub works: bool,
    /// Its refresh token is the newest that the provider gave out.
    pub is_newest: bool,
    /// One more refresh brought a token that works.
    pub refreshed: bool,
    /// The status after that.
    pub afterwards: CredentialStatus,
    /// Token requests between the read before the expiry and the end.
    pub late_requests: usize,
    pub presented: Vec<Presentation>,
    /// How many of them came before the one more refresh.
    pub requests: usize,
    /// The refresh tokens that were stored, as fingerprints, the oldest first: those of the beginning, what came of it all,
    /// and what the last refresh brought.
    pub chain: Vec<String>,
    pub events: Vec<EventKind>,
    /// The grant still stands at the provider.
    pub stands: bool,
}

/// A case under way.
struct Running {
    case: Case,
    subject: Subject,
    sprung: Vec<bool>,
    newer_after: Option<i64>,
    at_first: Read,
    before_expiry: (CredentialStatus, Read),
    requests_before_expiry: usize,
}

/// Runs cases to their end, with so many looks for what is due.
pub async fn run(bench: &Arc<Bench>, cases: Vec<Case>, looks: i64) -> anyhow::Result<Vec<Outcome>> {
    let made = stream::iter(cases).map(async |case| {
        let subject = bench.subject(case.mode).await?;
        bench.change_at_sandbox(case.mode, &subject.client_id, |at| at.token_answers = script(&case.faults))?;
        anyhow::Ok((case, subject))
    });
    let made: Vec<_> = made.buffered(AT_ONCE).try_collect().await?;
    bench.sandbox().clear_presented();

    bench.world.advance(Duration::seconds(BEGINNING));
    let crowd = Arc::new(Semaphore::new(AT_ONCE));
    let begun = made.into_iter().map(|(case, subject)| begin(bench, &crowd, case, subject));
    let mut running: Vec<Running> = stream::iter(begun).buffered(usize::MAX).try_collect().await?;
    for look in 1..=looks {
        bench.world.advance(Duration::seconds(PAUSE));
        let worked = bench.sweep().await?;
        for it in running.iter_mut().filter(|it| it.newer_after.is_none() && worked.contains(&it.subject.credential)) {
            let stored = bench.stored(&it.subject.credential).await?;
            it.newer_after = (stored.generation > 2).then_some(look * PAUSE);
        }
        if look == LIFTED_AFTER {
            for it in running.iter().filter(|it| it.case.workers.contains(&Point::CommitSuspended)) {
                meanwhile::lift_suspension(bench, &it.subject).await?;
            }
        }
        if look == READ_AFTER {
            let reads = stream::iter(&mut running).map(|it| it.read_before_expiry(bench));
            reads.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        }
    }
    let ended = stream::iter(running).map(|it| it.end(bench));
    ended.buffered(AT_ONCE).try_collect().await
}

/// Everything that goes wrong. Cases that wait leave the crowd to the others.
async fn begin(bench: &Arc<Bench>, crowd: &Semaphore, case: Case, subject: Subject) -> anyhow::Result<Running> {
    let waits = case.faults.iter().any(|fault| matches!(fault, Fault::TimeoutAfter | Fault::HangAfter))
        || case.workers.len() > 1
        || case.workers.contains(&Point::CommitSuperseded);
    let place = if waits { None } else { Some(crowd.acquire().await?) };
    let traps: Vec<_> = case.workers.iter().map(|point| Arc::new(meanwhile::trap(*point, bench, &subject))).collect();
    futures::future::join_all(traps.iter().map(|trap| work(bench, &subject, trap))).await;
    let sprung = traps.iter().map(|trap| trap.has_sprung()).collect();
    let stored = bench.stored(&subject.credential).await?;
    let newer_after = (stored.generation > 2).then_some(0);
    let (at_first, _) = bench.read(&subject.credential).await?;
    drop(place);
    let before_expiry = (stored.status, at_first.clone());
    Ok(Running { case, subject, sprung, newer_after, at_first, before_expiry, requests_before_expiry: 0 })
}

/// One worker, until it is done or dead.
pub async fn work(bench: &Bench, subject: &Subject, trap: &Arc<Trap>) {
    let worker = bench.worker(trap);
    let (credential, project) = (subject.credential.clone(), bench.project().clone());
    let work = Work { credential, project, generation: 2, apart: false };
    tokio::select! {
        biased;
        () = trap.died() => {}
        // Work that failed is found by the next look.
        done = worker.work(&work) => drop(done),
    }
}

impl Outcome {
    /// G4: what was presented although it was never stored, or was older than the one before the newest that had been
    /// presented.
    pub fn too_old(&self) -> Vec<&str> {
        let mut newest = 0;
        let mut too_old = Vec::new();
        for presented in &self.presented {
            // Where refresh tokens stay the same, the last place counts.
            match self.chain.iter().rposition(|token| *token == presented.refresh_token) {
                Some(place) if place + 1 >= newest => newest = newest.max(place),
                _ => too_old.push(presented.refresh_token.as_str()),
            }
        }
        too_old
    }

    /// How many events of a kind there are.
    pub fn count(&self, kind: EventKind) -> usize {
        self.events.iter().filter(|event| **event == kind).count()
    }
}

impl Running {
    async fn read_before_expiry(&mut self, bench: &Bench) -> anyhow::Result<()> {
        let (read, _) = bench.read(&self.subject.credential).await?;
        self.before_expiry = (bench.stored(&self.subject.credential).await?.status, read);
        self.requests_before_expiry = self.presented(bench).len();
        Ok(())
    }

    fn presented(&self, bench: &Bench) -> Vec<Presentation> {
        let ours = |presented: &Presentation| presented.client_id.as_ref() == Some(&self.subject.client_id);
        bench.sandbox().presented().into_iter().filter(ours).collect()
    }

    async fn end(self, bench: &Arc<Bench>) -> anyhow::Result<Outcome> {
        let id = self.subject.credential.clone();
        let requests = self.presented(bench).len();
        let late_requests = requests - self.requests_before_expiry;
        let (at_last, token) = bench.read(&id).await?;
        let works = match &token {
            Some(token) => bench.works(token).await?,
            None => false,
        };
        let stored = bench.stored(&id).await?;
        let mut chain: Vec<_> = self.subject.given.iter().map(|token| fingerprint(token.expose())).collect();
        let is_newest = is_newest(bench, &stored, &mut chain).await;
        bench.change_at_sandbox(self.case.mode, &self.subject.client_id, |_| {})?;
        let refreshed = refresh_again(bench, &stored).await?;
        let after = bench.stored(&id).await?;
        if let Ok(token) = bench.refresh_token(&after).await {
            chain.push(fingerprint(token.expose()));
        }
        let events = bench.store.list_events(bench.project(), &id).await?;
        ensure!(events.iter().all(|event| event.credential == id), "another credential's event");
        let grant = self.subject.given.last().and_then(|token| bench.sandbox().grant_of(token.expose()));
        Ok(Outcome {
            sprung: self.sprung.clone(),
            newer_after: self.newer_after,
            at_first: self.at_first.clone(),
            before_expiry: self.before_expiry.clone(),
            status: stored.status,
            at_last,
            works,
            is_newest,
            refreshed,
            afterwards: after.status,
            late_requests,
            requests,
            presented: self.presented(bench),
            chain,
            events: events.into_iter().map(|event| event.kind).collect(),
            stands: grant.is_some_and(|(grant, _)| grant.alive),
        })
    }
}

/// Whether the stored refresh token, the next of the chain, is the newest that its grant was given.
async fn is_newest(bench: &Bench, stored: &Credential, chain: &mut Vec<String>) -> bool {
    // Those of a credential that has ended are gone.
    let Ok(token) = bench.refresh_token(stored).await else { return false };
    let grant = bench.sandbox().grant_of(token.expose());
    let token = fingerprint(token.expose());
    let newest = grant.is_some_and(|(grant, _)| grant.refresh_tokens.last() == Some(&token));
    chain.push(token);
    newest
}

async fn refresh_again(bench: &Bench, stored: &Credential) -> anyhow::Result<bool> {
    let client = bench.store.find_client(stored.client.as_ref().context("a client")?).await?.context("the client")?;
    let refreshed =
        bench.healthy.engine().refresh(Instant::now(), &client, stored.clone(), Reason::Forced, WAIT_BUDGET).await;
    let Ok(newer) = refreshed else { return Ok(false) };
    let (_, token) = bench.read(&newer.id).await?;
    match token {
        Some(token) if newer.generation == stored.generation + 1 => bench.works(&token).await,
        _ => Ok(false),
    }
}
