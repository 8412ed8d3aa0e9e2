//! The test of a credential: every step has its verdict, and nothing secret is in it.

use chrono::Duration;
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper_local::stack::Options;
use grantkeeper_sandbox::{ApiHeader, ClientSettings, RefreshTokenMode};
use grantkeeper_tests::{Answer, Proxy, Reply, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::Connected;

const STEPS: [&str; 6] = ["token", "refresh", "scopes", "header", "request", "payload"];

fn asking(path: &str) -> Value {
    json!({ "test_request": { "method": "GET", "path": path } })
}

impl Connected {
    async fn test(&self, body: Value) -> anyhow::Result<Answer> {
        let answer = self.world.runner().post(&format!("/v1/credentials/{}/test", self.id), body).await?;
        if answer.status == StatusCode::OK {
            let members: Vec<_> = answer.body.as_object().unwrap().keys().cloned().collect();
            assert_eq!(members, ["payload", "status", "steps"]);
            let steps = answer.body["steps"].as_array().unwrap();
            assert_eq!(steps.iter().map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>(), STEPS);
            for step in steps {
                assert_eq!(step.as_object().unwrap().len(), 4);
                assert!(!step["detail"].as_str().unwrap().is_empty());
                assert!(step["verdict"] != json!("failed") || !step["advice"].as_array().unwrap().is_empty(), "{step}");
            }
            self.assert_nothing_secret(&answer).await?;
        }
        Ok(answer)
    }

    /// Nothing that the vault holds is in an answer.
    async fn assert_nothing_secret(&self, answer: &Answer) -> Outcome {
        let document: Value = serde_json::from_str(&self.world.secret(&self.id).await?)?;
        let text = answer.body.to_string();
        for name in ["access_token", "refresh_token"] {
            if let Some(token) = document[name].as_str().filter(|token| !token.is_empty()) {
                assert!(!text.contains(token), "{name} in {text}");
            }
        }
        assert!(!text.contains("right-secret"), "{text}");
        Ok(())
    }

    async fn patch_client(&self, patch: Value) -> Outcome {
        let answer = self.world.superuser().patch(&format!("/v1/clients/{}", self.client), patch).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        Ok(())
    }

    /// A client whose API is a proxy that the test scripts.
    async fn with_api(path: &str) -> anyhow::Result<(Self, Proxy)> {
        let proxy = Proxy::to("http://127.0.0.1:1").await?;
        let origins = vec![proxy.url.clone()];
        let world = World::with(|options| Options { insecure_origins: origins, ..options }).await?;
        proxy.point_to(world.sandbox_url());
        let mut patch = asking(path);
        patch["api_base_url"] = json!(proxy.url);
        Ok((Self::inside(world, ClientSettings::default(), patch).await?, proxy))
    }
}

fn verdicts(answer: &Answer) -> Vec<String> {
    (0..6).map(|step| answer.text(&format!("/steps/{step}/verdict"))).collect()
}

const WORKS: [&str; 6] = ["passed", "skipped", "passed", "passed", "passed", "passed"];

#[tokio::test]
async fn a_credential_that_works_passes_every_step_and_its_token_is_shown_nowhere() -> Outcome {
    let patch = json!({
        "test_request": { "path": "/api/echo?fields=all" }, "api_headers": { "X-Client": "{client_id}", "X-None": "{none}" },
        "variables": [{ "key": "none", "source": "token" }],
    });
    let it = Connected::with(ClientSettings::default(), patch).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!(
        (tested.status, verdicts(&tested)),
        (StatusCode::OK, WORKS.map(str::to_owned).to_vec()),
        "{}",
        tested.body
    );
    assert_eq!((&tested.body["status"], tested.text("/payload/path")), (&json!(200), "/api/echo".to_owned()));
    assert_eq!(tested.text("/payload/query"), "fields=all");
    assert_eq!(tested.text("/payload/headers/x-client"), "app");
    assert_eq!(tested.text("/payload/headers/authorization"), "[redacted]");
    let header = tested.text("/steps/3/detail");
    assert!(header.contains("Authorization: Bearer [redacted]") && header.contains("X-Client"), "{header}");
    assert!(header.contains("Left out, for a value is not known: X-None"), "{header}");
    assert_eq!(it.refreshes(), 0);
    // An empty body is one without a rehearsal, and an expired token is fetched.
    it.world.advance(Duration::seconds(3600));
    let path = format!("/v1/credentials/{}/test", it.id);
    let fetched = it.world.platform().send("POST".parse()?, &path, None).await?;
    assert_eq!(verdicts(&fetched), WORKS);
    assert!(fetched.text("/steps/0/detail").contains("generation 2 was fetched"), "{}", fetched.body);
    Ok(())
}

#[tokio::test]
async fn a_rehearsed_expiry_rotates_once_and_compares_the_scopes() -> Outcome {
    let it = Connected::with(ClientSettings::default(), asking("/api/me")).await?;
    let rehearsed = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!(verdicts(&rehearsed), ["passed"; 6], "{}", rehearsed.body);
    assert!(rehearsed.text("/steps/1/detail").contains("generation 1 became 2"));
    assert_eq!((it.refreshes(), &rehearsed.body["payload"]["scopes"]), (1, &json!(["read", "write"])));
    // The expired token is fetched once, and that is the rehearsal.
    it.world.advance(Duration::seconds(3600));
    let rehearsed = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!((verdicts(&rehearsed), it.refreshes()), (["passed"; 6].map(str::to_owned).to_vec(), 2));

    it.world.change_at_sandbox("app", json!({ "withheld_scopes": ["write"] })).await?;
    let narrower = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!(verdicts(&narrower), ["passed", "passed", "failed", "passed", "passed", "passed"]);
    assert!(narrower.text("/steps/2/detail").contains("Lost: write. Gained: none. Granted now: read."));
    // What is missing stays a finding when nothing changes any more.
    let still = it.test(json!({})).await?;
    assert_eq!((still.text("/steps/2/verdict"), it.refreshes()), ("failed".to_owned(), 3));
    assert!(still.text("/steps/2/detail").contains("Missing: write"));

    it.world.change_at_sandbox("app", json!({ "withheld_scopes": [], "extra_scopes": ["admin"] })).await?;
    let wider = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!(verdicts(&wider), ["passed", "failed", "failed", "skipped", "skipped", "skipped"], "{}", wider.body);
    assert!(wider.text("/steps/2/detail").contains("Gained: write, admin"), "{}", wider.body);
    assert_eq!(it.token(json!({})).await?.status, StatusCode::LOCKED, "more than was asked is put aside");
    Ok(())
}

#[tokio::test]
async fn a_rehearsal_that_fails_keeps_the_old_token_and_goes_on_with_it() -> Outcome {
    let it = Connected::with(ClientSettings::default(), asking("/api/me")).await?;
    it.world.change_at_sandbox("app", json!({ "token_answers": [429] })).await?;
    let tested = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!(verdicts(&tested), ["passed", "failed", "passed", "passed", "passed", "passed"], "{}", tested.body);
    assert_eq!(it.token(json!({})).await?.body["generation"], json!(1));

    let settings = ClientSettings { refresh_token: RefreshTokenMode::None, ..ClientSettings::default() };
    let it = Connected::with(settings, asking("/api/me")).await?;
    let tested = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!(verdicts(&tested), ["passed", "failed", "passed", "passed", "passed", "passed"], "{}", tested.body);
    assert!(tested.text("/steps/1/detail").contains("no refresh token"), "{}", tested.body);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_credential_is_a_step_that_failed() -> Outcome {
    let it = Connected::with(ClientSettings::default(), asking("/api/me")).await?;
    let no_token = ["failed", "skipped", "passed", "skipped", "skipped", "skipped"];
    it.set_status(CredentialStatus::Suspended).await?;
    let tested = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!((tested.status, verdicts(&tested)), (StatusCode::OK, no_token.map(str::to_owned).to_vec()));
    assert_eq!((&tested.body["status"], &tested.body["payload"]), (&Value::Null, &Value::Null));
    it.set_status(CredentialStatus::Active).await?;

    it.world.withdraw("ada").await?;
    it.world.advance(Duration::seconds(3600));
    let tested = it.test(json!({})).await?;
    assert_eq!(verdicts(&tested), no_token, "{}", tested.body);
    let advice = tested.body["steps"][0]["advice"].to_string();
    assert!(advice.contains("connect the account again"), "{advice}");
    assert_eq!(it.token_requests_of_api(), 0);

    it.set_status(CredentialStatus::Revoking).await?;
    let refused = it.test(json!({})).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "revoked"));
    let unknown = it.world.runner().post("/v1/credentials/crd_01ARZ3NDEKTSV4RRFFQ69G5FAV/test", json!({})).await?;
    assert_eq!((unknown.status, unknown.code()), (StatusCode::NOT_FOUND, "not_found"));
    let path = format!("/v1/credentials/{}/test", it.id);
    assert_eq!(it.world.superuser().post(&path, json!({})).await?.code(), "role_not_allowed");
    assert_eq!(it.world.platform().acting_for("grace").post(&path, json!({})).await?.code(), "not_the_owner");
    let strict = it.world.runner().post(&path, json!({ "rehearse": true })).await?;
    assert_eq!(strict.field_errors(), [("/rehearse".to_owned(), "unknown_field".to_owned())]);
    Ok(())
}

impl Connected {
    fn token_requests_of_api(&self) -> usize {
        self.world.sandbox().log().iter().filter(|entry| entry.path.starts_with("/api")).count()
    }
}

#[tokio::test]
async fn without_a_request_or_an_address_the_api_is_not_asked() -> Outcome {
    let it = Connected::usual().await?;
    let tested = it.test(json!({})).await?;
    assert_eq!(tested.text("/steps/4/verdict"), "skipped");
    assert!(tested.body["steps"][4]["advice"].to_string().contains("test_request"));
    it.patch_client(json!({ "api_base_url": null, "test_request": { "path": "/api/me" } })).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!(tested.text("/steps/4/verdict"), "skipped");
    assert!(tested.body["steps"][4]["advice"].to_string().contains("api_base_url"));
    it.change_client(|settings| settings.api_base_url = Some("https://{tenant}.api.example".to_owned())).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!((tested.text("/steps/4/verdict"), tested.text("/steps/5/verdict")), ("failed".into(), "skipped".into()));
    // An address inside is never asked, whoever put it there.
    it.change_client(|settings| settings.api_base_url = Some("http://169.254.169.254/latest".to_owned())).await?;
    assert_eq!(it.test(json!({})).await?.text("/steps/4/verdict"), "failed");
    assert_eq!(it.token_requests_of_api(), 0);
    Ok(())
}

#[tokio::test]
async fn a_401_after_setup_says_what_it_may_be() -> Outcome {
    let audience = "https://api.example";
    let settings = ClientSettings { api_audience: Some(audience.to_owned()), ..ClientSettings::default() };
    let it = Connected::with(settings.clone(), asking("/api/me")).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!((tested.text("/steps/5/verdict"), &tested.body["status"]), ("failed".to_owned(), &json!(401)));
    assert!(tested.body["steps"][5]["advice"].to_string().contains("audience"), "{}", tested.body);
    let mut patch = asking("/api/me");
    patch["audience"] = json!(audience);
    let it = Connected::with(settings, patch).await?;
    assert_eq!(verdicts(&it.test(json!({})).await?), WORKS);

    // The API wants another header than the client is set to.
    let api_header = ApiHeader { name: "X-Access-Token".to_owned(), prefix: String::new() };
    let it = Connected::with(ClientSettings { api_header, ..ClientSettings::default() }, asking("/api/me")).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!(tested.text("/steps/5/verdict"), "failed");
    it.patch_client(json!({ "header": { "name": "X-Access-Token", "prefix": "" } })).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!(verdicts(&tested), WORKS);
    assert!(tested.text("/steps/3/detail").contains("X-Access-Token: [redacted]"));

    // The prefix is not the one that the API names in its challenge.
    let it = Connected::with(ClientSettings::default(), asking("/api/me")).await?;
    it.patch_client(json!({ "header": { "prefix": "Token" } })).await?;
    let tested = it.test(json!({})).await?;
    assert!(tested.text("/steps/5/detail").contains("the API wants the prefix Bearer"), "{}", tested.body);

    // The sandbox's clock alone says that the token has expired: ours does not, so it is not said to be that.
    it.patch_client(json!({ "header": { "prefix": "Bearer" } })).await?;
    it.world.sandbox().advance_clock(3600);
    let tested = it.test(json!({})).await?;
    assert!(tested.text("/steps/5/detail").contains("although the access token has not expired"), "{}", tested.body);
    let tested = it.test(json!({ "rehearse_expiry": true })).await?;
    assert_eq!(verdicts(&tested), ["passed"; 6], "the rehearsal shows that another token works");
    Ok(())
}

#[tokio::test]
async fn a_scope_that_the_api_wants_is_named() -> Outcome {
    let it = Connected::with(ClientSettings::default(), asking("/api/needs/admin")).await?;
    let tested = it.test(json!({})).await?;
    assert_eq!((tested.text("/steps/5/verdict"), &tested.body["status"]), ("failed".to_owned(), &json!(403)));
    assert!(tested.text("/steps/5/detail").contains("The API wants: admin"), "{}", tested.body);
    it.patch_client(asking("/api/needs/write")).await?;
    assert_eq!(verdicts(&it.test(json!({})).await?), WORKS);
    Ok(())
}

#[tokio::test]
async fn odd_answers_of_an_api_are_judged_and_redirects_not_followed() -> Outcome {
    let (it, api) = Connected::with_api("/api/me").await?;
    assert_eq!(verdicts(&it.test(json!({})).await?), WORKS);
    let canary = "canary-of-a-person-4f2a";
    for (status, body, verdict, words) in [
        (200, json!("<html>sign in</html>"), "failed", "web page"),
        (302, json!({}), "failed", "redirect"),
        (404, json!({ "error": "not_found" }), "failed", "not known"),
        (403, json!({ "error": "forbidden" }), "failed", "not allowed"),
        (429, json!({}), "failed", ""),
        (500, json!({}), "failed", ""),
        (201, json!({ "api_key": canary, "nested": [{ "password": canary }] }), "passed", "accepted"),
    ] {
        api.take_calls();
        api.script([Reply::Instead(status, body)]);
        let tested = it.test(json!({})).await?;
        assert_eq!((&tested.body["status"], tested.text("/steps/4/verdict")), (&json!(status), "passed".to_owned()));
        assert_eq!(tested.text("/steps/5/verdict"), verdict, "{status} {}", tested.body);
        assert!(tested.text("/steps/5/detail").contains(words), "{status} {}", tested.body);
        assert_eq!(api.take_calls().iter().map(|call| call.path.as_str()).collect::<Vec<_>>(), ["/api/me"]);
        assert!(!tested.body.to_string().contains(canary));
    }
    // What the API sends back of the token, and a long answer, are not shown.
    let token = it.token(json!({})).await?.text("/access_token");
    api.script([Reply::Instead(200, json!({ "seen": format!("Bearer {token}") }))]);
    let tested = it.test(json!({})).await?;
    assert_eq!(tested.text("/payload/seen"), "[redacted]");
    let long: serde_json::Map<String, Value> = (0..45).map(|n| (format!("m{n}"), json!("word ".repeat(40)))).collect();
    api.script([Reply::Instead(200, Value::Object(long))]);
    let tested = it.test(json!({})).await?;
    assert!(tested.body["payload"].to_string().len() <= 4096 && tested.body["payload"]["cut"] == json!(true));
    // An API that is not there.
    drop(api);
    let tested = it.test(json!({})).await?;
    assert_eq!((tested.text("/steps/4/verdict"), &tested.body["status"]), ("failed".to_owned(), &Value::Null));
    Ok(())
}
