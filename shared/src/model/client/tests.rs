//! What a client tells of itself.

use chrono::Duration;
use serde_json::json;

use super::*;
use crate::testing::fixtures;

fn settings(patch: serde_json::Value) -> ClientSettings {
    let mut body = json!({ "name": "Example" });
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    serde_json::from_value(body).unwrap()
}

#[test]
fn defaults_are_shown_and_sending_them_back_changes_nothing() {
    for patch in [
        json!({}),
        json!({ "grant_types": ["client_credentials"], "token_request": { "content_type": "json" } }),
        json!({ "token_request": { "method": "GET", "grant_type": "renew", "names": { "client_id": "key" } } }),
        json!({ "token_response": { "access_token": "/data/token", "scope": "scopes", "error": "error" } }),
    ] {
        let own = settings(patch);
        let mut shown = own.with_defaults();
        assert_eq!(shown.with_defaults(), shown);
        shown.drop_defaults(Some(&own));
        assert_eq!(shown, own);
    }
    let shown = settings(json!({ "grant_types": ["client_credentials"] })).with_defaults();
    assert_eq!(shown.token_request.grant_type.as_deref(), Some("client_credentials"));
    assert_eq!(shown.token_request.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!(shown.token_request.names.get("scope").map(String::as_str), Some("scope"));
    assert_eq!(shown.token_response.access_token.as_deref(), Some("access_token"));
}

#[test]
fn the_grant_type_that_was_shown_is_not_kept_when_the_grants_change() {
    let before = settings(json!({}));
    let mut after = ClientSettings { grant_types: vec![GrantType::ClientCredentials], ..before.with_defaults() };
    after.drop_defaults(Some(&before));
    assert_eq!(after.token_request.grant_type, None);
}

#[test]
fn retired_and_expired_secrets_are_not_tried_unless_nothing_else_is_left() {
    let now = fixtures::start();
    let at = |hours| Some(now + Duration::hours(hours));
    let secret = |id: &str, retire_at, expires_at| ClientSecret {
        id: id.to_owned(),
        added_at: now,
        last_success_at: None,
        retire_at,
        expires_at,
    };
    for (secrets, usable) in [
        (vec![secret("new", None, None), secret("old", at(1), None)], vec!["new", "old"]),
        (vec![secret("new", None, at(0)), secret("old", at(1), None)], vec!["old"]),
        (vec![secret("new", None, None), secret("old", at(0), None)], vec!["new"]),
        (vec![secret("new", None, at(-1)), secret("old", None, at(-1))], vec!["new"]),
        (vec![secret("new", at(0), None), secret("old", None, at(-1))], vec!["old"]),
        (vec![secret("new", at(0), at(-1))], vec![]),
    ] {
        let client = Client { client_secrets: secrets, ..fixtures::client(None) };
        let tried: Vec<_> = client.usable_secrets(now).map(|secret| secret.id.as_str()).collect();
        assert_eq!(tried, usable);
    }
}

#[test]
fn what_names_the_host_of_a_secret_is_part_of_its_origin() {
    let client = |patch| settings(patch).token_origin().unwrap();
    let region = |choices| {
        client(json!({
            "token_endpoint": "https://{region}.as.example/token",
            "variables": [{ "key": "region", "choices": choices }],
        }))
    };
    assert_eq!(region(json!(["us", "eu"])), "https://{region=eu|us}.as.example");
    assert_eq!(region(json!(["eu", "us"])), region(json!(["us", "eu"])));
    assert_ne!(region(json!(["eu", "us", "evil"])), region(json!(["eu", "us"])));
    let fixed = |variable, values| {
        client(json!({ "token_endpoint": "{base}/token", "variables": [variable], "values": values }))
    };
    let default = json!({ "key": "base", "default": "https://as.example/x", "visibility": "fixed" });
    assert_eq!(fixed(default, json!({})), "https://as.example");
    let own = json!({ "key": "base", "source": "client" });
    assert_eq!(fixed(own, json!({ "base": "https://as.example/" })), "https://as.example");
    assert_eq!(fixed(json!({ "key": "base" }), json!({})), "{base}");
    for path in ["https://as.example/{tenant}/token", "https://as.example:443/common/token", "https://as.example"] {
        assert_eq!(client(json!({ "token_endpoint": path })), "https://as.example", "{path}");
    }
}

#[test]
fn a_secret_goes_to_the_origins_it_was_entered_for() {
    let own = fixtures::client(None);
    for (endpoint, may) in [
        (Some("https://as.example/other"), true),
        (Some("https://as.example.evil/token"), false),
        (Some("http://as.example/token"), false),
        (Some("https://{x}.as.example/token"), false),
        (None, true),
    ] {
        assert_eq!(own.may_send_secrets_to(endpoint, &own.settings), may, "{endpoint:?}");
    }
    let unbound = Client { secret_origin: None, ..own };
    assert!(!unbound.may_send_secrets_to(Some("https://as.example/token"), &unbound.settings));
}

#[test]
fn the_client_id_stands_in_urls() {
    let own = fixtures::client(None);
    let own = Client { settings: ClientSettings { client_id: Some("a b".to_owned()), ..own.settings }, ..own };
    let url = own.url("api_base_url", "https://api.example/{client_id}", &Default::default()).unwrap();
    assert_eq!(url.as_str(), "https://api.example/a%20b");
}
