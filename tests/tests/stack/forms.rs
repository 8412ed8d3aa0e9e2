//! Grants without a redirect, chosen and filled in on the connect page.

use chrono::Duration;
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::shaping::{assert_again, at_sandbox, link, shaped};

#[tokio::test]
async fn client_credentials_on_the_page_are_parked_at_once_and_fetched_by_complete() -> Outcome {
    let world = World::new().await?;
    let client = shaped(&world, at_sandbox("machine"), json!({ "grant_types": ["client_credentials"] })).await?;
    let session = world.open_session(json!({ "clients": [client], "context": "c 1" })).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let page = browser.get(&link).await?.text;
    assert!(!page.contains("name=\"grant\"") && !page.contains("You will sign in"), "{page}");
    let pressed = browser.post(&link, &[]).await?;
    assert_eq!(pressed.status, StatusCode::SEE_OTHER, "{}", pressed.text);
    let location = pressed.location()?;
    assert!(location.as_str().starts_with(&format!("{RETURN_URL}&flow=flw_")), "{location}");
    assert!(location.as_str().ends_with("#_"), "{location}");
    let given = parameters(&location);
    assert_eq!(given.keys().collect::<Vec<_>>(), ["completion_code", "context", "flow", "from"]);
    assert_eq!(world.token_requests(), []);
    let flow = world.platform().get(&format!("/v1/flows/{}", given["flow"])).await?;
    assert_eq!(flow.text("/status"), "parked");
    assert_eq!(browser.post(&link, &[]).await?.code(), "already_used");
    let completed = world.complete(&location, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    assert_eq!(completed.text("/account_kind"), "integration");
    // Fetched anew when due, and never by a refresh token.
    world.advance(Duration::seconds(3600));
    let token = world.read_token(&completed.text("/id"), json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
    assert_eq!(world.requests_of("client_credentials").len(), 2);
    assert_eq!(world.requests_of("refresh_token"), []);
    Ok(())
}

#[tokio::test]
async fn a_password_is_typed_on_the_page_where_the_policy_allows_it_and_dropped_when_a_refresh_token_comes() -> Outcome
{
    let world = World::new().await?;
    let grants = json!({ "grant_types": ["password", "refresh_token"] });
    let client = shaped(&world, at_sandbox("person"), grants).await?;
    let link = link(&world, &client, json!({})).await?;
    let browser = Browser::new();
    let page = browser.get(&link).await?.text;
    let field = page.lines().find(|line| line.contains("name=\"var.password\"")).unwrap_or_default();
    assert!(field.contains("type=\"password\"") && field.contains("required"), "{page}");
    assert_again(&browser.post(&link, &[("var.username", "ada")]).await?, "Password: It must be given.");
    let pressed = browser.post(&link, &[("var.username", "ada"), ("var.password", "sandbox")]).await?;
    let location = pressed.location()?;
    assert!(!location.as_str().contains("sandbox"), "{location}");
    let completed = world.complete(&location, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    let id = completed.text("/id");
    assert!(!world.secret(&id).await?.contains("\"password\""), "with a refresh token it is no longer needed");
    world.advance(Duration::seconds(3600));
    assert_eq!(world.read_token(&id, json!({})).await?.status, StatusCode::OK);
    assert_eq!((world.requests_of("password").len(), world.requests_of("refresh_token").len()), (1, 1));

    let policies = json!({ "policies": { "allow_browser_binding": true } });
    world.superuser().patch(&format!("/v1/projects/{}", world.stack.project), policies).await?;
    world.advance(Duration::seconds(31));
    let refused = world.open_session(json!({ "clients": [client] })).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "password_grant_forbidden"));
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_ends_the_flow_and_the_link_may_be_tried_again() -> Outcome {
    let world = World::new().await?;
    let client = shaped(&world, at_sandbox("typo"), json!({ "grant_types": ["password"] })).await?;
    let link = link(&world, &client, json!({})).await?;
    let browser = Browser::new();
    let press = async |password: &str| -> anyhow::Result<_> {
        let pressed = browser.post(&link, &[("var.username", "ada"), ("var.password", password)]).await?;
        world.complete(&pressed.location()?, "ada").await
    };
    let refused = press("canary-wrong").await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "code_rejected"), "{}", refused.body);
    assert!(!refused.body["advice"].as_array().is_none_or(Vec::is_empty));
    assert!(!refused.body.to_string().contains("canary"));
    assert!(browser.get(&link).await?.text.contains("did not work"));
    assert_eq!(press("sandbox").await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn a_client_of_several_grants_lets_the_person_choose_and_passes_over_what_the_others_need() -> Outcome {
    let world = World::new().await?;
    let grants = json!({ "grant_types": ["authorization_code", "refresh_token", "client_credentials", "password"] });
    let client = shaped(&world, at_sandbox("many"), grants).await?;
    let first = link(&world, &client, json!({})).await?;
    let browser = Browser::new();
    let page = browser.get(&first).await?.text;
    for grant in ["authorization_code", "client_credentials", "password"] {
        assert!(page.contains(&format!("name=\"grant\" value=\"{grant}\"")), "{grant}: {page}");
    }
    assert!(!page.contains("value=\"refresh_token\""), "{page}");
    let field = page.lines().find(|line| line.contains("name=\"var.password\"")).unwrap_or_default();
    assert!(!field.contains("required"), "without a script it would stand in the way: {field}");
    for grant in ["refresh_token", "implicit", ""] {
        assert_eq!(browser.post(&first, &[("grant", grant)]).await?.code(), "bad_form", "{grant}");
    }
    // The first is the default.
    assert!(browser.start(&first, &[("var.username", "")]).await?.path().ends_with("/authorize"));
    for (grant, name) in [("client_credentials", "A"), ("password", "B")] {
        let link = link(&world, &client, json!({ "name": name })).await?;
        let form = [("grant", grant), ("var.username", "ada"), ("var.password", "sandbox")];
        let completed = world.complete(&browser.post(&link, &form).await?.location()?, "ada").await?;
        assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
        assert_eq!(world.requests_of(grant).len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn bound_to_the_browser_the_token_is_fetched_on_the_way_back() -> Outcome {
    let world = World::new().await?;
    let client = shaped(&world, at_sandbox("trial"), json!({ "grant_types": ["client_credentials"] })).await?;
    let browser = Browser::new();
    let bound = link(&world, &client, json!({ "binding": "browser", "name": "A" })).await?;
    let pressed = browser.post(&bound, &[]).await?;
    let next = pressed.location()?;
    assert!(next.as_str().starts_with(&format!("{}/callback/", world.stack.url)), "{next}");
    // The same guards as for an authorization response.
    let stranger = Browser::new().get(next.as_str()).await?;
    assert_eq!((stranger.status, stranger.code()), (StatusCode::FORBIDDEN, "wrong_browser"));
    for more in ["&code=x", "&error=access_denied", "&iss=x"] {
        assert_eq!(browser.get(&format!("{next}{more}")).await?.code(), "malformed_response", "{more}");
    }
    assert_eq!(world.token_requests(), []);
    let back = parameters(&browser.get(next.as_str()).await?.location()?);
    assert!(back["credential"].starts_with("crd_") && back["flow"].starts_with("flw_"), "{back:?}");
    assert_eq!(browser.get(next.as_str()).await?.code(), "already_used");
    assert_eq!(world.read_token(&back["credential"], json!({})).await?.status, StatusCode::OK);
    // Without a return URL it is a page of ours.
    let bound = link(&world, &client, json!({ "binding": "browser", "name": "B", "return_url": null })).await?;
    let next = browser.post(&bound, &[]).await?.location()?;
    let connected = browser.get(next.as_str()).await?;
    assert!(connected.status == StatusCode::OK && connected.text.contains("crd_"), "{}", connected.text);
    let waits = link(&world, &client, json!({ "name": "C", "return_url": null })).await?;
    assert_eq!(browser.post(&waits, &[]).await?.status, StatusCode::OK);
    assert_eq!(world.requests_of("client_credentials").len(), 2);
    Ok(())
}
