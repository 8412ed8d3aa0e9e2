//! One attempt: obtain, acquire, send, commit (REFRESH.md b.3).

use std::time::Duration as StdDuration;

use chrono::Duration;
use tokio::time::Instant;

use super::{Engine, LEASE_SECONDS, Reason, SEND_WITHIN, Step, persist};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus};
use crate::model::credential::{Credential, CredentialStatus, Outcome, Schedule};
use crate::model::token_set::TokenSet;
use crate::outbound::{OAuthHttp, OAuthHttpError};
use crate::protocol::token::{AuthMethod, TokenAnswer, TokenEndpoint, TokenFailure};
use crate::secret::Secret;
use crate::store::{AcquireRefresh, Attempted, CommitRefresh, ReleaseRefresh};
use crate::telemetry;
use crate::vault::{Place, Prefetched, VaultError};

/// What must be left of the lease right before the request is sent: 10 s for the provider, 5 s for the commit.
const NEEDED_TO_SEND: Duration = Duration::seconds(15);
/// The first backoff; it doubles with each failure in a row up to [`MAX_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::seconds(5);
const MAX_BACKOFF: Duration = Duration::minutes(5);
/// Backoff after the authorization server refused our client: only an operator's change will help.
const CLIENT_BACKOFF: Duration = Duration::minutes(1);
/// What `status_reason` begins with after a refusal of our client, before the RFC 6749 §5.2 code.
const CLIENT_REJECTED: &str = "client_rejected:";
const CLIENT_ERRORS: [&str; 5] =
    ["invalid_client", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_grant_type"];
/// How often an `invalid_grant` that may come from a lost answer is tried again before consent is asked for.
const MAX_DOUBTS: u32 = 3;
/// The `status_reason` of such a credential.
const IN_DOUBT: &str = "invalid_grant_in_doubt";

/// Everything that can fail, obtained before anything is touched.
struct Obtained {
    tokens: TokenSet,
    refresh_token: Secret<String>,
    secrets: Vec<Secret<String>>,
    rt_fp: String,
}

/// A token set that was staged and never committed.
struct Orphan {
    tokens: TokenSet,
    pointer: String,
}

/// What the provider said, by what it means for the credential.
enum Answer {
    Tokens(TokenAnswer),
    /// `invalid_grant`.
    GrantRefused,
    /// The client or the request was refused: the credential is not to blame.
    ClientRefused {
        error: &'static str,
        status: u16,
    },
    /// It did not process the request, and says when to come again.
    Later {
        retry_after: Option<StdDuration>,
    },
    /// The request surely did not arrive.
    NotSent,
    /// The outcome is not known.
    Unknown,
    /// An answer that is not OAuth, and surely no success.
    Misbehaved(&'static str),
}

impl Engine {
    /// Tries once, for a call that began at `begun`. The credential was read a moment ago and is not leased.
    pub(super) async fn attempt(
        &self,
        client: &Client,
        credential: Credential,
        reason: Reason,
        begun: Instant,
    ) -> Result<Step> {
        check_status(&credential)?;
        if client.settings.token_origin().is_some_and(|origin| origin != credential.bound_origin) {
            return self.park(&credential, "origin_changed").await;
        }
        self.check(client, &credential, reason)?;
        if let Some(received) = self.orphan(&credential).await? {
            return self.adopt(client, &credential, received).await;
        }
        self.check_floor(&credential)?;
        let obtained = self.obtain(client, &credential).await?;

        let acquire = self.acquisition(&credential, &obtained.rt_fp);
        let held = match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => held,
            Attempted::Refused(Some(other)) => return Ok(Step::Busy(other)),
            Attempted::Refused(None) => return Err(Error::NotFound),
        };
        // A frozen environment may thaw long after the lease was taken, and a slow one may be killed before the commit:
        // then nothing may be sent any more.
        if self.clock.now() + NEEDED_TO_SEND >= acquire.until || begun.elapsed() > SEND_WITHIN {
            self.release(&held, &acquire, Release::untouched(&held)).await?;
            return Err(Error::Refreshing { retry_after: StdDuration::from_secs(1) });
        }
        let answer = self.send(client, &obtained).await?;
        self.settle(client, *held, &acquire, obtained, answer).await
    }

    /// What a dead worker received, staged in the vault and did not commit. Presenting the old refresh token again
    /// instead could cost the grant.
    async fn orphan(&self, credential: &Credential) -> Result<Option<Orphan>> {
        let Some(intent) = &credential.intent else { return Ok(None) };
        let place = Place::new(credential.project.as_str(), credential.id.as_str());
        match self.vault.open(&place, &intent.attempt, Prefetched::Nothing).await {
            Ok(document) => Ok(TokenSet::from_document(&document)
                .filter(|tokens| tokens.generation == credential.generation + 1)
                .map(|tokens| Orphan { tokens, pointer: intent.attempt.clone() })),
            Err(VaultError::Missing) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// S-R 1: commits what a dead worker staged, without calling the provider.
    async fn adopt(&self, client: &Client, credential: &Credential, orphan: Orphan) -> Result<Step> {
        let Orphan { tokens, pointer } = orphan;
        // The same attempt goes on: whoever takes over from us must find the same staged version.
        let acquire = AcquireRefresh { attempt: pointer.clone(), ..self.acquisition(credential, "") };
        let held = match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => held,
            Attempted::Refused(Some(other)) => return Ok(Step::Busy(other)),
            Attempted::Refused(None) => return Err(Error::NotFound),
        };
        let now = self.clock.now();
        let left = tokens.expires_at.map(|at| u64::try_from((at - now).num_seconds()).unwrap_or_default());
        let planned = Schedule::plan(now, left, None, true);
        let schedule = Schedule { at_exp: tokens.expires_at.map(|at| at.timestamp_millis()), ..planned };
        tracing::warn!(credential = %credential.id, attempt = %pointer, "what a dead worker received is adopted");
        self.commit_staged(client, &held, &acquire, pointer, tokens.scopes, schedule).await
    }

    /// S0, the rest: whether the client can be used and no backoff stands against it.
    pub(super) fn check(&self, client: &Client, credential: &Credential, reason: Reason) -> Result<()> {
        check_status(credential)?;
        match client.status() {
            ClientStatus::Active => {}
            ClientStatus::Disabled | ClientStatus::Draft => {
                return Err(Error::Conflict {
                    code: "client_not_active",
                    detail: "The client of this credential is disabled or incomplete, so it is not refreshed."
                        .to_owned(),
                    advice: &["Ask the superuser to complete or enable the client."],
                });
            }
        }
        match credential.backoff(self.clock.now()) {
            // A refresh that is asked for by name does not wait, unless a refresh token may have been spent unseen.
            Some(left) if reason == Reason::Due || credential.intent.is_some() => Err(match rejected(credential) {
                Some(error) => Error::ClientRejected { error, status: None },
                None => Error::ProviderUnavailable {
                    what: "the last refresh failed; the next try has a time",
                    retry_after: left.to_std().ok(),
                },
            }),
            _ => Ok(()),
        }
    }

    /// Whether the vault will take the version that a refresh brings: it must not be found out afterwards that it does
    /// not.
    fn check_floor(&self, credential: &Credential) -> Result<()> {
        let Some(floor) = self.vault.write_floor() else { return Ok(()) };
        match floor.wait(credential.written_until, self.clock.now().timestamp_millis()) {
            Some(wait) => Err(Error::RefreshedTooOften { retry_after: wait.to_std().unwrap_or_default() }),
            None => Ok(()),
        }
    }

    /// What the request and the commit need: after the provider answered, only our own writes may remain.
    async fn obtain(&self, client: &Client, credential: &Credential) -> Result<Obtained> {
        let place = Place::new(credential.project.as_str(), credential.id.as_str());
        let document = self.vault.open(&place, &credential.cur, Prefetched::Nothing).await?;
        let tokens = TokenSet::from_document(&document).ok_or(Error::Internal("a token set cannot be read"))?;
        let refresh_token =
            tokens.refresh_token.clone().ok_or(Error::Internal("a refreshable token set has no refresh token"))?;
        let secrets = self.client_secrets(client).await?;
        let rt_fp = self.root_keys.current().await?.fingerprint(&refresh_token)?;
        Ok(Obtained { tokens, refresh_token, secrets, rt_fp })
    }

    /// The client's secrets in the order to try them; none for a public client.
    pub(crate) async fn client_secrets(&self, client: &Client) -> Result<Vec<Secret<String>>> {
        if client.settings.auth_method() == AuthMethod::None {
            return Ok(Vec::new());
        }
        // A secret goes only to the origin it was entered for (SECURITY.md 24).
        if client.secret_origin != client.settings.token_origin() {
            return Err(Error::Conflict {
                code: "secret_bound_elsewhere",
                detail: "The token endpoint has another origin than the one the client secret was entered for."
                    .to_owned(),
                advice: &["Ask the superuser to enter the client secret again."],
            });
        }
        let place = Place::new(client.settings.home(), client.id.as_str());
        let mut secrets = Vec::new();
        for secret in client.usable_secrets(self.clock.now()) {
            secrets.push(self.vault.open(&place, &secret.id, Prefetched::Nothing).await?);
        }
        if secrets.is_empty() { Err(Error::Internal("an active client has no usable secret")) } else { Ok(secrets) }
    }

    fn acquisition(&self, credential: &Credential, rt_fp: &str) -> AcquireRefresh {
        let now = self.clock.now();
        AcquireRefresh {
            generation: credential.generation,
            owner: uuid::Uuid::new_v4().to_string(),
            attempt: uuid::Uuid::new_v4().to_string(),
            rt_fp: rt_fp.to_owned(),
            now,
            until: now + Duration::seconds(LEASE_SECONDS),
            take_over: credential.intent.as_ref().map(|intent| intent.attempt.clone()),
        }
    }

    /// S3: one POST per client secret; the next secret is tried only when the server refused the one before, and then it
    /// did not look at the refresh token.
    async fn send(&self, client: &Client, obtained: &Obtained) -> Result<Answer> {
        let missing = Error::Internal("an active client lacks its endpoint");
        let (Some(url), Some(client_id)) = (&client.settings.token_endpoint, &client.settings.client_id) else {
            return Err(missing);
        };
        let extra = client.settings.token_params();
        let mut answer = Answer::NotSent;
        let tries: Vec<Option<&Secret<String>>> = match obtained.secrets.as_slice() {
            [] => vec![None],
            secrets => secrets.iter().map(Some).collect(),
        };
        for client_secret in tries {
            let endpoint = TokenEndpoint {
                url,
                client_id,
                client_secret,
                auth_method: client.settings.auth_method(),
                extra: &extra,
            };
            let http = OAuthHttp::new(&self.outbound, &obtained.tokens.bound_origin);
            let result = endpoint.refresh(&http, &obtained.refresh_token).await;
            answer = classify(result, &http);
            if !matches!(answer, Answer::ClientRefused { error: "invalid_client", .. }) {
                break;
            }
        }
        Ok(answer)
    }

    /// S4 to S6.
    async fn settle(
        &self,
        client: &Client,
        held: Credential,
        acquire: &AcquireRefresh,
        obtained: Obtained,
        answer: Answer,
    ) -> Result<Step> {
        let now = self.clock.now();
        match answer {
            Answer::Tokens(answer) => self.commit(client, held, acquire, obtained, answer).await,
            Answer::GrantRefused => self.grant_refused(held, acquire).await,
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
        obtained: Obtained,
        answer: TokenAnswer,
    ) -> Result<Step> {
        let now = self.clock.now();
        let schedule = Schedule::plan(now, answer.expires_in, client.settings.refresh.default_lifetime, true);
        let mut tokens = TokenSet {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            token_type: answer.token_type,
            expires_at: schedule.at_exp.and_then(chrono::DateTime::from_timestamp_millis),
            // RFC 6749 §5.1: an answer without scope grants what was asked, and a refresh asks for what there was.
            scopes: answer.scopes.unwrap_or_else(|| obtained.tokens.scopes.clone()),
            generation: held.generation + 1,
            bound_origin: obtained.tokens.bound_origin.clone(),
        };
        tokens.keep_refresh_token(&obtained.tokens);

        let place = Place::new(held.project.as_str(), held.id.as_str());
        let document = tokens.to_document();
        let cur = persist(|| self.vault.stage(&place, &acquire.attempt, &document)).await?;
        self.commit_staged(client, &held, acquire, cur, tokens.scopes, schedule).await
    }

    /// S5: the linearization point.
    async fn commit_staged(
        &self,
        client: &Client,
        held: &Credential,
        acquire: &AcquireRefresh,
        cur: String,
        granted_scopes: Vec<String>,
        schedule: Schedule,
    ) -> Result<Step> {
        let now = self.clock.now();
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
            next_due: schedule.refresh_after,
            written_until: self
                .vault
                .write_floor()
                .map_or(0, |floor| floor.spend(held.written_until, now.timestamp_millis())),
            granted_scopes,
            now,
        };
        match persist(|| self.store.commit_refresh(&held.project, &held.id, &commit)).await? {
            Attempted::Applied(newer) => {
                telemetry::count("Refresh", "committed", now);
                tracing::info!(credential = %newer.id, generation = newer.generation, "refreshed");
                Ok(Step::Refreshed(newer))
            }
            // The staged version stays in the vault: it is the journal of what was received and not committed.
            Attempted::Refused(Some(other)) if other.status == CredentialStatus::Suspended => Err(Error::Suspended),
            Attempted::Refused(Some(other)) => {
                tracing::warn!(credential = %held.id, base = held.generation, attempt = %acquire.attempt, "a late refresh was not committed");
                Ok(Step::Busy(other))
            }
            Attempted::Refused(None) => Err(Error::NotFound),
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

    /// Ends a credential that cannot be refreshed any more, whoever is asked: its token endpoint moved to another origin,
    /// where the refresh token must not follow, or its client is gone.
    pub(super) async fn park(&self, credential: &Credential, why: &'static str) -> Result<Step> {
        let acquire = self.acquisition(credential, "");
        match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => {
                self.release(&held, &acquire, Release::dead(why)).await?;
                Err(Error::ReauthorizationRequired { reason: why.to_owned(), url: None })
            }
            Attempted::Refused(Some(other)) => Ok(Step::Busy(other)),
            Attempted::Refused(None) => Err(Error::NotFound),
        }
    }

    /// Puts work off that cannot be done now, so that it does not stand before the work of others.
    pub(super) async fn postpone(&self, credential: &Credential) -> Result<()> {
        // An intent that is left names what a dead worker may have received; it must not be overwritten.
        if credential.intent.is_some() {
            return Ok(());
        }
        let acquire = self.acquisition(credential, "");
        let acquired = self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await?;
        let Attempted::Applied(held) = acquired else { return Ok(()) };
        let release = Release { backoff: Some(CLIENT_BACKOFF), ..Release::untouched(&held) };
        self.release(&held, &acquire, release).await
    }

    async fn release(&self, held: &Credential, acquire: &AcquireRefresh, release: Release) -> Result<()> {
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

/// Why the authorization server refused our client the last time, when it did.
fn rejected(credential: &Credential) -> Option<&'static str> {
    let code = credential.status_reason.as_deref()?.strip_prefix(CLIENT_REJECTED)?;
    CLIENT_ERRORS.into_iter().find(|known| *known == code).or(Some("other"))
}

/// S0, the credential's part: whether its status lets a refresh be tried.
fn check_status(credential: &Credential) -> Result<()> {
    match credential.status {
        CredentialStatus::Suspended => return Err(Error::Suspended),
        CredentialStatus::ReauthorizationRequired => {
            let reason = credential.status_reason.clone().unwrap_or_default();
            return Err(Error::ReauthorizationRequired { reason, url: None });
        }
        CredentialStatus::Active | CredentialStatus::RefreshFailing => {}
    }
    if !credential.refreshable {
        return Err(Error::Conflict {
            code: "not_refreshable",
            detail: "The provider gave no refresh token for this credential.".to_owned(),
            advice: &[
                "Check whether the provider needs a scope or parameter for refresh tokens (often offline_access, or access_type=offline).",
                "Then connect the credential again.",
            ],
        });
    }
    Ok(())
}

/// How an attempt ends without tokens.
struct Release {
    keep_intent: Option<Outcome>,
    backoff: Option<Duration>,
    fails: u32,
    status: CredentialStatus,
    reason: Option<String>,
}

impl Release {
    /// The credential is as it was.
    fn untouched(held: &Credential) -> Self {
        Self {
            keep_intent: None,
            backoff: None,
            fails: held.fails,
            status: held.status,
            reason: held.status_reason.clone(),
        }
    }

    /// One more failure.
    fn failing(held: &Credential, reason: &str) -> Self {
        Self {
            keep_intent: None,
            backoff: Some(backoff(held.fails)),
            fails: held.fails.saturating_add(1),
            status: CredentialStatus::RefreshFailing,
            reason: Some(reason.to_owned()),
        }
    }

    /// Only new consent helps.
    fn dead(reason: &str) -> Self {
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

/// Sorts a token answer by what it means (REFRESH.md b.3, table of S3).
fn classify(result: Result<TokenAnswer, TokenFailure<OAuthHttpError>>, http: &OAuthHttp<'_>) -> Answer {
    let outcome = http.outcome();
    let (status, retry_after) = outcome.map_or((0, None), |outcome| (outcome.status, outcome.retry_after));
    if result.is_err() && (status == 429 || (status == 503 && retry_after.is_some())) {
        return Answer::Later { retry_after };
    }
    match result {
        Ok(answer) => Answer::Tokens(answer),
        Err(TokenFailure::Refused("temporarily_unavailable")) => Answer::Later { retry_after },
        Err(TokenFailure::Refused("server_error")) => Answer::Unknown,
        Err(TokenFailure::Refused(_)) if status >= 500 => Answer::Unknown,
        Err(TokenFailure::Refused("invalid_grant")) => Answer::GrantRefused,
        Err(TokenFailure::Refused(error)) => Answer::ClientRefused { error, status },
        Err(TokenFailure::Transport(error)) if (400..500).contains(&status) => {
            tracing::warn!(%error, status, "the token endpoint did not answer in OAuth");
            Answer::Misbehaved("the token endpoint answered something that is not OAuth")
        }
        Err(TokenFailure::Transport(error)) if error.maybe_processed() => Answer::Unknown,
        Err(TokenFailure::Transport(_)) => Answer::NotSent,
        Err(TokenFailure::NotOAuth) => Answer::Unknown,
    }
}
