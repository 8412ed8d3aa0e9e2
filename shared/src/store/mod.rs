#![doc = include_str!("README.md")]

pub mod dynamodb;
pub mod queue;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::model::attempt::Attempt;
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialStatus, Evidence, Outcome};
use crate::model::event::Event;
use crate::model::flow::{Flow, FlowStatus};
use crate::model::health::Health;
use crate::model::ids::{ClientId, CredentialId, FlowId, KeyId, ProjectId, SessionId};
use crate::model::principal::ApiKey;
use crate::model::project::Project;
use crate::model::session::Session;
use crate::vault::root_key::Sealed;

/// How many shards the index of due work has. 2,800 refreshes a second (ten million credentials an hour) are 88 changes
/// a second and shard, of two writes each: far below the 1,000 that one partition takes.
pub const DUE_SHARDS: u32 = 64;

/// What a store can fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// What `insert_*` would make exists already.
    #[error("it exists already")]
    AlreadyExists,
    /// The object changed since it was read, or is gone.
    #[error("it was changed meanwhile")]
    Changed,
    /// The database did not answer, or throttled.
    #[error("the table is unavailable")]
    Unavailable,
    /// An item does not have the form that this version writes.
    #[error("an item cannot be read")]
    Corrupt,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable => Self::Dependency("table"),
            StoreError::Corrupt => Self::Internal("an item of the table cannot be read"),
            StoreError::AlreadyExists => Self::Internal("an id was used twice"),
            StoreError::Changed => Self::Conflict {
                code: "changed_meanwhile",
                detail: "The object was changed by another call in the same moment.".to_owned(),
                advice: &["Read it again and repeat the call."],
            },
        }
    }
}

/// The result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins; `None` on the last.
    pub next: Option<String>,
}

/// What [`Store::park_flow`] writes.
pub struct Parking {
    /// Code, verifier and nonce, sealed.
    pub parked: Sealed,
    /// SHA-256 of the completion code, hex.
    pub completion_hash: String,
    /// When the completion code stops working.
    pub completion_expires_at: Timestamp,
}

/// What came of [`Store::complete_flow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The credential exists.
    Done,
    /// The owner has another credential of this name.
    NameTaken,
    /// The flow is no longer being exchanged by this call.
    Lost,
}

/// What came of [`Store::replace_grant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// The credential has the new generation, and the flow is completed.
    Done,
    /// The credential changed since it was read: read it again.
    Changed,
    /// The flow is no longer being exchanged by this call.
    Lost,
}

/// What [`Store::change_status`] writes. What is `None` is removed.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusChange {
    /// The status to go on with.
    pub status: CredentialStatus,
    /// Why.
    pub status_reason: Option<String>,
    /// The status to return to when a suspension is lifted.
    pub suspended_from: Option<CredentialStatus>,
    /// Failures in a row.
    pub fails: u32,
    /// Unix milliseconds; `None` takes the credential out of the index of due work.
    pub next_due: Option<i64>,
    /// What is known about its end.
    pub evidence: Option<Evidence>,
    /// The owner may use the name for another credential.
    pub frees_name: bool,
    /// The table may forget it, and its place in all lists, after this.
    pub forget_after: Option<Timestamp>,
}

/// What [`Store::acquire_refresh`] writes: lease and write-ahead intent (REFRESH.md S1).
#[derive(Debug, Clone)]
pub struct AcquireRefresh {
    /// The generation that the decision was made on.
    pub generation: u64,
    /// The worker.
    pub owner: String,
    /// The new attempt, a UUID.
    pub attempt: String,
    /// Keyed fingerprint of the refresh token that will be presented.
    pub rt_fp: String,
    /// Now.
    pub now: Timestamp,
    /// When the lease ends.
    pub until: Timestamp,
    /// The attempt of a dead worker to take over; `None` where there must be no intent.
    pub take_over: Option<String>,
    /// What was presented before because the refresh token was refused; it goes on being remembered.
    pub tried: Vec<String>,
    /// Where the credential stood in the index of due work when it was read (Unix milliseconds). Work that is due anyway
    /// before the lease ends stays where it is, which is cheaper; other work becomes due when the lease ends.
    pub due_before: Option<i64>,
}

/// What an attempt that is under way notes on its intent.
#[derive(Debug, Clone)]
pub struct NoteAttempt {
    /// The fence that was acquired.
    pub fence: u64,
    /// The attempt.
    pub attempt: String,
    /// What is known of the outcome by now.
    pub outcome: Outcome,
    /// The fingerprint of a further refresh token that is about to be presented.
    pub tried: Option<String>,
}

/// A token set that was received and could not be committed: the journal of REFRESH.md S5b.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Orphan {
    /// The generation that the attempt started from.
    pub base_gen: u64,
    /// The fence of the attempt.
    pub fence: u64,
    /// The attempt.
    pub attempt: String,
    /// Where the vault has the token set.
    pub pointer: String,
    /// When it was received.
    pub received_at: Timestamp,
}

/// A new committed generation (REFRESH.md S5).
#[derive(Debug, Clone)]
pub struct CommitRefresh {
    /// The fence that was acquired.
    pub fence: u64,
    /// The generation that the attempt started from.
    pub base_generation: u64,
    /// The attempt.
    pub attempt: String,
    /// Where the vault has the new token set.
    pub cur: String,
    /// Where the vault has the old one.
    pub prev: String,
    /// Unix milliseconds.
    pub prev_until: i64,
    /// Unix milliseconds.
    pub issued_at: i64,
    /// Unix milliseconds.
    pub at_exp: Option<i64>,
    /// Unix milliseconds.
    pub refresh_after: Option<i64>,
    /// Unix milliseconds; `None` takes the credential out of the index of due work.
    pub next_due: Option<i64>,
    /// Unix milliseconds; see [`crate::vault::WriteFloor`].
    pub written_until: i64,
    /// What is granted now.
    pub granted_scopes: Vec<String>,
    /// The status to go on with: active, or suspended when more was granted than asked.
    pub status: CredentialStatus,
    /// Why.
    pub status_reason: Option<String>,
    /// What is told of it, in the same transaction.
    pub event: Option<Event>,
    /// When.
    pub now: Timestamp,
}

/// The end of an attempt that brought no tokens.
#[derive(Debug, Clone)]
pub struct ReleaseRefresh {
    /// The fence that was acquired.
    pub fence: u64,
    /// The attempt.
    pub attempt: String,
    /// The intent stays, with this outcome: the next worker takes it over. `None` removes it.
    pub keep_intent: Option<Outcome>,
    /// Failures in a row, as of now.
    pub fails: u32,
    /// Unix milliseconds before which no refresh is tried.
    pub backoff_until: Option<i64>,
    /// The status to go on with.
    pub status: CredentialStatus,
    /// Why.
    pub status_reason: Option<String>,
    /// Unix milliseconds; `None` takes the credential out of the index of due work.
    pub next_due: Option<i64>,
    /// What is told of it, in the same transaction.
    pub event: Option<Event>,
}

/// What came of a conditional update of the refresh record.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempted {
    /// It was applied; this is the item now.
    Applied(Box<Credential>),
    /// It was refused; this is the item that stood against it, if it still exists.
    Refused(Option<Box<Credential>>),
}

/// Work that is due, as the index says. The index may be behind: the worker decides on the item itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The project.
    pub project: ProjectId,
    /// The credential.
    pub credential: CredentialId,
    /// The generation that was due.
    pub generation: u64,
    /// Its client: a slow one has a queue of its own.
    pub client: Option<ClientId>,
    /// Unix milliseconds from which it has been due.
    pub due_at: i64,
}

/// What is known about an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq)]
pub enum Idempotent {
    /// It is new and now ours: do the work, then finish or abandon it.
    Begun,
    /// The same key came with another body.
    OtherBody,
    /// The first call is not over.
    UnderWay,
    /// The answer of the first call.
    Answered(Sealed),
}

/// What a call with an `Idempotency-Key` is remembered by.
#[derive(Debug, Clone)]
pub struct IdempotencyRecord {
    /// SHA-256 over the caller, the route and the key, hex.
    pub id: String,
    /// SHA-256 of the body, hex.
    pub body_hash: String,
    /// When the record may be forgotten.
    pub expires_at: Timestamp,
}

/// The metadata of the stack. It never holds a secret in the clear.
///
/// Obligations of every method, each a contract test: `insert_*` fails with [`StoreError::AlreadyExists`] when the object
/// is there; `find_*` reads consistently and returns `None` when it is not; conditional changes have exactly one winner
/// however many calls race; an object of one project cannot be found, listed or changed under another.
#[async_trait]
pub trait Store: Send + Sync {
    /// Adds a project; its slug must be free.
    async fn insert_project(&self, project: &Project) -> StoreResult<()>;
    /// A project.
    async fn find_project(&self, id: &ProjectId) -> StoreResult<Option<Project>>;
    /// All projects, by id.
    async fn list_projects(&self, limit: u32, cursor: Option<&str>) -> StoreResult<Page<Project>>;
    /// Replaces a project; its slug stays. Fails with `Changed` when it does not exist.
    async fn update_project(&self, project: &Project) -> StoreResult<()>;

    /// Adds a key; its hash must be new.
    async fn insert_key(&self, key: &ApiKey) -> StoreResult<()>;
    /// Adds a key, or replaces the one with the same hash.
    async fn put_key(&self, key: &ApiKey) -> StoreResult<()>;
    /// A key by the hash of its value.
    async fn find_key(&self, hash: &str) -> StoreResult<Option<ApiKey>>;
    /// All keys, by id.
    async fn list_keys(&self, limit: u32, cursor: Option<&str>) -> StoreResult<Page<ApiKey>>;
    /// Removes a key. `false`: there was none.
    async fn delete_key(&self, id: &KeyId) -> StoreResult<bool>;
    /// Notes that a key was used; does nothing when it is gone.
    async fn record_key_use(&self, hash: &str, now: Timestamp) -> StoreResult<()>;

    /// Adds a client; its `client_key` must never have been used.
    async fn insert_client(&self, client: &Client) -> StoreResult<()>;
    /// A client.
    async fn find_client(&self, id: &ClientId) -> StoreResult<Option<Client>>;
    /// A client by the key in its redirect URI.
    async fn find_client_by_key(&self, client_key: &str) -> StoreResult<Option<Client>>;
    /// Clients of a project and global ones, or, without a project, all; by id.
    async fn list_clients(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<Page<Client>>;
    /// Replaces a client whose stored revision is `client.revision - 1`; fails with `Changed` otherwise.
    async fn update_client(&self, client: &Client) -> StoreResult<()>;
    /// Notes that a client secret worked; does nothing when it is gone. Version and revision stay.
    async fn record_secret_use(&self, client: &Client, secret: &str, now: Timestamp) -> StoreResult<()>;
    /// Removes a client. Its `client_key` stays taken for ever. `false`: there was none.
    async fn delete_client(&self, client: &Client) -> StoreResult<bool>;

    /// Adds a connect session.
    async fn insert_session(&self, session: &Session) -> StoreResult<()>;
    /// A session of a project.
    async fn find_session(&self, project: &ProjectId, id: &SessionId) -> StoreResult<Option<Session>>;
    /// A session by the hash of the token in its link.
    async fn find_session_by_token(&self, token_hash: &str) -> StoreResult<Option<Session>>;
    /// Removes a session; its link stops working. `false`: there was none.
    async fn delete_session(&self, session: &Session) -> StoreResult<bool>;

    /// Adds a flow to its session and voids the flow that the session names. `false`, and nothing is written: the
    /// session is over or gone, another start came first, or the earlier flow was parked meanwhile.
    async fn start_flow(&self, flow: &Flow, session: &Session, now: Timestamp) -> StoreResult<bool>;
    /// A flow of a project.
    async fn find_flow(&self, project: &ProjectId, id: &FlowId) -> StoreResult<Option<Flow>>;
    /// A flow by the hash of its `state`.
    async fn find_flow_by_state(&self, state_hash: &str) -> StoreResult<Option<Flow>>;
    /// Consumes a pending flow that has not expired at `now` and parks its code. One winner; `false` for all others.
    async fn park_flow(&self, flow: &Flow, parking: &Parking, now: Timestamp) -> StoreResult<bool>;
    /// Ends a flow that is in the state `from`; what was parked is destroyed. One winner.
    async fn fail_flow(&self, flow: &Flow, from: FlowStatus, problem: &str, now: Timestamp) -> StoreResult<bool>;
    /// Takes the right to exchange the parked code, which nobody else then has. One winner.
    async fn claim_exchange(&self, flow: &Flow, until: Timestamp, now: Timestamp) -> StoreResult<bool>;
    /// Gives the right back: the code was surely not sent. One winner.
    async fn release_exchange(&self, flow: &Flow) -> StoreResult<bool>;
    /// Adds the credential, as [`Store::insert_credential`] does, and completes the flow that this call is exchanging, in
    /// one step.
    async fn complete_flow(&self, flow: &Flow, credential: &Credential, now: Timestamp) -> StoreResult<Completion>;

    /// A credential of a project, read consistently.
    async fn find_credential(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Option<Credential>>;
    /// Credentials of a project and those that are shared with it, by id.
    async fn list_credentials(
        &self,
        project: &ProjectId,
        limit: u32,
        cursor: Option<&str>,
    ) -> StoreResult<Page<Credential>>;
    /// Whether an owner has a credential of this name in a project.
    async fn is_name_taken(&self, project: &ProjectId, owner: &str, name: &str) -> StoreResult<bool>;
    /// A credential of another project, as long as it is shared with this one; read consistently.
    async fn find_shared_credential(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Option<Credential>>;
    /// Adds a credential that came without a flow. `AlreadyExists`: the owner has another one of this name. A repeated
    /// insertion of the same credential is a success. It is due from `refresh_after` if it can be refreshed or is being
    /// revoked, in the latter case at once where there is no such time. A detached one is in no list and takes no name.
    async fn insert_credential(&self, credential: &Credential) -> StoreResult<()>;
    /// Changes what people call it, whom it belongs to, its variables and choices, its account and whom it is shared with,
    /// and nothing else: the refresh record is left alone. `AlreadyExists`: the name is taken. `Changed`: since `old` was
    /// read it was renamed, given to another owner or ended; for a change of `projects`, shared with others; for one of
    /// variables, choices or account, it has another generation; for one of variables or choices, those changed. A
    /// repetition that finds its own change is a success.
    async fn update_credential(&self, old: &Credential, new: &Credential) -> StoreResult<()>;
    /// Puts a new grant in the place of the one that `base` has, if generation and owner are still the same and it was
    /// neither suspended, unsuspended nor ended since, and completes the flow that brought it, in one step. Lease and
    /// intent end, and the fence rises: a refresh of the old grant that is under way is not committed. What
    /// [`Store::update_credential`] changes stays, except for the variables. A repeated replacement is `Done`.
    async fn replace_grant(
        &self,
        flow: Option<&Flow>,
        base: &Credential,
        new: &Credential,
        now: Timestamp,
    ) -> StoreResult<Replacement>;
    /// Notes the life of the access token of this generation that was learned. `false`: there is a newer generation.
    async fn learn_lifetime(&self, learned: &Credential) -> StoreResult<bool>;
    /// Changes the status if it and the owner are still those of `base`, whoever refreshes and whatever the name is by
    /// now; lease and intent stay, but no refresh is begun or committed where the status forbids it. A name is freed only
    /// where it is still this credential's. A repetition that finds its own change is `Applied`.
    async fn change_status(&self, base: &Credential, change: &StatusChange) -> StoreResult<Attempted>;
    /// Keeps an attempt in the place of the one that is [`crate::model::attempt::KEPT`] older. The table may forget it 90
    /// days later, so that none outlives its credential for long.
    async fn record_attempt(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        number: u64,
        attempt: &Attempt,
    ) -> StoreResult<()>;
    /// The attempts that are kept, the newest first.
    async fn list_attempts(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Attempt>>;

    /// Takes lease, fence and intent in one conditional update; the credential is due when the lease ends, or since before.
    async fn acquire_refresh(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        acquire: &AcquireRefresh,
    ) -> StoreResult<Attempted>;
    /// Commits a new generation if fence, generation and attempt are still ours. A repeated commit of the same attempt
    /// is `Applied`. The event is there exactly when the change is.
    async fn commit_refresh(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        commit: &CommitRefresh,
    ) -> StoreResult<Attempted>;
    /// Ends an attempt without new tokens if fence and attempt are still ours. The event is there exactly when the change
    /// is.
    async fn release_refresh(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        release: &ReleaseRefresh,
    ) -> StoreResult<Attempted>;
    /// Notes something on the intent of an attempt that is under way, if fence and attempt are still ours and the status
    /// lets it go on. A further token comes behind those that were tried before.
    async fn note_attempt(&self, project: &ProjectId, id: &CredentialId, note: &NoteAttempt) -> StoreResult<Attempted>;
    /// Moves the due time of a credential, or takes it out of the index of due work, if it is still as `base` (its
    /// generation, fence and status) and nobody has leased it since: a lease that `base` shows must have lapsed. The due
    /// time is then all that counts, so a backoff ends. `false`: it is not.
    async fn reschedule(&self, base: &Credential, next_due: Option<i64>) -> StoreResult<bool>;
    /// Notes that the token of `base` is read, if its generation is still the same. With `next_due` it becomes due then,
    /// and nothing is noted where another call is about to decide that: under a lease, with an attempt that was left, in a
    /// backoff, or with a status that forbids a refresh. The next read notes it.
    async fn note_use(&self, base: &Credential, now: Timestamp, next_due: Option<i64>) -> StoreResult<()>;
    /// Keeps a token set that could not be committed, for 30 days. A repetition is a success.
    async fn keep_orphan(&self, project: &ProjectId, id: &CredentialId, orphan: &Orphan) -> StoreResult<()>;
    /// The token sets that were received for the successor of a generation and not committed, the newest first.
    async fn list_orphans(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        base_generation: u64,
    ) -> StoreResult<Vec<Orphan>>;
    /// Notes that the credential's project is warned of the end of its refresh token, with the event, in one step.
    /// `false`: it was warned of that end before, or the credential has another generation.
    async fn warn_of(&self, base: &Credential, event: &Event) -> StoreResult<bool>;
    /// What happened to a credential and waits for its delivery, the oldest first.
    async fn list_events(&self, project: &ProjectId, id: &CredentialId) -> StoreResult<Vec<Event>>;
    /// How a client's endpoints are doing.
    async fn list_health(&self, client: &ClientId) -> StoreResult<Vec<Health>>;
    /// Writes how an endpoint is doing, if the stored version is the one before; the table may forget it a day after
    /// `now`. `false`: another call was first.
    async fn put_health(&self, health: &Health, now: Timestamp) -> StoreResult<bool>;
    /// What is due in one shard of the index, the longest overdue first.
    async fn list_due(&self, shard: u32, now: Timestamp, limit: u32, cursor: Option<&str>) -> StoreResult<Page<Due>>;

    /// Begins or recognises a call with an `Idempotency-Key`. One that was begun and neither finished nor abandoned within
    /// a minute may be begun again.
    async fn begin_idempotent(&self, record: &IdempotencyRecord, now: Timestamp) -> StoreResult<Idempotent>;
    /// Keeps the answer of a call that was begun.
    async fn finish_idempotent(&self, record: &IdempotencyRecord, answer: &Sealed) -> StoreResult<()>;
    /// Forgets a call that was begun and failed, so that it can be repeated.
    async fn abandon_idempotent(&self, record: &IdempotencyRecord) -> StoreResult<()>;

    /// Whether the table can be read.
    async fn ping(&self) -> StoreResult<()>;
}
