//! N13: what closes a client for all its credentials, and what is one credential's own matter. And what a refresh does not
//! need any more once it was there.

use chrono::Duration;
use grantkeeper::model::ids::{ClientId, CredentialId};
use grantkeeper::store::Store as _;
use grantkeeper::vault::{Place, Vault as _};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::refresh::Connected;

/// Two credentials of one client whose tokens have expired, and the second one's id. The client's requests get an answer.
async fn expired(answer: Value) -> anyhow::Result<(Connected, String)> {
    let it = Connected::usual().await?;
    let other = it.world.connect(json!({ "clients": [it.client], "scopes": ["read", "write"] })).await?;
    let faults = json!([{ "when": "always", "grant_type": "refresh_token", "answer": answer }]);
    it.world.change_at_sandbox("app", json!({ "token_faults": faults })).await?;
    it.world.advance(Duration::seconds(3601));
    Ok((it, other["id"].as_str().unwrap_or_default().to_owned()))
}

/// Reads both, and returns how many requests each read led to.
async fn requests(it: &Connected, other: &str) -> anyhow::Result<(usize, usize)> {
    let first = it.token(json!({})).await?;
    assert_eq!((first.status, first.code()), (StatusCode::BAD_GATEWAY, "client_rejected"), "{}", first.body);
    let by_first = it.refreshes();
    let second = it.world.read_token(other, json!({})).await?;
    assert_eq!((second.status, second.code()), (StatusCode::BAD_GATEWAY, "client_rejected"), "{}", second.body);
    Ok((by_first, it.refreshes() - by_first))
}

#[tokio::test]
async fn n13_invalid_client_by_name_keeps_the_other_credentials_from_asking() -> Outcome {
    let (it, other) = expired(json!({ "fault": "oauth_error", "error": "invalid_client" })).await?;
    assert_eq!(requests(&it, &other).await?, (1, 0));
    Ok(())
}

#[tokio::test]
async fn n13_any_other_refusal_is_first_taken_for_one_credentials_own() -> Outcome {
    for answer in [
        json!({ "fault": "oauth_error", "error": "unauthorized_client" }),
        json!({ "fault": "oauth_error", "error": "invalid_scope" }),
        json!({ "status": 401, "body": "go away" }),
        json!({ "status": 401, "body": { "message": "no such token" } }),
    ] {
        let (it, other) = expired(answer.clone()).await?;
        assert_eq!(requests(&it, &other).await?, (1, 1), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn n13_what_is_in_doubt_asks_also_where_the_client_is_refused() -> Outcome {
    let (it, other) = expired(json!("drop")).await?;
    // Its refresh token may be spent, and the provider may give the answer again for a while only.
    assert_ne!(it.token(json!({})).await?.status, StatusCode::OK);
    let refused = json!({ "fault": "oauth_error", "error": "invalid_client" });
    let faults = json!([{ "when": "always", "grant_type": "refresh_token", "answer": refused }]);
    it.world.change_at_sandbox("app", json!({ "token_faults": faults })).await?;
    assert_eq!(it.world.read_token(&other, json!({})).await?.code(), "client_rejected");
    it.world.change_at_sandbox("app", json!({ "token_faults": [] })).await?;
    it.world.advance(Duration::seconds(10));
    let (before, closed) = (it.refreshes(), it.world.read_token(&other, json!({})).await?);
    assert_eq!((closed.code(), it.refreshes()), ("client_rejected", before), "the client is not closed");
    it.token(json!({})).await?;
    assert!(it.refreshes() > before, "what is in doubt waits for the breaker");
    Ok(())
}

#[tokio::test]
async fn the_value_of_a_clients_secret_is_kept_for_five_minutes() -> Outcome {
    let it = Connected::usual().await?;
    assert_eq!(it.refresh().await?.status, StatusCode::OK);
    let client = it.world.store().find_client(&ClientId::parse(&it.client)?).await?.unwrap();
    let place = Place::new(client.settings.home(), client.id.as_str());
    it.world.vaults().secrets_manager.delete(&place).await?;
    it.world.advance(Duration::seconds(299));
    assert_eq!(it.refresh().await?.status, StatusCode::OK, "it is kept");
    it.world.advance(Duration::seconds(2));
    let asked = it.refreshes();
    let failed = it.refresh().await?;
    assert!(failed.status.is_server_error(), "{}", failed.body);
    assert_eq!(it.refreshes(), asked, "nothing is sent without it");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_refreshed_for_a_fault_of_our_own_is_put_off_and_not_worked_for_ever() -> Outcome {
    let it = Connected::usual().await?;
    let (project, id) = (it.world.stack.project.clone(), CredentialId::parse(&it.id)?);
    let stored = it.world.store().find_credential(&project, &id).await?.unwrap();
    it.world.vault().delete(&stored.place(stored.generation)).await?;
    it.world.advance(Duration::seconds(3600));
    assert_eq!(it.world.stack.broker.tick().await?, 1);
    let due = async || anyhow::Ok(it.world.store().find_credential(&project, &id).await?.unwrap().due_at);
    let now = it.world.stack.broker.now().timestamp_millis();
    for _ in 0..100 {
        if due().await?.is_some_and(|at| at > now) {
            assert_eq!(it.world.stack.broker.tick().await?, 0);
            assert_eq!(it.refreshes(), 0);
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it stays before the work of others: {:?}", due().await?)
}
