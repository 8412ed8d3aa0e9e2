//! S3: one request, and the same once more where nobody knows what became of the first.

use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use super::ask::{Answer, Asked};
use super::attempt::{Obtained, Renewal};
use super::steps::{Heard, Next, Standing, after_answer};
use crate::error::Result;
use crate::model::client::{Client, GrantType, RefreshKind, ReusePenalty};
use crate::model::credential::{Credential, Outcome};
use crate::protocol::exchange::{Exchange, NoAnswer};
use crate::store::{AcquireRefresh, NoteAttempt};

/// What must be left of lease and invocation after an answer, for the commit.
const FOR_COMMIT: Duration = Duration::from_secs(5);
/// How much of an invocation a request may use up: it ends [`FOR_COMMIT`] before the function's 20 seconds.
const UNTIL_COMMIT: Duration = Duration::from_secs(15);
/// The time that the first request must have.
pub(super) const FIRST_NEEDS: Duration = Duration::from_secs(10);
/// The time that any further one must have: a short one is still worth a provider's grace of seconds.
pub(super) const AGAIN_NEEDS: Duration = Duration::from_secs(2);

/// An attempt that holds the lease.
pub(super) struct Trial<'a> {
    pub(super) client: &'a Client,
    pub(super) held: Credential,
    pub(super) acquire: AcquireRefresh,
    pub(super) obtained: Obtained,
    /// When the call began that it is made for.
    pub(super) begun: Instant,
    /// The request whose answer was lost was sent again.
    pub(super) sent_again: bool,
    /// Each request, redacted.
    pub(super) exchanges: Vec<Exchange>,
    /// The client's own secret that brought tokens.
    pub(super) secret: Option<String>,
    /// How long the slowest answer took.
    pub(super) slowest: Duration,
}

impl Trial<'_> {
    /// What is known when an answer is judged.
    pub(super) fn standing(&self, left: Duration) -> Standing {
        Standing {
            spent_by_use: self.obtained.renewal.is_spent_by_use(),
            sent_again: self.sent_again,
            may_send: left >= AGAIN_NEEDS,
            overlaps: self.timed_out() && self.revokes_on_reuse(),
        }
    }

    /// Whether nobody waited for the end of the last request: then it may still be under way.
    fn timed_out(&self) -> bool {
        self.exchanges.last().is_some_and(|exchange| exchange.failure == Some(NoAnswer::Timeout))
    }

    /// Whether a refresh token that is seen twice costs the grant, and at once: where nothing is known, that is assumed.
    fn revokes_on_reuse(&self) -> bool {
        let facts = &self.client.settings.refresh;
        facts.kind.unwrap_or(RefreshKind::Rotating) == RefreshKind::Rotating
            && facts.reuse_penalty.unwrap_or(ReusePenalty::Family) == ReusePenalty::Family
            && facts.grace_seconds.unwrap_or_default() == 0
    }

    /// What is noted of this attempt while it goes on: that what was presented may be spent, and what else is presented.
    pub(super) fn note(&self, tried: Option<String>) -> NoteAttempt {
        let attempt = self.acquire.attempt.clone();
        NoteAttempt { fence: self.held.fence, attempt, outcome: Outcome::Unknown, tried }
    }

    /// Whether a request on this generation may have been processed unseen.
    pub(super) fn in_doubt(&self) -> bool {
        self.sent_again || self.acquire.take_over.is_some()
    }
}

impl Engine {
    /// The time that a request may take now. The wall clock is asked as well: a frozen environment may thaw long after the
    /// lease was taken, and then nothing may be sent any more.
    pub(super) fn time_to_send(&self, trial: &Trial<'_>) -> Duration {
        let leased = (trial.acquire.until - self.clock.now()).to_std().unwrap_or_default();
        leased.saturating_sub(FOR_COMMIT).min(UNTIL_COMMIT.saturating_sub(trial.begun.elapsed()))
    }

    /// Presents what was obtained; an answer that was lost is asked for once more.
    pub(super) async fn send(&self, trial: &mut Trial<'_>) -> Result<Answer> {
        loop {
            let answer = self.send_once(trial, None).await?;
            let standing = trial.standing(self.time_to_send(trial));
            if after_answer(answer.heard(), standing) != Next::SendAgain {
                return Ok(answer);
            }
            trial.sent_again = true;
            // Should this worker die now, the next one knows that the token may be spent. Best effort: an intent that is
            // left behind is taken for that in any case.
            drop(self.store.note_attempt(&trial.held.project, &trial.held.id, &trial.note(None)).await);
        }
    }

    /// One request: with what was obtained, or with an older refresh token.
    pub(super) async fn send_once(&self, trial: &mut Trial<'_>, older: Option<&Renewal>) -> Result<Answer> {
        let within = self.time_to_send(trial);
        let Trial { client, held, obtained, .. } = &*trial;
        let grant = older.unwrap_or(&obtained.renewal).grant(&held.requested_scopes);
        let asked_at = Instant::now();
        let asked =
            self.ask_within(within, client, &obtained.resolved, &obtained.secrets, &held.bound_origin, &grant).await?;
        let Asked { answer, exchanges, secret } = asked;
        trial.slowest = trial.slowest.max(asked_at.elapsed());
        trial.exchanges.extend(exchanges);
        trial.secret = secret;
        Ok(match answer {
            // There is no grant but the client itself, and a bad client never ends a credential.
            Answer::GrantRefused if trial.held.grant == GrantType::ClientCredentials => {
                Answer::ClientRefused { error: "invalid_grant", status: 400 }
            }
            answer => answer,
        })
    }
}

impl Answer {
    /// What it means for an attempt.
    pub(super) fn heard(&self) -> Heard {
        match self {
            Self::Tokens(_) => Heard::Tokens,
            Self::GrantRefused => Heard::GrantRefused,
            Self::ClientRefused { .. } => Heard::ClientRefused,
            Self::Later { .. } => Heard::Later,
            Self::NotSent => Heard::NotSent,
            Self::Unknown => Heard::Unknown,
            Self::Misbehaved(_) => Heard::Misbehaved,
        }
    }
}
