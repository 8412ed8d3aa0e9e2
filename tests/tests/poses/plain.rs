//! The private internet itself, with the sandbox as it is at every host.

use std::time::Duration as StdDuration;

use anyhow::{bail, ensure};
use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Backend, World};
use http::StatusCode;
use serde_json::{Value, json};

use crate::Outcome;
use crate::lanes::Lane;

const LOGIN: &str = "https://login.acme-provider.com";
const API: &str = "https://api.acme-provider.com";

/// A person connects, a program reads, the token is refreshed and revoked: all at https hosts that nobody has.
pub async fn flow(lane: &Lane) -> Outcome {
    let Lane { world, internet, .. } = lane;
    internet.becomes(world.sandbox().router());
    let client = register(world).await?;

    let browser = internet.browser();
    let session = world.open_session(json!({ "clients": [client] })).await?;
    let authorization_url = browser.start(&session.text("/connect_url"), &[]).await?;
    ensure!(authorization_url.as_str().starts_with(&format!("{LOGIN}/authorize?")), "{authorization_url}");
    let callback = browser.consent(&authorization_url, "ada").await?;
    let returned = browser.get(callback.as_str()).await?;
    let completed = world.complete(&returned.location()?, "ada").await?;
    ensure!(completed.status == StatusCode::CREATED, "{}", completed.body);
    let id = completed.text("/id");

    let first = world.read_token(&id, json!({})).await?;
    let token = first.text("/access_token");
    let me = Backend::over(browser.http().clone(), API, Some(&token)).get("/api/me").await?;
    ensure!(me.status == StatusCode::OK, "{}", me.body);
    let test = world.platform().post(&format!("/v1/credentials/{id}/test"), json!({})).await?;
    ensure!(test.body.get("status").and_then(Value::as_u64) == Some(200), "{}", test.body);

    world.advance(Duration::hours(1));
    let second = world.read_token(&id, json!({})).await?;
    ensure!(second.status == StatusCode::OK && second.text("/access_token") != token, "{}", second.body);

    let deleted = world.platform().acting_for("ada").delete(&format!("/v1/credentials/{id}")).await?;
    ensure!(deleted.status.is_success(), "{}", deleted.body);
    let ended = ended(world, &id).await?;
    ensure!(ended.text("/evidence/verdict") == "revoked", "{}", ended.body);
    Ok(())
}

/// A credential of `ada` when it is over: the queue revokes at the provider.
pub async fn ended(world: &World, id: &str) -> anyhow::Result<Answer> {
    let ada = world.platform().acting_for("ada");
    for _ in 0..400 {
        let credential = ada.get(&format!("/v1/credentials/{id}")).await?;
        if credential.text("/status") == "revoked" {
            return Ok(credential);
        }
        tokio::time::sleep(StdDuration::from_millis(25)).await;
    }
    bail!("never over: {}", ada.get(&format!("/v1/credentials/{id}")).await?.body)
}

/// Neither a private name nor another port nor plain http is reached because everything leads to one server.
pub async fn judged(lane: &Lane) -> Outcome {
    let Lane { world, .. } = lane;
    for (url, code) in [
        ("https://login.internal/token", "url_address_not_allowed"),
        ("https://login.acme-provider.com:8443/token", "url_port_not_allowed"),
        ("http://login.acme-provider.com/token", "url_not_https"),
        ("https://10.0.0.1/token", "url_address_not_allowed"),
    ] {
        let answer = world.superuser().post("/v1/clients", body(world, &json!({ "token_endpoint": url }))).await?;
        ensure!(answer.status == StatusCode::UNPROCESSABLE_ENTITY, "{url}: {}", answer.body);
        ensure!(answer.field_errors() == [("/token_endpoint".to_owned(), code.to_owned())], "{url}: {}", answer.body);
    }
    let nobody = json!({ "issuer": "https://login.acme.invalid", "token_endpoint": null });
    let answer = world.superuser().post("/v1/clients", body(world, &nobody)).await?;
    ensure!(!answer.status.is_success(), "{}", answer.body);
    Ok(())
}

/// The body of `POST /v1/clients`; `patch` goes over it.
fn body(world: &World, patch: &Value) -> Value {
    let mut body = json!({
        "name": "Acme",
        "project": world.stack.project,
        "client_id": "acme",
        "client_secret": "acme-secret",
        "authorization_endpoint": format!("{LOGIN}/authorize"),
        "token_endpoint": format!("{LOGIN}/token"),
        "revocation_endpoint": format!("{LOGIN}/revoke"),
        "scopes": { "required": ["read"] },
        "api_base_url": API,
        "test_request": { "path": "/api/me" },
    });
    if let (Some(body), Some(patch)) = (body.as_object_mut(), patch.as_object()) {
        body.extend(patch.clone());
    }
    body
}

async fn register(world: &World) -> anyhow::Result<String> {
    let answer = world.superuser().post("/v1/clients", body(world, &json!({}))).await?;
    ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
    world.sandbox().register(ClientSettings {
        client_id: "acme".to_owned(),
        client_secret: Some("acme-secret".to_owned()),
        redirect_uris: vec![answer.text("/redirect_uri")],
        send_iss: false,
        ..ClientSettings::default()
    })?;
    Ok(answer.text("/id"))
}
