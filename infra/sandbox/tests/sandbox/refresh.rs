//! Rotation, grace and the price of reuse (RFC 6749 §6, RFC 9700 §4.14).

use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_rotating_refresh_token_is_replaced_and_the_new_one_works() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    assert_eq!(second.status, 200);
    assert_ne!(second.text("refresh_token"), first.text("refresh_token"));
    assert_ne!(second.text("access_token"), first.text("access_token"));
    assert_eq!(second.header("cache-control"), "no-store");
    assert_valid(&sandbox, &first.text("access_token")).await;
    assert_valid(&sandbox, &second.text("access_token")).await;
    assert_eq!(refresh(&sandbox, &second.text("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn reuse_revokes_the_whole_family() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let other_grant = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "invalid_grant");
    refresh(&sandbox, &second.text("refresh_token")).await.assert_error(400, "invalid_grant");
    assert_dead(&sandbox, &first.text("access_token")).await;
    assert_dead(&sandbox, &second.text("access_token")).await;
    assert_valid(&sandbox, &other_grant.text("access_token")).await;
}

#[tokio::test]
async fn with_the_penalty_token_reuse_only_fails() {
    let sandbox = sandbox_with(json!({ "reuse_penalty": "token" }));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "invalid_grant");
    assert_eq!(refresh(&sandbox, &second.text("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn without_a_penalty_a_spent_token_keeps_working() {
    let sandbox = sandbox_with(json!({ "reuse_penalty": "none" }));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    sandbox.advance_clock(86_400);
    assert_eq!(refresh(&sandbox, &first.text("refresh_token")).await.status, 200);
    assert_eq!(refresh(&sandbox, &second.text("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn within_the_grace_a_spent_token_gets_a_fresh_pair_of_the_same_family() {
    let sandbox = sandbox_with(json!({ "grace_seconds": 30 }));
    let first = tokens(&sandbox).await;
    let second = refresh(&sandbox, &first.text("refresh_token")).await;
    sandbox.advance_clock(20);
    let third = refresh(&sandbox, &first.text("refresh_token")).await;
    assert_eq!(third.status, 200);
    assert_ne!(third.text("refresh_token"), second.text("refresh_token"));
    // Counted from the first use: the second one does not prolong the grace.
    sandbox.advance_clock(15);
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "invalid_grant");
    refresh(&sandbox, &third.text("refresh_token")).await.assert_error(400, "invalid_grant");
    assert_dead(&sandbox, &second.text("access_token")).await;
}

#[tokio::test]
async fn a_static_refresh_token_is_handed_out_again() {
    let sandbox = sandbox_with(json!({ "refresh_token": "static" }));
    let first = tokens(&sandbox).await;
    for _ in 0..3 {
        let next = refresh(&sandbox, &first.text("refresh_token")).await;
        assert_eq!(next.text("refresh_token"), first.text("refresh_token"));
    }
}

#[tokio::test]
async fn a_refresh_token_left_out_of_the_answer_leaves_the_old_one_valid() {
    let sandbox = sandbox_with(json!({ "omit_refresh_token_on_refresh": true }));
    let first = tokens(&sandbox).await;
    for _ in 0..3 {
        let next = refresh(&sandbox, &first.text("refresh_token")).await;
        assert_eq!((next.status.as_u16(), next.json().get("refresh_token")), (200, None));
    }
}

#[tokio::test]
async fn a_client_without_refresh_tokens_gets_none_and_may_use_none() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    register(&sandbox, "app", json!({ "refresh_token": "none" }));
    assert_eq!(tokens(&sandbox).await.json().get("refresh_token"), None);
    refresh(&sandbox, &first.text("refresh_token")).await.assert_error(400, "unauthorized_client");
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_never_for_more() {
    let sandbox = sandbox_with(json!({}));
    let first = tokens(&sandbox).await;
    let token = first.text("refresh_token");
    let narrowed = |scope: &'static str, token: String| {
        let sandbox = sandbox.clone();
        async move {
            let parameters = [("grant_type", "refresh_token"), ("refresh_token", token.as_str()), ("scope", scope)];
            as_app(&sandbox, "/token", &parameters).await
        }
    };
    narrowed("read write", token.clone()).await.assert_error(400, "invalid_scope");
    let less = narrowed("read", token).await;
    assert_eq!((less.text("scope").as_str(), less.json().get("id_token")), ("read", None));
    // The refused request spent nothing, and the grant keeps its scopes.
    let all = refresh(&sandbox, &less.text("refresh_token")).await;
    assert_eq!(all.text("scope"), "openid profile read");
}

#[tokio::test]
async fn a_refresh_token_of_another_client_is_refused_and_stays_valid() {
    let sandbox = sandbox_with(json!({}));
    register(&sandbox, "other", json!({}));
    let first = tokens(&sandbox).await;
    let token = first.text("refresh_token");
    let parameters = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    as_client(&sandbox, "other", "/token", &parameters).await.assert_error(400, "invalid_grant");
    assert_eq!(refresh(&sandbox, &token).await.status, 200);
}

#[tokio::test]
async fn access_tokens_expire_with_the_clock() {
    let sandbox = sandbox_with(json!({ "access_token_seconds": 100 }));
    let first = tokens(&sandbox).await;
    assert_eq!(first.json()["expires_in"], 100);
    sandbox.advance_clock(99);
    assert_valid(&sandbox, &first.text("access_token")).await;
    sandbox.advance_clock(2);
    assert_dead(&sandbox, &first.text("access_token")).await;
    assert_eq!(refresh(&sandbox, &first.text("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn a_lifetime_of_zero_or_null_leaves_expires_in_out() {
    for seconds in [json!(0), json!(null)] {
        let sandbox = sandbox_with(json!({ "access_token_seconds": seconds, "omit_scope": true }));
        let first = tokens(&sandbox).await;
        assert_eq!((first.json().get("expires_in"), first.json().get("scope")), (None, None));
        sandbox.advance_clock(10 * 365 * 86_400);
        assert_valid(&sandbox, &first.text("access_token")).await;
    }
}

#[tokio::test]
async fn a_clock_moved_by_absurd_amounts_breaks_nothing() {
    let sandbox = sandbox_with(json!({ "grace_seconds": u32::MAX, "access_token_seconds": u32::MAX }));
    for seconds in [i64::MAX, i64::MIN, i64::MIN, i64::MAX] {
        sandbox.advance_clock(seconds);
        let first = tokens(&sandbox).await;
        assert_eq!(refresh(&sandbox, &first.text("refresh_token")).await.status, 200);
    }
}
