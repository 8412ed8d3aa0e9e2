//! What the owner changes of a credential after it exists, and who may.

use anyhow::Context as _;
use chrono::Duration;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::ids::{ClientId, CredentialId};
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Backend};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::Connected;

impl Connected {
    /// The owner's backend.
    pub(super) fn ada(&self) -> Backend {
        self.world.platform().acting_for("ada")
    }

    /// The superuser, in the default project.
    pub(super) fn root(&self) -> Backend {
        self.world.superuser().with("Grantkeeper-Project", self.world.stack.project.as_str())
    }

    pub(super) fn path(&self) -> String {
        format!("/v1/credentials/{}", self.id)
    }

    pub(super) async fn patch(&self, change: Value) -> anyhow::Result<Answer> {
        self.ada().patch(&self.path(), change).await
    }

    pub(super) async fn item(&self) -> anyhow::Result<Credential> {
        let id = CredentialId::parse(&self.id)?;
        self.world.store().find_credential(&self.world.stack.project, &id).await?.context("the credential")
    }
}

pub(super) fn assert_refused(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.body);
    assert!(!answer.body["advice"].as_array().unwrap().is_empty(), "{}", answer.body);
}

pub(super) fn assert_wrong(answer: &Answer, wrong: &[(&str, &str)]) {
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    let wrong: Vec<_> = wrong.iter().map(|(pointer, code)| (pointer.to_string(), code.to_string())).collect();
    assert_eq!(answer.field_errors(), wrong);
}

#[tokio::test]
async fn the_owner_changes_what_people_say_of_a_credential_and_nothing_else_changes() -> Outcome {
    let it = Connected::usual().await?;
    let before = it.metadata().await?.body;
    let change =
        json!({ "name": "Mail", "labels": { "team": "red" }, "account_kind": "integration", "external_id": "42" });
    let changed = it.patch(change.clone()).await?;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let mut expected = before;
    for (member, value) in change.as_object().unwrap() {
        expected[member] = value.clone();
    }
    assert_eq!(changed.body, expected);
    assert_eq!(it.metadata().await?.body, expected);
    // What is absent stays, null takes the external id away, and an empty change is none.
    assert_eq!(it.patch(json!({})).await?.body, expected);
    expected["external_id"] = Value::Null;
    assert_eq!(it.patch(json!({ "external_id": null })).await?.body, expected);
    for (change, pointer, code) in [
        (json!({ "name": " " }), "/name", "empty"),
        (json!({ "owner": "" }), "/owner", "empty"),
        (json!({ "external_id": "\u{7}" }), "/external_id", "control_character"),
        (json!({ "labels": { "": "a" } }), "/labels/", "empty"),
        (json!({ "account_kind": "robot" }), "/account_kind", "invalid_value"),
        (json!({ "suspended": "yes" }), "/suspended", "invalid_value"),
        (json!({ "status": "active" }), "/status", "unknown_field"),
    ] {
        assert_wrong(&it.patch(change).await?, &[(pointer, code)]);
    }
    assert_eq!(it.metadata().await?.body, expected);
    Ok(())
}

#[tokio::test]
async fn only_the_owner_changes_or_disconnects_a_credential() -> Outcome {
    let it = Connected::usual().await?;
    let world = &it.world;
    let (rename, none) = (json!({ "name": "mine" }), Value::Null);
    for (method, body) in [(Method::PATCH, &rename), (Method::DELETE, &none)] {
        let call = async |caller: &Backend| {
            let body = (!body.is_null()).then(|| ("application/json", body.to_string()));
            caller.send(method.clone(), &it.path(), body).await
        };
        assert_wrong(&call(&world.platform()).await?, &[("", "user_required")]);
        let bob = world.platform().acting_for("bob");
        assert_refused(&call(&bob).await?, StatusCode::FORBIDDEN, "not_the_owner");
        for caller in [world.runner().acting_for("ada"), it.root().acting_for("ada"), it.root()] {
            assert_refused(&call(&caller).await?, StatusCode::FORBIDDEN, "role_not_allowed");
        }
        assert_eq!(call(&world.nobody()).await?.status, StatusCode::UNAUTHORIZED);
    }
    let both = it.root().patch(&it.path(), json!({ "suspended": true, "name": "mine" })).await?;
    assert_refused(&both, StatusCode::FORBIDDEN, "role_not_allowed");
    let metadata = it.metadata().await?;
    assert_eq!((metadata.text("/status"), metadata.text("/owner")), ("active".into(), "ada".into()));
    assert_ne!(metadata.text("/name"), "mine");
    Ok(())
}

#[tokio::test]
async fn a_transferred_credential_is_the_new_owners_alone() -> Outcome {
    let it = Connected::usual().await?;
    let world = &it.world;
    let bob = world.platform().acting_for("bob");
    assert_eq!(it.patch(json!({ "name": "Mail", "owner": "bob" })).await?.text("/owner"), "bob");
    assert_refused(&it.patch(json!({ "owner": "ada" })).await?, StatusCode::FORBIDDEN, "not_the_owner");
    let read = it.ada().post(&format!("{}/token", it.path()), json!({})).await?;
    assert_refused(&read, StatusCode::FORBIDDEN, "not_the_owner");
    assert_eq!(bob.post(&format!("{}/token", it.path()), json!({})).await?.status, StatusCode::OK);
    let owned = |owner: &str| format!("/v1/credentials?owner={owner}");
    assert_eq!(bob.get(&owned("ada")).await?.body["items"], json!([]));
    assert_eq!(bob.get(&owned("bob")).await?.body["items"][0]["id"], json!(it.id));

    // The old owner's name is free again, and so the way back is barred as long as it is taken.
    let other = world.connect(json!({ "clients": [it.client], "name": "Mail", "scopes": ["read"] })).await?;
    assert_eq!(other["name"], "Mail");
    let back = bob.patch(&it.path(), json!({ "owner": "ada" })).await?;
    assert_refused(&back, StatusCode::CONFLICT, "name_taken");
    let renamed = bob.patch(&it.path(), json!({ "owner": "ada", "name": "Mail 2" })).await?;
    assert_eq!((renamed.text("/owner"), renamed.text("/name")), ("ada".into(), "Mail 2".into()));
    let taken = it.patch(json!({ "name": "Mail" })).await?;
    assert_refused(&taken, StatusCode::CONFLICT, "name_taken");
    Ok(())
}

/// A credential whose client has variables: its base URL, a tenant in a header, a secret, and one that is fixed.
async fn with_variables() -> anyhow::Result<Connected> {
    let it = Connected::with(ClientSettings::default(), json!({})).await?;
    let world = &it.world;
    let mut client = world.store().find_client(&ClientId::parse(&it.client)?).await?.context("the client")?;
    client.settings.variables = serde_json::from_value(json!([
        { "key": "base", "type": "url", "required": true },
        { "key": "tenant", "pattern": "[a-z]+", "required": true },
        { "key": "note" },
        { "key": "pin", "secret": true, "required": true },
        { "key": "region", "visibility": "fixed", "default": "eu" },
    ]))?;
    client.settings.token_endpoint = Some("{base}/token".to_owned());
    client.settings.token_request.headers = [("X-Tenant".to_owned(), "{tenant}".to_owned())].into();
    client.secret_origin = client.settings.secret_origins();
    client.version += 1;
    client.revision += 1;
    world.store().update_client(&client).await?;
    let old = it.item().await?;
    let values = [("base", world.sandbox_url()), ("tenant", "acme"), ("note", "old")];
    let variables = values.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    world.store().update_credential(&old, &Credential { variables, ..old.clone() }).await?;
    // The broker knows a client for 30 seconds.
    world.advance(Duration::seconds(31));
    Ok(it)
}

#[tokio::test]
async fn changed_variables_go_over_the_stored_ones_and_into_the_next_request() -> Outcome {
    let it = with_variables().await?;
    let changed = it.patch(json!({ "variables": { "tenant": "globex", "note": "" } })).await?;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    let expected = json!({ "base": it.world.sandbox_url(), "tenant": "globex" });
    assert_eq!((&changed.body["variables"], &it.metadata().await?.body["variables"]), (&expected, &expected));
    it.world.change_at_sandbox("app", json!({ "token_request": { "headers": { "X-Tenant": "globex" } } })).await?;
    assert_eq!(it.refresh().await?.body["generation"], json!(2));
    Ok(())
}

#[tokio::test]
async fn a_variable_that_is_wrong_secret_fixed_or_moves_the_origin_changes_nothing() -> Outcome {
    let it = with_variables().await?;
    for (variables, pointer, code) in [
        (json!({ "tenant": "Globex" }), "/variables/tenant", "pattern"),
        (json!({ "tenant": "" }), "/variables/tenant", "required"),
        (json!({ "colour": "red" }), "/variables/colour", "unknown_variable"),
        (json!({ "Tenant": "globex" }), "/variables/Tenant", "unknown_variable"),
        (json!({ "pin": "1234" }), "/variables/pin", "secret_variable"),
        (json!({ "region": "us" }), "/variables/region", "fixed"),
        (json!({ "base": "https://a@evil.example" }), "/variables/base", "not_a_url"),
        (json!({ "tenant": null }), "/variables/tenant", "invalid_value"),
    ] {
        let refused = it.patch(json!({ "variables": variables, "name": "changed" })).await?;
        assert_wrong(&refused, &[(pointer, code)]);
        assert!(!refused.body.to_string().contains("1234"), "{}", refused.body);
    }
    for elsewhere in ["https://evil.example", "http://127.0.0.1:1"] {
        let refused = it.patch(json!({ "variables": { "base": elsewhere } })).await?;
        assert_refused(&refused, StatusCode::CONFLICT, "origin_would_change");
        assert!(refused.body["advice"].to_string().contains("eauthorize"), "{}", refused.body);
    }
    let metadata = it.metadata().await?;
    assert_eq!(metadata.body["variables"]["base"], it.world.sandbox_url());
    assert_ne!(metadata.text("/name"), "changed");
    // Another path at the same origin is no other origin.
    let path = json!({ "variables": { "base": format!("{}/v2/", it.world.sandbox_url()) } });
    assert_eq!(it.patch(path).await?.body["variables"]["base"], json!(format!("{}/v2", it.world.sandbox_url())));
    Ok(())
}

#[tokio::test]
async fn the_forecast_says_when_the_refresh_token_dies_and_every_refresh_moves_it() -> Outcome {
    let facts = json!({ "refresh": { "idle_days": 30, "absolute_days": 90 } });
    let it = Connected::with(ClientSettings::default(), facts).await?;
    let world = &it.world;
    let day = |days: i64| {
        (world.stack.broker.now() + Duration::days(days)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let idle = json!({ "at": day(30), "reason": "idle" });
    let absolute = json!({ "at": day(90), "reason": "absolute" });
    assert_eq!(it.metadata().await?.body["refresh_forecast"], idle);
    assert_eq!(it.ada().get("/v1/credentials").await?.body["items"][0]["refresh_forecast"], idle);
    world.advance(Duration::days(20));
    let moved = json!({ "at": day(30), "reason": "idle" });
    assert_eq!(it.refresh().await?.body["refresh_forecast"], moved);
    for _ in 0..2 {
        world.advance(Duration::days(25));
        it.refresh().await?;
    }
    assert_eq!(it.metadata().await?.body["refresh_forecast"], absolute);
    let unknown = world.connect(json!({ "name": "unknown" })).await?;
    assert_eq!(unknown["refresh_forecast"], Value::Null, "nothing is known of this provider");
    Ok(())
}

#[tokio::test]
async fn a_superuser_reads_metadata_and_attempts_and_never_a_token() -> Outcome {
    let it = Connected::usual().await?;
    let root = it.root();
    assert_eq!(root.get(&it.path()).await?.body, it.metadata().await?.body);
    assert_eq!(root.get("/v1/credentials").await?.body["items"][0]["id"], json!(it.id));
    assert_eq!(root.get(&format!("{}/attempts", it.path())).await?.status, StatusCode::OK);
    for caller in [&root, &root.acting_for("ada")] {
        let refused = caller.post(&format!("{}/token", it.path()), json!({})).await?;
        assert_refused(&refused, StatusCode::FORBIDDEN, "role_not_allowed");
    }
    for path in ["", "/attempts"] {
        let refused = it.world.runner().get(&format!("{}{path}", it.path())).await?;
        assert_refused(&refused, StatusCode::FORBIDDEN, "role_not_allowed");
    }
    Ok(())
}
