//! The doctor: whether what is configured of a provider still is as the provider is, without any credential.
//!
//! It sends what the product would send, by the same adapter, with a client, a code and a state that nobody issued. A
//! server that is there and speaks OAuth refuses them; one that moved, or is spoken to in the wrong way, gives itself
//! away. Nothing is stored, and nothing of a provider's own text is passed on.
//!
//! - `example`: values for the variables, of which an operator has none here
//! - `browser`: the authorization endpoint, asked as a browser would ask it
//! - `program`: the token endpoint, asked in its own dialect

mod browser;
mod example;
mod program;

use serde::Serialize;

use self::example::Examples;
use crate::broker::register_client::{auth_method, fetch_metadata};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::model::client::{Client, ClientSettings, CredentialsFrom, GrantType, Resolved, Unresolved};
use crate::model::ids::ClientId;
use crate::outbound::{Outbound, OutboundError};
use crate::protocol::template::{TemplateError, url_placeholders};

/// A client that nobody registered.
const CLIENT_ID: &str = "grantkeeper-doctor";
/// Where nobody listens (RFC 6761 §6.5).
const REDIRECT_URI: &str = "https://grantkeeper.example/callback/doctor";

/// What is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The issuer's metadata (RFC 8414).
    Metadata,
    /// The authorization endpoint (RFC 6749 §3.1).
    Authorization,
    /// The token endpoint (RFC 6749 §3.2).
    Token,
    /// Where refresh tokens are presented, if that is elsewhere.
    Refresh,
}

impl Subject {
    /// What it is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Authorization => "authorization",
            Self::Token => "token",
            Self::Refresh => "refresh",
        }
    }
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was not examined.
    Skipped,
    /// As it should be.
    Passed,
    /// It answers, but not so that anything follows from it.
    Unclear,
    /// It is not as the entry says.
    Failed,
}

/// One examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was examined.
    pub subject: Subject,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to check or do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

/// What was seen, before it is known of what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    verdict: Verdict,
    detail: String,
    advice: Option<&'static str>,
}

impl Seen {
    fn passed(detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Passed, detail: detail.into(), advice: None }
    }

    fn unclear(detail: impl Into<String>, advice: &'static str) -> Self {
        Self { verdict: Verdict::Unclear, detail: detail.into(), advice: Some(advice) }
    }

    fn failed(detail: impl Into<String>, advice: &'static str) -> Self {
        Self { verdict: Verdict::Failed, detail: detail.into(), advice: Some(advice) }
    }

    fn skipped(detail: impl Into<String>, advice: &'static str) -> Self {
        Self { verdict: Verdict::Skipped, detail: detail.into(), advice: Some(advice) }
    }
}

/// Examines a provider as a client of these settings would meet it with this grant.
pub async fn examine(outbound: &Outbound, settings: &ClientSettings, grant: GrantType, now: Timestamp) -> Vec<Step> {
    let mut settings = settings.clone();
    if settings.credentials_from == CredentialsFrom::Client {
        settings.client_id = Some(CLIENT_ID.to_owned());
    }
    let mut steps = Vec::new();
    if let Some(issuer) = settings.issuer.clone() {
        let seen = metadata(outbound, &issuer, &mut settings).await;
        steps.push(step(Subject::Metadata, seen));
    }
    let refresh = settings.refresh_request.as_ref().and_then(|request| request.url.clone());
    let patient = Patient { examples: Examples::of(&settings), client: client(settings, now), outbound, now };
    if grant == GrantType::AuthorizationCode {
        let url = patient.client.settings.authorization_endpoint.as_deref();
        let seen = patient.by_example(url, patient.ask_as_browser().await);
        steps.push(step(Subject::Authorization, seen));
    }
    let url = patient.client.settings.token_endpoint.as_deref();
    let seen = patient.by_example(url, patient.ask_as_program(grant).await);
    steps.push(step(Subject::Token, seen));
    if let Some(url) = refresh.as_deref().filter(|url| patient.client.settings.token_endpoint.as_deref() != Some(url)) {
        let seen = patient.by_example(Some(url), patient.ask_as_program(GrantType::RefreshToken).await);
        steps.push(step(Subject::Refresh, seen));
    }
    steps
}

/// Who is examined.
struct Patient<'a> {
    outbound: &'a Outbound,
    client: Client,
    examples: Examples,
    now: Timestamp,
}

impl Patient<'_> {
    fn resolve(&self) -> Result<Resolved, Seen> {
        self.client.resolve(&self.examples.shown, &self.examples.secret).map_err(|error| unresolved(&error))
    }

    /// At an address made of examples nobody has to be.
    fn by_example(&self, url: Option<&str>, seen: Seen) -> Seen {
        let keys = url.map(url_placeholders).and_then(Result::ok).unwrap_or_default();
        let guessed: Vec<&str> = keys.into_iter().filter(|key| self.examples.is_guessed(key)).collect();
        if seen.verdict != Verdict::Failed || guessed.is_empty() {
            return seen;
        }
        let detail = format!("{} The address was made with an example of {}.", seen.detail, guessed.join(", "));
        Seen::unclear(detail, "Try the address with the value of an account that you know.")
    }
}

fn step(subject: Subject, Seen { verdict, detail, advice }: Seen) -> Step {
    Step { subject, verdict, detail, advice }
}

/// A client that exists nowhere.
fn client(settings: ClientSettings, now: Timestamp) -> Client {
    Client {
        id: ClientId::generate(),
        client_key: String::new(),
        version: 1,
        revision: 1,
        disabled: false,
        client_secrets: Vec::new(),
        secret_origin: None,
        iss_required: false,
        jwks_uri: None,
        settings,
        created_at: now,
        updated_at: now,
    }
}

/// Fills in the endpoints that only the metadata knows, as registration does.
async fn metadata(outbound: &Outbound, issuer: &str, settings: &mut ClientSettings) -> Seen {
    let metadata = match fetch_metadata(outbound, issuer).await {
        Ok(metadata) => metadata,
        Err(Error::Invalid(fields)) => {
            let detail = fields.first().map(|field| field.detail.clone()).unwrap_or_default();
            return Seen::failed(detail, "Leave issuer out of the entry, or correct it.");
        }
        Err(error) => return Seen::failed(format!("{error}."), "Look whether the issuer's host is the right one."),
    };
    if settings.token_endpoint_auth_method.is_none() {
        settings.token_endpoint_auth_method = Some(auth_method(&metadata));
    }
    let mut differ = Vec::new();
    for (field, known, found) in [
        ("authorization_endpoint", &mut settings.authorization_endpoint, metadata.authorization_endpoint),
        ("token_endpoint", &mut settings.token_endpoint, metadata.token_endpoint),
    ] {
        match (known.as_ref(), found) {
            (None, found) => *known = found,
            (Some(known), Some(found)) if *known != found => differ.push(field),
            _ => {}
        }
    }
    if differ.is_empty() {
        return Seen::passed("It is there, and names the issuer.");
    }
    let detail = format!("It has another {} than the entry.", differ.join(" and another "));
    Seen::failed(detail, "Take over what the metadata says: registration would refuse the entry.")
}

/// Why a URL or a request could not be made.
fn unresolved(error: &Unresolved) -> Seen {
    const NO_VALUE: &str = "Give the variable an example or a default.";
    match error {
        Unresolved::Template { error: TemplateError::Missing(key), .. } => Seen::skipped(
            format!("It needs a value for {key}, of which the entry has neither an example nor a default."),
            NO_VALUE,
        ),
        Unresolved::Incomplete(field) => {
            Seen::skipped(format!("The entry has no {field}."), "It is the client's to give, or missing.")
        }
        error => Seen::failed(format!("{error}."), "Correct the entry, or the example of the variable."),
    }
}

/// Why there was no answer.
fn unanswered(error: OutboundError) -> Seen {
    let advice = match error {
        OutboundError::Dns => "The host has no address: look for the provider's current one.",
        OutboundError::Tls => "Nobody with a valid certificate for this host answers; look at it in a browser.",
        OutboundError::Refused(refusal) => refusal.advice(),
        OutboundError::Proxy => "Look at the proxy that you set.",
        _ => "Try again later, and from another network.",
    };
    Seen::failed(format!("No answer: {error}."), advice)
}
