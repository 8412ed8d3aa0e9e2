//! Crash point × provider × fault (REFRESH.md b.4): one test per point and kind of provider, for all faults.
//!
//! All cells of one kind of provider run side by side on one stack, when the first of its tests wants to know.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use grantkeeper::model::credential::CredentialStatus;
use grantkeeper::model::event::EventKind;
use libtest_mimic::Trial;
use tokio::runtime::Runtime;

use super::bench::{Bench, Keeping, Read};
use super::case::{self, Case, Outcome};
use super::cell::{Cell, Expected};
use super::point::Point;
use super::provider::Mode;

/// What deviates in each cell, by the names of the tests that look at it.
type Found = Result<Vec<(Cell, Vec<String>)>, String>;

pub fn trials(runtime: &Arc<Runtime>, keeping: Keeping) -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in Mode::ALL {
        let found: Arc<Mutex<Option<Arc<Found>>>> = Arc::default();
        let mut rows: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
        for cell in Cell::all(mode) {
            rows.entry(cell.point.name()).or_default().push(cell);
        }
        for (row, cells) in rows {
            let (runtime, found) = (runtime.clone(), found.clone());
            trials.push(Trial::test(format!("matrix::{}::{row}", mode.name()), move || {
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                let found = found.get_or_insert_with(|| Arc::new(find(&runtime, keeping, mode))).clone();
                match &*found {
                    Ok(found) => report(&cells, found),
                    Err(error) => Err(error.clone().into()),
                }
            }));
        }
    }
    trials
}

fn find(runtime: &Runtime, keeping: Keeping, mode: Mode) -> Found {
    let cells = Cell::all(mode);
    let cases = cells.iter().map(|cell| Case { mode, faults: vec![cell.fault], workers: vec![cell.point] }).collect();
    let outcomes = runtime.block_on(async {
        let bench = Arc::new(Bench::new(keeping).await?);
        case::run(&bench, cases, case::LOOKS).await
    });
    let outcomes = outcomes.map_err(|error| format!("{error:#}"))?;
    Ok(cells.iter().zip(outcomes).map(|(cell, outcome)| (*cell, judge(cell, &outcome))).collect())
}

fn report(cells: &[Cell], found: &[(Cell, Vec<String>)]) -> Result<(), libtest_mimic::Failed> {
    let mut report = String::new();
    for (cell, deviations) in found.iter().filter(|(cell, _)| cells.contains(cell)) {
        if !deviations.is_empty() {
            let _written =
                write!(report, "\n  {:?} {}:\n    {}", cell.expected(), cell.name(), deviations.join("\n    "));
        }
    }
    if report.is_empty() { Ok(()) } else { Err(report.into()) }
}

/// What of an outcome is not as it must be.
pub fn judge(cell: &Cell, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let expected = cell.expected();
    if cell.point != Point::None {
        must(outcome.sprung == [true], "the worker did not come to its point".to_owned());
    }
    must(
        outcome.too_old().is_empty(),
        format!("these refresh tokens were not to be presented: {:?}", outcome.too_old()),
    );
    // The one before is tried only where the client says that it costs nothing.
    let tries_previous = matches!(cell.mode, Mode::Lenient | Mode::Static);
    let previous = outcome.chain.first();
    let tried = outcome.presented.iter().any(|presented| Some(&presented.refresh_token) == previous);
    must(tries_previous || !tried, "the refresh token before was presented".to_owned());
    let ages: Vec<_> = outcome.presented.iter().map(|presented| presented.age).collect();
    let oldest = cell.lost_at_once().max(1);
    let young = ages.iter().all(|age| age.is_some_and(|age| age <= oldest));
    must(young, format!("refresh tokens of these ages were presented: {ages:?}"));
    let reauthorizations = outcome.count(EventKind::ReauthorizationRequired);
    match expected {
        Expected::Alive => {
            if cell.point != Point::CommitSuspended {
                must(matches!(outcome.at_first, Read::Served(_)), format!("at first: {:?}", outcome.at_first));
            }
            must(
                matches!(outcome.before_expiry.1, Read::Served(_)),
                format!("before the expiry: {:?}", outcome.before_expiry),
            );
            must(outcome.status == CredentialStatus::Active, format!("at last: {:?}", outcome.status));
            must(outcome.at_last == Read::Served(None), format!("at last: {:?}", outcome.at_last));
            must(outcome.works, "its token does not work".to_owned());
            must(outcome.is_newest, "a newer refresh token was given out and is not stored".to_owned());
            must(outcome.refreshed, "it could not be refreshed once more".to_owned());
            must(reauthorizations == 0, format!("{reauthorizations} events ask for new consent"));
            let after = outcome.newer_after;
            must(
                !cell.is_prompt() || after.is_some_and(|after| after <= 90),
                format!("tokens came after {after:?} seconds"),
            );
            let (failing, recovered) = (outcome.count(EventKind::RefreshFailing), outcome.count(EventKind::Recovered));
            must(failing <= 1 && recovered == failing, format!("{failing} events of failure, {recovered} of recovery"));
        }
        Expected::Lost => {
            must(matches!(outcome.at_first, Read::Served(_)), format!("at first: {:?}", outcome.at_first));
            if cell.is_found_at_once() {
                let warned =
                    (CredentialStatus::ReauthorizationRequired, Read::Served(Some("reauthorization_required")));
                must(outcome.before_expiry == warned, format!("before the expiry: {:?}", outcome.before_expiry));
                must(
                    outcome.at_last == Read::Refused("reauthorization_required"),
                    format!("at last: {:?}", outcome.at_last),
                );
                must(outcome.late_requests == 0, format!("{} requests after the end", outcome.late_requests));
            }
            let status = outcome.afterwards;
            must(status == CredentialStatus::ReauthorizationRequired, format!("afterwards: {status:?}"));
            must(!outcome.refreshed, "it could be refreshed".to_owned());
            must(reauthorizations == 1, format!("{reauthorizations} events ask for new consent"));
        }
        Expected::Ended => {
            let ended = matches!(outcome.status, CredentialStatus::Revoked | CredentialStatus::Revoking);
            must(ended, format!("at last: {:?}", outcome.status));
            must(matches!(outcome.at_last, Read::Refused(_)), format!("at last: {:?}", outcome.at_last));
            must(!outcome.stands, "the grant still stands at the provider".to_owned());
            must(reauthorizations == 0, format!("{reauthorizations} events ask for new consent"));
        }
    }
    wrong
}
