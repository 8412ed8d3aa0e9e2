//! Endpoints and other URLs of a client, with the variables in them.

use std::collections::BTreeMap;

use crate::broker::fields::Fields;
use crate::model::client::{ClientSettings, CredentialsFrom, put_in};
use crate::model::variable::{Variable, VariableKind, VariableSource, Visibility};
use crate::outbound::OutboundPolicy;
use crate::protocol::template::{self, HostBinding, TemplateError};
use crate::protocol::token::AuthMethod;

/// The most further origins of an API.
const MAX_ORIGINS: usize = 50;

/// What has been answered when a string is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Known {
    /// Nothing yet.
    AtStart,
    /// The authorization response.
    AfterCallback,
    /// The first token answer.
    AfterToken,
    /// What is looked up with the first token, and what is chosen from that.
    AfterLookup,
}

pub(super) fn check(fields: &mut Fields, settings: &ClientSettings, policy: &OutboundPolicy) {
    match &settings.issuer {
        Some(issuer) if issuer.contains(['{', '}']) => {
            fields.wrong("/issuer", "url_invalid", "An issuer has no variables: give the endpoints instead.");
        }
        Some(issuer) => fields.endpoint(policy, "/issuer", issuer),
        None => {}
    }
    let refresh = settings.refresh_request.as_ref().and_then(|request| request.url.as_ref());
    for (pointer, url, known) in [
        ("/authorization_endpoint", settings.authorization_endpoint.as_ref(), Known::AtStart),
        ("/token_endpoint", settings.token_endpoint.as_ref(), Known::AfterCallback),
        ("/refresh_request/url", refresh, Known::AfterToken),
        ("/revocation_endpoint", settings.revocation_endpoint.as_ref(), Known::AfterToken),
        ("/introspection_endpoint", settings.introspection_endpoint.as_ref(), Known::AfterToken),
        ("/userinfo_endpoint", settings.userinfo_endpoint.as_ref(), Known::AfterToken),
        ("/api_base_url", settings.api_base_url.as_ref(), Known::AfterLookup),
    ] {
        if let Some(url) = url {
            check_template(fields, policy, pointer, url, settings, known);
        }
    }
    for (index, variable) in settings.variables.iter().enumerate() {
        if let Some(url) = variable.lookup.as_ref().and_then(|lookup| lookup.url.as_ref()) {
            let pointer = format!("/variables/{index}/lookup/url");
            check_template(fields, policy, &pointer, url, settings, Known::AfterToken);
        }
    }
    check_hosts(fields, settings);
    if settings.api_origins.len() > MAX_ORIGINS {
        return fields.wrong("/api_origins", "too_many", format!("There may be at most {MAX_ORIGINS} origins."));
    }
    for (index, origin) in settings.api_origins.iter().enumerate() {
        let pointer = format!("/api_origins/{index}");
        let is_origin = url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if is_origin {
            fields.endpoint(policy, &pointer, origin);
        } else {
            fields.wrong(
                &pointer,
                "not_an_origin",
                "Scheme and host with nothing behind them: https://api.example.com",
            );
        }
    }
}

/// A URL with or without variables: as it stands, and as it reads with values in it, whatever is chosen.
fn check_template(
    fields: &mut Fields,
    policy: &OutboundPolicy,
    pointer: &str,
    template: &str,
    settings: &ClientSettings,
    known: Known,
) {
    for key in settings.settable().into_keys().filter(|key| template.contains(&format!("{{{key}}}"))) {
        if let Some((code, detail)) = unusable_in_url(settings, key, known) {
            return fields.wrong(pointer, code, detail);
        }
    }
    for sets in settings.every_sets() {
        let before = fields.count();
        check_one(fields, policy, pointer, &put_in(template, &sets), settings, known);
        if fields.count() > before {
            return;
        }
    }
}

fn check_one(
    fields: &mut Fields,
    policy: &OutboundPolicy,
    pointer: &str,
    url: &str,
    settings: &ClientSettings,
    known: Known,
) {
    if !url.contains(['{', '}']) {
        if let Err(refusal) = policy.check_url(url) {
            fields.wrong(pointer, refusal.code(), format!("{refusal}. {}", refusal.advice()));
        } else if let Err(error) = template::url_placeholders(url) {
            fields.wrong(pointer, "url_invalid", format!("It cannot be used as an endpoint: {error}."));
        }
        return;
    }
    let keys = match template::url_placeholders(url) {
        Ok(keys) => keys,
        Err(error) => return fields.wrong(pointer, "not_a_template", format!("{error}.")),
    };
    let mut usable = true;
    for key in &keys {
        if let Some((code, detail)) = unusable_in_url(settings, key, known) {
            fields.wrong(pointer, code, detail);
            usable = false;
        }
    }
    if !usable {
        return;
    }
    match example(settings, url, &keys) {
        Ok(Some(rendered)) => fields.endpoint(policy, pointer, &rendered),
        Ok(None) => {}
        Err(key) => {
            let detail = format!("The client's value, the default or a choice of {key:?} cannot stand in this URL.");
            fields.wrong(pointer, "unsafe_value", detail);
        }
    }
}

/// Why a placeholder cannot stand in a URL.
pub(super) fn unusable_in_url(settings: &ClientSettings, key: &str, known: Known) -> Option<(&'static str, String)> {
    if key == "client_id" {
        return None;
    }
    match declared(settings, key) {
        Some(variable) if variable.secret => {
            Some(("secret_in_url", format!("{key:?} is a secret, and URLs are written to logs everywhere.")))
        }
        variable => unusable(variable, key, known),
    }
}

/// Why a placeholder cannot be filled in: nobody defined it, or its value comes later.
pub(super) fn unusable(variable: Option<&Variable>, key: &str, known: Known) -> Option<(&'static str, String)> {
    let Some(variable) = variable else {
        let rule = format!("No variable has the key {key:?}; keys are case-sensitive. Define it in variables.");
        return Some(("undeclared_variable", rule));
    };
    let needs = match variable.source {
        VariableSource::Person | VariableSource::Client => Known::AtStart,
        VariableSource::Callback => Known::AfterCallback,
        VariableSource::Token => Known::AfterToken,
        VariableSource::Lookup | VariableSource::Choice => Known::AfterLookup,
    };
    (known < needs)
        .then(|| ("not_known_yet", format!("{key:?} comes with an answer of the provider, after this is used.")))
}

pub(super) fn declared<'a>(settings: &'a ClientSettings, key: &str) -> Option<&'a Variable> {
    settings.variable_behind(key)
}

/// The URL with what is known of its variables: the client's values, defaults, choices; and something harmless for the
/// rest. `None`: nothing harmless fits.
///
/// # Errors
/// The variable whose own value does not fit.
fn example(settings: &ClientSettings, url: &str, keys: &[&str]) -> Result<Option<String>, String> {
    let given = |key: &str| {
        let variable = declared(settings, key)?;
        let choice = || variable.choices.first().map(|choice| choice.value.as_str());
        let value = settings.values.get(key).or(variable.default.as_ref()).map(String::as_str).or_else(choice);
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let mut unfit = None;
    for harmless in ["x.example", "x", "https://x.example"] {
        let of = |key: &str| match declared(settings, key).map(|variable| variable.kind) {
            Some(VariableKind::Url) => "https://x.example",
            Some(VariableKind::Host) => "x.example",
            _ => harmless,
        };
        let value = |key: &&str| ((*key).to_owned(), given(key).unwrap_or_else(|| of(key).to_owned()));
        let values: BTreeMap<String, String> = keys.iter().map(value).collect();
        match template::render_url(url, &values) {
            Ok(rendered) => return Ok(Some(rendered.into())),
            Err(TemplateError::Unsafe { key, .. }) if given(&key).is_some() => unfit = Some(key),
            Err(_) => {}
        }
    }
    unfit.map_or(Ok(None), Err)
}

/// Where secrets and tokens go is the client's to name, never a person's or an answer's (SECURITY.md 25).
fn check_hosts(fields: &mut Fields, settings: &ClientSettings) {
    token_hosts(fields, settings);
    if settings.credentials_from == CredentialsFrom::Person || settings.auth_method() == AuthMethod::None {
        return;
    }
    let named_by_others = |key: &str| {
        declared(settings, key).is_some_and(|variable| {
            let theirs = variable.source == VariableSource::Person && variable.visibility != Visibility::Fixed;
            theirs && !variable.confines_host()
        })
    };
    for (pointer, url) in [
        ("/token_endpoint", settings.token_endpoint.as_deref()),
        ("/refresh_request/url", settings.refresh_request.as_ref().and_then(|request| request.url.as_deref())),
        ("/revocation_endpoint", settings.revocation_endpoint.as_deref()),
        ("/introspection_endpoint", settings.introspection_endpoint.as_deref()),
    ] {
        // A template that is none has its own error.
        let Some(url) = url.filter(|url| template::url_placeholders(url).is_ok()) else { continue };
        if template::host_binding(url, &named_by_others) == HostBinding::Open {
            fields.wrong(
                pointer,
                "host_not_fixed",
                "The client's secret would go to whatever host a person names. Set credentials_from to person, give the variable the source client, choices, or a pattern that only your provider's hosts match \
                 (with an example), or fix the end of the host, as in https://{name}.example.com.",
            );
        }
    }
}

/// A code, a token and a person's own secret go to no host that an answer names, whoever's the client is: a parameter of
/// the authorization response can be anybody's. Only the token answer may name the host of the API.
fn token_hosts(fields: &mut Fields, settings: &ClientSettings) {
    let refresh = settings.refresh_request.as_ref().and_then(|request| request.url.as_ref());
    let endpoints = [
        ("/token_endpoint", settings.token_endpoint.as_ref()),
        ("/refresh_request/url", refresh),
        ("/revocation_endpoint", settings.revocation_endpoint.as_ref()),
        ("/introspection_endpoint", settings.introspection_endpoint.as_ref()),
        ("/userinfo_endpoint", settings.userinfo_endpoint.as_ref()),
    ];
    let endpoints = endpoints.into_iter().filter_map(|(pointer, url)| Some((pointer.to_owned(), url?.as_str(), true)));
    let lookups = settings.variables.iter().enumerate().filter_map(|(index, variable)| {
        let url = variable.lookup.as_ref()?.url.as_deref()?;
        Some((format!("/variables/{index}/lookup/url"), url, true))
    });
    let api = settings.api_base_url.as_deref().map(|url| ("/api_base_url".to_owned(), url, false));
    for (pointer, url, of_no_answer) in endpoints.chain(lookups).chain(api) {
        let named_outside = |key: &str| {
            declared(settings, key).is_some_and(|variable| {
                let callback = variable.source == VariableSource::Callback;
                (callback || (of_no_answer && variable.source.is_outside())) && !variable.confines_host()
            })
        };
        let is_template = template::url_placeholders(url).is_ok();
        if is_template && template::host_binding(url, &named_outside) == HostBinding::Open {
            fields.wrong(
                &pointer,
                "host_not_fixed",
                "A token would go to whatever host an answer names. Give the variable choices, or a pattern that only \
                 your provider's hosts match (with an example), or fix the end of the host, as in https://{name}.example.com.",
            );
        }
    }
}
