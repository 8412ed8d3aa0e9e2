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
        "token_faults": [
            { "when": "always", "answer": 503 },
            { "when": { "every": 3 }, "grant_type": "refresh_token", "answer": { "fault": "drop", "after_commit": true } },
            { "when": { "chance": 0.1, "seed": 7 }, "answer": { "fault": "hang", "delay_ms": 5 }, "seen": 4 },
        ],
        "clock_skew_seconds": -30,
        "revoke_answers": [
            { "status": 200 },
            { "fault": "delay", "delay_ms": 1, "after_commit": false },
            { "fault": "status", "status": 503, "retry_after": 30, "delay_ms": 1 },
            { "fault": "truncate", "full_length": false },
            { "fault": "garbage", "body": "bytes" },
            { "fault": "oauth_error", "error": "slow_down", "status": 429 },
        ], "api_header": { "name": "X-Token", "prefix": "" },
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

#[test]
fn what_a_fault_leaves_out_is_the_usual() {
    let answer = |value: Value| serde_json::from_value::<ScriptedAnswer>(value).unwrap();
    let fault = |kind, after_commit| ScriptedAnswer::Fault(Fault::new(kind, after_commit));
    assert_eq!(answer(json!({ "fault": "drop" })), fault(FaultKind::Drop, false));
    assert_eq!(answer(json!({ "fault": "hang" })), fault(FaultKind::Hang, false));
    assert_eq!(answer(json!({ "fault": "hang", "delay_ms": 60_000 })), fault(FaultKind::Hang, false));
    assert_eq!(answer(json!({ "fault": "truncate" })), fault(FaultKind::Truncate { full_length: true }, true));
    assert_eq!(answer(json!({ "fault": "garbage" })), fault(FaultKind::Garbage { body: Garbage::Html }, false));
    let invalid_grant = FaultKind::OauthError { error: "invalid_grant".into(), status: None, retry_after: None };
    assert_eq!(answer(json!({ "fault": "oauth_error" })), fault(invalid_grant, false));
    let late = Fault { delay_ms: 7, ..Fault::new(FaultKind::Delay, true) };
    assert_eq!(answer(json!({ "fault": "delay", "delay_ms": 7 })), ScriptedAnswer::Fault(late));
}

#[test]
fn a_fault_built_in_rust_is_checked_as_well() {
    let faulty = |answer| ClientSettings { token_answers: [answer].into(), ..settings(json!({ "client_id": "app" })) };
    let uncut = Fault::new(FaultKind::Truncate { full_length: true }, false);
    assert!(faulty(ScriptedAnswer::Fault(uncut)).validate().is_err());
    assert!(faulty(ScriptedAnswer::Fault(Fault::new(FaultKind::Drop, true))).validate().is_ok());
}
