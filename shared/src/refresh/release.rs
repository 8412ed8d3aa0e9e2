//! The end of an attempt that brought no tokens: what is noted, and when the next one may come.

use chrono::Duration;

use super::ask::Answer;
use super::attempt::CLIENT_REJECTED;
use super::send::Trial;
use super::{Engine, persist, spread};
use crate::error::{Error, Result};
use crate::model::credential::{Credential, CredentialStatus, Outcome};
use crate::model::event::Event;
use crate::store::{AcquireRefresh, ReleaseRefresh};

/// The first backoff; it doubles with each failure in a row up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::seconds(5);
const MAX_BACKOFF: Duration = Duration::minutes(5);
/// Backoff after the authorization server refused our client: only an operator's change will help.
const CLIENT_BACKOFF: Duration = Duration::minutes(1);

/// How an attempt ends without tokens.
pub(super) struct Release {
    pub(super) keep_intent: Option<Outcome>,
    pub(super) backoff: Option<Duration>,
    pub(super) fails: u32,
    pub(super) status: CredentialStatus,
    pub(super) reason: Option<String>,
    /// What it is counted as.
    pub(super) counted: &'static str,
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
            counted: "untouched",
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
            counted: "failing",
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
            counted: "dead",
        }
    }
}

impl Engine {
    pub(super) async fn release(&self, trial: &Trial<'_>, release: Release) -> Result<()> {
        // That the refresh token may be spent unseen is not forgotten by a later failure.
        let doubt = trial.in_doubt().then_some(Outcome::Unknown);
        let release = Release { keep_intent: release.keep_intent.or(doubt), ..release };
        self.release_held(&trial.held, &trial.acquire, release).await
    }

    pub(super) async fn release_held(
        &self,
        held: &Credential,
        acquire: &AcquireRefresh,
        release: Release,
    ) -> Result<()> {
        let now = self.clock.now();
        let backoff_until = release.backoff.map(|backoff| (now + backoff).timestamp_millis());
        let dead = release.status == CredentialStatus::ReauthorizationRequired;
        let next_due = if dead { None } else { backoff_until.or(acquire.due_before).or(held.refresh_after) };
        let release = ReleaseRefresh {
            fence: held.fence,
            attempt: acquire.attempt.clone(),
            keep_intent: release.keep_intent,
            fails: release.fails,
            backoff_until,
            status: release.status,
            event: Event::of_change(held, release.status, release.reason.as_deref(), now),
            status_reason: release.reason,
            next_due,
        };
        // A refusal means that somebody took over: then there is nothing of ours to end.
        persist(|| self.store.release_refresh(&held.project, &held.id, &release)).await?;
        Ok(())
    }
}

/// How an attempt without tokens ends, and what its caller is told.
pub(super) fn given_up(held: &Credential, answer: Answer) -> (Release, Error) {
    let wait = backoff(held.fails);
    let soon = wait.to_std().ok();
    match answer {
        Answer::ClientRefused { error, status } => {
            // The credential stays as it is; only whoever comes during the backoff is told why.
            let reason = Some(format!("{CLIENT_REJECTED}{error}"));
            let release = Release { backoff: Some(CLIENT_BACKOFF), reason, ..Release::untouched(held) };
            (Release { counted: "client_refused", ..release }, Error::ClientRejected { error, status: Some(status) })
        }
        Answer::Misbehaved(what) => {
            let release = Release { backoff: Some(CLIENT_BACKOFF), ..Release::failing(held, "provider_misbehaved") };
            (Release { counted: "misbehaved", ..release }, Error::ProviderMisbehaved(what))
        }
        Answer::Later { retry_after } => {
            let asked = retry_after.and_then(|after| Duration::from_std(after).ok());
            let release = Release { backoff: asked.or(Some(wait)), ..Release::failing(held, "provider_unavailable") };
            let error = Error::ProviderUnavailable { what: "it asked to come again later", retry_after };
            (Release { counted: "later", ..release }, error)
        }
        Answer::NotSent => {
            let release = Release { backoff: Some(wait), ..Release::failing(held, "provider_unreachable") };
            let error = Error::ProviderUnavailable { what: "it could not be reached", retry_after: soon };
            (Release { counted: "not_sent", ..release }, error)
        }
        // The others lead elsewhere; should one of them come here, nothing is known.
        Answer::Unknown | Answer::Tokens(_) | Answer::GrantRefused => {
            let release = Release { backoff: Some(wait), ..Release::failing(held, "answer_lost") };
            let error = Error::ProviderUnavailable { what: "its answer was lost", retry_after: soon };
            (Release { counted: "unknown", ..release }, error)
        }
    }
}

/// For so many failures in a row, which take about ten minutes, what is in doubt is urgent.
const URGENT_FOR: u32 = 12;
/// The longest backoff of what is urgent.
const URGENT_BACKOFF: Duration = Duration::minutes(1);

/// Whether its refresh token may be spent, and the provider may still give the answer again: graces last for minutes.
pub(super) fn is_urgent(credential: &Credential) -> bool {
    credential.intent.is_some() && credential.fails < URGENT_FOR
}

/// The backoff of what is in doubt: short while it is urgent.
pub(super) fn soon(held: &Credential, backoff: Option<Duration>) -> Option<Duration> {
    backoff.map(|backoff| if held.fails < URGENT_FOR { backoff.min(URGENT_BACKOFF) } else { backoff })
}

/// Doubles with each failure, and is spread over a quarter more, so that many that failed at once do not come back at once.
fn backoff(fails: u32) -> Duration {
    let wait = (FIRST_BACKOFF * (1 << fails.min(6))).min(MAX_BACKOFF);
    wait + spread(wait / 4)
}
