//! What an answer leads to: a new generation, or the end of the attempt without one (REFRESH.md S4 to S6).

use chrono::Duration;

use super::ask::Answer;
use super::attempt::{CLIENT_REJECTED, Renewal};
use super::plan::next_due;
use super::send::{AGAIN_NEEDS, Trial};
use super::steps::{IN_DOUBT, Late, Next, Refused, Verdict, after_answer, after_refusal, examine};
use super::{Engine, LEASE_SECONDS, Step, WRITE_WITHIN, jitter, persist, persist_for, suspended};
use crate::error::{Error, Result};
use crate::model::client::{Client, GrantType, ReusePenalty};
use crate::model::credential::{Credential, CredentialStatus, Outcome, Schedule};
use crate::model::event::Event;
use crate::model::token_set::TokenSet;
use crate::protocol::scope;
use crate::protocol::token::TokenAnswer;
use crate::store::{AcquireRefresh, Attempted, CommitRefresh, NoteAttempt, Orphan, ReleaseRefresh};
use crate::telemetry;
use crate::vault::{Place, Prefetched, VaultError};

/// The first backoff; it doubles with each failure in a row up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::seconds(5);
const MAX_BACKOFF: Duration = Duration::minutes(5);
/// Backoff after the authorization server refused our client: only an operator's change will help.
pub(super) const CLIENT_BACKOFF: Duration = Duration::minutes(1);
/// How much of an invocation may go by while what the provider gave is written: 2 seconds before its end.
const PERSIST_UNTIL: std::time::Duration = std::time::Duration::from_secs(18);
/// How long the refresh token before is good where its use costs nothing and the provider states no time.
const PREVIOUS_FOR: Duration = Duration::hours(24);
/// The `status_reason` of a credential whose provider granted more than was asked.
pub(crate) const SCOPE_EXCEEDED: &str = "scope_exceeded";
/// The `status_reason` of a credential whose provider issued a token that is not a bearer token.
pub(crate) const UNUSABLE_TOKEN_TYPE: &str = "unusable_token_type";

impl Engine {
    /// S4 to S6.
    pub(super) async fn settle(&self, trial: &mut Trial<'_>, mut answer: Answer) -> Result<Step> {
        loop {
            let next = after_answer(answer.heard(), trial.standing(self.time_to_send(trial)));
            answer = match (next, answer) {
                (Next::Commit, Answer::Tokens(answer)) => return self.commit(trial, *answer).await,
                (Next::Examine, _) => match self.grant_refused(trial).await? {
                    Examined::Over(step) => return Ok(step),
                    Examined::Again(answer) => answer,
                },
                // Whatever was to be sent again was.
                (next, answer) => {
                    let keep = matches!(next, Next::KeepIntent | Next::SendAgain).then_some(Outcome::Unknown);
                    let (release, error) = given_up(&trial.held, answer);
                    telemetry::count("Refresh", release.counted, self.clock.now());
                    let in_doubt = keep.is_some() || trial.in_doubt();
                    let backoff = if in_doubt { soon(&trial.held, release.backoff) } else { release.backoff };
                    self.release(trial, Release { keep_intent: keep, backoff, ..release }).await?;
                    return Err(error);
                }
            };
        }
    }

    /// S4, S5: stage the new token set, then commit it. Nobody sees it before.
    async fn commit(&self, trial: &Trial<'_>, answer: TokenAnswer) -> Result<Step> {
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

    /// S5b: a commit that was refused loses nothing of what was received.
    async fn not_committed(
        &self,
        client: &Client,
        held: &Credential,
        acquire: &AcquireRefresh,
        commit: &CommitRefresh,
        other: Option<Credential>,
    ) -> Result<Step> {
        let late = after_refusal(held, &acquire.attempt, other.as_ref());
        tracing::warn!(credential = %held.id, base = held.generation, attempt = %acquire.attempt, ?late, "a refresh was not committed");
        telemetry::count("Refresh", "not_committed", self.clock.now());
        let Some(other) = other else { return Err(Error::NotFound) };
        match late {
            Late::Committed => return Ok(Step::Refreshed(Box::new(other))),
            // Another grant took the place of this one: what its last refresh brought is nobody's.
            Late::OtherGrant => self.end_late(client, held, &commit.cur, Some(&other)).await,
            // It is over at the provider already, so nobody will look into the journal any more.
            Late::Ended if other.status == CredentialStatus::Revoked => {
                self.end_late(client, held, &commit.cur, None).await
            }
            Late::Ended | Late::PutAside | Late::Superseded => {
                let orphan = Orphan {
                    base_gen: held.generation,
                    fence: held.fence,
                    attempt: acquire.attempt.clone(),
                    pointer: commit.cur.clone(),
                    received_at: commit.now,
                };
                persist(|| self.store.keep_orphan(&held.project, &held.id, &orphan)).await?;
                if late == Late::Superseded && other.generation == held.generation {
                    // Whoever doubts the grant by now need not: it is adopted at once.
                    self.store.reschedule(&other, Some(commit.now.timestamp_millis())).await?;
                }
            }
            Late::Gone => return Err(Error::NotFound),
        }
        match late {
            Late::PutAside => Err(suspended(&other)),
            Late::Ended => Err(Error::Revoked),
            _ => Ok(Step::Busy(Box::new(other))),
        }
    }

    /// The grant was replaced or ended while its last refresh was under way: nobody else knows of the tokens that this
    /// brought. `over`: the credential with the grant that took its place, which must not end with them.
    async fn end_late(&self, client: &Client, held: &Credential, staged: &str, over: Option<&Credential>) {
        // Servers that keep one grant per person and client would end the new one with the old.
        if over.is_some() && !client.settings.revocation_request.revokes_replaced() {
            return;
        }
        let ended = async {
            let tokens = self.tokens_at(&held.place(held.generation + 1), staged).await?;
            if let Some(over) = over {
                let current = self.tokens_at(&over.place(over.generation), &over.cur).await?;
                // Where a server gives the same token again, the new grant is the old one.
                if current.shares_a_token_with(&tokens) {
                    return Ok(());
                }
            }
            self.keep_apart(held, tokens).await.map(drop)
        };
        if let Err::<(), Error>(error) = ended.await {
            tracing::error!(credential = %held.id, %error, "what a late refresh brought was not ended");
        }
    }

    async fn tokens_at(&self, place: &Place, pointer: &str) -> Result<TokenSet> {
        let document = self.vault.open(place, pointer, Prefetched::Nothing).await?;
        TokenSet::from_document(&document).ok_or(Error::Internal("a token set cannot be read"))
    }

    /// S6: `invalid_grant` is believed only when no other explanation is left.
    async fn grant_refused(&self, trial: &mut Trial<'_>) -> Result<Examined> {
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
        let note = NoteAttempt {
            fence: trial.held.fence,
            attempt: trial.acquire.attempt.clone(),
            outcome: Outcome::Unknown,
            tried: Some(fingerprint.clone()),
        };
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

/// What came of a look at a refused grant.
enum Examined {
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

/// How long the refresh token before may be presented in place of the current one.
fn previous_for(client: &Client) -> Duration {
    let facts = &client.settings.refresh;
    let stated = facts.grace_seconds.map(|seconds| Duration::seconds(seconds.into()));
    let usual = if facts.reuse_penalty == Some(ReusePenalty::None) { PREVIOUS_FOR } else { Duration::zero() };
    stated.unwrap_or(usual)
}

/// How an attempt without tokens ends, and what its caller is told.
fn given_up(held: &Credential, answer: Answer) -> (Release, Error) {
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

/// For so many failures in a row, which take about ten minutes, what is in doubt is urgent.
const URGENT_FOR: u32 = 12;
/// The longest backoff of what is urgent.
const URGENT_BACKOFF: Duration = Duration::minutes(1);

/// Whether its refresh token may be spent, and the provider may still give the answer again: graces last for minutes.
pub(super) fn is_urgent(credential: &Credential) -> bool {
    credential.intent.is_some() && credential.fails < URGENT_FOR
}

/// The backoff of what is in doubt: short while it is urgent.
fn soon(held: &Credential, backoff: Option<Duration>) -> Option<Duration> {
    backoff.map(|backoff| if held.fails < URGENT_FOR { backoff.min(URGENT_BACKOFF) } else { backoff })
}

/// Doubles with each failure, and is spread over a quarter more, so that many that failed at once do not come back at once.
fn backoff(fails: u32) -> Duration {
    let wait = (FIRST_BACKOFF * (1 << fails.min(6))).min(MAX_BACKOFF);
    let spread = wait.num_milliseconds() / 4 * i64::from(jitter()) / i64::from(u8::MAX);
    wait + Duration::milliseconds(spread)
}
