//! A person connects an account: from the session that a backend opens to the token that a program reads.

use anyhow::Context as _;
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};

use super::Outcome;

#[tokio::test]
async fn a_flow_leads_from_session_to_token_by_one_exchange_that_complete_alone_makes() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let context = "order 7 & more";
    let session = world.open_session(json!({ "context": context, "name": "Mail" })).await?;
    assert_eq!(session.status, StatusCode::CREATED);
    let session_path = format!("/v1/connect-sessions/{}", session.text("/id"));
    assert_eq!(world.platform().get(&session_path).await?.text("/status"), "open");
    let client = world.superuser().get(&format!("/v1/clients/{}", world.client())).await?;

    // The authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1).
    let authorization_url = browser.start(&session.text("/connect_url"), &[]).await?;
    assert!(authorization_url.as_str().starts_with(&format!("{}/authorize?", world.sandbox_url())));
    let sent = parameters(&authorization_url);
    assert_eq!(sent["response_type"], "code");
    assert_eq!(sent["client_id"], "grantkeeper-local");
    assert_eq!(sent["redirect_uri"], client.text("/redirect_uri"));
    assert_eq!(sent["scope"], "openid offline_access read");
    assert_eq!(sent["code_challenge_method"], "S256");
    for random in ["state", "code_challenge", "nonce"] {
        assert_eq!(sent[random].len(), 43, "{random}");
    }
    assert_eq!(sent.len(), 8, "{sent:?}");
    let started = world.platform().get(&session_path).await?;
    assert_eq!(started.text("/status"), "started");

    // The callback parks the code and exchanges nothing.
    let callback = browser.consent(&authorization_url, "ada").await?;
    let returned = browser.get(callback.as_str()).await?;
    assert_eq!(returned.status, StatusCode::SEE_OTHER);
    let location = returned.location()?;
    assert!(location.as_str().starts_with(&format!("{RETURN_URL}&flow=flw_")), "{location}");
    assert!(location.as_str().ends_with("#_"), "{location}");
    let given = parameters(&location);
    assert_eq!(given.keys().collect::<Vec<_>>(), ["completion_code", "context", "flow", "from"]);
    assert_eq!(given["context"], context);
    assert_eq!(given["flow"], started.text("/flow"));
    assert_eq!(world.token_requests(), []);
    let flow_path = format!("/v1/flows/{}", given["flow"]);
    let parked = world.platform().get(&flow_path).await?;
    assert_eq!(parked.text("/status"), "parked");
    assert_eq!(parked.text("/session"), session.text("/id"));
    assert!(!parked.text("/completion_expires_at").is_empty());
    assert_eq!(world.platform().get(&session_path).await?.text("/status"), "returned");

    // `complete` exchanges, once.
    let completed = world.complete(&location, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    let again = world.complete(&location, "ada").await?;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &completed.body));
    let requests = world.token_requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!((requests[0].grant_type.as_deref(), requests[0].status), (Some("authorization_code"), 200));
    assert!(requests[0].code_verifier_present);
    for (member, value) in [
        ("name", json!("Mail")),
        ("kind", json!("oauth")),
        ("owner", json!("ada")),
        ("client", json!(world.client())),
        ("projects", json!([world.stack.project])),
        ("status", json!("active")),
        ("generation", json!(1)),
        ("requested_scopes", json!(["openid", "offline_access", "read"])),
        ("granted_scopes", json!(["openid", "offline_access", "read"])),
        ("account_kind", json!("personal")),
    ] {
        assert_eq!(completed.body[member], value, "{member}");
    }
    assert_eq!(completed.text("/account/issuer"), world.sandbox_url());
    assert!(!completed.text("/account/subject").is_empty());
    let expires_at = chrono::DateTime::parse_from_rfc3339(&completed.text("/expires_at"))?;
    assert_eq!((expires_at.to_utc() - world.stack.broker.now()).num_seconds(), 3600);
    let flow = world.platform().get(&flow_path).await?;
    assert_eq!((flow.text("/status"), flow.text("/credential")), ("completed".into(), completed.text("/id")));
    let session = world.platform().get(&session_path).await?;
    assert_eq!((session.text("/status"), session.text("/credential")), ("completed".into(), completed.text("/id")));
    assert_eq!(session.text("/context"), context);

    // The token works where it is for.
    let token = world.read_token(&completed.text("/id"), json!({})).await?;
    assert_eq!(token.status, StatusCode::OK, "{}", token.body);
    assert_eq!(token.text("/header/value"), format!("Bearer {}", token.text("/access_token")));
    assert_eq!(token.text("/header/name"), "Authorization");
    assert_eq!(token.text("/api_base_url"), world.sandbox_url());
    let me = world.call_api(&token.text("/access_token")).await?;
    assert_eq!((me.status, me.text("/user")), (StatusCode::OK, "ada".to_owned()));
    Ok(())
}

#[tokio::test]
async fn opening_a_connect_page_starts_nothing_and_its_button_then_works() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    for _ in 0..10 {
        let page = browser.get(&link).await?;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("Sign in with Sandbox") && page.headers.get("set-cookie").is_none());
    }
    for (method, name, value) in [(Method::HEAD, "Accept", "*/*"), (Method::GET, "Sec-Purpose", "prefetch")] {
        let answer = browser.http().request(method, &link).header(name, value).send().await?;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let read = world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
    assert_eq!((read.text("/status").as_str(), &read.body["flow"]), ("open", &Value::Null));
    let authorization_url = browser.start(&link, &[]).await?;
    let callback = browser.consent(&authorization_url, "ada").await?;
    assert_eq!(browser.get(callback.as_str()).await?.status, StatusCode::SEE_OTHER);
    // Once a flow is parked, the link is spent.
    for spent in [browser.get(&link).await?, browser.post(&link, &[]).await?] {
        assert_eq!((spent.status, spent.code()), (StatusCode::CONFLICT, "already_used"));
    }
    Ok(())
}

#[tokio::test]
async fn the_cookie_is_bound_to_the_flow_and_kept_from_scripts() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let pressed = Browser::new().post(&session.text("/connect_url"), &[]).await?;
    let cookie = pressed.headers["set-cookie"].to_str()?;
    let read = world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
    let (pair, attributes) = cookie.split_once("; ").context("attributes")?;
    assert!(pair.starts_with(&format!("gk-{}=", read.text("/flow"))), "{cookie}");
    assert_eq!(attributes, "Path=/; Max-Age=600; HttpOnly; SameSite=Lax");
    assert_eq!(pressed.headers["referrer-policy"], "no-referrer");
    assert_eq!(pressed.headers["cache-control"], "no-store");
    Ok(())
}

#[tokio::test]
async fn the_button_works_only_on_our_own_page() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let ours = world.stack.url.as_str();
    for headers in [
        vec![],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "none")],
        vec![("sec-fetch-site", "cross-site"), ("origin", ours)],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("origin", "http://127.0.0.1")],
    ] {
        let mut request = browser.http().post(&link);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await?;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(answer.headers()["grantkeeper-code"], "cross_site", "{headers:?}");
    }
    let read = world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
    assert_eq!(read.text("/status"), "open");
    let pressed = browser.http().post(&link).header("origin", ours).send().await?;
    assert_eq!(pressed.status(), StatusCode::SEE_OTHER);
    Ok(())
}

#[tokio::test]
async fn a_denial_goes_to_the_return_url_and_the_session_can_be_tried_again() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({ "context": "c" })).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let authorization_url = browser.start(&link, &[]).await?;
    let denied = browser.decide(&authorization_url, "ada", "deny").await?;
    assert!(denied.as_str().contains("error_description="), "the provider says more than we pass on");
    let location = browser.get(denied.as_str()).await?.location()?;
    let given = parameters(&location);
    assert_eq!(given.keys().collect::<Vec<_>>(), ["context", "error", "flow", "from"]);
    assert_eq!((given["error"].as_str(), given["context"].as_str()), ("access_denied", "c"));
    assert!(location.as_str().ends_with("#_"));
    let path = format!("/v1/connect-sessions/{}", session.text("/id"));
    let read = world.platform().get(&path).await?;
    assert_eq!((read.text("/status"), read.text("/problem")), ("failed".into(), "access_denied".into()));

    assert!(browser.get(&link).await?.text.contains("You did not allow access"));
    let callback = browser.consent(&browser.start(&link, &[]).await?, "ada").await?;
    let completed = world.complete(&browser.get(callback.as_str()).await?.location()?, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED);
    assert_eq!(world.platform().get(&path).await?.text("/status"), "completed");
    Ok(())
}

#[tokio::test]
async fn a_new_start_voids_the_earlier_flow() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let (link, browser) = (session.text("/connect_url"), Browser::new());
    let first = browser.consent(&browser.start(&link, &[]).await?, "ada").await?;
    let second = browser.consent(&browser.start(&link, &[]).await?, "ada").await?;
    let voided = browser.get(first.as_str()).await?;
    assert_eq!((voided.status, voided.code()), (StatusCode::BAD_REQUEST, "unknown_state"));
    assert_eq!(browser.get(second.as_str()).await?.status, StatusCode::SEE_OTHER);
    assert_eq!(world.token_requests(), []);
    Ok(())
}

#[tokio::test]
async fn two_tabs_of_one_browser_do_not_disturb_each_other() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let one = world.to_callback(&browser, json!({ "name": "one" })).await?;
    let two = world.to_callback(&browser, json!({ "name": "two" })).await?;
    for (callback, name) in [(two, "two"), (one, "one")] {
        let location = browser.get(callback.as_str()).await?.location()?;
        assert_eq!(world.complete(&location, "ada").await?.text("/name"), name);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_bound_to_the_browser_is_connected_by_the_callback() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({ "binding": "browser" })).await?;
    let location = browser.get(callback.as_str()).await?.location()?;
    let given = parameters(&location);
    assert_eq!(given.keys().collect::<Vec<_>>(), ["credential", "flow", "from"]);
    assert_eq!(world.requests_of("authorization_code").len(), 1);
    let token = world.read_token(&given["credential"], json!({})).await?;
    assert_eq!(world.call_api(&token.text("/access_token")).await?.status, StatusCode::OK);
    Ok(())
}
