//! Tokens that were obtained elsewhere come in, and nothing of them goes out but by a token read.

use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::Answer;
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::made::Maker;
use super::requests::{assert_field, assert_is_problem};

impl Maker {
    async fn import(&self, import: Value, patch: Value) -> anyhow::Result<Answer> {
        let mut body = json!({ "name": "Moved", "grant_type": null, "import": import });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
        }
        self.post(body).await
    }

    /// A pair of tokens that another program got from the provider.
    async fn obtained(&self) -> anyhow::Result<(String, String)> {
        let form = [("grant_type", "password"), ("username", "ada"), ("password", "sandbox"), ("scope", "read")];
        let request = grantkeeper_tests::Browser::new().http().post(format!("{}/token", self.world.sandbox_url()));
        let answer: Value = request.basic_auth("app", Some("right-secret")).form(&form).send().await?.json().await?;
        self.world.sandbox().clear_log();
        let token = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok((token("access_token"), token("refresh_token")))
    }
}

#[tokio::test]
async fn an_imported_pair_is_served_and_then_refreshed() -> Outcome {
    let it = Maker::usual().await?;
    let (access_token, refresh_token) = it.obtained().await?;
    let expires_at = (it.world.stack.broker.now() + Duration::seconds(3600)).to_rfc3339();
    let import = json!({ "access_token": access_token, "refresh_token": refresh_token, "expires_at": expires_at, "scopes": ["read"] });
    let patch = json!({
        "external_id": "old-7",
        "labels": { "from": "elsewhere" },
        "account": { "issuer": "https://as.example", "subject": "ada-1" },
        "extra": { "instance_url": "https://na1.example" },
    });
    let made = it.import(import, patch).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for (member, value) in [
        ("grant_type", json!("authorization_code")),
        ("requested_scopes", json!(["read"])),
        ("granted_scopes", json!(["read"])),
        ("external_id", json!("old-7")),
        ("account", json!({ "issuer": "https://as.example", "subject": "ada-1" })),
        ("status", json!("active")),
    ] {
        assert_eq!(made.body[member], value, "{member}");
    }
    let id = made.text("/id");
    assert_eq!(it.world.sandbox().log(), [], "an import asks nobody");
    let read = it.world.read_token(&id, json!({})).await?;
    assert_eq!(read.text("/access_token"), access_token);
    it.world.advance(Duration::seconds(3600));
    assert!(it.works(&id).await?);
    assert_eq!(it.world.requests_of("refresh_token").len(), 1);
    for path in [format!("/v1/credentials/{id}"), "/v1/credentials?external_id=old-7".to_owned()] {
        let answer = it.world.platform().get(&path).await?;
        let text = answer.body.to_string() + &made.body.to_string();
        assert!(!text.contains(&access_token) && !text.contains(&refresh_token) && !text.contains("sbx_"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_alone_or_an_access_token_that_is_over_is_refreshed_by_the_first_read() -> Outcome {
    let it = Maker::usual().await?;
    let past = (it.world.stack.broker.now() - Duration::days(2)).to_rfc3339();
    for (name, with_access) in [("alone", false), ("over", true)] {
        let (access_token, refresh_token) = it.obtained().await?;
        let import = match with_access {
            true => json!({ "access_token": access_token, "refresh_token": refresh_token, "expires_at": past }),
            false => json!({ "refresh_token": refresh_token }),
        };
        let made = it.import(import, json!({ "name": name })).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        assert_eq!(made.body["granted_scopes"], json!(["read"]), "the client's required ones");
        let token = it.world.read_token(&made.text("/id"), json!({})).await?;
        assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
        assert!(it.works(&made.text("/id")).await?);
        assert_eq!(it.world.requests_of("refresh_token").len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn an_access_token_alone_lives_until_its_end_which_is_learned_where_nobody_said_it() -> Outcome {
    let it = Maker::with(ClientSettings { access_token_seconds: Some(500), ..Default::default() }, json!({})).await?;
    let (access_token, _) = it.obtained().await?;
    let made = it.import(json!({ "access_token": access_token }), json!({})).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let expires_at = chrono::DateTime::parse_from_rfc3339(&made.text("/expires_at"))?;
    let left = (expires_at.to_utc() - it.world.stack.broker.now()).num_seconds();
    assert!((500..560).contains(&left), "{left}: the sandbox's clock goes on");
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    it.world.advance(Duration::seconds(560));
    let over = it.world.read_token(&made.text("/id"), json!({})).await?;
    assert_is_problem(&over, 409, "reauthorization_required");
    assert_eq!(over.text("/reason"), "expired_without_refresh_token");
    assert_eq!(it.world.token_requests(), []);

    // What the importer says is believed, and nobody is asked.
    it.world.sandbox().clear_log();
    let years = (it.world.stack.broker.now() + Duration::days(400)).to_rfc3339();
    let made = it.import(json!({ "access_token": "opaque", "expires_at": years }), json!({ "name": "long" })).await?;
    let expires_at = chrono::DateTime::parse_from_rfc3339(&made.text("/expires_at"))?;
    assert_eq!((expires_at.to_utc() - it.world.stack.broker.now()).num_days(), 400);
    assert_eq!(it.world.sandbox().log(), []);
    Ok(())
}

#[tokio::test]
async fn an_import_that_cannot_be_used_is_refused_and_its_tokens_are_not_repeated() -> Outcome {
    let it =
        Maker::with(ClientSettings::default(), json!({ "variables": [{ "key": "team", "required": true }] })).await?;
    let team = json!({ "variables": { "team": "a" } });
    let past = (it.world.stack.broker.now() - Duration::seconds(1)).to_rfc3339();
    let long = format!("CANARY{}", "x".repeat(16 * 1024));
    for (import, pointer, code) in [
        (json!({}), "/import", "token_required"),
        (json!({ "access_token": "" }), "/import/access_token", "not_a_token"),
        (json!({ "access_token": "CANARY token" }), "/import/access_token", "not_a_token"),
        (json!({ "access_token": "CANARY\r\n" }), "/import/access_token", "not_a_token"),
        (json!({ "refresh_token": "CANARYé" }), "/import/refresh_token", "not_a_token"),
        (json!({ "refresh_token": long }), "/import/refresh_token", "not_a_token"),
        (json!({ "access_token": "CANARY", "expires_at": past }), "/import/expires_at", "expired"),
        (json!({ "access_token": "CANARY", "expires_at": "tomorrow" }), "/import/expires_at", "invalid_value"),
        (json!({ "access_token": "CANARY", "id_token": "CANARY" }), "/import/id_token", "unknown_field"),
        (json!({ "refresh_token": "CANARY", "refresh_expires_at": past }), "/import/refresh_expires_at", "expired"),
        (json!({ "access_token": "CANARY", "scopes": ["a b"] }), "/import/scopes/0", "not_a_scope"),
    ] {
        let refused = it.import(import, team.clone()).await?;
        assert_field(&refused, pointer, code);
        assert!(!refused.body.to_string().contains("CANARY"), "{}", refused.body);
    }
    let good = json!({ "access_token": "at" });
    for (patch, pointer, code) in [
        (json!({}), "/variables/team", "required"),
        (
            json!({ "variables": { "team": "a" }, "extra": { "refresh_token": "CANARY" } }),
            "/extra/refresh_token",
            "secret_in_extra",
        ),
        (json!({ "variables": { "team": "a" }, "body": {} }), "/body", "forms_mixed"),
        (json!({ "variables": { "team": "a" }, "username": "ada" }), "/username", "forms_mixed"),
        (
            json!({ "variables": { "team": "a" }, "account": { "issuer": "" , "subject": "s" } }),
            "/account/issuer",
            "empty",
        ),
    ] {
        assert_field(&it.import(good.clone(), patch).await?, pointer, code);
    }
    assert_eq!((it.count().await?, it.world.sandbox().log()), (0, vec![]));
    Ok(())
}

#[tokio::test]
async fn an_import_is_repeated_safely_by_its_key() -> Outcome {
    let it = Maker::usual().await?;
    let caller = it.world.platform().with("Idempotency-Key", "migration-7");
    let body = |token: &str| {
        let import = json!({ "access_token": token, "expires_at": "2999-01-01T00:00:00Z" });
        it.body(json!({ "grant_type": null, "import": import, "external_id": "e" }))
    };
    let first = caller.post("/v1/credentials", body("at-1")).await?;
    let again = caller.post("/v1/credentials", body("at-1")).await?;
    assert_eq!((first.status, &again.body), (StatusCode::CREATED, &first.body), "{}", first.body);
    assert_is_problem(&caller.post("/v1/credentials", body("at-2")).await?, 409, "idempotency_key_reused");
    let found = it.world.platform().get("/v1/credentials?external_id=e").await?;
    assert_eq!(found.body["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn variables_that_answers_supply_come_from_what_the_provider_said_elsewhere() -> Outcome {
    let patch = json!({ "variables": [{ "key": "instance_url", "source": "token", "type": "url", "required": true }] });
    let it = Maker::with(ClientSettings::default(), patch).await?;
    let import = json!({ "access_token": "at", "expires_at": "2999-01-01T00:00:00Z" });
    assert_field(&it.import(import.clone(), json!({})).await?, "/extra/instance_url", "required");
    let bad = json!({ "extra": { "instance_url": "nowhere" } });
    assert_field(&it.import(import.clone(), bad).await?, "/extra/instance_url", "not_a_url");
    let made = it.import(import, json!({ "extra": { "instance_url": "https://na1.example/" } })).await?;
    assert_eq!(made.body["variables"], json!({ "instance_url": "https://na1.example" }), "{}", made.body);
    Ok(())
}
