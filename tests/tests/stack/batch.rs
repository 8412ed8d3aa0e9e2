//! Many tokens in one call: each item is what the call for it alone would answer.

use std::time::{Duration as StdDuration, Instant};

use chrono::Duration;
use grantkeeper::model::credential::CredentialStatus;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Backend, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::Connected;

const UNKNOWN: &str = "crd_01ARZ3NDEKTSV4RRFFQ69G5FAV";

async fn batch(caller: &Backend, credentials: Value) -> anyhow::Result<Answer> {
    caller.post("/v1/tokens", json!({ "credentials": credentials })).await
}

fn without_request_id(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    body
}

#[tokio::test]
async fn every_item_is_what_the_single_call_answers_in_the_order_asked() -> Outcome {
    let it = Connected::usual().await?;
    let connect = |name: &'static str| it.world.connect(json!({ "clients": [it.client], "name": name }));
    let second = connect("second").await?["id"].as_str().unwrap().to_owned();
    let suspended = connect("suspended").await?["id"].as_str().unwrap().to_owned();
    let revoked = connect("revoked").await?["id"].as_str().unwrap().to_owned();
    let foreign = foreign(&it.world).await?;
    let it = it.at(&suspended);
    it.set_status(CredentialStatus::Suspended).await?;
    let it = it.at(&revoked);
    it.set_status(CredentialStatus::Revoking).await?;

    let runner = it.world.runner();
    let asked = [&second, UNKNOWN, &suspended, &second, "nonsense", &foreign, &revoked];
    let answer = batch(&runner, json!(asked)).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let items = answer.body["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["credential"].as_str().unwrap()).collect::<Vec<_>>(), asked);
    for (item, id) in items.iter().zip(asked) {
        let alone = it.world.read_token(id, json!({})).await?;
        if alone.status == StatusCode::OK {
            assert_eq!((&item["token"], item.get("problem")), (&alone.body, None));
        } else {
            assert_eq!(without_request_id(&item["problem"]), without_request_id(&alone.body), "{id}");
            assert_eq!(item["problem"]["status"], json!(alone.status.as_u16()));
            assert_eq!(item["problem"]["request_id"], json!(answer.headers["grantkeeper-request-id"].to_str()?));
            assert!(item.get("token").is_none());
        }
    }
    let statuses: Vec<_> = items.iter().map(|item| item["problem"]["status"].as_u64().unwrap_or(200)).collect();
    assert_eq!(statuses, [200, 404, 423, 200, 404, 404, 409]);
    assert_eq!(without_request_id(&items[1]["problem"]), without_request_id(&items[5]["problem"]));
    Ok(())
}

/// A credential of another project.
async fn foreign(world: &World) -> anyhow::Result<String> {
    let other = world.project(json!({ "policies": { "allow_browser_binding": true } })).await?;
    let platform = world.caller("platform", json!([other])).await?;
    let session =
        json!({ "owner": "ada", "clients": [world.client()], "return_url": grantkeeper_tests::world::RETURN_URL });
    let session = platform.post("/v1/connect-sessions", session).await?;
    let browser = grantkeeper_tests::Browser::new();
    let callback = browser.consent(&browser.start(&session.text("/connect_url"), &[]).await?, "ada").await?;
    let returned = grantkeeper_tests::parameters(&browser.get(callback.as_str()).await?.location()?);
    let completion = json!({ "completion_code": returned["completion_code"], "owner": "ada" });
    Ok(platform.post(&format!("/v1/flows/{}/complete", returned["flow"]), completion).await?.text("/id"))
}

impl Connected {
    fn at(self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self }
    }
}

#[tokio::test]
async fn a_hundred_entries_are_answered_and_more_or_none_are_refused() -> Outcome {
    let it = Connected::usual().await?;
    let mut asked: Vec<String> = (0..97).map(|n| format!("crd_01ARZ3NDEKTSV4RRFFQ69G{n:04}")).collect();
    asked.extend([it.id.clone(), it.id.clone(), it.id.clone()]);
    it.world.advance(Duration::seconds(3600));
    let answer = batch(&it.world.runner(), json!(asked)).await?;
    let items = answer.body["items"].as_array().unwrap();
    let served: Vec<_> = items.iter().filter_map(|item| item["token"]["generation"].as_u64()).collect();
    assert_eq!((items.len(), served, it.refreshes()), (100, vec![2, 2, 2], 1));
    asked.push(UNKNOWN.to_owned());
    for (credentials, code) in [(json!(asked), "too_many"), (json!([]), "empty"), (json!([7]), "invalid_value")] {
        let refused = batch(&it.world.runner(), credentials).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.field_errors()[0].1, code);
    }
    Ok(())
}

#[tokio::test]
async fn who_may_read_one_token_may_read_many_and_nobody_else() -> Outcome {
    let it = Connected::usual().await?;
    let own = json!([it.id]);
    let superuser = it.world.superuser().with("Grantkeeper-Project", it.world.stack.project.as_str());
    assert_eq!(batch(&superuser, own.clone()).await?.code(), "role_not_allowed");
    assert_eq!(batch(&it.world.nobody(), own.clone()).await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(batch(&it.world.platform(), own.clone()).await?.field_errors()[0].1, "user_required");
    let ada = batch(&it.world.platform().acting_for("ada"), own.clone()).await?;
    assert!(ada.body["items"][0]["token"]["access_token"].is_string());
    let grace = batch(&it.world.platform().acting_for("grace"), own.clone()).await?;
    assert_eq!(grace.text("/items/0/problem/code"), "not_the_owner");
    for (member, value, code) in [
        ("min_ttl", json!(-1), "out_of_range"),
        ("ref", json!("a\nb"), "too_long"),
        ("scope", json!("a"), "unknown_field"),
    ] {
        let refused = it.world.runner().post("/v1/tokens", json!({ "credentials": own, member: value })).await?;
        assert_eq!(refused.field_errors(), [(format!("/{member}"), code.to_owned())]);
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_refreshed_in_time_is_a_problem_that_passes() -> Outcome {
    let it = Connected::with(ClientSettings::default(), json!({})).await?;
    let mut ids = vec![it.id.clone()];
    for number in 1..36 {
        let credential = it.world.connect(json!({ "clients": [it.client], "name": format!("n{number}") })).await?;
        ids.push(credential["id"].as_str().unwrap().to_owned());
    }
    it.world.advance(Duration::seconds(3600));
    it.world.change_at_sandbox("app", json!({ "delay_ms": 1200 })).await?;
    let start = Instant::now();
    let answer = batch(&it.world.runner(), json!(ids)).await?;
    assert!(start.elapsed() < StdDuration::from_secs(20), "{:?}", start.elapsed());
    let items = answer.body["items"].as_array().unwrap();
    let served = items.iter().filter(|item| item.get("token").is_some()).count();
    let late: Vec<_> = items.iter().filter_map(|item| item.get("problem")).collect();
    assert!(served >= 8 && !late.is_empty(), "{served} served, {} late", late.len());
    for problem in late {
        assert_eq!((&problem["code"], &problem["status"]), (&json!("refreshing"), &json!(503)), "{problem}");
        assert_eq!(problem["retryable"], json!(true));
    }
    it.world.change_at_sandbox("app", json!({ "delay_ms": 0 })).await?;
    for _ in 0..100 {
        let again = batch(&it.world.runner(), json!(ids)).await?;
        let items = again.body["items"].as_array().unwrap().clone();
        if items.iter().all(|item| item["token"]["generation"] == json!(2)) {
            assert_eq!(it.refreshes(), 36, "each was refreshed once");
            return Ok(());
        }
        tokio::time::sleep(StdDuration::from_millis(100)).await;
    }
    anyhow::bail!("some were never refreshed")
}
