//! The browser returns only to a page that was listed, character for character.

use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::json;

use super::Outcome;

#[tokio::test]
async fn a_return_url_that_differs_in_one_character_is_refused() -> Outcome {
    let world = World::new().await?;
    for attack in [
        "https://app.example@evil.example/connected?from=grantkeeper",
        "https://app.example.evil.example/connected?from=grantkeeper",
        "//evil.example/connected?from=grantkeeper",
        "\\\\evil.example",
        "https:\\\\app.example/connected?from=grantkeeper",
        "https://app.example./connected?from=grantkeeper",
        "https://app.example:444/connected?from=grantkeeper",
        "https://app.example:443/connected?from=grantkeeper",
        "http://app.example/connected?from=grantkeeper",
        "https://APP.example/connected?from=grantkeeper",
        "https://app.example/Connected?from=grantkeeper",
        "https://app.example/connected/?from=grantkeeper",
        "https://app.example/connected",
        "https://app.example/connected?from=grantkeeper&next=https://evil.example",
        "https://app.example/x/../connected?from=grantkeeper",
        "https://app.example/%63onnected?from=grantkeeper",
        " https://app.example/connected?from=grantkeeper",
        "https://app.example/connected?from=grantkeeper#x",
        "https://app.example/connected?from=grantkeeper\n",
        "javascript:alert(1)//https://app.example/connected?from=grantkeeper",
        "",
    ] {
        let refused = world.open_session(json!({ "return_url": attack })).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{attack:?}");
        assert_eq!(refused.field_errors(), [("/return_url".into(), "not_listed".into())], "{attack:?}");
    }
    assert_eq!(world.open_session(json!({})).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn a_page_that_browsers_could_read_differently_is_never_listed() -> Outcome {
    let world = World::new().await?;
    for attack in [
        "https://ok.example@evil.example/",
        "https://user:secret@ok.example/",
        "//evil.example/",
        "\\\\evil.example",
        "https:\\\\evil.example/",
        "https://ok.example./",
        "https://ok.example/#fragment",
        "https://ok.example/a b",
        "https://ok.example/\u{7}",
        "https://OK.example/",
        "https://ok.example:443/",
        "https://ok.example/x/../y",
        "https://xn--/",
        "https://ök.example/",
        "http://ok.example/",
        "javascript:alert(1)",
        "data:text/html,x",
        "https://",
        "",
    ] {
        for (path, body) in [
            (format!("/v1/projects/{}", world.stack.project), json!({ "return_urls": [attack] })),
            (format!("/v1/clients/{}", world.client()), json!({ "return_urls": [attack] })),
        ] {
            let refused = world.superuser().patch(&path, body).await?;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{attack:?} {}", refused.body);
            assert_eq!(refused.field_errors(), [("/return_urls/0".into(), "not_a_return_url".into())], "{attack:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_clients_own_return_url_counts_for_sessions_of_that_client() -> Outcome {
    let world = World::new().await?;
    let page = "http://localhost:3000/done";
    assert_eq!(world.open_session(json!({ "return_url": page })).await?.status, StatusCode::UNPROCESSABLE_ENTITY);
    let path = format!("/v1/clients/{}", world.client());
    let patched = world.superuser().patch(&path, json!({ "return_urls": [page] })).await?;
    assert_eq!(patched.status, StatusCode::OK, "{}", patched.body);
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({ "return_url": page })).await?;
    let location = browser.get(callback.as_str()).await?.location()?;
    assert!(location.as_str().starts_with("http://localhost:3000/done?flow=flw_"), "{location}");
    Ok(())
}

#[tokio::test]
async fn a_return_url_in_the_callback_is_not_followed() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let mut callback = world.to_callback(&browser, json!({})).await?;
    callback.query_pairs_mut().append_pair("return_url", "https://evil.example/").append_pair("flow", "x");
    let location = browser.get(callback.as_str()).await?.location()?;
    assert!(location.as_str().starts_with(&format!("{RETURN_URL}&flow=flw_")), "{location}");
    assert!(!parameters(&location).contains_key("return_url"));
    Ok(())
}

#[tokio::test]
async fn without_a_return_url_the_person_ends_on_a_page_of_ours() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({ "return_url": null, "binding": "browser" })).await?;
    let page = browser.get(callback.as_str()).await?;
    assert_eq!((page.status, page.headers.get("location")), (StatusCode::OK, None));
    assert!(page.text.contains("crd_"), "{}", page.text);
    let session = world.open_session(json!({ "return_url": null, "binding": "browser" })).await?;
    let started = browser.start(&session.text("/connect_url"), &[]).await?;
    let denied = browser.get(browser.decide(&started, "ada", "deny").await?.as_str()).await?;
    assert_eq!((denied.status, denied.headers.get("location")), (StatusCode::OK, None));
    assert!(denied.text.contains("did not allow access"), "{}", denied.text);
    Ok(())
}
