//! Credentials, workers and kills; and what must be true of every credential afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use fastrand::Rng;
use futures::future::try_join_all;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::ids::CredentialId;
use grantkeeper::store::Store as _;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Parts, Worker};
use http::StatusCode;
use serde_json::json;

use super::super::{Outcome, PART};
use super::presented::Presented;
use super::stage::{Stage, is_settled};

/// How many credentials are in use at a time.
const POPULATION: usize = 20;
/// How many are connected at once.
const CONNECTED_AT_ONCE: usize = 8;
/// The time between two looks for due work.
const SWEEP: Duration = Duration::from_millis(250);
/// How long the machine may take for a step.
const PATIENCE: Duration = Duration::from_secs(60);
/// No refresh reaches the provider for so long: perhaps none is to come.
const QUIET: Duration = Duration::from_millis(500);
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
    /// All kills.
    pub(super) kills: u32,
    /// Those that left a credential between the beginning of its refresh and its commit.
    pub(super) in_the_middle: u32,
    /// How often new tokens died with a worker after the provider had made them and before they were stored.
    pub(super) unstored: usize,
    /// Credentials that this cost.
    pub(super) lost: usize,
    /// How often new tokens were in the vault and not committed.
    pub(super) staged: usize,
}

struct Member {
    id: CredentialId,
    /// One more with each time that everything was due.
    generation: u64,
    lost: bool,
}

pub(super) struct Campaign {
    name: &'static str,
    parts: Parts,
    store: DynamoDbStore,
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
        eprintln!("{name}: {rounds} kills, GRANTKEEPER_CHAOS_SEED={seed}");
        let parts = Parts::start(PART).await?;
        let (grace, delay_ms) = (settings.grace_seconds > 0, settings.delay_ms);
        let settings =
            ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..settings };
        let client = parts.world.register(settings, json!({})).await?;
        let mut campaign = Self {
            name,
            store: parts.world.store(),
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
        campaign.heal().await?;
        Ok(campaign)
    }

    /// Kills workers until so many kills came in the middle of refreshes, and lets the last worker finish.
    pub(super) async fn run(&mut self) -> anyhow::Result<&Told> {
        let (mut in_a_row, mut asking) = (0, 0);
        while self.told.in_the_middle < self.rounds {
            ensure!(self.told.kills < 20 + 4 * self.rounds, "too few kills come in the middle: {:?}", self.told);
            if in_a_row == 0 {
                self.heal().await?;
                asking = self.make_all_due().await?;
            }
            asking = self.kill_in_the_middle(asking).await?;
            let again = asking > 0 && in_a_row + 1 < KILLS_IN_A_ROW && self.rng.u8(..3) == 0;
            in_a_row = if again { in_a_row + 1 } else { 0 };
        }
        self.heal().await?;
        eprintln!("{}: {:?}", self.name, self.told);
        Ok(&self.told)
    }

    /// A worker that nobody kills finishes whatever is due; then new credentials take the place of those that were lost.
    async fn heal(&mut self) -> Outcome {
        if self.worker.is_none() {
            self.parts.advance(self.rng.i64(TAKE_OVER));
            self.worker = Some(self.parts.worker(Some(SWEEP)).await?);
        }
        let begun = Instant::now();
        self.settle().await?;
        let (all, mut fresh) = (self.all().await?, 0);
        for (person, member) in self.members.iter().filter(|(_, member)| !member.lost) {
            let stored = all.get(&member.id).context("the credential")?;
            let is_fresh = (stored.status, stored.generation) == (CredentialStatus::Active, member.generation);
            ensure!(is_fresh, "{person} is not at generation {}: {stored:#?}", member.generation);
            fresh += 1;
        }
        if self.told.kills > 0 {
            eprintln!("{}: {fresh} fresh after {:?}, {} lost so far", self.name, begun.elapsed(), self.told.lost);
        }
        let people = (self.members.len()..).map(|number| format!("person-{number:04}")).take(POPULATION - fresh);
        let people = people.collect::<Vec<_>>();
        for some in people.chunks(CONNECTED_AT_ONCE) {
            let connected = some.iter().map(|person| self.parts.connect(&self.client, person));
            for (person, id) in some.iter().zip(try_join_all(connected).await?) {
                let member = Member { id: CredentialId::parse(&id)?, generation: 1, lost: false };
                self.members.insert(person.clone(), member);
            }
        }
        self.presented.look(self.parts.world.sandbox())
    }

    /// Waits until nothing is to be done.
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

    /// The clocks go on, the worker's as soon as it is to be killed, until the next refresh of every credential is due. Returns how many refreshes that makes.
    async fn make_all_due(&mut self) -> anyhow::Result<usize> {
        self.parts.advance(self.rng.i64(ALL_DUE));
        for member in self.members.values_mut().filter(|member| !member.lost) {
            member.generation += 1;
        }
        Ok(self.unsettled().await?.len())
    }

    /// Waits until some of so many refreshes have reached the provider, and kills the worker. Returns how many refreshes
    /// a successor will ask for.
    async fn kill_in_the_middle(&mut self, asking: usize) -> anyhow::Result<usize> {
        let before = self.reached();
        let worker = match self.worker.take() {
            Some(mut worker) => {
                worker.follow(&self.parts).await?;
                worker
            }
            // A successor, which takes over.
            None => {
                self.parts.advance(self.rng.i64(TAKE_OVER));
                self.parts.worker(Some(SWEEP)).await?
            }
        };
        let wanted = self.rng.usize(1..asking.max(2));
        let (begun, mut last, mut reached) = (Instant::now(), Instant::now(), 0);
        while reached < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let now = self.reached() - before;
            if now > reached {
                (reached, last) = (now, Instant::now());
            } else if last.elapsed() > QUIET {
                if self.unsettled().await?.is_empty() {
                    break;
                }
                last = Instant::now();
            }
            ensure!(begun.elapsed() < PATIENCE, "{wanted} of {asking} refreshes did not come");
        }
        let longer = Duration::from_millis(self.rng.u64(0..=u64::from(self.delay_ms) + 10));
        tokio::time::sleep(longer).await;
        worker.kill().await?;
        // What the dead worker had sent may still be on its way.
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.take_stock(asking, self.reached() - before, longer).await
    }

    /// How many refreshes are in the provider's log.
    fn reached(&self) -> usize {
        self.parts.world.requests_of("refresh_token").len()
    }

    /// Looks where the kill left every credential. Returns how many refreshes a successor will ask for.
    async fn take_stock(&mut self, asking: usize, reached: usize, longer: Duration) -> anyhow::Result<usize> {
        self.presented.take(self.parts.world.sandbox())?;
        let all = self.all().await?;
        let (mut begun, mut unstored, mut staged) = (0, 0, 0);
        for (person, member) in self.members.iter_mut().filter(|(_, member)| !member.lost) {
            let stored = all.get(&member.id).context("the credential")?;
            match Stage::of(&self.parts, &self.presented, person, stored).await? {
                Stage::Idle => {}
                Stage::Begun => begun += 1,
                Stage::Staged => staged += 1,
                Stage::Unstored => {
                    unstored += 1;
                    // Nobody has the new tokens, and the provider takes the old one no more.
                    member.lost = !self.grace;
                }
            }
        }
        let told = &mut self.told;
        told.kills += 1;
        told.in_the_middle += u32::from(begun + unstored + staged > 0);
        told.unstored += unstored;
        told.staged += staged;
        told.lost += if self.grace { 0 } else { unstored };
        eprintln!(
            "{}: round {} of {}, seed {}: of {asking} refreshes {reached} reached the provider, killed {longer:?} later; \
             {begun} begun, {unstored} made and not stored, {staged} stored and not committed",
            self.name, told.in_the_middle, self.rounds, self.seed
        );
        Ok(self.unsettled().await?.len().saturating_sub(staged))
    }

    /// What a worker has still to do now, or once a lease has lapsed.
    async fn unsettled(&self) -> anyhow::Result<Vec<Credential>> {
        let (all, now) = (self.all().await?, self.parts.world.stack.broker.now());
        Ok(all.into_values().filter(|stored| !is_settled(stored, now)).collect())
    }

    async fn all(&self) -> anyhow::Result<BTreeMap<CredentialId, Credential>> {
        let (mut all, mut cursor) = (BTreeMap::new(), None);
        loop {
            let project = &self.parts.world.stack.project;
            let page = self.store.list_credentials(project, 200, cursor.as_deref()).await?;
            all.extend(page.items.into_iter().map(|credential| (credential.id.clone(), credential)));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }

    /// Every credential whose tokens died on the way asks for consent in the end, and no other does.
    pub(super) async fn expect_losses_and_no_others(&mut self) -> Outcome {
        for seconds in DOUBTS {
            self.parts.advance(seconds);
            self.worker.as_mut().context("a worker")?.follow(&self.parts).await?;
            self.settle().await?;
        }
        self.presented.look(self.parts.world.sandbox())?;
        let all = self.all().await?;
        for (person, member) in &self.members {
            let stored = all.get(&member.id).context("the credential")?;
            let dead = stored.status == CredentialStatus::ReauthorizationRequired;
            ensure!(dead == member.lost, "{person}: {:?}, lost: {}", stored.status, member.lost);
            ensure!(dead != self.presented.stands(person), "{person}: the provider revoked what was not lost");
            if dead {
                ensure!(stored.status_reason.as_deref() == Some("invalid_grant"), "{:?}", stored.status_reason);
                // The provider rotated once more than was stored.
                let spent = self.presented.spent(person);
                ensure!(spent == stored.generation, "{person}: {spent} spent, generation {}", stored.generation);
            }
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

#[expect(clippy::disallowed_methods, reason = "how long a test goes on is said from outside")]
fn variable(name: &str) -> anyhow::Result<Option<u64>> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(Some(value.parse().with_context(|| format!("{name} is no number"))?)),
        _ => Ok(None),
    }
}
