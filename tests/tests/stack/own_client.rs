//! A client whose people bring client id and secret of their own.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::Duration;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::shaping::{assert_again, at_sandbox, finish, link, secret_of, shaped};

/// A client that people bring themselves, registered at the sandbox under this name.
async fn brought(world: &World, name: &str) -> anyhow::Result<String> {
    shaped(world, at_sandbox(name), json!({ "credentials_from": "person" })).await
}

/// All that the table holds, as text.
async fn table(world: &World) -> anyhow::Result<String> {
    let sdk = aws_sdk_dynamodb::Client::new(&world.stack.engines.sdk_config());
    let page = sdk.scan().table_name(&world.stack.broker.config().table).send().await?;
    let text = |value: &AttributeValue| format!("{value:?}");
    Ok(page.items().iter().flat_map(|item| item.values().map(text)).collect())
}

#[tokio::test]
async fn a_person_brings_id_and_secret_through_the_page_and_refreshes_use_them() -> Outcome {
    let world = World::new().await?;
    let client = brought(&world, "brought").await?;
    let link = link(&world, &client, json!({})).await?;
    let browser = Browser::new();
    let page = browser.get(&link).await?.text;
    let secret_field = page.lines().find(|line| line.contains("name=\"var.client_secret\"")).unwrap_or_default();
    for wanted in ["type=\"password\"", "autocomplete=\"off\"", "required"] {
        assert!(secret_field.contains(wanted), "{wanted}: {secret_field}");
    }
    assert_again(&browser.post(&link, &[("var.client_id", "brought")]).await?, "Client secret: It must be given.");
    let secret = secret_of("brought");
    let form = [("var.client_id", "brought"), ("var.client_secret", secret.as_str())];
    let authorization_url = browser.start(&link, &form).await?;
    assert_eq!(parameters(&authorization_url)["client_id"], "brought");
    assert!(!authorization_url.as_str().contains(&secret));
    let callback = browser.consent(&authorization_url, "ada").await?;
    assert!(!table(&world).await?.contains(&secret), "what was typed waits sealed");
    let returned = browser.get(callback.as_str()).await?.location()?;
    assert!(!returned.as_str().contains(&secret));
    let completed = world.complete(&returned, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    assert!(!completed.body.to_string().contains(&secret));
    let id = completed.text("/id");
    world.advance(Duration::seconds(3600));
    let token = world.read_token(&id, json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
    assert_eq!(world.call_api(&token.text("/access_token")).await?.status, StatusCode::OK);
    assert_eq!(world.requests_of("refresh_token").len(), 1);
    assert!(!token.body.to_string().contains(&secret));
    assert!(!table(&world).await?.contains(&secret));
    Ok(())
}

#[tokio::test]
async fn a_backend_may_fix_both_and_then_the_page_does_not_ask() -> Outcome {
    let world = World::new().await?;
    let client = brought(&world, "fixed").await?;
    let secret = secret_of("fixed");
    let variables = json!({ "variables": { "client_id": "fixed", "client_secret": secret } });
    let link = link(&world, &client, variables).await?;
    assert!(!table(&world).await?.contains(&secret), "the session keeps it sealed");
    let browser = Browser::new();
    let page = browser.get(&link).await?.text;
    assert!(!page.contains("var.") && !page.contains(&secret), "{page}");
    assert_eq!(browser.post(&link, &[("var.client_secret", "other")]).await?.code(), "bad_form");
    assert_eq!(finish(&world, &link, &[], "ada").await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_the_provider_refuses_is_a_problem_with_advice_in_flow_and_session() -> Outcome {
    let world = World::new().await?;
    let client = brought(&world, "wrong").await?;
    let session = world.open_session(json!({ "clients": [client] })).await?;
    let link = session.text("/connect_url");
    let form = [("var.client_id", "wrong"), ("var.client_secret", "canary-not-it")];
    let refused = finish(&world, &link, &form, "ada").await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "client_rejected"));
    assert!(
        !refused.body["advice"].as_array().is_none_or(Vec::is_empty) && !refused.body.to_string().contains("canary")
    );
    let read = world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
    assert_eq!((read.text("/status"), read.text("/problem")), ("failed".into(), "client_rejected".into()));
    let flow = world.platform().get(&format!("/v1/flows/{}", read.text("/flow"))).await?;
    assert_eq!((flow.text("/status"), flow.text("/problem")), ("failed".into(), "client_rejected".into()));
    // The link may be tried again.
    let secret = secret_of("wrong");
    let form = [("var.client_id", "wrong"), ("var.client_secret", secret.as_str())];
    let completed = finish(&world, &link, &form, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    let read = world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
    assert_eq!((read.text("/status"), &read.body["problem"]), ("completed".into(), &Value::Null));
    assert_eq!(read.text("/credential"), completed.text("/id"));
    Ok(())
}
