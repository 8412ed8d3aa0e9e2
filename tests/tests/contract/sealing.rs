//! The keys of the sealed vault: one for each number, whoever makes it; kept in the process; followed by newer ones.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Duration;
use futures::future::join_all;
use grantkeeper::secret::Secret;
use grantkeeper::testing::FixedClock;
use grantkeeper::vault::sealed::SealedVault;
use grantkeeper::vault::{Place, Prefetched, Vault as _, VaultError};
use grantkeeper_local::engines::Engines;
use grantkeeper_local::table;
use grantkeeper_tests::{Proxy, Reply};
use serde_json::json;

use super::TABLE;

const PROJECT: &str = "prj_A";

/// One table and one Secrets Manager, and as many processes as are wanted.
struct Bench {
    engines: Engines,
    clock: FixedClock,
}

impl Bench {
    async fn new() -> Self {
        let engines = Engines::start(None).await.unwrap();
        table::create(&aws_sdk_dynamodb::Client::new(&engines.sdk_config()), TABLE).await.unwrap();
        let clock = FixedClock::at(chrono::DateTime::from_timestamp(1_772_355_600, 0).unwrap());
        Self { engines, clock }
    }

    /// A process that knows nothing yet.
    fn process(&self) -> SealedVault {
        self.process_behind(self.engines.sdk_config().endpoint_url().unwrap())
    }

    /// A process that reaches Secrets Manager by this URL.
    fn process_behind(&self, secrets: &str) -> SealedVault {
        let sdk = self.engines.sdk_config();
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk.to_builder().endpoint_url(secrets).build());
        let tables = aws_sdk_dynamodb::Client::new(&sdk);
        SealedVault::new(tables, TABLE, secrets, "contract", Arc::new(self.clock.clone()))
    }

    /// The names of all secrets.
    async fn secrets(&self) -> Vec<String> {
        let sdk = aws_sdk_secretsmanager::Client::new(&self.engines.sdk_config());
        let listed = sdk.list_secrets().send().await.unwrap().secret_list.unwrap_or_default();
        let mut names: Vec<_> = listed.into_iter().filter_map(|secret| secret.name).collect();
        names.sort();
        names
    }

    /// With which key a version is sealed.
    async fn key_of(&self, place: &Place, version: &str) -> u32 {
        let sdk = aws_sdk_dynamodb::Client::new(&self.engines.sdk_config());
        let read = sdk
            .get_item()
            .table_name(TABLE)
            .key("pk", AttributeValue::S(format!("V#{}#{}", place.project, place.id)))
            .key("sk", AttributeValue::S(format!("DOC#{version}")));
        read.send().await.unwrap().item.unwrap()["key"].as_n().unwrap().parse().unwrap()
    }
}

fn place(number: usize) -> Place {
    Place::new(PROJECT, format!("crd_{number}")).bound(1, "https://as.example")
}

fn version(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

async fn stage(vault: &SealedVault, number: usize) {
    let document = Secret::new(format!("document {number}"));
    assert_eq!(vault.stage(&place(number), &version(number), &document).await.unwrap(), version(number));
}

async fn opens(vault: &SealedVault, number: usize) -> Result<(), VaultError> {
    let document = vault.open(&place(number), &version(number), Prefetched::Nothing).await?;
    assert!(document.matches(format!("document {number}").as_bytes()), "document {number} is another");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_make_the_first_key_at_once_seal_with_the_same_one() {
    let bench = Bench::new().await;
    let processes: Vec<_> = (0..8).map(|_| bench.process()).collect();
    join_all(processes.iter().enumerate().map(|(number, process)| stage(process, number))).await;
    assert_eq!(bench.secrets().await, [format!("contract/{PROJECT}/sealing-key/1")]);
    for process in processes.iter().chain([&bench.process()]) {
        for number in 0..8 {
            opens(process, number).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_seals_here_at_once_and_elsewhere_within_five_minutes_and_old_documents_open() {
    let bench = Bench::new().await;
    let (here, elsewhere) = (bench.process(), bench.process());
    stage(&here, 1).await;
    stage(&elsewhere, 2).await;
    assert_eq!(here.rotate(PROJECT).await.unwrap(), 2);
    stage(&here, 3).await;
    bench.clock.advance(Duration::seconds(299));
    stage(&elsewhere, 4).await;
    bench.clock.advance(Duration::seconds(1));
    stage(&elsewhere, 5).await;
    let mut keys = Vec::new();
    for number in 1..=5 {
        keys.push(bench.key_of(&place(number), &version(number)).await);
        for process in [&here, &elsewhere, &bench.process()] {
            opens(process, number).await.unwrap();
        }
    }
    assert_eq!(keys, [1, 1, 2, 1, 2]);
    // What was opened with a newer key says that there is one.
    let third = bench.process();
    opens(&third, 5).await.unwrap();
    stage(&third, 6).await;
    assert_eq!(bench.key_of(&place(6), &version(6)).await, 2);
    // A project that sealed nothing yet has its first key by a rotation, too.
    assert_eq!(here.rotate("prj_B").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_at_once_make_keys_that_every_process_can_use() {
    let bench = Bench::new().await;
    stage(&bench.process(), 0).await;
    let processes: Vec<_> = (0..6).map(|_| bench.process()).collect();
    join_all(processes.iter().enumerate().map(|(number, process)| async move {
        assert!(process.rotate(PROJECT).await.unwrap() >= 2);
        stage(process, number + 1).await;
    }))
    .await;
    let fresh = bench.process();
    for number in 0..=6 {
        opens(&fresh, number).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_known_outlast_an_outage_of_secrets_manager() {
    let bench = Bench::new().await;
    let secrets = Proxy::to(bench.engines.sdk_config().endpoint_url().unwrap()).await.unwrap();
    let process = bench.process_behind(&secrets.url);
    stage(&process, 1).await;
    // This one has only opened something, as a refresh does before it asks the provider.
    let reader = bench.process_behind(&secrets.url);
    opens(&reader, 1).await.unwrap();
    let stranger = bench.process_behind(&secrets.url);

    secrets.always(Some(Reply::Instead(400, json!({ "__type": "ThrottlingException" }))));
    bench.clock.advance(Duration::hours(1));
    for (number, knows) in [(2, &process), (3, &reader)] {
        stage(knows, number).await;
        opens(knows, 1).await.unwrap();
    }
    let asked = secrets.take_calls().len();
    stage(&reader, 4).await;
    assert_eq!(secrets.take_calls().len(), 0, "not asked again at once, after {asked} calls");
    // An outage is not taken for a document that is missing or broken.
    assert_eq!(opens(&stranger, 1).await, Err(VaultError::Unavailable));
    let staged = stranger.stage(&place(5), &version(5), &Secret::from("x")).await;
    assert_eq!(staged, Err(VaultError::Unavailable));

    secrets.always(None);
    for number in 1..=4 {
        opens(&stranger, number).await.unwrap();
    }
    assert_eq!(bench.secrets().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_read_asks_the_table_once_and_secrets_manager_not_at_all() {
    let bench = Bench::new().await;
    let secrets = Proxy::to(bench.engines.sdk_config().endpoint_url().unwrap()).await.unwrap();
    let process = bench.process_behind(&secrets.url);
    stage(&process, 1).await;
    let first: Vec<_> = secrets.take_calls().into_iter().map(|call| call.target).collect();
    let [get, create] = ["GetSecretValue", "CreateSecret"].map(|action| format!("secretsmanager.{action}"));
    assert_eq!(first, [get.clone(), create, get], "the first key is looked for, made and read back");
    opens(&process, 1).await.unwrap();
    stage(&process, 2).await;
    assert_eq!(secrets.take_calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_making_was_not_answered_is_used_as_it_is_kept() {
    let bench = Bench::new().await;
    let secrets = Proxy::to(bench.engines.sdk_config().endpoint_url().unwrap()).await.unwrap();
    let process = bench.process_behind(&secrets.url);
    secrets.script([Reply::Forward, Reply::Lose(500, json!({ "__type": "InternalServiceError" }))]);
    stage(&process, 1).await;
    opens(&bench.process(), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_to_be_deleted_is_not_replaced_by_another() {
    let bench = Bench::new().await;
    stage(&bench.process(), 1).await;
    let sdk = aws_sdk_secretsmanager::Client::new(&bench.engines.sdk_config());
    let name = format!("contract/{PROJECT}/sealing-key/1");
    sdk.delete_secret().secret_id(&name).recovery_window_in_days(7).send().await.unwrap();
    let process = bench.process();
    assert_eq!(opens(&process, 1).await, Err(VaultError::Unavailable));
    let staged = process.stage(&place(2), &version(2), &Secret::from("x")).await;
    assert_eq!(staged, Err(VaultError::Unavailable));
    sdk.restore_secret().secret_id(&name).send().await.unwrap();
    opens(&process, 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn resealing_changes_the_key_and_not_the_document() {
    let bench = Bench::new().await;
    let process = bench.process();
    stage(&process, 1).await;
    assert!(!process.reseal(&place(1), &version(1)).await.unwrap(), "sealed with the newest");
    assert_eq!(process.rotate(PROJECT).await.unwrap(), 2);
    let others: Vec<_> = (0..4).map(|_| bench.process()).collect();
    let resealed = join_all(others.iter().map(|other| async {
        let resealed = other.reseal(&place(1), &version(1)).await.unwrap();
        opens(other, 1).await.unwrap();
        resealed
    }));
    assert!(resealed.await.contains(&true));
    assert_eq!(bench.key_of(&place(1), &version(1)).await, 2);
    assert!(!process.reseal(&place(1), &version(1)).await.unwrap());
    opens(&process, 1).await.unwrap();
    opens(&bench.process(), 1).await.unwrap();
    let staged = process.stage(&place(1), &version(1), &Secret::from("document 1")).await;
    assert_eq!(staged, Ok(version(1)), "it is still the same version");
    assert_eq!(process.reseal(&place(1), &version(2)).await, Err(VaultError::Missing));
    let another = place(1).bound(2, "https://as.example");
    assert_eq!(process.rotate(PROJECT).await.unwrap(), 3);
    assert_eq!(process.reseal(&another, &version(1)).await, Err(VaultError::Broken));
    assert_eq!(bench.key_of(&place(1), &version(1)).await, 2, "what does not open is left alone");
}

/// 1167 bytes for 1024: two units of a write, half a unit of an eventual read.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_takes_little_more_than_its_own_length() {
    let bench = Bench::new().await;
    let process = bench.process();
    let (place, document) = (
        Place::new("prj_01K0000000000000000000000A", "crd_01K0000000000000000000000E").bound(1, "https://as.example"),
        "x".repeat(1024),
    );
    process.stage(&place, &version(1), &Secret::new(document)).await.unwrap();
    let sdk = aws_sdk_dynamodb::Client::new(&bench.engines.sdk_config());
    let items = sdk.scan().table_name(TABLE).send().await.unwrap().items.unwrap();
    let [item] = items.as_slice() else { panic!("{} items", items.len()) };
    let length = |value: &AttributeValue| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(octets) => octets.as_ref().len(),
        other => panic!("{other:?}"),
    };
    let size: usize = item.iter().map(|(name, value)| name.len() + length(value)).sum();
    assert!((1024..1024 + 160 + 28).contains(&size), "{size}");
}
