//! A table full of credentials, as it is after years: one in ten is used, the others are kept alive.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context as _, ensure};
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use chrono::Duration;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use grantkeeper::clock::Timestamp;
use grantkeeper::model::client::{ClientSettings, RefreshFacts};
use grantkeeper::model::credential::{Account, Credential, Lifetimes, Schedule};
use grantkeeper::model::ids::ProjectId;
use grantkeeper::model::session::Session;
use grantkeeper::model::token_set::TokenSet;
use grantkeeper::refresh::plan::next_due;
use grantkeeper::secret::Secret;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::testing::fixtures::{self, start};
use grantkeeper::vault::Vault as _;
use grantkeeper_local::engines::Engines;
use grantkeeper_local::stack::TABLE;
use grantkeeper_tests::capacity::item_bytes;

use super::process::Progress;
use super::steps::Steps;

/// Access tokens live for an hour (seconds).
pub const LIFETIME: u64 = 3600;
/// What the provider says about an idle refresh token (days): an idle credential is then refreshed weekly.
const IDLE_DAYS: u32 = 60;
/// How many items one `BatchWriteItem` takes, and how many of those run at once.
const BATCH: usize = 25;
const AT_ONCE: usize = 8;
const PROJECTS: usize = 20;
/// How many items are looked at for their sizes.
const SAMPLE: i32 = 300;
/// The lengths of tokens, as of a provider with signed access tokens (characters).
const ACCESS_TOKEN: usize = 800;
const REFRESH_TOKEN: usize = 200;

/// What a credential is like in the eyes of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Read within the last six hours: refreshed for every expiry.
    Hot,
    /// Not read for days: kept alive once a week.
    Idle,
    /// Read for the last time almost a day ago: found due as if it were used, and then left alone.
    Cooling,
}

impl Kind {
    /// Of a hundred, ten are hot and one has just become idle.
    pub fn of(number: usize) -> Self {
        match number % 100 {
            0..10 => Self::Hot,
            10 => Self::Cooling,
            _ => Self::Idle,
        }
    }
}

/// Credentials in the embedded engine, on disk.
pub struct Table {
    pub engines: Engines,
    pub sdk: Sdk,
    pub settings: ClientSettings,
    sessions: Vec<Session>,
    minutes: u32,
}

impl Table {
    /// An empty table in a directory. What is due within so many minutes gets a document in the vault.
    pub async fn create(directory: &Path, minutes: u32) -> anyhow::Result<Self> {
        let engines = Engines::start(Some(directory)).await?;
        let sdk = Sdk::new(&engines.sdk_config());
        grantkeeper_local::table::create(&sdk, TABLE).await?;
        let sessions = (0..PROJECTS).map(|_| fixtures::session(&ProjectId::generate())).collect();
        let refresh = RefreshFacts { idle_days: Some(IDLE_DAYS), ..RefreshFacts::default() };
        let settings = ClientSettings { refresh, ..fixtures::client_settings(None) };
        Ok(Self { engines, sdk, settings, sessions, minutes })
    }

    /// Adds the credentials of these numbers.
    pub async fn seed(&self, numbers: std::ops::Range<usize>, steps: &Steps) -> anyhow::Result<()> {
        let (mut progress, mut done) = (Progress::new("stored", numbers.len()), 0);
        let batches = stream::iter(numbers.clone().step_by(BATCH));
        let mut written =
            batches.map(|first| self.batch(first..numbers.end.min(first + BATCH), steps)).buffer_unordered(AT_ONCE);
        while let Some(count) = written.try_next().await? {
            done += count;
            progress.at(done);
            steps.stage.meter.take();
        }
        Ok(())
    }

    async fn batch(&self, numbers: std::ops::Range<usize>, steps: &Steps) -> anyhow::Result<usize> {
        let (count, mut requests) = (numbers.len(), Vec::with_capacity(BATCH));
        let end = (start() + Duration::minutes(self.minutes.into())).timestamp_millis();
        for number in numbers {
            let credential = self.credential(number)?;
            let due_at = self.due_at(&credential, Kind::of(number)).context("nothing is planned for it")?;
            let mut item = DynamoDbStore::item_of(&credential)?;
            item.insert("due_at".to_owned(), AttributeValue::N(due_at.to_string()));
            let put = PutRequest::builder().set_item(Some(item)).build()?;
            requests.push(WriteRequest::builder().put_request(put).build());
            if due_at <= end {
                self.stage(&credential, steps).await?;
            }
        }
        let written = self.sdk.batch_write_item().request_items(TABLE, requests).send().await?;
        ensure!(written.unprocessed_items.unwrap_or_default().is_empty(), "a batch is not written whole");
        Ok(count)
    }

    /// The documents that the refresh of a credential opens, and lets go of.
    async fn stage(&self, credential: &Credential, steps: &Steps) -> anyhow::Result<()> {
        for (version, generation) in credential.versions() {
            let place = credential.place(generation);
            steps.stage.vault.stage(&place, version, &document(credential, generation)).await?;
        }
        Ok(())
    }

    fn due_at(&self, credential: &Credential, kind: Kind) -> Option<i64> {
        match kind {
            // It was planned when the credential was still used.
            Kind::Cooling => credential.refresh_after,
            Kind::Hot | Kind::Idle => next_due(credential, &self.settings, start()),
        }
    }

    /// A credential as most are, in its fortieth generation.
    fn credential(&self, number: usize) -> anyhow::Result<Credential> {
        // Whole hundreds, so that every project has every kind.
        let session = self.sessions.get(number / 100 % PROJECTS).context("no such project")?;
        let kind = Kind::of(number);
        // Hot ones are refreshed every 42 to 48 minutes, idle ones every seven days: they are somewhere in between.
        let age = match kind {
            Kind::Hot | Kind::Cooling => part(number, 1, Duration::minutes(42)),
            Kind::Idle => part(number, 1, Duration::days(7)),
        };
        let unused = match kind {
            Kind::Hot => part(number, 2, Duration::hours(6)),
            Kind::Idle => Duration::days(2) + part(number, 2, Duration::days(60)),
            Kind::Cooling => Duration::hours(24) - part(number, 2, Duration::minutes(self.minutes.into())),
        };
        let (issued, generation) = (start() - age, 40);
        let credential = fixtures::credential(&fixtures::flow(session));
        let schedule = planned(issued).spread(&credential.id, generation);
        let scopes = ["openid", "email", "https://www.googleapis.com/auth/calendar.events"].map(str::to_owned).to_vec();
        Ok(Credential {
            name: format!("Calendar of Ada Lovelace {number}"),
            labels: BTreeMap::from([
                ("team".to_owned(), "sales-emea".to_owned()),
                ("workflow".to_owned(), fixtures::unique()),
            ]),
            external_id: Some(fixtures::unique()),
            requested_scopes: scopes.clone(),
            granted_scopes: scopes,
            account: Some(Account {
                issuer: "https://accounts.example.com".to_owned(),
                subject: format!("{number:021}"),
                label: Some("ada.lovelace@analytical-engines.example".to_owned()),
                named_by_api: false,
            }),
            created_at: start() - Duration::days(300),
            granted_at: Some(start() - Duration::days(300)),
            generation,
            fence: generation,
            prev: Some(fixtures::unique()),
            prev_until: Some((issued + Duration::hours(24)).timestamp_millis()),
            issued_at: issued.timestamp_millis(),
            at_exp: schedule.at_exp,
            refresh_after: schedule.refresh_after,
            written_until: issued.timestamp_millis(),
            last_refreshed_at: Some(issued),
            last_used_at: Some((start() - unused).timestamp_millis()),
            ..credential
        })
    }

    /// The sizes of items on average, by the first letters of their sort key: of a sample of credentials, and of what there
    /// is of their attempts and documents.
    pub async fn sizes(&self) -> anyhow::Result<BTreeMap<&'static str, f64>> {
        let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let sample = self.sdk.scan().table_name(TABLE).limit(SAMPLE).send().await?;
        for item in sample.items() {
            count(&mut found, item)?;
            let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).context("no partition key")?;
            let Some((project, id)) = pk.strip_prefix("P#").and_then(|pk| pk.split_once("#C#")) else { continue };
            let documents = self.sdk.query().table_name(TABLE).key_condition_expression("pk = :pk");
            let place = AttributeValue::S(format!("V#{project}#{id}"));
            for document in documents.expression_attribute_values(":pk", place).send().await?.items() {
                count(&mut found, document)?;
            }
        }
        Ok(found.into_iter().map(|(kind, (count, bytes))| (kind, bytes as f64 / count as f64)).collect())
    }
}

fn count(
    found: &mut BTreeMap<&'static str, (usize, usize)>,
    item: &HashMap<String, AttributeValue>,
) -> anyhow::Result<()> {
    let sk = item.get("sk").and_then(|sk| sk.as_s().ok()).context("no sort key")?;
    let kind = ["META", "DOC", "ATTEMPT"].into_iter().find(|kind| sk.starts_with(kind));
    let (count, bytes) = found.entry(kind.context("another kind of item")?).or_default();
    (*count, *bytes) = (*count + 1, *bytes + item_bytes(item));
    Ok(())
}

/// The plan for a token set that is obtained now.
pub fn planned(now: Timestamp) -> Schedule {
    Schedule::plan(now, Some(LIFETIME), &Lifetimes::default(), true)
}

/// What the vault keeps for a generation of a credential.
pub fn document(credential: &Credential, generation: u64) -> Secret<String> {
    let token = |length: usize| Secret::new("t0k3N-".chars().cycle().take(length).collect::<String>());
    let tokens = TokenSet {
        access_token: token(ACCESS_TOKEN),
        refresh_token: Some(token(REFRESH_TOKEN)),
        token_type: "Bearer".to_owned(),
        expires_at: credential.expires_at(),
        scopes: credential.granted_scopes.clone(),
        generation,
        bound_origin: credential.bound_origin.clone(),
        extra: Default::default(),
        inputs: Default::default(),
    };
    tokens.to_document()
}

/// Some part of a time, evenly spread over the numbers and always the same for one (SplitMix64).
fn part(number: usize, salt: u64, whole: Duration) -> Duration {
    let mut mixed = (number as u64).wrapping_mul(2).wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    Duration::milliseconds((mixed as f64 / u64::MAX as f64 * whole.num_milliseconds() as f64) as i64)
}
