//! The cost of many more credentials than can be tried, on paper: measured units times the policy of refreshes times list
//! prices (AWS, us-east-1, on demand; those of REFRESH.md c.2).

use super::minutes::Simulation;
use super::whole::Whole;

/// Hours of a month, as AWS counts them.
const HOURS: f64 = 730.0;
/// Dollars for a million write units, a million read units, a GB-month, a secret and month, ten thousand calls.
pub const WRITE: f64 = 0.625;
pub const READ: f64 = 0.125;
pub const GB: f64 = 0.25;
pub const SECRET: f64 = 0.40;
pub const CALLS: f64 = 0.05;
/// Writes to Secrets Manager in a second, per account and region; it cannot be raised.
pub const SECRET_WRITES: f64 = 50.0;
/// Writes in a second that one partition of a table or an index takes.
pub const PARTITION_WRITES: f64 = 1000.0;

/// One in ten is used: refreshed 42 to 48 minutes after the last time, and found half a minute later on average.
pub const HOT: f64 = 0.1;
pub const HOT_MINUTES: f64 = 45.5;
/// The others are refreshed once in seven days.
pub const IDLE_HOURS: f64 = 168.0;
/// A used one is read once an hour, and that is noted once in six.
const READS: f64 = HOURS;
const NOTES: f64 = HOURS / 6.0;
/// Attempts that are kept: the last twenty of a used one, those of 90 days of the others.
const HOT_ATTEMPTS: f64 = 20.0;
const IDLE_ATTEMPTS: f64 = 90.0 * 24.0 / IDLE_HOURS;

/// How often one credential is refreshed in a month, on average over those that are used and those that are not.
pub fn refreshes_a_month() -> f64 {
    HOT * HOURS * 60.0 / HOT_MINUTES + (1.0 - HOT) * HOURS / IDLE_HOURS
}

/// Units of the table for one refresh, from the steps of the simulation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refresh {
    pub read: f64,
    pub write: f64,
    /// Of the written ones, those of the index.
    pub index: f64,
}

impl Refresh {
    /// The sum of these steps.
    pub fn of(simulation: &Simulation, steps: &[&str]) -> Self {
        steps.iter().fold(Self::default(), |sum, name| {
            let (read, write, index) = simulation.of(name).each();
            Self { read: sum.read + read, write: sum.write + write, index: sum.index + index }
        })
    }
}

/// The steps of a refresh on each vault. Both vaults are one, so letting go of a version asks the table in any case.
pub const SEALED: [&str; 7] =
    ["find_credential", "open", "acquire_refresh", "stage", "commit_refresh", "forget", "record_attempt"];
pub const SECRETS_MANAGER: [&str; 5] =
    ["find_credential", "acquire_refresh", "commit_refresh", "forget, of what is elsewhere", "record_attempt"];

/// A month of so many credentials.
#[derive(Debug, Clone, Copy)]
pub struct Month {
    pub credentials: f64,
    pub refreshes_per_second: f64,
    pub writes_per_second: f64,
    /// Writes in a second to one shard of the index of due work.
    pub shard_writes_per_second: f64,
    /// Dollars on the sealed vault, of these for storage, and of these for calls of Secrets Manager: client secrets.
    pub sealed: f64,
    pub sealed_storage: f64,
    pub sealed_calls: f64,
    /// Dollars with a secret for each credential.
    pub secrets_manager: f64,
    pub secret_writes_per_second: f64,
}

impl Month {
    /// From what was measured.
    pub fn of(credentials: f64, simulation: &Simulation, sealed: &Whole, secrets: &Whole) -> Self {
        let refreshes = credentials * refreshes_a_month();
        let (reads, notes) = (credentials * HOT * READS, credentials * HOT * NOTES);
        let seconds = HOURS * 3600.0;
        let [_, nothing] = simulation.nothing_due;
        let sweeps = HOURS * 60.0 * nothing.read + refreshes * simulation.place();
        let note = simulation.of("note_use").each().1;
        let size = |kind: &str| simulation.sizes.get(kind).copied().unwrap_or_default();
        let attempts = (HOT * HOT_ATTEMPTS + (1.0 - HOT) * IDLE_ATTEMPTS) * size("ATTEMPT");

        let table = |refresh: Refresh, read: f64, bytes: f64| {
            let write = refreshes * refresh.write + notes * note;
            let read = refreshes * refresh.read + reads * read + sweeps;
            let storage = credentials * bytes / 1e9 * GB;
            (write, write / 1e6 * WRITE + read / 1e6 * READ + storage, storage)
        };
        let in_table = Refresh::of(simulation, &SEALED);
        let (write, sealed_dollars, sealed_storage) =
            table(in_table, sealed.table_of_read.read, size("META") + 2.0 * size("DOC") + attempts);
        let beside = Refresh::of(simulation, &SECRETS_MANAGER);
        let (_, table_dollars, _) = table(beside, secrets.table_of_read.read, size("META") + attempts);
        let calls = |whole: &Whole| {
            let (refresh, read) = (whole.secrets_of_refresh, whole.secrets_of_read);
            (refreshes * (refresh.reads + refresh.writes) + reads * (read.reads + read.writes)) / 1e4 * CALLS
        };
        Self {
            credentials,
            refreshes_per_second: refreshes / seconds,
            writes_per_second: write / seconds,
            shard_writes_per_second: refreshes / seconds * in_table.index / f64::from(grantkeeper::store::DUE_SHARDS),
            sealed: sealed_dollars + calls(sealed),
            sealed_storage,
            sealed_calls: calls(sealed),
            secrets_manager: table_dollars + credentials * SECRET + calls(secrets),
            secret_writes_per_second: refreshes / seconds * secrets.secrets_of_refresh.writes,
        }
    }
}
