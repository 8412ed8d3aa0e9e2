//! Adds to a failure at the provider what its answer tells about the cause.

use crate::error::Error;
use crate::model::client::{Client, GrantType, Resolved};
use crate::protocol::advice::{Failure, Hint, Quirks, Situation, Step};
use crate::protocol::dialect::TokenRequestDialect;
use crate::protocol::exchange::{Exchange, NoAnswer};
use crate::protocol::token::AuthMethod;

/// What is known of a token request besides its answer.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    redirect_uri: Option<&'a str>,
    pkce: bool,
    token_endpoint: Option<&'a str>,
    auth_method: Option<&'static str>,
    audience: Option<&'a str>,
    resource: Option<&'a str>,
    quirks: Quirks<'a>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(client: &'a Client, resolved: &'a Resolved) -> Self {
        let settings = &client.settings;
        let offline = settings.scopes.allows("offline_access").then_some("offline_access");
        Self {
            redirect_uri: None,
            pkce: false,
            token_endpoint: Some(&resolved.token_endpoint),
            auth_method: Some(auth_name(resolved.auth_method)),
            audience: settings.audience.as_deref(),
            resource: settings.resource.as_deref(),
            quirks: Quirks {
                auth_method: settings.token_endpoint_auth_method.map(auth_name),
                header_prefix: Some(&settings.header.prefix),
                offline,
                refresh_idle_days: settings.refresh.idle_days,
                json_body: is_json(&settings.token_request),
            },
        }
    }

    /// Of the exchange of a code.
    pub(crate) fn of_code(client: &'a Client, resolved: &'a Resolved, redirect_uri: &'a str, pkce: bool) -> Self {
        Self { redirect_uri: Some(redirect_uri), pkce, ..Self::of(client, resolved) }
    }
}

/// The step that a grant's token request is.
pub(crate) fn step_of(grant: GrantType) -> Step {
    match grant {
        GrantType::AuthorizationCode => Step::Exchange,
        GrantType::ClientCredentials => Step::ClientCredentials,
        GrantType::Password => Step::Password,
        GrantType::RefreshToken => Step::Refresh,
    }
}

/// The error with its advice, from the last request that was made.
pub(crate) fn advised(error: Error, step: Step, exchanges: &[Exchange], scopes: &[String], facts: &Facts<'_>) -> Error {
    error.advised(&situation(step, exchanges.last(), scopes, facts))
}

/// Everything that is known of a token request and its answer.
pub(crate) fn situation<'a>(
    step: Step,
    exchange: Option<&'a Exchange>,
    scopes: &'a [String],
    facts: &Facts<'a>,
) -> Situation<'a> {
    let situation = Situation {
        step,
        scopes,
        redirect_uri: facts.redirect_uri,
        pkce: facts.pkce,
        token_endpoint: facts.token_endpoint,
        auth_method: facts.auth_method,
        audience: facts.audience,
        resource: facts.resource,
        quirks: facts.quirks,
        ..Situation::default()
    };
    let Some(exchange) = exchange else { return situation };
    let member = |name: &str| exchange.body.as_ref()?.get(name)?.as_str();
    Situation {
        status: exchange.status,
        error: member("error"),
        hint: member("error_description").and_then(Hint::recognise),
        failure: exchange.failure.and_then(failure),
        is_html: exchange.is_html,
        not_json: exchange.status.is_some() && !exchange.body.as_ref().is_some_and(|body| body.get("error").is_some()),
        no_access_token: exchange.status.is_some_and(|status| (200..300).contains(&status)),
        retry_after_seconds: exchange.retry_after,
        grant: exchange.parameters.iter().find(|(name, _)| name == "grant_type").map(|(_, value)| value.as_str()),
        ..situation
    }
}

/// Why no answer came, for the classifier.
pub(crate) fn failure(no_answer: NoAnswer) -> Option<Failure> {
    Some(match no_answer {
        NoAnswer::Refused => Failure::Refused,
        NoAnswer::Dns => Failure::Dns,
        NoAnswer::Connect => Failure::Connect,
        NoAnswer::Tls => Failure::Tls,
        NoAnswer::Timeout => Failure::Timeout,
        NoAnswer::TooLarge => Failure::TooLarge,
        NoAnswer::Interrupted => Failure::Interrupted,
        NoAnswer::Unbuildable => return None,
    })
}

fn auth_name(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::None => "none",
    }
}

fn is_json(dialect: &TokenRequestDialect) -> bool {
    dialect.content_type.as_deref().is_some_and(|media_type| media_type.contains("json"))
}
