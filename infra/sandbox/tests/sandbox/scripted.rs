//! Answers of `/token` and `/revoke` that a test dictates.

use grantkeeper_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::harness::*;
use crate::socket::over_a_socket;

fn scripted(sandbox: &Sandbox) -> Vec<(u16, Option<String>)> {
    sandbox.log().into_iter().map(|entry| (entry.status, entry.scripted)).collect()
}

#[tokio::test]
async fn token_answers_are_used_once_each_and_have_no_effect() {
    let sandbox = sandbox_with(json!({}));
    let token = tokens(&sandbox).await.text("refresh_token");
    let script = json!([
        503,
        { "status": 429, "headers": { "Retry-After": "7" }, "body": { "error": "slow_down" } },
        { "status": 200, "content_type": "text/html; charset=utf-8", "body": "<h1>Down</h1>" },
        { "status": 200, "body": "{\"access_token\": " },
    ]);
    register(&sandbox, "app", json!({ "token_answers": script }));
    let unavailable = refresh(&sandbox, &token).await;
    assert_eq!((unavailable.status.as_u16(), unavailable.body.as_str()), (503, ""));
    let slow = refresh(&sandbox, &token).await;
    slow.assert_error(429, "slow_down");
    assert_eq!((slow.header("retry-after"), slow.header("content-type")), ("7", "application/json"));
    let page = refresh(&sandbox, &token).await;
    assert_eq!((page.body.as_str(), page.header("content-type")), ("<h1>Down</h1>", "text/html; charset=utf-8"));
    let half = refresh(&sandbox, &token).await;
    assert_eq!((half.body.as_str(), half.header("content-type")), ("{\"access_token\": ", ""));
    assert_eq!(refresh(&sandbox, &token).await.status, 200);
    let answer = Some("answer".to_owned());
    let expected = [503, 429, 200, 200].map(|status| (status, answer.clone()));
    assert_eq!(scripted(&sandbox)[1..5], expected);
    assert_eq!(scripted(&sandbox)[5], (200, None));
    let log = sandbox.log();
    assert!(log.iter().skip(1).all(|entry| entry.refresh_token == log[1].refresh_token));
}

#[tokio::test]
async fn a_dropped_token_request_had_no_effect_and_one_dropped_after_had() {
    let sandbox = sandbox_with(json!({}));
    let token = tokens(&sandbox).await.text("refresh_token");
    register(&sandbox, "app", json!({ "token_answers": ["drop", "drop_after"] }));
    let ask = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert_eq!(over_a_socket(&sandbox, "/token", &ask).await, "");
    assert_eq!(sandbox.grants()[0].usable_refresh_tokens, [sandbox.log()[1].refresh_token.clone().unwrap()]);
    assert_eq!(over_a_socket(&sandbox, "/token", &ask).await, "");
    assert_eq!(sandbox.grants()[0].refresh_tokens.len(), 2);
    let answer = over_a_socket(&sandbox, "/token", &ask).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("invalid_grant"), "{answer}");
    assert_eq!(scripted(&sandbox)[1..], [(0, Some("drop".into())), (0, Some("drop_after".into())), (400, None)]);
}

#[tokio::test]
async fn revoke_answers_are_used_once_each_and_counted() {
    let sandbox = sandbox_with(json!({}));
    let token = tokens(&sandbox).await.text("refresh_token");
    register(&sandbox, "app", json!({ "revoke_answers": [503, "drop", 500] }));
    let ask = [("token", token.as_str())];
    assert_eq!(as_app(&sandbox, "/revoke", &ask).await.status, 503);
    assert_eq!(over_a_socket(&sandbox, "/revoke", &ask).await, "");
    assert_eq!(as_app(&sandbox, "/revoke", &ask).await.status, 500);
    assert!(sandbox.grants()[0].alive);
    assert_eq!(as_app(&sandbox, "/revoke", &ask).await.status, 200);
    assert!(!sandbox.grants()[0].alive);
    let answer = |status| (status, Some("answer".to_owned()));
    assert_eq!(scripted(&sandbox)[1..], [answer(503), (0, Some("drop".into())), answer(500), (200, None)]);
}

#[tokio::test]
async fn impossible_answers_are_refused() {
    let sandbox = sandbox_with(json!({}));
    let impossible: [Value; 5] = [
        json!([100]),
        json!(["vanish"]),
        json!([{ "body": "" }]),
        json!([{ "status": 200, "headers": { "a b": "c" } }]),
        json!([{ "status": 200, "content_type": "a\nb" }]),
    ];
    for answers in impossible {
        let body = json!({ "token_answers": answers }).to_string();
        let patch = send(&sandbox, "PATCH", "/admin/clients/app", &[("content-type", "application/json")], &body).await;
        assert_eq!(patch.status, 400, "{body}");
    }
}
