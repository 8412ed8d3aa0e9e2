//! Tokens stay fresh: a refresh happens once, loses nothing, and its failure costs no token that still works.

use std::collections::BTreeSet;
use std::time::Duration as StdDuration;

use chrono::Duration;
use grantkeeper::model::ids::CredentialId;
use grantkeeper::refresh::sweep::Work;
use grantkeeper::store::{AcquireRefresh, Attempted, Store as _};
use grantkeeper_sandbox::{ClientSettings, RefreshTokenMode, ReusePenalty};
use grantkeeper_tests::{Answer, Proxy, Reply, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;

/// A credential at a client whose behaviour the test sets.
pub(super) struct Connected {
    pub(super) world: World,
    pub(super) id: String,
    pub(super) client: String,
}

impl Connected {
    pub(super) async fn with(settings: ClientSettings, patch: Value) -> anyhow::Result<Self> {
        Self::inside(World::new().await?, settings, patch).await
    }

    pub(super) async fn inside(world: World, settings: ClientSettings, patch: Value) -> anyhow::Result<Self> {
        let settings =
            ClientSettings { client_id: "app".into(), client_secret: Some("right-secret".into()), ..settings };
        let client = world.register(settings, patch).await?;
        let credential = world.connect(json!({ "clients": [client], "scopes": ["read", "write"] })).await?;
        let id = credential["id"].as_str().unwrap().to_owned();
        world.sandbox().clear_log();
        Ok(Self { world, id, client })
    }

    pub(super) async fn usual() -> anyhow::Result<Self> {
        Self::with(ClientSettings::default(), json!({})).await
    }

    /// A client whose token endpoint is a proxy, registered by its endpoints.
    pub(super) async fn behind(settings: ClientSettings) -> anyhow::Result<(Self, Proxy)> {
        let proxy = Proxy::to("http://127.0.0.1:1").await?;
        let origins = vec![proxy.url.clone()];
        let world =
            World::with(|options| grantkeeper_local::stack::Options { insecure_origins: origins, ..options }).await?;
        proxy.point_to(world.sandbox_url());
        let patch = json!({
            "issuer": null,
            "authorization_endpoint": format!("{}/authorize", world.sandbox_url()),
            "token_endpoint": format!("{}/token", proxy.url),
        });
        let connected = Self::inside(world, settings, patch).await?;
        proxy.take_calls();
        Ok((connected, proxy))
    }

    pub(super) async fn token(&self, body: Value) -> anyhow::Result<Answer> {
        self.world.read_token(&self.id, body).await
    }

    pub(super) async fn refresh(&self) -> anyhow::Result<Answer> {
        self.world.platform().post(&format!("/v1/credentials/{}/refresh", self.id), json!({})).await
    }

    pub(super) async fn metadata(&self) -> anyhow::Result<Answer> {
        self.world.platform().get(&format!("/v1/credentials/{}", self.id)).await
    }

    /// The queue works beside the test; what it does is there soon.
    pub(super) async fn soon(&self, generation: u64) -> anyhow::Result<Answer> {
        for _ in 0..100 {
            let metadata = self.metadata().await?;
            if metadata.body["generation"] == json!(generation) {
                return Ok(metadata);
            }
            tokio::time::sleep(StdDuration::from_millis(50)).await;
        }
        anyhow::bail!("generation {generation} did not come: {}", self.metadata().await?.body)
    }

    /// Works for the API of the provider.
    pub(super) async fn works(&self, token: &Answer) -> anyhow::Result<bool> {
        Ok(self.world.call_api(&token.text("/access_token")).await?.status == StatusCode::OK)
    }

    pub(super) fn refreshes(&self) -> usize {
        self.world.requests_of("refresh_token").len()
    }

    /// The refresh tokens that were presented, in order.
    pub(super) fn presented(&self) -> Vec<String> {
        self.world.requests_of("refresh_token").into_iter().filter_map(|entry| entry.refresh_token).collect()
    }
}

pub(super) fn warning(token: &Answer) -> &str {
    token.body["warning"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_expired_token_is_refreshed_by_the_read() -> Outcome {
    let it = Connected::usual().await?;
    let old = it.token(json!({})).await?;
    it.world.advance(Duration::seconds(3600));
    assert!(!it.works(&old).await?);
    let new = it.token(json!({})).await?;
    assert_eq!((new.status, &new.body["generation"], warning(&new)), (StatusCode::OK, &json!(2), ""));
    assert_ne!(new.text("/access_token"), old.text("/access_token"));
    assert!(it.works(&new).await?);
    let metadata = it.metadata().await?;
    assert_eq!(metadata.body["generation"], json!(2));
    assert!(metadata.body["last_refreshed_at"].is_string());
    assert_eq!(it.refreshes(), 1);
    Ok(())
}

#[tokio::test]
async fn a_token_in_its_margin_is_served_at_once_and_refreshed_soon() -> Outcome {
    let it = Connected::usual().await?;
    let old = it.token(json!({})).await?;
    it.world.advance(Duration::seconds(2879));
    it.token(json!({})).await?;
    it.world.advance(Duration::seconds(2));
    let served = it.token(json!({})).await?;
    assert_eq!((served.text("/access_token"), warning(&served)), (old.text("/access_token"), ""));
    it.soon(2).await?;
    assert_eq!(it.refreshes(), 1);
    assert_eq!(it.token(json!({})).await?.body["generation"], json!(2));
    Ok(())
}

#[tokio::test]
async fn the_tick_refreshes_what_is_due_and_nothing_else() -> Outcome {
    let it = Connected::usual().await?;
    let fresh = ClientSettings {
        client_id: "slow".into(),
        client_secret: Some("s".into()),
        access_token_seconds: Some(36_000),
        ..Default::default()
    };
    let slow = it.world.register(fresh, json!({})).await?;
    let other =
        it.world.connect(json!({ "clients": [slow], "name": "other" })).await?["id"].as_str().unwrap().to_owned();
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    it.world.advance(Duration::seconds(2881));
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    it.soon(2).await?;
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    let other = it.world.platform().get(&format!("/v1/credentials/{other}")).await?;
    assert_eq!((it.refreshes(), &other.body["generation"]), (1, &json!(1)));
    Ok(())
}

#[tokio::test]
async fn work_that_comes_more_than_once_is_done_once() -> Outcome {
    let it = Connected::usual().await?;
    let work = Work {
        credential: CredentialId::parse(&it.id)?,
        project: it.world.stack.project.clone(),
        generation: 1,
        apart: false,
    };
    let broker = &it.world.stack.broker;
    broker.work(&work).await?;
    assert_eq!(it.refreshes(), 0, "not due yet");
    it.world.advance(Duration::seconds(2881));
    broker.tick().await?;
    broker.tick().await?;
    let (one, two, three) = tokio::join!(broker.work(&work), broker.work(&work), broker.work(&work));
    one.and(two).and(three)?;
    it.soon(2).await?;
    tokio::time::sleep(StdDuration::from_millis(300)).await;
    assert_eq!((it.refreshes(), &it.metadata().await?.body["generation"]), (1, &json!(2)));
    Ok(())
}

#[tokio::test]
async fn an_answer_without_refresh_token_and_scope_keeps_the_old_ones() -> Outcome {
    let settings = ClientSettings { omit_refresh_token_on_refresh: true, omit_scope: true, ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    for generation in [2, 3] {
        let refreshed = it.refresh().await?;
        assert_eq!((refreshed.status, &refreshed.body["generation"]), (StatusCode::OK, &json!(generation)));
        assert_eq!(refreshed.body["granted_scopes"], json!(["read", "write"]));
    }
    let presented = it.presented();
    assert!(presented.len() == 2 && presented[0] == presented[1], "{presented:?}");
    Ok(())
}

#[tokio::test]
async fn a_blank_or_null_refresh_token_is_none() -> Outcome {
    let settings = ClientSettings { refresh_token: RefreshTokenMode::Static, ..Default::default() };
    let (it, proxy) = Connected::behind(settings).await?;
    for blank in [json!(""), json!(null)] {
        let answer =
            json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 3600, "refresh_token": blank });
        proxy.script([Reply::Lose(200, answer)]);
        let refreshed = it.refresh().await?;
        assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.body);
        assert_eq!(it.token(json!({})).await?.text("/access_token"), "at");
    }
    assert_eq!(it.refresh().await?.status, StatusCode::OK);
    let presented: BTreeSet<_> = it.presented().into_iter().collect();
    assert_eq!((it.refreshes(), presented.len()), (3, 1));
    Ok(())
}

#[tokio::test]
async fn scopes_that_shrink_are_recorded() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    assert_eq!(it.metadata().await?.body["granted_scopes"], json!(["read", "write"]));
    let answer = json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 60, "scope": "read" });
    proxy.script([Reply::Instead(200, answer)]);
    let refreshed = it.refresh().await?;
    assert_eq!(refreshed.body["granted_scopes"], json!(["read"]));
    assert_eq!(refreshed.body["requested_scopes"], json!(["read", "write"]));
    assert_eq!(it.token(json!({})).await?.body["scopes"], json!(["read"]));
    Ok(())
}

#[tokio::test]
async fn ten_refreshes_at_the_strictest_provider_present_ten_refresh_tokens() -> Outcome {
    let settings = ClientSettings { grace_seconds: 0, reuse_penalty: ReusePenalty::Family, ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    for generation in 2..=11 {
        let refreshed = it.refresh().await?;
        assert_eq!((refreshed.status, &refreshed.body["generation"]), (StatusCode::OK, &json!(generation)));
    }
    assert_eq!(it.presented().into_iter().collect::<BTreeSet<_>>().len(), 10);
    let token = it.token(json!({})).await?;
    assert!(it.works(&token).await?);
    Ok(())
}

#[tokio::test]
async fn a_caller_who_needs_a_longer_life_waits_for_one_refresh() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(1000));
    let enough = it.token(json!({ "min_ttl": 2600 })).await?;
    assert_eq!((&enough.body["generation"], it.refreshes()), (&json!(1), 0));
    let new = it.token(json!({ "min_ttl": 2601 })).await?;
    assert_eq!((new.status, &new.body["generation"], warning(&new)), (StatusCode::OK, &json!(2), ""));
    assert_eq!(it.refreshes(), 1);
    Ok(())
}

#[tokio::test]
async fn a_life_that_no_token_has_costs_one_refresh_and_no_more() -> Outcome {
    let settings = ClientSettings { access_token_seconds: Some(600), ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    for _ in 0..3 {
        let short = it.token(json!({ "min_ttl": 3600 })).await?;
        assert_eq!((short.status, &short.body["generation"]), (StatusCode::OK, &json!(2)));
        assert_eq!(warning(&short), "min_ttl_unreachable");
    }
    assert_eq!(it.refreshes(), 1);
    Ok(())
}

/// The attempt that a dead worker leaves behind.
pub(super) const DEAD_ATTEMPT: &str = "00000000-0000-4000-8000-000000000000";

impl Connected {
    /// What a worker leaves behind that died after it took the lease.
    pub(super) async fn leave_intent(&self) -> Outcome {
        let (store, project, id) = (self.world.store(), &self.world.stack.project, CredentialId::parse(&self.id)?);
        let credential = store.find_credential(project, &id).await?.unwrap();
        let now = self.world.stack.broker.now();
        let acquire = AcquireRefresh {
            generation: credential.generation,
            owner: "a worker that died".to_owned(),
            attempt: DEAD_ATTEMPT.to_owned(),
            rt_fp: "fingerprint".to_owned(),
            now,
            until: now + Duration::seconds(25),
            take_over: None,
            tried: Vec::new(),
            due_before: credential.due_at,
        };
        assert!(matches!(store.acquire_refresh(project, &id, &acquire).await?, Attempted::Applied(_)));
        Ok(())
    }
}

#[tokio::test]
async fn the_intent_of_a_dead_worker_is_taken_over_when_its_lease_has_lapsed() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(2881));
    it.leave_intent().await?;
    let broker = &it.world.stack.broker;
    let served = it.token(json!({})).await?;
    assert_eq!((served.status, it.refreshes()), (StatusCode::OK, 0), "alive and leased: served, not refreshed");
    it.world.advance(Duration::seconds(26));
    assert_eq!(broker.tick().await?, 1);
    it.soon(2).await?;
    let stored =
        it.world.store().find_credential(&it.world.stack.project, &CredentialId::parse(&it.id)?).await?.unwrap();
    assert_eq!((stored.fence, stored.lease, stored.intent), (2, None, None));
    assert_eq!(it.refreshes(), 1);
    Ok(())
}

#[tokio::test]
async fn a_read_of_an_expired_token_takes_over_from_a_dead_worker() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(3590));
    it.leave_intent().await?;
    it.world.advance(Duration::seconds(26));
    let token = it.token(json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
    assert!(it.works(&token).await?);
    Ok(())
}
