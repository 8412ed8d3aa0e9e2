//! What a session fixes, what it leaves to the person, and when it ends.

use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;

#[tokio::test]
async fn what_the_session_fixed_is_not_taken_from_the_form() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({ "name": "Fixed", "scopes": ["write"] })).await?;
    let (link, browser, client) = (session.text("/connect_url"), Browser::new(), world.client());
    let page = browser.get(&link).await?;
    assert!(!page.text.contains("name=\"name\"") && !page.text.contains("name=\"scope\""), "{}", page.text);
    for (field, value) in
        [("name", "Mine"), ("scope", "email"), ("client", client.as_str()), ("return_url", "https://evil.example/")]
    {
        let refused = browser.post(&link, &[(field, value)]).await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "bad_form"), "{field}");
    }
    let authorization_url = browser.start(&link, &[]).await?;
    assert_eq!(parameters(&authorization_url)["scope"], "openid offline_access read write");
    let callback = browser.consent(&authorization_url, "ada").await?;
    let completed = world.complete(&browser.get(callback.as_str()).await?.location()?, "ada").await?;
    assert_eq!(completed.text("/name"), "Fixed");
    assert_eq!(completed.body["granted_scopes"], json!(["openid", "offline_access", "read", "write"]));
    Ok(())
}

#[tokio::test]
async fn a_person_chooses_name_and_optional_scopes_where_they_are_open() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({ "suggested_scopes": ["write"] })).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let page = browser.get(&link).await?;
    assert!(page.text.contains("value=\"write\" checked") && page.text.contains("Change things"), "{}", page.text);
    assert!(page.text.contains("value=\"email\">"), "not suggested, so not ticked");
    let unknown = browser.post(&link, &[("scope", "admin")]).await?;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::UNPROCESSABLE_ENTITY, "bad_form"));
    let authorization_url = browser.start(&link, &[("name", " My mail "), ("scope", "email")]).await?;
    assert_eq!(parameters(&authorization_url)["scope"], "openid offline_access read email");
    let callback = browser.consent(&authorization_url, "ada").await?;
    let completed = world.complete(&browser.get(callback.as_str()).await?.location()?, "ada").await?;
    assert_eq!(completed.text("/name"), "My mail");
    Ok(())
}

#[tokio::test]
async fn a_project_that_does_not_allow_browser_binding_has_none() -> Outcome {
    let world = World::new().await?;
    let project = world.project(json!({})).await?;
    let platform = world.caller("platform", json!([project])).await?;
    let body = json!({ "owner": "ada", "binding": "browser", "return_url": RETURN_URL });
    world
        .register(
            ClientSettings { client_id: "there".into(), client_secret: Some("s".into()), ..Default::default() },
            json!({ "project": project }),
        )
        .await?;
    let refused = platform.post("/v1/connect-sessions", body).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "binding_not_allowed"));
    let backend = json!({ "owner": "ada", "return_url": RETURN_URL });
    assert_eq!(platform.post("/v1/connect-sessions", backend).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn a_link_works_for_thirty_minutes_or_as_long_as_it_says() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let usual = world.open_session(json!({})).await?;
    let short = world.open_session(json!({ "expires_in": 60 })).await?;
    world.advance(Duration::seconds(60));
    let over = browser.get(&short.text("/connect_url")).await?;
    assert_eq!((over.status, over.code()), (StatusCode::GONE, "expired_link"));
    world.advance(Duration::seconds(1739));
    assert_eq!(browser.get(&usual.text("/connect_url")).await?.status, StatusCode::OK);
    world.advance(Duration::seconds(1));
    let over = browser.post(&usual.text("/connect_url"), &[]).await?;
    assert_eq!((over.status, over.code()), (StatusCode::GONE, "expired_link"));
    let read = world.platform().get(&format!("/v1/connect-sessions/{}", usual.text("/id"))).await?;
    assert_eq!((read.text("/status").as_str(), &read.body["flow"]), ("expired", &Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_deleted_session_is_gone_with_its_link_and_its_flow() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let callback = browser.consent(&browser.start(&link, &[]).await?, "ada").await?;
    let path = format!("/v1/connect-sessions/{}", session.text("/id"));
    assert_eq!(world.platform().delete(&path).await?.status, StatusCode::NO_CONTENT);
    assert_eq!(world.platform().get(&path).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(world.platform().delete(&path).await?.status, StatusCode::NOT_FOUND);
    for page in [browser.get(&link).await?, browser.post(&link, &[]).await?] {
        assert_eq!((page.status, page.code()), (StatusCode::NOT_FOUND, "unknown_link"));
    }
    let refused = browser.get(callback.as_str()).await?;
    assert_eq!((refused.status, refused.headers.get("location")), (StatusCode::CONFLICT, None));
    assert_eq!(world.token_requests(), []);
    Ok(())
}

#[tokio::test]
async fn a_taken_name_is_refused_before_consent_and_costs_no_consent_afterwards() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let early = world.to_callback(&browser, json!({ "name": "Mail" })).await?;
    world.connect(json!({ "name": "Mail" })).await?;
    let taken = world.open_session(json!({ "name": "Mail" })).await?;
    assert_eq!((taken.status, taken.code()), (StatusCode::CONFLICT, "name_taken"));
    let other_owner = world.open_session(json!({ "name": "Mail", "owner": "grace" })).await?;
    assert_eq!(other_owner.status, StatusCode::CREATED);
    let open = world.open_session(json!({})).await?;
    let chosen = browser.post(&open.text("/connect_url"), &[("name", "Mail")]).await?;
    assert_eq!((chosen.status, chosen.code()), (StatusCode::CONFLICT, "name_taken"));
    // Whoever consented before the name was taken keeps the consent.
    let location = browser.get(early.as_str()).await?.location()?;
    assert_eq!(world.complete(&location, "ada").await?.text("/name"), "Mail (2)");
    Ok(())
}

#[tokio::test]
async fn hostile_headers_change_neither_redirect_uri_nor_links() -> Outcome {
    let world = World::new().await?;
    let hostile = [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "444"),
        ("x-original-url", "/evil"),
        ("forwarded", "host=evil.example;proto=https"),
        ("host", "evil.example"),
    ];
    let platform = hostile.iter().fold(world.platform(), |caller, (name, value)| caller.with(name, value));
    let body = json!({ "owner": "ada", "clients": [world.client()], "return_url": RETURN_URL });
    let session = platform.post("/v1/connect-sessions", body).await?;
    let link = session.text("/connect_url");
    assert!(link.starts_with(&format!("{}/connect/", world.stack.url)), "{link}");
    let press = Browser::new().http().post(&link).header("sec-fetch-site", "same-origin");
    let pressed = hostile.iter().fold(press, |press, (name, value)| press.header(*name, *value)).send().await?;
    let location = url::Url::parse(pressed.headers()["location"].to_str()?)?;
    let redirect_uri = &parameters(&location)["redirect_uri"];
    assert!(redirect_uri.starts_with(&format!("{}/callback/", world.stack.url)), "{redirect_uri}");
    Ok(())
}

#[tokio::test]
async fn parameters_of_the_flow_itself_cannot_be_given() -> Outcome {
    let world = World::new().await?;
    for name in [
        "response_type",
        "response_mode",
        "client_id",
        "client_secret",
        "redirect_uri",
        "state",
        "scope",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "STATE",
        "Redirect_Uri",
        "redirect%5Furi",
        "%73tate",
        " state",
        "state ",
    ] {
        let refused = world.open_session(json!({ "authorization_params": { name: "x" } })).await?;
        let pointer = format!("/authorization_params/{name}");
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert_eq!(refused.field_errors(), [(pointer, "reserved_parameter".into())], "{name}");
        let body = json!({ "name": "X", "authorization_params": { name: "x" } });
        assert_eq!(
            world.superuser().post("/v1/clients", body).await?.field_errors()[0].1,
            "reserved_parameter",
            "{name}"
        );
    }
    let hints = json!({ "authorization_params": { "login_hint": "ada@x.example", "prompt": "consent" } });
    let session = world.open_session(hints).await?;
    let sent = parameters(&Browser::new().start(&session.text("/connect_url"), &[]).await?);
    assert_eq!((sent["login_hint"].as_str(), sent["prompt"].as_str()), ("ada@x.example", "consent"));
    Ok(())
}
