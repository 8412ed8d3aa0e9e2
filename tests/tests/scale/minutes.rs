//! Minute by minute: every shard is swept, and what is found is worked, as the functions do it at table and vault.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::clock::{Clock as _, Timestamp};
use grantkeeper::model::credential::Credential;
use grantkeeper::refresh::decide::{is_due, is_open};
use grantkeeper::refresh::plan::{is_hot, next_due, notes_use, warns_of};
use grantkeeper::store::{Attempted, CommitRefresh, DUE_SHARDS, Due, Store as _};
use grantkeeper::testing::FixedClock;
use grantkeeper::testing::fixtures::{self, start};
use grantkeeper::vault::{Prefetched, Vault as _};

use super::process::{Progress, Used, Watch};
use super::steps::{Spent, Steps};
use super::table::{Table, document, planned};

/// As `refresh::sweep` and `broker::sweep` have it: what is read from a shard at once, and how many shards.
const PER_PAGE: u32 = 500;
const SHARDS_AT_ONCE: usize = 16;
/// How many refreshes run at once.
const AT_ONCE: usize = 10;
/// How many credentials there are when a sweep that finds nothing is measured for the first time.
pub const FEW: usize = 1_000;
/// When it is looked again after the last minute, with nothing worked meanwhile (minutes): as after so long an outage.
const AFTER_OUTAGES: [i64; 8] = [1, 5, 15, 30, 60, 24 * 60, 3 * 24 * 60, 7 * 24 * 60];

/// One sweep of all shards.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// Minutes since the beginning.
    pub minute: i64,
    /// How much was due.
    pub due: usize,
    /// What it cost (read units).
    pub read: f64,
    /// How many queries it took.
    pub queries: usize,
}

/// What became of due work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Refreshes of credentials that are used.
    pub hot: usize,
    /// Refreshes of credentials that nobody uses.
    pub idle: usize,
    /// Nobody uses them any more: put off, and not refreshed.
    pub put_off: usize,
}

impl Done {
    /// All refreshes.
    pub fn refreshes(&self) -> usize {
        self.hot + self.idle
    }
}

/// What was measured.
pub struct Simulation {
    pub count: usize,
    pub minutes: u32,
    /// A sweep that finds nothing, with [`FEW`] and with all credentials stored.
    pub nothing_due: [Sweep; 2],
    pub sweeps: Vec<Sweep>,
    /// Sweeps that found what came together while nothing was worked.
    pub after_outages: Vec<Sweep>,
    pub done: Done,
    /// What each step consumed, by its name.
    pub spent: Vec<(&'static str, Spent)>,
    /// What items have on average (bytes), by the first letters of their sort key.
    pub sizes: BTreeMap<&'static str, f64>,
    pub seeding: Used,
    pub working: Used,
    /// Calls of the table while it was working.
    pub calls: usize,
}

impl Simulation {
    /// Stores so many credentials and lets so many minutes go by.
    pub async fn run(count: usize, minutes: u32) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let watch = Watch::start();
        let table = Table::create(directory.path(), minutes).await?;
        let clock = FixedClock::at(start());
        let steps = Steps::new(&table.engines.sdk_config(), Arc::new(clock.clone()));
        // Nothing was ever due so early.
        let early = start() - Duration::days(30);
        table.seed(0..count.min(FEW), &steps).await?;
        let few = sweep(&steps, early).await?.0;
        table.seed(count.min(FEW)..count, &steps).await?;
        let nothing_due = [few, sweep(&steps, early).await?.0];
        let seeding = watch.stop();

        let (watch, mut progress) = (Watch::start(), Progress::new("minutes", usize::try_from(minutes)?));
        let (mut sweeps, mut done, mut listed) = (Vec::new(), Done::default(), 0);
        let mut spent: Vec<_> = steps.of_work().iter().map(|step| (step.name, Spent::default())).collect();
        for minute in 0..minutes {
            clock.advance(Duration::minutes(1));
            let (swept, found) = sweep(&steps, clock.now()).await?;
            listed += swept.queries;
            sweeps.push(swept);
            let work = stream::iter(found).map(|due| work(&table, &steps, due, clock.now()));
            let outcomes: Vec<Outcome> = work.buffer_unordered(AT_ONCE).try_collect().await?;
            for outcome in outcomes {
                *match outcome {
                    Outcome::Hot => &mut done.hot,
                    Outcome::Idle => &mut done.idle,
                    Outcome::PutOff => &mut done.put_off,
                } += 1;
            }
            for ((_, spent), step) in spent.iter_mut().zip(steps.of_work()) {
                spent.add(&step.meter);
            }
            progress.at(usize::try_from(minute)? + 1);
        }
        let working = watch.stop();
        let calls = listed + spent.iter().map(|(_, spent)| spent.calls).sum::<usize>();

        let mut after_outages = Vec::new();
        for wait in AFTER_OUTAGES {
            after_outages.push(sweep(&steps, clock.now() + Duration::minutes(wait)).await?.0);
        }
        let sizes = table.sizes().await?;
        table.engines.shutdown().await;
        Ok(Self { count, minutes, nothing_due, sweeps, after_outages, done, spent, sizes, seeding, working, calls })
    }

    /// What one more due credential adds to a sweep (read units), by the sweep that found the most.
    pub fn place(&self) -> f64 {
        let [_, nothing] = self.nothing_due;
        let most = self.after_outages.iter().max_by_key(|sweep| sweep.due);
        most.map_or(0.0, |most| (most.read - nothing.read) / most.due.max(1) as f64)
    }

    /// What a step consumed.
    pub fn of(&self, name: &str) -> Spent {
        self.spent.iter().find(|(step, _)| *step == name).map(|(_, spent)| *spent).unwrap_or_default()
    }
}

/// Looks into every shard for what is due, page by page.
async fn sweep(steps: &Steps, now: Timestamp) -> anyhow::Result<(Sweep, Vec<Due>)> {
    let shards = stream::iter(0..DUE_SHARDS).map(|shard| async move {
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = steps.list.store.list_due(shard, now, PER_PAGE, cursor.as_deref()).await?;
            found.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return anyhow::Ok(found);
            }
        }
    });
    let found: Vec<Vec<Due>> = shards.buffer_unordered(SHARDS_AT_ONCE).try_collect().await?;
    let found: Vec<Due> = found.into_iter().flatten().collect();
    let mut spent = Spent::default();
    spent.add(&steps.list.meter);
    let minute = (now - start()).num_minutes();
    Ok((Sweep { minute, due: found.len(), read: spent.read, queries: spent.calls }, found))
}

enum Outcome {
    Hot,
    Idle,
    PutOff,
}

/// What `Engine::work` does at table and vault for a provider that answers as it should.
async fn work(table: &Table, steps: &Steps, due: Due, now: Timestamp) -> anyhow::Result<Outcome> {
    let found = steps.find.store.find_credential(&due.project, &due.credential).await?;
    let credential = found.context("the index has what is not there")?;
    ensure!(is_open(&credential, due.generation, now), "what is due is not open: {credential:?}");
    ensure!(warns_of(&credential, &table.settings, now).is_none(), "no refresh token of these dies");
    if !is_due(&credential, &table.settings, now) {
        let put_off = next_due(&credential, &table.settings, now);
        ensure!(steps.reschedule.store.reschedule(&credential, put_off).await?, "it is not put off");
        return Ok(Outcome::PutOff);
    }
    let place = credential.place(credential.generation);
    steps.open.vault.open(&place, &credential.cur, Prefetched::Nothing).await?;
    let acquire = fixtures::acquire(&credential, now);
    let held = steps.acquire.store.acquire_refresh(&credential.project, &credential.id, &acquire).await?;
    let held = applied(held)?;
    let next = held.generation + 1;
    let staged = document(&held, next);
    let cur = steps.stage.vault.stage(&held.place(next), &acquire.attempt, &staged).await?;
    let refreshed = commit(table, steps, &held, cur, now).await?;
    if let Some(older) = &held.prev {
        steps.forget.vault.forget(&held.place(held.generation - 1), older).await?;
    }
    steps.record.store.record_attempt(&held.project, &held.id, held.fence, &fixtures::attempt(now)).await?;
    if !is_hot(&credential, now) {
        // A vault whose documents are elsewhere has the table asked, too; what is rare is enough to measure that.
        steps.forget_nothing.vault.forget(&place, &fixtures::unique()).await?;
        return Ok(Outcome::Idle);
    }
    read(steps, &refreshed, now).await?;
    Ok(Outcome::Hot)
}

/// The tokens live for an hour again; the schedule is that of `refresh::commit`.
async fn commit(
    table: &Table,
    steps: &Steps,
    held: &Credential,
    cur: String,
    now: Timestamp,
) -> anyhow::Result<Credential> {
    let schedule = planned(now).spread(&held.id, held.generation + 1);
    let committed = Credential {
        issued_at: now.timestamp_millis(),
        refresh_after: schedule.refresh_after,
        last_refreshed_at: Some(now),
        ..held.clone()
    };
    let commit = CommitRefresh {
        cur,
        at_exp: schedule.at_exp,
        refresh_after: schedule.refresh_after,
        next_due: next_due(&committed, &table.settings, now),
        granted_scopes: held.granted_scopes.clone(),
        ..fixtures::commit(held, now)
    };
    applied(steps.commit.store.commit_refresh(&held.project, &held.id, &commit).await?)
}

/// A program reads the new token; once in six hours that is noted.
async fn read(steps: &Steps, refreshed: &Credential, now: Timestamp) -> anyhow::Result<()> {
    let found = steps.read.store.find_credential(&refreshed.project, &refreshed.id).await?;
    let found = found.context("it is gone")?;
    steps.read.vault.open(&found.place(found.generation), &found.cur, Prefetched::Nothing).await?;
    if notes_use(&found, now) {
        steps.note_use.store.note_use(&found, now, None).await?;
    }
    Ok(())
}

fn applied(attempted: Attempted) -> anyhow::Result<Credential> {
    match attempted {
        Attempted::Applied(credential) => Ok(*credential),
        Attempted::Refused(by) => bail!("an update is refused by {by:?}"),
    }
}
