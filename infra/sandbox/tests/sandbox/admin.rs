//! The admin endpoints, and who is kept out of them.

use grantkeeper_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::harness::*;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn admin(sandbox: &Sandbox, method: &str, path: &str, body: Value) -> Answer {
    send(sandbox, method, path, &[JSON], &body.to_string()).await
}

#[tokio::test]
async fn a_client_is_put_listed_and_patched_and_its_secret_never_shown() {
    let sandbox = open();
    let settings = json!({ "client_secret": "s3cret", "redirect_uris": [REDIRECT_URI], "auto_consent": "ada" });
    assert_eq!(admin(&sandbox, "PUT", "/admin/clients/app", settings.clone()).await.status, 201);
    let again = admin(&sandbox, "PUT", "/admin/clients/app", settings).await;
    assert_eq!(again.status, 200);
    assert!(!again.body.contains("s3cret"));
    let first = tokens(&sandbox).await;

    let patch = json!({ "refresh_token": "static", "access_token_seconds": null });
    let patched = admin(&sandbox, "PATCH", "/admin/clients/app", patch).await;
    assert_eq!((patched.status.as_u16(), patched.text("refresh_token").as_str()), (200, "static"));
    let next = refresh(&sandbox, &first.text("refresh_token")).await;
    assert_eq!(next.text("refresh_token"), first.text("refresh_token"));
    assert_eq!(next.json().get("expires_in"), None);

    let list = send(&sandbox, "GET", "/admin/clients", &[], "").await;
    assert!(!list.body.contains("s3cret"));
    assert_eq!(list.json()[0]["client_id"], "app");
    assert_eq!((&list.json()[0]["has_secret"], &list.json()[0]["require_pkce"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_and_change_nothing() {
    let sandbox = sandbox_with(json!({}));
    let before = send(&sandbox, "GET", "/admin/clients", &[], "").await.body;
    let nonsense = [
        json!({ "unknown": 1 }),
        json!({ "client_id": "other" }),
        json!({ "client_secret": "" }),
        json!({ "redirect_uris": ["/relative"] }),
        json!({ "redirect_uris": ["https://a.example/#fragment"] }),
        json!({ "redirect_uris": ["javascript:alert(1)"] }),
        json!({ "scopes": ["two words"] }),
        json!({ "grant_types": ["implicit"] }),
        json!({ "refresh_token": "sometimes" }),
        json!({ "grace_seconds": -1 }),
        json!({ "delay_ms": 60_001 }),
        json!({ "auto_consent": "" }),
        json!({ "client_secrets": [""] }),
        json!({ "extra_scopes": ["two words"] }),
        json!({ "token_request": { "unknown": 1 } }),
        json!({ "token_request": { "method": "G T" } }),
        json!({ "token_response": { "root": "data" } }),
        json!({ "token_response": { "scope_separator": "" } }),
        json!({ "token_response": { "expires_in_format": "hours" } }),
        json!({ "api_header": { "name": "a b" } }),
        json!([]),
    ];
    for settings in nonsense {
        for method in ["PUT", "PATCH"] {
            let answer = admin(&sandbox, method, "/admin/clients/app", settings.clone()).await;
            assert_eq!(answer.status, 400, "{method} {settings}");
        }
    }
    assert_eq!(admin(&sandbox, "PATCH", "/admin/clients/nobody", json!({})).await.status, 404);
    assert_eq!(send(&sandbox, "GET", "/admin/clients", &[], "").await.body, before);
}

#[tokio::test]
async fn the_clock_moves_and_tells_where_it_stands() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let moved = admin(&sandbox, "POST", "/admin/clock", json!({ "advance_seconds": 3601 })).await;
    assert_eq!(moved.json(), json!({ "offset_seconds": 3601 }));
    assert_dead(&sandbox, &first.text("access_token")).await;
    let back = admin(&sandbox, "POST", "/admin/clock", json!({ "advance_seconds": -3601 })).await;
    assert_eq!(back.json(), json!({ "offset_seconds": 0 }));
}

#[tokio::test]
async fn revoking_a_user_ends_all_grants_and_codes_of_that_user_only() {
    let sandbox = sandbox_with(json!({}));
    let ada = tokens(&sandbox).await;
    let code = new_code(&sandbox).await;
    register(&sandbox, "app", json!({ "auto_consent": "grace" }));
    let grace = tokens(&sandbox).await;
    let answer = admin(&sandbox, "POST", "/admin/revoke", json!({ "user": "ada" })).await;
    assert_eq!(answer.json(), json!({ "revoked": 2 }));
    assert_dead(&sandbox, &ada.text("access_token")).await;
    refresh(&sandbox, &ada.text("refresh_token")).await.assert_error(400, "invalid_grant");
    redeem(&sandbox, &code).await.assert_error(400, "invalid_grant");
    assert_valid(&sandbox, &grace.text("access_token")).await;
}

#[tokio::test]
async fn the_log_is_read_and_cleared() {
    let sandbox = sandbox_with(json!({}));
    tokens(&sandbox).await;
    let log = send(&sandbox, "GET", "/admin/log", &[], "").await.json();
    assert_eq!((&log[0]["path"], &log[0]["status"]), (&json!("/token"), &json!(200)));
    assert_eq!(send(&sandbox, "DELETE", "/admin/log", &[], "").await.status, 204);
    assert_eq!(send(&sandbox, "GET", "/admin/log", &[], "").await.json(), json!([]));
}

#[tokio::test]
async fn a_web_page_cannot_drive_the_admin_endpoints() {
    let sandbox = sandbox_with(json!({}));
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let headers = [("content-type", content_type)];
        for (method, path) in [("PUT", "/admin/clients/app"), ("PATCH", "/admin/clients/app"), ("POST", "/admin/clock")]
        {
            assert_eq!(send(&sandbox, method, path, &headers, "{}").await.status, 415, "{method} {content_type}");
        }
    }
    let strangers = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:8091"),
        ("host", "evil.example:8090"),
        ("host", "127.0.0.1.evil.example"),
    ];
    for stranger in strangers {
        for (method, path) in [("GET", "/admin/clients"), ("GET", "/admin/log"), ("DELETE", "/admin/log")] {
            assert_eq!(send(&sandbox, method, path, &[stranger], "").await.status, 403, "{stranger:?}");
        }
    }
    for friend in [("origin", ISSUER), ("host", "127.0.0.1:8090"), ("host", "localhost:1"), ("host", "[::1]:1")] {
        assert_eq!(send(&sandbox, "GET", "/admin/log", &[friend], "").await.status, 200, "{friend:?}");
    }
}

#[tokio::test]
async fn grants_are_listed_by_fingerprint_and_outlive_their_end() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    register(&sandbox, "other", json!({ "auto_consent": "grace" }));
    let password = [("grant_type", "password"), ("username", "grace"), ("password", "sandbox")];
    as_client(&sandbox, "other", "/token", &password).await;
    let listed = |query: &'static str| {
        let sandbox = sandbox.clone();
        async move { send(&sandbox, "GET", &format!("/admin/grants{query}"), &[], "").await }
    };
    let all = listed("").await;
    assert!(!all.body.contains("sbx_rt_"));
    assert_eq!(all.json().as_array().unwrap().len(), 2);
    let of_ada = listed("?user=ada&client_id=app").await.json();
    assert_eq!(of_ada.as_array().unwrap().len(), 1);
    assert_eq!((&of_ada[0]["alive"], &of_ada[0]["grant_type"]), (&json!(true), &json!("authorization_code")));
    assert_eq!(of_ada[0]["refresh_tokens"].as_array().unwrap().len(), 2);
    assert_eq!(of_ada[0]["usable_refresh_tokens"].as_array().unwrap().len(), 1);
    for nobody in ["?user=ada&client_id=other", "?user=Ada", "?client_id=ap"] {
        assert_eq!(listed(nobody).await.json(), json!([]));
    }
    assert_eq!(listed("?usr=ada").await.status, 400);

    as_app(&sandbox, "/revoke", &[("token", &second.text("refresh_token"))]).await;
    let dead = listed("?user=ada").await.json();
    assert_eq!((&dead[0]["alive"], &dead[0]["usable_refresh_tokens"]), (&json!(false), &json!([])));
    assert_eq!(dead[0]["refresh_tokens"].as_array().unwrap().len(), 2);
    let shown = sandbox.log().last().unwrap().refresh_token.clone().unwrap();
    assert!(dead[0]["refresh_tokens"].as_array().unwrap().contains(&json!(shown)));
    assert_eq!(listed("?user=grace").await.json()[0]["alive"], true);
}
