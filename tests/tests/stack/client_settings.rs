//! The settings of a client: what is shown, what is asked of people, what is refused.

use grantkeeper_tests::World;
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

async fn registered(world: &World, patch: Value) -> anyhow::Result<grantkeeper_tests::Answer> {
    let mut body = json!({ "name": "Example", "project": world.stack.project });
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    world.superuser().post("/v1/clients", body).await
}

#[tokio::test]
async fn defaults_are_shown_and_what_was_read_can_be_sent_back() -> Outcome {
    let world = World::new().await?;
    let machine = json!({
        "grant_types": ["client_credentials"], "token_endpoint": "https://as.example.com/token", "client_id": "m",
        "token_response": { "access_token": "/data/token" },
    });
    let machine = registered(&world, machine).await?;
    assert_eq!(machine.status, StatusCode::CREATED, "{}", machine.body);
    let request = &machine.body["token_request"];
    assert_eq!(request["content_type"], "application/x-www-form-urlencoded");
    assert_eq!((&request["grant_type"], &request["method"]), (&json!("client_credentials"), &json!("POST")));
    assert_eq!(request["names"]["scope"], "scope");
    let response = &machine.body["token_response"];
    assert_eq!((&response["access_token"], &response["scope"]), (&json!("/data/token"), &json!("scope")));
    assert_eq!(machine.body["credentials_from"], "client");
    for id in [machine.text("/id"), world.client()] {
        let path = format!("/v1/clients/{id}");
        let read = world.superuser().get(&path).await?.body;
        let back = world.superuser().patch(&path, read.clone()).await?;
        assert_eq!(back.status, StatusCode::OK, "{}", back.body);
        assert_eq!(without_time(back.body), without_time(read));
    }
    // A grant type that was only shown is not sent with other grants.
    assert_eq!(world.connect(json!({})).await?["status"], "active");
    let path = format!("/v1/clients/{}", machine.text("/id"));
    let changed = json!({ "token_request": { "grant_type": "machine", "content_type": "json" } });
    let changed = world.superuser().patch(&path, changed).await?;
    assert_eq!(changed.text("/token_request/grant_type"), "machine");
    let back = world.superuser().patch(&path, json!({ "token_request": { "grant_type": null } })).await?;
    assert_eq!(back.text("/token_request/grant_type"), "client_credentials");
    assert_eq!(back.text("/token_request/content_type"), "json");
    Ok(())
}

fn without_time(mut client: Value) -> Value {
    client.as_object_mut().unwrap().remove("updated_at");
    client
}

#[tokio::test]
async fn the_schema_says_what_a_person_must_give_for_each_grant() -> Outcome {
    let world = World::new().await?;
    let client = json!({
        "credentials_from": "person", "grant_types": ["client_credentials", "password", "refresh_token"],
        "token_endpoint": "https://{subdomain}.example.com/token",
        "variables": [
            { "key": "subdomain", "label": "Subdomain", "help": "See your address bar", "required": true },
            { "key": "Api-Key", "secret": true },
            { "key": "region", "choices": ["eu", "us"], "default": "eu" },
            { "key": "internal", "visibility": "hidden" },
            { "key": "own", "source": "client", "default": "x" },
        ],
        "values": { "own": "y", "internal": "z" },
    });
    let client = registered(&world, client).await?;
    assert_eq!((client.status, client.text("/status")), (StatusCode::CREATED, "active".into()), "{}", client.body);
    let path = format!("/v1/clients/{}/variables", client.text("/id"));
    let schema = world.platform().get(&path).await?;
    assert_eq!(schema.status, StatusCode::OK, "{}", schema.body);
    let schema = schema.body;
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["x-order"], json!(["client_id", "client_secret", "subdomain", "Api-Key", "region"]));
    assert_eq!(schema["required"], json!(["client_id", "client_secret", "subdomain"]));
    assert_eq!(schema["properties"]["Api-Key"]["writeOnly"], true);
    assert_eq!(schema["properties"]["subdomain"]["title"], "Subdomain");
    assert_eq!(schema["properties"]["region"]["default"], "eu");
    let password = world.superuser().get(&format!("{path}?grant_type=password")).await?.body;
    let order = json!(["client_id", "client_secret", "username", "password", "subdomain", "Api-Key", "region"]);
    assert_eq!(password["x-order"], order);
    for (query, status, code) in [
        ("?grant_type=authorization_code", 422, "invalid_request"),
        ("?grant_type=refresh_token", 422, "invalid_request"),
        ("?grant_type=magic", 400, "malformed_request"),
        ("?colour=red", 400, "malformed_request"),
    ] {
        assert_is_problem(&world.platform().get(&format!("{path}{query}")).await?, status, code);
    }
    assert_is_problem(&world.runner().get(&path).await?, 403, "role_not_allowed");
    let other = world.project(json!({})).await?;
    let other = world.caller("platform", json!([other])).await?;
    assert_is_problem(&other.get(&path).await?, 404, "not_found");
    let plain = world.platform().get(&format!("/v1/clients/{}/variables", world.client())).await?.body;
    assert_eq!((&plain["properties"], &plain["required"]), (&json!({}), &json!([])));
    Ok(())
}

#[tokio::test]
async fn a_shared_secret_goes_to_no_host_that_a_person_names() -> Outcome {
    let world = World::new().await?;
    let open = json!({
        "token_endpoint": "{base_url}/oauth/token", "variables": [{ "key": "base_url", "type": "url" }],
        "client_secret": "CANARY",
    });
    let refused = registered(&world, open.clone()).await?;
    assert_field(&refused, "/token_endpoint", "host_not_fixed");
    let said = refused.body.to_string();
    assert!(said.contains("credentials_from") && !said.contains("CANARY"), "{said}");
    let with = |patch: Value| {
        let mut body = open.clone();
        body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
        body
    };
    for patch in [
        json!({ "credentials_from": "person", "client_secret": null }),
        json!({ "token_endpoint": "https://{sub}.example.com/token", "variables": [{ "key": "sub" }] }),
        json!({ "variables": [{ "key": "base_url", "source": "client" }], "values": { "base_url": "https://as.example.com/" } }),
    ] {
        let accepted = registered(&world, with(patch)).await?;
        assert_eq!(accepted.status, StatusCode::CREATED, "{}", accepted.body);
    }
    // Nor does a change get there.
    let fixed = json!({ "token_endpoint": "https://as.example.com/token", "client_id": "c", "client_secret": "s" });
    let id = registered(&world, fixed).await?.text("/id");
    let change = json!({ "token_endpoint": "{base_url}/token", "variables": [{ "key": "base_url" }] });
    assert_field(
        &world.superuser().patch(&format!("/v1/clients/{id}"), change).await?,
        "/token_endpoint",
        "host_not_fixed",
    );
    Ok(())
}

#[tokio::test]
async fn another_host_to_choose_from_needs_the_secret_again() -> Outcome {
    let world = World::new().await?;
    let settings = |choices: Value| {
        json!({
            "token_endpoint": "https://{host}/token",
            "variables": [{ "key": "host", "type": "host", "required": true, "choices": choices }],
        })
    };
    let mut body = settings(json!(["eu.example.com"]));
    body["client_secret"] = json!("s");
    let id = registered(&world, body).await?.text("/id");
    let path = format!("/v1/clients/{id}");
    let same = world.superuser().patch(&path, json!({ "docs_url": "https://docs.example.com" })).await?;
    assert_eq!(same.body["client_secrets"].as_array().unwrap().len(), 1);
    let more = world.superuser().patch(&path, settings(json!(["eu.example.com", "evil.example.net"]))).await?;
    assert_eq!((more.status, &more.body["client_secrets"]), (StatusCode::OK, &json!([])));
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_is_named_by_its_pointer() -> Outcome {
    let world = World::new().await?;
    for (patch, pointer, code) in [
        (json!({ "grant_types": ["refresh_token"] }), "/grant_types", "unsupported"),
        (json!({ "grant_types": ["implicit"] }), "/grant_types/0", "invalid_value"),
        (json!({ "token_endpoint": "https://{x}.example.com" }), "/token_endpoint", "undeclared_variable"),
        (json!({ "variables": [{ "key": "a" }, { "key": "a" }] }), "/variables/1/key", "duplicate_key"),
        (json!({ "variables": [{ "key": "a", "colour": 1 }] }), "/variables/0/colour", "unknown_field"),
        (json!({ "token_request": { "headers": { "X": "{x}" } } }), "/token_request/headers/X", "undeclared_variable"),
        (json!({ "token_response": { "ok": "" } }), "/token_response/ok", "not_a_place"),
        (json!({ "api_headers": { "Authorization": "x" } }), "/api_headers/Authorization", "reserved_header"),
        (json!({ "api_origins": ["https://a.example.com/x"] }), "/api_origins/0", "not_an_origin"),
        (json!({ "authorization_names": { "x": "y" } }), "/authorization_names/x", "not_a_parameter"),
        (
            json!({ "credentials_from": "person", "client_secret": "s", "token_endpoint": "https://as.example.com" }),
            "/client_secret",
            "not_used",
        ),
    ] {
        assert_field(&registered(&world, patch.clone()).await?, pointer, code);
        let path = format!("/v1/clients/{}", world.client());
        if pointer != "/client_secret" && pointer != "/token_endpoint" {
            assert_field(&world.superuser().patch(&path, patch).await?, pointer, code);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_of_every_grant_is_active_with_what_its_grants_need() -> Outcome {
    let world = World::new().await?;
    for (patch, missing) in [
        (json!({ "grant_types": ["client_credentials"] }), json!(["client_id", "token_endpoint", "client_secret"])),
        (
            json!({ "grant_types": ["password"], "token_endpoint_auth_method": "none" }),
            json!(["client_id", "token_endpoint"]),
        ),
        (
            json!({ "grant_types": ["client_credentials"], "credentials_from": "person", "token_endpoint": "https://as.example.com" }),
            json!([]),
        ),
    ] {
        let client = registered(&world, patch).await?;
        assert_eq!((client.status, &client.body["missing"]), (StatusCode::CREATED, &missing), "{}", client.body);
        assert_eq!(client.text("/status"), if missing == json!([]) { "active" } else { "draft" });
    }
    Ok(())
}
