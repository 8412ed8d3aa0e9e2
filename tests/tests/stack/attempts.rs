//! What was said to a provider is kept, for people to find faults in, and not for thieves (N16).

use grantkeeper_sandbox::{ClientSettings, RefreshTokenMode};
use grantkeeper_tests::{Browser, Reply, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::Connected;

async fn attempts(it: &Connected) -> anyhow::Result<Vec<Value>> {
    let listed = it.world.platform().get(&format!("/v1/credentials/{}/attempts", it.id)).await?;
    assert_eq!((listed.status, &listed.body["next"]), (StatusCode::OK, &Value::Null), "{}", listed.body);
    Ok(listed.body["items"].as_array().unwrap().clone())
}

#[tokio::test]
async fn the_last_twenty_attempts_are_kept_the_newest_first() -> Outcome {
    let settings = ClientSettings { refresh_token: RefreshTokenMode::Static, ..Default::default() };
    let (it, proxy) = Connected::behind(settings).await?;
    let first = attempts(&it).await?;
    assert_eq!((first.len(), &first[0]["purpose"], &first[0]["outcome"]), (1, &json!("exchange"), &json!("ok")));
    for _ in 0..21 {
        it.world.advance(chrono::Duration::seconds(1));
        assert_eq!(it.refresh().await?.status, StatusCode::OK);
    }
    it.world.advance(chrono::Duration::seconds(1));
    proxy.script([Reply::Instead(400, json!({ "error": "invalid_scope" }))]);
    it.refresh().await?;
    let kept = attempts(&it).await?;
    assert_eq!(kept.len(), 20);
    let of = |index: usize| (kept[index]["purpose"].as_str().unwrap(), kept[index]["outcome"].as_str().unwrap());
    assert_eq!((of(0), of(1), of(19)), (("refresh", "client_rejected"), ("refresh", "ok"), ("refresh", "ok")));
    assert!(kept[0]["diagnosis"]["advice"].is_array(), "{}", kept[0]);
    let exchange = &kept[0]["exchanges"][0];
    assert_eq!((&exchange["status"], &exchange["body"]["error"]), (&json!(400), &json!("invalid_scope")));
    let times: Vec<_> = kept.iter().map(|attempt| attempt["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer > older), "{times:?}");
    Ok(())
}

#[tokio::test]
async fn no_attempt_holds_a_token_a_code_a_verifier_or_a_secret() -> Outcome {
    let world = World::new().await?;
    let settings = ClientSettings {
        client_id: "app".into(),
        client_secret: Some("canary-client-secret".into()),
        ..Default::default()
    };
    let methods = ["client_secret_post", "client_secret_basic"];
    let client = world.register(settings, json!({ "token_endpoint_auth_method": methods[0] })).await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({ "clients": [client], "scopes": ["read", "openid"] })).await?;
    let mut canaries = vec!["canary-client-secret".to_owned(), parameters(&callback)["code"].clone()];
    canaries.push(parameters(&callback)["state"].clone());
    let location = browser.get(callback.as_str()).await?.location()?;
    canaries.push(parameters(&location)["completion_code"].clone());
    let id = world.complete(&location, "ada").await?.text("/id");
    let it = Connected { world, id, client };
    for method in methods {
        let path = format!("/v1/clients/{}", it.client);
        let patch = json!({ "token_endpoint_auth_method": method, "client_secret": "canary-client-secret" });
        assert_eq!(it.world.superuser().patch(&path, patch).await?.status, StatusCode::OK);
        it.world.advance(chrono::Duration::seconds(31));
        let document: Value = serde_json::from_str(&it.world.secret(&it.id).await?)?;
        for token in ["access_token", "refresh_token"] {
            canaries.push(document[token].as_str().unwrap().to_owned());
        }
        assert_eq!(it.refresh().await?.status, StatusCode::OK);
    }
    // Also what comes with an answer that cannot be used, and what is said to the end of the grant.
    it.world.change_at_sandbox("app", json!({ "token_response": { "extra": { "access_token": "" } } })).await?;
    it.refresh().await?;
    let document: Value = serde_json::from_str(&it.world.secret(&it.id).await?)?;
    canaries.extend(["access_token", "refresh_token"].map(|token| document[token].as_str().unwrap().to_owned()));
    it.ada().delete(&it.path()).await?;
    it.world.advance(chrono::Duration::seconds(26));
    it.world.stack.broker.tick().await?;
    it.until("revoked").await?;

    let kept = attempts(&it).await?;
    let purposes: Vec<_> = kept.iter().map(|attempt| attempt["purpose"].as_str().unwrap()).collect();
    assert_eq!(purposes, ["revoke", "refresh", "refresh", "refresh", "exchange"]);
    let text = Value::Array(kept).to_string();
    assert!(text.contains("[redacted]"), "{text}");
    for canary in canaries {
        assert!(canary.len() >= 10 && !text.contains(&canary), "{canary}: {text}");
    }
    // The verifier of a flow is derived, so its name is what can be looked at.
    assert!(text.contains(r#"["code_verifier","[redacted]"]"#), "{text}");
    Ok(())
}
