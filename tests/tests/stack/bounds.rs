//! What a key, a list, a path and an answer may be at most.

use anyhow::Context as _;
use chrono::Duration;
use grantkeeper::model::ids::ClientId;
use grantkeeper::store::Store as _;
use grantkeeper::vault::VaultKind;
use grantkeeper_local::stack::Options;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Browser, Reply, World, parameters};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::Connected;

fn wrong(answer: &Answer, pointer: &str, code: &str) {
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
    assert_eq!(answer.field_errors(), [(pointer.to_owned(), code.to_owned())], "{}", answer.body);
}

#[tokio::test]
async fn a_superuser_of_one_project_reaches_no_other_by_its_clients() -> Outcome {
    let world = World::new().await?;
    let (own, theirs) = (world.project(json!({})).await?, world.stack.project.to_string());
    let superuser = world.caller("superuser", json!([own])).await?;
    let shared = |with: &str| json!({ "name": "c", "shared_with": [with] });
    wrong(&superuser.post("/v1/clients", shared(&theirs)).await?, "/shared_with/0", "unknown_project");
    let made = superuser.post("/v1/clients", shared(&own)).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let path = format!("/v1/clients/{}", made.text("/id"));
    let spread = json!({ "shared_with": [own, theirs] });
    wrong(&superuser.patch(&path, spread.clone()).await?, "/shared_with/1", "unknown_project");

    // What the operator has shared may stay when somebody changes something else.
    assert_eq!(world.superuser().patch(&path, spread).await?.status, StatusCode::OK);
    let renamed = superuser.patch(&path, json!({ "name": "renamed" })).await?;
    assert_eq!((renamed.status, renamed.text("/name")), (StatusCode::OK, "renamed".into()), "{}", renamed.body);

    let foreign = format!("/v1/clients/{}", world.client());
    let listed = superuser.get("/v1/clients").await?.body["items"].to_string();
    assert!(listed.contains(&made.text("/id")) && !listed.contains(&world.client()), "{listed}");
    assert_eq!(superuser.patch(&foreign, json!({ "name": "mine" })).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(world.superuser().get(&foreign).await?.text("/name"), "Sandbox");
    Ok(())
}

#[tokio::test]
async fn a_narrowed_key_makes_no_wider_one() -> Outcome {
    let world = World::new().await?;
    let expires_at = (world.stack.broker.now() + Duration::days(1)).to_rfc3339();
    let body = |role: &str, permissions: Value| json!({ "name": "k", "role": role, "projects": [world.stack.project], "permissions": permissions, "expires_at": expires_at });
    let narrow = world.superuser().post("/v1/keys", body("superuser", json!(["keys:write", "tokens:read"]))).await?;
    assert_eq!(narrow.status, StatusCode::CREATED, "{}", narrow.body);
    let narrow = world.with_key(&narrow.text("/key"));
    for role in ["superuser", "platform", "runner"] {
        wrong(&narrow.post("/v1/keys", body(role, json!([]))).await?, "/permissions", "not_allowed");
        let more = narrow.post("/v1/keys", body(role, json!(["tokens:read", "clients:write"]))).await?;
        wrong(&more, "/permissions/1", "not_allowed");
    }
    let made = narrow.post("/v1/keys", body("runner", json!(["tokens:read"]))).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    for unknown in ["tokens:*", "Tokens:read", "everything", ""] {
        let refused = world.superuser().post("/v1/keys", body("runner", json!([unknown]))).await?;
        wrong(&refused, "/permissions/0", "unknown_permission");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_is_shared_with_fifty_projects_at_most() -> Outcome {
    let world = World::new().await?;
    let shared = |times: usize| json!({ "name": "c", "shared_with": vec![world.stack.project.as_str(); times] });
    wrong(&world.superuser().post("/v1/clients", shared(51)).await?, "/shared_with", "too_many");
    let made = world.superuser().post("/v1/clients", shared(50)).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let path = format!("/v1/clients/{}", made.text("/id"));
    wrong(&world.superuser().patch(&path, shared(51)).await?, "/shared_with", "too_many");
    Ok(())
}

#[tokio::test]
async fn a_session_names_fifty_clients_at_most_and_each_once() -> Outcome {
    let world = World::new().await?;
    let client = world.client();
    wrong(&world.open_session(json!({ "clients": vec![&client; 51] })).await?, "/clients", "too_many");
    wrong(&world.open_session(json!({ "clients": [client, client] })).await?, "/clients/1", "repeated");
    let choices = json!([client, { "id": client, "scopes": ["write"] }]);
    wrong(&world.open_session(json!({ "clients": choices })).await?, "/clients/1", "repeated");
    Ok(())
}

#[tokio::test]
async fn a_path_that_is_no_text_gets_an_answer_like_any_other() -> Outcome {
    let world = World::new().await?;
    let paths = [
        (Method::GET, "/v1/credentials/%ff"),
        (Method::POST, "/v1/credentials/%ff/token"),
        (Method::GET, "/v1/clients/%ff"),
        (Method::GET, "/v1/flows/%ff"),
        (Method::GET, "/v1/connect-sessions/%ff"),
        (Method::GET, "/callback/%ff"),
        (Method::GET, "/connect/%ff"),
        (Method::POST, "/connect/%ff"),
    ];
    for (method, path) in paths {
        let body = (method == Method::POST).then(|| ("application/json", "{}".to_owned()));
        let answer = world.platform().send(method.clone(), path, body).await?;
        assert!(answer.status.is_client_error(), "{method} {path}: {}", answer.status);
        let content_type = answer.headers["content-type"].to_str()?;
        let page = content_type.starts_with("text/html");
        assert!(page || content_type == "application/problem+json", "{method} {path}: {content_type}");
        assert!(page || !answer.code().is_empty(), "{method} {path}: {}", answer.body);
        assert_eq!(answer.headers["cache-control"], "no-store", "{method} {path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{method} {path}");
        assert!(answer.headers["grantkeeper-request-id"].to_str()?.starts_with("req_"), "{method} {path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_different_fields_at_once_both_survive() -> Outcome {
    let world = World::new().await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let (path, ada) = (format!("/v1/credentials/{id}"), world.platform().acting_for("ada"));
    for round in 0..20 {
        let kind = if round % 2 == 0 { "integration" } else { "personal" };
        let labels = json!({ "round": round.to_string() });
        let (one, two) = tokio::try_join!(
            ada.patch(&path, json!({ "labels": labels })),
            ada.patch(&path, json!({ "account_kind": kind })),
        )?;
        assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK), "{} {}", one.body, two.body);
        let read = ada.get(&path).await?;
        assert_eq!((&read.body["labels"], read.text("/account_kind")), (&labels, kind.to_owned()), "round {round}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_of_somebody_is_not_taken_for_a_bearer_token() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    let credentials = it.world.platform().get("/v1/credentials").await?.body;
    for token_type in ["DPoP", "dpop", "MAC", "PoP"] {
        let browser = Browser::new();
        let session = json!({ "clients": [it.client], "scopes": ["read"], "name": token_type });
        let callback = it.world.to_callback(&browser, session).await?;
        let location = browser.get(callback.as_str()).await?.location()?;
        let answer = json!({ "access_token": "at", "token_type": token_type, "expires_in": 3600 });
        proxy.script([Reply::Instead(200, answer)]);
        let refused = it.world.complete(&location, "ada").await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "provider_misbehaved"), "{token_type}");
        let flow = it.world.platform().get(&format!("/v1/flows/{}", parameters(&location)["flow"])).await?;
        let ended = (flow.text("/status"), flow.text("/problem"));
        assert_eq!(ended, ("failed".into(), "provider_misbehaved".into()), "{token_type}");
        assert_eq!(it.world.platform().get("/v1/credentials").await?.body, credentials, "{token_type}");
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_issuer_in_the_answer_is_another_issuer() -> Outcome {
    let world = World::new().await?;
    // Once for a server whose answers must have `iss`, once for one that may leave it out.
    for iss_required in [true, false] {
        let mut client = world.store().find_client(&ClientId::parse(&world.client())?).await?.context("the client")?;
        (client.iss_required, client.revision) = (iss_required, client.revision + 1);
        world.store().update_client(&client).await?;
        let browser = Browser::new();
        let callback = world.to_callback(&browser, json!({})).await?;
        let mut query = parameters(&callback);
        query.insert("iss".to_owned(), String::new());
        let mut empty = callback.clone();
        empty.query_pairs_mut().clear().extend_pairs(query);
        let page = browser.get(empty.as_str()).await?;
        assert_eq!((page.status, page.code()), (StatusCode::BAD_REQUEST, "issuer_mismatch"), "{}", page.text);
        assert_eq!(page.headers.get("location"), None);
        let right = browser.get(callback.as_str()).await?;
        assert_eq!(right.status, StatusCode::SEE_OTHER, "the right answer still works: {}", right.text);
    }
    assert_eq!(world.token_requests(), []);
    Ok(())
}

#[tokio::test]
async fn a_credential_is_not_refreshed_more_often_than_the_vault_takes_versions() -> Outcome {
    let world = World::with(|options| Options { vault: VaultKind::SecretsManager, ..options }).await?;
    let it = Connected::inside(world, ClientSettings::default(), json!({})).await?;
    let mut refreshed = 0;
    let refused = loop {
        let answer = it.refresh().await?;
        if answer.status != StatusCode::OK {
            break answer;
        }
        refreshed += 1;
        assert!(refreshed < 100, "Secrets Manager would refuse the hundredth version of a day");
    };
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "refreshed_too_often"));
    assert_eq!(refused.body["retryable"], json!(true));
    assert_eq!(refused.headers.get("retry-after").context("Retry-After")?, "1500");
    assert_eq!(it.refreshes(), refreshed, "the provider is not asked for what could not be kept");
    assert_eq!(it.token(json!({})).await?.status, StatusCode::OK);

    // One more every 25 minutes is sustained.
    it.world.advance(Duration::minutes(25));
    assert_eq!(it.refresh().await?.status, StatusCode::OK);
    assert_eq!(it.refresh().await?.code(), "refreshed_too_often");
    Ok(())
}

#[tokio::test]
async fn the_sealed_vault_takes_versions_as_often_as_they_come() -> Outcome {
    let world = World::with(|options| Options { vault: VaultKind::Sealed, ..options }).await?;
    let it = Connected::inside(world, ClientSettings::default(), json!({})).await?;
    for generation in 2..=45 {
        let answer = it.refresh().await?;
        assert_eq!(
            (answer.status, &answer.body["generation"]),
            (StatusCode::OK, &json!(generation)),
            "{}",
            answer.body
        );
    }
    assert_eq!(it.world.versions(&it.id).await?, 2, "the current one and the one before: older ones are let go");
    Ok(())
}
