//! Holds the deployed store and vault, over the AWS SDKs and the embedded engines, to their contracts; and the contracts
//! to stores and vaults that forget one obligation each, so that a check which no store can fail is found.

#[path = "contract/broken_credentials.rs"]
mod broken_credentials;
#[path = "contract/broken_store.rs"]
mod broken_store;
#[path = "contract/broken_vault.rs"]
mod broken_vault;
#[path = "contract/broken_work.rs"]
mod broken_work;
#[path = "contract/forgetting.rs"]
mod forgetting;
#[cfg(test)]
#[path = "contract/moved_items.rs"]
mod moved_items;
#[path = "contract/reference.rs"]
mod reference;
#[cfg(test)]
#[path = "contract/sealing.rs"]
mod sealing;
#[path = "contract/store_flaws.rs"]
mod store_flaws;

use std::sync::Arc;

use grantkeeper::lambda::Vaults;
use grantkeeper::store::Store;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::testing::FixedClock;
use grantkeeper::testing::suite::Failure;
use grantkeeper::testing::{store_contract, vault_contract};
use grantkeeper::vault::{Vault, VaultKind};
use grantkeeper_local::engines::Engines;
use grantkeeper_local::table;

use broken_store::BrokenStore;
use broken_vault::BrokenVault;

const TABLE: &str = "contract";

/// The deployed store on a new table, and the SDK client that reaches it.
async fn store(engines: &Engines) -> anyhow::Result<(Arc<dyn Store>, aws_sdk_dynamodb::Client)> {
    let sdk = aws_sdk_dynamodb::Client::new(&engines.sdk_config());
    table::create(&sdk, TABLE).await?;
    Ok((Arc::new(DynamoDbStore::new(sdk.clone(), TABLE)), sdk))
}

/// The vaults on a new table.
async fn vaults(engines: &Engines) -> anyhow::Result<Vaults> {
    let sdk = engines.sdk_config();
    table::create(&aws_sdk_dynamodb::Client::new(&sdk), TABLE).await?;
    let clock = FixedClock::at(chrono::DateTime::UNIX_EPOCH);
    Ok(Vaults::new(&sdk, TABLE, "contract", Arc::new(clock)))
}

/// Every vault that a stack can have, by name.
fn every(vaults: &Vaults) -> Vec<(&'static str, Arc<dyn Vault>)> {
    vec![
        ("Secrets Manager", vaults.secrets_manager.clone() as Arc<dyn Vault>),
        ("sealed", vaults.sealed.clone()),
        ("both, Secrets Manager first", vaults.written(VaultKind::SecretsManager)),
        ("both, sealed first", vaults.written(VaultKind::Sealed)),
    ]
}

fn assert_none(failures: &[Failure]) {
    let report: String = failures.iter().map(|failure| format!("\n  {}: {}", failure.check, failure.reason)).collect();
    assert!(failures.is_empty(), "{} checks failed:{report}", failures.len());
}

/// What is wrong with a check, given what it said about a flaw.
fn problem(flaw: &dyn std::fmt::Debug, check: &str, failure: Option<Failure>) -> Option<String> {
    match failure {
        None => Some(format!("{check} does not notice {flaw:?}")),
        // A check that fails because the table does not answer has found nothing.
        Some(failure) if failure.reason.contains("is unavailable") => Some(format!("{check} cannot look at {flaw:?}")),
        Some(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_keeps_its_contract() {
    let engines = Engines::start(None).await.unwrap();
    let (store, _) = store(&engines).await.unwrap();
    assert_none(&store_contract::run(Arc::clone(&store)).await);
    // Again on the same table: no check minds what another run left.
    assert_none(&store_contract::run(store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_what_the_model_of_the_refresh_assumes() {
    let engines = Engines::start(None).await.unwrap();
    let (store, _) = store(&engines).await.unwrap();
    reference::check(&tokio::runtime::Handle::current(), &*store);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_forgotten_says_so_in_every_list() {
    let engines = Engines::start(None).await.unwrap();
    let (store, sdk) = store(&engines).await.unwrap();
    forgetting::check(&*store, &sdk).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vault_keeps_the_contract() {
    let engines = Engines::start(None).await.unwrap();
    let vaults = vaults(&engines).await.unwrap();
    for (name, vault) in every(&vaults) {
        for _ in 0..2 {
            let failures = vault_contract::run(Arc::clone(&vault)).await;
            assert!(failures.is_empty(), "{name}: {failures:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flaw_of_a_store_is_found() {
    let engines = Engines::start(None).await.unwrap();
    let (real, sdk) = store(&engines).await.unwrap();
    let mut problems = Vec::new();
    for (flaw, names) in store_flaws::FOUND_BY {
        for name in *names {
            let broken = BrokenStore::new(Arc::clone(&real), sdk.clone(), TABLE, *flaw);
            let check = store_contract::checks().find(|check| check.name == *name).expect(name);
            problems.extend(problem(flaw, name, check.run(&broken).await));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flaw_of_a_vault_is_found() {
    let engines = Engines::start(None).await.unwrap();
    let vaults = vaults(&engines).await.unwrap();
    let mut problems = Vec::new();
    for (vault, real) in every(&vaults) {
        for (flaw, names) in broken_vault::FOUND_BY {
            // A vault that fetches nothing before it knows the pointer has no such flaw.
            if flaw.is_of_prefetching() && !vault.contains("Manager") {
                continue;
            }
            for name in *names {
                let broken = BrokenVault::new(Arc::clone(&real), *flaw);
                let check = vault_contract::checks().find(|check| check.name == *name).expect(name);
                problems.extend(problem(&(vault, flaw), name, check.run(&broken).await));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_a_broken_store_names_what_failed_and_nothing_else() {
    let engines = Engines::start(None).await.unwrap();
    let (real, sdk) = store(&engines).await.unwrap();
    let flaw = store_flaws::Flaw::CommitForgetsFence;
    let failures = store_contract::run(Arc::new(BrokenStore::new(real, sdk, TABLE, flaw))).await;
    let names: Vec<_> = failures.iter().map(|failure| failure.check).collect();
    assert_eq!(names, ["no_commit_under_an_older_fence", "a_refused_commit_leaves_no_event"]);
}
