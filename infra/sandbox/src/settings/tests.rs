use serde_json::json;

use super::*;

fn settings(value: Value) -> ClientSettings {
    serde_json::from_value(value).unwrap()
}

#[test]
fn left_out_fields_take_their_defaults_and_null_is_a_value() {
    assert_eq!(settings(json!({})), ClientSettings::default());
    assert_eq!(settings(json!({})).expires_in(), Some(3600));
    assert_eq!(settings(json!({ "access_token_seconds": null })).expires_in(), None);
    assert_eq!(settings(json!({ "access_token_seconds": 0 })).expires_in(), None);
}

#[test]
fn settings_survive_the_data_file() {
    let original = settings(json!({
        "client_id": "app", "client_secret": "s", "refresh_token": "static", "reuse_penalty": "token",
        "grant_types": ["password"], "token_endpoint_auth_methods": ["none"], "access_token_seconds": null,
        "token_request": { "content_type": "json", "names": { "client_id": "/a" }, "grant_type": { "password": "pw" } },
        "token_response": { "expires_in_format": "float", "expires_at": "epoch_ms", "extra": { "team": [1, null] } },
        "token_answers": [503, "drop", "drop_after", { "status": 200, "headers": { "a": "b" }, "body": { "c": 1 } }],
        "revoke_answers": [{ "status": 200 }], "api_header": { "name": "X-Token", "prefix": "" },
    }));
    assert_eq!(settings(serde_json::to_value(&original).unwrap()), original);
}

#[test]
fn debug_and_view_hide_the_secret() {
    let client = settings(
        json!({ "client_id": "app", "client_secret": "planted-1", "client_secrets": ["planted-2"], "api_keys": ["planted-3"] }),
    );
    assert!(!format!("{client:?}{}", client.view()).contains("planted"));
}

#[test]
fn scopes_left_out_mean_the_rights_at_the_api() {
    let client = ClientSettings::default();
    assert_eq!(client.scopes_for(None).unwrap(), ["read", "write"]);
    assert_eq!(client.scopes_for(Some("read  openid read")).unwrap(), ["read", "openid"]);
    assert_eq!(client.scopes_for(Some("read admin")), None);
    assert_eq!(client.scopes_for(Some(" ")), None);
    assert_eq!(settings(json!({ "scopes": ["openid"] })).scopes_for(None), None);
}

#[test]
fn a_client_id_is_printable_ascii() {
    for client_id in ["", "ä", "a\nb", &"x".repeat(201)] {
        assert!(settings(json!({ "client_id": client_id })).validate().is_err());
    }
    assert!(settings(json!({ "client_id": "SECRET?%G client" })).validate().is_ok());
}
