//! Refreshes at a pose.

use grantkeeper_sandbox::Endpoint;
use serde_json::json;

use super::visitor::*;
use crate::harness::{REDIRECT_URI, basic, form};

#[tokio::test]
async fn a_rotating_refresh_token_is_spent_by_its_use() {
    let visit = visit(json!({ "refresh": { "kind": "rotating", "reuse_penalty": "token" } }));
    let first = visit.tokens().await.text("refresh_token");
    let answer = visit.refresh(&first).await;
    let second = answer.text("refresh_token");
    assert!(answer.status == 200 && second != first && !second.is_empty(), "{}", answer.body);
    let answer = visit.refresh(&first).await;
    answer.assert_error(400, "invalid_grant");
    visit.refused(&answer, "refresh: invalid_grant: the refresh token is unknown");
    assert_eq!(visit.refresh(&second).await.status, 200);
    assert_eq!(visit.pose.reached().iter().filter(|reached| **reached == Endpoint::Refresh).count(), 3);
}

#[tokio::test]
async fn a_static_refresh_token_stays_and_is_not_said_again() {
    let visit = visit(json!({ "refresh": { "kind": "static" } }));
    let token = visit.tokens().await.text("refresh_token");
    for _ in 0..2 {
        let answer = visit.refresh(&token).await;
        assert_eq!((answer.status.as_u16(), answer.json().get("refresh_token")), (200, None), "{}", answer.body);
    }
}

#[tokio::test]
async fn where_there_is_none_a_refresh_is_refused() {
    let visit = visit(json!({ "refresh": { "kind": "none" } }));
    visit.tokens().await;
    visit.refused(&visit.refresh("sbx_rt_x").await, "refresh: unauthorized_client: this client has no refresh tokens");
}

#[tokio::test]
async fn a_refresh_has_an_address_authentication_and_parameters_of_its_own() {
    let facts = json!({
        "token_request": {
            "content_type": "json", "grant_type": "code_word", "query": { "v": "1", "w": "2" },
            "headers": { "X-App": "a" }, "body": { "type": "web" }, "names": { "client_id": "appid" },
        },
        "refresh_request": {
            "url": "https://x.example/renew", "auth": "client_secret_post", "content_type": "form",
            "query": { "v": "" }, "headers": { "x-app": "" }, "names": { "grant_type": "" },
            "body": { "type": "refresh", "redirect_uri": "{redirect_uri}" },
        },
    });
    let visit = visit(facts);
    let body = json!({
        "grant_type": "code_word", "code": visit.code().await, "redirect_uri": REDIRECT_URI,
        "code_verifier": crate::harness::VERIFIER, "type": "web",
    });
    let headers = [("authorization", &*basic("app", "s3cret")), ("x-app", "a")];
    let first = visit.post_json(&format!("{TOKEN}?v=1&w=2"), &headers, body).await;
    let token = first.text("refresh_token");
    let right = [
        ("refresh_token", token.as_str()),
        ("appid", "app"),
        ("client_secret", "s3cret"),
        ("type", "refresh"),
        ("redirect_uri", REDIRECT_URI),
    ];
    let url = "https://x.example/renew?w=2";
    visit.refused(&visit.post_form(url, &right[..4]).await, "refresh: the parameter redirect_uri is missing");
    let elsewhere = [&right[..4], &[("redirect_uri", "https://evil.example")]].concat();
    visit.refused(&visit.post_form(url, &elsewhere).await, "the redirect URI is not registered");
    let inherited = "https://x.example/renew?w=2&v=1";
    visit.refused(&visit.post_form(inherited, &right).await, "the parameter v is not known here");
    let word = [right.as_slice(), &[("grant_type", "refresh_token")]].concat();
    visit.refused(&visit.post_form(url, &word).await, "the parameter grant_type is not known here");
    visit.refused(&visit.post_basic(url, &right).await, "the header Authorization must be left out");
    let answer = visit.post_form(&format!("{TOKEN}?v=1&w=2"), &right).await;
    visit.refused(&answer, "refresh: refresh tokens are not presented here in this way");
    let answer = visit.post_form(url, &right).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn an_access_token_that_renews_itself_is_presented_for_the_next() {
    let facts = json!({
        "token_endpoint_auth_method": "client_secret_post",
        "token_response": { "refresh_token": "access_token" },
        "refresh_request": {
            "method": "GET", "grant_type": "renew_token", "url": "https://x.example/renew", "auth": "none",
            "names": { "refresh_token": "access_token", "client_id": "" },
        },
        "refresh": { "kind": "rotating", "reuse_penalty": "token" },
    });
    let visit = visit(facts);
    let code = visit.code().await;
    let client = [("client_id", "app"), ("client_secret", "s3cret")];
    let answer = visit.post_form(TOKEN, &[exchange(&code).as_slice(), &client].concat()).await;
    let first = answer.text("access_token");
    assert_eq!((answer.status.as_u16(), answer.json().get("refresh_token")), (200, None), "{}", answer.body);
    let url = |token: &str| {
        format!("https://x.example/renew?{}", form(&[("grant_type", "renew_token"), ("access_token", token)]))
    };
    let second = visit.ask("GET", &url(&first), &[], "").await.text("access_token");
    let third = visit.ask("GET", &url(&second), &[], "").await;
    assert!(third.status == 200 && third.text("access_token") != second, "{:?}", visit.pose.complaints());
    visit.refused(&visit.ask("GET", &url(&first), &[], "").await, "refresh: invalid_grant");
}

#[tokio::test]
async fn a_refresh_that_comes_too_early_is_refused() {
    let visit = visit(json!({ "refresh": { "min_age_seconds": 570 } }));
    let token = visit.tokens().await.text("refresh_token");
    let answer = visit.refresh(&token).await;
    answer.assert_error(400, "invalid_grant");
    visit.refused(&answer, "a refresh comes no earlier than after 570 seconds");
    visit.sandbox.advance_clock(571);
    assert_eq!(visit.refresh(&token).await.status, 200);
}
