//! What went wrong half-way is picked up where it stopped: received tokens are adopted, a grant in doubt is not given up,
//! a code that was not used is used later, and what cannot be done now waits for its time.

use std::time::{Duration as StdDuration, Instant};

use anyhow::{Context as _, ensure};
use chrono::Duration;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::ids::{ClientId, CredentialId};
use grantkeeper::model::token_set::{SecretInputs, TokenSet};
use grantkeeper::refresh::sweep::Work;
use grantkeeper::secret::Secret;
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Browser, Proxy, Reply, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};
use url::Url;

use super::Outcome;
use super::refresh::{Connected, DEAD_ATTEMPT, warning};

impl Connected {
    pub(super) async fn stored(&self) -> anyhow::Result<Credential> {
        self.world.stored(&self.id).await
    }

    fn work(&self) -> anyhow::Result<Work> {
        let (credential, project) = (CredentialId::parse(&self.id)?, self.world.stack.project.clone());
        Ok(Work { credential, project, generation: 1, apart: false })
    }

    /// A worker takes the lease, refreshes at the provider, stages what it received, and dies before the commit.
    pub(super) async fn die_before_commit(&self) -> anyhow::Result<TokenSet> {
        self.leave_intent().await?;
        let old: Value = serde_json::from_str(&self.world.secret(&self.id).await?)?;
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", old["refresh_token"].as_str().context("a refresh token")?),
            ("client_id", "app"),
            ("client_secret", "right-secret"),
        ];
        let url = format!("{}/token", self.world.sandbox_url());
        let answer: Value = grantkeeper_tests::browser::http().post(url).form(&form).send().await?.json().await?;
        let stored = self.stored().await?;
        let received = |name: &str| answer[name].as_str().map(Secret::from).context("a token");
        let tokens = TokenSet {
            access_token: received("access_token")?,
            refresh_token: Some(received("refresh_token")?),
            token_type: "Bearer".to_owned(),
            expires_at: Some(self.world.stack.broker.now() + Duration::seconds(3600)),
            scopes: vec!["read".to_owned(), "write".to_owned()],
            generation: 2,
            bound_origin: stored.bound_origin.clone(),
            extra: serde_json::Map::new(),
            inputs: SecretInputs::new(),
        };
        self.world.vault().stage(&stored.place(2), DEAD_ATTEMPT, &tokens.to_document()).await?;
        Ok(tokens)
    }
}

#[tokio::test]
async fn what_a_dead_worker_received_is_adopted_by_whoever_comes_next() -> Outcome {
    for way in ["read", "refresh", "tick"] {
        let it = Connected::usual().await?;
        it.world.advance(Duration::seconds(3590));
        let staged = it.die_before_commit().await?;
        assert_eq!(it.token(json!({})).await?.body["generation"], json!(1), "leased and not committed: not shown");
        it.world.advance(Duration::seconds(26));
        match way {
            "read" => drop(it.token(json!({})).await?),
            "refresh" => assert_eq!(it.refresh().await?.body["generation"], json!(2)),
            _ => assert_eq!(it.world.stack.broker.tick().await?, 1),
        }
        it.soon(2).await?;
        let served = it.token(json!({})).await?;
        assert_eq!((served.status, &served.body["generation"], warning(&served)), (StatusCode::OK, &json!(2), ""));
        assert!(staged.access_token.matches(served.text("/access_token").as_bytes()), "{way}");
        assert!(it.works(&served).await?);
        assert_eq!(it.refreshes(), 1, "{way}: nobody but the dead worker asked the provider");
        let stored = it.stored().await?;
        assert_eq!((stored.lease, stored.intent, stored.cur.as_str()), (None, None, DEAD_ATTEMPT), "{way}");

        assert_eq!(it.refresh().await?.body["generation"], json!(3), "{way}");
        // The provider revokes the grant when a spent refresh token comes back: this was the one that was staged.
        let presented = it.presented();
        assert!(presented.len() == 2 && presented[0] != presented[1], "{way}: {presented:?}");
        let newest = it.token(json!({})).await?;
        assert!(it.works(&newest).await?, "{way}");
    }
    Ok(())
}

#[tokio::test]
async fn a_grant_in_doubt_is_tried_as_often_as_planned_before_consent_is_asked() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    it.leave_intent().await?;
    proxy.always(Some(Reply::Instead(400, json!({ "error": "invalid_grant" }))));
    it.world.advance(Duration::seconds(26));
    // The lease horizon, then one and five minutes.
    for (asked, pause) in [(1, 25), (2, 60), (3, 300)] {
        it.world.advance(Duration::seconds(1));
        for (caller, requests) in [("first", 1), ("within the backoff", 0)] {
            let refused = it.refresh().await?;
            let told = (refused.status, refused.code());
            assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"), "{asked}, {caller}");
            assert_eq!(proxy.take_calls().len(), requests, "{asked}, {caller}");
            assert_eq!(it.metadata().await?.text("/status"), "refresh_failing", "{asked}, {caller}");
        }
        it.world.advance(Duration::seconds(pause));
    }
    it.world.advance(Duration::seconds(1));
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "reauthorization_required"));
    assert_eq!((refused.text("/reason"), proxy.take_calls().len()), ("invalid_grant".into(), 1));
    assert_eq!(it.metadata().await?.text("/status"), "reauthorization_required");
    Ok(())
}

#[tokio::test]
async fn a_retry_after_of_ages_puts_off_for_an_hour_at_most() -> Outcome {
    for ages in ["10000000000000", "4000000000", "99999999999999999999999999"] {
        let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
        proxy.always(Some(Reply::Later(429, ages)));
        it.world.advance(Duration::seconds(3601));
        for requests in [1, 0] {
            let refused = it.token(json!({})).await?;
            assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"));
            let after: i64 = refused.headers["retry-after"].to_str()?.parse()?;
            assert!((1..=3600).contains(&after), "{ages}: {after}");
            assert_eq!(proxy.take_calls().len(), requests, "{ages}");
        }
        let hour = (it.world.stack.broker.now() + Duration::hours(1)).timestamp_millis();
        let until = it.stored().await?.backoff_until.context("a backoff")?;
        assert!(until <= hour, "{ages}: {until}");

        proxy.always(None);
        it.world.advance(Duration::seconds(3601));
        let recovered = it.token(json!({})).await?;
        assert_eq!((recovered.status, warning(&recovered)), (StatusCode::OK, ""), "{ages}: {}", recovered.body);
        assert_eq!(it.metadata().await?.text("/status"), "active", "{ages}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_endpoint_that_goes_and_comes_back_costs_no_consent() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    let path = format!("/v1/clients/{}", it.client);
    let draft = it.world.superuser().patch(&path, json!({ "token_endpoint": null })).await?;
    assert_eq!((draft.status, draft.text("/status")), (StatusCode::OK, "draft".into()), "{}", draft.body);
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "client_not_active"));
    it.world.advance(Duration::seconds(2881));
    it.world.stack.broker.work(&it.work()?).await?;
    assert_eq!((it.metadata().await?.text("/status"), proxy.take_calls().len()), ("active".into(), 0));

    let back = json!({ "token_endpoint": format!("{}/token", proxy.url), "client_secret": "right-secret" });
    assert_eq!(it.world.superuser().patch(&path, back).await?.text("/status"), "active");
    let refreshed = it.refresh().await?;
    assert_eq!((refreshed.status, &refreshed.body["generation"]), (StatusCode::OK, &json!(2)), "{}", refreshed.body);
    Ok(())
}

#[tokio::test]
async fn a_credential_whose_client_was_deleted_says_so_and_is_no_work_any_more() -> Outcome {
    let it = Connected::usual().await?;
    let deleted = it.world.superuser().delete(&format!("/v1/clients/{}", it.client)).await?;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.body);
    for refused in [it.token(json!({})).await?, it.refresh().await?] {
        assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "reauthorization_required"));
        assert_eq!(refused.text("/reason"), "client_deleted", "{}", refused.body);
    }
    it.world.advance(Duration::seconds(2881));
    let broker = &it.world.stack.broker;
    assert_eq!(broker.tick().await?, 1);
    broker.work(&it.work()?).await?;
    for _ in 0..100 {
        if it.metadata().await?.text("/status") == "reauthorization_required" {
            break;
        }
        tokio::time::sleep(StdDuration::from_millis(50)).await;
    }
    let metadata = it.metadata().await?;
    assert_eq!(metadata.text("/status_reason"), "client_deleted", "{}", metadata.body);
    it.world.advance(Duration::hours(3));
    assert_eq!((broker.tick().await?, it.refreshes()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn work_for_a_disabled_client_is_put_off_and_done_when_it_is_enabled() -> Outcome {
    let it = Connected::usual().await?;
    let (path, broker) = (format!("/v1/clients/{}", it.client), &it.world.stack.broker);
    assert_eq!(it.world.superuser().patch(&path, json!({ "status": "disabled" })).await?.status, StatusCode::OK);
    it.world.advance(Duration::seconds(2881));
    for _ in 0..2 {
        broker.work(&it.work()?).await?;
        assert_eq!(broker.tick().await?, 0, "it is put off, the longer the longer it waits");
        let metadata = it.metadata().await?;
        assert_eq!((metadata.text("/status"), it.refreshes()), ("active".into(), 0), "{}", metadata.body);
        it.world.advance(Duration::minutes(15));
    }
    assert_eq!(it.world.superuser().patch(&path, json!({ "status": "active" })).await?.status, StatusCode::OK);
    assert_eq!(broker.tick().await?, 1);
    it.soon(2).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waited_for_a_refresh_that_was_refused_is_told_so_soon() -> Outcome {
    let it = Connected::usual().await?;
    it.world.advance(Duration::seconds(3601));
    it.world.withdraw("ada").await?;
    it.world.change_at_sandbox("app", json!({ "delay_ms": 4000 })).await?;
    let begun = Instant::now();
    let answers = tokio::try_join!(it.token(json!({})), it.token(json!({})), it.refresh())?;
    for refused in [answers.0, answers.1, answers.2] {
        assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "reauthorization_required"));
        assert_eq!(refused.text("/reason"), "invalid_grant");
    }
    assert!(begun.elapsed() < StdDuration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(it.refreshes(), 1);
    Ok(())
}

/// A flow that came back to the return URL and is about to be completed.
async fn returned(world: &World, session: Value) -> anyhow::Result<Url> {
    let browser = Browser::new();
    let callback = world.to_callback(&browser, session).await?;
    let page = browser.get(callback.as_str()).await?;
    ensure!(page.status == StatusCode::SEE_OTHER, "{} {}", page.status, page.text);
    page.location()
}

async fn flow_status(world: &World, location: &Url) -> anyhow::Result<String> {
    let flow = world.platform().get(&format!("/v1/flows/{}", parameters(location)["flow"])).await?;
    Ok(flow.text("/status"))
}

#[tokio::test]
async fn a_code_waits_while_the_keys_for_its_id_token_cannot_be_read() -> Outcome {
    let proxy = Proxy::to("http://127.0.0.1:1").await?;
    let origins = vec![proxy.url.clone()];
    let world =
        World::with(|options| grantkeeper_local::stack::Options { insecure_origins: origins, ..options }).await?;
    proxy.point_to(world.sandbox_url());
    // Only the keys come through the proxy; the issuer stays what it is.
    let mut client = world.store().find_client(&ClientId::parse(&world.client())?).await?.context("the client")?;
    client.jwks_uri = Some(format!("{}/jwks", proxy.url));
    client.revision += 1;
    world.store().update_client(&client).await?;

    let location = returned(&world, json!({})).await?;
    for broken in [Reply::Instead(500, json!({})), Reply::Instead(200, json!("<html>maintenance</html>"))] {
        proxy.script([broken]);
        let failed = world.complete(&location, "ada").await?;
        assert!(failed.status.is_server_error(), "{} {}", failed.status, failed.body);
        assert_eq!(proxy.take_calls().len(), 1);
        assert_eq!((flow_status(&world, &location).await?.as_str(), world.token_requests()), ("parked", vec![]));
    }
    let completed = world.complete(&location, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    assert_eq!((world.token_requests().len(), proxy.take_calls().len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_code_that_the_provider_wants_later_is_sent_again_later() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    for (status, name) in [(429, "after 429"), (503, "after 503")] {
        let session = json!({ "clients": [it.client], "scopes": ["read"], "name": name });
        let location = returned(&it.world, session).await?;
        proxy.script([Reply::Later(status, "7")]);
        let later = it.world.complete(&location, "ada").await?;
        assert_eq!((later.status, later.code()), (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"), "{status}");
        assert_eq!(later.headers["retry-after"], "7", "{status}");
        assert_eq!(flow_status(&it.world, &location).await?, "parked", "{status}");
        let completed = it.world.complete(&location, "ada").await?;
        assert_eq!(completed.status, StatusCode::CREATED, "{status} {}", completed.body);
        let bodies: Vec<_> = proxy.take_calls().into_iter().map(|call| call.body).collect();
        assert!(bodies.len() == 2 && bodies[0] == bodies[1] && bodies[0].contains("code="), "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn a_life_as_long_as_any_token_has_costs_one_refresh_at_most() -> Outcome {
    let settings = ClientSettings { access_token_seconds: Some(600), ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    for seconds in [1, 1, 62, 62] {
        it.world.advance(Duration::seconds(seconds));
        assert_eq!(it.token(json!({ "min_ttl": 600 })).await?.status, StatusCode::OK);
    }
    let short = it.token(json!({ "min_ttl": 600 })).await?;
    assert_eq!((&short.body["generation"], warning(&short)), (&json!(2), "min_ttl_unreachable"));
    assert_eq!(it.refreshes(), 1);
    Ok(())
}
