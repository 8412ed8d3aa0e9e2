//! Whole refreshes and reads: the broker over a stack with its sandbox, on one vault.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use aws_sdk_secretsmanager::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_secretsmanager::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_secretsmanager::error::BoxError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueInput;
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::read_token::{Delivered, TokenRequest};
use grantkeeper::broker::{Broker, Parts};
use grantkeeper::clock::Clock;
use grantkeeper::config::Config;
use grantkeeper::outbound::{Outbound, OutboundPolicy};
use grantkeeper::refresh::sweep::Work;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::vault::VaultKind;
use grantkeeper::vault::both::BothVaults;
use grantkeeper::vault::root_key::RootKeys;
use grantkeeper::vault::sealed::SealedVault;
use grantkeeper::vault::secrets_manager::SecretsManagerVault;
use grantkeeper_local::stack::Options;
use grantkeeper_tests::World;
use grantkeeper_tests::capacity::Meter;
use serde_json::json;

use super::process::{Progress, Used, Watch};
use super::steps::Spent;

/// As many at once as the refresh function takes of a batch.
pub const AT_ONCE: usize = 10;
/// From one round to the next: the tokens of the sandbox live for an hour and are due by then.
const ROUND: Duration = Duration::minutes(50);

/// Calls of Secrets Manager: those that get a value, and all others, which write.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calls {
    pub reads: f64,
    pub writes: f64,
}

impl Calls {
    fn each(self, of: usize) -> Self {
        Self { reads: self.reads / of as f64, writes: self.writes / of as f64 }
    }
}

/// Units of the table for one of something.
#[derive(Debug, Clone, Copy)]
pub struct Units {
    pub read: f64,
    pub write: f64,
}

impl Units {
    fn each(spent: Spent, of: usize) -> Self {
        Self { read: spent.read / of as f64, write: spent.write / of as f64 }
    }
}

/// What was measured on one vault.
#[derive(Debug)]
pub struct Whole {
    /// How many refreshes were asked for, and how many brought a new generation.
    pub asked: usize,
    pub refreshes: usize,
    pub reads: usize,
    pub table_of_refresh: Units,
    pub secrets_of_refresh: Calls,
    pub table_of_read: Units,
    pub secrets_of_read: Calls,
    pub refreshing: Used,
    pub reading: Used,
}

/// Connects so many credentials and refreshes each so many times; then each is read as often.
pub async fn measure(kind: VaultKind, credentials: usize, rounds: u32) -> anyhow::Result<Whole> {
    let world = World::with(|options| Options { vault: kind, ..options }).await?;
    let (mut ids, mut progress) = (Vec::new(), Progress::new("connected", credentials));
    for number in 0..credentials {
        let connected = world.connect(json!({ "name": format!("Calendar {number}") })).await?;
        ids.push(connected.get("id").and_then(|id| id.as_str()).unwrap_or_default().to_owned());
        progress.at(number + 1);
    }
    let metered = Metered::over(&world)?;
    // What is fetched once for all, like keys and clients, is not the cost of a refresh.
    let first = ids.first().cloned().unwrap_or_default();
    world.advance(ROUND);
    metered.broker.work(&Work::from(&world.stored(&first).await?)).await?;
    metered.forget();

    let (mut refreshes, mut progress) = (0, Progress::new("refreshed", credentials * rounds as usize));
    let (mut refreshing, mut table, mut secrets) = (Used::default(), Spent::default(), Calls::default());
    for round in 1..=rounds {
        world.advance(ROUND);
        let stored: Vec<_> = stream::iter(&ids).then(|id| world.stored(id)).try_collect().await?;
        let watch = Watch::start();
        let broker = &metered.broker;
        let works = stream::iter(&stored).map(|credential| async move { broker.work(&Work::from(credential)).await });
        works.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        refreshing.add(watch.stop());
        metered.drain(&mut table, &mut secrets);
        for before in stored {
            refreshes += usize::from(world.stored(before.id.as_str()).await?.generation == before.generation + 1);
        }
        progress.at(credentials * round as usize);
    }
    let (table_of_refresh, secrets_of_refresh) = (Units::each(table, refreshes), secrets.each(refreshes));

    let key = metered.broker.authenticate(&world.stack.keys.runner).await?;
    let caller = Caller { key, project: None, user: None };
    // The first read of each is noted; those after it are not.
    metered.read(&caller, &ids).await?;
    metered.forget();
    let watch = Watch::start();
    for _ in 0..rounds {
        metered.read(&caller, &ids).await?;
    }
    let reading = watch.stop();
    let (mut table, mut secrets) = (Spent::default(), Calls::default());
    metered.drain(&mut table, &mut secrets);
    let (reads, asked) = (credentials * rounds as usize, credentials * rounds as usize);
    let (table_of_read, secrets_of_read) = (Units::each(table, reads), secrets.each(reads));
    world.into_parts().0.shutdown().await;
    Ok(Whole {
        asked,
        refreshes,
        reads,
        table_of_refresh,
        secrets_of_refresh,
        table_of_read,
        secrets_of_read,
        refreshing,
        reading,
    })
}

/// A second process of the stack, whose calls of AWS are measured.
struct Metered {
    broker: Broker,
    table: Meter,
    secrets: Counter,
}

impl Metered {
    fn over(world: &World) -> anyhow::Result<Self> {
        let (table, secrets, sdk) = (Meter::new(), Counter::default(), world.stack.engines.sdk_config());
        let tables = table.attach(aws_sdk_dynamodb::config::Builder::from(&sdk)).build();
        let tables = aws_sdk_dynamodb::Client::from_conf(tables);
        let counted = aws_sdk_secretsmanager::config::Builder::from(&sdk).interceptor(secrets.clone()).build();
        let counted = aws_sdk_secretsmanager::Client::from_conf(counted);
        let config = Config::clone(world.stack.broker.config());
        let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
        let in_secrets_manager = SecretsManagerVault::new(counted.clone(), &config.secret_prefix);
        let sealed =
            SealedVault::new(tables.clone(), &config.table, counted.clone(), &config.secret_prefix, Arc::clone(&clock));
        let broker = Broker::new(Parts {
            store: Arc::new(DynamoDbStore::new(tables, &config.table)),
            vault: Arc::new(BothVaults::new(config.vault, Arc::new(in_secrets_manager), Arc::new(sealed))),
            root_keys: Arc::new(RootKeys::new(counted, &config.root_key, Arc::clone(&clock))),
            clock,
            outbound: Outbound::new(OutboundPolicy::allowing(&[world.sandbox_url().to_owned()])?)?,
            queue: None,
            catalogue: Default::default(),
            config,
        });
        Ok(Self { broker, table, secrets })
    }

    fn drain(&self, table: &mut Spent, secrets: &mut Calls) {
        table.add(&self.table);
        let counted = std::mem::take(&mut *self.secrets.0.lock().unwrap_or_else(PoisonError::into_inner));
        *secrets = Calls { reads: secrets.reads + counted.reads, writes: secrets.writes + counted.writes };
    }

    fn forget(&self) {
        self.drain(&mut Spent::default(), &mut Calls::default());
    }

    /// Reads the token of each once.
    async fn read(&self, caller: &Caller, ids: &[String]) -> anyhow::Result<()> {
        let reads = stream::iter(ids).map(|id| async move {
            let delivered = self.broker.read_token(caller, id, TokenRequest::default()).await?;
            ensure!(matches!(delivered, Delivered::Token(_)), "no token");
            Ok(())
        });
        reads.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
    }
}

/// Counts the calls of a client of Secrets Manager. Its clones count together.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<Mutex<Calls>>);

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "Counter"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match context.input().downcast_ref::<GetSecretValueInput>() {
            Some(_) => calls.reads += 1.0,
            None => calls.writes += 1.0,
        }
        Ok(())
    }
}
