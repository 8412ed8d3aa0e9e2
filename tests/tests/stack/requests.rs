//! What the API does not take, and how it says so.

use chrono::Duration;
use grantkeeper_tests::{Answer, World};
use http::StatusCode;
use reqwest::Method;
use serde_json::json;

use super::Outcome;

/// RFC 9457 with the members that API.md promises, and advice for whoever reads it.
pub(super) fn assert_is_problem(answer: &Answer, status: u16, code: &str) {
    let what = &answer.body;
    assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{what}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(what["status"], json!(status));
    for text in ["type", "title", "code", "detail", "who_can_act", "request_id"] {
        assert!(what[text].as_str().is_some_and(|text| !text.is_empty()), "{text}: {what}");
    }
    assert!(what["type"].as_str().unwrap().ends_with(code));
    assert!(what["retryable"].is_boolean(), "{what}");
    let advice = what["advice"].as_array().unwrap();
    assert!(
        !advice.is_empty() && advice.iter().all(|advice| advice.as_str().is_some_and(|text| text.len() > 10)),
        "{what}"
    );
    let actors = ["caller", "owner", "superuser", "provider", "broker"];
    assert!(actors.contains(&what["who_can_act"].as_str().unwrap()), "{what}");
    assert_eq!(answer.headers["grantkeeper-request-id"], what["request_id"].as_str().unwrap());
    assert_eq!(answer.headers["cache-control"], "no-store");
}

pub(super) fn assert_field(answer: &Answer, pointer: &str, code: &str) {
    assert_is_problem(answer, 422, "invalid_request");
    assert_eq!(answer.field_errors(), [(pointer.into(), code.into())], "{}", answer.body);
    assert!(!answer.text("/errors/0/detail").is_empty());
}

#[tokio::test]
async fn only_a_valid_key_gets_in() -> Outcome {
    let world = World::new().await?;
    let key = world.stack.keys.platform.expose().clone();
    let nobody = world.nobody();
    let bad = [
        nobody.clone(),
        nobody.with("Authorization", "Bearer gk_wrong"),
        nobody.with("Authorization", "Bearer"),
        nobody.with("Authorization", &format!("Basic {key}")),
        nobody.with("Authorization", &key),
        nobody.with("Authorization", &format!("Bearer {}", &key[..key.len() - 1])),
        nobody.with("Authorization", &format!("Bearer {}", key.to_uppercase())),
        nobody.with("Authorization", &format!("Bearer {key}")).with("Authorization", "Bearer gk_other"),
        nobody.with("Authorization", &format!("Bearer {}", "x".repeat(600))),
        nobody.with("X-Api-Key", &key),
    ];
    for caller in &bad {
        for path in ["/v1/credentials", "/v1/projects", "/v1/clients", "/v1/keys"] {
            let refused = caller.get(path).await?;
            assert_is_problem(&refused, 401, "unauthenticated");
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
        }
    }
    let in_query = nobody.get(&format!("/v1/credentials?access_token={key}")).await?;
    assert_eq!(in_query.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        nobody.with("Authorization", &format!("bearer {key}")).get("/v1/credentials").await?.status,
        StatusCode::OK
    );
    assert_eq!(world.token_requests(), []);
    Ok(())
}

#[tokio::test]
async fn health_and_readiness_and_the_description_are_open() -> Outcome {
    let world = World::new().await?;
    assert_eq!(world.nobody().get("/v1/health").await?.body, json!({ "status": "ok" }));
    assert_eq!(world.nobody().get("/v1/ready").await?.body, json!({ "status": "ready" }));
    assert_eq!(world.nobody().get("/v1/openapi.json").await?.text("/openapi"), "3.1.0");
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() -> Outcome {
    let world = World::new().await?;
    for path in [
        "/",
        "/v1",
        "/v2/credentials",
        "/v1/credentialsx",
        "/v1/credentials/x/y",
        "/v1/connect-sessions/x/y",
        "/callback",
        "/connect",
    ] {
        assert_is_problem(&world.platform().get(path).await?, 404, "not_found");
    }
    for (method, path) in [
        (Method::PUT, "/v1/credentials"),
        (Method::DELETE, "/v1/clients"),
        (Method::PATCH, "/v1/keys"),
        (Method::GET, "/v1/flows/x/complete"),
    ] {
        assert_is_problem(&world.superuser().send(method, path, None).await?, 405, "method_not_allowed");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_must_be_json_of_a_sensible_size() -> Outcome {
    let world = World::new().await?;
    let json_type = "application/json";
    for path in ["/v1/projects", "/v1/clients", "/v1/keys"] {
        let superuser = world.superuser();
        let send = |content_type: &'static str, text: &str| {
            superuser.send(Method::POST, path, Some((content_type, text.to_owned())))
        };
        for text in ["", "{", "[1", "{\"x\":1} trailing", "\u{feff}{}", "{'name':1}"] {
            assert_is_problem(&send(json_type, text).await?, 400, "malformed_request");
        }
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/problem+json", "text/json"]
        {
            assert_is_problem(&send(content_type, "{}").await?, 415, "unsupported_media_type");
        }
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(256 * 1024));
        assert_is_problem(&send(json_type, &large).await?, 413, "body_too_large");
        for text in ["[]", "[\"a\",null]"] {
            assert_field(&send("Application/JSON; charset=utf-8", text).await?, "", "invalid_type");
        }
    }
    Ok(())
}

#[tokio::test]
async fn lists_come_in_pages_without_gaps_and_repetitions() -> Outcome {
    let world = World::new().await?;
    for number in 0..7 {
        world.superuser().post("/v1/projects", json!({ "name": format!("P{number}") })).await?;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.superuser().get(&format!("/v1/projects?limit=3{cursor}")).await?;
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(seen.len() <= 8, "it ends");
    }
    let all = world.superuser().get("/v1/projects").await?;
    let all: Vec<_> =
        all.body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((seen.len(), seen), (8, all));
    for query in
        ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "cursor=", "cursor=a/b", "cursor=%00", "colour=red"]
    {
        assert_is_problem(&world.superuser().get(&format!("/v1/projects?{query}")).await?, 400, "malformed_request");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_are_listed_by_owner_client_and_status() -> Outcome {
    let world = World::new().await?;
    let id = world.connect(json!({})).await?["id"].clone();
    for (query, found) in [
        ("", 1),
        ("?owner=ada", 1),
        ("?owner=grace", 0),
        (&format!("?client={}&status=active", world.client()), 1),
        ("?status=suspended", 0),
        ("?external_id=x", 0),
    ] {
        let list = world.platform().get(&format!("/v1/credentials{query}")).await?;
        let items = list.body["items"].as_array().unwrap();
        assert_eq!(items.len(), found, "{query}");
        assert!(items.iter().all(|item| item["id"] == id));
    }
    assert_is_problem(&world.platform().get("/v1/credentials?status=odd").await?, 400, "malformed_request");
    Ok(())
}

#[tokio::test]
async fn an_idempotency_key_repeats_its_answer_for_a_day() -> Outcome {
    let world = World::new().await?;
    let body = |name: &str| json!({ "name": name, "role": "runner", "projects": "*", "expires_at": (world.stack.broker.now() + Duration::days(30)).to_rfc3339() });
    let (first, other) = (body("one"), body("two"));
    let with_key = world.superuser().with("Idempotency-Key", "k-1");
    let made = with_key.post("/v1/keys", first.clone()).await?;
    let again = with_key.post("/v1/keys", first.clone()).await?;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &made.body), "also the key that is shown once");
    assert_eq!(again.headers["content-type"], made.headers["content-type"]);
    assert_eq!(again.headers["cache-control"], "no-store");
    assert_is_problem(&with_key.post("/v1/keys", other.clone()).await?, 409, "idempotency_key_reused");
    // The same text for another call, and by another caller, is another key.
    assert_eq!(with_key.post("/v1/projects", json!({ "name": "p" })).await?.status, StatusCode::CREATED);
    let second = world.with_key(&world.key("superuser", json!("*"), 30).await?.text("/key"));
    let theirs = second.with("Idempotency-Key", "k-1").post("/v1/keys", first.clone()).await?;
    assert_ne!(theirs.text("/id"), made.text("/id"));
    // A call that failed is not remembered.
    let failed = world.superuser().with("Idempotency-Key", "k-2");
    assert_eq!(failed.post("/v1/keys", json!({})).await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(failed.post("/v1/keys", first.clone()).await?.status, StatusCode::CREATED);
    // Without a valid key there is no answer, also no kept one.
    let stranger = world.nobody().with("Idempotency-Key", "k-1");
    assert_is_problem(&stranger.post("/v1/keys", first.clone()).await?, 401, "unauthenticated");
    world.clock.advance(Duration::hours(24));
    let later = with_key.post("/v1/keys", first).await?;
    assert_eq!(later.status, StatusCode::CREATED);
    assert_ne!(later.text("/id"), made.text("/id"));
    assert_is_problem(
        &world.superuser().with("Idempotency-Key", &"x".repeat(256)).post("/v1/keys", other).await?,
        400,
        "malformed_request",
    );
    Ok(())
}
