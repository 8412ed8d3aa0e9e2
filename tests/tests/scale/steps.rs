//! The calls of a worker, each over clients of its own, so that each has a meter of its own.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::config::Builder;
use grantkeeper::clock::Clock;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::vault::sealed::SealedVault;
use grantkeeper_local::stack::{SECRET_PREFIX, TABLE};
use grantkeeper_tests::capacity::Meter;

/// What the calls of one step consumed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// How many calls of the table there were.
    pub calls: usize,
    /// Read units.
    pub read: f64,
    /// Write units, those of the index included.
    pub write: f64,
    /// Of these, write units of the index of due work.
    pub index: f64,
}

impl Spent {
    /// Adds what a meter has measured since the last time.
    pub fn add(&mut self, meter: &Meter) {
        for call in meter.take() {
            self.calls += 1;
            self.read += call.read;
            self.write += call.write;
            self.index += if call.write > 0.0 { call.indexes.values().sum() } else { 0.0 };
        }
    }

    /// Units of one call on average: read, write, and of the latter the index.
    pub fn each(&self) -> (f64, f64, f64) {
        let calls = self.calls.max(1) as f64;
        (self.read / calls, self.write / calls, self.index / calls)
    }
}

/// One step: store and vault over metered clients.
pub struct Step {
    /// Its name in the store or the vault.
    pub name: &'static str,
    pub store: DynamoDbStore,
    pub vault: SealedVault,
    pub meter: Meter,
}

impl Step {
    fn new(name: &'static str, sdk: &SdkConfig, clock: &Arc<dyn Clock>) -> Self {
        let meter = Meter::new();
        let tables = aws_sdk_dynamodb::Client::from_conf(meter.attach(Builder::from(sdk)).build());
        let secrets = aws_sdk_secretsmanager::Client::new(sdk);
        let store = DynamoDbStore::new(tables.clone(), TABLE);
        let vault = SealedVault::new(tables, TABLE, secrets, SECRET_PREFIX, Arc::clone(clock));
        Self { name, store, vault, meter }
    }
}

/// All steps.
pub struct Steps {
    pub list: Step,
    pub find: Step,
    pub open: Step,
    pub acquire: Step,
    pub stage: Step,
    pub commit: Step,
    pub forget: Step,
    /// Letting go of a version that the table does not have, as with Secrets Manager.
    pub forget_nothing: Step,
    pub record: Step,
    pub reschedule: Step,
    /// The read of a token: the credential and its document.
    pub read: Step,
    pub note_use: Step,
}

impl Steps {
    pub fn new(sdk: &SdkConfig, clock: Arc<dyn Clock>) -> Self {
        let step = |name| Step::new(name, sdk, &clock);
        Self {
            list: step("list_due"),
            find: step("find_credential"),
            open: step("open"),
            acquire: step("acquire_refresh"),
            stage: step("stage"),
            commit: step("commit_refresh"),
            forget: step("forget"),
            forget_nothing: step("forget, of what is elsewhere"),
            record: step("record_attempt"),
            reschedule: step("reschedule"),
            read: step("find_credential or open, for a read"),
            note_use: step("note_use"),
        }
    }

    /// Those whose sums are kept for the whole run; `list` is summed up minute by minute.
    pub fn of_work(&self) -> [&Step; 11] {
        let Self { find, open, acquire, stage, commit, forget, forget_nothing, record, .. } = self;
        let Self { reschedule, read, note_use, .. } = self;
        [find, open, acquire, stage, commit, forget, forget_nothing, record, reschedule, read, note_use]
    }
}
