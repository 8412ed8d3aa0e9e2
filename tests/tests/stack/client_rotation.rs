//! A secret is rotated while two processes work with it, and no request fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::ensure;
use chrono::Duration;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::read_token::TokenRequest;
use grantkeeper::lambda::assemble;
use grantkeeper::outbound::{Outbound, OutboundPolicy};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::client_secrets::{Client, NEW, OLD};

impl Client {
    /// Another process of the same stack, with caches of its own.
    async fn second_process(&self) -> anyhow::Result<(Broker, Caller)> {
        let Self { world, .. } = self;
        let policy = OutboundPolicy::allowing(&[world.sandbox_url().to_owned()])?;
        let config = world.stack.broker.config().clone();
        let outbound = Outbound::with_way_out(policy, &config.way_out)?;
        let broker = assemble(
            config,
            &world.stack.engines.sdk_config(),
            Arc::new(world.clock.clone()),
            outbound,
            Default::default(),
        );
        let key = broker.authenticate(&world.stack.keys.platform).await?;
        Ok((broker, Caller { key, project: None, user: Some("ada".to_owned()) }))
    }
}

/// Two processes with credentials to work on.
struct Load {
    client: Client,
    second: (Broker, Caller),
    credentials: [String; 4],
}

impl Load {
    async fn new() -> anyhow::Result<Self> {
        let client = Client::new().await?;
        let second = client.second_process().await?;
        let credentials = [
            client.connect("one").await?,
            client.connect("two").await?,
            client.connect("three").await?,
            client.connect("four").await?,
        ];
        Ok(Self { client, second, credentials })
    }

    /// Refreshes, reads and new sign-ins in both processes, all at the same time. None of them may fail.
    async fn round(&self, name: &str) -> Outcome {
        let Self { client, second: (broker, caller), credentials: [one, two, three, four] } = self;
        let first = async {
            let refreshed = client.refresh(one).await?;
            ensure!(refreshed.status == StatusCode::OK, "{name}: {}", refreshed.body);
            let read = client.world.read_token(four, json!({})).await?;
            ensure!(read.status == StatusCode::OK, "{name}: {}", read.body);
            Ok(())
        };
        let second = async {
            broker.refresh(caller, two).await?;
            broker.read_token(caller, four, TokenRequest::default()).await?;
            broker.refresh(caller, three).await?;
            Ok(())
        };
        let (first, second, connected) = tokio::join!(first, second, client.connect(name));
        first.and(second).and(connected.map(drop))
    }

    async fn rounds(&self, name: &str) -> Outcome {
        for number in 0..3 {
            self.round(&format!("{name} {number}")).await?;
        }
        Ok(())
    }

    /// What somebody does while the work goes on.
    async fn meanwhile(&self, name: &str, done: impl Future<Output = Outcome>) -> Outcome {
        let (worked, done) = tokio::join!(self.rounds(name), done);
        worked.and(done)
    }

    async fn add(&self, body: Value) -> Outcome {
        let added = self.client.add(body).await?;
        ensure!(added.status == StatusCode::CREATED, "{}", added.body);
        Ok(())
    }

    /// The caches of both processes end, and each secret that was sent was noted.
    async fn end(&self) -> Outcome {
        self.client.world.advance(Duration::seconds(31));
        self.rounds("at the end").await?;
        let secrets = self.client.secrets().await?;
        assert!(secrets.iter().all(|secret| secret["last_success_at"].is_string()), "{secrets:?}");
        let requests = self.client.world.token_requests();
        let shown: BTreeSet<_> = requests.into_iter().filter_map(|entry| entry.client_secret).collect();
        assert_eq!((secrets.len(), shown.len()), (2, 2));
        Ok(())
    }
}

#[tokio::test]
async fn no_request_fails_when_the_provider_swaps_the_secret_at_once() -> Outcome {
    let load = Load::new().await?;
    load.rounds("before").await?;
    load.meanwhile("added", load.add(json!({ "client_secret": NEW }))).await?;
    // The second process knows the old secret alone.
    load.meanwhile("swapped", load.client.swap(NEW, &[])).await?;
    load.end().await
}

#[tokio::test]
async fn no_request_fails_when_the_provider_takes_both_secrets_for_a_while() -> Outcome {
    let load = Load::new().await?;
    load.meanwhile("both", load.client.swap(OLD, &[NEW])).await?;
    load.meanwhile("added", load.add(json!({ "client_secret": NEW, "retire_others_after_hours": 1 }))).await?;
    load.meanwhile("ended", load.client.swap(NEW, &[])).await?;
    load.end().await
}
