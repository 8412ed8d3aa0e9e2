//! The data file: what was answered is in it, and nobody can use what is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use grantkeeper_sandbox::{Options, Sandbox};
use serde_json::json;

use crate::harness::*;

fn options(directory: &tempfile::TempDir) -> Options {
    Options { issuer: ISSUER.into(), data_file: Some(directory.path().join("deep/state.json")) }
}

#[tokio::test]
async fn everything_but_the_log_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::open(options(&directory)).unwrap();
    register(&sandbox, "app", json!({ "reuse_penalty": "token" }));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    let pending = new_code(&sandbox).await;
    sandbox.advance_clock(30);
    let keys = send(&sandbox, "GET", "/jwks", &[], "").await.json();
    drop(sandbox);

    let sandbox = Sandbox::open(options(&directory)).unwrap();
    assert_eq!(send(&sandbox, "GET", "/jwks", &[], "").await.json(), keys);
    assert!(sandbox.log().is_empty());
    assert_valid(&sandbox, &second.text("access_token")).await;
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "invalid_grant");
    assert_eq!(refresh(&sandbox, &second.text("refresh_token")).await.status, 200);
    assert_eq!(redeem(&sandbox, &pending).await.status, 200);
    sandbox.advance_clock(3600 - 30);
    assert_dead(&sandbox, &second.text("access_token")).await;
}

#[tokio::test]
async fn the_file_is_private_and_holds_no_usable_token() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::open(options(&directory)).unwrap();
    register(&sandbox, "app", json!({}));
    let code = new_code(&sandbox).await;
    let first = redeem(&sandbox, &code).await;
    let path = options(&directory).data_file.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written = fs::read_to_string(&path).unwrap();
    assert!(!written.contains(&first.text("refresh_token")) && !written.contains(&first.text("access_token")));
    assert!(!written.contains(&code));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no leftover of the replacement");
}

#[tokio::test]
async fn a_save_that_fails_leaves_the_token_unspent() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::open(options(&directory)).unwrap();
    register(&sandbox, "app", json!({}));
    let first = tokens(&sandbox).await;
    // A directory in the way of the replacement.
    let obstacle = directory.path().join("deep/state.json.new");
    fs::create_dir(&obstacle).unwrap();
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(500, "server_error");
    authorize(&sandbox, &[]).await.assert_redirect_error("server_error");
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(refresh(&sandbox, &first.text("refresh_token")).await.status, 200);
}

#[test]
fn a_file_that_is_not_ours_is_refused_without_quoting_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.json");
    for content in ["", "{", "{\"signing_key\":\"planted\"}", "\"planted\""] {
        fs::write(&path, content).unwrap();
        let error = Sandbox::open(Options { issuer: ISSUER.into(), data_file: Some(path.clone()) }).err().unwrap();
        assert!(!format!("{error:#}").contains("planted"));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn the_issuer_must_be_an_origin() {
    for issuer in ["", "sandbox", "ftp://a/", "http://a/b", "http://a/?q", "http://a/#f"] {
        assert!(Sandbox::open(Options { issuer: issuer.into(), data_file: None }).is_err(), "{issuer}");
    }
}
