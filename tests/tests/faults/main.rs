//! What goes wrong with workers, providers, store and vault, and what must come of it (REFRESH.md b.4): the whole matrix
//! over the deployed store and vault on the embedded engines.
//!
//! `cargo test --test faults matrix::strict` runs one kind of provider, `-- --list` names all tests.

mod bench;
mod bulkhead;
mod case;
mod cell;
mod chaos;
mod doubts;
mod matrix;
mod meanwhile;
mod order;
mod outage;
mod overtaken;
mod point;
mod provider;
mod sweeper;
mod threats;
mod trap;
mod worker_parts;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use outage::Sickness;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The vault that `GRANTKEEPER_TEST_VAULT` names.
    let keeping = match grantkeeper_tests::world::tested_vault() {
        Ok(keeping) => keeping,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = matrix::trials(&runtime, keeping);
    trials.push(trial(&runtime, "threat_67_a_crash_before_the_store_is_recovered_in_the_grace", move || {
        threats::crash_within_the_grace(keeping)
    }));
    trials.push(trial(&runtime, "threat_67_without_a_grace_consent_is_asked_once_and_the_token_served", move || {
        threats::crash_without_a_grace(keeping)
    }));
    trials.push(trial(&runtime, "threat_69_a_paused_holder_changes_nothing_and_loses_nothing", move || {
        threats::a_paused_holder(keeping)
    }));
    trials.push(trial(&runtime, "threat_71_an_unknown_outcome_is_asked_for_again_at_once", move || {
        threats::an_unknown_outcome(keeping)
    }));
    trials.push(trial(&runtime, "threat_75_a_frozen_environment_sends_nothing_when_it_thaws", move || {
        threats::a_frozen_environment(keeping)
    }));
    trials.push(trial(&runtime, "order::what_the_vault_needs_is_there_before_the_provider_is_asked", move || {
        order::prepared_first(keeping)
    }));
    trials.push(trial(&runtime, "order::what_came_is_committed_before_anything_else_is_noted", move || {
        order::stored_first(keeping)
    }));
    for keeps_one in [false, true] {
        let name = if keeps_one { "is_left_alone_where_the_new_one_would_end_with_it" } else { "is_ended" };
        trials.push(trial(
            &runtime,
            &format!("overtaken::what_a_late_refresh_of_a_replaced_grant_brought_{name}"),
            move || overtaken::by_a_new_grant(keeping, keeps_one),
        ));
    }
    trials.push(trial(&runtime, "matrix::reads_alone_go_on_where_nobody_looks_for_what_is_due", move || {
        sweeper::down_for_half_an_hour(keeping)
    }));
    trials.push(trial(&runtime, "outage::lost_answers_are_asked_for_again_within_the_grace", move || {
        doubts::are_settled_within_the_grace(keeping)
    }));
    for sickness in Sickness::ALL {
        let name = format!("outage::an_hour_of_a_{}_provider", sickness.name());
        trials.push(trial(&runtime, &name, move || outage::of_an_hour(keeping, sickness)));
    }
    trials.push(trial(&runtime, "bulkhead::a_slow_provider_has_a_queue_of_its_own", move || {
        bulkhead::keeps_a_slow_provider_apart(keeping)
    }));
    trials
        .push(trial(&runtime, "chaos::random_faults_cost_no_consent_that_could_be_saved", move || chaos::run(keeping)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(runtime);
    conclusion.exit_code()
}

fn trial<F>(runtime: &Arc<Runtime>, name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = runtime.clone();
    Trial::test(name, move || runtime.block_on(test()).map_err(|error| format!("{error:#}").into()))
}
