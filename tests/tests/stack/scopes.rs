//! What was granted is compared with what was asked, at the exchange and at every refresh (N10).

use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::Answer;
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::change::assert_refused;
use super::refresh::Connected;

fn granting(extra: &[&str]) -> ClientSettings {
    ClientSettings { extra_scopes: extra.iter().map(|scope| (*scope).to_owned()).collect(), ..Default::default() }
}

fn assert_put_aside(refused: &Answer, scopes: Value) {
    assert_refused(refused, StatusCode::LOCKED, "suspended");
    assert_eq!((refused.text("/reason"), &refused.body["scopes"]), ("scope_exceeded".into(), &scopes));
    let advice = refused.body["advice"].to_string();
    for scope in scopes.as_array().unwrap() {
        assert!(advice.contains(scope.as_str().unwrap()), "{advice}");
    }
    assert!(advice.contains("suspended false"), "how to accept it: {advice}");
}

#[tokio::test]
async fn more_than_was_asked_at_the_exchange_is_kept_and_not_served_until_it_is_accepted() -> Outcome {
    let it = Connected::with(granting(&["admin"]), json!({})).await?;
    let metadata = it.metadata().await?;
    assert_eq!(
        (metadata.text("/status"), metadata.text("/status_reason")),
        ("suspended".into(), "scope_exceeded".into())
    );
    assert_eq!(metadata.body["requested_scopes"], json!(["read", "write"]));
    assert_eq!(metadata.body["granted_scopes"], json!(["read", "write", "admin"]));
    assert_put_aside(&it.token(json!({})).await?, json!(["admin"]));
    assert_put_aside(&it.refresh().await?, json!(["admin"]));
    it.world.advance(Duration::seconds(2881));
    assert_eq!((it.world.stack.broker.tick().await?, it.refreshes()), (0, 0));

    let accepted = it.patch(json!({ "suspended": false })).await?;
    assert_eq!((accepted.text("/status"), accepted.text("/status_reason")), ("active".into(), String::new()));
    let token = it.token(json!({})).await?;
    assert!(it.works(&token).await?);
    // It is due as any other, and what was accepted raises no alarm again.
    it.world.stack.broker.tick().await?;
    it.soon(2).await?;
    assert_eq!(it.metadata().await?.text("/status"), "active");
    assert_eq!(it.refresh().await?.body["generation"], json!(3));
    Ok(())
}

#[tokio::test]
async fn more_than_was_asked_at_a_refresh_is_committed_and_not_served_until_it_is_accepted() -> Outcome {
    let it = Connected::usual().await?;
    it.world.change_at_sandbox("app", json!({ "extra_scopes": ["admin", "billing"] })).await?;
    assert_put_aside(&it.refresh().await?, json!(["admin", "billing"]));
    let metadata = it.metadata().await?;
    assert_eq!((metadata.text("/status"), &metadata.body["generation"]), ("suspended".into(), &json!(2)));
    assert_put_aside(&it.token(json!({})).await?, json!(["admin", "billing"]));
    it.world.advance(Duration::seconds(2881));
    assert_eq!((it.world.stack.broker.tick().await?, it.refreshes()), (0, 1));
    // A superuser who suspends it as well takes the acceptance out of the owner's hands, and does not accept by lifting it.
    it.root().patch(&it.path(), json!({ "suspended": true })).await?;
    assert_refused(&it.patch(json!({ "suspended": false })).await?, StatusCode::FORBIDDEN, "suspended_by_superuser");
    it.root().patch(&it.path(), json!({ "suspended": false })).await?;
    assert_put_aside(&it.token(json!({})).await?, json!(["admin", "billing"]));
    it.patch(json!({ "suspended": false })).await?;
    let token = it.token(json!({})).await?;
    assert_eq!((token.status, &token.body["generation"]), (StatusCode::OK, &json!(2)), "{}", token.body);
    assert!(it.works(&token).await?);
    assert_eq!(it.refresh().await?.body["generation"], json!(3));
    // Something new is an alarm again.
    it.world.change_at_sandbox("app", json!({ "extra_scopes": ["admin", "billing", "root"] })).await?;
    assert_eq!(it.refresh().await?.status, StatusCode::LOCKED);
    Ok(())
}

#[tokio::test]
async fn fewer_scopes_are_served_and_offline_access_and_case_are_no_alarm() -> Outcome {
    for (settings, granted) in [
        (ClientSettings { withheld_scopes: vec!["write".into()], ..Default::default() }, json!(["read"])),
        (granting(&["offline_access"]), json!(["read", "write", "offline_access"])),
        (ClientSettings { withheld_scopes: vec!["read".into()], ..granting(&["READ"]) }, json!(["write", "READ"])),
    ] {
        let it = Connected::with(settings, json!({})).await?;
        for generation in [1, 2] {
            let metadata = it.metadata().await?;
            assert_eq!((metadata.text("/status"), &metadata.body["generation"]), ("active".into(), &json!(generation)));
            assert_eq!(metadata.body["requested_scopes"], json!(["read", "write"]));
            assert_eq!(metadata.body["granted_scopes"], granted);
            let token = it.token(json!({})).await?;
            assert_eq!((token.status, &token.body["scopes"]), (StatusCode::OK, &granted));
            it.refresh().await?;
        }
    }
    Ok(())
}
