//! The refresh record of one credential, small enough to be hashed a million times, and its two conversions: the pure
//! functions of the engine and of the store's reference work on a [`Credential`].
//!
//! Time stands still in a record. A lease is either live or has lapsed, a pause is on or over; what the engine compares
//! with the clock is set apart on either side of [`now`].

use std::sync::LazyLock;

use chrono::Duration;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::credential::{Credential, CredentialStatus, Intent, Lease, Outcome};
use grantkeeper::model::ids::ProjectId;
use grantkeeper::testing::fixtures;

/// The credential's status; `CredentialStatus` itself cannot be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Status {
    #[default]
    Active,
    Failing,
    Dead,
    Suspended,
    Revoking,
    Revoked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    pub owner: u8,
    pub lapsed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    pub attempt: u8,
    pub unknown: bool,
    /// One bit for each refresh token.
    pub tried: u32,
}

/// See [`Credential`]. Attempts, pointers and refresh tokens are small numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Record {
    pub status: Status,
    pub reason: Option<&'static str>,
    pub suspended_from: Option<Status>,
    /// Counts grants: a replaced grant is another one.
    pub grant: u8,
    pub generation: u8,
    pub attempt: u8,
    pub cur: u8,
    pub prev: Option<u8>,
    pub fence: u8,
    pub lease: Option<Held>,
    pub intent: Option<Left>,
    pub fails: u8,
    /// No refresh is tried before a time that has not come.
    pub paused: bool,
    /// It is in the index of due work.
    pub due: bool,
}

/// All reasons that occur, so that a record can hold them without owning them.
const REASONS: [&str; 11] = [
    "invalid_grant",
    "invalid_grant_in_doubt",
    "answer_lost",
    "provider_unavailable",
    "suspended_by_owner",
    "suspended_by_owner:invalid_grant",
    "suspended_by_owner:invalid_grant_in_doubt",
    "suspended_by_owner:answer_lost",
    "suspended_by_owner:provider_unavailable",
    "revoked",
    "nothing_to_revoke",
];

static BASE: LazyLock<Credential> =
    LazyLock::new(|| fixtures::credential(&fixtures::flow(&fixtures::session(&ProjectId::generate()))));

/// The instant at which everything happens.
pub fn now() -> Timestamp {
    fixtures::start()
}

/// When a lease ends that is taken now.
pub fn until() -> Timestamp {
    now() + Duration::seconds(25)
}

pub fn interned(reason: &str) -> &'static str {
    REASONS.into_iter().find(|known| *known == reason).unwrap_or_else(|| panic!("{reason} is not in the list"))
}

impl Status {
    pub fn may_refresh(self) -> bool {
        matches!(self, Self::Active | Self::Failing)
    }
}

impl From<CredentialStatus> for Status {
    fn from(status: CredentialStatus) -> Self {
        match status {
            CredentialStatus::Active | CredentialStatus::ChoiceRequired => Self::Active,
            CredentialStatus::RefreshFailing => Self::Failing,
            CredentialStatus::ReauthorizationRequired => Self::Dead,
            CredentialStatus::Suspended => Self::Suspended,
            CredentialStatus::Revoking => Self::Revoking,
            CredentialStatus::Revoked => Self::Revoked,
        }
    }
}

impl From<Status> for CredentialStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Active => Self::Active,
            Status::Failing => Self::RefreshFailing,
            Status::Dead => Self::ReauthorizationRequired,
            Status::Suspended => Self::Suspended,
            Status::Revoking => Self::Revoking,
            Status::Revoked => Self::Revoked,
        }
    }
}

/// By what a refresh token is recognised.
pub fn fingerprint(token: u8) -> String {
    token.to_string()
}

fn number(text: &str) -> u8 {
    text.parse().expect("names are small numbers")
}

impl Record {
    pub fn is_leased(&self) -> bool {
        self.lease.is_some_and(|lease| !lease.lapsed)
    }

    pub fn credential(&self) -> Credential {
        let ms = |lapsed: bool| if lapsed { now().timestamp_millis() - 1 } else { until().timestamp_millis() };
        let intent = |left: Left| Intent {
            attempt: left.attempt.to_string(),
            base_gen: self.generation.into(),
            rt_fp: String::new(),
            at_ms: now().timestamp_millis(),
            outcome: if left.unknown { Outcome::Unknown } else { Outcome::Prepared },
            tried: (0..32).filter(|token| left.tried & (1 << token) != 0).map(fingerprint).collect(),
        };
        Credential {
            status: self.status.into(),
            status_reason: self.reason.map(str::to_owned),
            suspended_from: self.suspended_from.map(CredentialStatus::from),
            granted_at: Some(now() + Duration::days(self.grant.into())),
            generation: self.generation.into(),
            attempt: self.attempt.to_string(),
            cur: self.cur.to_string(),
            prev: self.prev.map(|prev| prev.to_string()),
            prev_until: self.prev.map(|_| until().timestamp_millis()),
            fence: self.fence.into(),
            lease: self.lease.map(|held| Lease { owner: held.owner.to_string(), until_ms: ms(held.lapsed) }),
            intent: self.intent.map(intent),
            fails: self.fails.into(),
            backoff_until: self.paused.then(|| until().timestamp_millis()),
            refresh_after: Some(now().timestamp_millis()),
            due_at: self.due.then(|| now().timestamp_millis()),
            ..BASE.clone()
        }
    }
}

impl From<&Credential> for Record {
    fn from(credential: &Credential) -> Self {
        let small = |value: u64| u8::try_from(value).expect("counts stay small");
        let now_ms = now().timestamp_millis();
        Self {
            status: credential.status.into(),
            reason: credential.status_reason.as_deref().map(interned),
            suspended_from: credential.suspended_from.map(Status::from),
            grant: credential.granted_at.map_or(0, |at| u8::try_from((at - now()).num_days()).expect("few grants")),
            generation: small(credential.generation),
            attempt: number(&credential.attempt),
            cur: number(&credential.cur),
            prev: credential.prev.as_deref().map(number),
            fence: small(credential.fence),
            lease: credential
                .lease
                .as_ref()
                .map(|lease| Held { owner: number(&lease.owner), lapsed: lease.until_ms < now_ms }),
            intent: credential.intent.as_ref().map(|intent| Left {
                attempt: number(&intent.attempt),
                unknown: intent.outcome == Outcome::Unknown,
                tried: intent.tried.iter().fold(0, |all, tried| all | 1 << number(tried)),
            }),
            fails: u8::try_from(credential.fails).expect("counts stay small"),
            paused: credential.backoff(now()).is_some(),
            due: credential.due_at.is_some(),
        }
    }
}

#[test]
fn a_record_is_the_same_after_both_conversions() {
    let record = Record {
        status: Status::Suspended,
        reason: Some("suspended_by_owner:answer_lost"),
        suspended_from: Some(Status::Failing),
        grant: 1,
        generation: 3,
        attempt: 7,
        cur: 8,
        prev: Some(9),
        fence: 4,
        lease: Some(Held { owner: 5, lapsed: true }),
        intent: Some(Left { attempt: 6, unknown: true, tried: 0b1010 }),
        fails: 2,
        paused: true,
        due: true,
    };
    for record in [record, Record::default(), Record { lease: Some(Held { owner: 5, lapsed: false }), ..record }] {
        assert_eq!(Record::from(&record.credential()), record);
    }
}
