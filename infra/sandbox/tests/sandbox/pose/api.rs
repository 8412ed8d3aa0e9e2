//! Requests with an access token to a pose.

use std::collections::BTreeMap;

use grantkeeper_sandbox::Endpoint;
use serde_json::json;

use super::visitor::*;
use crate::harness::form;

const ME: &str = "https://x.example/api/me";

#[tokio::test]
async fn the_test_request_is_as_the_entry_says_and_brings_the_account() {
    let visit = visit(json!({
        "header": { "name": "X-Auth", "prefix": "Token" },
        "api_headers": { "X-Tenant": "{tenant?}", "X-Version": "2" },
        "variables": [{ "key": "tenant" }],
        "test_request": {
            "method": "POST", "path": "/me?full=1", "headers": { "X-Version": "3" }, "body": { "q": "{tenant?}", "n": 1 },
            "ok": "/done", "account": "/user/0/id", "label": "user.0.name",
        },
    }));
    let token = visit.tokens().await.text("access_token");
    let auth = format!("Token {token}");
    let right = [("x-auth", auth.as_str()), ("x-version", "3"), ("content-type", "application/json")];
    let url = format!("{ME}?full=1");
    let bearer = format!("Bearer {token}");
    for (method, headers, body, reason) in [
        ("GET", right.to_vec(), "", "test: the method must be POST, not GET"),
        (
            "POST",
            vec![("authorization", &*bearer), right[1], right[2]],
            r#"{"n":1}"#,
            "in the header `X-Auth: Token {acc",
        ),
        ("POST", vec![("x-auth", &*token), right[1], right[2]], r#"{"n":1}"#, "must be in the header `X-Auth: Token"),
        ("POST", vec![right[0], right[2]], r#"{"n":1}"#, "the header X-Version is missing"),
        ("POST", vec![right[0], ("x-version", "2"), right[2]], r#"{"n":1}"#, "the header X-Version must be `3`"),
        ("POST", [&right[..], &[("x-tenant", "")]].concat(), r#"{"n":1}"#, "the header X-Tenant must be left out"),
        ("POST", right.to_vec(), r#"{"n":"1"}"#, "the parameter n must be `1`"),
        ("POST", vec![right[0], right[1], FORM], "n=1", "the body must be JSON"),
    ] {
        let answer = visit.ask(method, &url, &headers, body).await;
        visit.refused(&answer, reason);
        assert_eq!(answer.json()["done"], false);
    }
    let answer = visit.send("POST", &url, &right, r#"{"n":1}"#).await;
    visit.refused(&answer, "the header User-Agent is missing");
    let answer = visit.ask("POST", &url, &right, r#"{"n":1}"#).await;
    assert_eq!(answer.json(), json!({ "done": true, "user": [{ "id": "account-1", "name": "Ada's account" }] }));
    assert_eq!(visit.pose.reached().last(), Some(&Endpoint::Test));
    let unknown = [("x-auth", "Token sbx_at_x"), right[1], right[2]];
    let answer = visit.ask("POST", &url, &unknown, r#"{"n":1}"#).await;
    answer.assert_error(401, "invalid_token");
    visit.refused(&answer, "test: the access token is unknown");
}

#[tokio::test]
async fn a_token_in_the_query_needs_no_header() {
    let visit = visit(json!({
        "api_query": { "key": "{key}", "t": "{access_token}" },
        "variables": [{ "key": "key", "default": "k-1" }],
        "test_request": { "path": "/me", "body": "a=b&action={key}", "method": "POST" },
    }));
    let token = visit.tokens().await.text("access_token");
    let url = |pairs: &[(&str, &str)]| format!("{ME}?{}", form(pairs));
    let (right, body) = (url(&[("key", "k-1"), ("t", &token)]), "action=k-1&a=b");
    let answer = visit.ask("POST", &url(&[("t", &token)]), &[FORM], body).await;
    visit.refused(&answer, "the parameter key is missing (in the query)");
    visit.refused(&visit.ask("POST", &right, &[FORM], "a=b").await, "the parameter action is missing");
    assert_eq!(visit.ask("POST", &right, &[FORM], body).await.status, 200);
}

#[tokio::test]
async fn the_rest_of_the_api_answers_anything_under_the_same_checks() {
    let visit = visit(json!({ "api_headers": { "X-Version": "2" }, "api_origins": ["https://files.x.example"] }));
    let token = visit.tokens().await.text("access_token");
    let bearer = format!("Bearer {token}");
    let right = [("authorization", bearer.as_str()), ("x-version", "2")];
    for url in ["https://x.example/api/things/1?page=2", "https://x.example/api", "https://files.x.example/a/b"] {
        let answer = visit.ask("PATCH", url, &right, "anything").await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({})), "{url} {}", answer.body);
        visit.refused(&visit.ask("GET", url, &right[..1], "").await, "api: the header X-Version is missing");
        visit.refused(&visit.ask("GET", url, &right[1..], "").await, "must be in the header `Authorization: Bearer");
    }
    assert_eq!(visit.ask("GET", "https://x.example/apis", &right, "").await.status, 404);
    assert_eq!(visit.sandbox.strays(), ["GET x.example/apis"]);
}

#[tokio::test]
async fn a_choice_brings_its_items_with_what_belongs_to_them() {
    let lookup = "https://accounts.x.example/list?token={access_token}";
    let facts = json!({
        "api_base_url": "{base}/v1/{account_id}", "api_headers": { "X-Account": "{account_id}" },
        "variables": [
            { "key": "account_id", "source": "choice",
                "lookup": { "url": lookup, "items": "/accounts", "value": "id", "label": "/about/name" } },
            { "key": "base", "source": "choice", "type": "url", "lookup": { "with": "account_id", "value": "base_uri" } },
            { "key": "cluster", "source": "lookup",
                "lookup": { "url": lookup, "value": "/cluster", "header": { "name": "X-Token", "prefix": "" } } },
        ],
        "test_request": { "path": "/me" },
    });
    let mut settings = settings(facts);
    settings.found = BTreeMap::from([
        ("account_id".into(), json!(["a1", "a2"])),
        ("base".into(), json!(["https://eu.x.example/", "https://us.x.example/"])),
        ("cluster".into(), json!("c-9")),
    ]);
    let visit = visit_with(settings);
    let token = visit.tokens().await.text("access_token");
    let answer = visit.ask("GET", &lookup.replace("{access_token}", &token), &[], "").await;
    let items = json!([
        { "id": "a1", "about": { "name": "Label of a1" }, "base_uri": "https://eu.x.example/" },
        { "id": "a2", "about": { "name": "Label of a2" }, "base_uri": "https://us.x.example/" },
    ]);
    assert_eq!(answer.json(), json!({ "accounts": items, "cluster": "c-9" }), "{}", answer.body);
    let bearer = format!("Bearer {token}");
    let at = |account| [("authorization", bearer.as_str()), ("x-account", account)];
    assert_eq!(visit.ask("GET", "https://us.x.example/v1/a2/me", &at("a2"), "").await.status, 200);
    let answer = visit.ask("GET", "https://us.x.example/v1/a2/me", &at("a1"), "").await;
    visit.refused(&answer, "the header X-Account must be `a2`");
    assert_eq!(visit.ask("GET", "https://us.x.example/v1/a1/me", &at("a1"), "").await.status, 404);
}

#[tokio::test]
async fn a_lookup_and_the_test_request_may_share_an_address_that_is_a_list() {
    let url = "https://x.example/api/resources";
    let facts = json!({
        "variables": [
            { "key": "cloud", "source": "choice", "lookup": { "url": url, "items": "/", "value": "id", "label": "url" } },
        ],
        "test_request": { "path": "/resources", "account": "/0/id", "label": "/0/url" },
        "userinfo_endpoint": "https://x.example/userinfo",
    });
    let mut settings = settings(facts);
    settings.found = BTreeMap::from([("cloud".into(), json!("c-1"))]);
    let visit = visit_with(settings);
    let bearer = format!("Bearer {}", visit.tokens().await.text("access_token"));
    let answer = visit.ask("GET", url, &[("authorization", &bearer)], "").await;
    assert_eq!(answer.json(), json!([{ "id": "c-1", "url": "Label of c-1" }]));
    assert_eq!(visit.pose.reached()[2..], [Endpoint::Test, Endpoint::Lookup]);
    let answer = visit.ask("GET", "https://x.example/userinfo", &[("authorization", &bearer)], "").await;
    assert_eq!(answer.json(), json!({ "sub": "account-1" }));
}
