//! What goes wrong with one request or its answer, before or after it took effect.

use std::time::{Duration, Instant};

use grantkeeper_sandbox::{AnswerFate, Sandbox};
use serde_json::{Value, json};

use crate::harness::*;
use crate::socket::{hang_up_after, over_a_socket};

/// A sandbox with a grant, the next token request of which meets this fault; and the grant's refresh token.
async fn faulty(fault: Value) -> (Sandbox, String) {
    faulty_with(json!({}), fault).await
}

async fn faulty_with(mut settings: Value, fault: Value) -> (Sandbox, String) {
    let sandbox = sandbox_with(settings.clone());
    let token = tokens(&sandbox).await.text("refresh_token");
    settings["token_answers"] = json!([fault]);
    register(&sandbox, "app", settings);
    sandbox.clear_log();
    (sandbox, token)
}

fn ask(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

/// How many refresh tokens the one grant was given.
fn given_out(sandbox: &Sandbox) -> usize {
    sandbox.grants()[0].refresh_tokens.len()
}

fn logged(sandbox: &Sandbox) -> (u16, String, Option<String>) {
    let entry = sandbox.log().pop().unwrap();
    (entry.status, entry.scripted.unwrap_or_default(), entry.error)
}

#[tokio::test]
async fn every_answer_is_spoiled_before_or_after_the_effect() {
    let faults = [
        (json!({ "fault": "drop" }), "drop", 0, AnswerFate::Lost),
        (json!({ "fault": "hang", "delay_ms": 1 }), "hang", 0, AnswerFate::Lost),
        (json!({ "fault": "status", "status": 500 }), "status", 500, AnswerFate::Spoiled),
        (json!({ "fault": "garbage" }), "garbage", 200, AnswerFate::Spoiled),
        (json!({ "fault": "oauth_error", "error": "slow_down" }), "oauth_error", 400, AnswerFate::Spoiled),
    ];
    for (fault, name, status, fate) in faults {
        for (after_commit, refresh_tokens) in [(false, 1), (true, 2)] {
            let mut fault = fault.clone();
            fault["after_commit"] = json!(after_commit);
            let (sandbox, token) = faulty(fault).await;
            let answer = over_a_socket(&sandbox, "/token", &ask(&token)).await;
            assert!(!answer.contains("sbx_rt_"), "{name}: {answer}");
            assert_eq!(answer.is_empty(), fate == AnswerFate::Lost, "{name}: {answer}");
            assert_eq!(given_out(&sandbox), refresh_tokens, "{name}");
            let (logged_status, word, error) = logged(&sandbox);
            let suffix = if after_commit { "_after" } else { "" };
            assert_eq!((logged_status, word), (status, format!("{name}{suffix}")));
            assert_eq!(error, (name == "oauth_error").then(|| "slow_down".to_owned()));
            let presented = sandbox.presented();
            assert_eq!((presented[0].accepted, presented[0].answer), (after_commit, fate), "{name}");
            // Once: the next is as usual, and tells whether the token was spent.
            let next = if after_commit { 400 } else { 200 };
            assert_eq!(refresh(&sandbox, &token).await.status, next, "{name}");
        }
    }
}

#[tokio::test]
async fn statuses_and_errors_carry_what_they_are_told_to() {
    let (sandbox, token) = faulty(json!({ "fault": "status", "status": 503, "retry_after": 30 })).await;
    let answer = refresh(&sandbox, &token).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after"), answer.body.as_str()), (503, "30", ""));

    let (sandbox, token) = faulty(json!({ "fault": "oauth_error" })).await;
    refresh(&sandbox, &token).await.assert_error(400, "invalid_grant");
    assert_eq!(refresh(&sandbox, &token).await.status, 200, "the grant stands nevertheless");

    let (sandbox, token) = faulty(json!({ "fault": "oauth_error", "error": "invalid_client" })).await;
    refresh(&sandbox, &token).await.assert_error(401, "invalid_client");

    let busy = json!({ "fault": "oauth_error", "error": "temporarily_unavailable", "status": 503, "retry_after": 7 });
    let (sandbox, token) = faulty(busy).await;
    let answer = refresh(&sandbox, &token).await;
    answer.assert_error(503, "temporarily_unavailable");
    assert_eq!((answer.header("retry-after"), answer.header("content-type")), ("7", "application/json"));

    let (sandbox, token) = faulty(json!({ "fault": "oauth_error", "after_commit": true })).await;
    patch(&sandbox, json!({ "token_response": { "errors_in_200": true, "form_encoded": true } })).await;
    let answer = refresh(&sandbox, &token).await;
    assert_eq!((answer.status.as_u16(), given_out(&sandbox)), (200, 2));
    assert!(answer.body.contains("error=invalid_grant") && answer.body.contains("ok=false"), "{}", answer.body);
}

#[tokio::test]
async fn a_real_answer_is_cut_in_the_middle_of_its_body() {
    for (full_length, is_short) in [(json!(true), true), (json!(null), true), (json!(false), false)] {
        let (sandbox, token) = faulty(json!({ "fault": "truncate", "full_length": full_length })).await;
        let answer = over_a_socket(&sandbox, "/token", &ask(&token)).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let lengths =
            head.lines().filter_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let lengths: Vec<usize> = lengths.collect();
        assert_eq!(lengths.len(), 1, "{head}");
        assert!(body.contains("sbx_at_") && serde_json::from_str::<Value>(body).is_err(), "{body}");
        if is_short {
            assert_eq!(lengths[0] / 2, body.len(), "{answer}");
        } else {
            assert_eq!(lengths[0], body.len(), "{answer}");
        }
        assert_eq!((given_out(&sandbox), logged(&sandbox).1.as_str()), (2, "truncate_after"));
    }
}

#[tokio::test]
async fn an_error_answer_is_cut_as_well_and_an_empty_one_lacks_a_byte() {
    let (sandbox, _) = faulty(json!({ "fault": "truncate", "full_length": false })).await;
    let answer = refresh(&sandbox, "unknown").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (400, Value::Null));
    assert!(answer.body.starts_with('{'));

    register(&sandbox, "app", json!({ "revoke_answers": [{ "fault": "truncate" }] }));
    let answer = over_a_socket(&sandbox, "/revoke", &[("token", "unknown")]).await;
    assert!(answer.to_lowercase().contains("content-length: 1\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn garbage_is_a_page_or_bytes_or_nothing() {
    for (body, content_type, contains) in [
        ("html", "text/html; charset=utf-8", "<h1>"),
        ("bytes", "application/json", "\u{fffd}"),
        ("empty", "application/json", "\r\n\r\n"),
    ] {
        let (sandbox, token) = faulty(json!({ "fault": "garbage", "body": body, "after_commit": true })).await;
        let answer = over_a_socket(&sandbox, "/token", &ask(&token)).await;
        assert!(answer.contains(&format!("content-type: {content_type}\r\n")) && answer.contains(contains), "{answer}");
        assert_eq!(given_out(&sandbox), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_lasts_a_minute_unless_told_otherwise() {
    for (fault, seconds) in [(json!({ "fault": "hang" }), 60), (json!({ "fault": "hang", "delay_ms": 5000 }), 5)] {
        let (sandbox, token) = faulty(fault).await;
        let start = tokio::time::Instant::now();
        assert_eq!(over_a_socket(&sandbox, "/token", &ask(&token)).await, "");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn a_hang_ends_when_the_caller_hangs_up() {
    for (after_commit, refresh_tokens) in [(false, 1), (true, 2)] {
        let (sandbox, token) = faulty(json!({ "fault": "hang", "after_commit": after_commit })).await;
        let start = Instant::now();
        hang_up_after(&sandbox, "/token", &ask(&token), Duration::from_millis(300)).await;
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        assert_eq!((given_out(&sandbox), sandbox.presented()[0].answer), (refresh_tokens, AnswerFate::Lost));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_comes_after_the_effect_or_before_it() {
    let waits = json!({ "fault": "delay", "delay_ms": 5000 });
    let (sandbox, token) = faulty(waits).await;
    let start = tokio::time::Instant::now();
    assert_eq!(refresh(&sandbox, &token).await.status, 200);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!((logged(&sandbox).1.as_str(), sandbox.presented()[0].answer), ("delay_after", AnswerFate::Sent));

    let brief = Duration::from_secs(4);
    for (after_commit, refresh_tokens, entries) in [(true, 2, 1), (false, 1, 0)] {
        let waits = json!({ "fault": "delay", "delay_ms": 5000, "after_commit": after_commit });
        let (sandbox, token) = faulty(waits).await;
        assert!(tokio::time::timeout(brief, refresh(&sandbox, &token)).await.is_err());
        assert_eq!((given_out(&sandbox), sandbox.log().len()), (refresh_tokens, entries));
        let presented = sandbox.presented();
        assert_eq!((presented[0].accepted, presented[0].answer), (after_commit, AnswerFate::Lost));
    }
}

#[tokio::test(start_paused = true)]
async fn any_fault_may_come_late_and_the_client_s_own_delay_is_added() {
    let late = json!({ "fault": "status", "status": 504, "delay_ms": 3000 });
    let (sandbox, token) = faulty_with(json!({ "delay_ms": 1000 }), late).await;
    let start = tokio::time::Instant::now();
    assert_eq!(refresh(&sandbox, &token).await.status, 504);
    assert_eq!(start.elapsed(), Duration::from_secs(4));
}

#[tokio::test]
async fn a_revocation_takes_effect_though_its_answer_does_not_tell() {
    for (fault, alive) in [
        (json!({ "fault": "status", "status": 503 }), true),
        (json!({ "fault": "status", "status": 503, "after_commit": true }), false),
        (json!({ "fault": "drop", "after_commit": true }), false),
    ] {
        let sandbox = sandbox_with(json!({}));
        let token = tokens(&sandbox).await.text("refresh_token");
        register(&sandbox, "app", json!({ "revoke_answers": [fault] }));
        let answer = over_a_socket(&sandbox, "/revoke", &[("token", &token)]).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert_eq!(sandbox.grants()[0].alive, alive, "{fault}");
    }
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused_with_the_reason() {
    let sandbox = sandbox_with(json!({}));
    for (fault, reason) in [
        (json!({ "fault": "vanish" }), "unknown variant `vanish`"),
        (json!({ "fault": "drop", "after": true }), "unknown field `after`"),
        (json!({ "fault": "status" }), "the fault \"status\" needs a status"),
        (json!({ "fault": "status", "status": 100 }), "200 to 599"),
        (json!({ "fault": "drop", "status": 503 }), "status says nothing for this fault"),
        (json!({ "fault": "hang", "delay_ms": 60_001 }), "at most 60000"),
        (json!({ "fault": "delay" }), "at least 1"),
        (json!({ "fault": "truncate", "after_commit": false }), "after_commit cannot be false"),
        (json!({ "fault": "oauth_error", "error": "a\"b" }), "printable ASCII"),
        (json!({ "fault": "oauth_error", "status": 200 }), "400 to 599"),
        (json!({ "fault": "garbage", "body": "xml" }), "unknown variant `xml`"),
        (json!("vanish"), "unknown variant `vanish`"),
        (json!({ "status": 200, "text": "" }), "unknown field `text`"),
    ] {
        for setting in ["token_answers", "revoke_answers"] {
            let answer = patch(&sandbox, json!({ setting: [fault] })).await;
            assert_eq!(answer.status, 400, "{fault}");
            assert!(answer.text("error").contains(reason), "{}", answer.body);
        }
    }
}
