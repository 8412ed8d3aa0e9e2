//! Refreshes that began early and came to nothing, and grants that are dead by another name.

use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::Reply;
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::refresh::Connected;

#[tokio::test]
async fn a_refresh_that_began_long_before_it_was_due_goes_on_within_the_providers_grace() -> Outcome {
    let settings = ClientSettings { access_token_seconds: Some(86_400), grace_seconds: 600, ..Default::default() };
    // A worker that died with the lease in its hand.
    let it = Connected::with(settings.clone(), json!({})).await?;
    it.leave_intent().await?;
    assert_eq!(it.world.stack.broker.tick().await?, 0, "the lease is alive");
    it.world.advance(Duration::seconds(26));
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    it.soon(2).await?;
    assert_eq!(it.world.stack.broker.tick().await?, 0, "a committed refresh is not due for long");

    // An answer that was lost, and the one to the same request once more.
    let (it, proxy) = Connected::behind(settings).await?;
    proxy.script([Reply::Lose(502, json!({})), Reply::Lose(502, json!({}))]);
    assert_eq!(it.refresh().await?.status, StatusCode::SERVICE_UNAVAILABLE);
    it.world.advance(Duration::seconds(7));
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    it.soon(2).await?;
    let token = it.token(json!({})).await?;
    assert!(it.works(&token).await?);
    Ok(())
}

#[tokio::test]
async fn a_dead_grant_asks_for_consent_whatever_the_provider_calls_it() -> Outcome {
    for error in ["bad_refresh_token", "invalid_refresh_token", "token_expired", "token_revoked"] {
        for status in [200, 400, 401] {
            let (it, proxy) = Connected::behind(ClientSettings::default()).await?;
            proxy.always(Some(Reply::Instead(status, json!({ "error": error }))));
            let refused = it.refresh().await?;
            let told = (refused.status, refused.code());
            assert_eq!(told, (StatusCode::CONFLICT, "reauthorization_required"), "{status} {error}");
            assert_eq!(it.metadata().await?.text("/status"), "reauthorization_required", "{status} {error}");
        }
    }
    Ok(())
}
