//! S4, S5: a new generation is staged in the vault and then committed.

use chrono::Duration;

use super::plan::next_due;
use super::send::Trial;
use super::{Engine, Step, WRITE_WITHIN, persist_for, suspended};
use crate::error::Result;
use crate::model::client::{Client, GrantType, ReusePenalty};
use crate::model::credential::{Credential, CredentialStatus, Schedule};
use crate::model::event::Event;
use crate::model::token_set::TokenSet;
use crate::protocol::scope;
use crate::protocol::token::TokenAnswer;
use crate::store::{AcquireRefresh, Attempted, CommitRefresh};
use crate::telemetry;

/// How much of an invocation may go by while what the provider gave is written: 2 seconds before its end.
const PERSIST_UNTIL: std::time::Duration = std::time::Duration::from_secs(18);
/// How long the refresh token before is good where its use costs nothing and the provider states no time.
const PREVIOUS_FOR: Duration = Duration::hours(24);
/// The `status_reason` of a credential whose provider granted more than was asked.
pub(crate) const SCOPE_EXCEEDED: &str = "scope_exceeded";
/// The `status_reason` of a credential whose provider issued a token that is not a bearer token.
pub(crate) const UNUSABLE_TOKEN_TYPE: &str = "unusable_token_type";

impl Engine {
    /// S4: stage the new token set, then commit it. Nobody sees it before.
    pub(super) async fn commit(&self, trial: &Trial<'_>, answer: TokenAnswer) -> Result<Step> {
        let Trial { client, held, acquire, obtained, .. } = trial;
        let now = self.clock.now();
        if now >= acquire.until {
            // Not superseded is good enough: the conditions of the commit decide, and what came is staged in any case.
            tracing::warn!(credential = %held.id, attempt = %acquire.attempt, "tokens came after the lease had ended");
        }
        let schedule = Schedule::plan(now, answer.expires_in, &client.lifetimes(held.learned_lifetime), true);
        let schedule = schedule.spread(&held.id, held.generation + 1);
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
        // What came exists nowhere else: it is written for as long as the invocation lasts.
        let left = || PERSIST_UNTIL.saturating_sub(trial.begun.elapsed()).max(WRITE_WITHIN);
        let cur = persist_for(left(), || self.vault.stage(&place, &acquire.attempt, &document)).await?;
        let staged = Staged { pointer: cur, scopes: tokens.scopes, schedule, usable, persist_for: left() };
        self.commit_staged(client, held, acquire, staged).await
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
        let Staged { pointer: cur, scopes: granted_scopes, schedule, usable, persist_for: within } = staged;
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
        let committed = Credential {
            status,
            issued_at: now.timestamp_millis(),
            refresh_after: schedule.refresh_after,
            last_refreshed_at: Some(now),
            ..held.clone()
        };
        let next_due = next_due(&committed, &client.settings, now);
        let commit = CommitRefresh {
            fence: held.fence,
            base_generation: held.generation,
            attempt: acquire.attempt.clone(),
            cur,
            prev: held.cur.clone(),
            prev_until: (now + previous_for(client)).timestamp_millis(),
            issued_at: now.timestamp_millis(),
            at_exp: schedule.at_exp,
            refresh_after: schedule.refresh_after,
            next_due,
            written_until: self
                .vault
                .write_floor()
                .map_or(held.written_until, |floor| floor.spend(held.written_until, now.timestamp_millis())),
            granted_scopes,
            status,
            status_reason: reason.map(str::to_owned),
            event: Event::of_change(held, status, reason, now),
            now,
        };
        match persist_for(within, || self.store.commit_refresh(&held.project, &held.id, &commit)).await? {
            Attempted::Applied(newer) => {
                telemetry::count("Refresh", "committed", now);
                if let Some(reason) = reason {
                    tracing::warn!(credential = %newer.id, reason, security = true, "put aside after a refresh");
                    return Err(suspended(&newer));
                }
                tracing::info!(credential = %newer.id, generation = newer.generation, "refreshed");
                self.forget_older(held).await;
                Ok(Step::Refreshed(newer))
            }
            Attempted::Refused(other) => {
                self.not_committed(client, held, acquire, &commit, other.map(|other| *other)).await
            }
        }
    }

    /// Lets go of the version before the one before: nothing points at it any more.
    async fn forget_older(&self, held: &Credential) {
        let Some(older) = held.prev.as_deref().filter(|_| held.generation > 1) else { return };
        if let Err(error) = self.vault.forget(&held.place(held.generation - 1), older).await {
            tracing::warn!(credential = %held.id, %error, "an old version was not forgotten");
        }
    }
}

/// How long the refresh token before may be presented in place of the current one.
fn previous_for(client: &Client) -> Duration {
    let facts = &client.settings.refresh;
    let stated = facts.grace_seconds.map(|seconds| Duration::seconds(seconds.into()));
    let usual = if facts.reuse_penalty == Some(ReusePenalty::None) { PREVIOUS_FOR } else { Duration::zero() };
    stated.unwrap_or(usual)
}

/// A token set in the vault that is to be committed.
pub(super) struct Staged {
    pub(super) pointer: String,
    pub(super) scopes: Vec<String>,
    pub(super) schedule: Schedule,
    /// Whether a token of its type can be used.
    pub(super) usable: bool,
    /// How long the commit is tried.
    pub(super) persist_for: std::time::Duration,
}
