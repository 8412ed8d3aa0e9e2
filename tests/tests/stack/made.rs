//! Credentials that are made without a browser: by the client's own grant and by a password.

use std::time::Duration as StdDuration;

use chrono::Duration;
use grantkeeper_sandbox::{ClientSettings, RefreshTokenMode};
use grantkeeper_tests::{Answer, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

/// A stack with a client that offers every grant, and the body of a credential that is made with it.
pub(super) struct Maker {
    pub(super) world: World,
    pub(super) client: String,
}

impl Maker {
    pub(super) async fn with(settings: ClientSettings, patch: Value) -> anyhow::Result<Self> {
        let world = World::new().await?;
        let settings =
            ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..settings };
        let mut body =
            json!({ "grant_types": ["authorization_code", "refresh_token", "client_credentials", "password"] });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
        }
        let client = world.register(settings, body).await?;
        Ok(Self { world, client })
    }

    pub(super) async fn usual() -> anyhow::Result<Self> {
        Self::with(ClientSettings::default(), json!({})).await
    }

    /// A client whose id and secret each person brings.
    pub(super) async fn of_persons() -> anyhow::Result<Self> {
        let patch = json!({ "credentials_from": "person", "client_id": null, "client_secret": null });
        Self::with(ClientSettings::default(), patch).await
    }

    pub(super) fn body(&self, patch: Value) -> Value {
        let mut body =
            json!({ "name": "Machine", "owner": "ada", "client": self.client, "grant_type": "client_credentials" });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
            body.retain(|_, value| !value.is_null());
        }
        body
    }

    pub(super) async fn post(&self, patch: Value) -> anyhow::Result<Answer> {
        self.world.platform().post("/v1/credentials", self.body(patch)).await
    }

    /// Makes one. Returns its id.
    pub(super) async fn make(&self, patch: Value) -> anyhow::Result<String> {
        let made = self.post(patch).await?;
        anyhow::ensure!(made.status == StatusCode::CREATED, "{}", made.body);
        Ok(made.text("/id"))
    }

    pub(super) async fn count(&self) -> anyhow::Result<usize> {
        let list = self.world.platform().get("/v1/credentials").await?;
        Ok(list.body["items"].as_array().map_or(0, Vec::len))
    }

    /// The queue works beside the test; what it does is there soon.
    async fn soon(&self, id: &str, generation: u64) -> Outcome {
        for _ in 0..100 {
            let metadata = self.world.platform().get(&format!("/v1/credentials/{id}")).await?;
            if metadata.body["generation"] == json!(generation) {
                return Ok(());
            }
            tokio::time::sleep(StdDuration::from_millis(50)).await;
        }
        anyhow::bail!("generation {generation} did not come")
    }

    pub(super) async fn works(&self, id: &str) -> anyhow::Result<bool> {
        let token = self.world.read_token(id, json!({})).await?;
        anyhow::ensure!(token.status == StatusCode::OK, "{}", token.body);
        Ok(self.world.call_api(&token.text("/access_token")).await?.status == StatusCode::OK)
    }
}

const PASSWORD: &str = "sandbox";

fn password(patch: Value) -> Value {
    let mut body = json!({ "grant_type": "password", "username": "ada", "password": PASSWORD });
    if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
        body.extend(patch);
    }
    body
}

#[tokio::test]
async fn a_client_s_own_grant_is_fetched_again_when_due_and_no_refresh_token_is_ever_presented() -> Outcome {
    let it = Maker::usual().await?;
    let made = it.post(json!({ "scopes": ["write"], "labels": { "team": "a" }, "external_id": "ext-1" })).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for (member, value) in [
        ("name", json!("Machine")),
        ("kind", json!("oauth")),
        ("grant_type", json!("client_credentials")),
        ("owner", json!("ada")),
        ("status", json!("active")),
        ("generation", json!(1)),
        ("requested_scopes", json!(["read", "write"])),
        ("granted_scopes", json!(["read", "write"])),
        ("account_kind", json!("integration")),
        ("labels", json!({ "team": "a" })),
        ("external_id", json!("ext-1")),
        ("projects", json!([it.world.stack.project])),
    ] {
        assert_eq!(made.body[member], value, "{member}");
    }
    let id = made.text("/id");
    assert!(it.works(&id).await?);
    let found = it.world.platform().get("/v1/credentials?external_id=ext-1").await?;
    assert_eq!(found.text("/items/0/id"), id);

    it.world.advance(Duration::seconds(2881));
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    it.soon(&id, 2).await?;
    it.world.advance(Duration::seconds(3601));
    let token = it.world.read_token(&id, json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(3)), "{}", token.body);
    assert!(it.works(&id).await?);
    let requests = it.world.token_requests();
    assert_eq!((requests.len(), it.world.requests_of("client_credentials").len()), (3, 3), "{requests:?}");
    assert!(requests.iter().all(|request| request.refresh_token.is_none()));
    assert!(!it.world.secret(&id).await?.contains("refresh_token"));
    Ok(())
}

#[tokio::test]
async fn a_person_s_own_client_id_and_secret_are_used_and_the_secret_is_never_shown() -> Outcome {
    let it = Maker::of_persons().await?;
    assert_field(
        &it.post(json!({ "variables": { "client_id": "app" } })).await?,
        "/variables/client_secret",
        "required",
    );
    let id = it.make(json!({ "variables": { "client_id": "app", "client_secret": "right-secret" } })).await?;
    assert!(it.works(&id).await?);
    it.world.advance(Duration::seconds(3600));
    assert!(it.works(&id).await?);
    assert_eq!(it.world.requests_of("client_credentials").len(), 2);
    let metadata = it.world.platform().get(&format!("/v1/credentials/{id}")).await?;
    assert_eq!(metadata.body["variables"], json!({ "client_id": "app" }));
    let token = it.world.read_token(&id, json!({})).await?;
    assert!(!token.body.to_string().contains("right-secret") && !metadata.body.to_string().contains("right-secret"));
    Ok(())
}

#[tokio::test]
async fn a_password_is_dropped_when_a_refresh_token_came() -> Outcome {
    let it = Maker::usual().await?;
    let id = it.make(password(json!({}))).await?;
    let kept = it.world.secret(&id).await?;
    assert!(kept.contains("refresh_token") && !kept.contains("\"username\"") && !kept.contains("\"password\""));
    it.world.advance(Duration::seconds(3600));
    assert!(it.works(&id).await?);
    assert_eq!((it.world.requests_of("password").len(), it.world.requests_of("refresh_token").len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_password_is_kept_when_no_refresh_token_came_and_presented_again_when_due() -> Outcome {
    let settings = ClientSettings { refresh_token: RefreshTokenMode::None, ..Default::default() };
    let it = Maker::with(settings, json!({})).await?;
    let id = it.make(password(json!({}))).await?;
    let kept: Value = serde_json::from_str(&it.world.secret(&id).await?)?;
    assert_eq!(kept["inputs"], json!({ "username": "ada", "password": PASSWORD }));
    it.world.advance(Duration::seconds(2881));
    it.world.stack.broker.tick().await?;
    it.soon(&id, 2).await?;
    it.world.advance(Duration::seconds(3601));
    assert!(it.works(&id).await?);
    assert_eq!((it.world.requests_of("password").len(), it.world.token_requests().len()), (3, 3));
    let metadata = it.world.platform().get(&format!("/v1/credentials/{id}")).await?;
    assert_eq!(metadata.body["variables"], json!({}), "a user name is half of a secret");
    Ok(())
}

#[tokio::test]
async fn user_name_and_password_stand_beside_the_variables_or_among_them() -> Outcome {
    let it = Maker::usual().await?;
    let among = json!({ "grant_type": "password", "variables": { "username": "ada", "password": PASSWORD } });
    it.make(among).await?;
    let named = |patch| {
        json!({ "name": "other", "grant_type": "password" })
            .as_object()
            .cloned()
            .map(|mut body| {
                if let Value::Object(patch) = patch {
                    body.extend(patch);
                }
                Value::Object(body)
            })
            .unwrap()
    };
    assert_field(&it.post(named(json!({ "username": "ada" }))).await?, "/password", "required");
    let twice = json!({ "username": "ada", "password": "p", "variables": { "password": "p" } });
    assert_field(&it.post(named(twice)).await?, "/password", "given_twice");
    let of_machine = json!({ "name": "other", "password": "p" });
    assert_field(&it.post(of_machine).await?, "/password", "unknown_variable");
    Ok(())
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_and_stored_nowhere() -> Outcome {
    let it = Maker::of_persons().await?;
    let wrong = json!({ "variables": { "client_id": "app", "client_secret": "CANARY-SECRET" } });
    let refused = it.post(wrong).await?;
    assert_is_problem(&refused, 502, "client_rejected");
    assert!(!refused.body.to_string().contains("CANARY"), "{}", refused.body);
    let own = json!({ "client_id": "app", "client_secret": "right-secret" });
    let refused = it.post(password(json!({ "password": "CANARY-PASSWORD", "variables": own }))).await?;
    assert_is_problem(&refused, 502, "code_rejected");
    assert!(!refused.body.to_string().contains("CANARY"), "{}", refused.body);
    assert_ne!(refused.text("/diagnosis/code"), "");
    it.world
        .change_at_sandbox("app", json!({ "token_answers": [{ "status": 503, "headers": { "retry-after": "7" } }] }))
        .await?;
    let busy = it.post(json!({ "variables": own })).await?;
    assert_is_problem(&busy, 503, "provider_unavailable");
    assert_eq!(busy.headers["retry-after"], "7");
    assert_eq!(it.count().await?, 0);
    it.make(json!({ "variables": own })).await?;
    Ok(())
}

#[tokio::test]
async fn a_password_needs_the_project_s_leave_and_a_grant_the_client_s() -> Outcome {
    let it = Maker::usual().await?;
    let strict = it.world.project(json!({})).await?;
    it.world.superuser().patch(&format!("/v1/clients/{}", it.client), json!({ "shared_with": [strict] })).await?;
    let caller = it.world.caller("platform", json!([strict])).await?;
    let refused = caller.post("/v1/credentials", it.body(password(json!({})))).await?;
    assert_is_problem(&refused, 403, "password_grant_not_allowed");
    assert_eq!(refused.text("/who_can_act"), "superuser");
    assert_eq!(caller.post("/v1/credentials", it.body(json!({}))).await?.status, StatusCode::CREATED);
    assert_eq!(it.world.requests_of("password").len(), 0);

    let only_code = it.world.register(
        ClientSettings { client_id: "code".into(), client_secret: Some("s".into()), ..Default::default() },
        json!({}),
    );
    let only_code = only_code.await?;
    assert_field(&it.post(json!({ "client": only_code })).await?, "/grant_type", "grant_not_offered");
    for grant in ["authorization_code", "refresh_token"] {
        assert_field(&it.post(json!({ "grant_type": grant })).await?, "/grant_type", "needs_consent");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_field_is_named_before_anybody_is_asked() -> Outcome {
    let it = Maker::usual().await?;
    let foreign = it.world.project(json!({})).await?;
    let hidden = ClientSettings { client_id: "hidden".into(), client_secret: Some("s".into()), ..Default::default() };
    let hidden = it.world.register(hidden, json!({ "project": foreign })).await?;
    let draft = it.world.superuser().post("/v1/clients", json!({ "name": "draft" })).await?.text("/id");
    for (patch, pointer, code) in [
        (json!({ "name": " " }), "/name", "empty"),
        (json!({ "owner": "" }), "/owner", "empty"),
        (json!({ "client": "x" }), "/client", "unknown_client"),
        (json!({ "client": hidden }), "/client", "unknown_client"),
        (json!({ "client": draft }), "/client", "client_not_active"),
        (json!({ "client": null }), "/client", "missing_field"),
        (json!({ "grant_type": null }), "/grant_type", "missing_field"),
        (json!({ "grant_type": "magic" }), "/grant_type", "invalid_value"),
        (json!({ "scopes": ["admin"] }), "/scopes/0", "scope_not_offered"),
        (json!({ "variables": { "x": "y" } }), "/variables/x", "unknown_variable"),
        (json!({ "projects": ["x"] }), "/projects/0", "unknown_project"),
        (json!({ "projects": [foreign] }), "/projects/0", "unknown_project"),
        (json!({ "colour": 1 }), "/colour", "unknown_field"),
        (json!({ "body": {} }), "/body", "forms_mixed"),
        (json!({ "extra": {} }), "/extra", "forms_mixed"),
        (json!({ "import": { "access_token": "a" } }), "/grant_type", "forms_mixed"),
    ] {
        assert_field(&it.post(patch).await?, pointer, code);
    }
    let other = it.world.platform().acting_for("grace").post("/v1/credentials", it.body(json!({}))).await?;
    assert_field(&other, "/owner", "owner_differs");
    for caller in [it.world.runner(), it.world.superuser()] {
        assert_is_problem(&caller.post("/v1/credentials", it.body(json!({}))).await?, 403, "role_not_allowed");
    }
    assert_eq!((it.world.token_requests().len(), it.count().await?), (0, 0));
    Ok(())
}

#[tokio::test]
async fn the_project_s_scopes_bind_every_grant() -> Outcome {
    let it = Maker::usual().await?;
    let narrow = it.world.project(json!({ "policies": { "allowed_scopes": ["read"] } })).await?;
    it.world.superuser().patch(&format!("/v1/clients/{}", it.client), json!({ "shared_with": [narrow] })).await?;
    let caller = it.world.caller("platform", json!([narrow])).await?;
    let refused = caller.post("/v1/credentials", it.body(json!({ "scopes": ["write"] }))).await?;
    assert_field(&refused, "/scopes/0", "scope_not_allowed");
    assert_eq!(caller.post("/v1/credentials", it.body(json!({}))).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn without_verification_nobody_is_asked_and_no_empty_token_is_ever_served() -> Outcome {
    let it = Maker::usual().await?;
    let made = it.post(json!({ "verify": false })).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!((it.world.token_requests().len(), &made.body["granted_scopes"]), (0, &json!([])));
    let id = made.text("/id");
    let token = it.world.read_token(&id, json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
    assert!(it.works(&id).await?);
    let other = it.make(json!({ "name": "by the tick", "verify": false })).await?;
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    it.soon(&other, 2).await?;

    it.world.change_at_sandbox("app", json!({ "client_secret": "changed" })).await?;
    let broken = it.make(json!({ "name": "broken", "verify": false })).await?;
    for _ in 0..2 {
        let refused = it.world.read_token(&broken, json!({})).await?;
        assert_is_problem(&refused, 502, "client_rejected");
    }
    Ok(())
}

#[tokio::test]
async fn of_two_at_once_with_one_name_one_wins() -> Outcome {
    let it = Maker::with(ClientSettings { delay_ms: 300, ..Default::default() }, json!({})).await?;
    let (one, two) = tokio::join!(it.post(json!({})), it.post(json!({})));
    let (one, two) = (one?, two?);
    let (winner, loser) = if one.status == StatusCode::CREATED { (one, two) } else { (two, one) };
    assert_eq!(winner.status, StatusCode::CREATED, "{}", winner.body);
    assert_is_problem(&loser, 409, "name_taken");
    assert_eq!(it.count().await?, 1);
    let before = it.world.token_requests().len();
    assert_is_problem(&it.post(json!({})).await?, 409, "name_taken");
    assert_eq!(it.world.token_requests().len(), before, "a name that is taken is told before anybody is asked");
    assert_eq!(it.post(json!({ "owner": "grace" })).await?.status, StatusCode::CREATED, "names are an owner's");
    Ok(())
}

#[tokio::test]
async fn a_repeated_call_with_its_key_makes_one_credential() -> Outcome {
    let it = Maker::usual().await?;
    let caller = it.world.platform().with("Idempotency-Key", "once");
    let first = caller.post("/v1/credentials", it.body(json!({}))).await?;
    let again = caller.post("/v1/credentials", it.body(json!({}))).await?;
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED), "{}", again.body);
    assert_eq!(first.body, again.body);
    assert_eq!((it.world.token_requests().len(), it.count().await?), (1, 1));
    let other = caller.post("/v1/credentials", it.body(json!({ "name": "other" }))).await?;
    assert_is_problem(&other, 409, "idempotency_key_reused");
    Ok(())
}

#[tokio::test]
async fn further_projects_are_those_that_the_key_is_for() -> Outcome {
    let it = Maker::usual().await?;
    let other = it.world.project(json!({})).await?;
    let home = it.world.stack.project.to_string();
    let caller = it.world.caller("platform", json!([home, other])).await?.with("Grantkeeper-Project", &home);
    let made = caller.post("/v1/credentials", it.body(json!({ "projects": [other, home, other] }))).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.body["projects"], json!([home, other]));
    Ok(())
}

#[tokio::test]
async fn an_end_that_the_answer_does_not_say_is_learned() -> Outcome {
    let settings = ClientSettings { omit_expires_in: true, access_token_seconds: Some(900), ..Default::default() };
    let it = Maker::with(settings, json!({})).await?;
    let made = it.post(json!({})).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let expires_at = chrono::DateTime::parse_from_rfc3339(&made.text("/expires_at"))?;
    let left = (expires_at.to_utc() - it.world.stack.broker.now()).num_seconds();
    assert!((900..960).contains(&left), "{left}: the sandbox's clock goes on");
    Ok(())
}
