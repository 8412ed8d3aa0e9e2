//! Revocation at a pose.

use serde_json::{Value, json};

use super::visitor::*;
use crate::harness::{basic, form};

const REVOKE: &str = "https://x.example/revoke";

fn visit(request: Value) -> Visit {
    super::visitor::visit(json!({ "revocation_endpoint": REVOKE, "revocation_request": request }))
}

impl Visit {
    fn grants_standing(&self) -> usize {
        self.sandbox.grants().iter().filter(|grant| grant.alive).count()
    }
}

#[tokio::test]
async fn by_the_book_either_token_ends_the_grant() {
    for kind in ["refresh_token", "access_token"] {
        let visit = visit(json!({}));
        let token = visit.tokens().await.text(kind);
        let right = [("token", token.as_str()), ("token_type_hint", kind)];
        visit.refused(&visit.post_basic(REVOKE, &right[1..]).await, "revoke: the parameter token is missing");
        visit.refused(&visit.post_form(REVOKE, &right).await, "HTTP Basic is missing");
        assert_eq!(visit.grants_standing(), 1);
        assert_eq!(visit.post_basic(REVOKE, &right).await.status, 200);
        assert_eq!(visit.grants_standing(), 0);
        assert_eq!(visit.post_basic(REVOKE, &right).await.status, 200, "RFC 7009 §2.2");
    }
}

#[tokio::test]
async fn a_delete_has_json_and_other_names() {
    let request = json!({
        "method": "DELETE", "content_type": "json", "auth": "client_secret_post", "headers": { "X-Version": "2" },
        "names": { "token": "refreshToken", "token_type_hint": "", "client_id": "clientId", "client_secret": "secret" },
        "body": { "all": true },
    });
    let visit = visit(request);
    let token = visit.tokens().await.text("refresh_token");
    let right = json!({ "refreshToken": token, "clientId": "app", "secret": "s3cret", "all": true });
    let headers = [("content-type", "application/json"), ("x-version", "2")];
    let basic = basic("app", "s3cret");
    let with_basic = [headers[0], headers[1], ("authorization", basic.as_str())];
    for (method, headers, body, reason) in [
        ("POST", &headers[..], right.to_string(), "the method must be DELETE, not POST"),
        ("DELETE", &headers[..1], right.to_string(), "the header X-Version is missing"),
        ("DELETE", &headers[..], form(&[("refreshToken", "x")]), "the body must be JSON"),
        ("DELETE", &with_basic[..], right.to_string(), "the header Authorization must be left out"),
    ] {
        visit.refused(&visit.ask(method, REVOKE, headers, &body).await, reason);
    }
    let mut hint = right.clone();
    hint["token_type_hint"] = json!("refresh_token");
    let answer = visit.ask("DELETE", REVOKE, &headers, &hint.to_string()).await;
    visit.refused(&answer, "the parameter token_type_hint is not known here");
    assert_eq!(visit.ask("DELETE", REVOKE, &headers, &right.to_string()).await.status, 200);
    assert_eq!(visit.grants_standing(), 0);
}

#[tokio::test]
async fn an_api_call_revokes_with_the_api_s_own_header() {
    let visit = super::visitor::visit(json!({
        "revocation_endpoint": REVOKE, "revocation_request": { "auth": "bearer", "method": "GET" },
        "header": { "name": "X-Token", "prefix": "" }, "token_response": { "ok": "ok" },
    }));
    let token = visit.tokens().await.text("access_token");
    let bearer = [("authorization", &*format!("Bearer {token}"))];
    visit.refused(&visit.ask("GET", REVOKE, &bearer, "").await, "must be in the header `X-Token: {access_token}`");
    let url = format!("{REVOKE}?token={token}");
    visit.refused(&visit.ask("GET", &url, &[("x-token", &token)], "").await, "the parameter token is not known here");
    let answer = visit.ask("GET", REVOKE, &[("x-token", &token)], "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["ok"]), (200, &json!(true)));
    assert_eq!(visit.grants_standing(), 0);
}

#[tokio::test]
async fn without_authentication_the_client_id_stands_alone() {
    let visit = visit(json!({ "auth": "none" }));
    let token = visit.tokens().await.text("refresh_token");
    let right = [("token", token.as_str()), ("client_id", "app")];
    visit.refused(&visit.post_form(REVOKE, &right[..1]).await, "the parameter client_id is missing");
    assert_eq!(visit.post_form(REVOKE, &right).await.status, 200);
    assert_eq!(visit.grants_standing(), 0);
}

#[tokio::test]
async fn a_spoiled_answer_is_not_made_a_success() {
    let visit = super::visitor::visit(json!({
        "revocation_endpoint": REVOKE, "token_response": { "ok": "ok" },
    }));
    let token = visit.tokens().await.text("refresh_token");
    let answers = json!([{ "fault": "garbage", "after_commit": true }]);
    let client = json!({ "client_id": "app", "client_secret": "s3cret", "revoke_answers": answers });
    visit.sandbox.register(serde_json::from_value(client).unwrap()).unwrap();
    let answer = visit.post_basic(REVOKE, &[("token", &token)]).await;
    assert!(answer.body.contains("<h1>"), "{}", answer.body);
    assert_eq!(visit.grants_standing(), 0);
    assert_eq!(visit.post_basic(REVOKE, &[("token", &token)]).await.json()["ok"], true);
}
