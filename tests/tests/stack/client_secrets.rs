//! Client secrets rotate with overlap: nobody notices, and no change of a client loses another.

use chrono::{DateTime, Duration, Utc};
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Backend, Browser, Proxy, World};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

pub(super) const OLD: &str = "old-secret-4f2a";
pub(super) const NEW: &str = "new-secret-9c1b";

/// A world with one client of its own.
pub(super) struct Client {
    pub(super) world: World,
    pub(super) id: String,
}

impl Client {
    pub(super) async fn new() -> anyhow::Result<Self> {
        Self::inside(World::new().await?, json!({})).await
    }

    async fn inside(world: World, patch: Value) -> anyhow::Result<Self> {
        let settings =
            ClientSettings { client_id: "app".into(), client_secret: Some(OLD.into()), ..Default::default() };
        let id = world.register(settings, patch).await?;
        Ok(Self { world, id })
    }

    pub(super) fn path(&self) -> String {
        format!("/v1/clients/{}", self.id)
    }

    pub(super) async fn add(&self, body: Value) -> anyhow::Result<Answer> {
        self.world.superuser().post(&format!("{}/secrets", self.path()), body).await
    }

    async fn delete(&self, secret: &str) -> anyhow::Result<Answer> {
        self.world.superuser().delete(&format!("{}/secrets/{secret}", self.path())).await
    }

    pub(super) async fn secrets(&self) -> anyhow::Result<Vec<Value>> {
        let client = self.world.superuser().get(&self.path()).await?;
        Ok(client.body["client_secrets"].as_array().unwrap().clone())
    }

    pub(super) async fn connect(&self, name: &str) -> anyhow::Result<String> {
        let credential = self.world.connect(json!({ "clients": [self.id], "name": name, "scopes": [] })).await?;
        Ok(credential["id"].as_str().unwrap().to_owned())
    }

    pub(super) async fn refresh(&self, credential: &str) -> anyhow::Result<Answer> {
        self.world.platform().post(&format!("/v1/credentials/{credential}/refresh"), json!({})).await
    }

    /// Only these secrets count at the provider from now on.
    pub(super) async fn swap(&self, first: &str, further: &[&str]) -> Outcome {
        let change = json!({ "client_secret": first, "client_secrets": further });
        self.world.change_at_sandbox("app", change).await
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_new_secret_is_tried_first_and_the_others_retire() -> Outcome {
    let it = Client::new().await?;
    let now = it.world.stack.broker.now();
    let expires_at = (now + Duration::days(90)).to_rfc3339();
    let added = it.add(json!({ "client_secret": NEW, "expires_at": expires_at })).await?;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
    let members: Vec<_> = added.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["added_at", "expires_at", "id", "last_success_at", "retire_at"]);
    assert_eq!((&added.body["last_success_at"], &added.body["retire_at"]), (&Value::Null, &Value::Null));
    assert_eq!((time(&added.body["added_at"]), time(&added.body["expires_at"])), (now, now + Duration::days(90)));
    let secrets = it.secrets().await?;
    assert_eq!((secrets.len(), &secrets[0]), (2, &added.body));
    assert_eq!(time(&secrets[1]["retire_at"]), now + Duration::hours(24));
    // A later rotation never lets an earlier one last longer.
    it.add(json!({ "client_secret": "third", "retire_others_after_hours": 8760 })).await?;
    let retire: Vec<_> = it.secrets().await?[1..].iter().map(|secret| time(&secret["retire_at"])).collect();
    assert_eq!(retire, [now + Duration::hours(8760), now + Duration::hours(24)]);
    let shown = it.world.superuser().get(&it.path()).await?.body.to_string() + &added.body.to_string();
    assert!(!shown.contains(OLD) && !shown.contains(NEW), "{shown}");
    Ok(())
}

#[tokio::test]
async fn wrong_fields_of_a_new_secret_are_named() -> Outcome {
    let it = Client::new().await?;
    for (body, pointer, code) in [
        (json!({}), "/client_secret", "missing_field"),
        (json!({ "client_secret": "" }), "/client_secret", "not_a_secret"),
        (json!({ "client_secret": "CANARY\n" }), "/client_secret", "not_a_secret"),
        (json!({ "client_secret": ["CANARY"] }), "/client_secret", "invalid_value"),
        (json!({ "client_secret": "CANARY", "expires_at": "2020-01-01T00:00:00Z" }), "/expires_at", "out_of_range"),
        (
            json!({ "client_secret": "CANARY", "retire_others_after_hours": 8761 }),
            "/retire_others_after_hours",
            "out_of_range",
        ),
        (
            json!({ "client_secret": "CANARY", "retire_others_after_hours": -1 }),
            "/retire_others_after_hours",
            "invalid_value",
        ),
        (json!({ "client_secret": "CANARY", "id": "x" }), "/id", "unknown_field"),
    ] {
        let refused = it.add(body).await?;
        assert_field(&refused, pointer, code);
        assert!(!refused.body.to_string().contains("CANARY"), "{}", refused.body);
    }
    assert_eq!(it.secrets().await?.len(), 1);
    let person = json!({ "name": "Own", "credentials_from": "person", "token_endpoint": "https://as.example/token" });
    let person = it.world.superuser().post("/v1/clients", person).await?.text("/id");
    let path = format!("/v1/clients/{person}/secrets");
    let refused = it.world.superuser().post(&path, json!({ "client_secret": NEW })).await?;
    assert_field(&refused, "/client_secret", "not_used");
    let draft = it.world.superuser().post("/v1/clients", json!({ "name": "Draft" })).await?.text("/id");
    let path = format!("/v1/clients/{draft}/secrets");
    let refused = it.world.superuser().post(&path, json!({ "client_secret": NEW })).await?;
    assert_is_problem(&refused, 409, "token_endpoint_missing");
    Ok(())
}

#[tokio::test]
async fn at_most_five_secrets_are_tried() -> Outcome {
    let it = Client::new().await?;
    for number in 0..4 {
        let added = it.add(json!({ "client_secret": format!("s{number}") })).await?;
        assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
    }
    assert_is_problem(&it.add(json!({ "client_secret": NEW })).await?, 409, "too_many_secrets");
    // Where the others end at once there is room, and what has retired counts no more.
    let added = it.add(json!({ "client_secret": NEW, "retire_others_after_hours": 0 })).await?;
    assert_eq!((added.status, it.secrets().await?.len()), (StatusCode::CREATED, 6));
    it.world.advance(Duration::seconds(1));
    assert_eq!(it.add(json!({ "client_secret": "last" })).await?.status, StatusCode::CREATED);
    assert_eq!(it.secrets().await?.len(), 2, "what has retired is forgotten by the next change");
    Ok(())
}

#[tokio::test]
async fn the_last_secret_that_works_cannot_be_deleted() -> Outcome {
    let it = Client::new().await?;
    let old = it.secrets().await?[0]["id"].as_str().unwrap().to_owned();
    let refused = it.delete(&old).await?;
    assert_is_problem(&refused, 409, "last_secret");
    assert!(refused.text("/advice/0").contains("/secrets"), "{}", refused.body);
    let new = it.add(json!({ "client_secret": NEW })).await?.text("/id");
    for unknown in ["x", "00000000-0000-4000-8000-000000000000"] {
        assert_is_problem(&it.delete(unknown).await?, 404, "not_found");
    }
    assert_eq!(it.delete(&old).await?.status, StatusCode::NO_CONTENT);
    assert_is_problem(&it.delete(&old).await?, 404, "not_found");
    assert_is_problem(&it.delete(&new).await?, 409, "last_secret");
    it.swap(NEW, &[OLD]).await?;
    it.connect("after").await?;
    let shown: std::collections::BTreeSet<_> =
        it.world.token_requests().into_iter().filter_map(|entry| entry.client_secret).collect();
    assert_eq!(shown.len(), 1, "only the new secret was sent");
    Ok(())
}

#[tokio::test]
async fn a_retired_secret_is_not_tried_any_more() -> Outcome {
    let it = Client::new().await?;
    it.add(json!({ "client_secret": NEW, "retire_others_after_hours": 1 })).await?;
    // The provider never heard of the new one: the old one carries on until it retires.
    let credential = it.connect("before").await?;
    assert_eq!(it.refresh(&credential).await?.status, StatusCode::OK);
    it.world.advance(Duration::hours(1));
    it.world.sandbox().clear_log();
    assert_is_problem(&it.refresh(&credential).await?, 502, "client_rejected");
    assert_eq!(it.world.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_past_its_date_is_still_tried_when_there_is_no_other() -> Outcome {
    let it = Client::new().await?;
    let expires_at = (it.world.stack.broker.now() + Duration::hours(1)).to_rfc3339();
    it.add(json!({ "client_secret": NEW, "expires_at": expires_at, "retire_others_after_hours": 0 })).await?;
    it.swap(NEW, &[]).await?;
    let credential = it.connect("mail").await?;
    it.world.advance(Duration::hours(2));
    assert_eq!(it.refresh(&credential).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_rotation_is_a_superusers_and_happens_once_per_idempotency_key() -> Outcome {
    let it = Client::new().await?;
    let other = it.world.project(json!({})).await?;
    let theirs = it.world.caller("superuser", json!([other])).await?;
    let path = format!("{}/secrets", it.path());
    for (caller, status, code) in [
        (it.world.platform(), 403, "role_not_allowed"),
        (it.world.runner(), 403, "role_not_allowed"),
        (it.world.nobody(), 401, "unauthenticated"),
        (theirs, 404, "not_found"),
    ] {
        assert_is_problem(&caller.post(&path, json!({ "client_secret": NEW })).await?, status, code);
        assert_is_problem(&caller.delete(&format!("{path}/x")).await?, status, code);
    }
    let once = it.world.superuser().with("Idempotency-Key", "rotation-1");
    let body = json!({ "client_secret": NEW });
    let (first, again) = (once.post(&path, body.clone()).await?, once.post(&path, body).await?);
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!((first.body, it.secrets().await?.len()), (again.body, 2));
    Ok(())
}

#[tokio::test]
async fn a_sign_in_under_way_survives_a_rotation_and_not_a_change_of_the_client() -> Outcome {
    let it = Client::new().await?;
    for (rotated, status) in [(true, StatusCode::SEE_OTHER), (false, StatusCode::BAD_REQUEST)] {
        let browser = Browser::new();
        let session = json!({ "clients": [it.id], "name": format!("{rotated}"), "scopes": [] });
        let callback = it.world.to_callback(&browser, session).await?;
        if rotated {
            let added = it.add(json!({ "client_secret": NEW })).await?;
            assert_eq!(added.status, StatusCode::CREATED);
            it.swap(NEW, &[]).await?;
        } else {
            it.world.superuser().patch(&it.path(), json!({ "audience": "other" })).await?;
        }
        let returned = browser.get(callback.as_str()).await?;
        if rotated {
            assert_eq!(returned.status, status, "{}", returned.text);
            let parked = returned.location()?;
            // The second half of the flow survives the end of the old secret, too.
            let old = it.secrets().await?[1]["id"].as_str().unwrap().to_owned();
            assert_eq!(it.delete(&old).await?.status, StatusCode::NO_CONTENT);
            assert_eq!(it.world.complete(&parked, "ada").await?.status, StatusCode::CREATED);
        } else {
            assert_ne!(returned.status, StatusCode::SEE_OTHER, "{}", returned.text);
        }
    }
    Ok(())
}

#[tokio::test]
async fn changes_at_the_same_time_lose_no_secret_and_no_setting() -> Outcome {
    let it = Client::new().await?;
    let (superuser, path) = (it.world.superuser(), it.path());
    let mut calls = JoinSet::new();
    for number in 0..4 {
        let (superuser, path) = (superuser.clone(), path.clone());
        let secret = json!({ "client_secret": format!("s{number}") });
        calls.spawn(async move { Ok(superuser.post(&format!("{path}/secrets"), secret).await?.status) });
        let superuser: Backend = it.world.superuser();
        let path = it.path();
        calls.spawn(async move {
            let label = json!({ "labels": { format!("l{number}"): "x" } });
            loop {
                // Another change came first: the platform reads and repeats, as the problem advises.
                let patched = superuser.patch(&path, label.clone()).await?;
                if patched.code() != "changed_meanwhile" {
                    return Ok(patched.status);
                }
            }
        });
    }
    let statuses = calls.join_all().await.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    assert!(statuses.iter().all(|status| status.is_success()), "{statuses:?}");
    let client = it.world.superuser().get(&it.path()).await?.body;
    assert_eq!(client["client_secrets"].as_array().unwrap().len(), 5, "{client}");
    assert_eq!(client["labels"].as_object().unwrap().len(), 4, "{client}");
    Ok(())
}

#[tokio::test]
async fn a_secret_is_not_sent_to_an_endpoint_it_was_not_entered_for() -> Outcome {
    let proxy = Proxy::to("http://127.0.0.1:1").await?;
    let origins = vec![proxy.url.clone()];
    let world =
        World::with(|options| grantkeeper_local::stack::Options { insecure_origins: origins, ..options }).await?;
    proxy.point_to(world.sandbox_url());
    let endpoint = |path: &str| format!("{}{path}", world.sandbox_url());
    let patch = json!({
        "issuer": null, "authorization_endpoint": endpoint("/authorize"), "token_endpoint": endpoint("/token"),
    });
    let it = Client::inside(world, patch).await?;
    let superuser = it.world.superuser();
    let elsewhere = json!({ "refresh_request": { "url": format!("{}/token", proxy.url) } });
    let moved = superuser.patch(&it.path(), elsewhere).await?;
    assert_eq!((moved.status, moved.text("/status")), (StatusCode::OK, "active".into()), "{}", moved.body);
    let findings = superuser.post(&format!("{}/check", it.path()), json!({})).await?.body.to_string();
    assert!(findings.contains("client_secret_bound_elsewhere"), "{findings}");
    let browser = Browser::new();
    let callback = it.world.to_callback(&browser, json!({ "clients": [it.id] })).await?;
    let parked = browser.get(callback.as_str()).await?.location()?;
    assert_is_problem(&it.world.complete(&parked, "ada").await?, 409, "secret_bound_elsewhere");
    assert!(proxy.take_calls().is_empty() && it.world.token_requests().is_empty());
    // Entered again, it goes there.
    assert_eq!(it.add(json!({ "client_secret": OLD })).await?.status, StatusCode::CREATED);
    let credential = it.connect("after").await?;
    assert_eq!(it.refresh(&credential).await?.status, StatusCode::OK);
    assert_eq!(proxy.take_calls().len(), 1);
    // The token endpoint moves: every secret is forgotten.
    let moved = json!({ "token_endpoint": "https://as.example.com/token" });
    let moved = superuser.patch(&it.path(), moved).await?;
    assert_eq!((moved.text("/status"), &moved.body["client_secrets"]), ("draft".into(), &json!([])));
    Ok(())
}
