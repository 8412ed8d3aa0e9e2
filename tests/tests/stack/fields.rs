//! Fields that are wrong, and fields that are not the caller's to set.

use chrono::Duration;
use grantkeeper_tests::World;
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

#[tokio::test]
async fn the_wrong_field_is_named_by_its_pointer() -> Outcome {
    let world = World::new().await?;
    let expires_at = (world.stack.broker.now() + Duration::days(1)).to_rfc3339();
    for (path, body, pointer, code) in [
        ("/v1/projects", json!({}), "/name", "missing_field"),
        ("/v1/projects", json!({ "name": " " }), "/name", "empty"),
        ("/v1/projects", json!({ "name": "a", "slug": "A b" }), "/slug", "not_a_slug"),
        (
            "/v1/projects",
            json!({ "name": "a", "policies": { "allow_all": true } }),
            "/policies/allow_all",
            "unknown_field",
        ),
        ("/v1/projects", json!({ "name": 7 }), "/name", "invalid_value"),
        ("/v1/keys", json!({ "name": "a", "role": "runner", "projects": "*" }), "/expires_at", "missing_field"),
        (
            "/v1/keys",
            json!({ "name": "a", "role": "god", "projects": "*", "expires_at": expires_at }),
            "/role",
            "invalid_value",
        ),
        (
            "/v1/keys",
            json!({ "name": "a", "role": "runner", "projects": [], "expires_at": expires_at }),
            "/projects",
            "empty",
        ),
        (
            "/v1/keys",
            json!({ "name": "a", "role": "runner", "projects": "*", "expires_at": "2020-01-01T00:00:00Z" }),
            "/expires_at",
            "out_of_range",
        ),
        (
            "/v1/keys",
            json!({ "name": "a", "role": "runner", "projects": "*", "expires_at": "2999-01-01T00:00:00Z" }),
            "/expires_at",
            "out_of_range",
        ),
        ("/v1/clients", json!({}), "/name", "missing_field"),
        ("/v1/clients", json!({ "name": "a", "pkce": "plain" }), "/pkce", "invalid_value"),
        ("/v1/clients", json!({ "name": "a", "client_secret": 7 }), "/client_secret", "invalid_type"),
        ("/v1/clients", json!({ "name": "a", "client_secret": "s" }), "/token_endpoint", "needed_for_secret"),
        ("/v1/clients", json!({ "name": "a", "client_key": "short" }), "/client_key", "not_a_client_key"),
        ("/v1/clients", json!({ "name": "a", "scopes": { "required": ["a b"] } }), "/scopes/required/0", "not_a_scope"),
        ("/v1/clients", json!({ "name": "a", "header": { "name": "X\r\nY" } }), "/header/name", "not_a_header"),
        ("/v1/clients", json!({ "name": "a\u{1b}[2J" }), "/name", "control_character"),
        ("/v1/clients", json!({ "name": "a", "resource": "https://a.example/#f" }), "/resource", "not_a_resource"),
    ] {
        assert_field(&world.superuser().post(path, body.clone()).await?, pointer, code);
    }
    for (body, pointer, code) in [
        (json!({}), "/owner", "missing_field"),
        (json!({ "owner": "ada", "expires_in": 0 }), "/expires_in", "out_of_range"),
        (json!({ "owner": "ada", "expires_in": 86_401 }), "/expires_in", "out_of_range"),
        (json!({ "owner": "ada", "context": "x".repeat(513) }), "/context", "too_long"),
        (json!({ "owner": "ada", "binding": "none" }), "/binding", "invalid_value"),
        (json!({ "owner": "ada", "clients": [] }), "/clients", "empty"),
        (json!({ "owner": "ada", "clients": ["clt_01ARZ3NDEKTSV4RRFFQ69G5FAV"] }), "/clients/0", "unknown_client"),
        (json!({ "owner": "ada", "clients": ["x"] }), "/clients/0", "unknown_client"),
        (json!({ "owner": "ada", "scopes": ["admin"] }), "/scopes/0", "scope_not_offered"),
        (
            json!({ "owner": "ada", "clients": [{ "id": world.client(), "scopes": ["admin"] }] }),
            "/clients/0/scopes/0",
            "scope_not_offered",
        ),
    ] {
        assert_field(&world.platform().post("/v1/connect-sessions", body).await?, pointer, code);
    }
    Ok(())
}

#[tokio::test]
async fn what_only_the_broker_sets_cannot_be_set() -> Outcome {
    let world = World::new().await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let members = [
        "status",
        "bound_origin",
        "tenant_id",
        "project_id",
        "generation",
        "id",
        "created_at",
        "secret_origin",
        "version",
    ];
    for member in members {
        let pointer = format!("/{member}");
        for (path, mut body) in [
            ("/v1/projects", json!({ "name": "a" })),
            ("/v1/clients", json!({ "name": "a" })),
            (
                "/v1/keys",
                json!({ "name": "a", "role": "runner", "projects": "*", "expires_at": "2026-01-01T00:00:00Z" }),
            ),
        ] {
            body[member] = json!("x");
            assert_field(&world.superuser().post(path, body).await?, &pointer, "unknown_field");
        }
        let session = json!({ "owner": "ada", member: "x" });
        assert_field(&world.platform().post("/v1/connect-sessions", session).await?, &pointer, "unknown_field");
        let change =
            world.platform().acting_for("ada").patch(&format!("/v1/credentials/{id}"), json!({ member: "x" })).await?;
        assert_field(&change, &pointer, "unknown_field");
        if member != "status" {
            let change =
                world.superuser().patch(&format!("/v1/clients/{}", world.client()), json!({ member: "x" })).await?;
            assert_field(&change, &pointer, "unknown_field");
        }
    }
    for (member, code) in [("project", "read_only"), ("client_key", "read_only"), ("status", "unsupported")] {
        let change =
            world.superuser().patch(&format!("/v1/clients/{}", world.client()), json!({ member: "x" })).await?;
        assert_field(&change, &format!("/{member}"), code);
    }
    Ok(())
}

#[tokio::test]
async fn a_url_that_leads_inside_is_refused_when_it_is_entered() -> Outcome {
    let world = World::new().await?;
    for (url, code) in [
        ("http://as.example/token", "url_not_https"),
        ("https://user:secret@as.example/token", "url_has_userinfo"),
        ("https://as.example/token#f", "url_has_fragment"),
        ("https://as.example:8443/token", "url_port_not_allowed"),
        ("https://127.0.0.1/token", "url_address_not_allowed"),
        ("https://2130706433/token", "url_address_not_allowed"),
        ("https://0x7f.1/token", "url_address_not_allowed"),
        ("https://169.254.169.254/latest", "url_address_not_allowed"),
        ("https://[::1]/token", "url_address_not_allowed"),
        ("https://[::ffff:169.254.169.254]/token", "url_address_not_allowed"),
        ("https://10.0.0.1/token", "url_address_not_allowed"),
        ("https://localhost/token", "url_address_not_allowed"),
        ("javascript:alert(1)", "url_not_https"),
        ("file:///etc/passwd", "url_not_https"),
        ("/token", "url_invalid"),
    ] {
        for member in [
            "authorization_endpoint",
            "token_endpoint",
            "revocation_endpoint",
            "userinfo_endpoint",
            "issuer",
            "api_base_url",
        ] {
            let refused = world.superuser().post("/v1/clients", json!({ "name": "a", member: url })).await?;
            assert_field(&refused, &format!("/{member}"), code);
        }
    }
    Ok(())
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() -> Outcome {
    let world = World::new().await?;
    let body = json!({ "name": "", "token_endpoint": "http://x.example", "labels": { "a/b": "\u{1}" } });
    let refused = world.superuser().post("/v1/clients", body).await?;
    let expected = [("/labels/a~1b", "not_a_label"), ("/name", "empty"), ("/token_endpoint", "url_not_https")];
    assert_eq!(refused.field_errors(), expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    Ok(())
}

#[tokio::test]
async fn a_problem_never_quotes_the_value() -> Outcome {
    let world = World::new().await?;
    let canary = "CANARY-4f2a";
    for body in [
        json!({ "name": "a", "client_secret": [canary] }),
        json!({ "name": "a", "token_endpoint": canary, "client_secret": format!("{canary}\n") }),
        json!({ "name": { "a": canary } }),
        json!({ "name": "a", "pkce": canary }),
    ] {
        let refused = world.superuser().post("/v1/clients", body.clone()).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert!(!refused.body.to_string().contains(canary), "{}", refused.body);
    }
    Ok(())
}

#[tokio::test]
async fn a_draft_has_its_redirect_uri_and_becomes_active_when_it_is_complete() -> Outcome {
    let world = World::new().await?;
    let key = "k".repeat(43);
    let draft = world.superuser().post("/v1/clients", json!({ "name": "Later", "client_key": key })).await?;
    assert_eq!((draft.status, draft.text("/status")), (StatusCode::CREATED, "draft".into()));
    assert_eq!(draft.text("/redirect_uri"), format!("{}/callback/{key}", world.stack.url));
    assert_eq!(
        draft.body["missing"],
        json!(["client_id", "token_endpoint", "authorization_endpoint", "client_secret"])
    );
    let refused = world.open_session(json!({ "clients": [draft.text("/id")] })).await?;
    assert_field(&refused, "/clients/0", "client_not_active");
    let path = format!("/v1/clients/{}", draft.text("/id"));
    let patch = json!({ "client_id": "id", "client_secret": "canary-secret", "authorization_endpoint": "https://as.example/a", "token_endpoint": "https://api.example/t" });
    let active = world.superuser().patch(&path, patch).await?;
    assert_eq!((active.text("/status"), active.text("/redirect_uri")), ("active".into(), draft.text("/redirect_uri")));
    assert_eq!(active.text("/token_endpoint_auth_method"), "");
    let secrets = active.body["client_secrets"].as_array().unwrap();
    assert_eq!((secrets.len(), active.body.to_string().contains("canary-secret")), (1, false));
    // The key is never given to another client, not even after this one is gone.
    assert_eq!(world.superuser().delete(&path).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(world.superuser().get(&path).await?.status, StatusCode::NOT_FOUND);
    let again = world.superuser().post("/v1/clients", json!({ "name": "Thief", "client_key": key })).await?;
    assert_is_problem(&again, 409, "client_key_taken");
    Ok(())
}

#[tokio::test]
async fn a_project_policy_limits_the_scopes_of_its_sessions() -> Outcome {
    let world = World::new().await?;
    let path = format!("/v1/projects/{}", world.stack.project);
    let policies = json!({ "policies": { "allowed_scopes": ["openid", "offline_access", "read"] } });
    assert_eq!(world.superuser().patch(&path, policies).await?.status, StatusCode::OK);
    assert_field(&world.open_session(json!({ "scopes": ["write"] })).await?, "/scopes/0", "scope_not_allowed");
    assert_eq!(world.open_session(json!({ "scopes": ["read"] })).await?.status, StatusCode::CREATED);
    // The form offers and asks no more than the backend may.
    let session = world.open_session(json!({})).await?;
    let (link, browser) = (session.text("/connect_url"), grantkeeper_tests::Browser::new());
    assert!(!browser.get(&link).await?.text.contains("Change things"));
    let pressed = browser.post(&link, &[("scope", "write")]).await?;
    assert_eq!((pressed.status, pressed.code()), (StatusCode::UNPROCESSABLE_ENTITY, "bad_form"));
    let asked = grantkeeper_tests::parameters(&browser.start(&link, &[]).await?);
    assert_eq!(asked["scope"], "openid offline_access read");
    Ok(())
}
