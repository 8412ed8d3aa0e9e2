//! Endpoints and other URLs of a client, with the variables in them.

use std::collections::BTreeMap;

use crate::broker::fields::Fields;
use crate::model::client::{ClientSettings, CredentialsFrom};
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
        ("/api_base_url", settings.api_base_url.as_ref(), Known::AfterToken),
    ] {
        if let Some(url) = url {
            check_template(fields, policy, pointer, url, settings, known);
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

/// A URL with or without variables: as it stands, and as it reads with values in it.
fn check_template(
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
        VariableSource::Token | VariableSource::Lookup | VariableSource::Choice => Known::AfterToken,
    };
    (known < needs)
        .then(|| ("not_known_yet", format!("{key:?} comes with an answer of the provider, after this is used.")))
}

pub(super) fn declared<'a>(settings: &'a ClientSettings, key: &str) -> Option<&'a Variable> {
    settings.variables.iter().find(|variable| variable.key == key)
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

/// A secret that many share goes to hosts that the client names, never to one that a person names (SECURITY.md 25).
fn check_hosts(fields: &mut Fields, settings: &ClientSettings) {
    if settings.credentials_from == CredentialsFrom::Person || settings.auth_method() == AuthMethod::None {
        return;
    }
    let named_by_others = |key: &str| {
        declared(settings, key).is_some_and(|variable| {
            let theirs = match variable.source {
                VariableSource::Person => variable.visibility != Visibility::Fixed,
                VariableSource::Client => false,
                outside => outside.is_outside(),
            };
            theirs && variable.choices.is_empty()
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
                "The client's secret would go to whatever host a person names. Set credentials_from to person, give the \
                 variable the source client or choices, or fix the end of the host, as in https://{name}.example.com.",
            );
        }
    }
}
