use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValuesOnConditionCheckFailure,
    ScalarAttributeType,
};
use aws_sdk_dynamodb::{Client as Tables, error::ProvideErrorMetadata as _};
use aws_sdk_secretsmanager::Client as SecretsManager;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const NAME: &str = "gk/demo/cred_1";

/// A version id, as the product makes them: 36 characters.
fn version(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

async fn secrets_in(directory: Option<&Path>) -> (Engines, SecretsManager) {
    let engines = Engines::start(directory).await.unwrap();
    let secrets = SecretsManager::new(&engines.sdk_config());
    (engines, secrets)
}

async fn put(secrets: &SecretsManager, token: &str, value: &str) -> Result<(), String> {
    let put = secrets
        .put_secret_value()
        .secret_id(NAME)
        .client_request_token(token)
        .secret_string(value)
        .send()
        .await;
    put.map(drop)
        .map_err(|error| error.code().unwrap_or_default().to_owned())
}

/// The version that `AWSCURRENT` names and its value.
async fn current(secrets: &SecretsManager) -> (String, String) {
    let got = secrets.get_secret_value().secret_id(NAME).send().await.unwrap();
    (got.version_id.unwrap(), got.secret_string.unwrap())
}

async fn value_of(secrets: &SecretsManager, id: &str) -> Option<String> {
    secrets
        .get_secret_value()
        .secret_id(NAME)
        .version_id(id)
        .send()
        .await
        .ok()?
        .secret_string
}

fn append(file: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .append(true)
        .open(file)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

#[tokio::test]
async fn secrets_survive_a_restart_and_a_journal_line_cut_short() {
    let data = TempDir::new().unwrap();
    let (engines, secrets) = secrets_in(Some(data.path())).await;
    let arn = secrets.create_secret().name(NAME).send().await.unwrap().arn.unwrap();
    put(&secrets, &version(1), "one").await.unwrap();
    put(&secrets, &version(2), "two").await.unwrap();
    drop(engines); // as a kill would: no shutdown

    let journal = data.path().join("secrets.journal");
    assert_eq!(std::fs::read_to_string(&journal).unwrap().lines().count(), 3);
    append(&journal, br#"{"name":"gk/demo/cred_1","secret":{"na"#);

    let (engines, secrets) = secrets_in(Some(data.path())).await;
    assert_eq!(current(&secrets).await, (version(2), "two".to_owned()));
    assert_eq!(value_of(&secrets, &version(1)).await.as_deref(), Some("one"));
    assert_eq!(
        std::fs::metadata(&journal).unwrap().len(),
        0,
        "folded into the snapshot"
    );
    put(&secrets, &version(3), "three").await.unwrap();
    engines.shutdown().await;

    let (_engines, secrets) = secrets_in(Some(data.path())).await;
    let by_arn = secrets.get_secret_value().secret_id(arn).send().await.unwrap();
    assert_eq!(by_arn.secret_string.as_deref(), Some("three"));
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_not_quoted() {
    let data = TempDir::new().unwrap();
    drop(secrets_in(Some(data.path())).await);
    append(
        &data.path().join("secrets.journal"),
        b"{\"name\":\"a\",\"secret\":\"hunter2\"}\n{}\n",
    );
    let error = format!("{:#}", Engines::start(Some(data.path())).await.err().unwrap());
    assert!(error.contains("secrets.journal is damaged"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn files_are_for_their_owner_only_and_for_one_process() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("data");
    let (engines, secrets) = secrets_in(Some(&data)).await;
    secrets
        .create_secret()
        .name(NAME)
        .secret_string("one")
        .send()
        .await
        .unwrap();
    assert!(Engines::start(Some(&data)).await.is_err(), "in use");

    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in std::fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    engines.shutdown().await;
}

#[tokio::test]
async fn a_known_version_is_put_again_only_with_the_same_value() {
    let (_engines, secrets) = secrets_in(None).await;
    secrets.create_secret().name(NAME).send().await.unwrap();
    put(&secrets, &version(1), "one").await.unwrap();
    put(&secrets, &version(2), "two").await.unwrap();
    assert_eq!(
        put(&secrets, &version(1), "other").await.unwrap_err(),
        "ResourceExistsException"
    );
    put(&secrets, &version(1), "one").await.unwrap();
    assert_eq!(
        current(&secrets).await,
        (version(2), "two".to_owned()),
        "no label moved"
    );
    assert_eq!(
        put(&secrets, "short", "three").await.unwrap_err(),
        "InvalidParameterException"
    );
    assert_eq!(
        put(&secrets, &version(3), &"x".repeat(65_537)).await.unwrap_err(),
        "InvalidParameterException"
    );
}

#[tokio::test]
async fn superseded_versions_stay_readable_and_the_oldest_are_dropped() {
    let (_engines, secrets) = secrets_in(None).await;
    secrets.create_secret().name(NAME).send().await.unwrap();
    for number in 1..=25 {
        put(&secrets, &version(number), &format!("value {number}"))
            .await
            .unwrap();
    }
    // 25 is AWSCURRENT, 24 AWSPREVIOUS, and 20 without a label are kept.
    let previous = secrets
        .get_secret_value()
        .secret_id(NAME)
        .version_stage("AWSPREVIOUS")
        .send()
        .await
        .unwrap();
    assert_eq!(previous.version_id, Some(version(24)));
    assert_eq!(value_of(&secrets, &version(4)).await.as_deref(), Some("value 4"));
    assert_eq!(value_of(&secrets, &version(3)).await, None);
}

#[tokio::test]
async fn a_deleted_secret_keeps_its_name_and_can_be_restored() {
    let data = TempDir::new().unwrap();
    let (engines, secrets) = secrets_in(Some(data.path())).await;
    secrets
        .create_secret()
        .name(NAME)
        .secret_string("one")
        .send()
        .await
        .unwrap();
    secrets
        .create_secret()
        .name("gk/demo/gone")
        .secret_string("one")
        .send()
        .await
        .unwrap();
    secrets
        .delete_secret()
        .secret_id(NAME)
        .recovery_window_in_days(7)
        .send()
        .await
        .unwrap();
    secrets
        .delete_secret()
        .secret_id("gk/demo/gone")
        .force_delete_without_recovery(true)
        .send()
        .await
        .unwrap();
    engines.shutdown().await;

    let (_engines, secrets) = secrets_in(Some(data.path())).await;
    let refused = secrets.create_secret().name(NAME).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidRequestException"));
    assert_eq!(
        put(&secrets, &version(1), "two").await.unwrap_err(),
        "InvalidRequestException"
    );
    secrets.restore_secret().secret_id(NAME).send().await.unwrap();
    assert_eq!(current(&secrets).await.1, "one");
    let gone = secrets
        .get_secret_value()
        .secret_id("gk/demo/gone")
        .send()
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Some("ResourceNotFoundException"));
    assert!(
        !std::fs::read_to_string(data.path().join("secrets.json"))
            .unwrap()
            .contains("gk/demo/gone")
    );
}

#[tokio::test]
async fn concurrent_writes_of_different_secrets_all_land() {
    let data = TempDir::new().unwrap();
    let (engines, secrets) = secrets_in(Some(data.path())).await;
    let writes = (0..40).map(|number| {
        let secrets = secrets.clone();
        background(async move {
            secrets
                .create_secret()
                .name(format!("s{number}"))
                .secret_string("value")
                .send()
                .await
                .unwrap();
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    drop(engines);
    let (_engines, secrets) = secrets_in(Some(data.path())).await;
    assert_eq!(secrets.list_secrets().send().await.unwrap().secret_list().len(), 40);
}

/// Sends one request to the engines by hand and returns the status line.
async fn send_raw(engines: &Engines, headers: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(engines.address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {}\r\nx-amz-target: secretsmanager.ListSecrets\r\nconnection: close\r\n\
         content-length: 2\r\n{headers}\r\n{{}}",
        engines.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_request_without_this_runs_access_key_is_refused() {
    let (engines, _) = secrets_in(None).await;
    let (other, _) = secrets_in(None).await;
    let authorization = |engines: &Engines| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential={}/20260101\r\n",
            engines.access.id
        )
    };
    assert_eq!(engines.access.id.len(), 20);
    assert_eq!(send_raw(&engines, &authorization(&engines)).await, "HTTP/1.1 200 OK");
    for refused in [
        String::new(),
        authorization(&other),
        "authorization: AWS4-HMAC-SHA256 Credential=/20260101\r\n".to_owned(),
        format!("{}origin: http://evil.example\r\n", authorization(&engines)),
    ] {
        assert_eq!(
            send_raw(&engines, &refused).await,
            "HTTP/1.1 403 Forbidden",
            "{refused}"
        );
    }
}

async fn create_table(tables: &Tables) {
    let key = KeySchemaElement::builder()
        .attribute_name("pk")
        .key_type(KeyType::Hash)
        .build()
        .unwrap();
    let attribute = AttributeDefinition::builder()
        .attribute_name("pk")
        .attribute_type(ScalarAttributeType::S);
    let create = tables
        .create_table()
        .table_name("table")
        .key_schema(key)
        .billing_mode(BillingMode::PayPerRequest);
    create
        .attribute_definitions(attribute.build().unwrap())
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_condition_returns_the_old_item_and_tables_survive_a_restart() {
    let data = TempDir::new().unwrap();
    let engines = Engines::start(Some(data.path())).await.unwrap();
    let tables = Tables::new(&engines.sdk_config());
    create_table(&tables).await;
    let text = |value: &str| AttributeValue::S(value.to_owned());
    tables
        .put_item()
        .table_name("table")
        .item("pk", text("a"))
        .item("n", AttributeValue::N("1".into()))
        .send()
        .await
        .unwrap();
    let update = |expected: &str| {
        let update = tables
            .update_item()
            .table_name("table")
            .key("pk", text("a"))
            .update_expression("SET n = n + :one");
        let update = update
            .condition_expression("n = :expected")
            .expression_attribute_values(":one", AttributeValue::N("1".into()));
        update
            .expression_attribute_values(":expected", AttributeValue::N(expected.to_owned()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };
    update("1").await.unwrap();
    let refused = update("1").await.unwrap_err().into_service_error();
    let refused = match refused {
        aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(refused) => refused,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused.item.unwrap()["n"], AttributeValue::N("2".into()));
    let missing = tables
        .get_item()
        .table_name("absent")
        .key("pk", text("a"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(missing.code(), Some("ResourceNotFoundException"));
    let short = tables.describe_table().table_name("t").send().await.unwrap_err();
    assert!(
        short.message().unwrap().starts_with("1 validation error detected"),
        "{short:?}"
    );
    engines.shutdown().await;

    let engines = Engines::start(Some(data.path())).await.unwrap();
    let tables = Tables::new(&engines.sdk_config());
    let got = tables
        .get_item()
        .table_name("table")
        .key("pk", text("a"))
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    assert_eq!(got.item.unwrap()["n"], AttributeValue::N("2".into()));
}

#[tokio::test]
async fn the_environment_names_every_engine() {
    let engines = Engines::start(None).await.unwrap();
    let environment = engines.environment();
    let endpoint = format!("http://{}", engines.address);
    for name in [
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        "AWS_ENDPOINT_URL_SQS",
    ] {
        assert!(environment.contains(&(name.to_owned(), endpoint.clone())), "{name}");
    }
}

#[tokio::test]
async fn zz_timing() {
    let data = TempDir::new().unwrap();
    let t = std::time::Instant::now();
    let (e, secrets) = secrets_in(Some(data.path())).await;
    eprintln!("start {:?}", t.elapsed());
    secrets.create_secret().name(NAME).send().await.unwrap();
    eprintln!("first call {:?}", t.elapsed());
    let tables = Tables::new(&e.sdk_config());
    create_table(&tables).await;
    eprintln!("table {:?}", t.elapsed());
    let t = std::time::Instant::now();
    for n in 0..50 {
        put(&secrets, &version(n), &"x".repeat(2000)).await.unwrap();
    }
    eprintln!("put {:?}", t.elapsed() / 50);
    let t = std::time::Instant::now();
    for _ in 0..50 {
        current(&secrets).await;
    }
    eprintln!("get {:?}", t.elapsed() / 50);
    let t = std::time::Instant::now();
    e.shutdown().await;
    eprintln!("shutdown {:?}", t.elapsed());
}
