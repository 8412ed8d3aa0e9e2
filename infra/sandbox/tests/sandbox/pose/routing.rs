//! Many poses in one sandbox, what they are made of, and what an issuer says about itself.

use std::collections::BTreeMap;

use grantkeeper_sandbox::{Endpoint, PoseSettings};
use serde_json::json;

use super::visitor::*;
use crate::harness::{basic, form, open};

#[tokio::test]
async fn poses_share_addresses_and_the_client_or_the_token_decides() {
    let sandbox = open();
    let pose =
        |client_id: &str, facts| sandbox.pose(PoseSettings { client_id: client_id.into(), ..settings(facts) }).unwrap();
    // The test request of one is somewhere below the API of the other.
    let test = json!({ "path": "/1" });
    let mail = pose("mail", json!({ "api_headers": { "X-App": "mail" }, "test_request": test }));
    let drive = pose("drive", json!({ "api_headers": { "X-App": "drive" } }));
    for (client_id, pose) in [("drive", &drive), ("mail", &mail)] {
        let parameters = by_the_book(&[("client_id", client_id)]);
        let answer = send(&sandbox, "GET", &format!("{AUTHORIZE}?{}", form(&parameters)), &[], "").await;
        let code = answer.redirect_parameter("code").unwrap();
        let basic = basic(client_id, "s3cret");
        let headers = [&MANNERS[..], &[FORM, ("authorization", &basic)]].concat();
        let answer = send(&sandbox, "POST", TOKEN, &headers, &form(&exchange(&code))).await;
        let bearer = format!("Bearer {}", answer.text("access_token"));
        let headers = [&MANNERS[..], &[("authorization", &bearer), ("x-app", client_id)]].concat();
        assert_eq!(send(&sandbox, "GET", "https://x.example/api/1", &headers, "").await.status, 200);
        let last = if client_id == "mail" { Endpoint::Test } else { Endpoint::Api };
        assert_eq!(pose.reached(), [Endpoint::Authorize, Endpoint::Token, last]);
        assert!(pose.complaints().is_empty());
        let wrong = [&MANNERS[..], &[("authorization", &bearer), ("x-app", "other")]].concat();
        send(&sandbox, "GET", "https://x.example/api/1", &wrong, "").await.assert_error(400, "invalid_request");
        assert_eq!(pose.complaints(), [format!("{}: the header X-App must be `{client_id}`", last.as_str())]);
        pose.clear();
        assert!(pose.complaints().is_empty() && pose.reached().is_empty());
    }
}

#[tokio::test]
async fn a_choice_sets_what_it_sets_in_addresses() {
    let choices = json!([
        { "value": "eu", "label": "Europe", "sets": { "infix": ".eu" } }, { "value": "us", "sets": { "infix": "" } },
    ]);
    let facts = json!({
        "token_endpoint": "https://api{infix}.x.example/token",
        "variables": [{ "key": "region", "choices": choices, "default": "us" }],
    });
    let mut settings = settings(facts);
    let hosts = |settings: &PoseSettings| -> Vec<String> {
        let pose = open().pose(settings.clone()).unwrap();
        let tokens = pose.addresses().into_iter().filter(|(endpoint, _)| *endpoint == Endpoint::Token);
        tokens.map(|(_, address)| address).collect()
    };
    assert_eq!(hosts(&settings), ["api.x.example/token"]);
    settings.values = BTreeMap::from([("region".into(), "eu".into())]);
    assert_eq!(hosts(&settings), ["api.eu.x.example/token"]);
    settings.values = BTreeMap::from([("region".into(), "mars".into())]);
    let problem = open().pose(settings).err().unwrap().to_string();
    assert_eq!(problem, "`mars` is none of the choices of `region`");
}

#[test]
fn an_entry_in_another_form_is_no_pose() {
    for (facts, problem) in [
        (json!({ "name": "X" }), "unknown field `name`"),
        (json!({ "token_request": { "verb": "GET" } }), "unknown field `verb`"),
        (json!({ "refresh": { "kind": "sometimes" } }), "unknown variant"),
    ] {
        let error = open().pose(settings(facts)).err().unwrap();
        assert!(format!("{error:#}").contains(problem), "{error:#}");
    }
    let settings = PoseSettings { found: BTreeMap::from([("x".into(), json!(1))]), ..settings(json!({})) };
    assert_eq!(open().pose(settings).err().unwrap().to_string(), "the entry has no variable `x`");
}

#[tokio::test]
async fn an_issuer_has_metadata_and_signs_in_its_own_name() {
    let visit = visit(json!({
        "issuer": "https://x.example/t1", "scopes": { "required": ["openid"] },
        "introspection_endpoint": "https://x.example/introspect",
    }));
    for url in [
        "https://x.example/t1/.well-known/openid-configuration",
        "https://x.example/.well-known/oauth-authorization-server/t1",
    ] {
        let metadata = visit.ask("GET", url, &[], "").await.json();
        assert_eq!((&metadata["issuer"], &metadata["token_endpoint"]), (&json!("https://x.example/t1"), &json!(TOKEN)));
    }
    let keys = visit.ask("GET", "https://x.example/t1/.well-known/jwks.json", &[], "").await.json();
    let asked = by_the_book(&[("scope", "openid"), ("nonce", "n-1")]);
    let code = visit.authorize(&asked).await.redirect_parameter("code").unwrap();
    let answer = visit.post_basic(TOKEN, &exchange(&code)).await;
    let key = serde_json::from_value(keys["keys"][0].clone()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_issuer(&["https://x.example/t1"]);
    validation.set_audience(&["app"]);
    let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
    let claims = jsonwebtoken::decode::<serde_json::Value>(&answer.text("id_token"), &key, &validation).unwrap().claims;
    assert_eq!(claims["nonce"], "n-1");
    let question = [("token", &*answer.text("access_token")), ("token_type_hint", "access_token")];
    let answer = visit.post_basic("https://x.example/introspect", &question).await;
    assert_eq!((&answer.json()["active"], visit.pose.reached().last()), (&json!(true), Some(&Endpoint::Introspect)));
}
