//! Checks how a client is configured, before anybody uses it: against its grants, against what the authorization server
//! says of itself, against the policies of the project.
//!
//! - `grants`: what each grant needs, and which to prefer
//! - `provider`: what the catalogue says of it today
//! - `secrets`: how the client authenticates
//! - `server`: what the issuer's metadata says
//! - `surroundings`: return URLs, policies, the API, variables

mod grants;
mod provider;
mod secrets;
mod server;
mod surroundings;
#[cfg(test)]
mod tests;

use serde::Serialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use crate::catalogue::Provider;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus};
use crate::model::project::Project;
use crate::protocol::discovery::Metadata;
use crate::protocol::token::AuthMethod;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It cannot work.
    Error,
    /// It works, and somebody should look at it.
    Warning,
    /// Good to know.
    Info,
}

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Stable code.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// What was found.
    pub detail: String,
    /// What to do, in order.
    pub advice: Vec<String>,
}

/// What the authorization server says of itself.
enum Server {
    /// The client names no issuer.
    Unnamed,
    /// Why it could not be asked.
    Silent(String),
    /// Its metadata.
    Says(Box<Metadata>),
}

/// Everything that a check looks at.
struct Facts<'a> {
    client: &'a Client,
    /// The project that asks, or that the client belongs to.
    project: Option<&'a Project>,
    /// The catalogue's entry of today, where the client was taken from one that is still there.
    provider: Option<&'a Provider>,
    server: &'a Server,
    redirect_uri: &'a str,
    /// The shortest time between two refreshes that the vault keeps up with (seconds).
    refresh_floor: Option<u32>,
    now: Timestamp,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, code: &'static str, detail: impl Into<String>, advice: &[&str]) {
        let advice = advice.iter().map(|&advice| advice.to_owned()).collect();
        self.0.push(Finding { level, code, detail: detail.into(), advice });
    }

    fn error(&mut self, code: &'static str, detail: impl Into<String>, advice: &[&str]) {
        self.add(Level::Error, code, detail, advice);
    }

    fn warning(&mut self, code: &'static str, detail: impl Into<String>, advice: &[&str]) {
        self.add(Level::Warning, code, detail, advice);
    }

    fn info(&mut self, code: &'static str, detail: impl Into<String>, advice: &[&str]) {
        self.add(Level::Info, code, detail, advice);
    }
}

impl Broker {
    /// Checks a client that the caller may see. Asks nobody but the issuer for its metadata; that it does not answer is
    /// a finding, too.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn check_client(&self, caller: &Caller, id: &str) -> Result<Vec<Finding>> {
        let client = self.read_client(caller, id).await?;
        let project = match caller.project_filter(None)?.or_else(|| client.settings.project.clone()) {
            Some(project) => self.store().find_project(&project).await?,
            None => None,
        };
        let server = match &client.settings.issuer {
            None => Server::Unnamed,
            Some(issuer) => match self.fetch_metadata(issuer).await {
                Ok(metadata) => Server::Says(Box::new(metadata)),
                Err(error @ (Error::Dependency(_) | Error::Internal(_))) => return Err(error),
                Err(error) => Server::Silent(why(&error)),
            },
        };
        let provider = client.settings.provider.as_deref().and_then(|id| self.catalogue().find(id).ok());
        let facts = Facts {
            client: &client,
            project: project.as_ref(),
            provider: provider.as_ref(),
            server: &server,
            redirect_uri: &self.config().redirect_uri(&client.client_key),
            refresh_floor: self.vault().write_floor().map(|floor| floor.interval_seconds),
            now: self.now(),
        };
        Ok(check(&facts))
    }
}

/// The name of a method in metadata (RFC 8414 §2).
fn method_name(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::None => "none",
    }
}

/// Why the metadata could not be had.
fn why(error: &Error) -> String {
    match error {
        Error::Invalid(fields) => fields.iter().map(|field| field.detail.as_str()).collect::<Vec<_>>().join(" "),
        error => error.to_string(),
    }
}

/// All that is to be said, the worst first.
fn check(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    status(facts, &mut findings);
    grants::check(facts, &mut findings);
    secrets::check(facts, &mut findings);
    provider::check(facts, &mut findings);
    server::check(facts, &mut findings);
    surroundings::check(facts, &mut findings);
    let Findings(mut found) = findings;
    found.sort_by_key(|finding| finding.level);
    found
}

fn status(facts: &Facts<'_>, findings: &mut Findings) {
    match facts.client.status() {
        ClientStatus::Active => {}
        ClientStatus::Disabled => findings.warning(
            "client_disabled",
            "The client is switched off: nobody can connect with it, and its credentials are not refreshed.",
            &["Switch it on again with PATCH /v1/clients/{id}: {\"status\": \"active\"}."],
        ),
        ClientStatus::Draft => {
            let missing = facts.client.missing().join(", ");
            let detail = format!("The client is a draft and cannot be used: it lacks {missing}.");
            findings.error("client_draft", detail, &["Give what is missing with PATCH /v1/clients/{id}."]);
        }
    }
}
