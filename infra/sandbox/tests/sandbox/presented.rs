//! The list of refresh tokens that were presented.

use std::time::Duration;

use grantkeeper_sandbox::{AnswerFate, Presentation, Sandbox, fingerprint};
use serde_json::json;

use crate::harness::*;

fn told(presented: &[Presentation]) -> Vec<(Option<u32>, bool, bool, AnswerFate)> {
    presented.iter().map(|one| (one.age, one.accepted, one.revoked, one.answer)).collect()
}

/// The refresh tokens of a new grant that was refreshed so many times, the oldest first.
async fn generations(sandbox: &Sandbox, count: usize) -> Vec<String> {
    let mut all = vec![tokens(sandbox).await.text("refresh_token")];
    for _ in 0..count {
        all.push(refresh(sandbox, all.last().unwrap()).await.text("refresh_token"));
    }
    all
}

#[tokio::test]
async fn each_presentation_tells_how_old_the_token_was_and_what_came_of_it() {
    let sandbox = sandbox_with(json!({}));
    let all = generations(&sandbox, 3).await;
    sandbox.clear_presented();
    refresh(&sandbox, &all[3]).await;
    refresh(&sandbox, &all[1]).await.assert_error(400, "invalid_grant");
    refresh(&sandbox, &all[3]).await.assert_error(400, "invalid_grant");
    refresh(&sandbox, "sbx_rt_unknown").await.assert_error(400, "invalid_grant");
    let presented = sandbox.presented();
    let sent = AnswerFate::Sent;
    let expected = [
        (Some(0), true, false, sent),
        // The fifth was given out by now, so the second is three older than the newest.
        (Some(3), false, true, sent),
        // The grant is gone, and its tokens are known nevertheless.
        (Some(1), false, false, sent),
        (None, false, false, sent),
    ];
    assert_eq!(told(&presented), expected);
    assert!(presented.iter().all(|one| one.client_id.as_deref() == Some("app")));
    let grants: Vec<_> = presented.iter().map(|one| one.grant).collect();
    assert_eq!(grants, [Some(1), Some(1), Some(1), None]);
    let fingerprints: Vec<_> = presented.iter().map(|one| one.refresh_token.as_str()).collect();
    assert_eq!(fingerprints[..2], [fingerprint(&all[3]), fingerprint(&all[1])]);
    assert!(!format!("{presented:?}").contains("sbx_rt_"));
}

#[tokio::test]
async fn a_token_within_the_grace_is_the_one_before_the_newest() {
    let sandbox = sandbox_with(json!({ "grace_seconds": 30 }));
    let first = tokens(&sandbox).await.text("refresh_token");
    for _ in 0..3 {
        assert_eq!(refresh(&sandbox, &first).await.status, 200);
    }
    let ages: Vec<_> = sandbox.presented().iter().map(|one| (one.age.unwrap(), one.accepted)).collect();
    assert_eq!(ages, [(0, true), (1, true), (2, true)]);
}

#[tokio::test]
async fn refused_and_scripted_requests_count_and_other_endpoints_do_not() {
    let sandbox = sandbox_with(json!({ "refresh_token": "static" }));
    let token = tokens(&sandbox).await.text("refresh_token");
    let ask = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    let wrong = [&ask[..], &[("client_id", "app"), ("client_secret", "wrong")]].concat();
    post_form(&sandbox, "/token", &wrong).await.assert_error(401, "invalid_client");
    let stranger = [&ask[..], &[("client_id", "nobody")]].concat();
    post_form(&sandbox, "/token", &stranger).await.assert_error(401, "invalid_client");
    register(&sandbox, "app", json!({ "refresh_token": "static", "token_answers": [503] }));
    assert_eq!(refresh(&sandbox, &token).await.status, 503);
    for _ in 0..2 {
        assert_eq!(refresh(&sandbox, &token).await.status, 200);
    }
    as_app(&sandbox, "/introspect", &[("token", &token)]).await;
    as_app(&sandbox, "/revoke", &[("token", &token)]).await;
    let presented = sandbox.presented();
    let (newest, sent) = (Some(0), AnswerFate::Sent);
    let refused = (newest, false, false, sent);
    let expected = [
        refused,
        refused,
        (newest, false, false, AnswerFate::Spoiled),
        // A static token stays the newest however often it is used.
        (newest, true, false, sent),
        (newest, true, false, sent),
    ];
    assert_eq!(told(&presented), expected);
    assert_eq!(presented[1].client_id, None);
}

#[tokio::test]
async fn the_list_is_read_and_cleared() {
    let sandbox = sandbox_with(json!({}));
    register(&sandbox, "other", json!({}));
    generations(&sandbox, 1).await;
    generations(&sandbox, 2).await;
    as_client(&sandbox, "other", "/token", &[("grant_type", "refresh_token"), ("refresh_token", "x")]).await;
    let read = async |query: &str| {
        send(&sandbox, "GET", &format!("/admin/refresh-tokens{query}"), &[], "").await.json().as_array().map(Vec::len)
    };
    assert_eq!((read("").await, read("?client_id=app").await, read("?grant=2").await), (Some(4), Some(3), Some(2)));
    assert_eq!(read("?client=app").await, None);
    let first = &send(&sandbox, "GET", "/admin/refresh-tokens", &[], "").await.json()[0];
    assert_eq!(first["answer"], "sent");
    assert_eq!((&first["age"], &first["accepted"], &first["grant"]), (&json!(0), &json!(true), &json!(1)));
    assert_eq!(send(&sandbox, "DELETE", "/admin/refresh-tokens", &[], "").await.status, 204);
    assert!(sandbox.presented().is_empty());
    let stranger = [("origin", "https://evil.example")];
    assert_eq!(send(&sandbox, "GET", "/admin/refresh-tokens", &stranger, "").await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_on_its_way_when_the_list_is_cleared_is_not_taken_for_another() {
    let sandbox = sandbox_with(json!({}));
    let token = tokens(&sandbox).await.text("refresh_token");
    register(&sandbox, "app", json!({ "delay_ms": 1000 }));
    let later = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        sandbox.clear_presented();
        // Still unanswered when the first answer comes, which had the same place in the list.
        assert!(tokio::time::timeout(Duration::from_millis(700), refresh(&sandbox, "unknown")).await.is_err());
    };
    let (answer, ()) = tokio::join!(refresh(&sandbox, &token), later);
    assert_eq!(answer.status, 200);
    assert_eq!(told(&sandbox.presented()), [(None, false, false, AnswerFate::Lost)]);
}

#[tokio::test]
async fn the_grant_of_a_refresh_token_is_told_also_after_its_end() {
    let sandbox = sandbox_with(json!({}));
    let all = generations(&sandbox, 2).await;
    let (grant, age) = sandbox.grant_of(&all[2]).unwrap();
    assert_eq!((grant.alive, grant.id, age), (true, 1, 0));
    assert_eq!(grant.refresh_tokens.last(), Some(&fingerprint(&all[2])));
    assert_eq!(grant.usable_refresh_tokens, [fingerprint(&all[2])]);
    refresh(&sandbox, &all[0]).await.assert_error(400, "invalid_grant");
    let (grant, age) = sandbox.grant_of(&all[1]).unwrap();
    assert_eq!((grant.alive, grant.id, age), (false, 1, 1));
    assert!(sandbox.grant_of("sbx_rt_unknown").is_none());
}
