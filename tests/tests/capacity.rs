//! What the refresh engine may cost at the table, in capacity units, over the embedded engine, which follows DynamoDB's
//! rules of them. `tests/dynamodb_local.rs` measures the same over Amazon's own.

#[path = "capacity/budgets.rs"]
mod budgets;

use budgets::{BUDGETS, Measured};
use grantkeeper_local::engines::Engines;
use grantkeeper_tests::capacity::Meter;

/// Every budget on a table of its own: what one leaves is not in the shards of another.
#[tokio::test(flavor = "multi_thread")]
async fn every_budget_is_kept() {
    let mut exceeded = String::new();
    for (name, budget) in BUDGETS {
        let engines = Engines::start(None).await.unwrap();
        let meter = Meter::new();
        let config = meter.attach(aws_sdk_dynamodb::config::Builder::from(&engines.sdk_config())).build();
        let table = Measured::create(aws_sdk_dynamodb::Client::from_conf(config), meter, "capacity").await.unwrap();
        if let Err(error) = budget(&table).await {
            exceeded.push_str(&format!("\n  {name}: {error:#}"));
        }
    }
    assert!(exceeded.is_empty(), "{exceeded}");
}
