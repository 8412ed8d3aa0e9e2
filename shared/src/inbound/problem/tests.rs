use std::time::Duration;

use super::*;
use crate::protocol::advice::{Situation, Step, classify};

fn written(error: &Error) -> Value {
    Problem::from(error).body("req_1")
}

#[test]
fn advice_changes_what_is_said_and_nothing_of_what_the_error_is() {
    let situation = Situation {
        step: Step::Exchange,
        status: Some(400),
        error: Some("redirect_uri_mismatch"),
        redirect_uri: Some("https://broker.example/callback/k1"),
        ..Situation::default()
    };
    let advice = classify(&situation);
    let wait = Some(Duration::from_secs(7));
    let errors: [fn(Option<Duration>) -> Error; 5] = [
        |_| Error::ClientRejected { error: "invalid_client", status: Some(401) },
        |_| Error::GrantRejected,
        |_| Error::ProviderMisbehaved("it is odd"),
        |retry_after| Error::ProviderUnavailable { what: "it is busy", retry_after },
        |_| Error::ReauthorizationRequired {
            reason: "invalid_grant".to_owned(),
            url: Some("https://app.example".to_owned()),
        },
    ];
    for make in errors {
        let (plain, advised) = (make(wait), make(wait).advised(&situation));
        let (before, after) = (written(&plain), written(&advised));
        for member in [
            "type",
            "title",
            "status",
            "code",
            "retryable",
            "who_can_act",
            "provider_error",
            "reason",
            "reauthorize_url",
        ] {
            assert_eq!(before[member], after[member], "{member}");
        }
        assert_eq!(Problem::from(&plain).retry_after, Problem::from(&advised).retry_after);
        assert_eq!(after["advice"], json!(advice.advice));
        assert_eq!(after["detail"], json!(advice.detail));
        assert_eq!(after["diagnosis"]["code"], "redirect_uri_mismatch");
        assert_eq!(after["diagnosis"]["severity"], "error");
        assert!(after["detail"].as_str().unwrap().contains("https://broker.example/callback/k1"));
        assert!(before.get("diagnosis").is_none());
    }
}

#[test]
fn a_disconnected_credential_and_another_account_are_the_owners_matter() {
    for (error, code) in [(Error::Revoked, "revoked"), (Error::AccountMismatch, "account_mismatch")] {
        let body = written(&error);
        assert_eq!(
            (&body["status"], &body["code"], &body["who_can_act"], &body["retryable"]),
            (&json!(409), &json!(code), &json!("owner"), &json!(false))
        );
        assert!(!body["advice"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_policy_that_forbids_is_named_with_who_can_change_it() {
    let forbidden = Error::PolicyForbids { code: "password_grant_forbidden", detail: "It is off.".to_owned() };
    let body = written(&forbidden);
    assert_eq!((&body["status"], &body["code"]), (&json!(403), &json!("password_grant_forbidden")));
    assert_eq!((&body["who_can_act"], &body["detail"]), (&json!("superuser"), &json!("It is off.")));
    assert!(body["advice"].to_string().contains("allow_password_grant"));
}
