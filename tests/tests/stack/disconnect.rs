//! The end of a credential: no token from here at once, and none alive at the provider in the end (RFC 7009).

use std::time::Duration as StdDuration;

use chrono::Duration;
use grantkeeper::model::credential::{Credential, CredentialKind};
use grantkeeper::model::ids::CredentialId;
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::{ClientSettings, LogEntry, ReusePenalty};
use grantkeeper_tests::{Answer, Backend, Proxy, Reply, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::change::assert_refused;
use super::refresh::Connected;

impl Connected {
    async fn disconnect(&self) -> anyhow::Result<Answer> {
        self.ada().delete(&self.path()).await
    }

    /// The queue tried so often, in vain.
    async fn tried(&self, fails: u32) -> Outcome {
        for _ in 0..200 {
            if self.item().await?.fails == fails {
                return Ok(());
            }
            tokio::time::sleep(StdDuration::from_millis(25)).await;
        }
        anyhow::bail!("not tried {fails} times: {:?}", self.item().await?)
    }

    /// What the provider knows of the grants of the client.
    async fn grants_alive(&self) -> anyhow::Result<usize> {
        let sandbox = Backend::new(self.world.sandbox_url(), None);
        let grants = sandbox.get("/admin/grants?client_id=app").await?.body;
        let grants = grants.as_array().cloned().or_else(|| grants["grants"].as_array().cloned()).unwrap_or_default();
        Ok(grants.iter().filter(|grant| grant["alive"] == json!(true)).count())
    }

    fn revocations(&self) -> Vec<LogEntry> {
        self.world.sandbox().log().into_iter().filter(|entry| entry.path == "/revoke").collect()
    }

    async fn ask_provider(&self, path: &str, form: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.world.sandbox_url());
        let asked = grantkeeper_tests::browser::http().post(url).basic_auth("app", Some("right-secret")).form(form);
        Ok(asked.send().await?.json().await?)
    }
}

fn assert_ended(metadata: &Answer, verdict: &str, provider_status: Value) {
    assert_eq!((metadata.status, metadata.text("/status")), (StatusCode::OK, "revoked".into()), "{}", metadata.body);
    assert_eq!(metadata.text("/status_reason"), verdict);
    assert_eq!(metadata.text("/evidence/verdict"), verdict);
    assert_eq!(metadata.body["evidence"]["provider_status"], provider_status);
    assert!(metadata.body["evidence"]["at"].is_string());
}

#[tokio::test]
async fn a_disconnected_credential_is_over_here_at_once_and_there_in_the_end() -> Outcome {
    let it = Connected::usual().await?;
    let name = it.metadata().await?.text("/name");
    let tokens: Value = serde_json::from_str(&it.world.secret(&it.id).await?)?;
    it.world.change_at_sandbox("app", json!({ "revoke_answers": [503, 503, 503] })).await?;
    let answer = it.disconnect().await?;
    assert_eq!((answer.status, answer.text("/status")), (StatusCode::ACCEPTED, "revoking".into()), "{}", answer.body);
    assert_eq!((&answer.body["id"], &answer.body["evidence"]), (&json!(it.id), &Value::Null));
    for refused in [it.token(json!({})).await?, it.refresh().await?, it.patch(json!({ "name": "again" })).await?] {
        assert_refused(&refused, StatusCode::CONFLICT, "revoked");
    }
    // Three times it is unavailable, with growing pauses; nothing is forgotten meanwhile.
    for (fails, pause) in [(1, 10), (2, 20), (3, 40)] {
        it.tried(fails).await?;
        assert_eq!(it.metadata().await?.text("/status"), "revoking");
        assert_eq!(it.grants_alive().await?, 1);
        it.world.advance(Duration::seconds(pause - 1));
        assert_eq!(it.world.stack.broker.tick().await?, 0, "{fails}");
        it.world.advance(Duration::seconds(1));
        assert_eq!(it.world.stack.broker.tick().await?, 1, "{fails}");
    }
    it.until("revoked").await?;
    assert_ended(&it.metadata().await?, "revoked", json!(200));
    let statuses: Vec<_> = it.revocations().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [503, 503, 503, 200, 200], "at last the refresh token and the access token");
    assert_eq!(it.grants_alive().await?, 0);
    let text = |name: &str| tokens[name].as_str().unwrap();
    for token in ["access_token", "refresh_token"] {
        let known = it.ask_provider("/introspect", &[("token", text(token))]).await?;
        assert_eq!(known["active"], json!(false), "{token}");
    }
    let form = [("grant_type", "refresh_token"), ("refresh_token", text("refresh_token"))];
    assert_eq!(it.ask_provider("/token", &form).await?["error"], "invalid_grant");
    assert!(it.world.secret(&it.id).await.is_err(), "the vault has nothing of it");

    // What is known of it stays, in the list for those who ask for it; it is no work any more.
    let listed =
        async |query: &str| anyhow::Ok(it.ada().get(&format!("/v1/credentials{query}")).await?.body["items"].clone());
    assert_eq!(listed("?status=revoked").await?[0], it.metadata().await?.body);
    assert_eq!(listed("").await?, json!([]));
    it.world.advance(Duration::days(1));
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    let attempts = it.ada().get(&format!("{}/attempts", it.path())).await?;
    let of = |purpose: &str| -> Vec<String> {
        let items = attempts.body["items"].as_array().unwrap().iter();
        items
            .filter(|item| item["purpose"] == purpose)
            .map(|item| item["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(of("revoke"), ["ok", "provider_unavailable", "provider_unavailable", "provider_unavailable"]);
    assert_eq!(of("exchange"), ["ok"]);
    // The name was free from the beginning.
    assert_eq!(it.world.connect(json!({ "clients": [it.client], "name": name })).await?["name"], json!(name));
    Ok(())
}

#[tokio::test]
async fn the_name_is_free_while_the_provider_is_still_told() -> Outcome {
    let it = Connected::usual().await?;
    let name = it.metadata().await?.text("/name");
    it.world.change_at_sandbox("app", json!({ "revoke_answers": [503, 503] })).await?;
    it.disconnect().await?;
    let again = it.world.connect(json!({ "clients": [it.client], "name": name })).await?;
    assert_eq!((&again["name"], &again["status"]), (&json!(name), &json!("active")));
    it.tried(1).await?;
    assert_eq!(it.metadata().await?.text("/status"), "revoking");
    Ok(())
}

#[tokio::test]
async fn a_credential_that_is_disconnected_twice_is_disconnected_once() -> Outcome {
    let it = Connected::usual().await?;
    it.world.change_at_sandbox("app", json!({ "revoke_answers": [503] })).await?;
    it.disconnect().await?;
    it.tried(1).await?;
    let again = it.disconnect().await?;
    assert_eq!((again.status, again.text("/status")), (StatusCode::ACCEPTED, "revoking".into()));
    assert_eq!(it.item().await?.fails, 1, "the pause goes on");
    it.world.advance(Duration::seconds(10));
    it.world.stack.broker.tick().await?;
    it.until("revoked").await?;
    let again = it.disconnect().await?;
    assert_eq!((again.status, again.text("/status")), (StatusCode::ACCEPTED, "revoked".into()));
    assert_eq!(it.revocations().len(), 3);
    for suspended in [true, false] {
        assert_refused(&it.patch(json!({ "suspended": suspended })).await?, StatusCode::CONFLICT, "revoked");
        let refused = it.root().patch(&it.path(), json!({ "suspended": suspended })).await?;
        assert_refused(&refused, StatusCode::CONFLICT, "revoked");
    }
    Ok(())
}

/// A client that is registered by its endpoints; the revocation endpoint, if any, is this one.
async fn revoking_at(world: World, endpoint: Option<String>) -> anyhow::Result<Connected> {
    let patch = json!({
        "issuer": null,
        "authorization_endpoint": format!("{}/authorize", world.sandbox_url()),
        "token_endpoint": format!("{}/token", world.sandbox_url()),
        "revocation_endpoint": endpoint,
    });
    Connected::inside(world, ClientSettings::default(), patch).await
}

#[tokio::test]
async fn a_provider_that_cannot_be_told_is_said_to_be_one() -> Outcome {
    let it = revoking_at(World::new().await?, None).await?;
    assert_eq!(it.disconnect().await?.text("/status"), "revoking");
    it.until("revoked").await?;
    assert_ended(&it.metadata().await?, "not_supported", Value::Null);
    assert!(it.world.secret(&it.id).await.is_err());
    Ok(())
}

#[tokio::test]
async fn every_refusal_that_may_pass_is_asked_again_and_every_other_is_on_record() -> Outcome {
    let proxy = Proxy::to("http://127.0.0.1:1").await?;
    for (reply, expected) in [
        (Reply::Instead(500, json!({})), "again"),
        (Reply::Instead(429, json!({})), "again"),
        (Reply::Instead(401, json!({ "error": "invalid_client" })), "again"),
        (Reply::Later(503, "900"), "much later"),
        (Reply::Instead(400, json!({ "error": "invalid_request" })), "again"),
        (Reply::Instead(404, json!({})), "again"),
        (Reply::Instead(400, json!({ "error": "unsupported_token_type" })), "refused"),
        (Reply::Instead(400, json!({ "error": "invalid_token" })), "revoked"),
    ] {
        let origins = vec![proxy.url.clone()];
        let world =
            World::with(|options| grantkeeper_local::stack::Options { insecure_origins: origins, ..options }).await?;
        proxy.point_to(world.sandbox_url());
        let it = revoking_at(world, Some(format!("{}/revoke", proxy.url))).await?;
        proxy.always(Some(reply.clone()));
        it.disconnect().await?;
        if expected == "refused" || expected == "revoked" {
            it.until("revoked").await?;
            assert_ended(&it.metadata().await?, expected, json!(400));
            assert!(it.world.secret(&it.id).await.is_err(), "{reply:?}");
            continue;
        }
        it.tried(1).await?;
        it.world.advance(Duration::seconds(10));
        let due = it.world.stack.broker.tick().await?;
        if expected == "much later" {
            assert_eq!(due, 0, "it asked for a quarter of an hour");
            it.world.advance(Duration::seconds(890));
            it.world.stack.broker.tick().await?;
        }
        it.tried(2).await?;
        assert!(it.world.secret(&it.id).await.is_ok(), "{reply:?}: the tokens are still needed");
        proxy.always(None);
        it.world.advance(Duration::hours(1));
        it.world.stack.broker.tick().await?;
        it.until("revoked").await?;
        assert_ended(&it.metadata().await?, "revoked", json!(200));
        assert_eq!(it.grants_alive().await?, 0, "{reply:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_proves_nothing() -> Outcome {
    let it = Connected::usual().await?;
    it.world.change_at_sandbox("app", json!({ "revoke_answers": ["drop", "drop_after"] })).await?;
    it.disconnect().await?;
    for (fails, pause) in [(1, 10), (2, 20)] {
        it.tried(fails).await?;
        it.world.advance(Duration::seconds(pause));
        it.world.stack.broker.tick().await?;
    }
    it.until("revoked").await?;
    assert_ended(&it.metadata().await?, "revoked", json!(200));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnection_during_a_refresh_ends_what_the_refresh_brings() -> Outcome {
    let settings = ClientSettings { grace_seconds: 0, reuse_penalty: ReusePenalty::Token, ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    it.world.change_at_sandbox("app", json!({ "delay_ms": 1500 })).await?;
    let (refreshed, ended) = tokio::join!(it.refresh(), async {
        tokio::time::sleep(StdDuration::from_millis(700)).await;
        it.disconnect().await
    });
    assert_refused(&refreshed?, StatusCode::CONFLICT, "revoked");
    assert_eq!(ended?.text("/status"), "revoking");
    assert_eq!((it.refreshes(), it.revocations().len()), (1, 0), "the worker may be alive as long as its lease");
    it.world.change_at_sandbox("app", json!({ "delay_ms": 0 })).await?;
    it.world.advance(Duration::seconds(26));
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    it.until("revoked").await?;
    assert_ended(&it.metadata().await?, "revoked", json!(200));
    let spent = it.presented();
    let told: Vec<_> = it.revocations().into_iter().filter_map(|entry| entry.refresh_token).collect();
    assert!(told.iter().any(|token| !spent.contains(token)), "the new refresh token: {told:?}");
    assert_eq!(it.grants_alive().await?, 0);
    assert_eq!(it.metadata().await?.body["generation"], json!(1));
    Ok(())
}

#[tokio::test]
async fn a_credential_is_disconnected_wherever_it_stands() -> Outcome {
    for state in ["suspended", "reauthorization_required", "client deleted"] {
        let it = Connected::usual().await?;
        let (verdict, status) = match state {
            "suspended" => {
                it.root().patch(&it.path(), json!({ "suspended": true })).await?;
                ("revoked", json!(200))
            }
            "reauthorization_required" => {
                it.world.withdraw("ada").await?;
                it.refresh().await?;
                ("revoked", json!(200))
            }
            _ => {
                it.world.superuser().delete(&format!("/v1/clients/{}", it.client)).await?;
                it.world.advance(Duration::seconds(31));
                ("client_deleted", Value::Null)
            }
        };
        let answer = it.disconnect().await?;
        assert_eq!((answer.status, answer.text("/status")), (StatusCode::ACCEPTED, "revoking".into()), "{state}");
        it.until("revoked").await?;
        assert_ended(&it.metadata().await?, verdict, status);
        assert!(it.world.secret(&it.id).await.is_err(), "{state}");
    }
    Ok(())
}

#[tokio::test]
async fn a_raw_credential_has_nothing_to_revoke() -> Outcome {
    let it = Connected::usual().await?;
    // As one is stored: no client, no tokens.
    let raw = Credential {
        id: CredentialId::generate(),
        name: "raw".to_owned(),
        kind: CredentialKind::Raw,
        client: None,
        refreshable: false,
        refresh_after: None,
        at_exp: None,
        ..it.item().await?
    };
    it.world.store().insert_credential(&raw).await?;
    let raw = Connected { id: raw.id.to_string(), ..it };
    let metadata = raw.metadata().await?;
    assert_eq!((metadata.text("/kind"), &metadata.body["refresh_forecast"]), ("raw".into(), &Value::Null));
    assert_eq!(raw.disconnect().await?.status, StatusCode::ACCEPTED);
    raw.until("revoked").await?;
    assert_ended(&raw.metadata().await?, "nothing_to_revoke", Value::Null);
    assert_eq!(raw.revocations().len(), 0);
    Ok(())
}
