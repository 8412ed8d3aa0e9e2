//! A program reports a token that the API refused: one guarded refresh at most, and a verdict.

use chrono::Duration;
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper_sandbox::{ClientSettings, RefreshTokenMode};
use grantkeeper_tests::{Answer, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::races::at_once;
use super::refresh::Connected;

const INVALID: &str =
    r#"Bearer realm="x", error="invalid_token", error_description="the access token is unknown, expired or revoked""#;

impl Connected {
    async fn report(&self, body: Value) -> anyhow::Result<Answer> {
        self.world.runner().post(&format!("/v1/credentials/{}/report", self.id), body).await
    }

    async fn refused(&self, generation: u64, www_authenticate: &str) -> anyhow::Result<Answer> {
        self.report(json!({ "generation": generation, "status": 401, "www_authenticate": www_authenticate })).await
    }
}

fn verdict(answer: &Answer) -> (String, Value, Value, Value) {
    let part = |name: &str| answer.body[name].clone();
    (answer.text("/verdict"), part("generation"), part("refreshed"), part("retry"))
}

fn expected(verdict: &str, generation: u64, refreshed: bool, retry: bool) -> (String, Value, Value, Value) {
    (verdict.to_owned(), json!(generation), json!(refreshed), json!(retry))
}

#[tokio::test]
async fn two_hundred_reports_of_one_generation_cost_one_refresh() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(120));
    let (runner, path) = (it.world.runner(), format!("/v1/credentials/{}/report", it.id));
    let body = json!({ "generation": 1, "status": 401, "www_authenticate": INVALID });
    let answers = at_once(200, || {
        let (runner, path, body) = (runner.clone(), path.clone(), body.clone());
        async move { runner.post(&path, body).await }
    });
    let mut refreshed = 0;
    for answer in answers.await? {
        assert_eq!((answer.status, &answer.body["generation"]), (StatusCode::OK, &json!(2)), "{}", answer.body);
        assert_eq!(answer.body["retry"], json!(true));
        assert!(["refreshed", "superseded"].contains(&answer.text("/verdict").as_str()));
        refreshed += usize::from(answer.body["refreshed"] == json!(true));
    }
    assert!(it.refreshes() == 1 && refreshed >= 1, "{} refreshes, {refreshed} reports", it.refreshes());
    assert_eq!(verdict(&it.refused(1, INVALID).await?), expected("superseded", 2, false, true));
    assert!(it.works(&it.token(json!({})).await?).await?);
    Ok(())
}

#[tokio::test]
async fn what_another_token_would_not_mend_costs_no_refresh() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(120));
    let scope = r#"Bearer error="insufficient_scope", scope="admin""#;
    for (status, challenge, said, code, words) in [
        (401, scope, "insufficient_scope", "api_insufficient_scope", "admin"),
        (403, scope, "insufficient_scope", "api_insufficient_scope", "admin"),
        (403, "", "insufficient_scope", "api_forbidden", "not allowed"),
        (
            401,
            r#"Bearer error="invalid_token", error_description="the token is for another audience""#,
            "audience",
            "api_audience",
            "another API",
        ),
        (401, r#"Bearer error="invalid_target""#, "audience", "api_audience", "another API"),
        (401, "Zoho-oauthtoken", "header_scheme", "api_header_prefix", "Zoho-oauthtoken"),
    ] {
        let body = json!({ "generation": 1, "status": status, "www_authenticate": challenge });
        let answer = it.report(body).await?;
        assert_eq!(verdict(&answer), expected(said, 1, false, false), "{status} {challenge} {}", answer.body);
        assert_eq!(answer.text("/code"), code, "{challenge}");
        assert!(answer.text("/detail").contains(words), "{}", answer.body);
        assert!(!answer.body["advice"].as_array().unwrap().is_empty());
    }
    assert_eq!(it.refreshes(), 0);
    Ok(())
}

#[tokio::test]
async fn a_token_that_a_refresh_just_brought_is_not_refreshed_again() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(120));
    assert_eq!(verdict(&it.refused(1, INVALID).await?), expected("refreshed", 2, true, true));
    for (after, challenge, code) in [
        (0, INVALID, "api_audience"),
        (59, r#"Bearer error="invalid_token", error_description="The access token expired""#, "api_token_expired"),
        (0, "Bearer", "api_token_not_seen"),
    ] {
        it.world.advance(Duration::seconds(after));
        let answer = it.refused(2, challenge).await?;
        assert_eq!(verdict(&answer), expected("rejected_while_fresh", 2, false, false), "{}", answer.body);
        assert_eq!(answer.text("/code"), code);
    }
    assert_eq!(it.refreshes(), 1);
    it.world.advance(Duration::seconds(1));
    assert_eq!(verdict(&it.refused(2, INVALID).await?), expected("refreshed", 3, true, true));
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_the_provider_would_refuse_as_too_early_is_not_made_for_a_report() -> Outcome {
    let it = Connected::with(ClientSettings::default(), json!({ "refresh": { "min_age_seconds": 600 } })).await?;
    it.world.advance(Duration::seconds(599));
    assert_eq!(verdict(&it.refused(1, INVALID).await?), expected("rejected_while_fresh", 1, false, false));
    it.world.advance(Duration::seconds(1));
    assert_eq!(verdict(&it.refused(1, INVALID).await?), expected("refreshed", 2, true, true));
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_asks_for_consent() -> Outcome {
    let settings = ClientSettings { refresh_token: RefreshTokenMode::None, ..ClientSettings::default() };
    let it = Connected::with(settings, json!({})).await?;
    let answer = it.report(json!({ "generation": 1, "status": 401 })).await?;
    assert_eq!(verdict(&answer), expected("reauthorization_required", 1, false, false));
    assert_eq!((answer.text("/code"), it.refreshes()), ("not_refreshable".to_owned(), 0));

    let it = Connected::usual().await?;
    it.world.withdraw("ada").await?;
    for _ in 0..2 {
        let answer = it.refused(1, INVALID).await?;
        assert_eq!(verdict(&answer), expected("reauthorization_required", 1, false, false), "{}", answer.body);
        assert_eq!(answer.text("/code"), "reauthorization_required");
    }
    assert_eq!(it.refreshes(), 1, "the second report asks nobody");
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_what_is_there_and_is_not_repeated_by_each_report() -> Outcome {
    let it = Connected::usual().await?;
    it.world
        .change_at_sandbox("app", json!({ "token_answers": [{ "status": 429, "headers": {}, "body": "" }] }))
        .await?;
    for _ in 0..5 {
        let answer = it.refused(1, INVALID).await?;
        assert_eq!(verdict(&answer), expected("refresh_failed", 1, false, false), "{}", answer.body);
        assert_eq!(answer.text("/code"), "provider_unavailable");
    }
    assert_eq!(it.world.token_requests().len(), 1);
    let token = it.token(json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(1)));
    Ok(())
}

#[tokio::test]
async fn a_report_is_read_strictly_and_taken_from_those_who_may_read() -> Outcome {
    let it = Connected::usual().await?;
    for (body, pointer, code) in [
        (json!({ "status": 401 }), "/generation", "missing_field"),
        (json!({ "generation": 1 }), "/status", "missing_field"),
        (json!({ "generation": 1, "status": 500 }), "/status", "unsupported"),
        (json!({ "generation": 1, "status": 200 }), "/status", "unsupported"),
        (json!({ "generation": 2, "status": 401 }), "/generation", "unknown_generation"),
        (json!({ "generation": 0, "status": 401 }), "/generation", "unknown_generation"),
        (json!({ "generation": -1, "status": 401 }), "/generation", "invalid_value"),
        (json!({ "generation": 1, "status": 401, "token": "x" }), "/token", "unknown_field"),
    ] {
        let refused = it.report(body.clone()).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.field_errors(), [(pointer.to_owned(), code.to_owned())], "{body}");
    }
    let (path, body) = (format!("/v1/credentials/{}/report", it.id), json!({ "generation": 1, "status": 403 }));
    let superuser = it.world.superuser().with("Grantkeeper-Project", it.world.stack.project.as_str());
    assert_eq!(superuser.post(&path, body.clone()).await?.code(), "role_not_allowed");
    assert_eq!(it.world.platform().acting_for("grace").post(&path, body.clone()).await?.code(), "not_the_owner");
    assert_eq!(it.world.platform().post(&path, body.clone()).await?.status, StatusCode::OK);
    for (status, answer) in [(CredentialStatus::Suspended, 423), (CredentialStatus::Revoking, 409)] {
        it.set_status(status).await?;
        assert_eq!(it.report(body.clone()).await?.status.as_u16(), answer);
    }
    assert_eq!(it.refreshes(), 0);
    Ok(())
}

#[tokio::test]
async fn a_life_that_no_answer_states_is_learned_from_a_refusal() -> Outcome {
    // Nothing is said, and the tokens live 55 minutes: an hour is assumed until the API refuses one.
    let settings =
        ClientSettings { omit_expires_in: true, access_token_seconds: Some(3300), ..ClientSettings::default() };
    let world = World::new().await?;
    let at = |path: &str| format!("{}{path}", world.sandbox_url());
    let endpoints =
        json!({ "issuer": null, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token") });
    let it = Connected::inside(world, settings, endpoints).await?;
    let life = |answer: &Answer| {
        let at = |name: &str| chrono::DateTime::parse_from_rfc3339(&answer.text(name)).unwrap().to_utc();
        at("/expires_at") - it.world.stack.broker.now()
    };
    assert_eq!(life(&it.token(json!({})).await?), Duration::hours(1));
    it.world.advance(Duration::seconds(3400));
    assert_eq!(verdict(&it.refused(1, INVALID).await?), expected("refreshed", 2, true, true));
    // From the next refresh on: before the life is over that the last one had.
    it.world.advance(Duration::hours(1));
    assert_eq!(life(&it.token(json!({})).await?), Duration::seconds(3400));
    Ok(())
}

#[tokio::test]
async fn a_refusal_long_before_the_end_teaches_nothing() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(120));
    assert_eq!(verdict(&it.refused(1, INVALID).await?), expected("refreshed", 2, true, true));
    assert_eq!(it.stored().await?.learned_lifetime, None, "somebody may have withdrawn it");
    Ok(())
}
