//! What an answer leads to: a new generation, or the end of the attempt without one (REFRESH.md S4 to S6).

use chrono::Duration;

use super::ask::Answer;
use super::attempt::{CLIENT_REJECTED, Obtained};
use super::{Engine, LEASE_SECONDS, Step, persist, suspended};
use crate::error::{Error, Result};
use crate::model::client::{Client, GrantType};
use crate::model::credential::{Credential, CredentialStatus, Outcome, Schedule};
use crate::model::token_set::TokenSet;
use crate::protocol::scope;
use crate::protocol::token::TokenAnswer;
use crate::store::{AcquireRefresh, Attempted, CommitRefresh, ReleaseRefresh};
use crate::telemetry;
use crate::vault::Prefetched;

/// The first backoff; it doubles with each failure in a row up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::seconds(5);
const MAX_BACKOFF: Duration = Duration::minutes(5);
/// Backoff after the authorization server refused our client: only an operator's change will help.
pub(super) const CLIENT_BACKOFF: Duration = Duration::minutes(1);
/// How often an `invalid_grant` that may come from a lost answer is tried again before consent is asked for.
const MAX_DOUBTS: u32 = 3;
/// The `status_reason` of a credential whose provider granted more than was asked.
pub(crate) const SCOPE_EXCEEDED: &str = "scope_exceeded";
/// The `status_reason` of a credential whose provider issued a token that is not a bearer token.
pub(crate) const UNUSABLE_TOKEN_TYPE: &str = "unusable_token_type";
/// The `status_reason` of a credential whose grant was refused, perhaps because an answer was lost.
const IN_DOUBT: &str = "invalid_grant_in_doubt";

impl Engine {
    /// S4 to S6.
    pub(super) async fn settle(
        &self,
        client: &Client,
        held: Credential,
        acquire: &AcquireRefresh,
        obtained: &Obtained,
        answer: Answer,
    ) -> Result<Step> {
        let now = self.clock.now();
        match answer {
            Answer::Tokens(answer) => self.commit(client, held, acquire, obtained, *answer).await,
            Answer::GrantRefused => self.grant_refused(held, acquire).await,
            // Nothing was spent: it is as if the request had not arrived.
            Answer::Unknown if !obtained.renewal.is_spent_by_use() => {
                telemetry::count("Refresh", "unknown", now);
                let retry_after = backoff(held.fails).to_std().ok();
                self.release(&held, acquire, Release::failing(&held, "answer_lost")).await?;
                Err(Error::ProviderUnavailable { what: "its answer was lost", retry_after })
            }
            Answer::ClientRefused { error, status } => {
                telemetry::count("Refresh", "client_refused", now);
                // The credential stays as it is; only whoever comes during the backoff is told why.
                let reason = Some(format!("{CLIENT_REJECTED}{error}"));
                let release = Release { backoff: Some(CLIENT_BACKOFF), reason, ..Release::untouched(&held) };
                self.release(&held, acquire, release).await?;
                Err(Error::ClientRejected { error, status: Some(status) })
            }
            Answer::Misbehaved(what) => {
                telemetry::count("Refresh", "misbehaved", now);
                let release =
                    Release { backoff: Some(CLIENT_BACKOFF), ..Release::failing(&held, "provider_misbehaved") };
                self.release(&held, acquire, release).await?;
                Err(Error::ProviderMisbehaved(what))
            }
            Answer::Later { retry_after } => {
                telemetry::count("Refresh", "later", now);
                let asked = retry_after.and_then(|after| Duration::from_std(after).ok());
                let release = Release {
                    backoff: asked.or(Some(backoff(held.fails))),
                    ..Release::failing(&held, "provider_unavailable")
                };
                self.release(&held, acquire, release).await?;
                Err(Error::ProviderUnavailable { what: "it asked to come again later", retry_after })
            }
            Answer::NotSent => {
                telemetry::count("Refresh", "not_sent", now);
                let release = Release::failing(&held, "provider_unreachable");
                self.release(&held, acquire, release).await?;
                Err(Error::ProviderUnavailable {
                    what: "it could not be reached",
                    retry_after: backoff(held.fails).to_std().ok(),
                })
            }
            Answer::Unknown => {
                telemetry::count("Refresh", "unknown", now);
                let release = Release { keep_intent: Some(Outcome::Unknown), ..Release::failing(&held, "answer_lost") };
                self.release(&held, acquire, release).await?;
                Err(Error::ProviderUnavailable {
                    what: "its answer was lost",
                    retry_after: backoff(held.fails).to_std().ok(),
                })
            }
        }
    }

    /// S4, S5: stage the new token set, then commit it. Nobody sees it before.
    async fn commit(
        &self,
        client: &Client,
        held: Credential,
        acquire: &AcquireRefresh,
        obtained: &Obtained,
        answer: TokenAnswer,
    ) -> Result<Step> {
        let now = self.clock.now();
        let schedule = Schedule::plan(now, answer.expires_in, &client.lifetimes(held.learned_lifetime), true);
        let usable = answer.usable;
        let mut tokens = TokenSet {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token.filter(|_| held.grant != GrantType::ClientCredentials),
            token_type: answer.token_type,
            expires_at: schedule.at_exp.and_then(chrono::DateTime::from_timestamp_millis),
            // RFC 6749 §5.1: an answer without scope grants what was asked, and a refresh asks for what there was.
            scopes: answer.scopes.unwrap_or_else(|| obtained.tokens.scopes.clone()),
            generation: held.generation + 1,
            bound_origin: obtained.tokens.bound_origin.clone(),
            extra: answer.extra,
            inputs: crate::model::token_set::SecretInputs::new(),
        };
        tokens.keep(&obtained.tokens);
        tokens.forget_password();

        let place = held.place(held.generation + 1);
        let document = tokens.to_document();
        let cur = persist(|| self.vault.stage(&place, &acquire.attempt, &document)).await?;
        let staged = Staged { pointer: cur, scopes: tokens.scopes, schedule, usable };
        self.commit_staged(client, &held, acquire, staged).await
    }

    /// S5: the linearization point.
    pub(super) async fn commit_staged(
        &self,
        client: &Client,
        held: &Credential,
        acquire: &AcquireRefresh,
        staged: Staged,
    ) -> Result<Step> {
        let now = self.clock.now();
        let Staged { pointer: cur, scopes: granted_scopes, schedule, usable } = staged;
        // More than was asked, or than was granted and accepted before: put aside, kept, and not served (N10).
        let known: Vec<String> = held.requested_scopes.iter().chain(&held.granted_scopes).cloned().collect();
        let beyond = if held.requested_scopes.is_empty() && held.granted_scopes.is_empty() {
            Vec::new()
        } else {
            scope::beyond(&granted_scopes, &known)
        };
        let reason = match (usable, beyond.is_empty()) {
            (false, _) => Some(UNUSABLE_TOKEN_TYPE),
            (true, false) => Some(SCOPE_EXCEEDED),
            (true, true) => None,
        };
        let status = if reason.is_some() { CredentialStatus::Suspended } else { CredentialStatus::Active };
        let next_due = schedule.refresh_after.filter(|_| reason.is_none());
        let grace = Duration::seconds(client.settings.refresh.grace_seconds.unwrap_or_default().into());
        let commit = CommitRefresh {
            fence: held.fence,
            base_generation: held.generation,
            attempt: acquire.attempt.clone(),
            cur,
            prev: held.cur.clone(),
            prev_until: (now + grace).timestamp_millis(),
            issued_at: now.timestamp_millis(),
            at_exp: schedule.at_exp,
            refresh_after: schedule.refresh_after,
            next_due,
            written_until: self
                .vault
                .write_floor()
                .map_or(0, |floor| floor.spend(held.written_until, now.timestamp_millis())),
            granted_scopes,
            status,
            status_reason: reason.map(str::to_owned),
            now,
        };
        match persist(|| self.store.commit_refresh(&held.project, &held.id, &commit)).await? {
            Attempted::Applied(newer) => {
                telemetry::count("Refresh", "committed", now);
                if let Some(reason) = reason {
                    tracing::warn!(credential = %newer.id, reason, security = true, "put aside after a refresh");
                    return Err(suspended(&newer));
                }
                tracing::info!(credential = %newer.id, generation = newer.generation, "refreshed");
                Ok(Step::Refreshed(newer))
            }
            // Another grant took the place of this one: what its last refresh brought is nobody's.
            Attempted::Refused(Some(other)) if other.granted_at != held.granted_at => {
                self.end_late(held, &acquire.attempt).await;
                Ok(Step::Busy(other))
            }
            // The staged version stays in the vault: it is the journal of what was received and not committed.
            Attempted::Refused(Some(other)) if other.status == CredentialStatus::Suspended => Err(suspended(&other)),
            // The owner disconnected it meanwhile. Whoever ends the grant finds what was staged and ends that, too.
            Attempted::Refused(Some(other)) if other.is_ended() => Err(Error::Revoked),
            Attempted::Refused(Some(other)) => {
                tracing::warn!(credential = %held.id, base = held.generation, attempt = %acquire.attempt, "a late refresh was not committed");
                Ok(Step::Busy(other))
            }
            Attempted::Refused(None) => Err(Error::NotFound),
        }
    }

    /// The grant was replaced while its last refresh was under way: nobody else knows of the tokens that this brought.
    async fn end_late(&self, held: &Credential, staged: &str) {
        let place = held.place(held.generation + 1);
        let ended = async {
            let document = self.vault.open(&place, staged, Prefetched::Nothing).await?;
            let tokens = TokenSet::from_document(&document).ok_or(Error::Internal("a token set cannot be read"))?;
            self.keep_apart(held, tokens).await
        };
        if let Err(error) = ended.await {
            tracing::error!(credential = %held.id, %error, "what a late refresh brought was not ended");
        }
    }

    /// S6: `invalid_grant` is believed only when no other explanation is left.
    async fn grant_refused(&self, held: Credential, acquire: &AcquireRefresh) -> Result<Step> {
        let now = self.clock.now();
        let current = self.find(&held.project, &held.id).await?;
        if current.generation != held.generation || current.fence != held.fence {
            return Ok(Step::Busy(Box::new(current)));
        }
        // An earlier attempt may have been processed with its answer lost; some providers also refuse for a moment only.
        let doubtful = acquire.take_over.is_some();
        // Other failures before it say nothing about the grant and are not counted.
        let doubts = if held.status_reason.as_deref() == Some(IN_DOUBT) { held.fails } else { 0 };
        if doubtful && doubts < MAX_DOUBTS {
            telemetry::count("Refresh", "doubtful", now);
            let pause = match doubts {
                0 => Duration::seconds(LEASE_SECONDS),
                1 => Duration::minutes(1),
                _ => Duration::minutes(5),
            };
            let release = Release {
                keep_intent: Some(Outcome::Unknown),
                backoff: Some(pause),
                fails: doubts + 1,
                ..Release::failing(&held, IN_DOUBT)
            };
            self.release(&held, acquire, release).await?;
            let retry_after = pause.to_std().ok();
            return Err(Error::ProviderUnavailable { what: "it refused a grant that may still be good", retry_after });
        }
        telemetry::count("Refresh", "reauthorization_required", now);
        self.release(&held, acquire, Release::dead("invalid_grant")).await?;
        tracing::warn!(credential = %held.id, generation = held.generation, "the grant was refused: new consent is needed");
        Err(Error::ReauthorizationRequired { reason: "invalid_grant".to_owned(), url: None })
    }

    pub(super) async fn release(&self, held: &Credential, acquire: &AcquireRefresh, release: Release) -> Result<()> {
        let now = self.clock.now();
        // That an earlier attempt may have spent the refresh token unseen is not forgotten by a later failure.
        let doubt = acquire.take_over.is_some().then_some(Outcome::Unknown);
        let backoff_until = release.backoff.map(|backoff| (now + backoff).timestamp_millis());
        let dead = release.status == CredentialStatus::ReauthorizationRequired;
        let release = ReleaseRefresh {
            fence: held.fence,
            attempt: acquire.attempt.clone(),
            keep_intent: release.keep_intent.or(doubt),
            fails: release.fails,
            backoff_until,
            status: release.status,
            status_reason: release.reason,
            next_due: if dead { None } else { backoff_until.or(held.refresh_after) },
        };
        // A refusal means that somebody took over: then there is nothing of ours to end.
        persist(|| self.store.release_refresh(&held.project, &held.id, &release)).await?;
        Ok(())
    }
}

/// A token set in the vault that is to be committed.
pub(super) struct Staged {
    pub(super) pointer: String,
    pub(super) scopes: Vec<String>,
    pub(super) schedule: Schedule,
    /// Whether a token of its type can be used.
    pub(super) usable: bool,
}

/// How an attempt ends without tokens.
pub(super) struct Release {
    pub(super) keep_intent: Option<Outcome>,
    pub(super) backoff: Option<Duration>,
    pub(super) fails: u32,
    pub(super) status: CredentialStatus,
    pub(super) reason: Option<String>,
}

impl Release {
    /// The credential is as it was.
    pub(super) fn untouched(held: &Credential) -> Self {
        Self {
            keep_intent: None,
            backoff: None,
            fails: held.fails,
            status: held.status,
            reason: held.status_reason.clone(),
        }
    }

    /// One more failure.
    pub(super) fn failing(held: &Credential, reason: &str) -> Self {
        Self {
            keep_intent: None,
            backoff: Some(backoff(held.fails)),
            fails: held.fails.saturating_add(1),
            status: CredentialStatus::RefreshFailing,
            reason: Some(reason.to_owned()),
        }
    }

    /// Only new consent helps.
    pub(super) fn dead(reason: &str) -> Self {
        Self {
            keep_intent: None,
            backoff: None,
            fails: 0,
            status: CredentialStatus::ReauthorizationRequired,
            reason: Some(reason.to_owned()),
        }
    }
}

fn backoff(fails: u32) -> Duration {
    (FIRST_BACKOFF * (1 << fails.min(6))).min(MAX_BACKOFF)
}
