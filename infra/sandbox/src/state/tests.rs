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

#[test]
fn a_grant_whose_only_token_was_revoked_alone_goes_with_the_next_that_expires() {
    let client = client(json!({ "access_token_seconds": 10 }));
    let mut state = State::new(String::new());
    let revoked = state.grant_client_credentials(&client, scopes(), fresh(), 0).access_token;
    state.grant_client_credentials(&client, scopes(), fresh(), 0);
    state.revoke_token(&client, &revoked, 0);
    assert_eq!((state.access_tokens.len(), state.grants.len()), (1, 2));
    state.grant_client_credentials(&client, scopes(), fresh(), 10_000);
    assert_eq!((state.access_tokens.len(), state.grants.len(), state.bare.len()), (1, 1, 0));
}

#[test]
fn refresh_tokens_are_told_in_the_order_they_were_given_out_in_also_within_one_millisecond() {
    let client = client(json!({}));
    let mut state = State::new(String::new());
    state.clients.insert("app".into(), client.clone());
    let mut values = vec![state.grant_password(&client, "ada", scopes(), fresh(), 0).refresh_token.unwrap()];
    for _ in 0..9 {
        values
            .push(state.refresh(&client, &values[values.len() - 1], None, fresh(), 0).unwrap().refresh_token.unwrap());
    }
    let told = state.grant_statuses(0);
    let fingerprints: Vec<_> = values.iter().map(|value| crate::opaque::fingerprint(value)).collect();
    assert_eq!((told[0].id, &told[0].refresh_tokens), (1, &fingerprints));
    assert_eq!(told[0].usable_refresh_tokens, fingerprints[9..]);
}

#[test]
fn refresh_tokens_of_a_file_without_ordinals_are_ordered_by_their_time() {
    let client = client(json!({}));
    let mut state = State::new(String::new());
    let mut token = state.grant_password(&client, "ada", scopes(), fresh(), 0).refresh_token.unwrap();
    for second in 1..5 {
        token = state.refresh(&client, &token, None, fresh(), second * 1000).unwrap().refresh_token.unwrap();
    }
    let mut written = serde_json::to_value(&state).unwrap();
    for token in written["refresh_tokens"].as_object_mut().unwrap().values_mut() {
        token.as_object_mut().unwrap().remove("ordinal").unwrap();
    }
    written.as_object_mut().unwrap().remove("bare").unwrap();
    assert!(serde_json::from_value::<State>(written).unwrap() == state);
}

#[test]
fn a_digest_that_is_no_digest_is_refused() {
    let written = serde_json::to_value(State::new(String::new())).unwrap();
    let token = json!({ "grant": 1, "issued_at": 0, "spent_at": null });
    for (digest, good) in [("ab".repeat(32), true), ("ab".repeat(31), false), ("é".repeat(32), false)] {
        let mut written = written.clone();
        written["refresh_tokens"] = json!({ digest: token });
        assert_eq!(serde_json::from_value::<State>(written).is_ok(), good);
    }
}
