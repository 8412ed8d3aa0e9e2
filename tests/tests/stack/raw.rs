//! Raw credentials: a JSON document that programs read as it was given.

use grantkeeper_tests::{Answer, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

pub(super) async fn post(world: &World, patch: Value) -> anyhow::Result<Answer> {
    let mut body = json!({
        "name": "Server",
        "owner": "ada",
        "kind": "raw",
        "body": { "username": "admin", "password": "CANARY-1", "port": 8443 },
    });
    if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
        body.extend(patch);
    }
    world.platform().post("/v1/credentials", body).await
}

#[tokio::test]
async fn a_document_is_stored_and_programs_read_it_with_its_headers() -> Outcome {
    let world = World::new().await?;
    let made = post(
        &world,
        json!({
            "schema": { "required": ["password"], "properties": { "port": { "type": "integer" } } },
            "api_base_url": "http://10.0.0.7:8080/openmrs/",
            "headers": { "X-User": "{username}", "X-Auth": "key {password}:{port}" },
            "labels": { "system": "openmrs" },
            "external_id": "r-1",
        }),
    )
    .await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for (member, value) in [
        ("kind", json!("raw")),
        ("client", json!(null)),
        ("grant_type", json!(null)),
        ("status", json!("active")),
        ("generation", json!(1)),
        ("expires_at", json!(null)),
        ("external_id", json!("r-1")),
    ] {
        assert_eq!(made.body[member], value, "{member}");
    }
    assert!(!made.body.to_string().contains("CANARY"));
    let id = made.text("/id");
    let expected = json!({
        "body": { "username": "admin", "password": "CANARY-1", "port": 8443 },
        "generation": 1,
        "api_base_url": "http://10.0.0.7:8080/openmrs",
        "headers": { "X-User": "admin", "X-Auth": "key CANARY-1:8443" },
    });
    let path = format!("/v1/credentials/{id}/token");
    for caller in [world.runner(), world.platform().acting_for("ada")] {
        let read = caller.post(&path, json!({})).await?;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &expected));
        assert_eq!(read.headers["cache-control"], "no-store");
    }
    assert_is_problem(&world.platform().acting_for("grace").post(&path, json!({})).await?, 403, "not_the_owner");
    assert_is_problem(&world.superuser().post(&path, json!({})).await?, 403, "role_not_allowed");
    let other = world.project(json!({})).await?;
    let stranger = world.caller("runner", json!([other])).await?;
    assert_is_problem(&stranger.post(&path, json!({})).await?, 404, "not_found");
    let refreshed = world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await?;
    assert_is_problem(&refreshed, 409, "not_refreshable");
    assert_eq!((world.token_requests().len(), world.stack.broker.tick().await?), (0, 0));
    let list = world.platform().get("/v1/credentials").await?;
    assert!(!list.body.to_string().contains("CANARY"), "{}", list.body);
    Ok(())
}

#[tokio::test]
async fn a_document_keeps_to_its_schema_and_no_value_is_quoted() -> Outcome {
    let world = World::new().await?;
    let schema = json!({ "properties": { "password": { "maxLength": 3 }, "a/b": { "type": "null" } } });
    let body = json!({ "password": "CANARY-2", "a/b": "CANARY-3" });
    let refused = post(&world, json!({ "schema": schema, "body": body })).await?;
    assert_is_problem(&refused, 422, "invalid_request");
    let against = |pointer: &str| (pointer.to_owned(), "against_schema".to_owned());
    assert_eq!(refused.field_errors(), [against("/body/a~1b"), against("/body/password")]);
    assert!(!refused.body.to_string().contains("CANARY"), "{}", refused.body);
    for (schema, pointer, code) in [
        (json!({ "type": "strnig" }), "/schema/type", "not_a_schema"),
        (json!(7), "/schema", "not_a_schema"),
        (json!({ "$ref": "http://127.0.0.1:1/schema.json" }), "/schema", "remote_reference"),
        (json!({ "$ref": "file:///etc/passwd" }), "/schema", "remote_reference"),
        (json!({ "$schema": "http://127.0.0.1:1/draft" }), "/schema/$schema", "draft_unknown"),
        (json!({ "$ref": "#" }), "/schema", "circular_reference"),
    ] {
        assert_field(&post(&world, json!({ "schema": schema })).await?, pointer, code);
    }
    Ok(())
}

#[tokio::test]
async fn a_document_or_header_that_cannot_be_used_is_refused() -> Outcome {
    let world = World::new().await?;
    for (patch, pointer, code) in [
        (json!({ "body": null }), "/body", "missing_field"),
        (json!({ "body": [1] }), "/body", "not_an_object"),
        (json!({ "body": { "a": "x".repeat(64_000) } }), "/body", "too_large"),
        (json!({ "body": { "k": "a\r\nX-Admin: 1" }, "headers": { "X": "{k}" } }), "/headers/X", "not_a_header_value"),
        (json!({ "headers": { "X": "a\nb" } }), "/headers/X", "not_a_header_value"),
        (json!({ "headers": { "X Y": "a" } }), "/headers/X Y", "not_a_header"),
        (json!({ "headers": { "X": "{nothing}" } }), "/headers/X", "unknown_member"),
        (json!({ "api_base_url": "https://ada:pw@h.example/" }), "/api_base_url", "not_a_base_url"),
        (json!({ "api_base_url": "gopher://h" }), "/api_base_url", "not_a_base_url"),
        (json!({ "client": "clt_x" }), "/client", "forms_mixed"),
        (json!({ "import": {} }), "/import", "forms_mixed"),
        (json!({ "grant_type": "password" }), "/grant_type", "forms_mixed"),
        (json!({ "password": "p" }), "/password", "forms_mixed"),
        (json!({ "kind": "cooked" }), "/kind", "invalid_value"),
    ] {
        assert_field(&post(&world, patch).await?, pointer, code);
    }
    assert_eq!(post(&world, json!({})).await?.status, StatusCode::CREATED);
    assert_is_problem(&post(&world, json!({})).await?, 409, "name_taken");
    Ok(())
}
