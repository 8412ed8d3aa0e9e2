//! Authorization requests to a pose.

use std::collections::BTreeMap;

use grantkeeper_sandbox::Endpoint;
use serde_json::json;

use super::visitor::*;
use crate::harness::{CHALLENGE, REDIRECT_URI, form};

#[tokio::test]
async fn a_request_by_the_book_is_sent_back_at_once_with_code_and_state() {
    let visit = visit(json!({}));
    let answer = visit.authorize(&by_the_book(&[])).await;
    assert_eq!(answer.status, 302);
    let location = answer.header("location");
    assert!(location.starts_with("http://127.0.0.1:9000/callback?fixed=1&code=sbx_code_"), "{location}");
    assert!(location.ends_with("&state=s-1"), "{location}");
    assert_eq!(visit.pose.reached(), [Endpoint::Authorize]);
    assert!(visit.pose.complaints().is_empty());
}

#[tokio::test]
async fn what_differs_from_the_entry_is_refused_on_a_page() {
    let visit = visit(json!({ "authorization_params": { "prompt": "consent" } }));
    let right = by_the_book(&[("prompt", "consent")]);
    assert_eq!(visit.authorize(&right).await.status, 302);
    for (changes, reason) in [
        (vec![("prompt", "")], "the parameter prompt is missing"),
        (vec![("prompt", "none")], "the parameter prompt must be `consent`"),
        (vec![("response_type", "token")], "the parameter response_type must be `code`"),
        (vec![("client_id", "other")], "the parameter client_id must be `app`"),
        (vec![("redirect_uri", "http://127.0.0.1:9000/callback")], "the redirect URI is not registered"),
        (vec![("state", "")], "the parameter state is missing"),
        (vec![("scope", "a,b")], "`a,b` is none of the scopes, between which stands ` `"),
        (vec![("scope", "b")], "the scope `a` is missing"),
        (vec![("scope", "")], "the parameter scope is missing"),
        (vec![("code_challenge", "")], "the parameter code_challenge is missing"),
        (vec![("code_challenge_method", "plain")], "the parameter code_challenge_method must be `S256`"),
        (vec![("code_challenge", "short")], "code_challenge is malformed"),
        (vec![("access_type", "offline")], "the parameter access_type is not known here"),
        (vec![("nonce", "n")], "the parameter nonce is not known here"),
    ] {
        let mut parameters = right.clone();
        parameters.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        parameters.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        let answer = visit.authorize(&parameters).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (400, ""));
        assert_eq!(answer.body, *visit.pose.complaints().last().unwrap());
        visit.refused(&answer, reason);
    }
    let twice = visit.authorize(&[right.as_slice(), &[("state", "s-2")]].concat()).await;
    visit.refused(&twice, "the parameter state comes twice");
    let answer = visit.send("POST", AUTHORIZE, &[FORM], &form(&right)).await;
    visit.refused(&answer, "the method must be GET");
}

#[tokio::test]
async fn pkce_that_breaks_a_provider_must_not_be_there() {
    let visit = visit(json!({ "pkce": false }));
    let plain = [("code_challenge", ""), ("code_challenge_method", "")];
    assert_eq!(visit.authorize(&by_the_book(&plain)).await.status, 302);
    let answer = visit.authorize(&by_the_book(&[])).await;
    visit.refused(&answer, "the parameter code_challenge is not known here");
}

#[tokio::test]
async fn scopes_stand_apart_by_the_entry_s_separator_alone() {
    let visit = visit(json!({ "scopes": { "required": ["a", "b"], "separator": "," } }));
    assert_eq!(visit.authorize(&by_the_book(&[("scope", "a,b")])).await.status, 302);
    for scope in ["a b", "a, b", "a+b"] {
        let answer = visit.authorize(&by_the_book(&[("scope", scope)])).await;
        visit.refused(&answer, "is none of the scopes, between which stands `,`");
    }
}

#[tokio::test]
async fn parameters_have_other_names_or_none_and_the_code_comes_back_under_another() {
    let names = json!({
        "client_id": "app_id", "code": "auth_code", "response_type": "", "scope": "permissions", "redirect_uri": "",
    });
    let params = json!({ "redirect_uri": "{ru_name}", "version": "{version?}" });
    let facts = json!({
        "authorization_endpoint": "https://x.example/authorize?tenant={tenant}#web",
        "authorization_names": names, "authorization_params": params, "authorization_fragment": "web",
        "variables": [
            { "key": "tenant" }, { "key": "ru_name", "source": "client" }, { "key": "version" },
        ],
    });
    let values = [("tenant", "t 1"), ("ru_name", "Ada-App-PRD")].map(|(key, value)| (key.into(), value.into()));
    let mut settings = settings(facts);
    settings.values = BTreeMap::from(values);
    let visit = visit_with(settings);
    let right = [
        ("tenant", "t 1"),
        ("app_id", "app"),
        ("redirect_uri", "Ada-App-PRD"),
        ("permissions", "a"),
        ("state", "s-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let answer = visit.authorize(&right).await;
    assert!(answer.header("location").starts_with(REDIRECT_URI), "{}", answer.body);
    assert!(answer.redirect_parameter("auth_code").unwrap().starts_with("sbx_code_"));
    assert_eq!(answer.redirect_parameter("code"), None);
    for (name, value, reason) in [
        ("tenant", "other", "the query of the address itself is not kept"),
        ("redirect_uri", REDIRECT_URI, "the parameter redirect_uri must be `Ada-App-PRD`"),
    ] {
        let wrong = right.map(|(known, right)| (known, if known == name { value } else { right }));
        visit.refused(&visit.authorize(&wrong).await, reason);
    }
    for (name, value) in [("response_type", "code"), ("version", ""), ("client_id", "app"), ("scope", "a")] {
        let answer = visit.authorize(&[right.as_slice(), &[(name, value)]].concat()).await;
        visit.refused(&answer, &format!("the parameter {name} is not known here"));
    }
}

#[tokio::test]
async fn the_callback_brings_the_values_of_its_variables() {
    let variables = json!([{ "key": "realm", "source": "callback", "from": "realmId|realm" }]);
    let mut settings = settings(json!({ "variables": variables }));
    settings.found.insert("realm".into(), json!(123));
    let answer = visit_with(settings).authorize(&by_the_book(&[])).await;
    assert_eq!(answer.redirect_parameter("realmId").as_deref(), Some("123"));
}

#[tokio::test]
async fn audience_resource_and_a_random_nonce_are_asked_for() {
    let params = json!({ "nonce": "{random}" });
    let visit = visit(json!({ "audience": "api", "resource": "https://api", "authorization_params": params }));
    let right = [("audience", "api"), ("resource", "https://api"), ("nonce", "n-1")];
    assert_eq!(visit.authorize(&by_the_book(&right)).await.status, 302);
    let answer = visit.authorize(&by_the_book(&right[..2])).await;
    visit.refused(&answer, "the parameter nonce is missing");
    let answer = visit.authorize(&by_the_book(&[("audience", "x"), right[1], right[2]])).await;
    visit.refused(&answer, "the parameter audience must be `api`");
}
