//! S6: what a refused grant means.

use chrono::Duration;

use super::ask::Answer;
use super::attempt::Renewal;
use super::release::Release;
use super::send::{AGAIN_NEEDS, Trial};
use super::steps::{IN_DOUBT, Refused, Verdict, examine};
use super::{Engine, LEASE_SECONDS, Step};
use crate::error::{Error, Result};
use crate::model::client::ReusePenalty;
use crate::model::credential::Outcome;
use crate::model::token_set::TokenSet;
use crate::store::Attempted;
use crate::telemetry;
use crate::vault::{Prefetched, VaultError};

/// What came of a look at a refused grant.
pub(super) enum Examined {
    /// The attempt is over.
    Over(Step),
    /// Something else was presented, and this is the answer.
    Again(Answer),
}

/// The refresh token before the current one, with the token set that it came in.
struct Previous {
    tokens: TokenSet,
    renewal: Renewal,
    fingerprint: String,
}

impl Engine {
    /// `invalid_grant` is believed only when no other explanation is left.
    pub(super) async fn grant_refused(&self, trial: &mut Trial<'_>) -> Result<Examined> {
        let now = self.clock.now();
        let stored = self.find(&trial.held.project, &trial.held.id).await?;
        let received = self.journalled(&stored).await?;
        let previous = self.previous(trial).await;
        let refused = Refused {
            in_doubt: trial.in_doubt(),
            has_orphan: received.is_some(),
            // One that cannot be read now may be read by the next attempt.
            has_previous: !matches!(previous, Ok(None)),
            may_send: self.time_to_send(trial) >= AGAIN_NEEDS && previous.is_ok(),
            lease: Duration::seconds(LEASE_SECONDS),
        };
        let held = &trial.held;
        match (examine(held, &stored, refused), received, previous.unwrap_or_default()) {
            (Verdict::Adopt, Some(received), _) => {
                self.adopt_held(trial.client, held, &trial.acquire, received).await.map(Examined::Over)
            }
            (Verdict::TryPrevious, _, Some(previous)) => self.try_previous(trial, previous).await,
            (Verdict::Doubt { pause, doubts }, ..) => {
                telemetry::count("Refresh", "doubtful", now);
                let release = Release {
                    keep_intent: Some(Outcome::Unknown),
                    backoff: Some(pause),
                    fails: doubts,
                    ..Release::failing(held, IN_DOUBT)
                };
                self.release(trial, release).await?;
                let retry_after = pause.to_std().ok();
                Err(Error::ProviderUnavailable { what: "it refused a grant that may still be good", retry_after })
            }
            (Verdict::Dead, ..) => {
                telemetry::count("Refresh", "reauthorization_required", now);
                self.release(trial, Release::dead("invalid_grant")).await?;
                tracing::warn!(credential = %held.id, generation = held.generation, "the grant was refused: new consent is needed");
                Err(Error::ReauthorizationRequired { reason: "invalid_grant".to_owned(), url: None })
            }
            (Verdict::Superseded | Verdict::Adopt | Verdict::TryPrevious, ..) => {
                Ok(Examined::Over(Step::Busy(Box::new(stored))))
            }
        }
    }

    /// The refresh token before the one that was refused, where presenting it costs nothing. Never an older one.
    ///
    /// # Errors
    /// When there may be one, and the vault does not answer.
    async fn previous(&self, trial: &Trial<'_>) -> Result<Option<Previous>> {
        let Trial { client, held, acquire, obtained, .. } = trial;
        let harmless = client.settings.refresh.reuse_penalty == Some(ReusePenalty::None);
        let alive = held.prev_until.is_some_and(|until| self.clock.now().timestamp_millis() < until);
        let may_be_tried = harmless && alive && obtained.renewal.is_spent_by_use();
        let Some(pointer) = held.prev.as_deref().filter(|_| may_be_tried) else { return Ok(None) };
        let place = held.place(held.generation.saturating_sub(1));
        let document = match self.vault.open(&place, pointer, Prefetched::Nothing).await {
            Ok(document) => document,
            Err(VaultError::Unavailable) => return Err(VaultError::Unavailable.into()),
            Err(_) => return Ok(None),
        };
        let Some(tokens) = TokenSet::from_document(&document) else { return Ok(None) };
        let Ok(renewal) = Renewal::of(held, &tokens) else { return Ok(None) };
        let fingerprint = self.fingerprint(&renewal).await?;
        let known = fingerprint == acquire.rt_fp || acquire.tried.contains(&fingerprint);
        Ok((!known).then_some(Previous { tokens, renewal, fingerprint }))
    }

    /// S6.2: noted first, so that it is presented once at most, whoever comes after a crash.
    async fn try_previous(&self, trial: &mut Trial<'_>, previous: Previous) -> Result<Examined> {
        let Previous { tokens, renewal, fingerprint } = previous;
        let note = trial.note(Some(fingerprint.clone()));
        match self.store.note_attempt(&trial.held.project, &trial.held.id, &note).await? {
            Attempted::Applied(_) => {}
            Attempted::Refused(Some(other)) => return Ok(Examined::Over(Step::Busy(other))),
            Attempted::Refused(None) => return Err(Error::NotFound),
        }
        trial.acquire.tried.push(fingerprint);
        // What it brings is the successor of this one: what the answer leaves out is as it was here.
        trial.obtained.tokens = tokens;
        self.send_once(trial, Some(&renewal)).await.map(Examined::Again)
    }
}
