//! Suspension: the kill switch of an owner and of a superuser. Nothing is served, nothing is refreshed, nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration as StdDuration;

use chrono::Duration;
use grantkeeper_sandbox::{ClientSettings, ReusePenalty};
use grantkeeper_tests::Reply;
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::change::assert_refused;
use super::refresh::Connected;

impl Connected {
    /// What is due is done by the queue, beside the test; this waits until it shows.
    pub(super) async fn until(&self, status: &str) -> Outcome {
        for _ in 0..200 {
            if self.metadata().await?.text("/status") == status {
                return Ok(());
            }
            tokio::time::sleep(StdDuration::from_millis(25)).await;
        }
        anyhow::bail!("not {status}: {}", self.metadata().await?.body)
    }

    async fn token_of_owner(&self) -> anyhow::Result<grantkeeper_tests::Answer> {
        self.ada().post(&format!("{}/token", self.path()), json!({})).await
    }
}

#[tokio::test]
async fn a_suspended_credential_gives_no_token_and_is_not_refreshed_until_that_is_lifted() -> Outcome {
    let it = Connected::usual().await?;
    let suspended = it.patch(json!({ "suspended": true })).await?;
    assert_eq!(
        (suspended.status, suspended.text("/status")),
        (StatusCode::OK, "suspended".into()),
        "{}",
        suspended.body
    );
    assert_eq!(suspended.text("/status_reason"), "suspended_by_owner");
    assert_eq!(it.patch(json!({ "suspended": true })).await?.body, suspended.body, "once is enough");
    it.world.advance(Duration::seconds(2881));
    for refused in [it.token(json!({})).await?, it.token_of_owner().await?, it.refresh().await?] {
        assert_refused(&refused, StatusCode::LOCKED, "suspended");
        assert_eq!((&refused.body["retryable"], refused.text("/who_can_act")), (&json!(false), "owner".into()));
    }
    assert_eq!((it.world.stack.broker.tick().await?, it.refreshes()), (0, 0));
    assert_eq!(it.patch(json!({ "name": "still named" })).await?.text("/status"), "suspended");

    let lifted = it.patch(json!({ "suspended": false })).await?;
    assert_eq!((lifted.text("/status"), lifted.text("/status_reason")), ("active".into(), String::new()));
    assert_eq!(it.token(json!({})).await?.status, StatusCode::OK);
    it.world.stack.broker.tick().await?;
    it.soon(2).await?;
    assert_eq!(it.patch(json!({ "suspended": false })).await?.text("/status"), "active");
    Ok(())
}

#[tokio::test]
async fn what_a_superuser_suspends_only_a_superuser_lifts() -> Outcome {
    let it = Connected::usual().await?;
    // Also where the owner did it before.
    for owner_first in [false, true] {
        if owner_first {
            assert_eq!(it.patch(json!({ "suspended": true })).await?.text("/status_reason"), "suspended_by_owner");
        }
        let suspended = it.root().patch(&it.path(), json!({ "suspended": true })).await?;
        assert_eq!(
            (suspended.status, suspended.text("/status_reason")),
            (StatusCode::OK, "suspended_by_superuser".into())
        );
        for refused in [it.token(json!({})).await?, it.token_of_owner().await?] {
            assert_refused(&refused, StatusCode::LOCKED, "suspended");
            assert_eq!(refused.text("/reason"), "suspended_by_superuser");
            assert_eq!(refused.text("/who_can_act"), "superuser");
        }
        assert_eq!(it.patch(json!({ "suspended": true })).await?.text("/status_reason"), "suspended_by_superuser");
        let refused = it.patch(json!({ "suspended": false })).await?;
        assert_refused(&refused, StatusCode::FORBIDDEN, "suspended_by_superuser");
        let lifted = it.root().patch(&it.path(), json!({ "suspended": false })).await?;
        assert_eq!((lifted.status, lifted.text("/status")), (StatusCode::OK, "active".into()), "{}", lifted.body);
        assert_eq!(it.token(json!({})).await?.status, StatusCode::OK);
    }
    // What the owner suspended, a superuser may lift.
    it.patch(json!({ "suspended": true })).await?;
    assert_eq!(it.root().patch(&it.path(), json!({ "suspended": false })).await?.text("/status"), "active");
    Ok(())
}

#[tokio::test]
async fn a_lifted_suspension_leads_back_to_where_it_was() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    // A refresh that fails for now.
    proxy.script([Reply::Instead(500, json!({})), Reply::Instead(500, json!({}))]);
    assert_eq!(it.refresh().await?.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(it.metadata().await?.text("/status"), "refresh_failing");
    it.patch(json!({ "suspended": true })).await?;
    it.world.advance(Duration::seconds(30));
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    it.patch(json!({ "suspended": false })).await?;
    it.world.stack.broker.tick().await?;
    it.soon(2).await?;
    assert_eq!(it.metadata().await?.text("/status"), "active");

    // A grant that is dead stays so, and why is not forgotten.
    it.world.withdraw("ada").await?;
    assert_refused(&it.refresh().await?, StatusCode::CONFLICT, "reauthorization_required");
    assert_eq!(it.patch(json!({ "suspended": true })).await?.text("/status_reason"), "suspended_by_owner");
    assert_eq!(it.root().patch(&it.path(), json!({ "suspended": true })).await?.text("/status"), "suspended");
    let lifted = it.root().patch(&it.path(), json!({ "suspended": false })).await?;
    assert_eq!(
        (lifted.text("/status"), lifted.text("/status_reason")),
        ("reauthorization_required".into(), "invalid_grant".into())
    );
    it.world.advance(Duration::hours(1));
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_under_way_is_not_committed_and_what_it_brought_is_adopted_when_the_suspension_is_lifted() -> Outcome
{
    let settings = ClientSettings { grace_seconds: 0, reuse_penalty: ReusePenalty::Family, ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    it.world.change_at_sandbox("app", json!({ "delay_ms": 1500 })).await?;
    let (refreshed, suspended) = tokio::join!(it.refresh(), async {
        tokio::time::sleep(StdDuration::from_millis(700)).await;
        it.patch(json!({ "suspended": true })).await
    });
    assert_refused(&refreshed?, StatusCode::LOCKED, "suspended");
    assert_eq!(suspended?.text("/status"), "suspended");
    assert_eq!((&it.metadata().await?.body["generation"], it.refreshes()), (&json!(1), 1));
    it.world.change_at_sandbox("app", json!({ "delay_ms": 0 })).await?;
    it.world.advance(Duration::days(1));
    assert_eq!(it.world.stack.broker.tick().await?, 0);

    assert_eq!(it.patch(json!({ "suspended": false })).await?.text("/status"), "active");
    it.world.stack.broker.tick().await?;
    it.soon(2).await?;
    assert_eq!(it.refreshes(), 1, "the provider was not asked again: it would revoke the family");
    // A day is over, so the adopted access token is, too; its refresh token is what counts.
    let token = it.token(json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(3)), "{}", token.body);
    assert!(it.works(&token).await?);
    assert_eq!(it.presented().into_iter().collect::<BTreeSet<_>>().len(), 2);
    Ok(())
}
