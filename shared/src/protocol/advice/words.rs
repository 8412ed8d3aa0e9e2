//! How facts are said: only values that are safe to show, and never too much of them.

use url::Url;

use super::{Situation, Step, hint};
use crate::protocol::scope;

/// Longest URL shown, in bytes.
const MAX_URL: usize = 512;
/// Longest scope shown, in bytes.
const MAX_SCOPE: usize = 128;
/// How many scopes are shown.
const MAX_SCOPES: usize = 30;

/// A URL without user, query and fragment; nothing when it is none of http and https or too long.
pub(super) fn url(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_query(None);
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(String::from(url)).filter(|url| url.len() <= MAX_URL)
}

/// Scopes, comma-separated; what is no scope token (RFC 6749 §3.3) is left out.
pub(super) fn scopes<'s>(scopes: impl IntoIterator<Item = &'s String>) -> String {
    let fit: Vec<&str> = scopes
        .into_iter()
        .map(String::as_str)
        .filter(|scope| scope.len() <= MAX_SCOPE && scope::is_scope_token(scope))
        .collect();
    let listed: Vec<&str> = fit.iter().take(MAX_SCOPES).copied().collect();
    match fit.len().saturating_sub(MAX_SCOPES) {
        0 if listed.is_empty() => "none".to_owned(),
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

/// A grant type, one that is known by name.
pub(super) fn grant(situation: &Situation<'_>) -> &'static str {
    const KNOWN: [&str; 4] = ["authorization_code", "client_credentials", "password", "refresh_token"];
    match situation.step {
        Step::ClientCredentials => "client_credentials",
        Step::Password => "password",
        Step::Refresh => "refresh_token",
        _ => KNOWN.into_iter().find(|known| Some(*known) == situation.grant).unwrap_or("authorization_code"),
    }
}

/// A client authentication method (RFC 7591 §2, RFC 8705 §2), one that is known by name.
pub(super) fn auth_method(method: Option<&str>) -> Option<&'static str> {
    const KNOWN: [&str; 7] = [
        "client_secret_basic",
        "client_secret_post",
        "none",
        "private_key_jwt",
        "client_secret_jwt",
        "tls_client_auth",
        "self_signed_tls_client_auth",
    ];
    KNOWN.into_iter().find(|known| Some(*known) == method)
}

/// The `resource` or `audience` that was sent.
pub(super) fn target(situation: &Situation<'_>) -> Option<String> {
    let name = if situation.resource.is_some() { "resource" } else { "audience" };
    let value = situation.resource.or(situation.audience)?;
    let plain = || {
        let fits = value.len() <= MAX_SCOPE && !value.contains(['?', '#', '@']) && scope::is_scope_token(value);
        fits.then(|| value.to_owned())
    };
    Some(match url(value).or_else(plain) {
        Some(value) => format!("the {name} {value}"),
        None => format!("the configured {name}"),
    })
}

/// Who was asked.
pub(super) fn who(situation: &Situation<'_>) -> String {
    let (who, asked) = match situation.step {
        Step::Authorization => ("the authorization server", None),
        Step::Exchange | Step::ClientCredentials | Step::Password | Step::Refresh => {
            ("the token endpoint", situation.token_endpoint)
        }
        Step::Revocation => ("the revocation endpoint", situation.url),
        Step::Introspection => ("the introspection endpoint", situation.url),
        Step::Discovery => ("the address of the metadata", situation.url),
        Step::ApiRequest => ("the API", situation.url),
        Step::Setup => ("the provider", None),
    };
    match asked.and_then(url) {
        Some(url) => format!("{who} {url}"),
        None => who.to_owned(),
    }
}

/// Who was asked and what came back, as the beginning of a sentence.
pub(super) fn answered(situation: &Situation<'_>) -> String {
    let who = capital(&who(situation));
    match (situation.status, situation.error.map(hint::known_error)) {
        (Some(status), Some("other")) => {
            format!("{who} answered {status} with an error code that is not in the standard")
        }
        (Some(status), Some(error)) => format!("{who} answered {status} with the error {error}"),
        (None, Some("other")) => format!("{who} answered with an error code that is not in the standard"),
        (None, Some(error)) => format!("{who} answered with the error {error}"),
        (Some(status), None) => format!("{who} answered {status}"),
        (None, None) => format!("{who} gave no usable answer"),
    }
}

/// The text with a capital at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
