//! A credential: one owner's standing authorization, and the record of its refreshes (REFRESH.md b.1).

use std::collections::BTreeMap;

use chrono::Duration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::client::GrantType;
use super::ids::{ClientId, CredentialId, ProjectId};
use super::place::Place;
use crate::clock::Timestamp;

/// Where a credential stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialStatus {
    /// Usable, and refreshed when due.
    Active,
    /// Refreshes fail, not for good; served while the access token lives (SUSPECT in REFRESH.md).
    RefreshFailing,
    /// The grant covers several accounts at the provider, and its owner has yet to choose one. It is shown and never
    /// stored: an active credential with something to choose from is refreshed like any other.
    ChoiceRequired,
    /// Only new consent helps (NEEDS_REAUTH, ORIGIN_CHANGED).
    ReauthorizationRequired,
    /// Switched off by somebody (FROZEN), or put aside because the provider granted more than was asked.
    Suspended,
    /// Disconnected here; the provider is being told until that is proven.
    Revoking,
    /// Disconnected here and, as far as the provider can be told, there.
    Revoked,
}

/// What a credential holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// Tokens of an authorization server.
    #[default]
    Oauth,
    /// A JSON document of the owner's.
    Raw,
}

/// What is known about the end of a grant at the provider (RFC 7009).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evidence {
    /// `revoked`: the provider said so; `not_supported`: it has no way to be told; `refused`: it would not;
    /// `nothing_to_revoke`: there was no token; `client_deleted`: nothing is left to ask with; `endpoint_not_bound`: its
    /// revocation endpoint is at an origin that the tokens must not be sent to; `gave_up`: it did not answer for a month.
    pub verdict: String,
    /// HTTP status of its last answer.
    pub provider_status: Option<u16>,
    /// When that was.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Whose account at the provider it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The issuer of the ID token.
    pub issuer: String,
    /// `sub`, or what the provider's API calls the account; unique within the issuer.
    pub subject: String,
    /// What people call it, where the API says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether `subject` is what the provider's API calls the account, and not a `sub` of OpenID Connect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub named_by_api: bool,
}

impl Account {
    /// Whether it is the same account. `None`: the two are named by different rules, so nobody can tell.
    pub fn is_same(&self, other: &Self) -> Option<bool> {
        // One client has one authorization server, so the subject says it all.
        (self.named_by_api == other.named_by_api).then(|| self.subject == other.subject)
    }
}

/// An account of the provider's from which the owner can choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChoice {
    /// The value of the variable when it is chosen.
    pub value: String,
    /// What people call it.
    pub label: String,
    /// The values of other variables that come with it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, String>,
}

/// A person's own account, or one made for the integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A person's own.
    #[default]
    Personal,
    /// A service account, best with the least rights.
    Integration,
}

/// The right to refresh, held by one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The worker.
    pub owner: String,
    /// Unix milliseconds; after it the holder is dead, for no invocation lives as long.
    pub until_ms: i64,
}

/// What is known about the outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// Written before the request: it may have been sent or not.
    Prepared,
    /// Sent, and the answer was lost.
    Unknown,
}

/// Written before the provider is called, so that a crash leaves a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The attempt, a UUID; also the version id of the token set it will write.
    pub attempt: String,
    /// The generation it starts from.
    pub base_gen: u64,
    /// Keyed fingerprint of the refresh token that is presented; never the token.
    pub rt_fp: String,
    /// Unix milliseconds.
    pub at_ms: i64,
    /// See [`Outcome`].
    pub outcome: Outcome,
    /// Fingerprints of the older refresh tokens that were presented because this one was refused: each at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<String>,
}

/// A credential as stored: metadata only. Tokens are in the vault, `cur` points at them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// Unique per owner and project.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// What it holds.
    #[serde(default)]
    pub kind: CredentialKind,
    /// The client it was made with; a raw credential has none.
    pub client: Option<ClientId>,
    /// How its tokens are obtained.
    #[serde(default)]
    pub grant: GrantType,
    /// The values of its client's variables that are no secrets; the others are in the vault.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// What its owner has yet to choose from, by the key of the variable.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub choices: BTreeMap<String, Vec<AccountChoice>>,
    /// What was looked up or chosen for the grant before this one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former: BTreeMap<String, String>,
    /// Unix milliseconds at which a look-up last brought nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_up_at: Option<i64>,
    /// Further projects whose programs may read its token.
    #[serde(default)]
    pub projects: Vec<ProjectId>,
    /// The platform's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The platform's id for it.
    pub external_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: CredentialStatus,
    /// Why, as a stable code.
    pub status_reason: Option<String>,
    /// What was asked.
    pub requested_scopes: Vec<String>,
    /// What was granted, as of the last answer that said so.
    pub granted_scopes: Vec<String>,
    /// Whose account it is, when an ID token or the provider's API said so.
    pub account: Option<Account>,
    /// A person's own account, or the integration's.
    #[serde(default)]
    pub account_kind: AccountKind,
    /// The only origins that may ever see its refresh token and the secrets its owner gave, separated by spaces.
    pub bound_origin: String,
    /// Whether new tokens can be had without the person: by a refresh token, or by a grant that needs nobody.
    pub refreshable: bool,
    /// The status to return to when a suspension is lifted.
    #[serde(default)]
    pub suspended_from: Option<CredentialStatus>,
    /// When the grant was last given or entered.
    #[serde(default)]
    pub granted_at: Option<Timestamp>,
    /// When the refresh token dies, as far as its importer or the provider said.
    #[serde(default)]
    pub refresh_expires_at: Option<Timestamp>,
    /// The life of an access token (seconds), where it was learned and not said in the answer.
    #[serde(default)]
    pub learned_lifetime: Option<u32>,
    /// Not a credential anybody can use, but a grant that has yet to be ended at the provider.
    #[serde(default)]
    pub detached: bool,
    /// What is known about its end.
    #[serde(default)]
    pub evidence: Option<Evidence>,

    /// Generation of the committed token set, counted from 1.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// The attempt that committed it.
    pub attempt: String,
    /// Where the vault has the committed token set.
    pub cur: String,
    /// Where the vault has the one before.
    pub prev: Option<String>,
    /// Unix milliseconds until which the provider may still accept the one before.
    pub prev_until: Option<i64>,
    /// Counts acquisitions; a commit under an older fence is refused.
    pub fence: u64,
    /// Absent: free.
    pub lease: Option<Lease>,
    /// Absent: nothing is in the air.
    pub intent: Option<Intent>,
    /// Unix milliseconds at which the access token was obtained.
    pub issued_at: i64,
    /// Unix milliseconds at which the access token expires; absent: unknown, served until it is refused.
    pub at_exp: Option<i64>,
    /// Unix milliseconds from which a refresh is wanted.
    pub refresh_after: Option<i64>,
    /// Unix milliseconds; counts the versions written to the vault (see `vault::WriteFloor`).
    #[serde(default)]
    pub written_until: i64,
    /// Failures in a row.
    #[serde(default)]
    pub fails: u32,
    /// Unix milliseconds before which no refresh is tried.
    pub backoff_until: Option<i64>,
    /// When tokens were last refreshed.
    pub last_refreshed_at: Option<Timestamp>,
    /// Unix milliseconds at which its token was last read, as far as that was noted: what nobody uses is kept alive, and
    /// not refreshed for every expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<i64>,
    /// Unix milliseconds of the end of the refresh token that its project was last warned of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned_of: Option<i64>,
    /// Unix milliseconds at which the index of due work has it; the store alone writes it.
    #[serde(default, skip_serializing)]
    pub due_at: Option<i64>,
}

/// The times of a new token set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Unix milliseconds at which the access token expires.
    pub at_exp: Option<i64>,
    /// Unix milliseconds from which a refresh is wanted.
    pub refresh_after: Option<i64>,
    /// How much earlier it may be wanted, so that many that were issued at once are not refreshed at once (milliseconds).
    pub slack: i64,
}

/// What is known about the lives of a provider's access tokens (seconds).
#[derive(Debug, Clone, Copy, Default)]
pub struct Lifetimes {
    /// What the provider is known for.
    pub default_lifetime: Option<u32>,
    /// What was learned about this credential.
    pub learned: Option<u32>,
    /// A refresh is refused before the token is this old.
    pub min_age: Option<u32>,
}

/// The longest life that is believed (90 days): odd values are cut to it, so that a refresh is always planned.
const MAX_LIFETIME: Duration = Duration::days(90);
/// The life of an access token whose answer does not say, when there is a refresh token to renew it with.
const DEFAULT_LIFETIME: Duration = Duration::hours(1);
/// The least margin before expiry, unless half the life is shorter.
const MIN_MARGIN: Duration = Duration::minutes(10);
/// The longest time over which refreshes are spread.
const MAX_SPREAD: Duration = Duration::hours(6);

impl Schedule {
    /// Of a token set that does not expire, or of which nothing is planned.
    pub const NEVER: Self = Self { at_exp: None, refresh_after: None, slack: 0 };

    /// Plans the life of a token set obtained at `now`: the margin is the greater of 10 minutes and a fifth of the life,
    /// but at most half of it, so that a provider's outage of minutes stays invisible (REFRESH.md b.2).
    ///
    /// A life that is not stated is the learned one, the provider's usual one, or, where a new token can be had, an hour.
    pub fn plan(now: Timestamp, expires_in: Option<u64>, facts: &Lifetimes, refreshable: bool) -> Self {
        let most = MAX_LIFETIME.num_seconds();
        let stated = expires_in.map(|seconds| Duration::seconds(i64::try_from(seconds).unwrap_or(most).min(most)));
        let usual = facts.learned.or(facts.default_lifetime).filter(|seconds| *seconds > 0);
        let usual = usual.map(|seconds| Duration::seconds(seconds.into()));
        let lifetime = stated.or(usual).or(refreshable.then_some(DEFAULT_LIFETIME));
        let Some(lifetime) = lifetime.map(|lifetime| lifetime.min(MAX_LIFETIME)) else {
            return Self::NEVER;
        };
        let margin = MIN_MARGIN.max(lifetime / 5).min(lifetime / 2);
        // A provider that refuses early refreshes would count each of them as an error.
        let earliest = Duration::seconds(facts.min_age.unwrap_or_default().into());
        let wait = (lifetime - margin).max(earliest);
        Self {
            at_exp: Some((now + lifetime).timestamp_millis()),
            refresh_after: refreshable.then(|| (now + wait).timestamp_millis()),
            slack: (margin / 2).min(wait - earliest).min(MAX_SPREAD).num_milliseconds(),
        }
    }

    /// Spreads refreshes over the slack, by a seed that differs from credential to credential: always the same for one.
    #[must_use]
    pub fn spread(self, seed: &CredentialId, generation: u64) -> Self {
        // FNV-1a: only its spread matters here.
        let octets = seed.as_str().bytes().chain(generation.to_le_bytes());
        let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let slack = u64::try_from(self.slack).unwrap_or_default();
        let earlier = i64::try_from((hash >> 32) % (slack + 1)).unwrap_or_default();
        Self { refresh_after: self.refresh_after.map(|at| at - earlier), slack: 0, ..self }
    }
}

impl Credential {
    /// When the access token expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.at_exp.and_then(chrono::DateTime::from_timestamp_millis)
    }

    /// Whether the access token can still be used.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.at_exp.is_none_or(|at| now.timestamp_millis() < at)
    }

    /// Whether somebody may hold the lease now.
    pub fn is_leased(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until_ms >= now.timestamp_millis())
    }

    /// How long to wait before the next refresh may be tried.
    pub fn backoff(&self, now: Timestamp) -> Option<Duration> {
        let left = self.backoff_until? - now.timestamp_millis();
        (left > 0).then(|| Duration::milliseconds(left))
    }

    /// Whether the owner disconnected it.
    pub fn is_ended(&self) -> bool {
        matches!(self.status, CredentialStatus::Revoking | CredentialStatus::Revoked)
    }

    /// Where it stands, as callers are told it.
    pub fn shown_status(&self) -> CredentialStatus {
        match self.status {
            CredentialStatus::Active if !self.choices.is_empty() => CredentialStatus::ChoiceRequired,
            status => status,
        }
    }

    /// Why it stands where it stands, as callers are told it. An active credential needs no reason, and what stands
    /// behind the reason of a suspension is for the time after it.
    pub fn shown_reason(&self) -> Option<&str> {
        let reason = self.status_reason.as_deref()?;
        match self.status {
            CredentialStatus::Active => None,
            CredentialStatus::Suspended => Some(reason.split_once(':').map_or(reason, |(reason, _)| reason)),
            _ => Some(reason),
        }
    }

    /// Where the vault has a generation of its token set or raw value.
    pub fn place(&self, generation: u64) -> Place {
        Place::new(self.project.as_str(), self.id.as_str()).bound(generation, self.bound_origin.as_str())
    }

    /// The versions in the vault that it points at, each with its generation: the one before, the committed one, and what
    /// the worker of its intent may have received.
    pub fn versions(&self) -> impl Iterator<Item = (&str, u64)> {
        let prev = self.prev.as_deref().map(|prev| (prev, self.generation.saturating_sub(1)));
        let received = self.intent.as_ref().map(|intent| (intent.attempt.as_str(), self.generation + 1));
        prev.into_iter().chain([(self.cur.as_str(), self.generation)]).chain(received)
    }

    /// Whether programs of this project may read its token.
    pub fn is_shared_with(&self, project: &ProjectId) -> bool {
        self.project == *project || self.projects.contains(project)
    }

    /// Whether the status lets a refresh be tried at all.
    pub fn may_refresh(&self) -> bool {
        self.refreshable && matches!(self.status, CredentialStatus::Active | CredentialStatus::RefreshFailing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_margin_is_a_fifth_but_at_least_ten_minutes_and_at_most_half() {
        for (life, margin) in [(3600, 720), (7200, 1440), (1800, 600), (600, 300), (60, 30)] {
            let schedule = Schedule::plan(at(0), Some(life), &Lifetimes::default(), true);
            assert_eq!(schedule.at_exp, Some(i64::try_from(life).unwrap() * 1000));
            assert_eq!(schedule.refresh_after, Some((i64::try_from(life).unwrap() - margin) * 1000), "life {life}");
        }
    }

    #[test]
    fn refreshes_of_tokens_that_were_issued_at_once_are_spread_and_never_too_early() {
        let planned = Schedule::plan(at(0), Some(3600), &Lifetimes::default(), true);
        let after = |generation| planned.spread(&CredentialId::generate(), generation).refresh_after.unwrap();
        let times: std::collections::BTreeSet<i64> = (1..=200).map(after).collect();
        assert!(times.len() > 190 && times.iter().all(|at| (2_520_000..=2_880_000).contains(at)), "{times:?}");
        let id = CredentialId::generate();
        assert_eq!(planned.spread(&id, 3), planned.spread(&id, 3));
        let strict = Lifetimes { min_age: Some(2880), ..Lifetimes::default() };
        let strict = Schedule::plan(at(0), Some(3600), &strict, true);
        assert_eq!(strict.spread(&id, 3).refresh_after, Some(2_880_000));
    }

    #[test]
    fn a_learned_life_goes_before_the_usual_one_and_an_early_refresh_waits() {
        let facts = Lifetimes { default_lifetime: Some(7200), learned: Some(600), min_age: Some(570) };
        let schedule = Schedule::plan(at(0), None, &facts, true);
        assert_eq!(schedule, Schedule { at_exp: Some(600_000), refresh_after: Some(570_000), slack: 0 });
    }

    #[test]
    fn odd_lifetimes_give_a_sane_due_time() {
        for huge in [u64::MAX, i64::MAX as u64, i64::MAX as u64 / 1000 + 1, 91 * 86_400] {
            let schedule = Schedule::plan(at(0), Some(huge), &Lifetimes::default(), true);
            assert_eq!(schedule.at_exp, Some(90 * 86_400_000), "{huge}");
        }
        let unknown = Schedule::plan(at(0), None, &Lifetimes::default(), true);
        assert_eq!(unknown.at_exp, Some(3_600_000));
        let configured =
            Schedule::plan(at(0), None, &Lifetimes { default_lifetime: Some(120), ..Lifetimes::default() }, true);
        assert_eq!(configured.at_exp, Some(120_000));
        let unrefreshable = Schedule::plan(at(0), None, &Lifetimes::default(), false);
        assert_eq!(unrefreshable, Schedule::NEVER);
    }
}
