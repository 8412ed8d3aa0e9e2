//! The budgets: what one call of the store may consume, for a credential as most are.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use chrono::Duration;
use futures::future::BoxFuture;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::credential::{Account, Credential};
use grantkeeper::model::ids::ProjectId;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::store::{Attempted, CommitRefresh, Completion, Store};
use grantkeeper::testing::fixtures::{self, start};
use grantkeeper_local::table;
use grantkeeper_tests::capacity::{Consumed, Meter, item_bytes};

type Item = HashMap<String, AttributeValue>;

/// How many items one `BatchWriteItem` takes.
const BATCH: usize = 25;
/// How much work the tick asks a shard for.
const LIMIT: u32 = 500;

/// All budgets, by what they are about.
pub const BUDGETS: [(&str, Budget); 6] = [
    ("acquire_refresh_of_what_is_due", |table| Box::pin(acquire(table, due_since()))),
    ("acquire_refresh_before_it_is_due", |table| Box::pin(acquire(table, start()))),
    ("commit_refresh", |table| Box::pin(commit(table))),
    ("find_credential", |table| Box::pin(find(table))),
    ("list_due_of_a_shard_with_nothing_due", |table| Box::pin(list_nothing(table))),
    ("list_due_costs_what_is_due_and_not_what_is_stored", |table| Box::pin(list_some(table))),
];

/// A budget that says by how much it is exceeded.
pub type Budget = for<'a> fn(&'a Measured) -> BoxFuture<'a, anyhow::Result<()>>;

/// A table whose every call is measured.
pub struct Measured {
    sdk: Sdk,
    meter: Meter,
    name: String,
    store: DynamoDbStore,
}

impl Measured {
    /// Makes a table by a client that the meter is attached to.
    pub async fn create(sdk: Sdk, meter: Meter, name: &str) -> anyhow::Result<Self> {
        table::create(&sdk, name).await?;
        Ok(Self { store: DynamoDbStore::new(sdk.clone(), name), sdk, meter, name: name.to_owned() })
    }

    /// The one operation that a call came down to.
    fn one(&self) -> anyhow::Result<Consumed> {
        let mut measured = self.meter.take();
        let last = measured.pop().context("nothing was measured")?;
        ensure!(measured.is_empty(), "one operation was expected, there were more: {measured:?} and {last}");
        Ok(last)
    }

    /// A credential as most are, made as its flow makes it, and nothing measured yet.
    async fn credential(&self) -> anyhow::Result<Credential> {
        let store: &dyn Store = &self.store;
        let session = fixtures::session(&ProjectId::generate());
        let pending = fixtures::flow(&session);
        store.insert_session(&session).await?;
        ensure!(store.start_flow(&pending, &session, start()).await?, "the flow is not started");
        ensure!(store.park_flow(&pending, &fixtures::parking(start()), start()).await?, "the flow is not parked");
        let parked = store.find_flow(&session.project, &pending.id).await?.context("the flow is gone")?;
        let until = start() + Duration::seconds(30);
        ensure!(store.claim_exchange(&parked, until, start()).await?, "the exchange is not claimed");
        let flow = store.find_flow(&session.project, &pending.id).await?.context("the flow is gone")?;
        let credential = usual(fixtures::credential(&flow));
        let completion = store.complete_flow(&flow, &credential, start()).await?;
        ensure!(completion == Completion::Done, "the flow is not completed");
        let stored = store.find_credential(&credential.project, &credential.id).await?.context("no credential")?;
        self.meter.take();
        Ok(stored)
    }

    /// The item of a credential; measured nowhere.
    async fn item(&self, credential: &Credential) -> anyhow::Result<Item> {
        let pk = format!("P#{}#C#{}", credential.project, credential.id);
        let read = self.sdk.get_item().table_name(&self.name).consistent_read(true);
        let read = read.key("pk", AttributeValue::S(pk)).key("sk", AttributeValue::S("META".to_owned()));
        let item = read.send().await?.item.context("the credential is not there")?;
        self.meter.take();
        Ok(item)
    }

    /// Takes the lease of a credential.
    async fn lease(&self, credential: &Credential, now: Timestamp) -> anyhow::Result<Credential> {
        let acquire = fixtures::acquire(credential, now);
        applied(self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await?)
    }

    /// Commits the refresh of a leased credential: the tokens live for an hour again.
    async fn commit(&self, leased: &Credential, now: Timestamp) -> anyhow::Result<Credential> {
        let refresh_after = Some((now + Duration::minutes(48)).timestamp_millis());
        let commit = CommitRefresh {
            refresh_after,
            next_due: refresh_after,
            granted_scopes: leased.granted_scopes.clone(),
            ..fixtures::commit(leased, now)
        };
        applied(self.store.commit_refresh(&leased.project, &leased.id, &commit).await?)
    }

    /// Stores copies of a credential's item in its shard, so many of them due at [`due_since`] and the others an hour later.
    async fn copies(&self, item: &Item, stored: usize, due: usize) -> anyhow::Result<()> {
        let later = due_since() + Duration::hours(1);
        let requests: Vec<_> = (0..stored)
            .map(|number| {
                let at = if number < due { due_since() } else { later };
                let mut item = item.clone();
                let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).map(|pk| copy_of(pk, number));
                item.extend(pk.map(|pk| ("pk".to_owned(), AttributeValue::S(pk))));
                item.insert("due_at".to_owned(), AttributeValue::N(at.timestamp_millis().to_string()));
                let put = PutRequest::builder().set_item(Some(item)).build()?;
                Ok(WriteRequest::builder().put_request(put).build())
            })
            .collect::<anyhow::Result<_>>()?;
        for batch in requests.chunks(BATCH) {
            let written = self.sdk.batch_write_item().request_items(&self.name, batch.to_vec()).send().await?;
            ensure!(written.unprocessed_items.unwrap_or_default().is_empty(), "a batch is not written whole");
        }
        self.meter.take();
        Ok(())
    }

    /// What it costs to list the due work of a shard, of which there is so much.
    async fn listing(&self, shard: u32, due: usize) -> anyhow::Result<Consumed> {
        let found = self.store.list_due(shard, due_since(), LIMIT, None).await?.items;
        ensure!(found.len() == due, "{} are listed, {due} are due", found.len());
        self.one()
    }
}

/// When the credential of these measurements has been due for some seconds.
fn due_since() -> Timestamp {
    start() + Duration::minutes(48) + Duration::seconds(20)
}

/// A credential as it is at a large provider: long scopes, an account with its mail address, some labels.
fn usual(credential: Credential) -> Credential {
    let scopes = ["openid", "email", "https://www.googleapis.com/auth/calendar.events"].map(str::to_owned).to_vec();
    Credential {
        name: "Calendar of Ada Lovelace".to_owned(),
        variables: BTreeMap::from([("subdomain".to_owned(), "analytical-engines".to_owned())]),
        labels: BTreeMap::from([
            ("team".to_owned(), "sales-emea".to_owned()),
            ("workflow".to_owned(), fixtures::unique()),
        ]),
        external_id: Some(fixtures::unique()),
        requested_scopes: scopes.clone(),
        granted_scopes: scopes,
        account: Some(Account {
            issuer: "https://accounts.example.com".to_owned(),
            subject: "110248495921238986420".to_owned(),
            label: Some("ada.lovelace@analytical-engines.example".to_owned()),
            named_by_api: false,
        }),
        bound_origin: "https://oauth2.example.com".to_owned(),
        refresh_after: Some((start() + Duration::minutes(48)).timestamp_millis()),
        ..credential
    }
}

/// The key of a copy: as long as that of the original, and its own.
fn copy_of(pk: &str, number: usize) -> String {
    let digits = format!("{number:06}");
    format!("{}{digits}", pk.get(..pk.len().saturating_sub(digits.len())).unwrap_or_default())
}

fn applied(attempted: Attempted) -> anyhow::Result<Credential> {
    match attempted {
        Attempted::Applied(credential) => Ok(*credential),
        Attempted::Refused(by) => anyhow::bail!("an update is refused by {by:?}"),
    }
}

/// One worker at a time takes the lease: four write units.
async fn acquire(table: &Measured, now: Timestamp) -> anyhow::Result<()> {
    let credential = table.credential().await?;
    for generation in 1..=2 {
        let stored = table.store.find_credential(&credential.project, &credential.id).await?.context("it is gone")?;
        let now = now + Duration::hours(generation - 1);
        let before = item_bytes(&table.item(&stored).await?);
        let leased = table.lease(&stored, now).await?;
        let cost = table.one()?;
        let after = item_bytes(&table.item(&leased).await?);
        ensure!(
            cost.write <= 4.0,
            "generation {generation}, {before} bytes, then {after}: {cost}; the budget is 4 write"
        );
        table.commit(&leased, now + Duration::seconds(1)).await?;
    }
    Ok(())
}

/// The tokens of a refresh are committed: four write units. The second one finds what the first left.
async fn commit(table: &Measured) -> anyhow::Result<()> {
    let mut credential = table.credential().await?;
    for generation in 1..=2 {
        let now = due_since() + Duration::hours(generation - 1);
        let leased = table.lease(&credential, now).await?;
        let before = item_bytes(&table.item(&leased).await?);
        credential = table.commit(&leased, now + Duration::seconds(1)).await?;
        let cost = table.one()?;
        let after = item_bytes(&table.item(&credential).await?);
        ensure!(
            cost.write <= 4.0,
            "generation {generation}, {before} bytes, then {after}: {cost}; the budget is 4 write"
        );
    }
    Ok(())
}

/// Every read of a token begins with it: one read unit, also while somebody refreshes.
async fn find(table: &Measured) -> anyhow::Result<()> {
    let credential = table.credential().await?;
    let leased = table.lease(&credential, due_since()).await?;
    let bytes = item_bytes(&table.item(&leased).await?);
    table.store.find_credential(&credential.project, &credential.id).await?.context("it is gone")?;
    let cost = table.one()?;
    ensure!(cost.read <= 1.0 && cost.write == 0.0, "{bytes} bytes: {cost}; the budget is 1 read");
    Ok(())
}

/// The tick looks into every shard every time, and mostly finds nothing: half a read unit, whatever is stored there.
async fn list_nothing(table: &Measured) -> anyhow::Result<()> {
    let credential = table.credential().await?;
    let item = table.item(&credential).await?;
    table.copies(&item, 200, 0).await?;
    let shard = shard_of(&item)?;
    let mut credential_itself = item;
    credential_itself.remove("due_shard");
    table.sdk.put_item().table_name(&table.name).set_item(Some(credential_itself)).send().await?;
    table.meter.take();
    for (what, shard) in [("an empty shard", (shard + 1) % 16), ("200 stored and none due", shard)] {
        let cost = table.listing(shard, 0).await?;
        ensure!(cost.read <= 0.5 && cost.write == 0.0, "{what}: {cost}; the budget is 0.5 read");
    }
    Ok(())
}

/// What is stored and not due costs nothing; what is due costs its place in the index.
async fn list_some(table: &Measured) -> anyhow::Result<()> {
    let item = table.item(&table.credential().await?).await?;
    let mut costs = Vec::new();
    // The credential itself is among those that are due.
    for (stored, due) in [(200, 10), (2_000, 10), (2_000, 200)] {
        table.copies(&item, stored - 1, due - 1).await?;
        costs.push(table.listing(shard_of(&item)?, due).await?);
    }
    let [few, many, all] = costs.as_slice() else { anyhow::bail!("three costs") };
    ensure!(few.read == many.read, "10 due of 200: {few}; 10 due of 2,000: {many}; they should cost the same");
    // A place in the index is some 200 bytes: 200 of them are ten times 4 KB, at half a unit each.
    ensure!(few.read <= 0.5 && all.read <= 6.0, "10 due: {few}; 200 due: {all}; the budgets are 0.5 and 6 read");
    ensure!(all.read > few.read, "10 due: {few}; 200 due: {all}; a measurement that does not rise with them");
    Ok(())
}

fn shard_of(item: &Item) -> anyhow::Result<u32> {
    let shard = item.get("due_shard").and_then(|shard| shard.as_s().ok()).context("it is not due")?;
    Ok(shard.strip_prefix("due#").context("another name of a shard")?.parse()?)
}
