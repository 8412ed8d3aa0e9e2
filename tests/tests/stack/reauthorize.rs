//! New consent for a credential that is there: the same id, and the same account.

use grantkeeper_sandbox::{ClientSettings, GrantStatus};
use grantkeeper_tests::{Answer, Browser, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::assert_field;
use super::shaping::{assert_again, at_sandbox, finish, link, secret_of, shaped};

/// A connected credential of `ada`, and the link to connect it anew.
struct Again {
    world: World,
    id: String,
    token: Answer,
}

impl Again {
    async fn usual() -> anyhow::Result<Self> {
        let world = World::new().await?;
        let id =
            world.connect(json!({ "name": "Mail", "scopes": ["write"] })).await?["id"].as_str().unwrap().to_owned();
        let token = world.read_token(&id, json!({})).await?;
        Ok(Self { world, id, token })
    }

    async fn link(&self, patch: Value) -> anyhow::Result<String> {
        let mut body = json!({ "credential": self.id, "clients": null });
        body.as_object_mut().unwrap().extend(patch.as_object().cloned().unwrap_or_default());
        link(&self.world, "", body).await
    }

    async fn metadata(&self) -> anyhow::Result<Value> {
        Ok(self.world.platform().get(&format!("/v1/credentials/{}", self.id)).await?.body)
    }

    fn grants_of(&self, user: &str) -> Vec<GrantStatus> {
        let grants = self.world.sandbox().grants();
        grants.into_iter().filter(|grant| grant.user.as_deref() == Some(user)).collect()
    }

    /// The queue works beside the test; what it does is there soon.
    async fn alive_soon(&self, user: &str, expected: &[bool]) -> anyhow::Result<()> {
        for _ in 0..200 {
            let alive: Vec<bool> = self.grants_of(user).iter().map(|grant| grant.alive).collect();
            if alive == expected {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        anyhow::bail!("{expected:?} did not come: {:?}", self.grants_of(user))
    }
}

#[tokio::test]
async fn new_consent_replaces_the_grant_in_place_and_the_old_one_is_ended_at_the_provider() -> Outcome {
    let it = Again::usual().await?;
    let before = it.metadata().await?;
    let link = it.link(json!({})).await?;
    let page = Browser::new().get(&link).await?.text;
    assert!(
        page.contains("You renew the access of the credential “Mail”") && !page.contains("name=\"name\""),
        "{page}"
    );
    for field in ["name", "scope", "client"] {
        assert_eq!(Browser::new().post(&link, &[(field, "write")]).await?.code(), "bad_form", "{field}");
    }
    let completed = finish(&it.world, &link, &[], "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    assert_eq!((completed.text("/id"), &completed.body["generation"]), (it.id.clone(), &json!(2)));
    let after = it.metadata().await?;
    for same in ["id", "name", "owner", "client", "account", "created_at", "requested_scopes", "labels"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!((&after["status"], &after["generation"]), (&json!("active"), &json!(2)));
    let token = it.world.read_token(&it.id, json!({})).await?;
    assert_ne!(token.text("/access_token"), it.token.text("/access_token"));
    assert_eq!(it.world.call_api(&token.text("/access_token")).await?.status, StatusCode::OK);
    it.alive_soon("ada", &[false, true]).await?;
    assert_eq!(it.world.call_api(&it.token.text("/access_token")).await?.status, StatusCode::UNAUTHORIZED);
    let listed = it.world.platform().get("/v1/credentials").await?;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(1), "{}", listed.body);
    Ok(())
}

#[tokio::test]
async fn another_account_is_refused_and_its_grant_ended_while_the_old_tokens_stay() -> Outcome {
    let it = Again::usual().await?;
    let session = it.world.open_session(json!({ "credential": it.id, "clients": null })).await?;
    let refused = finish(&it.world, &session.text("/connect_url"), &[], "grace").await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "account_mismatch"), "{}", refused.body);
    let read = it.world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
    assert_eq!((read.text("/status"), read.text("/problem")), ("failed".into(), "account_mismatch".into()));
    it.alive_soon("grace", &[false]).await?;
    it.alive_soon("ada", &[true]).await?;
    let token = it.world.read_token(&it.id, json!({})).await?;
    assert_eq!(token.text("/access_token"), it.token.text("/access_token"));
    assert_eq!(it.world.call_api(&token.text("/access_token")).await?.status, StatusCode::OK);
    assert!(Browser::new().get(&session.text("/connect_url")).await?.text.contains("another account"));
    Ok(())
}

#[tokio::test]
async fn another_account_may_take_the_place_where_the_session_allows_it() -> Outcome {
    let it = Again::usual().await?;
    let before = it.metadata().await?;
    let link = it.link(json!({ "allow_account_change": true })).await?;
    let completed = finish(&it.world, &link, &[], "grace").await?;
    assert_eq!((completed.status, completed.text("/id")), (StatusCode::CREATED, it.id.clone()), "{}", completed.body);
    assert_ne!(it.metadata().await?["account"], before["account"]);
    it.alive_soon("ada", &[false]).await?;
    it.alive_soon("grace", &[true]).await?;
    Ok(())
}

#[tokio::test]
async fn what_needed_consent_is_active_again_and_what_somebody_switched_off_waits_with_its_new_grant() -> Outcome {
    let it = Again::usual().await?;
    it.world.withdraw("ada").await?;
    let refreshed = it.world.platform().post(&format!("/v1/credentials/{}/refresh", it.id), json!({})).await?;
    assert_eq!(refreshed.code(), "reauthorization_required", "{}", refreshed.body);
    assert_eq!(it.metadata().await?["status"], json!("reauthorization_required"));
    finish(&it.world, &it.link(json!({})).await?, &[], "ada").await?;
    assert_eq!(it.metadata().await?["status"], json!("active"));
    let path = format!("/v1/credentials/{}", it.id);
    let suspended = it.world.platform().acting_for("ada").patch(&path, json!({ "suspended": true })).await?;
    assert_eq!(suspended.text("/status"), "suspended", "{}", suspended.body);
    let completed = finish(&it.world, &it.link(json!({})).await?, &[], "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    assert_eq!((completed.text("/status"), &completed.body["generation"]), ("suspended".into(), &json!(3)));
    let lifted = it.world.platform().acting_for("ada").patch(&path, json!({ "suspended": false })).await?;
    assert_eq!(lifted.text("/status"), "active", "{}", lifted.body);
    assert_eq!(it.world.read_token(&it.id, json!({})).await?.body["generation"], json!(3));
    Ok(())
}

#[tokio::test]
async fn what_was_put_aside_for_its_scopes_is_active_when_new_consent_grants_what_is_asked() -> Outcome {
    let world = World::new().await?;
    let settings = ClientSettings { extra_scopes: vec!["write".to_owned()], ..at_sandbox("generous") };
    let client = world.register(settings, json!({})).await?;
    let first = link(&world, &client, json!({ "scopes": [] })).await?;
    let aside = finish(&world, &first, &[], "ada").await?;
    assert_eq!(aside.text("/status"), "suspended", "{}", aside.body);
    world.change_at_sandbox("generous", json!({ "extra_scopes": [] })).await?;
    let again = link(&world, &client, json!({ "credential": aside.text("/id") })).await?;
    let completed = finish(&world, &again, &[], "ada").await?;
    assert_eq!((completed.text("/status"), completed.text("/id")), ("active".into(), aside.text("/id")));
    Ok(())
}

#[tokio::test]
async fn only_a_credential_of_this_owner_and_project_that_has_not_ended_is_known() -> Outcome {
    let it = Again::usual().await?;
    let open = async |patch: Value| {
        let mut body = json!({ "credential": it.id, "clients": null });
        body.as_object_mut().unwrap().extend(patch.as_object().cloned().unwrap_or_default());
        it.world.open_session(body).await
    };
    let missing = open(json!({ "credential": "crd_01ARZ3NDEKTSV4RRFFQ69G5FAV" })).await?;
    assert_field(&missing, "/credential", "unknown_credential");
    let others = open(json!({ "owner": "grace" })).await?;
    let plain = |answer: &Answer| {
        let mut body = answer.body.clone();
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    assert_eq!((missing.status, plain(&missing)), (others.status, plain(&others)));
    assert_field(&open(json!({ "credential": "x" })).await?, "/credential", "unknown_credential");
    let project = it.world.project(json!({})).await?;
    let elsewhere = it.world.caller("platform", json!([project])).await?;
    let body = json!({ "owner": "ada", "credential": it.id });
    assert_eq!(plain(&elsewhere.post("/v1/connect-sessions", body).await?), plain(&missing));

    assert_field(&open(json!({ "name": "Mail" })).await?, "/name", "fixed_by_credential");
    let other = shaped(&it.world, at_sandbox("other"), json!({})).await?;
    assert_field(&open(json!({ "clients": [other] })).await?, "/clients/0", "other_client");
    assert_eq!(open(json!({ "clients": [it.world.client()] })).await?.status, StatusCode::CREATED);
    let link = it.link(json!({})).await?;
    let path = format!("/v1/credentials/{}", it.id);
    assert_eq!(it.world.platform().acting_for("ada").delete(&path).await?.status, StatusCode::ACCEPTED);
    let gone = Browser::new().get(&link).await?;
    assert_eq!((gone.status, gone.code()), (StatusCode::GONE, "expired_link"));
    // What has ended is known for a while, and unknown then.
    let ended = open(json!({})).await?;
    assert_eq!((ended.status, ended.code()), (StatusCode::CONFLICT, "revoked"), "{}", ended.body);
    Ok(())
}

#[tokio::test]
async fn what_the_person_brought_before_is_kept_unless_it_is_given_anew() -> Outcome {
    let world = World::new().await?;
    let patch = json!({
        "credentials_from": "person",
        "variables": [
            { "key": "base", "label": "Base", "type": "url", "required": true },
            { "key": "key", "label": "Key", "secret": true, "required": true },
        ],
        "token_endpoint": "{base}/token",
        "token_request": { "headers": { "X-Key": "{key}" } },
    });
    let client = shaped(&world, at_sandbox("kept"), patch).await?;
    let (base, secret) = (world.sandbox_url(), secret_of("kept"));
    let first = link(&world, &client, json!({})).await?;
    let form = [
        ("var.base", base),
        ("var.key", "canary-key"),
        ("var.client_id", "kept"),
        ("var.client_secret", secret.as_str()),
    ];
    let id = finish(&world, &first, &form, "ada").await?.text("/id");
    let it = Again { token: world.read_token(&id, json!({})).await?, world, id };

    let again = it.link(json!({})).await?;
    let page = Browser::new().get(&again).await?.text;
    assert!(page.contains("Leave it empty to keep what is there.") && !page.contains("var.base"), "{page}");
    assert!(!page.contains("canary"), "{page}");
    let empty = [("var.client_secret", ""), ("var.key", "")];
    assert_eq!(finish(&it.world, &again, &empty, "ada").await?.status, StatusCode::CREATED);
    assert_eq!(it.metadata().await?["generation"], json!(2));
    // A new one, which the provider has by now.
    let rotated = json!({ "client_secret": "canary-rotated" });
    it.world.change_at_sandbox("kept", rotated).await?;
    let stale = finish(&it.world, &it.link(json!({})).await?, &[], "ada").await?;
    assert_eq!(stale.code(), "client_rejected", "{}", stale.body);
    let anew = [("var.client_secret", "canary-rotated")];
    assert_eq!(finish(&it.world, &it.link(json!({})).await?, &anew, "ada").await?.status, StatusCode::CREATED);
    // A secret does not follow the credential to another address: it must be given again.
    let moved = it.link(json!({ "variables": { "base": "https://as.example" } })).await?;
    let refused = Browser::new().post(&moved, &[]).await?;
    assert_again(&refused, "Client secret: The address has changed");
    assert_again(&refused, "Key: The address has changed");
    Ok(())
}
