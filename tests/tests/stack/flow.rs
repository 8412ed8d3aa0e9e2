//! A person connects an account: from the session that a backend opens to the token that a program reads.

use anyhow::Context as _;
use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
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
async fn what_the_session_fixed_is_not_taken_from_the_form() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({ "name": "Fixed", "scopes": ["write"] })).await?;
    let (link, browser, client) = (session.text("/connect_url"), Browser::new(), world.client());
    let page = browser.get(&link).await?;
    assert!(!page.text.contains("name=\"name\"") && !page.text.contains("name=\"scope\""), "{}", page.text);
    for (field, value) in [("name", "Mine"), ("scope", "email"), ("client", client.as_str()), ("return_url", "https://evil.example/")] {
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

#[tokio::test]
async fn a_project_that_does_not_allow_browser_binding_has_none() -> Outcome {
    let world = World::new().await?;
    let project = world.project(json!({})).await?;
    let platform = world.caller("platform", json!([project])).await?;
    let body = json!({ "owner": "ada", "binding": "browser", "return_url": RETURN_URL });
    world.register(ClientSettings { client_id: "there".into(), client_secret: Some("s".into()), ..Default::default() }, json!({ "project": project })).await?;
    let refused = platform.post("/v1/connect-sessions", body).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "binding_not_allowed"));
    let backend = json!({ "owner": "ada", "return_url": RETURN_URL });
    assert_eq!(platform.post("/v1/connect-sessions", backend).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn another_owner_at_completion_destroys_the_code() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({})).await?;
    let location = browser.get(callback.as_str()).await?.location()?;
    let mismatch = world.complete(&location, "mallory").await?;
    assert_eq!((mismatch.status, mismatch.code()), (StatusCode::CONFLICT, "owner_mismatch"));
    let late = world.complete(&location, "ada").await?;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "flow_failed"));
    assert_eq!(world.token_requests(), []);
    let flow = world.platform().get(&format!("/v1/flows/{}", parameters(&location)["flow"])).await?;
    assert_eq!((flow.text("/status"), flow.text("/problem")), ("failed".into(), "owner_mismatch".into()));
    let id = grantkeeper::model::ids::FlowId::parse(&flow.text("/id"))?;
    let stored = grantkeeper::store::Store::find_flow(&world.store(), &world.stack.project, &id).await?;
    assert!(stored.context("the flow")?.parked.is_none(), "the sealed code is gone");
    Ok(())
}

#[tokio::test]
async fn a_completion_needs_the_code_of_its_own_flow_and_the_vouched_owner() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let mut flows = Vec::new();
    for name in ["one", "two"] {
        let callback = world.to_callback(&browser, json!({ "name": name })).await?;
        flows.push(parameters(&browser.get(callback.as_str()).await?.location()?));
    }
    let path = format!("/v1/flows/{}/complete", flows[0]["flow"]);
    let foreign = json!({ "completion_code": flows[1]["completion_code"], "owner": "ada" });
    let wrong = world.platform().post(&path, foreign).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.field_errors(), [("/completion_code".into(), "completion_code_wrong".into())]);
    let right = json!({ "completion_code": flows[0]["completion_code"], "owner": "ada" });
    let vouched = world.platform().acting_for("mallory").post(&path, right.clone()).await?;
    assert_eq!(vouched.field_errors(), [("/owner".into(), "owner_differs".into())]);
    for (caller, status) in [
        (world.runner(), StatusCode::FORBIDDEN),
        (world.superuser(), StatusCode::FORBIDDEN),
        (grantkeeper_tests::Backend::new(&world.stack.url, None), StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(caller.post(&path, right.clone()).await?.status, status);
    }
    assert_eq!(world.token_requests(), []);
    assert_eq!(world.platform().acting_for("ada").post(&path, right).await?.status, StatusCode::CREATED);
    Ok(())
}

#[tokio::test]
async fn a_code_waits_ten_minutes_and_no_longer() -> Outcome {
    let world = World::new().await?;
    world.change_at_sandbox("grantkeeper-local", json!({ "code_seconds": 3600 })).await?;
    let browser = Browser::new();
    let mut returns = Vec::new();
    for name in ["in time", "too late"] {
        let callback = world.to_callback(&browser, json!({ "name": name })).await?;
        returns.push(browser.get(callback.as_str()).await?.location()?);
    }
    world.advance(Duration::seconds(599));
    assert_eq!(world.complete(&returns[0], "ada").await?.status, StatusCode::CREATED);
    world.advance(Duration::seconds(2));
    let late = world.complete(&returns[1], "ada").await?;
    assert_eq!((late.status, late.code()), (StatusCode::GONE, "completion_expired"));
    assert_eq!(world.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_repeated_completion_gets_its_answer_for_ten_minutes_only() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({})).await?;
    let location = browser.get(callback.as_str()).await?.location()?;
    let first = world.complete(&location, "ada").await?;
    world.advance(Duration::seconds(599));
    let again = world.complete(&location, "ada").await?;
    assert_eq!((again.status, again.text("/id")), (StatusCode::CREATED, first.text("/id")));
    world.advance(Duration::seconds(1));
    let late = world.complete(&location, "ada").await?;
    assert_eq!((late.status, late.code()), (StatusCode::CONFLICT, "flow_completed"));
    assert_eq!(world.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_code_that_the_provider_refuses_ends_the_flow_with_advice() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({})).await?;
    let location = browser.get(callback.as_str()).await?.location()?;
    world.advance(Duration::seconds(61));
    let refused = world.complete(&location, "ada").await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "code_rejected"));
    assert_eq!(world.complete(&location, "ada").await?.code(), "flow_failed");
    assert_eq!(world.token_requests().len(), 1);
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
async fn a_code_of_one_flow_is_worthless_in_another() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let victim = world.to_callback(&browser, json!({ "name": "victim" })).await?;
    let mut injected = world.to_callback(&browser, json!({ "name": "attacker" })).await?;
    let (stolen, mut query) = (parameters(&victim)["code"].clone(), parameters(&injected));
    query.insert("code".into(), stolen);
    injected.query_pairs_mut().clear().extend_pairs(query);
    let location = browser.get(injected.as_str()).await?.location()?;
    let refused = world.complete(&location, "ada").await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "code_rejected"));
    let requests = world.token_requests();
    assert!(requests.len() == 1 && requests[0].code_verifier_present, "{requests:?}");
    assert_eq!(world.platform().get("/v1/credentials").await?.body["items"], json!([]));
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
    let mut platform = world.platform();
    let mut press = Browser::new().http().post("http://unused.example");
    for (name, value) in hostile {
        platform = platform.with(name, value);
        press = press.header(name, value);
    }
    let body = json!({ "owner": "ada", "clients": [world.client()], "return_url": RETURN_URL });
    let session = platform.post("/v1/connect-sessions", body).await?;
    let link = session.text("/connect_url");
    assert!(link.starts_with(&format!("{}/connect/", world.stack.url)), "{link}");
    let (_, request) = press.header("sec-fetch-site", "same-origin").build_split();
    let mut request = request?;
    *request.url_mut() = link.parse()?;
    let pressed = Browser::new().http().execute(request).await?;
    let location = url::Url::parse(pressed.headers()["location"].to_str()?)?;
    let redirect_uri = &parameters(&location)["redirect_uri"];
    assert!(redirect_uri.starts_with(&format!("{}/callback/", world.stack.url)), "{redirect_uri}");
    Ok(())
}

#[tokio::test]
async fn parameters_of_the_flow_itself_cannot_be_given() -> Outcome {
    let world = World::new().await?;
    for name in [
        "response_type", "response_mode", "client_id", "client_secret", "redirect_uri", "state", "scope", "nonce",
        "code_challenge", "code_challenge_method", "request", "request_uri", "STATE", "Redirect_Uri", "redirect%5Furi",
        "%73tate", " state", "state ",
    ] {
        let refused = world.open_session(json!({ "authorization_params": { name: "x" } })).await?;
        let pointer = format!("/authorization_params/{name}");
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert_eq!(refused.field_errors(), [(pointer, "reserved_parameter".into())], "{name}");
        let body = json!({ "name": "X", "authorization_params": { name: "x" } });
        assert_eq!(world.superuser().post("/v1/clients", body).await?.field_errors()[0].1, "reserved_parameter", "{name}");
    }
    let hints = json!({ "authorization_params": { "login_hint": "ada@x.example", "prompt": "consent" } });
    let session = world.open_session(hints).await?;
    let sent = parameters(&Browser::new().start(&session.text("/connect_url"), &[]).await?);
    assert_eq!((sent["login_hint"].as_str(), sent["prompt"].as_str()), ("ada@x.example", "consent"));
    Ok(())
}
