//! Holds the store to its contract over a DynamoDB that is not the embedded engine: Amazon's DynamoDB Local. Its only
//! argument beside those of every test is the server's URL; `make check-dynamodb-local` starts one and gives it.

#[path = "capacity/budgets.rs"]
mod budgets;
#[path = "contract/forgetting.rs"]
mod forgetting;

use std::future::Future;
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Credentials, Region};
use grantkeeper::store::Store;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::testing::store_contract;
use grantkeeper_local::table;
use grantkeeper_tests::capacity::Meter;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use budgets::Measured;

const TABLE: &str = "contract";

/// As many checks at once as the suite itself runs.
const AT_ONCE: usize = 8;

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<_> = std::env::args().collect();
    let url = arguments.iter().position(|argument| argument.starts_with("http://"));
    let url = url.map(|place| arguments.remove(place)).context("no URL of a server: run make check-dynamodb-local")?;
    let mut arguments = Arguments::from_iter(arguments);
    let _ = arguments.test_threads.get_or_insert(AT_ONCE);

    let runtime = Arc::new(Runtime::new()?);
    let sdk = Sdk::from_conf(configuration(&url).build());
    // Again on the same table: neither it nor the checks mind what another run left.
    for round in ["first", "again"] {
        runtime.block_on(table::create(&sdk, TABLE))?;
        let mut trials = contract(round, &runtime, &sdk);
        trials.extend(capacity(round, &runtime, &url));
        libtest_mimic::run(&arguments, trials).exit_if_failed();
    }
    Ok(())
}

/// What reaches a server that takes any access key.
fn configuration(url: &str) -> Builder {
    let credentials = Credentials::new("local", "local", None, None, "dynamodb-local");
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(credentials)
        .endpoint_url(url)
}

/// Each check of the contract, and what it does not see.
fn contract(round: &str, runtime: &Arc<Runtime>, sdk: &Sdk) -> Vec<Trial> {
    let store: Arc<dyn Store> = Arc::new(DynamoDbStore::new(sdk.clone(), TABLE));
    let forgetful = (Arc::clone(&store), sdk.clone());
    let mut trials: Vec<_> = store_contract::checks()
        .map(|check| {
            let store = Arc::clone(&store);
            trial(round, check.name, runtime, async move { check.run(&*store).await.map(|failure| failure.reason) })
        })
        .collect();
    trials.push(trial(round, "what_may_be_forgotten_says_so_in_every_list", runtime, async move {
        let (store, sdk) = forgetful;
        // It asserts, so a difference is a panic, which ends this trial alone.
        forgetting::check(&*store, &sdk).await.err().map(|error| format!("{error:#}"))
    }));
    trials
}

/// The budgets of `tests/capacity.rs`, each on a table of its own.
fn capacity(round: &str, runtime: &Arc<Runtime>, url: &str) -> impl Iterator<Item = Trial> {
    budgets::BUDGETS.into_iter().map(move |(name, budget)| {
        let meter = Meter::new();
        let sdk = Sdk::from_conf(meter.attach(configuration(url)).build());
        let table = format!("{round}-{name}");
        trial(round, name, runtime, async move {
            let kept = async { budget(&Measured::create(sdk, meter, &table).await?).await };
            kept.await.err().map(|error: anyhow::Error| format!("{error:#}"))
        })
    })
}

/// A check that says what does not hold.
fn trial(
    round: &str,
    name: &str,
    runtime: &Arc<Runtime>,
    check: impl Future<Output = Option<String>> + Send + 'static,
) -> Trial {
    let runtime = Arc::clone(runtime);
    Trial::test(format!("{round}::{name}"), move || match runtime.block_on(check) {
        None => Ok(()),
        Some(reason) => Err(Failed::from(reason)),
    })
}
