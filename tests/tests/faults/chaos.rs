//! Random cases: a kind of provider, what becomes of the first requests, one to three workers at once, and where
//! something goes wrong with each.
//!
//! `CHAOS_ROUNDS` says how many rounds of cases there are, `CHAOS_SEED` where the random numbers begin; each round has the
//! seed after that of the one before. Without them it is one round that is always the same.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::Duration;
use fastrand::Rng;
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper::model::event::EventKind;
use grantkeeper_sandbox::AnswerFate;

use super::bench::{Bench, Keeping, Read};
use super::case::{self, Case, LOOKS, Outcome};
use super::point::Point;
use super::provider::{Fault, Mode};

/// How many cases a round has.
const CASES: usize = 16;
/// How many rounds a stack serves: its engines become slower with each secret that they keep.
const ROUNDS_PER_STACK: u64 = 10;
/// After how many rounds there is a line of progress.
const PROGRESS: u64 = 5;
/// Several faults in a row, each with its backoff, take longer than one.
const LOOKS_OF_CHAOS: i64 = LOOKS + 40;
const GRACE: Duration = Duration::seconds(600);

#[expect(clippy::disallowed_methods, reason = "what this test alone is told")]
fn told(name: &str) -> anyhow::Result<Option<u64>> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.map(|value| value.parse().with_context(|| format!("{name} is not a number"))).transpose()
}

pub async fn run(keeping: Keeping) -> anyhow::Result<()> {
    let rounds = told("CHAOS_ROUNDS")?.unwrap_or(1);
    let first = told("CHAOS_SEED")?.unwrap_or(1);
    let mut bench: Option<Arc<Bench>> = None;
    let (mut cases_run, mut lost) = (0, 0);
    for round in 0..rounds {
        let seed = first.wrapping_add(round);
        let stack = match bench.take() {
            Some(bench) if round % ROUNDS_PER_STACK != 0 => bench,
            _ => Arc::new(Bench::new(keeping).await?),
        };
        let mut rng = Rng::with_seed(seed);
        let cases: Vec<Case> = (0..CASES).map(|_| random(&mut rng)).collect();
        let outcomes = case::run(&stack, cases.clone(), LOOKS_OF_CHAOS).await;
        let outcomes = outcomes.with_context(|| format!("CHAOS_SEED={seed} CHAOS_ROUNDS=1"))?;
        bench = Some(stack);
        let mut deviations = Vec::new();
        for (case, outcome) in cases.iter().zip(&outcomes) {
            let wrong = judge(case, outcome);
            if !wrong.is_empty() {
                deviations.push(format!("{case:?}:\n    {}", wrong.join("\n    ")));
            }
        }
        cases_run += cases.len();
        lost += outcomes.iter().filter(|it| it.afterwards == CredentialStatus::ReauthorizationRequired).count();
        if (round + 1) % PROGRESS == 0 || round + 1 == rounds {
            eprintln!("chaos: {} of {rounds} rounds, {cases_run} cases, {lost} lost as could not be helped", round + 1);
        }
        ensure!(deviations.is_empty(), "CHAOS_SEED={seed} CHAOS_ROUNDS=1\n  {}", deviations.join("\n  "));
    }
    Ok(())
}

fn random(rng: &mut Rng) -> Case {
    let mode = rng.choice(Mode::ALL).unwrap_or(Mode::Strict);
    // The provider makes no mistake in one case of four.
    let faults = if rng.u8(..4) == 0 { 0 } else { rng.usize(1..=3) };
    // Ten seconds each are for the matrix; and a refusal without a reason explains whatever comes of it, so it is rare.
    let refuses = rng.u8(..6) == 0;
    let is_drawn = |fault: &Fault| match fault {
        Fault::TimeoutAfter => false,
        Fault::InvalidGrant => refuses,
        _ => true,
    };
    let quick: Vec<_> = Fault::ALL.into_iter().filter(is_drawn).collect();
    let faults = (0..faults).filter_map(|_| rng.choice(quick.clone())).collect();
    // Nor do the workers in one of six.
    let points = if rng.u8(..6) == 0 { vec![Point::None] } else { Point::ALL.to_vec() };
    let workers = (0..rng.usize(1..=3)).filter_map(|_| rng.choice(points.clone())).collect();
    Case { mode, faults, workers }
}

/// Whether a worker of the case came to a point.
fn came_to(case: &Case, outcome: &Outcome, point: Point) -> bool {
    case.workers.iter().zip(&outcome.sprung).any(|(known, sprung)| *known == point && *sprung)
}

/// Whether new consent could be asked for: refresh tokens were lost for good, or the provider refused one for no reason.
fn may_be_lost(case: &Case, outcome: &Outcome) -> bool {
    if case.faults.contains(&Fault::InvalidGrant) {
        return true;
    }
    let presented = &outcome.presented;
    match case.mode {
        Mode::Static | Mode::Lenient => false,
        Mode::Strict | Mode::Family => {
            presented.iter().any(|it| it.accepted && it.answer != AnswerFate::Sent)
                || came_to(case, outcome, Point::DieBeforeStage)
                || came_to(case, outcome, Point::Overtaken)
        }
        // Its grace was over when all that went wrong was.
        Mode::Grace => presented.iter().filter(|it| it.revoked).any(|late| {
            let first = presented.iter().find(|it| it.accepted && it.refresh_token == late.refresh_token);
            first.is_some_and(|first| late.at - first.at >= GRACE)
        }),
    }
}

fn judge(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    must(outcome.too_old().is_empty(), format!("not to be presented: {:?} of {:?}", outcome.too_old(), outcome.chain));
    let asked = outcome.count(EventKind::ReauthorizationRequired);
    let (disconnected, suspended) =
        (came_to(case, outcome, Point::CommitDisconnected), came_to(case, outcome, Point::CommitSuspended));
    if disconnected {
        must(matches!(outcome.at_last, Read::Refused(_)), format!("disconnected: {:?}", outcome.at_last));
        must(!outcome.stands, "disconnected, and the grant stands at the provider".to_owned());
        return wrong;
    }
    must(suspended || matches!(outcome.at_first, Read::Served(_)), format!("at first: {:?}", outcome.at_first));
    if outcome.afterwards == CredentialStatus::ReauthorizationRequired {
        must(may_be_lost(case, outcome), format!("consent is asked for: {:?}", outcome.presented));
        must(asked == 1, format!("consent is asked for by {asked} events"));
        must(!outcome.refreshed, "it was refreshed".to_owned());
        return wrong;
    }
    must(asked == 0, format!("{asked} events ask for consent"));
    must(outcome.status == CredentialStatus::Active, format!("at last: {:?}", outcome.status));
    must(outcome.at_last == Read::Served(None), format!("at last: {:?}", outcome.at_last));
    must(outcome.works, "its token does not work".to_owned());
    must(outcome.is_newest, "a newer refresh token was given out and is not stored".to_owned());
    must(outcome.refreshed, "it could not be refreshed once more".to_owned());
    // G1: whatever the number of workers.
    let is_quiet = case.faults.is_empty() && case.workers.iter().all(|point| *point == Point::None);
    must(!is_quiet || outcome.requests == 1, format!("{} requests although nothing went wrong", outcome.requests));
    wrong
}
