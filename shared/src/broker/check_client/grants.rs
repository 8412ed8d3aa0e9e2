//! What each grant needs, and which to prefer.

use super::{Facts, Findings, method_name};
use crate::model::client::{ClientSettings, CredentialsFrom, GrantType};
use crate::protocol::dialect::{TokenMethod, TokenRequestDialect};
use crate::protocol::token::AuthMethod;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let settings = &facts.client.settings;
    missing(facts, findings);
    if settings.offers(GrantType::Password) {
        password(facts, findings);
    }
    if settings.offers(GrantType::ClientCredentials)
        && settings.auth_method() == AuthMethod::None
        && settings.credentials_from == CredentialsFrom::Client
    {
        findings.error(
            "public_client_credentials",
            "The client credentials grant is for clients that can prove who they are (RFC 6749 §4.4), and this one sends \
             no secret.",
            &["Set token_endpoint_auth_method to client_secret_basic or client_secret_post and enter the client secret."],
        );
    }
    if settings.offers(GrantType::AuthorizationCode) {
        if !settings.pkce {
            findings.warning(
                "pkce_off",
                "PKCE is off, which RFC 9700 §2.1.1 asks every client to use: a stolen code can be used by whoever stole it.",
                &["Set pkce to true unless the authorization server breaks on it."],
            );
        }
        renewal(settings, findings);
    }
    requests(settings, findings);
}

/// The fields that a grant requires, each with the grants that miss it.
fn missing(facts: &Facts<'_>, findings: &mut Findings) {
    let settings = &facts.client.settings;
    let grants = settings.grant_types.iter().map(|grant| grant.as_str()).collect::<Vec<_>>().join(", ");
    for field in facts.client.missing() {
        let (code, detail, advice) = match field.as_str() {
            "client_id" => (
                "client_id_missing",
                format!("The grants {grants} need the client_id that the authorization server issued."),
                "Enter client_id, or set credentials_from to person where each person brings one.",
            ),
            "client_secret" => (
                "client_secret_missing",
                format!("The grants {grants} need the client secret for {}.", method_name(settings.auth_method())),
                "Enter client_secret, or set token_endpoint_auth_method to none for a public client.",
            ),
            "authorization_endpoint" => (
                "authorization_endpoint_missing",
                "The grant authorization_code needs the URL that people are sent to.".to_owned(),
                "Enter authorization_endpoint, or issuer where the provider publishes metadata.",
            ),
            "token_endpoint" => (
                "token_endpoint_missing",
                format!("The grants {grants} need the URL that gives tokens."),
                "Enter token_endpoint, or issuer where the provider publishes metadata.",
            ),
            // Values are told of with the variables.
            _ => continue,
        };
        findings.error(code, detail, &[advice]);
    }
}

fn password(facts: &Facts<'_>, findings: &mut Findings) {
    findings.warning(
        "password_grant",
        "The password grant hands people's passwords to this broker; RFC 9700 §2.4 says that it must not be used.",
        &[
            "Prefer authorization_code, or client_credentials for a machine.",
            "Where the provider has nothing else, ask for accounts that are made for this alone.",
        ],
    );
    if facts.project.is_some_and(|project| !project.policies.allow_password_grant) {
        findings.warning(
            "password_grant_not_allowed",
            "The project's policy does not allow the password grant, so nobody can use it there.",
            &["Ask a superuser to set the policy allow_password_grant of the project, or take the grant away."],
        );
    }
}

fn renewal(settings: &ClientSettings, findings: &mut Findings) {
    if !settings.offers(GrantType::RefreshToken) {
        findings.warning(
            "refresh_token_missing",
            "The client does not have the grant refresh_token: people must consent again whenever an access token expires.",
            &["Add refresh_token to grant_types if the provider gives refresh tokens."],
        );
    }
}

fn requests(settings: &ClientSettings, findings: &mut Findings) {
    let request = &settings.token_request;
    let in_query = request.method == Some(TokenMethod::Get) || request.content_type.as_deref() == Some("query");
    let names_secret = |key: &str| settings.variables.iter().any(|variable| variable.secret && variable.key == key);
    let query = TokenRequestDialect { query: request.query.clone(), ..Default::default() };
    if in_query || query.placeholders().iter().any(|key| names_secret(key)) {
        findings.warning(
            "secrets_in_query",
            "Token requests carry secrets in their query string, which servers and proxies write to their logs.",
            &["Use the method POST with a form or JSON body, unless the provider takes nothing else."],
        );
    }
}
