//! The API behind the access tokens: echo, scopes, audiences, headers and keys (RFC 6750, RFC 8707).

use grantkeeper_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::harness::*;

async fn access_token(sandbox: &Sandbox) -> String {
    tokens(sandbox).await.text("access_token")
}

#[tokio::test]
async fn echo_tells_what_arrived() {
    let sandbox = sandbox_with(json!({}));
    let authorization = format!("Bearer {}", access_token(&sandbox).await);
    let headers = [("authorization", authorization.as_str()), ("x-a", "1"), ("x-a", "2")];
    let echo = send(&sandbox, "GET", "/api/echo?q=a%20b&q=2", &headers, "").await.json();
    assert_eq!(
        (&echo["method"], &echo["path"], &echo["query"]),
        (&json!("GET"), &json!("/api/echo"), &json!("q=a%20b&q=2"))
    );
    assert_eq!(echo["headers"], json!({ "authorization": authorization, "x-a": "1, 2" }));
    assert_eq!(send(&sandbox, "DELETE", "/api/echo", &headers, "").await.text("method"), "DELETE");
    assert_eq!(send(&sandbox, "GET", "/api/echo", &[], "").await.status, 401);
}

#[tokio::test]
async fn the_token_is_taken_only_in_the_header_and_prefix_that_are_set() {
    let places: [(Value, &str, &str); 3] = [
        (json!({ "name": "X-Access-Token", "prefix": "" }), "x-access-token", ""),
        (json!({ "prefix": "Token" }), "authorization", "Token "),
        (json!({ "name": "X-Auth" }), "x-auth", "Bearer "),
    ];
    for (setting, name, prefix) in places {
        let sandbox = sandbox_with(json!({ "api_header": setting }));
        let token = access_token(&sandbox).await;
        let right = send(&sandbox, "GET", "/api/me", &[(name, &format!("{prefix}{token}"))], "").await;
        assert_eq!(right.status, 200, "{}", right.body);
        assert_eq!(get_as(&sandbox, "/api/me", &token).await.status, 401);
        let unknown = send(&sandbox, "GET", "/api/me", &[(name, &format!("{prefix}x"))], "").await;
        unknown.assert_error(401, "invalid_token");
        // Standard clients read the claims about the person.
        assert_eq!(get_as(&sandbox, "/userinfo", &token).await.text("sub"), "ada");
    }
}

#[tokio::test]
async fn clients_with_different_headers_live_side_by_side() {
    let sandbox = sandbox_with(json!({ "api_header": { "name": "X-Token", "prefix": "" } }));
    let special = access_token(&sandbox).await;
    register(&sandbox, "plain", json!({}));
    let plain = as_client(&sandbox, "plain", "/token", &[("grant_type", "client_credentials")]).await;
    assert_valid(&sandbox, &plain.text("access_token")).await;
    assert_eq!(send(&sandbox, "GET", "/api/me", &[("x-token", &special)], "").await.status, 200);
    assert_dead(&sandbox, &special).await;
    assert_eq!(send(&sandbox, "GET", "/api/me", &[("x-token", &plain.text("access_token"))], "").await.status, 401);
}

#[tokio::test]
async fn a_missing_scope_is_named_and_an_expired_token_is_another_matter() {
    let sandbox = sandbox_with(json!({ "extra_scopes": ["https://scopes.example/files.read"] }));
    let token = access_token(&sandbox).await;
    for scope in ["read", "https://scopes.example/files.read"] {
        assert_eq!(get_as(&sandbox, &format!("/api/needs/{scope}"), &token).await.text("scope"), scope);
    }
    let refused = get_as(&sandbox, "/api/needs/admin:all", &token).await;
    refused.assert_error(403, "insufficient_scope");
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains(r#"error="insufficient_scope""#) && challenge.contains(r#"scope="admin:all""#));
    assert_eq!(get_as(&sandbox, "/api/needs/a%22b", &token).await.status, 404);
    sandbox.advance_clock(3601);
    get_as(&sandbox, "/api/needs/admin:all", &token).await.assert_error(401, "invalid_token");
    let log = sandbox.log();
    assert_eq!(log[3].error.as_deref(), Some("insufficient_scope"));
}

#[tokio::test]
async fn a_token_for_no_or_another_audience_is_refused_and_told_why() {
    let sandbox = sandbox_with(json!({ "api_audience": "https://api.example" }));
    let refused = get_as(&sandbox, "/api/me", &access_token(&sandbox).await).await;
    refused.assert_error(401, "invalid_token");
    assert!(refused.header("www-authenticate").contains("audience"));
    assert!(refused.text("error_description").contains("audience"));
    for name in ["audience", "resource"] {
        let grant = [("grant_type", "client_credentials"), (name, "https://api.example")];
        assert_valid(&sandbox, &as_app(&sandbox, "/token", &grant).await.text("access_token")).await;
        let grant = [("grant_type", "client_credentials"), (name, "https://other.example")];
        assert_dead(&sandbox, &as_app(&sandbox, "/token", &grant).await.text("access_token")).await;
    }
}

#[tokio::test]
async fn an_audience_asked_for_once_lasts_through_refreshes_until_another_is_asked_for() {
    let sandbox = sandbox_with(json!({ "api_audience": "a", "auto_consent": null }));
    // Through the consent page, which carries every one of them.
    let asked = authorize_parameters(&[("resource", "b"), ("audience", "a")]);
    let page = send(&sandbox, "GET", &format!("/authorize?{}&resource=c", form(&asked)), &[], "").await;
    for value in ["b", "c"] {
        assert!(page.body.contains(&format!(r#"name="resource" value="{value}""#)));
    }
    let decided = [asked, vec![("decision", "allow"), ("username", "ada")]].concat();
    let code = post_form(&sandbox, "/authorize", &decided).await.redirect_parameter("code").unwrap();
    let first = redeem(&sandbox, &code).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    for answer in [&first, &second] {
        assert_valid(&sandbox, &answer.text("access_token")).await;
    }
    let refresh_token = second.text("refresh_token");
    let other = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str()), ("resource", "b")];
    let third = as_app(&sandbox, "/token", &other).await;
    assert_dead(&sandbox, &third.text("access_token")).await;
    let password = [("grant_type", "password"), ("username", "ada"), ("password", "sandbox"), ("audience", "a")];
    let first = as_app(&sandbox, "/token", &password).await;
    assert_valid(&sandbox, &refresh(&sandbox, &first.text("refresh_token")).await.text("access_token")).await;
}

#[tokio::test]
async fn a_key_opens_its_own_door() {
    let sandbox = sandbox_with(json!({ "api_keys": ["k-1", "k-2"] }));
    for key in ["k-1", "k-2"] {
        let answer = send(&sandbox, "GET", "/api/key", &[("x-api-key", key)], "").await;
        assert_eq!((answer.status.as_u16(), answer.text("client_id").as_str()), (200, "app"));
    }
    for headers in [vec![], vec![("x-api-key", "k-3")], vec![("authorization", "Bearer k-1")]] {
        send(&sandbox, "GET", "/api/key", &headers, "").await.assert_error(401, "invalid_key");
    }
    let list = send(&sandbox, "GET", "/admin/clients", &[], "").await;
    assert_eq!(list.json()[0]["api_key_count"], 2);
    assert!(!list.body.contains("k-1"));
    assert!(!serde_json::to_string(&sandbox.log()).unwrap().contains("k-1"));
}
