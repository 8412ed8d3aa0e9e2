use serde_json::json;

use super::*;
use crate::opaque::FreshTokens;

fn client(settings: serde_json::Value) -> ClientSettings {
    ClientSettings { client_id: "app".into(), ..serde_json::from_value(settings).unwrap() }
}

fn fresh() -> FreshTokens {
    FreshTokens::generate().unwrap()
}

fn scopes() -> Vec<String> {
    vec!["read".into()]
}

#[test]
fn the_grace_ends_on_the_dot() {
    let client = client(json!({ "grace_seconds": 1 }));
    for (later, works) in [(999, true), (1000, false)] {
        let mut state = State::new(String::new());
        let token = state.grant_password(&client, "ada", scopes(), fresh(), 0).refresh_token.unwrap();
        assert!(state.refresh(&client, &token, None, fresh(), 5000).is_ok());
        assert_eq!(state.refresh(&client, &token, None, fresh(), 5000 + later).is_ok(), works);
    }
}

#[test]
fn without_grace_the_same_millisecond_is_too_late() {
    let client = client(json!({}));
    let mut state = State::new(String::new());
    let token = state.grant_password(&client, "ada", scopes(), fresh(), 0).refresh_token.unwrap();
    assert!(state.refresh(&client, &token, None, fresh(), 0).is_ok());
    assert!(state.refresh(&client, &token, None, fresh(), 0).is_err());
}

#[test]
fn a_revoked_grant_leaves_nothing_behind() {
    let client = client(json!({}));
    let mut state = State::new(String::new());
    let first = state.grant_password(&client, "ada", scopes(), fresh(), 0);
    let second = state.refresh(&client, &first.refresh_token.unwrap(), None, fresh(), 0).unwrap();
    let revocation = state.revoke_token(&client, &second.refresh_token.unwrap(), 0);
    assert_eq!(revocation, Revocation::Done);
    assert!(state.grants.is_empty() && state.access_tokens.is_empty() && state.refresh_tokens.is_empty());
}

#[test]
fn what_can_no_longer_matter_is_forgotten() {
    let client = client(json!({ "access_token_seconds": 1 }));
    let mut state = State::new(String::new());
    for second in 0..100 {
        state.grant_client_credentials(&client, scopes(), fresh(), second * 1000);
    }
    assert_eq!((state.access_tokens.len(), state.grants.len()), (1, 1));
    let kept = state.grant_password(&client, "ada", scopes(), fresh(), 100_000).refresh_token.unwrap();
    state.grant_client_credentials(&client, scopes(), fresh(), 200_000);
    assert!(state.refresh(&client, &kept, None, fresh(), 300_000).is_ok());
}

#[test]
fn a_state_survives_the_data_file() {
    let client = client(json!({}));
    let mut state = State::new("key".into());
    let first = state.grant_password(&client, "ada", scopes(), fresh(), 0);
    state.refresh(&client, &first.refresh_token.unwrap(), None, fresh(), 0).unwrap();
    state.grant_password(&client, "grace", scopes(), fresh(), 0);
    state.clients.insert("app".into(), client);
    state.advance_clock(-5);
    let revoked = state.revoke_user("ada");
    assert_eq!((revoked, state.grant_statuses(0).len()), (1, 2));
    let written = serde_json::to_vec(&state).unwrap();
    assert!(serde_json::from_slice::<State>(&written).unwrap() == state);
}
