//! What is not by the book at a provider, derived from its facts: for people who wonder why a request looks odd.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Provider;
use crate::model::client::{ClientSettings, GrantType, RefreshKind, ReusePenalty};
use crate::model::variable::{Variable, VariableSource};
use crate::protocol::dialect::{BodyTemplate, RevocationDialect, TokenMethod, TokenResponseDialect};
use crate::protocol::template;
use crate::protocol::token::AuthMethod;

/// Something that is not by the book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Quirk {
    /// Stable code.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// What it is.
    pub detail: String,
}

#[derive(Default)]
struct Quirks(Vec<Quirk>);

impl Quirks {
    fn add(&mut self, is: bool, code: &'static str, detail: impl Into<String>) {
        if is {
            self.0.push(Quirk { code, detail: detail.into() });
        }
    }
}

impl Provider {
    /// What is not by the book: first the authorization request, then tokens, refresh, the API.
    pub fn quirks(&self) -> Vec<Quirk> {
        let settings = &self.settings;
        let mut quirks = Quirks::default();
        if settings.offers(GrantType::AuthorizationCode) {
            authorization(&mut quirks, settings);
        }
        variables(&mut quirks, settings);
        token_request(&mut quirks, settings);
        token_response(&mut quirks, &settings.token_response);
        refresh(&mut quirks, settings);
        revocation(&mut quirks, settings);
        api(&mut quirks, settings);
        let own: Vec<&str> = self.own_sections().map(GrantType::as_str).collect();
        let detail = format!("A client of its own is registered for {}: its facts differ.", own.join(", "));
        quirks.add(!own.is_empty(), "grants_differ", detail);
        quirks.0
    }
}

fn authorization(quirks: &mut Quirks, settings: &ClientSettings) {
    quirks.add(!settings.pkce, "no_pkce", "PKCE is off: its authorization server breaks on it.");
    let separator = settings.scopes.separator.as_deref();
    quirks.add(separator == Some(","), "comma_separated_scopes", "Commas stand between scopes, not spaces.");
    let renamed = renames(&settings.authorization_names);
    quirks.add(
        !renamed.is_empty(),
        "renamed_authorization_parameters",
        format!("Authorization parameters go by other names: {renamed}."),
    );
    let extra: Vec<&str> = settings.authorization_params.keys().map(String::as_str).collect();
    quirks.add(
        !extra.is_empty(),
        "extra_authorization_parameters",
        format!("Authorization requests carry further parameters: {}.", extra.join(", ")),
    );
    let fragment = settings.authorization_fragment.is_some();
    quirks.add(fragment, "authorization_fragment", "A fragment stands behind the authorization URL.");
}

fn variables(quirks: &mut Quirks, settings: &ClientSettings) {
    let of = |source| settings.variables.iter().filter(move |variable: &&Variable| variable.source == source);
    for variable in of(VariableSource::Choice) {
        let detail = format!("After consent the person chooses {} from a list.", quoted(variable));
        quirks.add(true, "account_choice", detail);
    }
    for variable in of(VariableSource::Lookup) {
        quirks.add(true, "looked_up_value", format!("{} is looked up with the new token.", quoted(variable)));
    }
    let names_host = |variable: &Variable| hosts(settings).any(|host| host.contains(&format!("{{{}}}", variable.key)));
    for (source, code, whence) in [
        (VariableSource::Callback, "host_from_callback", "the authorization response"),
        (VariableSource::Token, "host_from_token", "the token answer"),
        (VariableSource::Person, "host_from_person", "the person who connects"),
        (VariableSource::Client, "host_of_client", "whoever registers the client"),
    ] {
        for variable in of(source).filter(|variable| names_host(variable)) {
            quirks.add(true, code, format!("{} is part of a host and comes from {whence}.", quoted(variable)));
        }
    }
}

fn token_request(quirks: &mut Quirks, settings: &ClientSettings) {
    let request = &settings.token_request;
    let content_type = request.content_type.as_deref().unwrap_or_default();
    let in_query = request.method == Some(TokenMethod::Get) || content_type == "query";
    quirks.add(in_query, "token_parameters_in_query", "Token requests carry everything in the query string.");
    quirks.add(content_type.contains("json"), "json_token_body", "Token requests are JSON, not forms.");
    let by_hand = matches!(request.body, Some(BodyTemplate::Text(_)));
    quirks.add(by_hand, "custom_token_body", "Token requests have a body of their own form.");
    let extra = !by_hand && (request.body.is_some() || !request.query.is_empty());
    quirks.add(extra, "extra_token_parameters", "Token requests carry further parameters.");
    quirks.add(!request.headers.is_empty(), "extra_token_headers", "Token requests carry further headers.");
    let renamed = renames(&request.names);
    let detail = format!("Token parameters go by other names: {renamed}.");
    quirks.add(!renamed.is_empty(), "renamed_token_parameters", detail);
    let grant_type = request.grant_type.as_ref();
    let detail = format!("grant_type says {}.", grant_type.map(String::as_str).unwrap_or_default());
    quirks.add(grant_type.is_some(), "other_grant_type", detail);
    let public = settings.auth_method() == AuthMethod::None;
    quirks.add(public, "no_client_secret", "Clients have no secret.");
}

fn token_response(quirks: &mut Quirks, answer: &TokenResponseDialect) {
    quirks.add(answer.ok.is_some(), "errors_with_200", "Failures come with a status of success.");
    let places =
        TokenResponseDialect { ok: None, expires_in_unit: None, error_codes: BTreeMap::new(), ..answer.clone() };
    let moved = places != TokenResponseDialect::default();
    quirks.add(moved, "other_token_answer", "Token answers have members in other places or under other names.");
    quirks.add(!answer.error_codes.is_empty(), "own_error_codes", "Failures have codes of their own.");
}

fn refresh(quirks: &mut Quirks, settings: &ClientSettings) {
    let facts = &settings.refresh;
    let none = facts.kind == Some(RefreshKind::None) || !settings.offers(GrantType::RefreshToken);
    if none && settings.offers(GrantType::AuthorizationCode) {
        let (code, detail) = match (facts.kind, facts.default_lifetime) {
            (Some(RefreshKind::None), None) => {
                ("tokens_never_expire", "Tokens live until they are withdrawn.".to_owned())
            }
            (_, None) => ("no_refresh_tokens", "There are no refresh tokens.".to_owned()),
            (_, Some(seconds)) => {
                ("no_refresh_tokens", format!("There are no refresh tokens, and access tokens live {seconds} seconds."))
            }
        };
        quirks.add(true, code, detail);
    }
    let rotating = facts.kind == Some(RefreshKind::Rotating);
    quirks.add(rotating, "rotating_refresh_tokens", "Each refresh brings a new refresh token and ends the old one.");
    let family = facts.reuse_penalty == Some(ReusePenalty::Family);
    quirks.add(family, "reuse_ends_grant", "A refresh token that is shown twice ends the whole grant.");
    if let Some(scope) = &facts.scope {
        quirks.add(true, "offline_scope", format!("Refresh tokens come only when {scope} is asked."));
    }
    if let Some(seconds) = facts.min_age_seconds {
        let detail = format!("A refresh is refused before the access token is {seconds} seconds old.");
        quirks.add(true, "early_refresh_refused", detail);
    }
    if let Some(days) = facts.idle_days {
        quirks.add(true, "refresh_token_idles", format!("A refresh token dies when it is unused for {days} days."));
    }
    if let Some(days) = facts.absolute_days {
        quirks.add(true, "refresh_token_ends", format!("A refresh token dies after {days} days, used or not."));
    }
    let elsewhere = settings.refresh_request.as_ref().is_some_and(|request| request.url.is_some());
    quirks.add(elsewhere, "other_refresh_endpoint", "Refresh tokens go to an endpoint of their own.");
    let differs = !elsewhere && settings.refresh_request.is_some();
    quirks.add(differs, "other_refresh_request", "Refreshes differ from other token requests.");
}

fn revocation(quirks: &mut Quirks, settings: &ClientSettings) {
    let known = settings.revocation_endpoint.is_some() || settings.issuer.is_some();
    let detail = "A grant cannot be ended from here: people withdraw it at the provider.";
    quirks.add(!known, "no_revocation", detail);
    let own = settings.revocation_request != RevocationDialect::default();
    quirks.add(own, "other_revocation_request", "Revocations differ from RFC 7009.");
}

fn api(quirks: &mut Quirks, settings: &ClientSettings) {
    let header = &settings.header;
    let name = &header.name;
    let other = !name.eq_ignore_ascii_case("authorization");
    quirks.add(other, "custom_token_header", format!("The API takes the token in the header {name}."));
    let prefix = match header.prefix.as_str() {
        "" => "The token stands in its header without Bearer.".to_owned(),
        prefix => format!("The token stands in its header behind {prefix}, not Bearer."),
    };
    quirks.add(!header.prefix.eq_ignore_ascii_case("bearer"), "custom_token_prefix", prefix);
    let in_query = settings.api_query.values().any(|text| text.contains("{access_token}"));
    quirks.add(in_query, "token_in_query", "The API takes the token in the query string.");
    let headers: Vec<&str> = settings.api_headers.keys().map(String::as_str).collect();
    let detail = format!("The API wants further headers: {}.", headers.join(", "));
    quirks.add(!headers.is_empty(), "extra_api_headers", detail);
}

/// The hosts of all URLs, as they are written.
fn hosts(settings: &ClientSettings) -> impl Iterator<Item = &str> {
    let urls = [
        &settings.authorization_endpoint,
        &settings.token_endpoint,
        &settings.revocation_endpoint,
        &settings.introspection_endpoint,
        &settings.userinfo_endpoint,
        &settings.api_base_url,
    ];
    let hosts = urls.into_iter().flatten().map(|url| {
        let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    });
    hosts.filter(|host| template::placeholders(host).is_ok_and(|keys| !keys.is_empty()))
}

fn quoted(variable: &Variable) -> String {
    format!("“{}”", variable.title())
}

/// `client_id as clientId`, or `scope left out`.
fn renames(names: &BTreeMap<String, String>) -> String {
    let said = names.iter().filter(|(name, wire)| name != wire).map(|(name, wire)| match wire.as_str() {
        "" => format!("{name} left out"),
        wire => format!("{name} as {wire}"),
    });
    said.collect::<Vec<_>>().join(", ")
}
