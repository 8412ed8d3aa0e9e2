//! Revocation (RFC 7009) and introspection (RFC 7662).

use grantkeeper_sandbox::Sandbox;
use serde_json::json;

use crate::harness::*;

async fn revoke(sandbox: &Sandbox, token: &str) -> Answer {
    as_app(sandbox, "/revoke", &[("token", token), ("token_type_hint", "refresh_token")]).await
}

async fn is_active(sandbox: &Sandbox, token: &str) -> bool {
    let answer = as_app(sandbox, "/introspect", &[("token", token)]).await.json();
    if answer["active"] == false {
        assert_eq!(answer, json!({ "active": false }));
    }
    answer["active"] == true
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_grant() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let other = tokens(&sandbox).await;
    assert_eq!(revoke(&sandbox, &first.text("refresh_token")).await.status, 200);
    assert_dead(&sandbox, &first.text("access_token")).await;
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "invalid_grant");
    assert_valid(&sandbox, &other.text("access_token")).await;
}

#[tokio::test]
async fn revoking_an_access_token_ends_only_that_one() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    assert_eq!(revoke(&sandbox, &first.text("access_token")).await.status, 200);
    assert_dead(&sandbox, &first.text("access_token")).await;
    assert_eq!(refresh(&sandbox, &first.text("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn revoking_a_spent_refresh_token_changes_nothing() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    assert_eq!(revoke(&sandbox, &first.text("refresh_token")).await.status, 200);
    assert_valid(&sandbox, &second.text("access_token")).await;
}

#[tokio::test]
async fn an_unknown_token_is_revoked_already() {
    let sandbox = sandbox_with(json!({}));
    assert_eq!(revoke(&sandbox, "sbx_rt_unknown").await.status, 200);
    as_app(&sandbox, "/revoke", &[]).await.assert_error(400, "invalid_request");
    post_form(&sandbox, "/revoke", &[("token", "x")]).await.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn another_client_can_neither_revoke_nor_inspect_a_token() {
    let sandbox = sandbox_with(json!({}));
    register(&sandbox, "other", json!({}));
    let first = tokens(&sandbox).await;
    for kind in ["access_token", "refresh_token"] {
        let token = first.text(kind);
        let refused = as_client(&sandbox, "other", "/revoke", &[("token", &token)]).await;
        refused.assert_error(400, "invalid_grant");
        let hidden = as_client(&sandbox, "other", "/introspect", &[("token", &token)]).await;
        assert_eq!(hidden.json(), json!({ "active": false }));
        assert!(is_active(&sandbox, &token).await);
    }
}

#[tokio::test]
async fn introspection_describes_a_valid_token() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let access = as_app(&sandbox, "/introspect", &[("token", &first.text("access_token"))]).await.json();
    assert_eq!(access["scope"], "openid profile read");
    assert_eq!(
        (&access["client_id"], &access["username"], &access["sub"]),
        (&json!("app"), &json!("ada"), &json!("ada"))
    );
    assert_eq!((&access["token_type"], &access["iss"]), (&json!("Bearer"), &json!(ISSUER)));
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 3600);
    let refresh_token = as_app(&sandbox, "/introspect", &[("token", &first.text("refresh_token"))]).await.json();
    assert_eq!((&refresh_token["active"], refresh_token.get("token_type")), (&json!(true), None));
}

#[tokio::test]
async fn introspection_follows_expiry_rotation_and_revocation() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    assert!(!is_active(&sandbox, &first.text("refresh_token")).await);
    assert!(is_active(&sandbox, &second.text("refresh_token")).await);
    sandbox.advance_clock(3601);
    assert!(!is_active(&sandbox, &second.text("access_token")).await);
    revoke(&sandbox, &second.text("refresh_token")).await;
    assert!(!is_active(&sandbox, &second.text("refresh_token")).await);
    assert!(!is_active(&sandbox, "nonsense").await);
}
