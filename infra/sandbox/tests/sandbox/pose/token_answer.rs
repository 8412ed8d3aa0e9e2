//! Token answers of a pose.

use chrono::{DateTime, Utc};
use grantkeeper_sandbox::PoseSettings;
use serde_json::{Value, json};

use super::visitor::*;

async fn answer_of(facts: Value) -> Value {
    let visit = visit(facts);
    visit.tokens().await.json()
}

#[tokio::test]
async fn tokens_are_where_the_entry_says() {
    let response = json!({
        "root": "/data/0|/", "access_token": "user.token", "refresh_token": "/user/again", "expires_in": "ttl",
        "expires_in_unit": "milliseconds", "scope": "granted", "scope_separator": ",", "token_type": "kind",
        "ok": "/status==0",
    });
    let answer = answer_of(json!({ "token_response": response })).await;
    let data = &answer["data"][0];
    assert!(data["user"]["token"].as_str().unwrap().starts_with("sbx_at_"));
    assert!(data["user"]["again"].as_str().unwrap().starts_with("sbx_rt_"));
    assert_eq!((&answer["status"], &data["granted"], &data["ttl"]), (&json!(0), &json!("a,b"), &json!(3_600_000)));
    assert_eq!((&data["kind"], data.get("access_token")), (&json!("Bearer"), None));
}

#[tokio::test]
async fn scopes_come_as_a_list_and_the_end_as_a_date() {
    let answer = answer_of(json!({ "token_response": { "scope": "/scopes", "expires_at": "ends" } })).await;
    assert_eq!((&answer["scopes"], answer.get("expires_in")), (&json!(["a", "b"]), None));
    assert!(answer["ends"].as_str().unwrap().ends_with('Z'), "{answer}");
}

#[tokio::test]
async fn the_token_alone_is_a_text() {
    let visit = visit(json!({ "token_response": { "access_token": "/" } }));
    let answer = visit.tokens().await;
    assert!(answer.body.starts_with("sbx_at_"), "{}", answer.body);
    assert_eq!(answer.header("content-type"), "text/plain");
}

#[tokio::test]
async fn tokens_without_an_end_say_none() {
    for (refresh, response, expires_in) in [
        (json!({ "kind": "none" }), json!({}), None),
        (json!({ "default_lifetime": 7200 }), json!({}), None),
        (json!({ "kind": "none" }), json!({ "expires_in": "expires" }), Some(3600)),
        (json!({ "kind": "rotating" }), json!({}), Some(3600)),
    ] {
        let answer = answer_of(json!({ "refresh": refresh, "token_response": response })).await;
        let told = answer.get("expires_in").or(answer.get("expires")).and_then(Value::as_i64);
        assert_eq!(told, expires_in, "{answer}");
        assert_eq!(answer.get("refresh_token").is_none(), refresh["kind"] == "none", "{answer}");
    }
    let settings =
        PoseSettings { access_token_seconds: Some(60), ..settings(json!({ "refresh": { "kind": "none" } })) };
    assert_eq!(visit_with(settings).tokens().await.json()["expires_in"], 60);
}

#[tokio::test]
async fn a_refresh_token_comes_only_with_its_scope() {
    let facts = json!({ "refresh": { "scope": "b" } });
    let visit = visit(facts);
    assert!(!visit.tokens().await.text("refresh_token").is_empty());
    let code = visit.authorize(&by_the_book(&[("scope", "a")])).await.redirect_parameter("code").unwrap();
    assert_eq!(visit.post_basic(TOKEN, &exchange(&code)).await.json().get("refresh_token"), None);
}

#[tokio::test]
async fn an_entry_without_scopes_is_asked_for_none_and_tells_none() {
    let visit = visit(json!({ "scopes": {} }));
    visit.refused(&visit.authorize(&by_the_book(&[])).await, "the parameter scope is not known here");
    let code = visit.authorize(&by_the_book(&[("scope", "")])).await.redirect_parameter("code").unwrap();
    let answer = visit.post_basic(TOKEN, &exchange(&code)).await;
    assert_eq!((answer.status.as_u16(), answer.json().get("scope")), (200, None));
}

#[tokio::test]
async fn the_answer_brings_the_values_of_its_variables() {
    let variables = json!([
        { "key": "host", "source": "token", "type": "host", "from": "/instance/url" },
        { "key": "team", "source": "token", "from": "team.id|team_id" },
    ]);
    let mut settings = settings(json!({ "variables": variables, "token_response": { "root": "data" } }));
    settings.found = [("host", json!("https://eu.x.example/a")), ("team", json!(7))].map(|(k, v)| (k.into(), v)).into();
    let answer = visit_with(settings).tokens().await.json();
    assert_eq!((&answer["instance"]["url"], &answer["team"]["id"]), (&json!("https://eu.x.example/a"), &json!(7)));
}

#[tokio::test]
async fn errors_are_in_the_provider_s_own_shape_and_words() {
    let response = json!({
        "root": "/data", "ok": "/code==0", "error": "/code", "error_description": "/message",
        "error_codes": { "40110": "invalid_grant", "bad": "invalid_request" },
    });
    let visit = visit(json!({ "token_response": response }));
    let answer = visit.post_basic(TOKEN, &exchange("sbx_code_unknown")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (200, &json!(40110)));
    assert!(answer.text("message").starts_with("the code is unknown"));
    let answer = visit.post_basic(TOKEN, &exchange("")[..3]).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (200, &json!("bad")));
    let visit = super::visitor::visit(json!({ "token_response": { "ok": "ok" } }));
    let answer = visit.post_basic(TOKEN, &exchange("sbx_code_unknown")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["ok"], answer.text("error").as_str()),
        (200, &json!(false), "invalid_grant")
    );
}

#[tokio::test]
async fn scripted_answers_pass_through_as_they_are() {
    let visit = visit(json!({}));
    let code = visit.code().await;
    let client = json!({ "client_id": "app", "client_secret": "s3cret", "token_answers": [503, "drop"] });
    visit.sandbox.register(serde_json::from_value(client).unwrap()).unwrap();
    assert_eq!(visit.post_basic(TOKEN, &exchange(&code)).await.status, 503);
}

#[tokio::test]
async fn a_pose_cuts_its_own_answer_and_shows_its_own_clock() {
    let visit = visit(json!({ "token_response": { "root": "/data", "expires_at": "ends" } }));
    let token = visit.tokens().await.json()["data"]["refresh_token"].as_str().unwrap().to_owned();
    let faults = json!([{ "fault": "truncate", "full_length": false }]);
    let client = json!({
        "client_id": "app", "client_secret": "s3cret", "scopes": ["a", "b"], "clock_skew_seconds": 900,
        "token_answers": faults, "grace_seconds": 60,
    });
    visit.sandbox.register(serde_json::from_value(client).unwrap()).unwrap();
    let cut = visit.refresh(&token).await;
    assert_eq!((cut.status.as_u16(), cut.json()), (200, Value::Null));
    assert!(cut.body.starts_with("{\"data\":{"), "{}", cut.body);
    assert_eq!(visit.sandbox.grants()[0].refresh_tokens.len(), 2);
    let whole = visit.refresh(&token).await;
    let date = DateTime::parse_from_rfc2822(whole.header("date")).unwrap().timestamp();
    let ends = whole.json()["data"]["ends"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap().timestamp();
    let now = visit.sandbox.log().last().unwrap().at.timestamp();
    assert!((0..20).contains(&(now + 900 - date)) && (-1..20).contains(&(ends - date - 3600)), "{}", whole.body);
}
