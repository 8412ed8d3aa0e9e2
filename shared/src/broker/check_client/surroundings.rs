//! What stands around a client: where people return, what the project allows, the API, the variables.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Facts, Findings};
use crate::model::client::{ClientSettings, GrantType};
use crate::model::variable::{Variable, VariableSource};
use crate::protocol::template;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let settings = &facts.client.settings;
    if settings.offers(GrantType::AuthorizationCode) {
        people(facts, findings);
    }
    let allowed = facts.project.and_then(|project| project.policies.allowed_scopes.as_ref());
    if let Some(allowed) = allowed {
        let refused: Vec<&str> =
            settings.scopes.required.iter().filter(|scope| !allowed.contains(scope)).map(String::as_str).collect();
        if !refused.is_empty() {
            findings.error(
                "scope_not_allowed",
                format!(
                    "The project's policy does not allow scopes that the client always asks: {}.",
                    refused.join(", ")
                ),
                &["Ask a superuser to add them to the policy allowed_scopes, or take them out of scopes.required."],
            );
        }
    }
    if settings.owner.is_none() {
        findings.info(
            "owner_missing",
            "Nobody is named who looks after this client.",
            &["Enter owner, so that people know whom to ask when its secret expires or a scope is missing."],
        );
    }
    api(facts, findings);
    variables(settings, findings);
}

fn people(facts: &Facts<'_>, findings: &mut Findings) {
    findings.info(
        "redirect_uri",
        format!("The redirect URI of this client is {}", facts.redirect_uri),
        &["Enter it at the provider exactly as it is, character for character."],
    );
    let of_project = facts.project.is_some_and(|project| !project.return_urls.is_empty());
    if facts.client.settings.return_urls.is_empty() && !of_project {
        findings.warning(
            "return_url_missing",
            "Neither the client nor the project has a return URL: people end on a page of this broker.",
            &["Add the page of your platform to return_urls of the project or the client."],
        );
    }
}

fn api(facts: &Facts<'_>, findings: &mut Findings) {
    let settings = &facts.client.settings;
    if settings.api_base_url.is_none() {
        findings.info(
            "api_base_url_missing",
            "The client does not say which API its tokens are for, so programs must know it themselves.",
            &["Enter api_base_url; it is delivered with every token."],
        );
    }
    if settings.test_request.is_none() {
        findings.info(
            "test_request_missing",
            "A test of a credential fetches a token and cannot try it.",
            &["Enter test_request: a harmless GET of the API, such as {\"path\": \"/me\"}."],
        );
    }
    if let (Some(life), Some(floor)) = (settings.refresh.default_lifetime, facts.refresh_floor)
        && life < floor
    {
        findings.warning(
            "short_access_tokens",
            format!("Access tokens live {life} seconds, and the vault keeps up with one refresh in {floor} seconds per credential."),
            &["Ask the provider for tokens that live an hour.", "Read tokens only when they are needed."],
        );
    }
}

fn variables(settings: &ClientSettings, findings: &mut Findings) {
    let (in_urls, elsewhere) = (in_urls(settings), elsewhere(settings));
    for variable in settings.missing_values() {
        findings.error(
            "value_missing",
            format!("The variable {:?} is the client's own, and the client has no value for it.", variable.key),
            &["Enter it in values."],
        );
    }
    for variable in &settings.variables {
        let key = variable.key.as_str();
        let has_value = settings.values.contains_key(key) || variable.default.is_some();
        if is_left_to_people(variable) && !has_value && in_urls.contains(key) {
            findings.warning(
                "variable_may_be_missing",
                format!("A URL needs the variable {key:?}, and nobody has to give it."),
                &["Set it to required, or give it a default."],
            );
        }
        if in_urls.contains(key) || elsewhere.contains(key) {
            continue;
        }
        if variable.secret {
            findings.warning(
                "variable_unused",
                format!("No request uses the secret variable {key:?}, and secrets are not delivered with the token."),
                &["Use it as a placeholder in a header, a body or a query, or take it away."],
            );
        } else {
            findings.info(
                "variable_unused",
                format!("No URL and no request uses the variable {key:?}; it is only delivered with the token."),
                &["Check its key against the placeholders: case matters.", "Take it away if no program reads it."],
            );
        }
    }
}

fn is_left_to_people(variable: &Variable) -> bool {
    variable.source == VariableSource::Person && !variable.required
}

fn in_urls(settings: &ClientSettings) -> BTreeSet<String> {
    let refresh = settings.refresh_request.as_ref().and_then(|request| request.url.as_ref());
    let urls = [
        settings.authorization_endpoint.as_ref(),
        settings.token_endpoint.as_ref(),
        refresh,
        settings.revocation_endpoint.as_ref(),
        settings.introspection_endpoint.as_ref(),
        settings.userinfo_endpoint.as_ref(),
        settings.api_base_url.as_ref(),
    ];
    let lookups = settings.variables.iter().filter_map(|variable| variable.lookup.as_ref()?.url.as_ref());
    keys(settings, urls.into_iter().flatten().chain(lookups).chain(&settings.api_origins))
}

fn elsewhere(settings: &ClientSettings) -> BTreeSet<String> {
    let test = settings.test_request.iter().flat_map(|test| {
        let text = test.body.as_ref().and_then(|body| if let Value::String(text) = body { Some(text) } else { None });
        std::iter::once(&test.path).chain(test.headers.values()).chain(text)
    });
    let scopes = settings.scopes.required.iter().chain(settings.scopes.optional.iter().map(|scope| &scope.value));
    let of_api = settings.api_headers.values().chain(settings.api_query.values());
    let mut used = keys(settings, of_api.chain(settings.authorization_params.values()).chain(test).chain(scopes));
    // An item of a list is looked up for the others that come with it.
    used.extend(settings.variables.iter().filter_map(|variable| variable.lookup.as_ref()?.with.clone()));
    let mut of_requests = settings.token_request.placeholders();
    of_requests.extend(settings.refresh_dialect().placeholders());
    of_requests.extend(settings.revocation_request.placeholders());
    let behind = |key: &String| settings.variable_behind(key).map(|variable| variable.key.clone());
    used.extend(of_requests.iter().filter_map(behind));
    used
}

/// The variables that texts name, or whose choices set what they name.
fn keys<'a>(settings: &ClientSettings, texts: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let named = texts.filter_map(|text| template::line_placeholders(text).ok()).flatten();
    named.map(|key| settings.variable_behind(key).map_or(key, |variable| variable.key.as_str()).to_owned()).collect()
}
