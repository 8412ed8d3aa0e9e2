//! Reading a token: what it costs, who may, and what is never in the answer.

use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use chrono::Duration;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::read_token::{Delivered, TokenRequest};
use grantkeeper::lambda::assemble;
use grantkeeper::outbound::{Outbound, OutboundPolicy};
use grantkeeper::vault::VaultKind;
use grantkeeper_local::stack::Options;
use grantkeeper_tests::{Proxy, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;

#[tokio::test]
async fn a_warm_read_is_one_read_of_the_table_and_one_of_the_vault_side_by_side() -> Outcome {
    let world = World::with(|options| Options { vault: VaultKind::SecretsManager, ..options }).await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let sdk = world.stack.engines.sdk_config();
    let engines = Proxy::to(sdk.endpoint_url().unwrap()).await?;
    let sdk = sdk.into_builder().endpoint_url(&engines.url).build();
    let outbound = Outbound::new(OutboundPolicy::strict())?;
    let broker = assemble(
        world.stack.broker.config().clone(),
        &sdk,
        Arc::new(world.clock.clone()),
        outbound,
        Default::default(),
    );
    let key = &world.stack.keys.runner;
    let read = || async {
        let caller = Caller { key: broker.authenticate(key).await?, project: None, user: None };
        broker.read_token(&caller, &id, TokenRequest::default()).await
    };
    let targets = || {
        let mut targets: Vec<_> = engines.take_calls().into_iter().map(|call| call.target).collect();
        targets.sort();
        targets
    };
    let get_item = "DynamoDB_20120810.GetItem".to_owned();
    let get_secret = "secretsmanager.GetSecretValue".to_owned();

    read().await?;
    assert!(targets().len() > 2, "the first read fetches key and client, too");
    read().await?;
    let calls = engines.take_calls();
    let mut warm: Vec<_> = calls.iter().map(|call| call.target.clone()).collect();
    warm.sort();
    assert_eq!(warm, [get_item.clone(), get_secret.clone()]);
    let body = &calls.iter().find(|call| call.target == get_item).unwrap().body;
    assert_eq!(serde_json::from_str::<Value>(body)?["ConsistentRead"], json!(true));

    // One after the other they would take 600 ms.
    engines.delay(StdDuration::from_millis(300));
    let start = Instant::now();
    let reading = read().await?;
    let elapsed = start.elapsed();
    assert!(elapsed >= StdDuration::from_millis(300) && elapsed < StdDuration::from_millis(550), "{elapsed:?}");
    assert!(matches!(reading, Delivered::Token(delivery) if delivery.generation == 1));
    engines.delay(StdDuration::ZERO);
    targets();

    // Key and client are believed for half a minute.
    world.clock.advance(Duration::seconds(29));
    read().await?;
    assert_eq!(targets(), [get_item.clone(), get_secret.clone()]);
    world.clock.advance(Duration::seconds(1));
    read().await?;
    let again = targets();
    assert!(again.len() > 2 && again.iter().all(|target| target == &get_item || target == &get_secret), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn roles_read_what_is_theirs_and_nothing_else() -> Outcome {
    let world = World::new().await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let (token, one) = (format!("/v1/credentials/{id}/token"), format!("/v1/credentials/{id}"));
    let superuser = world.superuser().with("Grantkeeper-Project", world.stack.project.as_str());
    let allowed = [
        (world.runner(), "POST", &token),
        (world.platform().acting_for("ada"), "POST", &token),
        (world.platform(), "GET", &one),
        (superuser.clone(), "GET", &one),
        (world.platform(), "POST", &format!("{one}/refresh")),
    ];
    for (caller, method, path) in allowed {
        let answer = caller.send(method.parse()?, path, None).await?;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path} {}", answer.body);
    }
    let list = "/v1/credentials".to_owned();
    let refused = [
        (superuser.clone(), "POST", &token, "role_not_allowed"),
        (superuser.acting_for("ada"), "POST", &token, "role_not_allowed"),
        (world.platform().acting_for("grace"), "POST", &token, "not_the_owner"),
        (world.runner(), "GET", &list, "role_not_allowed"),
        (world.runner(), "GET", &one, "role_not_allowed"),
        (world.runner(), "POST", &format!("{one}/refresh"), "role_not_allowed"),
        (world.runner(), "GET", &"/v1/clients".to_owned(), "role_not_allowed"),
        (world.runner(), "GET", &"/v1/keys".to_owned(), "role_not_allowed"),
        (world.platform(), "GET", &"/v1/keys".to_owned(), "role_not_allowed"),
        (world.platform(), "GET", &"/v1/projects".to_owned(), "role_not_allowed"),
    ];
    for (caller, method, path, code) in refused {
        let answer = caller.send(method.parse()?, path, None).await?;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, code), "{method} {path}");
    }
    let unnamed = world.platform().post(&token, json!({})).await?;
    assert_eq!(unnamed.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(unnamed.field_errors()[0].1, "user_required");
    let unnamed = world.platform().patch(&one, json!({ "name": "x" })).await?;
    assert_eq!(unnamed.field_errors()[0].1, "user_required");
    let other = world.platform().acting_for("grace").patch(&one, json!({ "name": "x" })).await?;
    assert_eq!((other.status, other.code()), (StatusCode::FORBIDDEN, "not_the_owner"));
    let renamed =
        world.platform().acting_for("ada").patch(&one, json!({ "name": "New", "labels": { "a": "b" } })).await?;
    assert_eq!((renamed.text("/name"), renamed.text("/labels/a")), ("New".into(), "b".into()));
    Ok(())
}

#[tokio::test]
async fn permissions_narrow_a_key() -> Outcome {
    let world = World::new().await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let expires_at = (world.stack.broker.now() + Duration::days(1)).to_rfc3339();
    let body = json!({ "name": "narrow", "role": "platform", "projects": [world.stack.project],
        "permissions": ["credentials:read"], "expires_at": expires_at });
    let narrow = world.with_key(&world.superuser().post("/v1/keys", body).await?.text("/key")).acting_for("ada");
    assert_eq!(narrow.get(&format!("/v1/credentials/{id}")).await?.status, StatusCode::OK);
    for path in [format!("/v1/credentials/{id}/token"), format!("/v1/credentials/{id}/refresh")] {
        let refused = narrow.post(&path, json!({})).await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "permission_missing"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_is_kept_by_no_cache_and_comes_without_its_refresh_token() -> Outcome {
    let world = World::new().await?;
    let credential = world.connect(json!({})).await?;
    let id = credential["id"].as_str().unwrap();
    let document: Value = serde_json::from_str(&world.secret(id).await?)?;
    let refresh_token = document["refresh_token"].as_str().unwrap();
    assert!(refresh_token.len() > 20);
    let token = world.read_token(id, json!({ "purpose": "test", "ref": "run 7" })).await?;
    assert_eq!(token.headers["cache-control"], "no-store");
    assert_eq!(token.headers["pragma"], "no-cache");
    assert_eq!(token.headers["x-content-type-options"], "nosniff");
    assert_eq!(token.headers["content-type"], "application/json");
    assert_eq!(token.headers.get("etag"), None);
    let members: Vec<_> = token.body.as_object().unwrap().keys().cloned().collect();
    let mut expected = vec![
        "access_token",
        "token_type",
        "expires_at",
        "refresh_after",
        "generation",
        "scopes",
        "header",
        "headers",
        "api_base_url",
        "variables",
        "extra",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    let one = format!("/v1/credentials/{id}");
    let refreshed = world.platform().post(&format!("{one}/refresh"), json!({})).await?;
    let newer: Value = serde_json::from_str(&world.secret(id).await?)?;
    for answer in [&token.body, &credential, &refreshed.body, &world.platform().get(&one).await?.body] {
        let text = answer.to_string();
        assert!(!text.contains(refresh_token) && !text.contains(newer["refresh_token"].as_str().unwrap()));
        let access_token = token.text("/access_token");
        assert!(std::ptr::eq(answer, &token.body) || !text.contains(&access_token), "metadata holds no token");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_for_a_token_is_read_strictly() -> Outcome {
    let world = World::new().await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    for (body, pointer, code) in [
        (json!({ "min_ttl": -1 }), "/min_ttl", "out_of_range"),
        (json!({ "min_ttl": 86_401 }), "/min_ttl", "out_of_range"),
        (json!({ "min_ttl": "60" }), "/min_ttl", "invalid_value"),
        (json!({ "purpose": "x".repeat(257) }), "/purpose", "too_long"),
        (json!({ "ref": "a\nb" }), "/ref", "too_long"),
        (json!({ "scope": "read" }), "/scope", "unknown_field"),
    ] {
        let refused = world.read_token(&id, body.clone()).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(refused.field_errors(), [(pointer.into(), code.into())], "{body}");
    }
    assert_eq!(world.requests_of("refresh_token").len(), 0);
    Ok(())
}
