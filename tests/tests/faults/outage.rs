//! A provider is out for an hour, and another one is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper::model::event::EventKind;
use grantkeeper_sandbox::{Always, Fault as SandboxFault, FaultKind, FaultRule, ScriptedAnswer, When};

use super::bench::{AT_ONCE, Bench, Keeping, Read, Subject};
use super::provider::Mode;

/// How many credentials each of the two clients has.
const EACH: i64 = 30;
/// How long it lasts (minutes).
const OUTAGE: i64 = 60;
/// The longest time until all have recovered (minutes): the breaker's longest period with its spread, and the time over
/// which what waited is spread.
const RECOVERY: i64 = 15;
/// The most requests that may reach the sick provider: those that open the breaker, with what was under way beside them, and
/// its probes, each sent twice. An hour has seventeen of its periods at most (30, 60, 120, 240, then 300 seconds). What was
/// under way when it opened may be spent, so it asks twelve times in the ten minutes after.
const MOST_REQUESTS: usize = 2 * (5 + AT_ONCE + 17) + 2 * 12 * (5 + AT_ONCE);

/// What the sick provider does with every request.
#[derive(Clone, Copy, Debug)]
pub enum Sickness {
    /// Status 503.
    Busy,
    /// It says nothing for a while, and then closes the connection.
    Silent,
}

impl Sickness {
    pub const ALL: [Sickness; 2] = [Sickness::Busy, Sickness::Silent];

    pub fn name(self) -> &'static str {
        match self {
            Sickness::Busy => "busy",
            Sickness::Silent => "silent",
        }
    }

    fn rule(self) -> FaultRule {
        let fault = match self {
            Sickness::Busy => SandboxFault::new(FaultKind::Status { status: 503, retry_after: None }, false),
            Sickness::Silent => SandboxFault { kind: FaultKind::Hang, after_commit: false, delay_ms: 150 },
        };
        let when = When::Always(Always::Always);
        FaultRule { when, grant_type: None, answer: ScriptedAnswer::Fault(fault), seen: 0 }
    }
}

/// Credentials of one client, in the order in which their tokens were issued.
async fn credentials(
    bench: &Bench,
    client: (String, grantkeeper::model::ids::ClientId),
) -> anyhow::Result<Vec<Subject>> {
    // Issued over the 48 minutes before: of an hour's life something is left, and no two are due in the same minute.
    let made = stream::iter(0..EACH).map(|number| {
        let age = Duration::seconds(number * 2700 / EACH);
        bench.subject_of(Mode::Strict, client.0.clone(), client.1.clone(), age)
    });
    made.buffered(AT_ONCE).try_collect().await
}

/// Reads all, and returns what was wrong: a token that lives is served, and for one that does not the provider is named.
async fn not_served(bench: &Bench, subjects: &[Subject]) -> anyhow::Result<Vec<String>> {
    let read = stream::iter(subjects).map(async |subject| {
        let is_alive = bench.stored(&subject.credential).await?.is_alive(bench.now());
        let (read, _) = bench.read(&subject.credential).await?;
        let wrong = match (&read, is_alive) {
            (Read::Served(_), true) | (Read::Refused("provider_unavailable" | "refreshing"), false) => None,
            _ => Some(format!("{read:?}, alive: {is_alive}")),
        };
        anyhow::Ok(wrong)
    });
    let read: Vec<_> = read.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

/// Reads all, and returns what was wrong: a healthy provider's tokens never come near their end.
async fn not_fresh(bench: &Bench, subjects: &[Subject]) -> anyhow::Result<Vec<String>> {
    let read = stream::iter(subjects).map(async |subject| {
        let expires_at = bench.stored(&subject.credential).await?.expires_at().context("an end")?;
        let left = expires_at - bench.now();
        let (read, _) = bench.read(&subject.credential).await?;
        // They are due twelve minutes before, and a tick is a minute.
        let is_fresh = read == Read::Served(None) && left >= Duration::minutes(11);
        anyhow::Ok((!is_fresh).then(|| format!("{read:?} with {left} left")))
    });
    let read: Vec<_> = read.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

pub async fn of_an_hour(keeping: Keeping, sickness: Sickness) -> anyhow::Result<()> {
    let bench = Arc::new(Bench::new(keeping).await?);
    let (sick, well) = (bench.client(Mode::Strict).await?, bench.client(Mode::Strict).await?);
    let sick_id = sick.0.clone();
    let (sick, well) = (credentials(&bench, sick).await?, credentials(&bench, well).await?);
    bench.sandbox().clear_presented();
    bench.change_at_sandbox(Mode::Strict, &sick_id, |at| at.token_faults = vec![sickness.rule()])?;

    for minute in 0..OUTAGE {
        bench.sweep().await?;
        if minute % 4 == 0 {
            let wrong = not_served(&bench, &sick).await?;
            ensure!(wrong.is_empty(), "minute {minute}: {wrong:?}");
            let wrong = not_fresh(&bench, &well).await?;
            ensure!(wrong.is_empty(), "minute {minute}, the other provider's: {wrong:?}");
        }
        bench.world.advance(Duration::minutes(1));
    }
    for subject in &sick {
        let stored = bench.stored(&subject.credential).await?;
        ensure!(stored.generation == 2, "a provider that is out refreshed something");
        let status = stored.status;
        ensure!(matches!(status, CredentialStatus::Active | CredentialStatus::RefreshFailing), "{status:?}");
    }
    let requests = bench.sandbox().presented().into_iter();
    let requests = requests.filter(|presented| presented.client_id.as_ref() == Some(&sick_id)).count();
    ensure!(requests > 0 && requests <= MOST_REQUESTS, "{requests} requests reached the provider that is out");

    bench.change_at_sandbox(Mode::Strict, &sick_id, |_| {})?;
    // How many in which minute.
    let mut recovered: BTreeMap<i64, usize> = BTreeMap::new();
    let mut waiting: Vec<&Subject> = sick.iter().collect();
    for minute in 0..RECOVERY {
        bench.sweep().await?;
        let before = waiting.len();
        let mut left = Vec::new();
        for subject in waiting {
            if bench.stored(&subject.credential).await?.generation == 2 {
                left.push(subject);
            }
        }
        waiting = left;
        recovered.insert(minute, before - waiting.len());
        bench.world.advance(Duration::minutes(1));
    }
    ensure!(waiting.is_empty(), "{} have not recovered: {recovered:?}", waiting.len());
    let most = recovered.values().copied().max().unwrap_or_default();
    ensure!(most * 2 <= sick.len(), "a herd: {recovered:?}");
    for subject in sick.iter().chain(&well) {
        let stored = bench.stored(&subject.credential).await?;
        ensure!(stored.status == CredentialStatus::Active, "{:?}", stored.status);
        let (read, token) = bench.read(&subject.credential).await?;
        ensure!(read == Read::Served(None), "{read:?}");
        ensure!(bench.works(&token.context("a token")?).await?, "a token does not work");
        let events = bench.store.list_events(bench.project(), &subject.credential).await?;
        let count = |kind| events.iter().filter(|event| event.kind == kind).count();
        let (failing, back) = (count(EventKind::RefreshFailing), count(EventKind::Recovered));
        ensure!(failing <= 1 && back == failing && events.len() == failing + back, "{events:?}");
    }
    let too_old: Vec<_> = bench.sandbox().presented().into_iter().filter(|it| it.age != Some(0)).collect();
    ensure!(too_old.is_empty(), "{too_old:?}");
    Ok(())
}
