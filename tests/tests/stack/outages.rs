//! A refresh that fails: who has to act, and what is served meanwhile.

use std::time::Duration as StdDuration;

use chrono::Duration;
use grantkeeper_sandbox::{ClientSettings, RefreshTokenMode, ReusePenalty};
use grantkeeper_tests::{Proxy, Reply, World};
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::refresh::{Connected, warning};

#[tokio::test]
async fn a_withdrawn_grant_asks_for_consent_but_its_token_is_served_while_it_lives() -> Outcome {
    let it = Connected::usual().await?;
    let project = format!("/v1/projects/{}", it.world.stack.project);
    let page = json!({ "reauthorize_url": "https://app.example/again/{credential}?x=1" });
    assert_eq!(it.world.superuser().patch(&project, page).await?.status, StatusCode::OK);
    it.world.withdraw("ada").await?;
    let expected = format!("https://app.example/again/{}?x=1", it.id);
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "reauthorization_required"));
    assert_eq!((refused.text("/reauthorize_url"), refused.text("/reason")), (expected.clone(), "invalid_grant".into()));
    assert_eq!(refused.text("/who_can_act"), "owner");
    let metadata = it.metadata().await?;
    assert_eq!(metadata.text("/status"), "reauthorization_required");
    assert_eq!(metadata.text("/status_reason"), "invalid_grant");
    let served = it.token(json!({})).await?;
    assert_eq!((served.status, warning(&served)), (StatusCode::OK, "reauthorization_required"));

    it.world.advance(Duration::seconds(3600));
    let dead = it.token(json!({})).await?;
    assert_eq!((dead.status, dead.code()), (StatusCode::CONFLICT, "reauthorization_required"));
    assert_eq!((dead.text("/reauthorize_url"), &dead.body["retryable"]), (expected, &json!(false)));
    assert_eq!(it.world.stack.broker.tick().await?, 0);
    assert_eq!(it.refreshes(), 1, "nobody asks the provider again");
    Ok(())
}

#[tokio::test]
async fn without_a_page_for_it_reauthorization_has_no_url() -> Outcome {
    let it = Connected::usual().await?;
    it.world.withdraw("ada").await?;
    it.world.advance(Duration::seconds(3601));
    let dead = it.token(json!({})).await?;
    assert_eq!((dead.status, dead.code()), (StatusCode::CONFLICT, "reauthorization_required"));
    assert_eq!(dead.body.get("reauthorize_url"), None);
    Ok(())
}

#[tokio::test]
async fn a_refused_client_is_the_superusers_matter_and_leaves_the_credential_alone() -> Outcome {
    let it = Connected::usual().await?;
    let before = it.metadata().await?.body;
    it.world.change_at_sandbox("app", json!({ "client_secret": "rotated-secret" })).await?;
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::BAD_GATEWAY, "client_rejected"));
    assert_eq!(
        (refused.text("/provider_error"), refused.text("/who_can_act")),
        ("invalid_client".into(), "superuser".into())
    );
    assert!(refused.text("/advice/0").contains("client_secret"), "{}", refused.body);
    assert_eq!(it.metadata().await?.body, before);
    assert_eq!(it.token(json!({})).await?.status, StatusCode::OK);

    // Asked for a longer life, the caller gets the old token and is told that the refresh failed.
    it.world.advance(Duration::seconds(600));
    let served = it.token(json!({ "min_ttl": 3500 })).await?;
    assert_eq!(
        (served.status, &served.body["generation"], warning(&served)),
        (StatusCode::OK, &json!(1), "refresh_failed")
    );

    it.world.advance(Duration::seconds(3000));
    let expired = it.token(json!({})).await?;
    assert_eq!((expired.status, expired.code()), (StatusCode::BAD_GATEWAY, "client_rejected"), "{}", expired.body);
    let (asked, again) = (it.refreshes(), it.token(json!({})).await?);
    assert_eq!((again.status, again.code()), (StatusCode::BAD_GATEWAY, "client_rejected"), "also without asking again");
    assert_eq!(again.text("/provider_error"), "invalid_client");
    assert_eq!(it.refreshes(), asked, "the backoff is kept");
    let patch = json!({ "client_secret": "rotated-secret" });
    let path = format!("/v1/clients/{}", it.client);
    assert_eq!(it.world.superuser().patch(&path, patch).await?.status, StatusCode::OK);
    let recovered = it.refresh().await?;
    assert_eq!((recovered.status, &recovered.body["generation"]), (StatusCode::OK, &json!(2)));
    let token = it.token(json!({})).await?;
    assert!(it.works(&token).await?);
    Ok(())
}

#[tokio::test]
async fn an_outage_of_the_provider_is_a_warning_while_the_token_lives() -> Outcome {
    for (status, body) in [
        (500, json!({})),
        (503, json!({ "error": "temporarily_unavailable" })),
        (429, json!({})),
        (200, json!("<html>maintenance</html>")),
        (200, json!({ "ok": false })),
        (200, json!({ "access_token": "", "token_type": "Bearer" })),
    ] {
        let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
        let old = it.token(json!({})).await?;
        proxy.always(Some(Reply::Instead(status, body.clone())));
        let refused = it.refresh().await?;
        assert!(refused.status.is_server_error(), "{status} {body}: {}", refused.body);
        let metadata = it.metadata().await?;
        assert_eq!(metadata.text("/status"), "refresh_failing", "{status} {body}");
        let served = it.token(json!({})).await?;
        assert_eq!((served.text("/access_token"), warning(&served)), (old.text("/access_token"), "refresh_failing"));

        // The provider is back; nothing was lost.
        proxy.always(None);
        it.world.advance(Duration::seconds(3601));
        let recovered = it.token(json!({})).await?;
        assert_eq!((recovered.status, warning(&recovered)), (StatusCode::OK, ""), "{status} {body} {}", recovered.body);
        assert_eq!(it.metadata().await?.text("/status"), "active");
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_token_during_an_outage_is_retryable_and_names_the_provider() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    proxy.always(Some(Reply::Instead(500, json!({}))));
    it.world.advance(Duration::seconds(3601));
    let refused = it.token(json!({})).await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"));
    assert_eq!((refused.text("/who_can_act"), &refused.body["retryable"]), ("provider".into(), &json!(true)));
    assert!(refused.headers["retry-after"].to_str()?.parse::<u64>()? >= 1);
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_repaired_within_the_providers_grace() -> Outcome {
    let settings = ClientSettings { grace_seconds: 600, reuse_penalty: ReusePenalty::Family, ..Default::default() };
    let (it, proxy) = Connected::behind(settings).await?;
    proxy.script([Reply::Lose(502, json!({}))]);
    it.world.advance(Duration::seconds(3601));
    // The provider has rotated, and nobody here has the new refresh token: the same one is presented again.
    drop(it.token(json!({})).await?);
    it.world.advance(Duration::seconds(60));
    let recovered = it.token(json!({})).await?;
    assert_eq!(recovered.status, StatusCode::OK, "{}", recovered.body);
    assert!(it.works(&recovered).await?);
    let presented = it.presented();
    assert!(presented.len() == 2 && presented[0] == presented[1], "{presented:?}");
    Ok(())
}

#[tokio::test]
async fn an_invalid_grant_after_a_lost_answer_is_doubted_before_consent_is_asked() -> Outcome {
    let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
    let lost = || Reply::Instead(502, json!({}));
    proxy.script([lost(), lost(), Reply::Instead(400, json!({ "error": "invalid_grant" }))]);
    it.refresh().await?;
    it.world.advance(Duration::seconds(60));
    it.refresh().await?;
    let metadata = it.metadata().await?;
    assert_eq!(metadata.text("/status"), "refresh_failing", "{}", metadata.body);
    it.world.advance(Duration::seconds(60));
    assert_eq!(it.refresh().await?.body["generation"], json!(2));
    Ok(())
}

#[tokio::test]
async fn a_token_endpoint_at_another_origin_never_sees_what_was_bound_to_the_first() -> Outcome {
    let evil = Proxy::to("http://127.0.0.1:1").await?;
    let origins = vec![evil.url.clone()];
    let world =
        World::with(|options| grantkeeper_local::stack::Options { insecure_origins: origins, ..options }).await?;
    let endpoints = |token: &str| json!({ "issuer": null, "authorization_endpoint": format!("{token}/authorize"), "token_endpoint": format!("{token}/token") });
    let first = endpoints(world.sandbox_url());
    let it = Connected::inside(world, ClientSettings::default(), first).await?;

    let path = format!("/v1/clients/{}", it.client);
    let moved = it.world.superuser().patch(&path, json!({ "token_endpoint": format!("{}/token", evil.url) })).await?;
    assert_eq!((moved.status, moved.text("/status")), (StatusCode::OK, "draft".into()), "{}", moved.body);
    assert_eq!((&moved.body["client_secrets"], &moved.body["missing"]), (&json!([]), &json!(["client_secret"])));
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "reauthorization_required"));
    assert_eq!(refused.text("/reason"), "origin_changed");

    // With a new secret the client is whole again; the old grants do not follow it.
    let whole = it.world.superuser().patch(&path, json!({ "client_secret": "for-the-new-server" })).await?;
    assert_eq!(whole.text("/status"), "active");
    assert_eq!(it.refresh().await?.text("/reason"), "origin_changed");
    assert_eq!(it.metadata().await?.text("/status_reason"), "origin_changed");
    let served = it.token(json!({})).await?;
    assert_eq!((served.status, warning(&served)), (StatusCode::OK, "reauthorization_required"));
    it.world.advance(Duration::seconds(3601));
    assert_eq!(it.token(json!({})).await?.text("/reason"), "origin_changed");
    it.world.stack.broker.tick().await?;
    tokio::time::sleep(StdDuration::from_millis(200)).await;
    assert_eq!(evil.take_calls().len(), 0, "the new origin saw nothing");
    assert_eq!(it.refreshes(), 0, "nor did the old one");
    Ok(())
}

#[tokio::test]
async fn a_client_that_was_switched_off_is_not_refreshed() -> Outcome {
    let it = Connected::usual().await?;
    let path = format!("/v1/clients/{}", it.client);
    assert_eq!(it.world.superuser().patch(&path, json!({ "status": "disabled" })).await?.text("/status"), "disabled");
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "client_not_active"));
    assert_eq!(it.refreshes(), 0);
    it.world.superuser().patch(&path, json!({ "status": "active" })).await?;
    assert_eq!(it.refresh().await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_credential_without_refresh_token_says_so() -> Outcome {
    let settings = ClientSettings { refresh_token: RefreshTokenMode::None, ..Default::default() };
    let it = Connected::with(settings, json!({})).await?;
    let refused = it.refresh().await?;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "not_refreshable"));
    assert_eq!(it.token(json!({})).await?.status, StatusCode::OK);
    it.world.advance(Duration::seconds(3601));
    let dead = it.token(json!({})).await?;
    assert_eq!(
        (dead.code(), dead.text("/reason")),
        ("reauthorization_required", "expired_without_refresh_token".into())
    );
    assert_eq!(it.refreshes(), 0);
    Ok(())
}
