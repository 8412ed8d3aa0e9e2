//! The store over one DynamoDB table. AWS types stay in this folder.

mod attempts;
mod clients;
mod credentials;
mod due;
mod events;
mod flows;
mod grants;
mod health;
mod idempotency;
mod item;
mod keys;
mod orphans;
mod pointers;
mod projects;
mod refresh;
mod sessions;

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use super::*;
use item::key;

/// How often a transaction is tried when others are on the same items.
const ROUNDS: u32 = 5;
/// The pause between two tries.
const CONTENDED: std::time::Duration = std::time::Duration::from_millis(20);

type Item = HashMap<String, AttributeValue>;

/// The store.
#[derive(Clone)]
pub struct DynamoDbStore {
    sdk: Sdk,
    table: String,
}

impl DynamoDbStore {
    /// A store over an existing table.
    pub fn new(sdk: Sdk, table: impl Into<String>) -> Self {
        Self { sdk, table: table.into() }
    }

    async fn get(&self, pk: String, sk: String) -> StoreResult<Option<Item>> {
        self.get_item(key(pk, sk)).await
    }

    async fn get_item(&self, key: Item) -> StoreResult<Option<Item>> {
        let read = self.sdk.get_item().table_name(&self.table).set_key(Some(key)).consistent_read(true);
        Ok(read.send().await.map_err(unavailable)?.item)
    }

    /// One page of the items in a partition whose sort key has this prefix. The cursor is the last sort key, without
    /// the prefix.
    async fn query(
        &self,
        pk: String,
        prefix: &str,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<(Vec<Item>, Option<String>)> {
        let start = cursor.map(|cursor| key(pk.clone(), format!("{prefix}{cursor}")));
        let answer = self
            .sdk
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(unavailable)?;
        let next = answer
            .last_evaluated_key
            .as_ref()
            .and_then(|last| last.get("sk")?.as_s().ok()?.strip_prefix(prefix).map(str::to_owned));
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// All items in a partition whose sort key has this prefix: for what there are few of.
    async fn query_all(&self, pk: String, prefix: &str) -> StoreResult<Vec<Item>> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let (items, next) = self.query(pk.clone(), prefix, 100, cursor.as_deref()).await?;
            all.extend(items);
            if next.is_none() {
                return Ok(all);
            }
            cursor = next;
        }
    }

    /// Reads many items consistently; the order of the answer is not that of the keys.
    async fn get_many(&self, mut keys: Vec<Item>) -> StoreResult<Vec<Item>> {
        use aws_sdk_dynamodb::types::KeysAndAttributes;
        let mut items = Vec::with_capacity(keys.len());
        // An answer may leave keys unprocessed; each round must bring something, so the loop is bounded.
        for _ in 0..10 {
            if keys.is_empty() {
                return Ok(items);
            }
            let rest = keys.split_off(keys.len().min(100));
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(true)
                .build()
                .map_err(|_| StoreError::Corrupt)?;
            let answer =
                self.sdk.batch_get_item().request_items(&self.table, wanted).send().await.map_err(unavailable)?;
            items.extend(answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default());
            keys = rest;
            if let Some(left) = answer.unprocessed_keys.unwrap_or_default().remove(&self.table) {
                keys.extend(left.keys);
            }
        }
        if keys.is_empty() { Ok(items) } else { Err(StoreError::Unavailable) }
    }

    /// Writes all or nothing.
    async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<(), Transaction> {
        self.transact_seeing(writes).await.map_err(|(refusal, _)| refusal)
    }

    /// Writes all or nothing. A refusal comes with the item that stood against it, where the write asked for that.
    async fn transact_seeing(&self, writes: Vec<TransactWriteItem>) -> Result<(), (Transaction, Option<Item>)> {
        let sent = self.sdk.transact_write_items().set_transact_items(Some(writes)).send().await;
        let Err(error) = sent else { return Ok(()) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
            let codes: Vec<&str> =
                cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
            if let Some(refused) = codes.iter().position(|code| *code == "ConditionalCheckFailed") {
                let old = cancelled.cancellation_reasons().get(refused).and_then(|reason| reason.item().cloned());
                return Err((Transaction::Refused(refused), old));
            }
            // Two transactions on one item: the other one won, and the condition would now be tested on its result.
            if codes.contains(&"TransactionConflict") {
                return Err((Transaction::Contended, None));
            }
        }
        Err((Transaction::Failed(unavailable(error)), None))
    }

    /// Writes all or nothing, once more when others were on the items: the conditions then judge what those left. For
    /// calls behind which something was spent that cannot be had again.
    async fn transact_again(&self, writes: &[TransactWriteItem]) -> Result<(), Transaction> {
        for _ in 0..ROUNDS {
            match self.transact(writes.to_vec()).await {
                Err(Transaction::Contended) => tokio::time::sleep(CONTENDED).await,
                outcome => return outcome,
            }
        }
        Err(Transaction::Contended)
    }
}

/// What an object consists of is added, or removed, in one transaction.
impl DynamoDbStore {
    /// `AlreadyExists` when any condition is refused.
    async fn insert_all(&self, writes: Vec<TransactWriteItem>) -> StoreResult<()> {
        self.transact(writes).await.map_err(|refusal| match refusal {
            Transaction::Refused(_) => StoreError::AlreadyExists,
            Transaction::Contended => StoreError::Unavailable,
            Transaction::Failed(error) => error,
        })
    }

    /// `false` when any condition is refused: there was nothing.
    async fn delete_all(&self, writes: Vec<TransactWriteItem>) -> StoreResult<bool> {
        match self.transact(writes).await {
            Ok(()) => Ok(true),
            Err(Transaction::Refused(_)) => Ok(false),
            Err(Transaction::Contended) => Err(StoreError::Changed),
            Err(Transaction::Failed(error)) => Err(error),
        }
    }
}

/// Why a transaction was not applied.
enum Transaction {
    /// The condition of this write (from 0).
    Refused(usize),
    /// Another transaction was on one of the items.
    Contended,
    /// The database.
    Failed(StoreError),
}

/// Logs the code of a failure and nothing else of it: an SDK error can carry the item.
fn unavailable<E: ProvideErrorMetadata>(error: SdkError<E>) -> StoreError {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
    tracing::warn!(dependency = "dynamodb", code, "the table did not do what it was asked");
    StoreError::Unavailable
}

macro_rules! delegate {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        #[async_trait]
        impl Store for DynamoDbStore {
            $(async fn $name(&self, $($arg: $type),*) -> StoreResult<$result> {
                DynamoDbStore::$name(self, $($arg),*).await
            })*
        }
    };
}

// The methods themselves stand in the file of their topic.
delegate! {
    fn insert_project(project: &Project) -> ();
    fn find_project(id: &ProjectId) -> Option<Project>;
    fn list_projects(limit: u32, cursor: Option<&str>) -> Page<Project>;
    fn update_project(project: &Project) -> ();
    fn insert_key(key: &ApiKey) -> ();
    fn put_key(key: &ApiKey) -> ();
    fn find_key(hash: &str) -> Option<ApiKey>;
    fn list_keys(limit: u32, cursor: Option<&str>) -> Page<ApiKey>;
    fn delete_key(id: &KeyId) -> bool;
    fn record_key_use(hash: &str, now: Timestamp) -> ();
    fn insert_client(client: &Client) -> ();
    fn find_client(id: &ClientId) -> Option<Client>;
    fn find_client_by_key(client_key: &str) -> Option<Client>;
    fn list_clients(project: Option<&ProjectId>, limit: u32, cursor: Option<&str>) -> Page<Client>;
    fn update_client(client: &Client) -> ();
    fn record_secret_use(client: &Client, secret: &str, now: Timestamp) -> ();
    fn delete_client(client: &Client) -> bool;
    fn insert_session(session: &Session) -> ();
    fn find_session(project: &ProjectId, id: &SessionId) -> Option<Session>;
    fn find_session_by_token(token_hash: &str) -> Option<Session>;
    fn delete_session(session: &Session) -> bool;
    fn start_flow(flow: &Flow, session: &Session, now: Timestamp) -> bool;
    fn find_flow(project: &ProjectId, id: &FlowId) -> Option<Flow>;
    fn find_flow_by_state(state_hash: &str) -> Option<Flow>;
    fn park_flow(flow: &Flow, parking: &Parking, now: Timestamp) -> bool;
    fn fail_flow(flow: &Flow, from: FlowStatus, problem: &str, now: Timestamp) -> bool;
    fn claim_exchange(flow: &Flow, until: Timestamp, now: Timestamp) -> bool;
    fn release_exchange(flow: &Flow) -> bool;
    fn complete_flow(flow: &Flow, credential: &Credential, now: Timestamp) -> Completion;
    fn find_credential(project: &ProjectId, id: &CredentialId) -> Option<Credential>;
    fn list_credentials(project: &ProjectId, limit: u32, cursor: Option<&str>) -> Page<Credential>;
    fn is_name_taken(project: &ProjectId, owner: &str, name: &str) -> bool;
    fn find_shared_credential(project: &ProjectId, id: &CredentialId) -> Option<Credential>;
    fn insert_credential(credential: &Credential) -> ();
    fn update_credential(old: &Credential, new: &Credential) -> ();
    fn replace_grant(flow: Option<&Flow>, base: &Credential, new: &Credential, now: Timestamp) -> Replacement;
    fn learn_lifetime(learned: &Credential) -> bool;
    fn change_status(base: &Credential, change: &StatusChange) -> Attempted;
    fn record_attempt(project: &ProjectId, id: &CredentialId, number: u64, attempt: &Attempt) -> ();
    fn list_attempts(project: &ProjectId, id: &CredentialId) -> Vec<Attempt>;
    fn acquire_refresh(project: &ProjectId, id: &CredentialId, acquire: &AcquireRefresh) -> Attempted;
    fn commit_refresh(project: &ProjectId, id: &CredentialId, commit: &CommitRefresh) -> Attempted;
    fn release_refresh(project: &ProjectId, id: &CredentialId, release: &ReleaseRefresh) -> Attempted;
    fn note_attempt(project: &ProjectId, id: &CredentialId, note: &NoteAttempt) -> Attempted;
    fn reschedule(base: &Credential, next_due: Option<i64>) -> bool;
    fn note_use(base: &Credential, now: Timestamp, next_due: Option<i64>) -> ();
    fn keep_orphan(project: &ProjectId, id: &CredentialId, orphan: &Orphan) -> ();
    fn list_orphans(project: &ProjectId, id: &CredentialId, base_generation: u64) -> Vec<Orphan>;
    fn warn_of(base: &Credential, event: &Event) -> bool;
    fn list_events(project: &ProjectId, id: &CredentialId) -> Vec<Event>;
    fn list_health(client: &ClientId) -> Vec<Health>;
    fn put_health(health: &Health, now: Timestamp) -> bool;
    fn list_due(shard: u32, now: Timestamp, limit: u32, cursor: Option<&str>) -> Page<Due>;
    fn begin_idempotent(record: &IdempotencyRecord, now: Timestamp) -> Idempotent;
    fn finish_idempotent(record: &IdempotencyRecord, answer: &Sealed) -> ();
    fn abandon_idempotent(record: &IdempotencyRecord) -> ();
    fn ping() -> ();
}
