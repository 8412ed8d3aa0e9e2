//! The redirection endpoint refuses what is not the answer to the flow of this browser. A refusal is a page, redirects
//! nowhere, asks the provider nothing, and leaves the flow to the browser it belongs to.

use chrono::Duration;
use grantkeeper::model::ids::FlowId;
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Browser, Page, Proxy, World, parameters};
use http::StatusCode;
use serde_json::json;
use url::Url;

use super::Outcome;

/// A flow whose browser is about to deliver the answer.
struct AtCallback {
    world: World,
    browser: Browser,
    callback: Url,
    flow: FlowId,
}

impl AtCallback {
    async fn new() -> anyhow::Result<Self> {
        Self::in_world(World::new().await?).await
    }

    async fn in_world(world: World) -> anyhow::Result<Self> {
        let browser = Browser::new();
        let session = world.open_session(json!({})).await?;
        let authorization_url = browser.start(&session.text("/connect_url"), &[]).await?;
        let callback = browser.consent(&authorization_url, "ada").await?;
        let read = world.platform().get(&format!("/v1/connect-sessions/{}", session.text("/id"))).await?;
        let flow = FlowId::parse(&read.text("/flow"))?;
        Ok(Self { world, browser, callback, flow })
    }

    /// The callback with parameters replaced, or removed where the value is empty.
    fn with(&self, changes: &[(&str, &str)]) -> Url {
        let mut query = parameters(&self.callback);
        for (name, value) in changes {
            query.remove(*name);
            if !value.is_empty() {
                query.insert((*name).to_owned(), (*value).to_owned());
            }
        }
        let mut url = self.callback.clone();
        url.query_pairs_mut().clear().extend_pairs(query);
        url
    }

    async fn stored(&self) -> anyhow::Result<Option<grantkeeper::model::flow::Flow>> {
        Ok(self.world.store().find_flow(&self.world.stack.project, &self.flow).await?)
    }

    /// This request is refused so, and nothing is different afterwards.
    async fn refused(&self, browser: &Browser, url: &Url, status: StatusCode, code: &str) -> Outcome {
        let before = self.stored().await?;
        let page = browser.get(url.as_str()).await?;
        assert_is_refusal(&page, status, code);
        assert_eq!(self.world.token_requests(), [], "{url}");
        assert_eq!(self.stored().await?, before, "{url}");
        Ok(())
    }

    /// The rightful browser still gets through.
    async fn still_works(&self) -> Outcome {
        let returned = self.browser.get(self.callback.as_str()).await?;
        assert_eq!(returned.status, StatusCode::SEE_OTHER, "{}", returned.text);
        let completed = self.world.complete(&returned.location()?, "ada").await?;
        assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
        Ok(())
    }
}

fn assert_is_refusal(page: &Page, status: StatusCode, code: &str) {
    assert_eq!((page.status, page.code()), (status, code), "{}", page.text);
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(page.headers.get("location"), None);
    assert_eq!(page.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn the_answer_must_come_from_the_browser_that_started() -> Outcome {
    let flow = AtCallback::new().await?;
    flow.refused(&Browser::new(), &flow.callback, StatusCode::FORBIDDEN, "wrong_browser").await?;
    // A browser that has the cookie of another flow is another browser.
    let other = Browser::new();
    let session = flow.world.open_session(json!({})).await?;
    other.start(&session.text("/connect_url"), &[]).await?;
    flow.refused(&other, &flow.callback, StatusCode::FORBIDDEN, "wrong_browser").await?;
    // A cookie under the right name with a made-up value, alone or beside the right one, is no proof.
    let name = format!("gk-{}", flow.flow);
    let tossed = Browser::new()
        .http()
        .get(flow.callback.clone())
        .header("cookie", format!("{name}={}", "A".repeat(43)))
        .send()
        .await?;
    assert_eq!(tossed.headers()["grantkeeper-code"], "wrong_browser");
    flow.still_works().await
}

#[tokio::test]
async fn two_cookies_of_one_name_prove_nothing() -> Outcome {
    let world = World::new().await?;
    let session = world.open_session(json!({})).await?;
    let plain = Browser::new();
    let pressed = plain.post(&session.text("/connect_url"), &[]).await?;
    let cookie = pressed.headers["set-cookie"].to_str()?.split(';').next().unwrap().to_owned();
    let name = cookie.split('=').next().unwrap();
    let callback = plain.consent(&pressed.location()?, "ada").await?;
    let without_jar = grantkeeper_tests::browser::http();
    let tossed = without_jar.get(callback.clone()).header("cookie", format!("{name}=tossed; {cookie}")).send().await?;
    assert_eq!(tossed.headers()["grantkeeper-code"], "wrong_browser");
    let alone = without_jar.get(callback).header("cookie", cookie).send().await?;
    assert_eq!(alone.status(), StatusCode::SEE_OTHER);
    Ok(())
}

#[tokio::test]
async fn the_answer_must_name_the_issuer_of_the_flow() -> Outcome {
    let flow = AtCallback::new().await?;
    let issuer = parameters(&flow.callback)["iss"].clone();
    assert_eq!(issuer, flow.world.sandbox_url());
    let upper = issuer.to_uppercase();
    for wrong in ["https://evil.example", &format!("{issuer}/"), &upper, "null"] {
        let url = flow.with(&[("iss", wrong)]);
        flow.refused(&flow.browser, &url, StatusCode::BAD_REQUEST, "issuer_mismatch").await?;
        let error = flow.with(&[("iss", wrong), ("code", ""), ("error", "access_denied")]);
        flow.refused(&flow.browser, &error, StatusCode::BAD_REQUEST, "issuer_mismatch").await?;
    }
    // The sandbox's metadata promises `iss` (RFC 9207 §3).
    let missing = flow.with(&[("iss", "")]);
    flow.refused(&flow.browser, &missing, StatusCode::BAD_REQUEST, "issuer_missing").await?;
    flow.still_works().await
}

#[tokio::test]
async fn a_server_that_claims_another_issuer_gets_no_code_accepted() -> Outcome {
    let world = World::new().await?;
    world.change_at_sandbox("grantkeeper-local", json!({ "iss_override": "https://evil.example" })).await?;
    let flow = AtCallback::in_world(world).await?;
    flow.refused(&flow.browser, &flow.callback, StatusCode::BAD_REQUEST, "issuer_mismatch").await
}

#[tokio::test]
async fn an_unknown_or_missing_state_is_refused() -> Outcome {
    let flow = AtCallback::new().await?;
    let state = parameters(&flow.callback)["state"].clone();
    let mut near = state.clone();
    near.replace_range(0..1, if state.starts_with('A') { "B" } else { "A" });
    for wrong in ["", "x", &near, &state.to_lowercase().to_uppercase(), &format!("{state}A"), &state[1..]] {
        let url = flow.with(&[("state", wrong)]);
        flow.refused(&flow.browser, &url, StatusCode::BAD_REQUEST, "unknown_state").await?;
    }
    flow.still_works().await
}

#[tokio::test]
async fn an_answer_is_taken_once() -> Outcome {
    let flow = AtCallback::new().await?;
    assert_eq!(flow.browser.get(flow.callback.as_str()).await?.status, StatusCode::SEE_OTHER);
    flow.refused(&flow.browser, &flow.callback, StatusCode::CONFLICT, "already_used").await?;
    let with_error = flow.with(&[("code", ""), ("error", "access_denied")]);
    flow.refused(&flow.browser, &with_error, StatusCode::CONFLICT, "already_used").await
}

#[tokio::test]
async fn an_answer_after_ten_minutes_is_refused_although_the_item_is_still_there() -> Outcome {
    let flow = AtCallback::new().await?;
    flow.world.advance(Duration::seconds(600));
    assert!(flow.stored().await?.is_some());
    flow.refused(&flow.browser, &flow.callback, StatusCode::BAD_REQUEST, "expired_state").await?;
    flow.world.advance(Duration::seconds(1));
    flow.refused(&flow.browser, &flow.callback, StatusCode::BAD_REQUEST, "expired_state").await?;
    let read = flow.world.platform().get(&format!("/v1/flows/{}", flow.flow)).await?;
    assert_eq!(read.text("/status"), "expired");
    Ok(())
}

#[tokio::test]
async fn an_answer_in_the_last_second_is_taken() -> Outcome {
    let flow = AtCallback::new().await?;
    flow.world.change_at_sandbox("grantkeeper-local", json!({ "code_seconds": 3600 })).await?;
    flow.world.clock.advance(Duration::seconds(599));
    assert_eq!(flow.browser.get(flow.callback.as_str()).await?.status, StatusCode::SEE_OTHER);
    Ok(())
}

#[tokio::test]
async fn a_parameter_that_occurs_twice_is_refused() -> Outcome {
    let flow = AtCallback::new().await?;
    let given = parameters(&flow.callback);
    for (name, value) in [("state", &given["state"]), ("code", &given["code"]), ("iss", &given["iss"])] {
        let mut url = flow.callback.clone();
        url.query_pairs_mut().append_pair(name, value);
        flow.refused(&flow.browser, &url, StatusCode::BAD_REQUEST, "duplicate_parameter").await?;
    }
    let mut written_otherwise = flow.callback.clone();
    written_otherwise.set_query(Some(&format!("{}&c%6Fde=x", flow.callback.query().unwrap())));
    flow.refused(&flow.browser, &written_otherwise, StatusCode::BAD_REQUEST, "duplicate_parameter").await?;
    flow.still_works().await
}

#[tokio::test]
async fn an_answer_has_a_code_or_an_error_and_not_both() -> Outcome {
    let flow = AtCallback::new().await?;
    for changes in [
        [("error", "access_denied"), ("x", "")],
        [("code", ""), ("x", "")],
        [("code", ""), ("error_description", "no")],
        [("code", &*"c".repeat(8 * 1024 + 1)), ("x", "")],
    ] {
        flow.refused(&flow.browser, &flow.with(&changes), StatusCode::BAD_REQUEST, "malformed_response").await?;
    }
    flow.still_works().await
}

#[tokio::test]
async fn an_answer_at_another_clients_redirect_uri_is_refused() -> Outcome {
    let flow = AtCallback::new().await?;
    let settings = ClientSettings { client_id: "other".into(), client_secret: Some("s".into()), ..Default::default() };
    let other = flow.world.register(settings, json!({})).await?;
    let other = flow.world.superuser().get(&format!("/v1/clients/{other}")).await?.text("/client_key");
    for key in [other.as_str(), "unknown", &other[1..]] {
        let mut url = flow.callback.clone();
        url.set_path(&format!("/callback/{key}"));
        // Before everything else, so that no browser can tell more.
        for browser in [&flow.browser, &Browser::new()] {
            flow.refused(browser, &url, StatusCode::BAD_REQUEST, "foreign_redirect_uri").await?;
        }
    }
    flow.still_works().await
}

#[tokio::test]
async fn a_client_that_changed_meanwhile_ends_the_flow_and_its_new_server_sees_nothing() -> Outcome {
    let flow = AtCallback::new().await?;
    let evil = Proxy::to("http://127.0.0.1:1").await?;
    let path = format!("/v1/clients/{}", flow.world.client());
    let renamed = flow.world.superuser().patch(&path, json!({ "name": "Renamed" })).await?;
    assert_eq!(renamed.status, StatusCode::OK, "{}", renamed.body);
    flow.refused(&flow.browser, &flow.callback, StatusCode::CONFLICT, "client_changed").await?;
    assert_eq!(evil.take_calls().len(), 0);
    // A new start goes on with the client as it is now.
    let again = AtCallback::in_world(flow.world).await?;
    again.still_works().await
}

#[tokio::test]
async fn a_client_that_changed_between_return_and_completion_gets_no_code() -> Outcome {
    let flow = AtCallback::new().await?;
    let location = flow.browser.get(flow.callback.as_str()).await?.location()?;
    let path = format!("/v1/clients/{}", flow.world.client());
    flow.world.superuser().patch(&path, json!({ "labels": { "a": "b" } })).await?;
    let refused = flow.world.complete(&location, "ada").await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "client_changed"));
    assert_eq!(flow.world.token_requests(), []);
    Ok(())
}

#[tokio::test]
async fn a_posted_answer_bounces_to_get_so_that_the_cookie_comes_along() -> Outcome {
    let flow = AtCallback::new().await?;
    let mut endpoint = flow.callback.clone();
    endpoint.set_query(None);
    let query = flow.callback.query().unwrap().to_owned();
    let post = |body: String| {
        let request = grantkeeper_tests::browser::http().post(endpoint.clone());
        request.header("content-type", "application/x-www-form-urlencoded").body(body).send()
    };
    let bounced = post(query.clone()).await?;
    assert_eq!(bounced.status(), StatusCode::SEE_OTHER);
    assert_eq!(bounced.headers()["location"], format!("{}?{query}", endpoint.path()));
    for hostile in ["a=b\r\nSet-Cookie: x=y", "a=b#c", "a=\u{e9}", &"a".repeat(9000)] {
        let refused = post(hostile.to_owned()).await?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{hostile}");
        assert_eq!(refused.headers()["grantkeeper-code"], "malformed_response");
    }
    flow.still_works().await
}

#[tokio::test]
async fn the_providers_words_are_shown_nowhere() -> Outcome {
    let flow = AtCallback::new().await?;
    let script = "<script>alert(1)</script>";
    let changes =
        [("code", ""), ("error", script), ("error_description", script), ("error_uri", "https://evil.example")];
    let returned = flow.browser.get(flow.with(&changes).as_str()).await?;
    assert_eq!(parameters(&returned.location()?)["error"], "provider_error");
    assert!(!returned.text.contains("script") && !returned.location()?.as_str().contains("script"));
    let pages = [flow.with(&[("state", script)]), flow.with(&[("iss", script)])];
    for url in pages {
        let page = flow.browser.get(url.as_str()).await?;
        assert!(!page.text.to_lowercase().contains("<script") && !page.text.contains("alert("), "{}", page.text);
    }
    Ok(())
}
