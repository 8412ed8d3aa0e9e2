//! `complete`: the backend vouches for its person, and only then is the code exchanged.

use anyhow::Context as _;
use chrono::Duration;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::json;

use super::Outcome;

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
        (world.nobody(), StatusCode::UNAUTHORIZED),
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
async fn a_link_whose_code_was_never_completed_says_that_it_is_over() -> Outcome {
    let world = World::new().await?;
    let browser = Browser::new();
    let session = world.open_session(json!({})).await?;
    let link = session.text("/connect_url");
    let callback = browser.consent(&browser.start(&link, &[]).await?, "ada").await?;
    assert_eq!(browser.get(callback.as_str()).await?.status, StatusCode::SEE_OTHER);
    assert_eq!(browser.get(&link).await?.code(), "already_used", "the backend may still complete it");
    world.advance(Duration::seconds(601));
    let over = browser.get(&link).await?;
    assert_eq!((over.status, over.code()), (StatusCode::GONE, "expired_link"));
    let path = format!("/v1/connect-sessions/{}", session.text("/id"));
    assert_eq!(world.platform().get(&path).await?.text("/status"), "expired");
    Ok(())
}
