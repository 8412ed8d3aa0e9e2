//! What an owner gave: read by the owner alone, and replaced only by what works.

use chrono::Duration;
use grantkeeper_sandbox::{ClientSettings, RefreshTokenMode};
use grantkeeper_tests::{Answer, Backend, World};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::Outcome;
use super::made::Maker;
use super::raw::post;
use super::requests::{assert_field, assert_is_problem};

async fn put(caller: &Backend, id: &str, body: Value) -> anyhow::Result<Answer> {
    let path = format!("/v1/credentials/{id}/value");
    caller.send(Method::PUT, &path, Some(("application/json", body.to_string()))).await
}

fn owner(world: &World) -> Backend {
    world.platform().acting_for("ada")
}

#[tokio::test]
async fn the_owner_alone_reads_and_replaces_a_value() -> Outcome {
    let world = World::new().await?;
    let id = post(&world, json!({})).await?.text("/id");
    let path = format!("/v1/credentials/{id}/value");
    let read = owner(&world).get(&path).await?;
    let expected = json!({
        "kind": "raw",
        "body": { "username": "admin", "password": "CANARY-1", "port": 8443 },
        "schema": null,
        "api_base_url": null,
        "headers": {},
        "generation": 1,
    });
    assert_eq!((read.status, &read.body), (StatusCode::OK, &expected));
    assert_eq!(read.headers["cache-control"], "no-store");

    let project = world.stack.project.to_string();
    let other = world.project(json!({})).await?;
    let stranger = world.caller("platform", json!([other])).await?.acting_for("ada");
    let superuser = world.superuser().with("Grantkeeper-Project", &project).acting_for("ada");
    for (caller, status, code) in [
        (world.runner().acting_for("ada"), 403, "role_not_allowed"),
        (superuser, 403, "role_not_allowed"),
        (world.platform().acting_for("grace"), 403, "not_the_owner"),
        (world.platform(), 422, "invalid_request"),
        (stranger, 404, "not_found"),
    ] {
        for refused in [caller.get(&path).await?, put(&caller, &id, json!({ "body": {} })).await?] {
            assert_is_problem(&refused, status, code);
            assert!(!refused.body.to_string().contains("CANARY"));
        }
    }
    assert_eq!(owner(&world).get(&path).await?.body, expected);
    Ok(())
}

#[tokio::test]
async fn a_document_is_replaced_when_it_keeps_to_its_schema() -> Outcome {
    let world = World::new().await?;
    let schema = json!({ "properties": { "password": { "minLength": 5 } }, "required": ["password"] });
    let patch = json!({ "schema": schema, "headers": { "X-Auth": "{password}" }, "api_base_url": "https://h.example" });
    let id = post(&world, patch).await?.text("/id");
    let owner = owner(&world);
    let before = owner.get(&format!("/v1/credentials/{id}/value")).await?.body;
    for (body, pointer, code) in [
        (json!({ "body": { "password": "x" } }), "/body/password", "against_schema"),
        (json!({ "body": { "password": "a\r\nbcdef" } }), "/headers/X-Auth", "not_a_header_value"),
        (json!({ "body": { "password": "abcdef" }, "schema": { "type": 1 } }), "/schema/type", "not_a_schema"),
        (json!({ "schema": {} }), "/body", "missing_field"),
        (json!({ "body": {}, "variables": {} }), "/variables", "forms_mixed"),
        (json!({ "body": {}, "name": "x" }), "/name", "unknown_field"),
    ] {
        assert_field(&put(&owner, &id, body).await?, pointer, code);
    }
    assert_eq!(owner.get(&format!("/v1/credentials/{id}/value")).await?.body, before);

    let replaced = put(&owner, &id, json!({ "body": { "password": "abcdef" } })).await?;
    assert_eq!((replaced.status, &replaced.body["generation"]), (StatusCode::OK, &json!(2)), "{}", replaced.body);
    assert_eq!(replaced.body["kind"], json!("raw"));
    let read = world.read_token(&id, json!({})).await?;
    assert_eq!(read.body["body"], json!({ "password": "abcdef" }));
    assert_eq!((&read.body["generation"], &read.body["headers"]), (&json!(2), &json!({ "X-Auth": "abcdef" })));
    assert_eq!(read.text("/api_base_url"), "https://h.example");
    let loosened =
        put(&owner, &id, json!({ "body": { "k": "v" }, "schema": null, "headers": {}, "api_base_url": null }));
    let loosened = loosened.await?;
    assert_eq!(loosened.status, StatusCode::OK, "{}", loosened.body);
    let value = owner.get(&format!("/v1/credentials/{id}/value")).await?;
    assert_eq!(
        (&value.body["schema"], &value.body["api_base_url"], &value.body["headers"]),
        (&json!(null), &json!(null), &json!({}))
    );
    Ok(())
}

#[tokio::test]
async fn two_owners_calls_at_once_leave_one_whole_document() -> Outcome {
    let world = World::new().await?;
    let id = post(&world, json!({})).await?.text("/id");
    let owner = owner(&world);
    let body = |mark: &str| json!({ "body": { "one": mark, "two": mark } });
    let (first, second) = tokio::join!(put(&owner, &id, body("a")), put(&owner, &id, body("b")));
    for answer in [&first?, &second?] {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    let read = world.read_token(&id, json!({})).await?;
    assert_eq!((&read.body["generation"], &read.body["body"]["one"]), (&json!(3), &read.body["body"]["two"]));
    Ok(())
}

#[tokio::test]
async fn a_client_secret_is_tried_before_it_replaces_the_old_one() -> Outcome {
    let it = Maker::of_persons().await?;
    let id = it.make(json!({ "variables": { "client_id": "app", "client_secret": "right-secret" } })).await?;
    let owner = owner(&it.world);
    let path = format!("/v1/credentials/{id}/value");
    let expected = json!({ "kind": "oauth", "variables": { "client_id": "app", "client_secret": "right-secret" } });
    assert_eq!(owner.get(&path).await?.body, expected);

    let secret = |secret: &str| json!({ "variables": { "client_secret": secret } });
    let refused = put(&owner, &id, secret("CANARY")).await?;
    assert_is_problem(&refused, 502, "client_rejected");
    assert!(!refused.body.to_string().contains("CANARY"));
    assert_eq!(owner.get(&path).await?.body, expected);
    assert!(it.works(&id).await?, "the old token is left alone");
    let metadata = it.world.platform().get(&format!("/v1/credentials/{id}")).await?;
    assert_eq!((&metadata.body["generation"], metadata.text("/status")), (&json!(1), "active".to_owned()));

    it.world.change_at_sandbox("app", json!({ "client_secret": "newer-secret" })).await?;
    let replaced = put(&owner, &id, secret("newer-secret")).await?;
    assert_eq!((replaced.status, &replaced.body["generation"]), (StatusCode::OK, &json!(2)), "{}", replaced.body);
    assert!(!replaced.body.to_string().contains("newer-secret"));
    it.world.advance(Duration::seconds(3600));
    assert!(it.works(&id).await?);
    for (body, pointer, code) in [
        (json!({}), "", "empty"),
        (json!({ "variables": {} }), "", "empty"),
        (json!({ "variables": { "x": "y" } }), "/variables/x", "unknown_variable"),
        (json!({ "username": "ada" }), "/username", "unknown_variable"),
        (json!({ "body": {} }), "/body", "forms_mixed"),
    ] {
        assert_field(&put(&owner, &id, body).await?, pointer, code);
    }
    Ok(())
}

#[tokio::test]
async fn a_new_password_makes_a_credential_whole_that_needed_new_consent() -> Outcome {
    let settings = ClientSettings { refresh_token: RefreshTokenMode::None, ..Default::default() };
    let it = Maker::with(settings, json!({})).await?;
    let password = json!({ "grant_type": "password", "username": "ada", "password": "sandbox" });
    let id = it.make(password).await?;
    let owner = owner(&it.world);
    let value = owner.get(&format!("/v1/credentials/{id}/value")).await?;
    assert_eq!(value.body, json!({ "kind": "oauth", "variables": {}, "username": "ada", "password": "sandbox" }));
    assert!(!value.body.to_string().contains("right-secret"), "the client's own secret is not the owner's");

    let wrong = put(&owner, &id, json!({ "password": "CANARY" })).await?;
    assert_is_problem(&wrong, 502, "code_rejected");
    it.world
        .change_at_sandbox("app", json!({ "token_answers": [{ "status": 400, "body": { "error": "invalid_grant" } }] }))
        .await?;
    it.world.advance(Duration::seconds(3600));
    let dead = it.world.read_token(&id, json!({})).await?;
    assert_is_problem(&dead, 409, "reauthorization_required");
    let mended = put(&owner, &id, json!({ "password": "sandbox" })).await?;
    assert_eq!((mended.status, mended.text("/status")), (StatusCode::OK, "active".to_owned()), "{}", mended.body);
    assert!(it.works(&id).await?);
    Ok(())
}

#[tokio::test]
async fn a_grant_with_a_refresh_token_is_ended_when_another_takes_its_place() -> Outcome {
    let it = Maker::usual().await?;
    let id = it.make(json!({ "grant_type": "password", "username": "ada", "password": "sandbox" })).await?;
    let owner = owner(&it.world);
    let value = owner.get(&format!("/v1/credentials/{id}/value")).await?;
    assert_eq!(value.body, json!({ "kind": "oauth", "variables": {} }), "the password was not kept");
    assert_field(&put(&owner, &id, json!({ "password": "sandbox" })).await?, "/username", "required");
    let replaced = put(&owner, &id, json!({ "username": "ada", "password": "sandbox" })).await?;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.body);
    for _ in 0..100 {
        let alive = it.world.sandbox().grants().iter().filter(|grant| grant.alive).count();
        if alive == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(it.world.sandbox().grants().iter().filter(|grant| grant.alive).count(), 1);
    assert!(it.works(&id).await?);
    assert_eq!(it.count().await?, 1, "what waits for its end is in no list");
    Ok(())
}

#[tokio::test]
async fn of_what_was_consented_to_only_the_person_s_client_secret_is_replaced() -> Outcome {
    let it = Maker::of_persons().await?;
    let import = json!({ "access_token": "at", "refresh_token": "CANARY-RT", "expires_at": "2999-01-01T00:00:00Z" });
    let own = json!({ "client_id": "app", "client_secret": "right-secret" });
    let id = it.make(json!({ "grant_type": null, "import": import, "variables": own })).await?;
    let owner = owner(&it.world);
    let value = owner.get(&format!("/v1/credentials/{id}/value")).await?;
    assert_eq!(value.body, json!({ "kind": "oauth", "variables": own }), "no token is in it");
    for body in [
        json!({ "variables": { "client_id": "other" } }),
        json!({ "variables": { "client_id": "other", "client_secret": "s" } }),
        json!({ "variables": { "client_secret": "s" }, "password": "p" }),
        json!({ "username": "ada" }),
    ] {
        assert_is_problem(&put(&owner, &id, body).await?, 409, "reauthorization_needed_for_value");
    }
    let replaced = put(&owner, &id, json!({ "variables": { "client_secret": "newer-secret" } })).await?;
    assert_eq!((replaced.status, &replaced.body["generation"]), (StatusCode::OK, &json!(2)), "{}", replaced.body);
    let kept: Value = serde_json::from_str(&it.world.secret(&id).await?)?;
    assert_eq!(
        (&kept["refresh_token"], &kept["inputs"]["client_secret"]),
        (&json!("CANARY-RT"), &json!("newer-secret"))
    );
    assert_eq!(it.world.read_token(&id, json!({})).await?.text("/access_token"), "at");
    assert_eq!(it.world.token_requests(), [], "a refresh would have spent the refresh token");

    let usual = it.world.connect(json!({ "name": "by consent" })).await?["id"].as_str().unwrap_or_default().to_owned();
    let refused = put(&owner, &usual, json!({ "variables": { "client_secret": "s" } })).await?;
    assert_is_problem(&refused, 409, "reauthorization_needed_for_value");
    Ok(())
}
