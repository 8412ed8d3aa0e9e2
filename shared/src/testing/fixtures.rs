//! Makers of models: valid, with fresh ids, to be changed where a test needs it.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration};

use crate::clock::Timestamp;
use crate::model::attempt::Attempt;
use crate::model::client::{
    Client, ClientSecret, ClientSettings, CredentialsFrom, GrantType, HeaderScheme, OptionalScope, RefreshFacts, Scopes,
};
use crate::model::credential::{Account, AccountKind, Credential, CredentialKind, CredentialStatus, Outcome};
use crate::model::event::{Event, EventKind};
use crate::model::flow::{COMPLETION_SECONDS, Flow, FlowStatus, LIFETIME_SECONDS};
use crate::model::health::{Ailment, Health};
use crate::model::ids::{ClientId, CredentialId, FlowId, KeyId, ProjectId, SessionId};
use crate::model::principal::{ApiKey, Projects, Role};
use crate::model::project::{Policies, Project};
use crate::model::session::{Binding, Offer, Session};
use crate::protocol::dialect::{RevocationDialect, TokenRequestDialect, TokenResponseDialect};
use crate::protocol::token::AuthMethod;
use crate::store::{
    AcquireRefresh, CommitRefresh, IdempotencyRecord, NoteAttempt, Orphan, Parking, ReleaseRefresh, StatusChange,
};
use crate::vault::root_key::{Sealed, sha256};

/// The origin of the authorization server of these fixtures.
pub const ORIGIN: &str = "https://as.example";

/// The instant at which tests begin: 2040-01-01T00:00:00.250Z. It is far ahead, so that no table forgets an item in the
/// middle of a test, and has milliseconds, so that what cuts them off is seen.
pub fn start() -> Timestamp {
    DateTime::from_timestamp_millis(2_208_988_800_250).unwrap_or_default()
}

/// A text that nothing else has: a UUID, which is also a version id that every vault takes.
pub fn unique() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// SHA-256 of a text that nothing else has, hex.
pub fn unique_hash() -> String {
    sha256(&unique())
}

/// Something that looks sealed.
pub fn sealed() -> Sealed {
    Sealed { key_version: unique(), data: unique_hash() }
}

/// A project.
pub fn project() -> Project {
    let id = ProjectId::generate();
    Project {
        name: "Example project".to_owned(),
        slug: format!("project-{}", unique()),
        policies: Policies { allowed_scopes: Some(vec!["read".to_owned()]), own_clients: true, ..Policies::default() },
        return_urls: vec!["https://platform.example/return".to_owned()],
        reauthorize_url: None,
        created_at: start(),
        id,
    }
}

/// The key of a project's backend, valid for a year.
pub fn api_key(project: &ProjectId) -> ApiKey {
    ApiKey {
        id: KeyId::generate(),
        hash: unique_hash(),
        name: "backend".to_owned(),
        role: Role::Platform,
        projects: Projects::Some(vec![project.clone()]),
        permissions: vec!["credentials:read".to_owned()],
        expires_at: start() + Duration::days(365),
        created_at: start(),
        last_used_at: None,
    }
}

/// A client of a project, or a global one, with every endpoint and one secret.
pub fn client(project: Option<&ProjectId>) -> Client {
    Client {
        id: ClientId::generate(),
        client_key: unique_hash(),
        version: 1,
        revision: 1,
        disabled: false,
        client_secrets: vec![ClientSecret {
            id: unique(),
            added_at: start(),
            last_success_at: None,
            retire_at: None,
            expires_at: Some(start() + Duration::days(90)),
        }],
        secret_origin: Some(ORIGIN.to_owned()),
        iss_required: true,
        jwks_uri: Some(format!("{ORIGIN}/jwks")),
        settings: client_settings(project),
        created_at: start(),
        updated_at: start(),
    }
}

/// What was configured for a client.
pub fn client_settings(project: Option<&ProjectId>) -> ClientSettings {
    let endpoint = |path: &str| Some(format!("{ORIGIN}/{path}"));
    ClientSettings {
        name: "Example".to_owned(),
        provider: None,
        project: project.cloned(),
        shared_with: Vec::new(),
        owner: Some("integrations@platform.example".to_owned()),
        client_id: Some("client at as.example".to_owned()),
        issuer: Some(ORIGIN.to_owned()),
        authorization_endpoint: endpoint("authorize"),
        token_endpoint: endpoint("token"),
        revocation_endpoint: endpoint("revoke"),
        introspection_endpoint: None,
        userinfo_endpoint: endpoint("userinfo"),
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        token_endpoint_auth_method: Some(AuthMethod::ClientSecretBasic),
        pkce: true,
        scopes: Scopes {
            required: vec!["read".to_owned()],
            optional: vec![OptionalScope { value: "write".to_owned(), label: Some("Change things".to_owned()) }],
            ..Scopes::default()
        },
        audience: None,
        resource: None,
        authorization_params: BTreeMap::from([("access_type".to_owned(), "offline".to_owned())]),
        credentials_from: CredentialsFrom::Client,
        authorization_names: BTreeMap::new(),
        token_request: TokenRequestDialect { grant_type: Some("renew".to_owned()), ..Default::default() },
        refresh_request: None,
        token_response: TokenResponseDialect { access_token: Some("/data/token".to_owned()), ..Default::default() },
        revocation_request: RevocationDialect::default(),
        variables: Vec::new(),
        values: BTreeMap::new(),
        api_headers: BTreeMap::new(),
        api_origins: Vec::new(),
        header: HeaderScheme::default(),
        api_base_url: Some("https://api.example".to_owned()),
        test_request: None,
        api_query: Default::default(),
        authorization_fragment: None,
        return_urls: Vec::new(),
        docs_url: None,
        refresh: RefreshFacts { grace_seconds: Some(30), ..RefreshFacts::default() },
        labels: BTreeMap::new(),
    }
}

/// A session that lasts an hour from [`start`].
pub fn session(project: &ProjectId) -> Session {
    Session {
        id: SessionId::generate(),
        project: project.clone(),
        token_hash: unique_hash(),
        owner: format!("owner-{}", unique()),
        offers: vec![Offer {
            client: ClientId::generate(),
            scopes: Some(vec!["read".to_owned()]),
            variables: BTreeMap::new(),
            inputs: Some(sealed()),
        }],
        name: None,
        scopes: None,
        suggested_scopes: vec!["write".to_owned()],
        credential: None,
        allow_account_change: false,
        authorization_params: BTreeMap::from([("login_hint".to_owned(), "ada@example.com".to_owned())]),
        return_url: Some("https://platform.example/return".to_owned()),
        binding: Binding::Backend,
        context: Some("cart=7".to_owned()),
        created_at: start(),
        expires_at: start() + Duration::hours(1),
        flow: None,
    }
}

/// A pending flow that was started in a session at [`start`].
pub fn flow(session: &Session) -> Flow {
    let client_key = unique_hash();
    Flow {
        id: FlowId::generate(),
        project: session.project.clone(),
        session: session.id.clone(),
        owner: session.owner.clone(),
        name: "Example".to_owned(),
        client: session.offers.first().map_or_else(ClientId::generate, |offer| offer.client.clone()),
        client_version: 1,
        grant: GrantType::AuthorizationCode,
        target: None,
        allow_account_change: false,
        variables: BTreeMap::from([("subdomain".to_owned(), "acme".to_owned())]),
        inputs: Some(sealed()),
        issuer: Some(ORIGIN.to_owned()),
        iss_required: true,
        token_endpoint: format!("{ORIGIN}/token"),
        redirect_uri: format!("https://broker.example/callback/{client_key}"),
        client_key,
        pkce: true,
        requested_scopes: vec!["read".to_owned()],
        state_hash: unique_hash(),
        cookie_hash: unique_hash(),
        key_version: unique(),
        return_url: session.return_url.clone(),
        context: session.context.clone(),
        binding: session.binding,
        created_at: start(),
        expires_at: start() + Duration::seconds(LIFETIME_SECONDS),
        status: FlowStatus::Pending,
        parked: None,
        completion_hash: None,
        completion_expires_at: None,
        exchange_until: None,
        exchange_attempt: None,
        completed_at: None,
        credential: None,
        problem: None,
    }
}

/// A code that came back at `now`.
pub fn parking(now: Timestamp) -> Parking {
    Parking {
        parked: sealed(),
        completion_hash: unique_hash(),
        completion_expires_at: now + Duration::seconds(COMPLETION_SECONDS),
    }
}

/// The credential that a flow leads to, of generation 1, in no index of due work.
pub fn credential(flow: &Flow) -> Credential {
    let first = unique();
    Credential {
        id: CredentialId::generate(),
        project: flow.project.clone(),
        name: flow.name.clone(),
        owner: flow.owner.clone(),
        kind: CredentialKind::Oauth,
        client: Some(flow.client.clone()),
        grant: GrantType::AuthorizationCode,
        variables: BTreeMap::from([("subdomain".to_owned(), "acme".to_owned())]),
        choices: Default::default(),
        former: Default::default(),
        looked_up_at: None,
        projects: Vec::new(),
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        external_id: Some("42".to_owned()),
        created_at: start(),
        status: CredentialStatus::Active,
        status_reason: None,
        requested_scopes: flow.requested_scopes.clone(),
        granted_scopes: flow.requested_scopes.clone(),
        account: Some(Account {
            issuer: ORIGIN.to_owned(),
            subject: "248289761001".to_owned(),
            label: None,
            named_by_api: false,
        }),
        account_kind: AccountKind::Personal,
        bound_origin: ORIGIN.to_owned(),
        refreshable: true,
        suspended_from: None,
        granted_at: Some(start()),
        refresh_expires_at: None,
        learned_lifetime: None,
        detached: false,
        evidence: None,
        generation: 1,
        attempt: first.clone(),
        cur: first,
        prev: None,
        prev_until: None,
        fence: 0,
        lease: None,
        intent: None,
        issued_at: start().timestamp_millis(),
        at_exp: Some((start() + Duration::hours(1)).timestamp_millis()),
        refresh_after: None,
        fails: 0,
        backoff_until: None,
        written_until: 0,
        last_refreshed_at: None,
        last_used_at: None,
        warned_of: None,
        due_at: None,
    }
}

/// What a new worker writes to take the lease of a credential for 25 seconds.
pub fn acquire(credential: &Credential, now: Timestamp) -> AcquireRefresh {
    AcquireRefresh {
        generation: credential.generation,
        owner: unique(),
        attempt: unique(),
        rt_fp: unique_hash().chars().take(16).collect(),
        now,
        until: now + Duration::seconds(25),
        take_over: None,
        tried: Vec::new(),
        due_before: credential.due_at,
    }
}

/// The commit of the attempt that a credential shows, at `now`; in no index of due work.
pub fn commit(leased: &Credential, now: Timestamp) -> CommitRefresh {
    let attempt = leased.intent.as_ref().map(|intent| intent.attempt.clone()).unwrap_or_default();
    CommitRefresh {
        fence: leased.fence,
        base_generation: leased.generation,
        cur: attempt.clone(),
        attempt,
        prev: leased.cur.clone(),
        prev_until: now.timestamp_millis() + 30_000,
        issued_at: now.timestamp_millis(),
        at_exp: Some(now.timestamp_millis() + 3_600_000),
        refresh_after: Some(now.timestamp_millis() + 2_880_000),
        next_due: None,
        written_until: now.timestamp_millis() + 600_000,
        granted_scopes: vec!["read".to_owned(), "write".to_owned()],
        status: CredentialStatus::Active,
        status_reason: None,
        event: None,
        now,
    }
}

/// The end, without tokens, of the attempt that a credential shows: it stays active, and in no index of due work.
pub fn release(leased: &Credential) -> ReleaseRefresh {
    ReleaseRefresh {
        fence: leased.fence,
        attempt: leased.intent.as_ref().map(|intent| intent.attempt.clone()).unwrap_or_default(),
        keep_intent: None,
        fails: leased.fails + 1,
        backoff_until: None,
        status: CredentialStatus::Active,
        status_reason: None,
        next_due: None,
        event: None,
    }
}

/// A credential as it is after another grant took the place of its own, with all changed that a replacement may change;
/// in no index of due work.
pub fn replacement(base: &Credential) -> Credential {
    let (attempt, at) = (unique(), start() + Duration::minutes(5));
    Credential {
        status: CredentialStatus::Active,
        status_reason: None,
        suspended_from: None,
        variables: BTreeMap::from([("subdomain".to_owned(), "umbrella".to_owned())]),
        requested_scopes: vec!["read".to_owned(), "write".to_owned()],
        granted_scopes: vec!["write".to_owned()],
        account: Some(Account {
            issuer: "https://other.example".to_owned(),
            subject: unique(),
            label: None,
            named_by_api: false,
        }),
        bound_origin: "https://other.example".to_owned(),
        refreshable: !base.refreshable,
        granted_at: Some(at),
        refresh_expires_at: Some(at + Duration::days(60)),
        learned_lifetime: Some(1_800),
        generation: base.generation + 1,
        cur: attempt.clone(),
        attempt,
        prev: None,
        prev_until: None,
        fence: base.fence + 1,
        lease: None,
        intent: None,
        issued_at: at.timestamp_millis(),
        at_exp: Some((at + Duration::minutes(30)).timestamp_millis()),
        refresh_after: None,
        written_until: at.timestamp_millis() + 600_000,
        fails: 0,
        backoff_until: None,
        ..base.clone()
    }
}

/// A change to this status and of nothing else; it takes the credential out of the index of due work.
pub fn status_change(status: CredentialStatus) -> StatusChange {
    StatusChange {
        status,
        status_reason: None,
        suspended_from: None,
        fails: 0,
        next_due: None,
        evidence: None,
        frees_name: false,
        forget_after: None,
    }
}

/// An attempt that failed at this instant.
pub fn attempt(at: Timestamp) -> Attempt {
    Attempt {
        id: unique(),
        at,
        purpose: "refresh".to_owned(),
        outcome: "provider_unavailable".to_owned(),
        generation: 1,
        exchanges: vec![serde_json::json!({
            "request": {"method": "POST", "url": "https://as.example/token", "headers": {}, "body": ""},
            "answer": {"status": 503, "body": null, "took_ms": 12.5, "odd": [true, -1, [], "\u{1F511}"]},
        })],
        diagnosis: Some(serde_json::json!({"code": "provider_unavailable", "advice": ["Try again later."]})),
    }
}

/// What an attempt that a credential shows notes: its answer was lost, and this token comes next.
pub fn note(leased: &Credential, tried: Option<&str>) -> NoteAttempt {
    NoteAttempt {
        fence: leased.fence,
        attempt: leased.intent.as_ref().map(|intent| intent.attempt.clone()).unwrap_or_default(),
        outcome: Outcome::Unknown,
        tried: tried.map(str::to_owned),
    }
}

/// A token set that an attempt with this fence received for the successor of a generation.
pub fn orphan(base_gen: u64, fence: u64) -> Orphan {
    let attempt = unique();
    Orphan { base_gen, fence, pointer: attempt.clone(), attempt, received_at: start() }
}

/// An event of a credential that nothing else tells of.
pub fn event(of: &Credential, kind: EventKind) -> Event {
    Event {
        id: format!("{}#{:010}#{:010}#{}", of.id, of.generation, of.fence, unique()),
        kind,
        project: of.project.clone(),
        credential: of.id.clone(),
        generation: of.generation,
        at: start(),
        reason: Some("provider_unavailable".to_owned()),
        dies_at: None,
    }
}

/// What is first written of an endpoint: that it failed.
pub fn health(client: &ClientId, origin: &str) -> Health {
    Health {
        version: 1,
        revision: 3,
        fails: 2,
        ailment: Some(Ailment::Unavailable),
        ..Health::unknown(client.clone(), origin)
    }
}

/// A call with an `Idempotency-Key`, remembered for a day from [`start`].
pub fn idempotency_record() -> IdempotencyRecord {
    IdempotencyRecord { id: unique_hash(), body_hash: unique_hash(), expires_at: start() + Duration::days(1) }
}
