//! Tests a credential step by step: the token, a refresh, the scopes, the header, a request to the API.

mod ask_api;
mod raw;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::delivery::{Api, is_header};
use super::finding::{Finding, headers_left_out};
use super::read_token::may_use;
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{Credential, CredentialKind, CredentialStatus};
use crate::model::principal::Role;
use crate::model::token_set::TokenSet;
use crate::protocol::advice::{Situation, classify};
use crate::protocol::dialect::REDACTED;
use crate::protocol::scope;
use crate::refresh::Reason;
use crate::refresh::decide::{Need, need};

/// The body of `POST /v1/credentials/{id}/test`; it may be empty.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestOrder {
    /// Act as if the access token had expired: refresh it, or fetch another, and compare.
    #[serde(default)]
    pub rehearse_expiry: bool,
}

/// A step of a test, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestStep {
    /// A valid token is there, or was fetched.
    Token,
    /// The rehearsal: another token was had without the person.
    Refresh,
    /// What is granted is what was asked, and what was granted before.
    Scopes,
    /// Which header carries the token.
    Header,
    /// The client's test request was sent and answered.
    Request,
    /// What the answer means.
    Payload,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepVerdict {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// It was not tried.
    Skipped,
}

/// A test with its steps.
pub struct Tested {
    /// Every step with what was found.
    pub steps: Vec<(TestStep, StepVerdict, Finding)>,
    /// The HTTP status of the API's answer.
    pub status: Option<u16>,
    /// The API's answer, redacted and at most 4 kB of JSON.
    pub payload: Option<Value>,
}

impl Broker {
    /// Tests a credential. What is wrong with it is in the steps.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Revoked`], and when store or vault do not answer.
    pub async fn test_credential(&self, caller: &Caller, id: &str, order: TestOrder) -> Result<Tested> {
        caller.require(&[Role::Runner, Role::Platform], "tokens:report")?;
        let project = caller.project(None)?;
        let begun = Instant::now();
        let credential = self.credential_of(&project, id).await?;
        may_use(caller, &credential)?;
        if credential.is_ended() {
            return Err(Error::Revoked);
        }
        let id = credential.id.clone();
        let tested = match credential.kind {
            CredentialKind::Raw => self.test_raw(&credential).await?,
            CredentialKind::Oauth => self.test_tokens(credential, order, begun).await?,
        };
        tracing::info!(credential = %id, key = %caller.key.id, status = tested.status, "credential tested");
        Ok(tested)
    }

    async fn test_tokens(&self, credential: Credential, order: TestOrder, begun: Instant) -> Result<Tested> {
        let client = match self.client_of_credential(&credential).await {
            Ok(client) => client,
            Err(error) => {
                let mut steps = vec![(TestStep::Token, StepVerdict::Failed, Finding::Failed(passed_on(error)?))];
                let rest =
                    [TestStep::Refresh, TestStep::Scopes, TestStep::Header, TestStep::Request, TestStep::Payload];
                steps.extend(rest.map(|step| (step, StepVerdict::Skipped, no_token())));
                return Ok(Tested { steps, status: None, payload: None });
            }
        };
        let before = credential.granted_scopes.clone();
        let mut trial = Trial { broker: self, client, credential, tokens: None, begun, tested: Tested::default() };
        let fetched = trial.token().await?;
        let rehearsed = trial.refresh(order.rehearse_expiry, fetched).await?;
        trial.scopes(&before, fetched || rehearsed);
        trial.header();
        trial.request().await;
        Ok(trial.tested)
    }
}

impl Default for Tested {
    fn default() -> Self {
        Self { steps: Vec::with_capacity(6), status: None, payload: None }
    }
}

/// A test under way.
struct Trial<'a> {
    broker: &'a Broker,
    client: Arc<Client>,
    credential: Credential,
    /// Absent: there is none that could be used.
    tokens: Option<TokenSet>,
    /// Whether there is time for another step counts from here.
    begun: Instant,
    tested: Tested,
}

impl Trial<'_> {
    fn found(&mut self, step: TestStep, verdict: StepVerdict, finding: Finding) {
        self.tested.steps.push((step, verdict, finding));
    }

    /// Whether the token had to be fetched.
    async fn token(&mut self) -> Result<bool> {
        let generation = self.credential.generation;
        match self.usable_tokens().await {
            Ok(tokens) => {
                self.tokens = Some(tokens);
                let fetched = self.credential.generation > generation;
                let how = if fetched { "was fetched" } else { "is there" };
                let until = match self.credential.expires_at() {
                    Some(at) => format!("expires at {}", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
                    None => "does not say when it expires".to_owned(),
                };
                let detail = format!("A token of generation {} {how}; it {until}.", self.credential.generation);
                self.found(TestStep::Token, StepVerdict::Passed, Finding::said("token_usable", detail));
                Ok(fetched)
            }
            Err(error) => {
                let finding = Finding::Failed(passed_on(error)?);
                self.found(TestStep::Token, StepVerdict::Failed, finding);
                Ok(false)
            }
        }
    }

    async fn usable_tokens(&mut self) -> Result<TokenSet> {
        if self.credential.status == CredentialStatus::Suspended {
            return Err(Error::Suspended);
        }
        match need(&self.credential, self.broker.now(), None) {
            Need::Serve | Need::ServeShort | Need::ServeAndRefresh => {
                let tokens = self.broker.open_tokens(&self.credential).await?;
                if !tokens.access_token.is_empty() {
                    return Ok(tokens);
                }
                if !self.credential.may_refresh() {
                    return Err(self.broker.dead(&self.credential).await);
                }
            }
            Need::Refresh { .. } => {}
            Need::Nothing => return Err(self.broker.dead(&self.credential).await),
        }
        self.renew(Reason::Due).await
    }

    async fn renew(&mut self, reason: Reason) -> Result<TokenSet> {
        self.credential = self.broker.refresh_now(&self.client, &self.credential, reason, Instant::now()).await?;
        self.broker.open_tokens(&self.credential).await
    }

    /// The rehearsal, where it is wanted: one refresh, and no second one where the first step had to make one. Whether
    /// there was one.
    async fn refresh(&mut self, rehearse: bool, fetched: bool) -> Result<bool> {
        let step = TestStep::Refresh;
        if !rehearse {
            let advice = ["Set rehearse_expiry to see whether the credential outlives its access token."];
            let finding = Finding::advising("not_asked", "No expiry was rehearsed.", &advice);
            self.found(step, StepVerdict::Skipped, finding);
            return Ok(false);
        }
        if self.tokens.is_none() {
            let detail = "It was not tried: the step token says why there is no token.";
            self.found(step, StepVerdict::Skipped, Finding::said("no_token", detail));
            return Ok(false);
        }
        if fetched {
            let detail = "The access token had expired, and the step token had another one: no second was taken.";
            self.found(step, StepVerdict::Passed, Finding::said("fetched_before", detail));
            return Ok(false);
        }
        let old = self.credential.generation;
        match self.renew(Reason::Forced).await {
            Ok(tokens) => {
                self.tokens = Some(tokens);
                let detail = format!(
                    "Another token was had without the owner: generation {old} became {}.",
                    self.credential.generation
                );
                self.found(step, StepVerdict::Passed, Finding::said("refreshed", detail));
                Ok(true)
            }
            Err(error) => {
                let error = passed_on(error)?;
                let early = matches!(error.plain(), Error::Conflict { code: "refresh_too_early", .. });
                let verdict = if early { StepVerdict::Skipped } else { StepVerdict::Failed };
                self.found(step, verdict, Finding::Failed(error));
                // What the failure made of the credential: it may need consent now, or be put aside.
                let (project, id) = (self.credential.project.clone(), self.credential.id.to_string());
                self.credential = self.broker.credential_of(&project, &id).await?;
                let put_aside = self.credential.status == CredentialStatus::Suspended;
                if put_aside {
                    self.tokens = None;
                }
                Ok(put_aside)
            }
        }
    }

    /// What is granted against what was asked, and, after a refresh, against what was granted before (N7, N10).
    fn scopes(&mut self, before: &[String], renewed: bool) {
        let granted = &self.credential.granted_scopes;
        let lost = if renewed { scope::missing(granted, before) } else { Vec::new() };
        let gained = if renewed { scope::beyond(granted, before) } else { Vec::new() };
        if !lost.is_empty() || !gained.is_empty() {
            let detail = format!(
                "The refresh changed the scopes. Lost: {}. Gained: {}. Granted now: {}.",
                listed(&lost),
                listed(&gained),
                listed(granted)
            );
            let advice = [
                "Check at the provider whether the client's scopes or the person's rights were changed.",
                "If all scopes are needed, ask the owner to connect the account again.",
            ];
            return self.found(
                TestStep::Scopes,
                StepVerdict::Failed,
                Finding::advising("scopes_changed", detail, &advice),
            );
        }
        let requested = &self.credential.requested_scopes;
        let advice = classify(&Situation { scopes: requested, granted: Some(granted), ..Situation::default() });
        let (verdict, finding) = if ["scope_narrower", "scope_wider"].contains(&advice.code) {
            (StepVerdict::Failed, Finding::Classified(advice))
        } else {
            let and_before = if renewed { " Nothing changed with the refresh." } else { "" };
            let detail = format!("Asked: {}. Granted: {}.{and_before}", listed(requested), listed(granted));
            (StepVerdict::Passed, Finding::said("scopes_granted", detail))
        };
        self.found(TestStep::Scopes, verdict, finding);
    }

    fn header(&mut self) {
        let Some(tokens) = &self.tokens else {
            return self.found(TestStep::Header, StepVerdict::Skipped, no_token());
        };
        let api = Api::of(&self.client, &self.credential, tokens);
        let (name, value) = api.token_header();
        let others: Vec<String> = api.headers().into_keys().collect();
        let left_out = headers_left_out(&self.client, &api).join(", ");
        if !is_header(&name, &value) {
            let advice = ["Check the client's header: a name, and a prefix of visible ASCII characters."];
            let finding =
                Finding::advising("header_unusable", "The token cannot be sent in the client's header.", &advice);
            return self.found(TestStep::Header, StepVerdict::Failed, finding);
        }
        let mut detail = match self.client.settings.header.prefix.trim() {
            "" => format!("The token is sent as {name}: {REDACTED}"),
            prefix => format!("The token is sent as {name}: {prefix} {REDACTED}"),
        };
        if !others.is_empty() {
            detail.push_str(&format!("; with it go {}", others.join(", ")));
        }
        let finding = if left_out.is_empty() {
            Finding::said("header_known", detail + ".")
        } else {
            let detail = format!("{detail}. Left out, for a value is not known: {left_out}.");
            let advice = ["Check that the client's variables and the provider's answers have what api_headers use."];
            Finding::advising("header_left_out", detail, &advice)
        };
        self.found(TestStep::Header, StepVerdict::Passed, finding);
    }
}

/// Only what is wrong with the credential, its client or the provider is a finding.
fn passed_on(error: Error) -> Result<Error> {
    match error.plain() {
        Error::NotFound | Error::Revoked | Error::Dependency(_) | Error::Internal(_) => Err(error),
        _ => Ok(error),
    }
}

fn no_token() -> Finding {
    Finding::said("no_token", "There is no token to send: the steps before say why.")
}

fn listed(scopes: &[String]) -> String {
    if scopes.is_empty() { "none".to_owned() } else { scopes.join(", ") }
}
