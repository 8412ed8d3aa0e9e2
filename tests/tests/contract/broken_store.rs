//! A store that forgets one obligation and keeps all others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::types::AttributeValue;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::attempt::Attempt;
use grantkeeper::model::client::Client;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper::model::event::Event;
use grantkeeper::model::flow::{Flow, FlowStatus};
use grantkeeper::model::health::Health;
use grantkeeper::model::ids::{ClientId, CredentialId, FlowId, KeyId, ProjectId, SessionId};
use grantkeeper::model::principal::ApiKey;
use grantkeeper::model::project::Project;
use grantkeeper::model::session::Session;
use grantkeeper::store::{
    AcquireRefresh, Attempted, CommitRefresh, Completion, Due, IdempotencyRecord, Idempotent, NoteAttempt, Orphan,
    Page, Parking, ReleaseRefresh, Replacement, StatusChange, Store, StoreError, StoreResult,
};
use grantkeeper::testing::fixtures::unique;
use grantkeeper::testing::suite::RACERS;
use grantkeeper::vault::root_key::Sealed;

use super::store_flaws::Flaw;

/// The store with its flaw, in front of the real one.
pub struct BrokenStore {
    pub(super) real: Arc<dyn Store>,
    pub(super) sdk: Sdk,
    pub(super) table: &'static str,
    pub(super) flaw: Flaw,
    homes: Mutex<HashMap<CredentialId, ProjectId>>,
    looks: AtomicUsize,
    /// Whose attempts are everybody's.
    pub(super) anybodys: Mutex<Option<(ProjectId, CredentialId)>>,
    /// The events of changes that were wanted, applied or not.
    pub(super) wanted: Mutex<Vec<Event>>,
    /// Whose health is everybody's.
    pub(super) anyones: Mutex<Option<ClientId>>,
}

impl BrokenStore {
    pub fn new(real: Arc<dyn Store>, sdk: Sdk, table: &'static str, flaw: Flaw) -> Self {
        Self {
            real,
            sdk,
            table,
            flaw,
            homes: Mutex::default(),
            looks: AtomicUsize::new(0),
            anybodys: Mutex::default(),
            wanted: Mutex::default(),
            anyones: Mutex::default(),
        }
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// What a store that looks first makes of what it found. The other racers look as well before it goes on, so that the
    /// flaw shows however they interleave; outside of a race it waits for half a second.
    pub(super) async fn looked(&self, flaw: Flaw, is_free: bool) -> bool {
        if !self.has(flaw) {
            return false;
        }
        self.looks.fetch_add(1, Ordering::Relaxed);
        for _ in 0..50 {
            if self.looks.load(Ordering::Relaxed) >= RACERS {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        is_free
    }

    /// Makes what a credential has everybody's.
    pub(super) fn forget_whose(&self, flaw: Flaw, project: &ProjectId, id: &CredentialId) {
        if self.has(flaw) {
            *self.anybodys.lock().unwrap_or_else(PoisonError::into_inner) = Some((project.clone(), id.clone()));
        }
    }

    /// Whose it is that is asked for.
    pub(super) fn whose(&self, project: &ProjectId, id: &CredentialId) -> (ProjectId, CredentialId) {
        let anybodys = self.anybodys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        anybodys.unwrap_or_else(|| (project.clone(), id.clone()))
    }

    /// Tells of a change before it is made.
    fn tell(&self, event: Option<&Event>) {
        if self.has(Flaw::EventsComeBeforeTheChange) {
            self.wanted.lock().unwrap_or_else(PoisonError::into_inner).extend(event.cloned());
        }
    }

    /// The project in which a credential was stored.
    pub(super) fn home(&self, id: &CredentialId) -> Option<ProjectId> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Writes to an item past the store, without any condition.
    pub(super) async fn tamper(&self, pk: String, change: &str, status: Option<&str>) -> StoreResult<()> {
        let update = self.sdk.update_item().table_name(self.table).update_expression(change);
        let update = update.key("pk", AttributeValue::S(pk)).key("sk", AttributeValue::S("META".to_owned()));
        let status_value = status.map(|value| [(":status".to_owned(), AttributeValue::S(value.to_owned()))].into());
        let status_name = status.map(|_| [("#status".to_owned(), "status".to_owned())].into());
        let update = update.set_expression_attribute_names(status_name).set_expression_attribute_values(status_value);
        update.send().await.map(drop).map_err(|_| StoreError::Unavailable)
    }

    async fn set_flow_status(&self, project: &ProjectId, flow: &FlowId, status: &str) -> StoreResult<()> {
        self.tamper(format!("P#{project}#F#{flow}"), "SET #status = :status", Some(status)).await
    }

    fn refused(&self, attempted: Attempted) -> Attempted {
        match attempted {
            Attempted::Refused(_) if self.has(Flaw::RefusalHasNoImage) => Attempted::Refused(None),
            attempted => attempted,
        }
    }
}

macro_rules! broken {
    (
        keeps { $(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty;)* }
        forgets_elsewhere { $(fn $other:ident($($argument:ident: $kind:ty),*) -> $outcome:ty;)* }
        forgets { $($forgetful:tt)* }
    ) => {
        #[async_trait]
        impl Store for BrokenStore {
            $(async fn $name(&self, $($arg: $type),*) -> StoreResult<$result> {
                self.real.$name($($arg),*).await
            })*
            $(async fn $other(&self, $($argument: $kind),*) -> StoreResult<$outcome> {
                BrokenStore::$other(self, $($argument),*).await
            })*
            $($forgetful)*
        }
    };
}

broken! {
    keeps {
        fn find_project(id: &ProjectId) -> Option<Project>;
        fn list_projects(limit: u32, cursor: Option<&str>) -> Page<Project>;
        fn update_project(project: &Project) -> ();
        fn insert_key(key: &ApiKey) -> ();
        fn find_key(hash: &str) -> Option<ApiKey>;
        fn list_keys(limit: u32, cursor: Option<&str>) -> Page<ApiKey>;
        fn delete_key(id: &KeyId) -> bool;
        fn insert_client(client: &Client) -> ();
        fn find_client(id: &ClientId) -> Option<Client>;
        fn find_client_by_key(client_key: &str) -> Option<Client>;
        fn find_session(project: &ProjectId, id: &SessionId) -> Option<Session>;
        fn find_session_by_token(token_hash: &str) -> Option<Session>;
        fn delete_session(session: &Session) -> bool;
        fn find_flow(project: &ProjectId, id: &FlowId) -> Option<Flow>;
        fn find_flow_by_state(state_hash: &str) -> Option<Flow>;
        fn is_name_taken(project: &ProjectId, owner: &str, name: &str) -> bool;
        fn learn_lifetime(learned: &Credential) -> bool;
        fn finish_idempotent(record: &IdempotencyRecord, answer: &Sealed) -> ();
        fn abandon_idempotent(record: &IdempotencyRecord) -> ();
        fn ping() -> ();
    }
    forgets_elsewhere {
        fn find_shared_credential(project: &ProjectId, id: &CredentialId) -> Option<Credential>;
        fn insert_credential(credential: &Credential) -> ();
        fn update_credential(old: &Credential, new: &Credential) -> ();
        fn replace_grant(flow: Option<&Flow>, base: &Credential, new: &Credential, now: Timestamp) -> Replacement;
        fn change_status(base: &Credential, change: &StatusChange) -> Attempted;
        fn record_attempt(project: &ProjectId, id: &CredentialId, number: u64, attempt: &Attempt) -> ();
        fn list_attempts(project: &ProjectId, id: &CredentialId) -> Vec<Attempt>;
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
    }
    forgets {
        async fn record_secret_use(&self, client: &Client, secret: &str, now: Timestamp) -> StoreResult<()> {
            let place = |client: &Client| client.client_secrets.iter().position(|known| known.id == secret);
            let found = self.real.find_client(&client.id).await?;
            if self.has(Flaw::UseForgetsMoves) && found.as_ref().and_then(place) != place(client) {
                return Ok(());
            }
            self.real.record_secret_use(client, secret, now).await?;
            match self.real.find_client(&client.id).await? {
                Some(found) if self.has(Flaw::UseIsANewVersion) => {
                    self.real.update_client(&Client { revision: found.revision + 1, ..found }).await
                }
                _ => Ok(()),
            }
        }

        async fn insert_project(&self, project: &Project) -> StoreResult<()> {
            match self.real.insert_project(project).await {
                Err(StoreError::AlreadyExists) if self.has(Flaw::SlugIsNotUnique) => {
                    self.real.insert_project(&Project { slug: unique(), ..project.clone() }).await
                }
                outcome => outcome,
            }
        }

        async fn put_key(&self, key: &ApiKey) -> StoreResult<()> {
            if self.has(Flaw::PutAddsOnly) { self.real.insert_key(key).await } else { self.real.put_key(key).await }
        }

        async fn record_key_use(&self, hash: &str, now: Timestamp) -> StoreResult<()> {
            let gone = self.real.find_key(hash).await?.is_none();
            if gone && self.has(Flaw::UseBringsKeysBack) {
                let mut key = grantkeeper::testing::fixtures::api_key(&ProjectId::generate());
                key.hash = hash.to_owned();
                self.real.insert_key(&key).await?;
            }
            self.real.record_key_use(hash, now).await
        }

        async fn list_clients(
            &self,
            project: Option<&ProjectId>,
            limit: u32,
            cursor: Option<&str>,
        ) -> StoreResult<Page<Client>> {
            let project = project.filter(|_| !self.has(Flaw::ListForgetsProject));
            let mut page = self.real.list_clients(project, limit, cursor).await?;
            page.items.retain(|client| client.settings.project.is_some() || !self.has(Flaw::ListForgetsGlobals));
            Ok(page)
        }

        async fn update_client(&self, client: &Client) -> StoreResult<()> {
            let mut client = client.clone();
            let next = self.real.find_client(&client.id).await?.map_or(0, |found| found.revision + 1);
            let looked = self.looked(Flaw::UpdateLooksFirst, next == client.revision).await;
            if self.has(Flaw::UpdateForgetsVersion) {
                client.revision = next;
            }
            let updated = self.real.update_client(&client).await;
            if looked { Ok(()) } else { updated }
        }

        async fn delete_client(&self, client: &Client) -> StoreResult<bool> {
            let deleted = self.real.delete_client(client).await?;
            if self.has(Flaw::DeleteFreesClientKey) {
                let delete = self.sdk.delete_item().table_name(self.table);
                let delete = delete.key("pk", AttributeValue::S(format!("CK#{}", client.client_key)));
                let delete = delete.key("sk", AttributeValue::S("META".to_owned()));
                delete.send().await.map_err(|_| StoreError::Unavailable)?;
            }
            Ok(deleted)
        }

        async fn insert_session(&self, session: &Session) -> StoreResult<()> {
            let inserted = self.real.insert_session(session).await;
            if self.has(Flaw::InsertOverwrites) { Ok(()) } else { inserted }
        }

        async fn start_flow(&self, flow: &Flow, session: &Session, now: Timestamp) -> StoreResult<bool> {
            let now = if self.has(Flaw::StartForgetsSessionExpiry) { session.created_at } else { now };
            let mut session = session.clone();
            let found = self.real.find_session(&session.project, &session.id).await?.and_then(|found| found.flow);
            let looked = self.looked(Flaw::StartLooksFirst, found == session.flow).await;
            if self.has(Flaw::StartForgetsOtherStarts) {
                session.flow = found;
            }
            if let Some(earlier) = &session.flow
                && self.has(Flaw::StartReplacesParkedFlow)
            {
                self.set_flow_status(&flow.project, earlier, "pending").await?;
            }
            let started = self.real.start_flow(flow, &session, now).await?;
            if let Some(earlier) = &session.flow
                && self.has(Flaw::StartLeavesEarlierFlow)
            {
                self.set_flow_status(&flow.project, earlier, "pending").await?;
            }
            Ok(started || looked)
        }

        async fn park_flow(&self, flow: &Flow, parking: &Parking, now: Timestamp) -> StoreResult<bool> {
            let now = if self.has(Flaw::ParkForgetsExpiry) { flow.created_at } else { now };
            let found = self.real.find_flow(&flow.project, &flow.id).await?;
            let is_pending = found.is_some_and(|found| found.status == FlowStatus::Pending);
            let looked = self.looked(Flaw::ParkLooksFirst, is_pending).await;
            Ok(self.real.park_flow(flow, parking, now).await? || looked)
        }

        async fn fail_flow(&self, flow: &Flow, from: FlowStatus, problem: &str, now: Timestamp) -> StoreResult<bool> {
            let found = self.real.find_flow(&flow.project, &flow.id).await?;
            let from = found.filter(|_| self.has(Flaw::FailFromAnyState)).map_or(from, |found| found.status);
            self.real.fail_flow(flow, from, problem, now).await
        }

        async fn claim_exchange(&self, flow: &Flow, until: Timestamp, now: Timestamp) -> StoreResult<bool> {
            let now = if self.has(Flaw::ClaimForgetsExpiry) { flow.created_at } else { now };
            let found = self.real.find_flow(&flow.project, &flow.id).await?;
            let is_parked = found.is_some_and(|found| found.status == FlowStatus::Parked);
            let looked = self.looked(Flaw::ClaimLooksFirst, is_parked).await;
            Ok(self.real.claim_exchange(flow, until, now).await? || looked)
        }

        async fn release_exchange(&self, flow: &Flow) -> StoreResult<bool> {
            let released = self.real.release_exchange(flow).await?;
            Ok(released || self.has(Flaw::ReleaseAlwaysWins))
        }

        async fn complete_flow(
            &self,
            flow: &Flow,
            credential: &Credential,
            now: Timestamp,
        ) -> StoreResult<Completion> {
            if self.has(Flaw::CompleteForgetsFlow) {
                self.set_flow_status(&flow.project, &flow.id, "exchanging").await?;
            }
            let mut completion = self.real.complete_flow(flow, credential, now).await?;
            if completion == Completion::NameTaken && self.has(Flaw::CompleteForgetsName) {
                let renamed = Credential { name: unique(), ..credential.clone() };
                completion = self.real.complete_flow(flow, &renamed, now).await?;
            }
            let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
            homes.insert(credential.id.clone(), credential.project.clone());
            Ok(completion)
        }

        async fn find_credential(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Option<Credential>> {
            let home = self.home(id).filter(|_| self.has(Flaw::FindForgetsProject));
            self.real.find_credential(home.as_ref().unwrap_or(project), id).await
        }

        async fn list_credentials(
            &self,
            project: &ProjectId,
            limit: u32,
            cursor: Option<&str>,
        ) -> StoreResult<Page<Credential>> {
            let cursor = cursor.filter(|_| !self.has(Flaw::PagesNeverEnd));
            let mut page = self.real.list_credentials(project, limit, cursor).await?;
            page.items.retain(|credential| credential.project == *project || !self.has(Flaw::ListForgetsShared));
            if page.next.is_some() && self.has(Flaw::PagesLoseTheirLast) {
                page.items.pop();
            }
            Ok(page)
        }

        async fn acquire_refresh(
            &self,
            project: &ProjectId,
            id: &CredentialId,
            acquire: &AcquireRefresh,
        ) -> StoreResult<Attempted> {
            let mut acquire = acquire.clone();
            match self.flaw {
                Flaw::AcquireAlwaysMoves => acquire.due_before = None,
                Flaw::TakeOverForgetsTried => acquire.tried.clear(),
                _ => {}
            }
            let before = self.real.find_credential(project, id).await?;
            if let Some(found) = before.clone() {
                if self.looked(Flaw::AcquireLooksFirst, found.lease.is_none()).await {
                    self.real.acquire_refresh(project, id, &acquire).await?;
                    return Ok(Attempted::Applied(Box::new(found)));
                }
                match self.flaw {
                    Flaw::AcquireForgetsLease => acquire.now = Timestamp::MAX_UTC,
                    Flaw::AcquireForgetsIntent => acquire.take_over = found.intent.map(|intent| intent.attempt),
                    Flaw::AcquireForgetsGeneration => acquire.generation = found.generation,
                    _ => {}
                }
            }
            let home = self.home(id).filter(|_| self.has(Flaw::FindForgetsProject));
            let attempted = self.real.acquire_refresh(home.as_ref().unwrap_or(project), id, &acquire).await?;
            let pk = format!("P#{project}#C#{id}");
            let was_out = before.is_some_and(|before| before.due_at.is_none());
            if self.has(Flaw::AcquireMovesNothing) {
                self.tamper(pk, "SET due_at = refresh_after", None).await?;
            } else if self.has(Flaw::AcquireTrustsTheCaller) && was_out && acquire.due_before.is_some() {
                self.tamper(pk, "REMOVE due_shard, due_at", None).await?;
            }
            match self.real.find_credential(project, id).await? {
                Some(now) if matches!(attempted, Attempted::Applied(_)) => Ok(Attempted::Applied(Box::new(now))),
                _ => Ok(self.refused(attempted)),
            }
        }

        async fn commit_refresh(
            &self,
            project: &ProjectId,
            id: &CredentialId,
            commit: &CommitRefresh,
        ) -> StoreResult<Attempted> {
            let mut commit = commit.clone();
            self.tell(commit.event.as_ref());
            self.forget_whose(Flaw::EventsForgetTheirCredential, project, id);
            if self.has(Flaw::CommitForgetsEvent) {
                commit.event = None;
            }
            if let Some(found) = self.real.find_credential(project, id).await? {
                match self.flaw {
                    Flaw::CommitForgetsFence => commit.fence = found.fence,
                    Flaw::CommitForgetsAttempt => {
                        commit.attempt = found.intent.map_or(commit.attempt, |intent| intent.attempt);
                    }
                    Flaw::CommitForgetsGeneration => commit.base_generation = found.generation,
                    Flaw::CommitForgetsDueTime => commit.next_due = None,
                    Flaw::CommitForgetsStatus => commit.status = CredentialStatus::Active,
                    Flaw::CommitRevivesWhatEnded => {
                        let pk = format!("P#{project}#C#{id}");
                        self.tamper(pk, "SET #status = :status", Some("active")).await?;
                    }
                    Flaw::CommitRefusesRepetition if found.attempt == commit.attempt => {
                        return Ok(Attempted::Refused(Some(Box::new(found))));
                    }
                    _ => {}
                }
            }
            let attempted = self.real.commit_refresh(project, id, &commit).await?;
            Ok(self.refused(attempted))
        }

        async fn release_refresh(
            &self,
            project: &ProjectId,
            id: &CredentialId,
            release: &ReleaseRefresh,
        ) -> StoreResult<Attempted> {
            let mut release = release.clone();
            self.tell(release.event.as_ref());
            if self.has(Flaw::ReleaseForgetsEvent) {
                release.event = None;
            }
            if self.has(Flaw::ReleaseDropsIntent) {
                release.keep_intent = None;
            }
            if let Some(found) = self.real.find_credential(project, id).await?
                && self.has(Flaw::ReleaseForgetsFence)
            {
                release.fence = found.fence;
            }
            self.real.release_refresh(project, id, &release).await
        }

        async fn begin_idempotent(&self, record: &IdempotencyRecord, now: Timestamp) -> StoreResult<Idempotent> {
            let mut record = record.clone();
            if self.has(Flaw::ForgetsBody) {
                record.body_hash.clear();
            }
            let now = if self.has(Flaw::NeverForgetsCalls) { Timestamp::UNIX_EPOCH } else { now };
            match self.real.begin_idempotent(&record, now).await? {
                Idempotent::UnderWay if self.has(Flaw::AlwaysBegins) => Ok(Idempotent::Begun),
                known => Ok(known),
            }
        }
    }
}
