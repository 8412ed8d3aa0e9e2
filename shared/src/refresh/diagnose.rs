//! Adds to a failure at the provider what its answer tells about the cause.

use crate::error::Error;
use crate::model::client::{Client, GrantType, Resolved};
use crate::protocol::advice::{Failure, Quirks, Situation, Step};
use crate::protocol::exchange::{Exchange, Fault, NoAnswer};
use crate::protocol::token::AuthMethod;

/// What is known of a token request besides its answer.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    redirect_uri: Option<&'a str>,
    pkce: bool,
    token_endpoint: Option<&'a str>,
    refresh_endpoint: Option<&'a str>,
    auth_method: Option<&'static str>,
    refresh_auth_method: Option<&'static str>,
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
            refresh_endpoint: resolved.refresh_endpoint.as_deref(),
            auth_method: Some(auth_name(resolved.token_request.auth.unwrap_or(resolved.auth_method))),
            refresh_auth_method: Some(auth_name(resolved.refresh_request.auth.unwrap_or(resolved.auth_method))),
            audience: settings.audience.as_deref(),
            resource: settings.resource.as_deref(),
            // Only what a superuser knows of the provider: how we ask is no fact about how it wants to be asked.
            quirks: Quirks { offline, refresh_idle_days: settings.refresh.idle_days, ..Quirks::default() },
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
    let at_refresh = step == Step::Refresh;
    let situation = Situation {
        step,
        scopes,
        redirect_uri: facts.redirect_uri,
        pkce: facts.pkce,
        token_endpoint: if at_refresh { facts.refresh_endpoint } else { facts.token_endpoint },
        auth_method: if at_refresh { facts.refresh_auth_method } else { facts.auth_method },
        audience: facts.audience,
        resource: facts.resource,
        quirks: facts.quirks,
        ..Situation::default()
    };
    let Some(exchange) = exchange else { return situation };
    let reading = exchange.reading.as_ref();
    let fault = reading.and_then(|reading| reading.fault);
    Situation {
        status: exchange.status,
        error: reading.and_then(|reading| reading.error.as_deref()),
        hint: reading.and_then(|reading| reading.hint),
        failure: exchange.failure.map(failure),
        is_html: exchange.is_html && matches!(fault, Some(Fault::NotUnderstood | Fault::Compressed)),
        not_json: matches!(fault, Some(Fault::NotUnderstood | Fault::Compressed)),
        no_access_token: matches!(fault, Some(Fault::NoAccessToken | Fault::UnsafeToken)),
        retry_after_seconds: exchange.retry_after,
        grant: exchange.parameters.iter().find(|(name, _)| name == "grant_type").map(|(_, value)| value.as_str()),
        ..situation
    }
}

/// Why no answer came, for the classifier.
pub(crate) fn failure(no_answer: NoAnswer) -> Failure {
    match no_answer {
        NoAnswer::Refused => Failure::Refused,
        NoAnswer::Dns => Failure::Dns,
        NoAnswer::Connect => Failure::Connect,
        NoAnswer::Tls => Failure::Tls,
        NoAnswer::Timeout => Failure::Timeout,
        NoAnswer::TooLarge => Failure::TooLarge,
        NoAnswer::Interrupted => Failure::Interrupted,
        NoAnswer::Proxy => Failure::Proxy,
        NoAnswer::Unbuildable => Failure::Unbuildable,
    }
}

fn auth_name(method: AuthMethod) -> &'static str {
    match method {
        AuthMethod::ClientSecretBasic => "client_secret_basic",
        AuthMethod::ClientSecretPost => "client_secret_post",
        AuthMethod::None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::advice::{Hint, classify};
    use crate::protocol::exchange::{AuthSent, Reading};

    fn exchange(status: u16, reading: Reading) -> Exchange {
        Exchange {
            method: "POST".to_owned(),
            url: "https://as.example/token".to_owned(),
            auth: AuthSent::None,
            parameters: Vec::new(),
            status: Some(status),
            content_type: None,
            is_html: false,
            body: Some(serde_json::json!({"error": "[redacted]"})),
            reading: Some(reading),
            retry_after: None,
            server_time: None,
            failure: None,
        }
    }

    #[test]
    fn advice_comes_from_what_was_understood_and_not_from_the_redacted_record() {
        let said = |error: &str, hint| Reading { error: Some(error.to_owned()), hint, fault: None };
        let fault = |fault| Reading { fault: Some(fault), ..Reading::default() };
        for (status, reading, code) in [
            (200, said("invalid_grant", Some(Hint::Idle)), "refresh_token_idle"),
            (400, said("bad_client_secret", None), "invalid_client"),
            (200, fault(Fault::NoAccessToken), "no_access_token"),
            (200, fault(Fault::NotUnderstood), "answer_not_json"),
        ] {
            let exchange = exchange(status, reading);
            let situation = situation(Step::Refresh, Some(&exchange), &[], &Facts::default());
            assert_eq!(classify(&situation).code, code);
        }
    }

    #[test]
    fn a_refresh_is_told_of_its_own_endpoint_and_authentication() {
        let facts = Facts {
            token_endpoint: Some("https://as.example/token"),
            refresh_endpoint: Some("https://as.example/refresh"),
            auth_method: Some("client_secret_basic"),
            refresh_auth_method: Some("none"),
            ..Facts::default()
        };
        let of = |step| {
            let situation = situation(step, None, &[], &facts);
            (situation.token_endpoint, situation.auth_method)
        };
        assert_eq!(of(Step::Refresh), (Some("https://as.example/refresh"), Some("none")));
        assert_eq!(of(Step::Exchange), (Some("https://as.example/token"), Some("client_secret_basic")));
    }

    #[test]
    fn a_proxy_and_a_request_that_could_not_be_built_have_advice_of_their_own() {
        for (no_answer, code) in [(NoAnswer::Proxy, "proxy_failed"), (NoAnswer::Unbuildable, "request_not_built")] {
            let exchange = Exchange { failure: Some(no_answer), status: None, ..exchange(0, Reading::default()) };
            let situation = situation(Step::Refresh, Some(&exchange), &[], &Facts::default());
            assert_eq!(classify(&situation).code, code);
        }
    }
}
