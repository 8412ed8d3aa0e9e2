//! A program reports that the API refused a token: at most one guarded refresh, and a verdict.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::finding::{ApiAnswer, Finding};
use super::read_token::may_use;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialKind, CredentialStatus};
use crate::model::principal::Role;
use crate::protocol::advice::Advice;
use crate::refresh::Reason;
use crate::telemetry;

/// A token that a refresh brought less than this ago is not refreshed again: the next one would be refused as well.
const FRESH: Duration = Duration::minutes(1);

/// The shortest life that is learned: a token can also be refused because somebody withdrew it.
const SHORTEST_LEARNED: Duration = Duration::minutes(10);

/// The body of `POST /v1/credentials/{id}/report`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenReport {
    /// The generation of the token that was refused.
    pub generation: u64,
    /// The HTTP status of the API's answer: 401 or 403.
    pub status: u16,
    /// Its header `WWW-Authenticate`.
    #[serde(default)]
    pub www_authenticate: Option<String>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportVerdict {
    /// There is a newer token already.
    Superseded,
    /// A refresh brought a newer token.
    Refreshed,
    /// The token is accepted and lacks a right.
    InsufficientScope,
    /// The token is for another API.
    Audience,
    /// The token was not sent as the API wants it.
    HeaderScheme,
    /// The token was new, so another one would not help.
    RejectedWhileFresh,
    /// Only the owner's new consent brings another token.
    ReauthorizationRequired,
    /// A refresh was due and brought none; what is there stays.
    RefreshFailed,
}

/// The answer to a report.
pub struct Reported {
    /// What became of it.
    pub verdict: ReportVerdict,
    /// Why, and what to do.
    pub finding: Finding,
    /// The generation that there is now.
    pub generation: u64,
}

impl Reported {
    /// Whether a refresh brought a newer token for this report.
    pub fn refreshed(&self) -> bool {
        self.verdict == ReportVerdict::Refreshed
    }

    /// Whether the request to the API is worth repeating with the token that there is now.
    pub fn retry(&self) -> bool {
        matches!(self.verdict, ReportVerdict::Superseded | ReportVerdict::Refreshed)
    }
}

impl Broker {
    /// Takes the report of a token that the API refused.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a generation that there never was; [`Error::Suspended`] and [`Error::Revoked`].
    pub async fn report_token(&self, caller: &Caller, id: &str, report: TokenReport) -> Result<Reported> {
        let begun = Instant::now();
        caller.require(&[Role::Runner, Role::Platform], "tokens:report")?;
        let project = caller.project(None)?;
        if ![401, 403].contains(&report.status) {
            return Err(Error::field("/status", "unsupported", "401, or 403: other answers do not refuse a token."));
        }
        let credential = self.credential_of(&project, id).await?;
        may_use(caller, &credential)?;
        match credential.status {
            CredentialStatus::Suspended => return Err(Error::Suspended),
            CredentialStatus::Revoking | CredentialStatus::Revoked => return Err(Error::Revoked),
            CredentialStatus::Active
            | CredentialStatus::ChoiceRequired
            | CredentialStatus::RefreshFailing
            | CredentialStatus::ReauthorizationRequired => {}
        }
        if report.generation == 0 || report.generation > credential.generation {
            let rule = "The generation of a token that was read from here.";
            return Err(Error::field("/generation", "unknown_generation", rule));
        }
        let reported = self.judge(&credential, &report, begun).await?;
        telemetry::count("TokenReport", "taken", self.now());
        tracing::info!(
            credential = %credential.id, generation = report.generation, status = report.status,
            verdict = ?reported.verdict, key = %caller.key.id, "a token was reported"
        );
        Ok(reported)
    }

    async fn judge(&self, credential: &Credential, report: &TokenReport, begun: Instant) -> Result<Reported> {
        let generation = credential.generation;
        let verdict = |verdict, finding| Ok(Reported { verdict, finding, generation });
        if generation > report.generation {
            let detail = format!("There is a newer token, of generation {generation}.");
            let advice = ["Read the token again and repeat the request with it."];
            return verdict(ReportVerdict::Superseded, Finding::advising("superseded", detail, &advice));
        }
        if credential.kind == CredentialKind::Raw {
            let advice = ["Ask the owner to replace the credential's value."];
            let detail = "The API refused the value, and only its owner has another one.";
            return verdict(
                ReportVerdict::ReauthorizationRequired,
                Finding::advising("value_refused", detail, &advice),
            );
        }
        let client = self.client_of_credential(credential).await?;
        let now = self.now();
        let answer = ApiAnswer {
            status: Some(report.status),
            www_authenticate: report.www_authenticate.as_deref(),
            ..ApiAnswer::default()
        };
        let advice = answer.classify(&client, credential, now);
        if let Some(known) = explained(&answer, report.status, &advice) {
            return verdict(known, Finding::Classified(advice));
        }
        // A provider that refuses early refreshes counts each of them as an error, whoever asked for it.
        if is_fresh(credential, now) || is_early(&client, credential, now) {
            return verdict(ReportVerdict::RejectedWhileFresh, Finding::Classified(advice));
        }
        match self.refresh_now(&client, credential, Reason::Due, begun).await {
            Ok(newer) => {
                self.learn_from_refusal(credential, &newer, now).await;
                Ok(Reported {
                    verdict: ReportVerdict::Refreshed,
                    generation: newer.generation,
                    finding: Finding::advising(
                        "refreshed",
                        format!("A refresh brought a new token, of generation {}.", newer.generation),
                        &["Read the token again and repeat the request with it."],
                    ),
                })
            }
            Err(error) => match error.plain() {
                Error::ReauthorizationRequired { .. } | Error::Conflict { code: "not_refreshable", .. } => {
                    verdict(ReportVerdict::ReauthorizationRequired, Finding::Failed(error))
                }
                Error::NotFound | Error::Suspended | Error::Revoked | Error::Dependency(_) | Error::Internal(_) => {
                    Err(error)
                }
                _ => verdict(ReportVerdict::RefreshFailed, Finding::Failed(error)),
            },
        }
    }
}

impl Broker {
    /// A token that was dead before its time shows how long such tokens live, where the provider does not say: the next
    /// ones are refreshed before that. What an answer states goes before it, so it does no harm where one does.
    async fn learn_from_refusal(&self, refused: &Credential, newer: &Credential, now: Timestamp) {
        if !refused.is_alive(now) {
            return;
        }
        let lived = Duration::milliseconds(now.timestamp_millis() - refused.issued_at);
        // A token can also be refused because somebody withdrew it, and a vault that takes few versions cannot follow a
        // short life: a token is refreshed after half of it.
        let interval = self.vault().write_floor().map_or(0, |floor| floor.interval_seconds);
        let followed = Duration::seconds(i64::from(interval) * 2);
        if lived < followed.max(SHORTEST_LEARNED) {
            return;
        }
        // The last observation counts: a life that was thought too short can grow back.
        let lived = u32::try_from(lived.num_seconds()).unwrap_or(u32::MAX);
        if newer.learned_lifetime == Some(lived) {
            return;
        }
        let learned = Credential { learned_lifetime: Some(lived), ..newer.clone() };
        if let Err(error) = self.store().learn_lifetime(&learned).await {
            tracing::warn!(credential = %newer.id, %error, "the life of a refused token was not noted");
        }
    }
}

/// What the API's answer explains by itself, so that no other token would do better.
fn explained(answer: &ApiAnswer<'_>, status: u16, advice: &Advice) -> Option<ReportVerdict> {
    if status == 403 || answer.wants_scope() {
        return Some(ReportVerdict::InsufficientScope);
    }
    if answer.names_audience() {
        return Some(ReportVerdict::Audience);
    }
    (advice.code == "api_header_prefix").then_some(ReportVerdict::HeaderScheme)
}

/// A refresh brought this token a moment ago. One that came with the consent shows nothing yet of what a refresh brings.
fn is_fresh(credential: &Credential, now: Timestamp) -> bool {
    let obtained = chrono::DateTime::from_timestamp_millis(credential.issued_at);
    credential.last_refreshed_at.is_some() && obtained.is_some_and(|at| now - at < FRESH)
}

fn is_early(client: &Client, credential: &Credential, now: Timestamp) -> bool {
    let min_age = Duration::seconds(client.settings.refresh.min_age_seconds.unwrap_or_default().into());
    credential.is_alive(now) && now.timestamp_millis() < credential.issued_at + min_age.num_milliseconds()
}
