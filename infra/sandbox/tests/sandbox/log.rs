//! What tests can read about past requests, and what they must never find there.

use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn every_request_is_logged_with_fingerprints_and_never_with_tokens() {
    let sandbox = sandbox_with(json!({}));
    let code = new_code(&sandbox).await;
    let first = redeem(&sandbox, &code).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "invalid_grant");
    as_app(&sandbox, "/revoke", &[("token", &second.text("refresh_token"))]).await;
    as_app(&sandbox, "/introspect", &[("token", &second.text("access_token"))]).await;
    assert_dead(&sandbox, &second.text("access_token")).await;
    send(&sandbox, "GET", "/userinfo", &[], "").await;

    let log = sandbox.log();
    let told: Vec<_> = log.iter().map(|entry| (entry.path.as_str(), entry.status, entry.error.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("/token", 200, None),
            ("/token", 200, None),
            ("/token", 400, Some("invalid_grant")),
            ("/revoke", 200, None),
            ("/introspect", 200, None),
            ("/api/me", 401, Some("invalid_token")),
            ("/userinfo", 401, None),
        ]
    );
    assert_eq!(log[0].grant_type.as_deref(), Some("authorization_code"));
    assert!(log[0].code_verifier_present && log[0].code.as_ref().is_some_and(|code| code.len() == 12));
    assert_eq!(log[1].client_id.as_deref(), Some("app"));
    assert_eq!(log[1].refresh_token, log[2].refresh_token);
    assert!(log[1].refresh_token.is_some() && log[3].refresh_token.is_some());
    assert_ne!(log[3].refresh_token, log[1].refresh_token);

    let written = serde_json::to_string(&log).unwrap() + &format!("{log:?}");
    for secret in [&code, &first.text("access_token"), &second.text("refresh_token"), VERIFIER, "s3cret"] {
        assert!(!written.contains(secret));
    }
    sandbox.clear_log();
    assert!(sandbox.log().is_empty());
}

#[tokio::test]
async fn refused_clients_and_methods_are_logged_too() {
    let sandbox = sandbox_with(json!({}));
    post_form(&sandbox, "/token", &[("grant_type", "client_credentials"), ("client_id", "nobody")]).await;
    post_form(&sandbox, "/token", &[("grant_type", "client_credentials"), ("client_id", "app")]).await;
    send(&sandbox, "GET", "/token", &[], "").await;
    let log = sandbox.log();
    assert_eq!((log[0].status, log[0].client_id.as_deref()), (401, None));
    assert_eq!((log[1].status, log[1].client_id.as_deref()), (401, Some("app")));
    assert_eq!(log[2].status, 405);
}

#[tokio::test]
async fn a_token_request_is_logged_with_type_scope_and_name_but_not_the_password() {
    let sandbox = sandbox_with(json!({}));
    let ask = [("grant_type", "password"), ("username", "grace"), ("password", "pl4nted"), ("scope", "read write")];
    as_app(&sandbox, "/token", &ask).await.assert_error(400, "invalid_grant");
    let log = sandbox.log();
    assert_eq!(log[0].content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!((log[0].scope.as_deref(), log[0].username.as_deref()), (Some("read write"), Some("grace")));
    assert!(log[0].client_secret.as_ref().is_some_and(|secret| secret.len() == 12));
    let written = serde_json::to_string(&log).unwrap() + &format!("{log:?}");
    assert!(!written.contains("pl4nted") && !written.contains("s3cret"));
}
