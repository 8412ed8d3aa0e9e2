//! What nobody uses costs no refreshes, and is not lost for that; whoever lives by a refresh token that will die is told.

use chrono::Duration;
use grantkeeper::model::event::EventKind;
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::ClientSettings;
use http::StatusCode;
use serde_json::json;

use super::Outcome;
use super::refresh::{Connected, warning};

const HALF_AN_HOUR: Duration = Duration::minutes(30);
const SIX_HOURS: Duration = Duration::hours(6);

impl Connected {
    /// Ticks now and then, and lets the queue do what it was given.
    async fn let_pass(&self, hours: i64, every: Duration) -> Outcome {
        for _ in 0..hours * 60 / every.num_minutes() {
            self.world.advance(every);
            if self.world.stack.broker.tick().await? > 0 {
                self.settled().await?;
            }
        }
        Ok(())
    }

    /// The queue works beside the test: waits until nothing is due any more.
    async fn settled(&self) -> Outcome {
        for _ in 0..200 {
            let now = self.world.stack.broker.now().timestamp_millis();
            let stored = self.stored().await?;
            if stored.lease.is_none() && stored.due_at.is_none_or(|at| at > now) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        anyhow::bail!("it stays due: {:?}", self.stored().await?.due_at)
    }
}

#[tokio::test]
async fn n14_what_nobody_uses_is_refreshed_once_a_day_and_again_for_each_expiry_once_it_is_used() -> Outcome {
    let it = Connected::usual().await?;
    it.let_pass(24, HALF_AN_HOUR).await?;
    let in_use = it.refreshes();
    assert!((22..=36).contains(&in_use), "as long as it counts as used: {in_use} in a day");
    it.let_pass(72, SIX_HOURS).await?;
    let idle = it.refreshes() - in_use;
    assert!((2..=4).contains(&idle), "kept alive: {idle} in three days");

    let token = it.token(json!({})).await?;
    assert_eq!((token.status, warning(&token)), (StatusCode::OK, ""), "{}", token.body);
    assert!(it.works(&token).await?);
    let before = it.refreshes();
    it.let_pass(4, HALF_AN_HOUR).await?;
    let used = it.refreshes() - before;
    assert!((3..=7).contains(&used), "used again: {used} in four hours");
    Ok(())
}

#[tokio::test]
async fn n14_a_machines_grant_that_nobody_uses_is_not_refreshed_at_all() -> Outcome {
    let it = Connected::usual().await?;
    let machine = json!({ "name": "machine", "owner": "ada", "client": it.client, "grant_type": "client_credentials", "scopes": ["read"] });
    let path = format!("/v1/clients/{}", it.client);
    let grants = json!({ "grant_types": ["authorization_code", "refresh_token", "client_credentials"] });
    assert_eq!(it.world.superuser().patch(&path, grants).await?.status, StatusCode::OK);
    let made = it.world.platform().post("/v1/credentials", machine).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let machine = Connected { id: made.text("/id"), ..it };
    machine.let_pass(26, Duration::hours(1)).await?;
    let asked = machine.world.requests_of("client_credentials").len();
    machine.let_pass(24, SIX_HOURS).await?;
    assert_eq!(machine.world.requests_of("client_credentials").len(), asked);
    assert_eq!(machine.stored().await?.due_at, None);
    let token = machine.token(json!({})).await?;
    assert_eq!((token.status, warning(&token)), (StatusCode::OK, ""), "the read gets its own: {}", token.body);
    assert_eq!(machine.world.requests_of("client_credentials").len(), asked + 1);
    Ok(())
}

#[tokio::test]
async fn n6_a_project_is_told_once_a_week_before_a_refresh_token_dies() -> Outcome {
    let settings = ClientSettings { access_token_seconds: Some(86_400), ..Default::default() };
    let it = Connected::with(settings, json!({ "refresh": { "kind": "rotating", "absolute_days": 12 } })).await?;
    let told = async || -> anyhow::Result<Vec<_>> {
        let stored = it.stored().await?;
        let events = it.world.store().list_events(&stored.project, &stored.id).await?;
        Ok(events.into_iter().filter(|event| event.kind == EventKind::Expiring).collect())
    };
    it.let_pass(4 * 24, SIX_HOURS).await?;
    assert_eq!(told().await?, vec![]);
    it.let_pass(4 * 24, SIX_HOURS).await?;
    let events = told().await?;
    let forecast = it.metadata().await?.text("/refresh_forecast/at");
    let dies_at = events.first().and_then(|event| event.dies_at).map(|at| at.timestamp());
    assert_eq!((events.len(), dies_at), (1, Some(chrono::DateTime::parse_from_rfc3339(&forecast)?.timestamp())));
    Ok(())
}
