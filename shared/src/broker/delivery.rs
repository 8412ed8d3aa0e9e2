//! What goes out with an access token: how and where it may be sent, and what else is known of the account.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use crate::clock::Timestamp;
use crate::model::client::{Client, HeaderScheme, Sets, put_in};
use crate::model::credential::Credential;
use crate::model::token_set::TokenSet;
use crate::outbound::OutboundPolicy;
use crate::protocol::template;
use crate::secret::Secret;

/// An access token with what a program needs to use it. Never a refresh token.
pub struct Delivery {
    /// The access token.
    pub access_token: Secret<String>,
    /// As the provider sent it.
    pub token_type: String,
    /// When it expires; `None` when the provider does not say.
    pub expires_at: Option<Timestamp>,
    /// From when a newer one may be there.
    pub refresh_after: Option<Timestamp>,
    /// Which generation it is.
    pub generation: u64,
    /// What is granted.
    pub scopes: Vec<String>,
    /// The header to send it in.
    pub header_name: String,
    /// The header's value.
    pub header_value: Secret<String>,
    /// The API that it is for, without a slash at its end; `None` when the client names none, or a value for it is
    /// not known or must not stand there.
    pub api_base_url: Option<String>,
    /// Further headers of the API. A secret variable may stand in them.
    pub headers: BTreeMap<String, Secret<String>>,
    /// Parameters of the query of the API. The token is in them where the provider takes no header.
    pub query: BTreeMap<String, Secret<String>>,
    /// The credential's variables that are no secrets.
    pub variables: BTreeMap<String, String>,
    /// What else the provider said, in its answer or in the callback, without other tokens.
    pub extra: Map<String, Value>,
    /// Something that the caller should know.
    pub warning: Option<&'static str>,
}

/// What placeholders of a client's API settings stand for, for one credential.
pub(super) struct Api<'a> {
    client: &'a Client,
    values: &'a BTreeMap<String, String>,
    tokens: &'a TokenSet,
    extra: Map<String, Value>,
    /// What the choices of this credential set.
    sets: Sets,
}

impl<'a> Api<'a> {
    pub(super) fn of(client: &'a Client, credential: &'a Credential, tokens: &'a TokenSet) -> Self {
        Self::with(client, &credential.variables, tokens)
    }

    /// The same for a grant that no credential has yet.
    pub(super) fn with(client: &'a Client, values: &'a BTreeMap<String, String>, tokens: &'a TokenSet) -> Self {
        Self { client, values, tokens, extra: without_tokens(tokens), sets: client.settings.sets(values) }
    }

    /// The address of a path under the API's base URL. `None`: a value is not known or must not stand in a URL, or the
    /// policy forbids to go there.
    pub(super) fn url(&self, policy: &OutboundPolicy, path: &str) -> Option<Url> {
        let base = self.client.settings.api_base_url.as_deref()?;
        self.address(policy, &format!("{}{path}", template::normalise_url_value(base)))
    }

    /// An address of the client's with the values in it. `None` as for [`Api::url`].
    pub(super) fn address(&self, policy: &OutboundPolicy, text: &str) -> Option<Url> {
        let text = put_in(text, &self.sets);
        let keys = template::placeholders(&text).ok()?;
        // Secrets never stand in an address: addresses are logged by everybody.
        let values = keys.into_iter().filter_map(|key| Some((key.to_owned(), self.shown(key)?))).collect();
        let url = template::render_url(&text, &values).ok()?;
        policy.check_url(url.as_str()).ok()
    }

    /// The origins that the token may be sent to: the API's own, and those that the client lists.
    pub(super) fn has_origin(&self, policy: &OutboundPolicy, url: &Url) -> bool {
        let listed =
            |origin: &String| self.address(policy, origin).is_some_and(|origin| origin.origin() == url.origin());
        self.url(policy, "").is_some_and(|base| base.origin() == url.origin())
            || self.client.settings.api_origins.iter().any(listed)
    }

    /// The client's parameters for the query of this API. One whose value is not known is left out.
    pub(super) fn query(&self) -> BTreeMap<String, Secret<String>> {
        let find = |key: &str| match key {
            "access_token" => Some(self.tokens.access_token.expose().clone()),
            _ => self.shown(key),
        };
        let render = |text: &String| template::render_line(text, &find).ok().flatten().map(Secret::new);
        let query = self.client.settings.api_query.iter();
        query.filter_map(|(name, text)| Some((name.clone(), render(text)?))).collect()
    }

    /// Whether the token goes into the query, and so into no header.
    pub(super) fn is_in_query(&self) -> bool {
        let query = self.client.settings.api_query.values();
        query.into_iter().any(|text| template::line_placeholders(text).is_ok_and(|keys| keys.contains(&"access_token")))
    }

    /// The client's headers for this API. One whose value is not known, or is no header value, is left out.
    pub(super) fn headers(&self) -> BTreeMap<String, Secret<String>> {
        self.render_headers(&self.client.settings.api_headers)
    }

    /// Headers with the values in them.
    pub(super) fn render_headers(&self, headers: &BTreeMap<String, String>) -> BTreeMap<String, Secret<String>> {
        let find = |key: &str| self.any(key);
        let render = |text: &String| template::render_line(text, &find).ok().flatten().map(Secret::new);
        let headers = headers.iter();
        let rendered = headers.filter_map(|(name, text)| Some((name.clone(), render(text)?)));
        rendered.filter(|(name, value)| is_header(name, value)).collect()
    }

    /// The header that carries the token.
    pub(super) fn token_header(&self) -> (String, Secret<String>) {
        self.token_in(&self.client.settings.header)
    }

    /// The token in a header of this scheme.
    pub(super) fn token_in(&self, header: &HeaderScheme) -> (String, Secret<String>) {
        let token = self.tokens.access_token.expose();
        let value = match header.prefix.trim() {
            "" => token.clone(),
            prefix => format!("{prefix} {token}"),
        };
        (header.name.clone(), Secret::new(value))
    }

    /// The variables that are no secrets: what was given, and what the provider's answers supplied.
    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.values.clone();
        for variable in self.client.settings.variables.iter().filter(|variable| !variable.secret) {
            if variable.source.is_outside()
                && let Some(value) = self.shown(&variable.key)
            {
                variables.insert(variable.key.clone(), value);
            }
        }
        variables
    }

    fn shown(&self, key: &str) -> Option<String> {
        let settings = &self.client.settings;
        let variable = settings.variables.iter().find(|variable| variable.key == key);
        if variable.is_some_and(|variable| variable.secret) {
            return None;
        }
        let given = self.values.get(key).or_else(|| settings.values.get(key)).cloned();
        let given = given.or_else(|| self.sets.get(key).cloned());
        let own_id = || settings.client_id.clone().filter(|_| key == "client_id");
        // What an answer said counts as far as it is a value of its variable.
        let said = || match variable {
            Some(variable) if variable.source.is_outside() => variable.read(&self.extra).ok()?,
            Some(_) => None,
            None => told(&self.extra, key),
        };
        given.or_else(own_id).or_else(said).or_else(|| variable?.default.clone())
    }

    /// The access token.
    pub(super) fn token(&self) -> &Secret<String> {
        &self.tokens.access_token
    }

    /// A value that is no secret.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        self.shown(key)
    }

    fn any(&self, key: &str) -> Option<String> {
        let is_secret = self.client.settings.variables.iter().any(|variable| variable.secret && variable.key == key);
        match self.tokens.inputs.get(key).filter(|_| is_secret) {
            Some(value) => Some(value.expose().clone()),
            None => self.shown(key),
        }
    }
}

/// Puts together what a program gets.
pub(super) fn deliver(
    policy: &OutboundPolicy,
    client: &Client,
    credential: &Credential,
    tokens: TokenSet,
    warning: Option<&'static str>,
) -> Delivery {
    let api = Api::of(client, credential, &tokens);
    let (header_name, header_value) = api.token_header();
    let api_base_url = api.url(policy, "").map(|url| template::normalise_url_value(url.as_str()));
    let (headers, query, variables) = (api.headers(), api.query(), api.variables());
    let extra = api.extra;
    Delivery {
        access_token: tokens.access_token,
        token_type: tokens.token_type,
        expires_at: credential.expires_at(),
        refresh_after: credential.refresh_after.and_then(chrono::DateTime::from_timestamp_millis),
        generation: credential.generation,
        scopes: credential.granted_scopes.clone(),
        header_name,
        header_value,
        api_base_url,
        headers,
        query,
        variables,
        extra,
        warning,
    }
}

pub(super) fn is_header(name: &str, value: &Secret<String>) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value.expose()).is_ok()
}

/// A text, number or truth value that the provider said, by its name, or by a path of names with dots.
fn told(extra: &Map<String, Value>, key: &str) -> Option<String> {
    let by_path = || {
        let (first, rest) = key.split_once('.')?;
        rest.split('.').try_fold(extra.get(first)?, |value, name| value.get(name))
    };
    match extra.get(key).or_else(by_path)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::String(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What else the provider said, without anything that looks like another token: what came with the callback or an
/// import was never looked through.
fn without_tokens(tokens: &TokenSet) -> Map<String, Value> {
    let refresh_token = tokens.refresh_token.as_ref().map(|token| token.expose().as_str()).unwrap_or_default();
    let kept = tokens.extra.iter().filter_map(|(name, value)| Some((name.clone(), kept(name, value, refresh_token)?)));
    kept.collect()
}

fn kept(name: &str, value: &Value, refresh_token: &str) -> Option<Value> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let telling = ["token", "tokens", "secret", "password"].iter().any(|end| plain.ends_with(end));
    match value {
        Value::String(_) | Value::Array(_) | Value::Object(_) if telling => None,
        Value::String(text) if is_token(text, refresh_token) => None,
        Value::Array(list) => {
            Some(Value::Array(list.iter().filter_map(|value| kept("", value, refresh_token)).collect()))
        }
        Value::Object(members) => {
            let kept =
                members.iter().filter_map(|(name, value)| Some((name.clone(), kept(name, value, refresh_token)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => Some(value.clone()),
    }
}

/// The refresh token, or a JWT, as ID tokens are (RFC 7519 §3). A short token is found inside anything.
fn is_token(text: &str, refresh_token: &str) -> bool {
    let is_refresh_token = match refresh_token.len() {
        0 => false,
        1..8 => text == refresh_token,
        _ => text.contains(refresh_token),
    };
    is_refresh_token || (text.starts_with("eyJ") && text.matches('.').count() >= 2)
}

#[cfg(test)]
mod tests;
