//! What many credentials cost: the real store and the sealed vault over the embedded engine, minute by minute in a time of
//! their own, and whole refreshes on both vaults. In `cargo test` with so many that it is soon over; `make scale` runs it
//! with more and writes `tests/measure/SCALE.md`.

mod bill;
mod minutes;
mod page;
mod plot;
mod process;
mod steps;
mod table;
mod verdict;
mod whole;

use std::path::PathBuf;

use anyhow::Context as _;
use grantkeeper::vault::VaultKind;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use minutes::Simulation;

/// How many credentials there are in `cargo test`, and how many minutes go by.
const IN_TEST: (usize, u32) = (10_000, 5);
/// How many credentials are refreshed as a whole on each vault, and how often each: in `cargo test`, and for the page.
const WHOLE_IN_TEST: (usize, u32) = (4, 2);
const WHOLE: (usize, u32) = (100, 5);

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<String> = std::env::args().collect();
    let Some(count) = option(&mut arguments, "--count")? else {
        let trials = vec![
            trial("a_sweep_costs_what_is_due_and_not_what_is_stored", async || {
                let (count, minutes) = IN_TEST;
                verdict::of(&Simulation::run(count, minutes).await?)
            }),
            trial("a_whole_refresh_keeps_its_budget_on_both_vaults", async || {
                for vault in [VaultKind::Sealed, VaultKind::SecretsManager] {
                    let (credentials, rounds) = WHOLE_IN_TEST;
                    verdict::of_whole(&whole::measure(vault, credentials, rounds).await?)?;
                }
                Ok(())
            }),
        ];
        libtest_mimic::run(&Arguments::from_iter(arguments), trials).exit();
    };
    let count = count.parse().context("--count is no number")?;
    // With fewer, whatever is due fits into the least that a query costs.
    anyhow::ensure!(count >= 10_000, "--count is 10000 at least");
    let minutes = option(&mut arguments, "--minutes")?.map_or(Ok(60), |minutes| minutes.parse())?;
    let page = option(&mut arguments, "--page")?.map(PathBuf::from);
    Runtime::new()?.block_on(report(count, minutes, page))
}

/// Measures everything, and writes the page before it judges: what is wrong is then to be seen there.
async fn report(count: usize, minutes: u32, directory: Option<PathBuf>) -> anyhow::Result<()> {
    let (credentials, rounds) = WHOLE;
    let sealed = whole::measure(VaultKind::Sealed, credentials, rounds).await?;
    let secrets_manager = whole::measure(VaultKind::SecretsManager, credentials, rounds).await?;
    let simulation = Simulation::run(count, minutes).await?;
    let text = page::write(&simulation, &sealed, &secrets_manager);
    match directory {
        Some(directory) => {
            std::fs::write(directory.join("SCALE.md"), text)?;
            std::fs::write(directory.join("scale.svg"), plot::draw(&simulation))?;
        }
        None => eprintln!("{text}"),
    }
    verdict::of_whole(&sealed)?;
    verdict::of_whole(&secrets_manager)?;
    verdict::of(&simulation)
}

/// The value after a name, which are both taken out.
fn option(arguments: &mut Vec<String>, name: &str) -> anyhow::Result<Option<String>> {
    let Some(place) = arguments.iter().position(|argument| argument == name) else { return Ok(None) };
    arguments.remove(place);
    anyhow::ensure!(place < arguments.len(), "{name} needs a value");
    Ok(Some(arguments.remove(place)))
}

fn trial<F>(name: &str, run: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    Trial::test(name, || {
        let done = Runtime::new()?.block_on(run());
        done.map_err(|error| Failed::from(format!("{error:#}")))
    })
}
