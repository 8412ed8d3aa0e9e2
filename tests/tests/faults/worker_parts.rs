//! Store and vault of one worker: the real ones, with the worker's trap before the calls of the refresh engine.

use std::sync::Arc;

use async_trait::async_trait;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::attempt::Attempt;
use grantkeeper::model::client::Client;
use grantkeeper::model::credential::Credential;
use grantkeeper::model::event::Event;
use grantkeeper::model::flow::{Flow, FlowStatus};
use grantkeeper::model::health::Health;
use grantkeeper::model::ids::{ClientId, CredentialId, FlowId, KeyId, ProjectId, SessionId};
use grantkeeper::model::principal::ApiKey;
use grantkeeper::model::project::Project;
use grantkeeper::model::session::Session;
use grantkeeper::secret::Secret;
use grantkeeper::store::{
    AcquireRefresh, Attempted, CommitRefresh, Completion, Due, IdempotencyRecord, Idempotent, NoteAttempt, Orphan,
    Page, Parking, ReleaseRefresh, Replacement, StatusChange, Store, StoreError, StoreResult,
};
use grantkeeper::vault::root_key::Sealed;
use grantkeeper::vault::{Place, Prefetched, Vault, VaultError, VaultResult, WriteFloor};

use super::trap::{Op, Trap};

/// The vault of one worker.
pub struct WorkerVault {
    pub real: Arc<dyn Vault>,
    pub trap: Arc<Trap>,
}

#[async_trait]
impl Vault for WorkerVault {
    async fn prefetch(&self, place: &Place) -> Prefetched {
        self.real.prefetch(place).await
    }

    async fn open(&self, place: &Place, pointer: &str, prefetched: Prefetched) -> VaultResult<Secret<String>> {
        let call = self.real.open(place, pointer, prefetched);
        self.trap.around(Op::Open, VaultError::Unavailable, call).await
    }

    async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String> {
        let call = self.real.stage(place, version, document);
        self.trap.around(Op::Stage, VaultError::Unavailable, call).await
    }

    fn write_floor(&self) -> Option<WriteFloor> {
        self.real.write_floor()
    }

    async fn prepare(&self, place: &Place) -> VaultResult<()> {
        self.trap.around(Op::Prepare, VaultError::Unavailable, self.real.prepare(place)).await
    }

    async fn forget(&self, place: &Place, pointer: &str) -> VaultResult<()> {
        self.real.forget(place, pointer).await
    }

    async fn delete(&self, place: &Place) -> VaultResult<()> {
        self.real.delete(place).await
    }
}

/// The store of one worker.
pub struct WorkerStore {
    pub real: Arc<dyn Store>,
    pub trap: Arc<Trap>,
}

macro_rules! worker_store {
    (
        as_ever { $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)* }
        trapped { $(fn $trapped:ident($($argument:ident: $kind:ty),*) -> $outcome:ty = $op:expr;)* }
    ) => {
        #[async_trait]
        impl Store for WorkerStore {
            $(async fn $name(&self, $($arg: $type),*) -> StoreResult<$result> {
                self.real.$name($($arg),*).await
            })*
            $(async fn $trapped(&self, $($argument: $kind),*) -> StoreResult<$outcome> {
                let call = self.real.$trapped($($argument),*);
                self.trap.around($op, StoreError::Unavailable, call).await
            })*
        }
    };
}

worker_store! {
    as_ever {
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
        fn reschedule(base: &Credential, next_due: Option<i64>) -> bool;
        fn note_use(base: &Credential, now: Timestamp, next_due: Option<i64>) -> ();
        fn keep_orphan(project: &ProjectId, id: &CredentialId, orphan: &Orphan) -> ();
        fn list_orphans(project: &ProjectId, id: &CredentialId, base_generation: u64) -> Vec<Orphan>;
        fn warn_of(base: &Credential, event: &Event) -> bool;
        fn list_events(project: &ProjectId, id: &CredentialId) -> Vec<Event>;
        fn list_health(client: &ClientId) -> Vec<Health>;
        fn list_due(shard: u32, now: Timestamp, limit: u32, cursor: Option<&str>) -> Page<Due>;
        fn begin_idempotent(record: &IdempotencyRecord, now: Timestamp) -> Idempotent;
        fn finish_idempotent(record: &IdempotencyRecord, answer: &Sealed) -> ();
        fn abandon_idempotent(record: &IdempotencyRecord) -> ();
        fn ping() -> ();
    }
    trapped {
        fn acquire_refresh(project: &ProjectId, id: &CredentialId, acquire: &AcquireRefresh) -> Attempted = Op::Acquire;
        fn commit_refresh(project: &ProjectId, id: &CredentialId, commit: &CommitRefresh) -> Attempted = Op::Commit;
        fn release_refresh(project: &ProjectId, id: &CredentialId, release: &ReleaseRefresh) -> Attempted = Op::Release;
        fn put_health(health: &Health, now: Timestamp) -> bool = Op::NoteHealth;
        fn note_attempt(project: &ProjectId, id: &CredentialId, note: &NoteAttempt) -> Attempted =
            if note.tried.is_some() { Op::NoteTried } else { Op::NoteUnknown };
    }
}
