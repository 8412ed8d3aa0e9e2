//! One attempt: what must hold before it, what it needs, and who may make it (REFRESH.md b.3, S0 to S2).

use chrono::Duration;
use tokio::time::Instant;

use super::ask::{Answer, Grant, KnownSecret, bound_elsewhere};
use super::breaker::Seen;
use super::diagnose::{Facts, advised};
use super::examine::Examined;
use super::release::{Release, given_up, soon};
use super::send::{FIRST_NEEDS, Trial};
use super::steps::{Entrance, Next, after_answer, entrance};
use super::{Engine, LEASE_SECONDS, Reason, SEND_WITHIN, Step, suspended};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus, GrantType, Resolved, binds};
use crate::model::credential::{Credential, CredentialStatus, Outcome};
use crate::model::token_set::TokenSet;
use crate::protocol::advice;
use crate::secret::Secret;
use crate::store::{AcquireRefresh, Attempted};
use crate::telemetry;
use crate::vault::Prefetched;

/// What `status_reason` begins with after a refusal of our client, before the RFC 6749 §5.2 code.
pub(super) const CLIENT_REJECTED: &str = "client_rejected:";
const CLIENT_ERRORS: [&str; 5] =
    ["invalid_client", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_grant_type"];

/// Everything that can fail, obtained before anything is touched.
pub(super) struct Obtained {
    pub(super) tokens: TokenSet,
    pub(super) renewal: Renewal,
    pub(super) resolved: Resolved,
    pub(super) secrets: Vec<KnownSecret>,
    rt_fp: String,
}

/// How new tokens are had without the person.
pub(super) enum Renewal {
    /// RFC 6749 §6. It may be good once only.
    RefreshToken(Secret<String>),
    /// RFC 6749 §4.4, again.
    ClientCredentials,
    /// RFC 6749 §4.3, again: the server gave no refresh token.
    Password { username: Secret<String>, password: Secret<String> },
}

impl Renewal {
    pub(super) fn of(credential: &Credential, tokens: &TokenSet) -> Result<Self> {
        // RFC 6749 §4.4.3: there should be no refresh token, and one that is there is not needed.
        if credential.grant == GrantType::ClientCredentials {
            return Ok(Self::ClientCredentials);
        }
        if let Some(token) = tokens.refresh_token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Self::RefreshToken(token.clone()));
        }
        match (tokens.inputs.get("username"), tokens.inputs.get("password")) {
            (Some(username), Some(password)) if credential.grant == GrantType::Password => {
                Ok(Self::Password { username: username.clone(), password: password.clone() })
            }
            _ => Err(Error::Internal("a refreshable token set has nothing to refresh it with")),
        }
    }

    /// Whether presenting it twice can cost the grant.
    pub(super) fn is_spent_by_use(&self) -> bool {
        matches!(self, Self::RefreshToken(_))
    }

    pub(super) fn step(&self) -> advice::Step {
        match self {
            Self::RefreshToken(_) => advice::Step::Refresh,
            Self::ClientCredentials => advice::Step::ClientCredentials,
            Self::Password { .. } => advice::Step::Password,
        }
    }

    pub(super) fn grant<'a>(&'a self, scopes: &'a [String]) -> Grant<'a> {
        match self {
            Self::RefreshToken(token) => Grant::RefreshToken(token),
            Self::ClientCredentials => Grant::ClientCredentials { scopes },
            Self::Password { username, password } => Grant::Password { username, password, scopes },
        }
    }
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
        // What was received already needs nobody's permission any more.
        let received = self.received(&credential).await?;
        let take_over = match (entrance(&credential, received.is_some(), self.clock.now()), received) {
            (Entrance::Wait, _) => return Ok(Step::Busy(Box::new(credential))),
            (Entrance::Adopt, Some(received)) => return self.adopt(client, &credential, received).await,
            (Entrance::Adopt, None) => return Err(Error::Internal("there is nothing to adopt")),
            (Entrance::Ask { take_over }, _) => take_over,
        };
        if leads_elsewhere(client, &credential) {
            // The client at hand may be half a minute old, and the credential newer.
            let fresh = self.store.find_client(&client.id).await?;
            if fresh.is_some_and(|fresh| leads_elsewhere(&fresh, &credential)) {
                return self.park(&credential, "origin_changed").await;
            }
            return Err(bound_elsewhere());
        }
        self.check(client, &credential, reason)?;
        self.check_floor(&credential)?;
        let obtained = self.obtain(client, &credential).await?;
        let pass = self.pass(client, &credential, &obtained, reason).await?;

        let acquire = AcquireRefresh { take_over, ..self.acquisition(&credential, &obtained.rt_fp) };
        let held = match self.store.acquire_refresh(&credential.project, &credential.id, &acquire).await? {
            Attempted::Applied(held) => *held,
            Attempted::Refused(Some(other)) => return Ok(Step::Busy(other)),
            Attempted::Refused(None) => return Err(Error::NotFound),
        };
        let mut trial = Trial {
            client,
            held,
            acquire,
            obtained,
            begun,
            sent_again: false,
            exchanges: Vec::new(),
            secret: None,
            slowest: std::time::Duration::ZERO,
        };
        // A slow environment may be killed before the commit: then nothing may be sent any more.
        if begun.elapsed() > SEND_WITHIN || self.time_to_send(&trial) < FIRST_NEEDS {
            self.release(&trial, Release::untouched(&trial.held)).await?;
            return Err(Error::Refreshing { retry_after: std::time::Duration::from_secs(1) });
        }
        let answer = self.send(&mut trial).await?;
        let seen = Seen::of(&answer, &trial);
        let (number, began) = (trial.held.fence, self.clock.now());
        let settled = self.settle(&mut trial, answer).await;
        let settled = settled.map_err(|error| {
            let facts = Facts::of(client, &trial.obtained.resolved);
            let step = trial.obtained.renewal.step();
            advised(error, step, &trial.exchanges, &credential.requested_scopes, &facts)
        });
        // What came is stored by now; everything else has time.
        self.note_health(pass, seen, &trial).await;
        self.note_success(client, trial.secret.as_ref()).await;
        self.record(&credential, number, "refresh", began, &trial.exchanges, settled.as_ref().err()).await;
        settled
    }

    /// S4 to S6: what the answer leads to.
    async fn settle(&self, trial: &mut Trial<'_>, mut answer: Answer) -> Result<Step> {
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
        self.check_age(client, credential, reason)?;
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

    /// Whether the provider would count a refresh that is asked for by name as too early. What a dead worker left behind
    /// goes on in any case.
    fn check_age(&self, client: &Client, credential: &Credential, reason: Reason) -> Result<()> {
        let min_age = Duration::seconds(client.settings.refresh.min_age_seconds.unwrap_or_default().into());
        let earliest = credential.issued_at + min_age.num_milliseconds();
        let early = reason == Reason::Forced && self.clock.now().timestamp_millis() < earliest;
        if !early || credential.intent.is_some() {
            return Ok(());
        }
        let at = chrono::DateTime::from_timestamp_millis(earliest).unwrap_or_default();
        Err(Error::Conflict {
            code: "refresh_too_early",
            detail: format!(
                "The provider refuses a refresh before the access token is {} seconds old, which is at {}.",
                min_age.num_seconds(),
                at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            ),
            advice: &[
                "Read the token instead: it is still good, and is refreshed in time.",
                "Repeat the call after the time in detail; the client's refresh.min_age_seconds sets it.",
            ],
        })
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
        let place = credential.place(credential.generation);
        let tokens = self.tokens_at(&place, &credential.cur, Prefetched::Nothing).await?;
        let renewal = Renewal::of(credential, &tokens)?;
        let resolved = client.resolve(&credential.variables, &tokens.inputs).map_err(|_| values_do_not_fit())?;
        // What would be refused after the lease is taken is refused before.
        let url = match renewal.is_spent_by_use() {
            true => resolved.refresh_endpoint.as_ref().ok_or_else(values_do_not_fit)?,
            false => &resolved.token_endpoint,
        };
        binds(&credential.bound_origin, url).ok_or_else(bound_elsewhere)?;
        let secrets = self.secrets_for(client, &resolved, &tokens.inputs).await?;
        let rt_fp = self.fingerprint(&renewal).await?;
        // Whatever the vault needs to take what the provider gives is there before the provider is asked.
        self.vault.prepare(&credential.place(credential.generation + 1)).await?;
        Ok(Obtained { tokens, renewal, resolved, secrets, rt_fp })
    }

    /// By what a refresh token is recognised without being known.
    pub(super) async fn fingerprint(&self, renewal: &Renewal) -> Result<String> {
        match renewal {
            Renewal::RefreshToken(token) => self.root_keys.current().await?.fingerprint(token),
            // Nothing is spent by these, so there is nothing to recognise.
            Renewal::ClientCredentials | Renewal::Password { .. } => Ok("none".to_owned()),
        }
    }

    pub(super) fn acquisition(&self, credential: &Credential, rt_fp: &str) -> AcquireRefresh {
        let now = self.clock.now();
        AcquireRefresh {
            generation: credential.generation,
            owner: uuid::Uuid::new_v4().to_string(),
            attempt: uuid::Uuid::new_v4().to_string(),
            rt_fp: rt_fp.to_owned(),
            now,
            until: now + Duration::seconds(LEASE_SECONDS),
            take_over: credential.intent.as_ref().map(|intent| intent.attempt.clone()),
            tried: credential.intent.as_ref().map(|intent| intent.tried.clone()).unwrap_or_default(),
            due_before: credential.due_at,
        }
    }
}

/// The client was changed so that what the owner gave is not enough for it, or not safe in it, any more.
fn values_do_not_fit() -> Error {
    Error::Conflict {
        code: "values_do_not_fit",
        detail: "The client was changed, and the credential's variables no longer fit it.".to_owned(),
        advice: &[
            "Give the variables that the client asks for now (GET /v1/clients/{id}/variables).",
            "Or connect the credential again.",
        ],
    }
}

/// Whether the client's token endpoint is at an origin that the credential's tokens are not bound to.
fn leads_elsewhere(client: &Client, credential: &Credential) -> bool {
    let endpoint = client.settings.token_endpoint.as_deref().unwrap_or_default();
    let endpoint = client.url("token_endpoint", endpoint, &credential.variables);
    endpoint.is_ok_and(|endpoint| binds(&credential.bound_origin, endpoint.as_str()).is_none())
}

/// Why the authorization server refused our client the last time, when it did.
fn rejected(credential: &Credential) -> Option<&'static str> {
    let code = credential.status_reason.as_deref()?.strip_prefix(CLIENT_REJECTED)?;
    CLIENT_ERRORS.into_iter().find(|known| *known == code).or(Some("other"))
}

/// S0, the credential's part: whether its status lets a refresh be tried.
fn check_status(credential: &Credential) -> Result<()> {
    match credential.status {
        CredentialStatus::Suspended => return Err(suspended(credential)),
        CredentialStatus::Revoking | CredentialStatus::Revoked => return Err(Error::Revoked),
        CredentialStatus::ReauthorizationRequired => {
            let reason = credential.status_reason.clone().unwrap_or_default();
            return Err(Error::ReauthorizationRequired { reason, url: None });
        }
        CredentialStatus::Active | CredentialStatus::ChoiceRequired | CredentialStatus::RefreshFailing => {}
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
