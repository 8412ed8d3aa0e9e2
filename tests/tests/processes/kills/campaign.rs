//! Credentials, workers and kills; and what must be true of every credential afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::ids::CredentialId;
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::{ClientSettings, LogEntry};
use grantkeeper_tests::{Parts, Worker};
use http::StatusCode;
use serde_json::json;

use super::super::{Outcome, PART};
use super::presented::Presented;

/// How many credentials are in use at a time.
const POPULATION: usize = 24;
/// The time between two looks for due work.
const SWEEP: Duration = Duration::from_millis(250);
/// How long the machine may take for a step.
const PATIENCE: Duration = Duration::from_secs(60);
/// Whoever takes over from a dead worker comes after its lease of 25 seconds, and long before the grace is over.
const TAKE_OVER: std::ops::RangeInclusive<i64> = 26..=60;
/// Tokens of an hour are due after 48 minutes.
const ALL_DUE: std::ops::RangeInclusive<i64> = 2890..=3500;
/// After these, a grant in doubt has been tried as often as planned: the lease's length, one and five minutes.
const DOUBTS: [i64; 3] = [26, 61, 301];
/// So many workers at most are killed before one may finish the work.
const KILLS_IN_A_ROW: u8 = 3;

/// What a campaign came to.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Kills.
    pub(super) kills: u32,
    /// Kills that left a credential between the beginning of its refresh and its commit.
    pub(super) in_the_middle: u32,
    /// Credentials whose new tokens died with a worker after the provider had made them.
    pub(super) lost: usize,
    /// Token sets that a dead worker had put into the vault and its successor committed.
    pub(super) staged: usize,
}

/// Where a refresh was when its worker died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun, or over.
    Idle,
    /// Begun, and the provider has not rotated.
    Begun,
    /// The provider has rotated, and the new tokens are nowhere: they died on the way.
    Unstored,
    /// The new tokens are in the vault and not committed.
    Staged,
}

struct Member {
    id: CredentialId,
    /// The commits that this credential must have seen: one for each time that everything was due.
    generation: u64,
    lost: bool,
}

pub(super) struct Campaign {
    name: &'static str,
    parts: Parts,
    client: String,
    /// By the name of the person, of whom each has one.
    members: BTreeMap<String, Member>,
    worker: Option<Worker>,
    rng: Rng,
    seed: u64,
    rounds: u32,
    grace: bool,
    delay_ms: u32,
    told: Told,
    presented: Presented,
}

impl Campaign {
    pub(super) async fn start(name: &'static str, settings: ClientSettings) -> anyhow::Result<Self> {
        let seed = variable("GRANTKEEPER_CHAOS_SEED")?.unwrap_or_else(|| fastrand::u64(..));
        let rounds = variable("GRANTKEEPER_CHAOS_ROUNDS")?.unwrap_or(10).try_into()?;
        let parts = Parts::start(PART).await?;
        let (grace, delay_ms) = (settings.grace_seconds > 0, settings.delay_ms);
        let settings =
            ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..settings };
        let client = parts.world.register(settings, json!({})).await?;
        let mut campaign = Self {
            name,
            parts,
            client,
            members: BTreeMap::new(),
            worker: None,
            rng: Rng::with_seed(seed),
            seed,
            rounds,
            grace,
            delay_ms,
            told: Told::default(),
            presented: Presented::default(),
        };
        eprintln!("{name}: {rounds} kills, GRANTKEEPER_CHAOS_SEED={seed}");
        campaign.fill_up().await?;
        Ok(campaign)
    }

    /// Kills so many workers, and lets the last one finish.
    pub(super) async fn run(&mut self) -> anyhow::Result<&Told> {
        let (mut in_a_row, mut due) = (0, 0);
        while self.told.kills < self.rounds {
            if in_a_row == 0 {
                self.heal().await?;
                self.fill_up().await?;
                due = self.make_all_due().await?;
            }
            self.kill_in_the_middle(due).await?;
            due = self.unsettled().await?.len();
            in_a_row = if due > 0 && in_a_row + 1 < KILLS_IN_A_ROW && self.rng.u8(..3) == 0 { in_a_row + 1 } else { 0 };
        }
        self.heal().await?;
        eprintln!("{}: {:?}", self.name, self.told);
        Ok(&self.told)
    }

    /// Connects credentials for those that were lost.
    async fn fill_up(&mut self) -> Outcome {
        while self.members.values().filter(|member| !member.lost).count() < POPULATION {
            let person = format!("person-{:03}", self.members.len());
            let id = CredentialId::parse(&self.parts.connect(&self.client, &person).await?)?;
            self.members.insert(person, Member { id, generation: 1, lost: false });
        }
        Ok(())
    }

    /// The clocks go on until the next refresh of every credential is due. Returns how many refreshes that makes.
    async fn make_all_due(&mut self) -> anyhow::Result<usize> {
        self.parts.advance(self.rng.i64(ALL_DUE));
        if let Some(worker) = &mut self.worker {
            worker.follow(&self.parts).await?;
        }
        for member in self.members.values_mut().filter(|member| !member.lost) {
            member.generation += 1;
        }
        Ok(self.unsettled().await?.len())
    }

    /// Waits until some, but not all, of so many refreshes have reached the provider, and kills the worker.
    async fn kill_in_the_middle(&mut self, due: usize) -> Outcome {
        let before = self.refreshes().len();
        let worker = match self.worker.take() {
            Some(worker) => worker,
            // A successor, which takes over.
            None => {
                self.parts.advance(self.rng.i64(TAKE_OVER));
                self.parts.worker(Some(SWEEP)).await?
            }
        };
        // Tokens that are staged are adopted without a request, so fewer may come than are due.
        let wanted = self.rng.usize(1..due.max(2));
        let begun = Instant::now();
        while self.refreshes().len() - before < wanted && !self.unsettled().await?.is_empty() {
            ensure!(begun.elapsed() < PATIENCE, "{wanted} of {due} refreshes did not come");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let longer = Duration::from_millis(self.rng.u64(0..=u64::from(self.delay_ms) + 10));
        tokio::time::sleep(longer).await;
        worker.kill().await?;
        // What the dead worker had sent may still be on its way.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.told.kills += 1;
        self.take_stock(due, self.refreshes().len() - before, longer).await
    }

    /// Looks where the kill left every credential.
    async fn take_stock(&mut self, due: usize, reached: usize, longer: Duration) -> Outcome {
        self.presented.look(self.parts.world.sandbox())?;
        let (mut begun, mut unstored, mut staged) = (0, 0, 0);
        for (person, member) in &mut self.members {
            if member.lost {
                continue;
            }
            match stage(&self.parts, &self.presented, person, &member.id).await? {
                Stage::Idle => {}
                Stage::Begun => begun += 1,
                Stage::Staged => staged += 1,
                Stage::Unstored => {
                    unstored += 1;
                    member.lost = !self.grace;
                }
            }
        }
        self.told.in_the_middle += u32::from(begun + unstored + staged > 0);
        self.told.staged += staged;
        if !self.grace {
            self.told.lost += unstored;
        }
        eprintln!(
            "{}: round {} of {}, seed {}: {due} due, {reached} reached the provider, killed {longer:?} later; \
             {begun} begun, {unstored} rotated and stored nowhere, {staged} staged",
            self.name, self.told.kills, self.rounds, self.seed
        );
        Ok(())
    }

    /// A worker that nobody kills finishes whatever is due.
    async fn heal(&mut self) -> Outcome {
        if self.worker.is_none() {
            self.parts.advance(self.rng.i64(TAKE_OVER));
            self.worker = Some(self.parts.worker(Some(SWEEP)).await?);
        }
        let begun = Instant::now();
        self.settle().await?;
        self.presented.look(self.parts.world.sandbox())?;
        let mut recovered = 0;
        for (person, member) in self.members.iter().filter(|(_, member)| !member.lost) {
            let stored = find(&self.parts, &member.id).await?;
            ensure!(
                (stored.status, stored.generation) == (CredentialStatus::Active, member.generation),
                "{person}: {:?} ({:?}), generation {} of {}",
                stored.status,
                stored.status_reason,
                stored.generation,
                member.generation
            );
            recovered += 1;
        }
        if self.told.kills > 0 {
            eprintln!("{}: {recovered} fresh, {} lost, after {:?}", self.name, self.told.lost, begun.elapsed());
        }
        Ok(())
    }

    /// Waits until nothing is due.
    async fn settle(&self) -> Outcome {
        let begun = Instant::now();
        loop {
            let unsettled = self.unsettled().await?;
            if unsettled.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("still to be done after {PATIENCE:?}: {unsettled:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a worker has still to do now, or once a lease has lapsed.
    async fn unsettled(&self) -> anyhow::Result<Vec<Credential>> {
        let now = self.parts.world.stack.broker.now();
        let mut unsettled = Vec::new();
        for member in self.members.values() {
            let stored = find(&self.parts, &member.id).await?;
            if !is_settled(&stored, now) {
                unsettled.push(stored);
            }
        }
        Ok(unsettled)
    }

    fn refreshes(&self) -> Vec<LogEntry> {
        self.parts.world.requests_of("refresh_token")
    }

    /// Every credential whose tokens died on the way asks for consent in the end, and no other does.
    pub(super) async fn expect_losses_and_no_others(&mut self) -> Outcome {
        for seconds in DOUBTS {
            self.parts.advance(seconds);
            self.worker.as_mut().context("a worker")?.follow(&self.parts).await?;
            self.settle().await?;
        }
        self.presented.look(self.parts.world.sandbox())?;
        for (person, member) in &self.members {
            let stored = find(&self.parts, &member.id).await?;
            let dead = stored.status == CredentialStatus::ReauthorizationRequired;
            ensure!(dead == member.lost, "{person}: {:?}, lost: {}", stored.status, member.lost);
            if dead {
                ensure!(stored.status_reason.as_deref() == Some("invalid_grant"), "{:?}", stored.status_reason);
                let spent = self.presented.spent(person);
                ensure!(spent == stored.generation, "{person}: {spent} spent, generation {}", stored.generation);
            }
            ensure!(dead != self.presented.stands(person), "{person}: the provider revoked what was not lost");
        }
        Ok(())
    }

    /// Every credential that was not lost is active, and the provider takes its token; none of its refresh tokens was
    /// presented after a newer one.
    pub(super) async fn expect_everything_else_to_work(&mut self) -> Outcome {
        let runner = self.parts.runner(self.worker.as_ref().context("a worker")?);
        self.presented.look(self.parts.world.sandbox())?;
        for (person, member) in &self.members {
            self.presented.expect_no_step_back(person)?;
            if member.lost {
                continue;
            }
            let token = runner.post(&format!("/v1/credentials/{}/token", member.id), json!({})).await?;
            ensure!(token.status == StatusCode::OK, "{person}: {} {}", token.status, token.code());
            let told = (&token.body["generation"], token.body["warning"].as_str());
            ensure!(told == (&json!(member.generation), None), "{person}: {told:?} of {}", member.generation);
            let called = self.parts.world.call_api(&token.text("/access_token")).await?;
            ensure!(called.status == StatusCode::OK, "{person}: {}", called.status);
            ensure!(called.text("/user") == *person, "{person} got the token of {}", called.text("/user"));
            ensure!(self.presented.stands(person), "{person}: the grant does not stand");
        }
        self.presented.expect_all_known()
    }
}

fn is_settled(stored: &Credential, now: Timestamp) -> bool {
    let now_ms = now.timestamp_millis();
    match stored.status {
        CredentialStatus::Active => stored.intent.is_none() && stored.refresh_after.is_some_and(|at| at > now_ms),
        CredentialStatus::RefreshFailing => stored.lease.is_none() && stored.backoff(now).is_some(),
        _ => true,
    }
}

async fn find(parts: &Parts, id: &CredentialId) -> anyhow::Result<Credential> {
    parts.world.store().find_credential(&parts.world.stack.project, id).await?.context("the credential")
}

/// Where the refresh of a credential stands while no worker runs.
async fn stage(parts: &Parts, presented: &Presented, person: &str, id: &CredentialId) -> anyhow::Result<Stage> {
    let stored = find(parts, id).await?;
    // Each commit spent one refresh token.
    let spent = presented.spent(person);
    let Some(intent) = &stored.intent else {
        ensure!(spent + 1 == stored.generation, "{person}: {spent} spent, generation {}", stored.generation);
        return Ok(Stage::Idle);
    };
    if parts.secret_version(id.as_str(), &intent.attempt).await?.is_some() {
        ensure!(spent == stored.generation, "{person}: {spent} spent, generation {}", stored.generation);
        return Ok(Stage::Staged);
    }
    match spent {
        spent if spent + 1 == stored.generation => Ok(Stage::Begun),
        spent if spent == stored.generation => Ok(Stage::Unstored),
        _ => bail!("{person}: {spent} spent, generation {}", stored.generation),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a test goes on is said from outside")]
fn variable(name: &str) -> anyhow::Result<Option<u64>> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(Some(value.parse().with_context(|| format!("{name} is no number"))?)),
        _ => Ok(None),
    }
}
