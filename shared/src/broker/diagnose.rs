//! Adds to a failure at the provider what its answer tells about the cause.

use crate::error::Error;
use crate::model::client::{Client, GrantType, Resolved};
use crate::outbound::Exchange;
use crate::protocol::advice::{Quirks, Situation, Step};
use crate::protocol::dialect::TokenRequestDialect;
use crate::protocol::token::AuthMethod;

/// What is known of a token request besides its answer.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    pub(crate) redirect_uri: Option<&'a str>,
    pub(crate) pkce: bool,
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
    let last = exchanges.last();
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
        grant: last.and_then(Exchange::grant_type),
        ..last.map(Exchange::situation).unwrap_or_default()
    };
    error.advised(&situation)
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
