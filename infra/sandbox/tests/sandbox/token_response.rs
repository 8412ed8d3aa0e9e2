//! Token answers that look otherwise than RFC 6749 §5 says.

use grantkeeper_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::harness::*;

fn sandbox_shaped(shape: Value) -> Sandbox {
    sandbox_with(json!({ "token_response": shape, "access_token_seconds": 120 }))
}

async fn answer_shaped(shape: Value) -> Value {
    tokens(&sandbox_shaped(shape)).await.json()
}

#[tokio::test]
async fn members_stand_below_a_root_or_where_a_pointer_says() {
    let answer = answer_shaped(json!({ "root": "/data/token" })).await;
    assert_eq!(answer.as_object().unwrap().len(), 1);
    assert_eq!(answer["data"]["token"]["expires_in"], 120);
    assert!(answer["data"]["token"]["access_token"].is_string());

    let names = json!({ "access_token": "/user/access_token", "scope": "scopes", "refresh_token": "a/b" });
    let answer = answer_shaped(json!({ "root": "/data", "names": names })).await;
    assert!(answer["user"]["access_token"].is_string() && answer["data"]["a/b"].is_string());
    assert_eq!(
        (&answer["data"]["scopes"], &answer["data"]["token_type"]),
        (&json!("openid profile read"), &json!("Bearer"))
    );
    assert_eq!((answer.get("access_token"), answer["data"].get("scope")), (None, None));
}

#[tokio::test]
async fn the_lifetime_is_written_in_five_ways() {
    for (format, written) in [
        ("number", Some("120")),
        ("string", Some("\"120\"")),
        ("milliseconds", Some("120000")),
        ("float", Some("120.0")),
        ("missing", None),
    ] {
        let answer = answer_shaped(json!({ "expires_in_format": format })).await;
        assert_eq!(answer.get("expires_in").map(Value::to_string).as_deref(), written, "{format}");
    }
}

#[tokio::test]
async fn the_expiry_may_be_a_moment() {
    let now = sandbox_with(json!({}));
    tokens(&now).await;
    let now = now.log()[0].at.timestamp();
    let is_close = |seconds: i64| (0..20).contains(&(seconds - 120 - now));
    let answer = answer_shaped(json!({ "expires_at": "epoch" })).await;
    assert!(is_close(answer["expires_at"].as_i64().unwrap()) && answer["expires_in"] == 120);
    let answer = answer_shaped(json!({ "expires_at": "epoch_ms", "expires_in_format": "missing" })).await;
    assert!(is_close(answer["expires_at"].as_i64().unwrap() / 1000) && answer.get("expires_in").is_none());
    let answer = answer_shaped(json!({ "expires_at": "iso" })).await;
    let written = answer["expires_at"].as_str().unwrap();
    assert!(written.ends_with('Z') && is_close(written.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()));
}

#[tokio::test]
async fn scopes_have_another_separator_or_are_a_list() {
    let sandbox = sandbox_shaped(json!({ "scope_separator": "," }));
    let code = authorize(&sandbox, &[("scope", "openid,read write")]).await.redirect_parameter("code").unwrap();
    let first = redeem(&sandbox, &code).await;
    assert_eq!(first.text("scope"), "openid,read,write");
    let less =
        [("grant_type", "refresh_token"), ("refresh_token", &first.text("refresh_token")), ("scope", "read,write")];
    assert_eq!(as_app(&sandbox, "/token", &less).await.text("scope"), "read,write");
    let answer = answer_shaped(json!({ "scope_as_list": true })).await;
    assert_eq!(answer["scope"], json!(["openid", "profile", "read"]));
}

#[tokio::test]
async fn answers_and_errors_may_be_forms() {
    let sandbox = sandbox_shaped(json!({ "form_encoded": true, "extra": { "team": { "id": "T1" } } }));
    let answer = tokens(&sandbox).await;
    assert_eq!(answer.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(answer.header("cache-control"), "no-store");
    let pairs: Vec<(String, String)> = form_urlencoded::parse(answer.body.as_bytes()).into_owned().collect();
    let value = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
    assert_eq!((value("expires_in").as_str(), value("scope").as_str()), ("120", "openid profile read"));
    assert_eq!(value("team"), r#"{"id":"T1"}"#);
    assert_valid(&sandbox, &value("access_token")).await;
    let refused = refresh(&sandbox, "unknown").await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (400, "application/x-www-form-urlencoded"));
    assert!(refused.body.starts_with("error=invalid_grant&"));
}

#[tokio::test]
async fn errors_may_come_with_status_200() {
    let sandbox = sandbox_shaped(json!({ "errors_in_200": true }));
    assert_eq!(tokens(&sandbox).await.json()["ok"], true);
    let refused = refresh(&sandbox, "unknown").await;
    refused.assert_error(200, "invalid_grant");
    assert_eq!(refused.json()["ok"], false);
    let stranger = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "no")];
    post_form(&sandbox, "/token", &stranger).await.assert_error(200, "invalid_client");
    let log = sandbox.log();
    assert_eq!((log[1].status, log[1].error.as_deref()), (200, Some("invalid_grant")));
}

#[tokio::test]
async fn extra_members_are_laid_over_the_answer() {
    let extra = json!({ "instance_url": "https://na1.example", "data": { "realmId": 42 }, "refresh_token": "" });
    let answer = answer_shaped(json!({ "root": "/data", "extra": extra })).await;
    assert_eq!((&answer["instance_url"], &answer["data"]["realmId"]), (&json!("https://na1.example"), &json!(42)));
    assert!(answer["data"]["access_token"].is_string());
    assert_eq!(answer["refresh_token"], "");
}

#[tokio::test]
async fn a_hidden_lifetime_counts_and_introspection_tells_it() {
    let hidden =
        json!({ "omit_expires_in": true, "access_token_seconds": 120, "token_response": { "expires_at": "iso" } });
    let sandbox = sandbox_with(hidden);
    let first = tokens(&sandbox).await;
    assert_eq!((first.json().get("expires_in"), first.json().get("expires_at")), (None, None));
    let told = as_app(&sandbox, "/introspect", &[("token", &first.text("access_token"))]).await.json();
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 120);
    assert_eq!(
        (&told["active"], &told["scope"], &told["sub"]),
        (&json!(true), &json!("openid profile read"), &json!("ada"))
    );
    sandbox.advance_clock(121);
    assert_dead(&sandbox, &first.text("access_token")).await;
}
