//! Every provider of the catalogue against its pose: the sandbox dressed up as that provider, at the provider's own https
//! URLs, in a private internet. One test per provider and grant, in parallel.
//!
//! `cargo test --test poses slack` runs one provider, `-- --list` names them all.

#![expect(clippy::expect_used, reason = "a harness that cannot go on ends its test")]

mod doctor;
mod entry;
mod flow;
mod lanes;
mod mutants;
mod plain;

use libtest_mimic::{Arguments, Trial};

use entry::Case;
use lanes::Lanes;

/// What a test returns.
type Outcome = anyhow::Result<()>;

fn main() {
    let arguments = Arguments::from_args();
    let lanes = Lanes::new();
    let mut trials = vec![
        lanes.trial("internet::a_flow_at_an_invented_host", plain::flow),
        lanes.trial("internet::what_is_judged_stays_judged", plain::judged),
        lanes.trial("doctor::each_fault_is_found_where_it_is", doctor::faults),
        lanes.trial("doctor::a_line_for_each_entry_and_the_sum", doctor::lines),
        lanes.trial("doctor::it_is_nobody_whom_a_server_knows", doctor::stranger),
    ];
    let (cases, unreadable) = Case::all();
    trials.extend(cases.into_iter().map(|case| {
        let name = case.name();
        lanes.trial(&name, async move |lane| flow::run(lane, &case, None).await)
    }));
    trials.extend(
        mutants::all()
            .into_iter()
            .map(|mutant| lanes.last(&format!("mutants::{}", mutant.name), async move |lane| mutant.fails(lane).await)),
    );
    trials.extend(unreadable.into_iter().map(|(id, why)| Trial::test(format!("{id}::entry"), || Err(why.into()))));
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(lanes);
    conclusion.exit();
}
