//! What must hold, however many credentials there are.

use anyhow::ensure;
use grantkeeper::store::DUE_SHARDS;

use super::minutes::{Simulation, Sweep};
use super::whole::Whole;

/// The least that a query costs (read units): 4 KB of an index, which is read eventually consistently.
const LEAST: f64 = 0.5;
/// The most that a place in the index costs in a sweep (read units): 256 bytes of it.
const PLACE: f64 = 256.0 / 4096.0 * LEAST;

/// The simulation.
pub fn of(simulation: &Simulation) -> anyhow::Result<()> {
    let Simulation { nothing_due: [few, all], sweeps, after_outages, done, .. } = simulation;
    for sweep in [few, all] {
        let least = f64::from(DUE_SHARDS) * LEAST;
        ensure!(sweep.due == 0 && sweep.read == least, "a sweep that should find nothing: {sweep:?}, not {least}");
    }
    for sweep in sweeps.iter().chain(after_outages) {
        let most = most(sweep);
        ensure!(sweep.read <= most, "{sweep:?} is more than {most} read units");
    }
    let r = correlation(after_outages.iter().map(|sweep| (sweep.due as f64, sweep.read)));
    ensure!(r > 0.99, "what was due and what the sweep cost correlate by {r} only: {after_outages:?}");
    ensure!(done.hot > 0 && done.idle > 0 && done.put_off > 0, "not every kind of work came up: {done:?}");
    let (worked, due) = (done.refreshes() + done.put_off, sweeps.iter().map(|sweep| sweep.due).sum::<usize>());
    ensure!(worked == due, "{due} were due, {worked} were worked");
    for kind in ["META", "DOC", "ATTEMPT"] {
        ensure!(simulation.sizes.contains_key(kind), "the sample has no {kind}: {:?}", simulation.sizes);
    }
    herd(sweeps)?;
    let budgets = [("acquire_refresh", 4.0), ("commit_refresh", 4.0), ("find_credential", 1.0)];
    for (name, budget) in budgets {
        let (read, write, _) = simulation.of(name).each();
        ensure!(read + write > 0.0 && read.max(write) <= budget, "{name}: {read} read, {write} write");
    }
    Ok(())
}

/// What a sweep may cost: every shard is asked, every page has a last part of 4 KB, and every place in the index its size.
fn most(sweep: &Sweep) -> f64 {
    sweep.queries as f64 * LEAST + sweep.due as f64 * PLACE
}

/// No minute has much more to do than the others: six standard deviations of what comes at random.
fn herd(sweeps: &[Sweep]) -> anyhow::Result<()> {
    let mean = mean(sweeps);
    let most = sweeps.iter().map(|sweep| sweep.due).max().unwrap_or_default();
    ensure!((most as f64) < mean + 6.0 * mean.sqrt() + mean / 2.0, "{most} are due in one minute, {mean} in the mean");
    Ok(())
}

/// How much is due in a minute, in the mean.
pub fn mean(sweeps: &[Sweep]) -> f64 {
    sweeps.iter().map(|sweep| sweep.due as f64).sum::<f64>() / sweeps.len().max(1) as f64
}

/// Pearson's coefficient.
pub fn correlation(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = pairs.clone().count() as f64;
    let (x, y) = pairs.clone().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let (x, y) = (x / count, y / count);
    let (xy, xx, yy) = pairs.fold((0.0, 0.0, 0.0), |sum, pair| {
        let (dx, dy) = (pair.0 - x, pair.1 - y);
        (sum.0 + dx * dy, sum.1 + dx * dx, sum.2 + dy * dy)
    });
    xy / (xx * yy).sqrt()
}

/// A whole refresh, with everything that is written beside it, and a read.
pub fn of_whole(whole: &Whole) -> anyhow::Result<()> {
    let (refresh, read) = (whole.table_of_refresh, whole.table_of_read);
    ensure!(refresh.write > 0.0 && refresh.write <= 20.0, "a refresh writes {} units: {whole:?}", refresh.write);
    ensure!(refresh.read <= 6.0, "a refresh reads {} units: {whole:?}", refresh.read);
    ensure!(read.write == 0.0 && read.read <= 3.0, "a read costs {read:?}");
    ensure!(whole.refreshes == whole.asked, "{} of {} were refreshed", whole.refreshes, whole.asked);
    Ok(())
}
