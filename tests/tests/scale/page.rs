//! The page of the results.

use chrono::{DateTime, Utc};
use grantkeeper::clock::{Clock as _, SystemClock};
use grantkeeper::store::DUE_SHARDS;

use super::bill::{self, Month, Refresh};
use super::minutes::{FEW, Simulation, Sweep};
use super::process::Used;
use super::verdict::{correlation, mean};
use super::whole::Whole;

/// What `make scale` takes when it is not told otherwise.
const MILLION: usize = 1_000_000;
/// How many credentials there are on paper.
const ON_PAPER: [f64; 3] = [100_000.0, 1_000_000.0, 10_000_000.0];

/// Everything that was measured, and nothing else.
pub fn write(simulation: &Simulation, sealed: &Whole, secrets: &Whole) -> String {
    let today: DateTime<Utc> = SystemClock.now();
    let profile = if cfg!(debug_assertions) { "an unoptimised build (profile `dev`)" } else { "a release build" };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut out = format!(
        "<!-- Written by `make scale`; what is changed here by hand is lost. -->\n\
         # What many credentials cost\n\n\
         `make scale COUNT={} MINUTES={}` wrote this page on {}, with {profile} on a machine of {cores} cores that others \
         used, too. Capacity units are those that the embedded engine answers; `tests/tests/capacity.rs` holds them to \
         budgets, and `make check-dynamodb-local` to Amazon's own. Times are of the embedded engine in this build on this \
         machine, with client, store and engine in one process: they compare one line of this page with another, and say \
         nothing of AWS.\n\n",
        simulation.count,
        simulation.minutes,
        today.format("%Y-%m-%d"),
    );
    if simulation.count < MILLION {
        out += "This is not the run with a million credentials, which `make scale` alone makes.\n\n";
    }
    out += &sweeps(simulation);
    out += &steps(simulation);
    out += &figures(simulation, sealed, secrets);
    out += &on_paper(simulation, sealed, secrets);
    out
}

fn sweeps(simulation: &Simulation) -> String {
    let Simulation { count, minutes, nothing_due: [few, all], sweeps, after_outages, done, .. } = simulation;
    let most = sweeps.iter().max_by_key(|sweep| sweep.due).copied().unwrap_or(*all);
    let least = sweeps.iter().min_by_key(|sweep| sweep.due).copied().unwrap_or(*all);
    let r = correlation(after_outages.iter().map(|sweep| (sweep.due as f64, sweep.read)));
    let mut out = format!(
        "## The sweep costs what is due\n\n\
         {count} credentials were stored: 10 % read within the last six hours, 89 % not read for days, 1 % that become \
         idle under way; tokens of an hour, refresh tokens that may lie idle for 60 days. {minutes} minutes went by, each \
         with a sweep of all {DUE_SHARDS} shards and everything that a worker does at table and sealed vault. At the beginning no \
         used one was more than 42 minutes old, so the first six minutes have less to do.\n\n\
         ![Due credentials and read units of the sweep](scale.svg)\n\n\
         | what | result |\n|---|---:|\n\
         | a sweep that finds nothing, {FEW} stored | {} read units |\n\
         | a sweep that finds nothing, {count} stored | {} read units |\n\
         | due in a minute: least, mean, most | {}, {:.0}, {} |\n\
         | read units of these sweeps: least, most | {}, {} |\n\
         | refreshed because they are used | {} |\n\
         | refreshed to keep them alive | {} |\n\
         | put off, because nobody uses them any more | {} |\n\n\
         After the last minute nothing was worked, and the index was read as after an outage. What was due and what the \
         sweep cost correlate by {r:.4}; one more due credential costs {:.4} read units.\n\n\
         | outage | due | read units | queries |\n|---|---:|---:|---:|\n",
        few.read,
        all.read,
        least.due,
        mean(sweeps),
        most.due,
        sweeps.iter().map(|sweep| sweep.read).fold(f64::INFINITY, f64::min),
        sweeps.iter().map(|sweep| sweep.read).fold(0.0, f64::max),
        done.hot,
        done.idle,
        done.put_off,
        simulation.place(),
    );
    for Sweep { minute, due, read, queries } in after_outages {
        out += &format!("| {} | {due} | {read} | {queries} |\n", span(minute - i64::from(*minutes)));
    }
    out + "\n"
}

fn span(minutes: i64) -> String {
    match minutes {
        1440.. => format!("{} d", minutes / 1440),
        60.. => format!("{} h", minutes / 60),
        _ => format!("{minutes} min"),
    }
}

fn steps(simulation: &Simulation) -> String {
    let mut out = "## Units of each call\n\n\
         Means over the whole run: an item is sometimes above and sometimes below a whole kilobyte.\n\n\
         | call | calls | read units | write units | of these the index |\n|---|---:|---:|---:|---:|\n"
        .to_owned();
    for (name, spent) in &simulation.spent {
        let (read, write, index) = spent.each();
        out += &format!("| {name} | {} | {read:.2} | {write:.2} | {index:.2} |\n", spent.calls);
    }
    let refresh = Refresh::of(simulation, &bill::SEALED);
    out += &format!(
        "| **a refresh, sealed** | | **{:.2}** | **{:.2}** | **{:.2}** |\n",
        refresh.read, refresh.write, refresh.index
    );
    let refresh = Refresh::of(simulation, &bill::SECRETS_MANAGER);
    out += &format!(
        "| **a refresh, Secrets Manager** | | **{:.2}** | **{:.2}** | **{:.2}** |\n\nMean sizes of items, in a sample: ",
        refresh.read, refresh.write, refresh.index
    );
    let names = [("META", "a credential"), ("DOC", "a sealed document"), ("ATTEMPT", "an attempt")];
    let sizes = names
        .map(|(kind, name)| format!("{name} {:.0} bytes", simulation.sizes.get(kind).copied().unwrap_or_default()));
    out + &sizes.join(", ") + ".\n\n"
}

fn figures(simulation: &Simulation, sealed: &Whole, secrets: &Whole) -> String {
    let row = |name: &str, figure: &dyn Fn(&Whole) -> String| {
        format!("| {name} | {} | {} |\n", figure(sealed), figure(secrets))
    };
    let mut out = format!(
        "## Both vaults\n\n\
         The whole engine over the local stack: {} refreshes and {} reads on each vault, {} at once, the sandbox as the \
         provider. A core-second is processor time of the whole process, with sandbox and embedded engines in it.\n\n\
         | figure | sealed | Secrets Manager |\n|---|---:|---:|\n",
        sealed.refreshes,
        sealed.reads,
        super::whole::AT_ONCE,
    );
    out += &row("refreshes per core-second", &|whole| per_core(&whole.refreshing, whole.refreshes));
    out += &row("write units of the table per refresh", &|whole| format!("{:.2}", whole.table_of_refresh.write));
    out += &row("read units of the table per refresh", &|whole| format!("{:.2}", whole.table_of_refresh.read));
    out += &row("calls of Secrets Manager per refresh: get, write", &|whole| {
        format!("{:.2}, {:.2}", whole.secrets_of_refresh.reads, whole.secrets_of_refresh.writes)
    });
    out += &row("reads of a token per core-second", &|whole| per_core(&whole.reading, whole.reads));
    out += &row("read units of the table per read", &|whole| format!("{:.2}", whole.table_of_read.read));
    out += &row("calls of Secrets Manager per read", &|whole| format!("{:.2}", whole.secrets_of_read.reads));
    out += &row("peak memory (VmHWM)", &|whole| memory(&whole.refreshing));
    let Simulation { seeding, working, count, calls, .. } = simulation;
    out += &format!(
        "\nThe simulation above, where table and sealed vault alone are worked:\n\n\
         | figure | result |\n|---|---:|\n\
         | calls of the table per core-second | {} |\n\
         | {count} credentials stored in | {:.0} s, {} core-seconds |\n\
         | {calls} calls of the table in | {:.0} s, {} core-seconds |\n\
         | peak memory (VmHWM) while storing, while working | {}, {} |\n\n",
        per_core(working, *calls),
        seeding.elapsed,
        known(seeding.processor),
        working.elapsed,
        known(working.processor),
        memory(seeding),
        memory(working),
    );
    out
}

fn per_core(used: &Used, things: usize) -> String {
    used.per_core_second(things).map_or("not measured".to_owned(), |rate| format!("{rate:.0}"))
}

fn known(value: Option<f64>) -> String {
    value.map_or("not measured".to_owned(), |value| format!("{value:.0}"))
}

fn memory(used: &Used) -> String {
    used.memory.map_or("not measured".to_owned(), |peak| format!("{peak:.0} MiB"))
}

fn on_paper(simulation: &Simulation, sealed: &Whole, secrets: &Whole) -> String {
    let mut out = format!(
        "## On paper\n\n\
         Nobody ran these: they are the units above, times the policy, times list prices (us-east-1, on demand: {} and {} \
         USD per million write and read units, {} USD per GB and month; Secrets Manager {:.2} USD per secret and month and \
         {} USD per 10,000 calls). {:.0} % are used: each refreshed every {} minutes, read once an hour, and that noted every \
         six hours. The others are refreshed once in seven days. That is {:.0} refreshes a month for a credential on average. \
         Functions, queue, logs and the way out are not in it.\n\n\
         | credentials | refreshes/s | write units/s | writes/s and index shard | sealed, USD/month | of it storage | of it calls for client secrets | Secrets Manager, USD/month | its writes/s |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        bill::WRITE,
        bill::READ,
        bill::GB,
        bill::SECRET,
        bill::CALLS,
        bill::HOT * 100.0,
        bill::HOT_MINUTES,
        bill::refreshes_a_month(),
    );
    for credentials in ON_PAPER {
        let month = Month::of(credentials, simulation, sealed, secrets);
        out += &format!(
            "| {} | {:.1} | {} | {:.1} | {} | {} | {} | {} | {:.1} |\n",
            thousands(month.credentials),
            month.refreshes_per_second,
            thousands(month.writes_per_second),
            month.shard_writes_per_second,
            thousands(month.sealed),
            thousands(month.sealed_storage),
            thousands(month.sealed_calls),
            thousands(month.secrets_manager),
            month.secret_writes_per_second,
        );
    }
    let one = Month::of(1.0, simulation, sealed, secrets);
    let ten_million = Month::of(1e7, simulation, sealed, secrets);
    out + &format!(
        "\nSecrets Manager takes {} writes a second in an account and region, which cannot be raised: at these \
         writes per refresh, {} credentials reach it without any herd. It keeps 500,000 secrets, which end before. The sealed vault writes to the table \
         alone. At ten million, each of the {DUE_SHARDS} shards of the index takes {:.1} writes a second; a partition takes \
         {:.0}.\n",
        bill::SECRET_WRITES,
        thousands(bill::SECRET_WRITES / one.secret_writes_per_second),
        ten_million.shard_writes_per_second,
        bill::PARTITION_WRITES,
    )
}

/// A whole number with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
