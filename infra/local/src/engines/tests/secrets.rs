use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_sdk_secretsmanager::Client as SecretsManager;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
use tempfile::TempDir;

use crate::engines::{Engines, background};

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
    let put = secrets.put_secret_value().secret_id(NAME).client_request_token(token).secret_string(value).send().await;
    put.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned())
}

/// The version that `AWSCURRENT` names and its value.
async fn current(secrets: &SecretsManager) -> (String, String) {
    let got = secrets.get_secret_value().secret_id(NAME).send().await.unwrap();
    (got.version_id.unwrap(), got.secret_string.unwrap())
}

async fn value_of(secrets: &SecretsManager, id: &str) -> Option<String> {
    secrets.get_secret_value().secret_id(NAME).version_id(id).send().await.ok()?.secret_string
}

fn append(file: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(bytes).unwrap();
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
    assert_eq!(std::fs::metadata(&journal).unwrap().len(), 0, "folded into the snapshot");
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
    append(&data.path().join("secrets.journal"), b"{\"name\":\"a\",\"secret\":\"hunter2\"}\n{}\n");
    let error = format!("{:#}", Engines::start(Some(data.path())).await.err().unwrap());
    assert!(error.contains("secrets.journal is damaged"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn files_are_for_their_owner_only_and_for_one_process() {
    let parent = TempDir::new().unwrap();
    let data = parent.path().join("data");
    let (engines, secrets) = secrets_in(Some(&data)).await;
    secrets.create_secret().name(NAME).secret_string("one").send().await.unwrap();
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
    assert_eq!(put(&secrets, &version(1), "other").await.unwrap_err(), "ResourceExistsException");
    put(&secrets, &version(1), "one").await.unwrap();
    assert_eq!(current(&secrets).await, (version(2), "two".to_owned()), "no label moved");
    assert_eq!(put(&secrets, "short", "three").await.unwrap_err(), "InvalidParameterException");
    assert_eq!(put(&secrets, &version(3), &"x".repeat(65_537)).await.unwrap_err(), "InvalidParameterException");
}

#[tokio::test]
async fn superseded_versions_stay_readable_and_the_oldest_are_dropped() {
    let (_engines, secrets) = secrets_in(None).await;
    secrets.create_secret().name(NAME).send().await.unwrap();
    for number in 1..=25 {
        put(&secrets, &version(number), &format!("value {number}")).await.unwrap();
    }
    // 25 is AWSCURRENT, 24 AWSPREVIOUS, and 20 without a label are kept.
    let previous = secrets.get_secret_value().secret_id(NAME).version_stage("AWSPREVIOUS").send().await.unwrap();
    assert_eq!(previous.version_id, Some(version(24)));
    assert_eq!(value_of(&secrets, &version(4)).await.as_deref(), Some("value 4"));
    assert_eq!(value_of(&secrets, &version(3)).await, None);
}

#[tokio::test]
async fn a_deleted_secret_keeps_its_name_and_can_be_restored() {
    let data = TempDir::new().unwrap();
    let (engines, secrets) = secrets_in(Some(data.path())).await;
    secrets.create_secret().name(NAME).secret_string("one").send().await.unwrap();
    secrets.create_secret().name("gk/demo/gone").secret_string("one").send().await.unwrap();
    secrets.delete_secret().secret_id(NAME).recovery_window_in_days(7).send().await.unwrap();
    secrets.delete_secret().secret_id("gk/demo/gone").force_delete_without_recovery(true).send().await.unwrap();
    engines.shutdown().await;

    let (_engines, secrets) = secrets_in(Some(data.path())).await;
    let refused = secrets.create_secret().name(NAME).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidRequestException"));
    assert_eq!(put(&secrets, &version(1), "two").await.unwrap_err(), "InvalidRequestException");
    secrets.restore_secret().secret_id(NAME).send().await.unwrap();
    assert_eq!(current(&secrets).await.1, "one");
    let gone = secrets.get_secret_value().secret_id("gk/demo/gone").send().await.unwrap_err();
    assert_eq!(gone.code(), Some("ResourceNotFoundException"));
    assert!(!std::fs::read_to_string(data.path().join("secrets.json")).unwrap().contains("gk/demo/gone"));
}

#[tokio::test]
async fn concurrent_writes_of_different_secrets_all_land() {
    let data = TempDir::new().unwrap();
    let (engines, secrets) = secrets_in(Some(data.path())).await;
    let writes = (0..40).map(|number| {
        let secrets = secrets.clone();
        background(async move {
            secrets.create_secret().name(format!("s{number}")).secret_string("value").send().await.unwrap();
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    drop(engines);
    let (_engines, secrets) = secrets_in(Some(data.path())).await;
    assert_eq!(secrets.list_secrets().send().await.unwrap().secret_list().len(), 40);
}
