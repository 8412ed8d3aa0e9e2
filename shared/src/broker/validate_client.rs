//! What a client's settings may say. All that is wrong is named at once, each by its field.
//!
//! - `endpoints`: URLs and the variables in them, and who may name the host that gets a secret
//! - `variables`: the definitions, and the client's own values
//! - `wire`: what requests and answers of the authorization server look like; `api`: the same of the API

mod api;
mod endpoints;
#[cfg(test)]
mod tests;
mod variables;
mod wire;

use super::Broker;
use super::fields::{Fields, escape};
use crate::error::Result;
use crate::model::client::{ClientSettings, CredentialsFrom, GrantType};
use crate::model::variable::VariableSource;
use crate::outbound::OutboundPolicy;
use crate::secret::Secret;

/// The longest client secret (bytes).
const MAX_SECRET: usize = 4096;

impl Broker {
    /// Checks the settings of a client, with the secret and the key that come with them.
    ///
    /// # Errors
    /// [`crate::error::Error::Invalid`] with all that is wrong.
    pub(crate) fn validate_client(
        &self,
        settings: &ClientSettings,
        client_secret: Option<&Secret<String>>,
        client_key: Option<&str>,
    ) -> Result<()> {
        let mut fields = Fields::default();
        check_settings(&mut fields, settings, self.outbound().policy());
        self.check_return_urls(&mut fields, "/return_urls", &settings.return_urls);
        if let Some(secret) = client_secret {
            check_secret(&mut fields, settings, secret);
            if settings.credentials_from == CredentialsFrom::Client {
                check_destination(&mut fields, settings);
            }
        }
        if let Some(key) = client_key {
            let usable = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            // 22 base64url characters are 128 bits.
            if !(22..=128).contains(&key.len()) || !key.bytes().all(usable) {
                let rule = "22 to 128 base64url characters, at least 128 bits of randomness.";
                fields.wrong("/client_key", "not_a_client_key", rule);
            }
        }
        fields.done()
    }

    /// An endpoint that metadata names. It has no variables, so a brace in it would only be mistaken for one.
    pub(crate) fn check_found(&self, fields: &mut Fields, pointer: &str, url: Option<&String>) {
        match url {
            Some(url) if url.contains(['{', '}']) => {
                fields.wrong(pointer, "url_invalid", "The issuer's metadata has a URL with a brace in it.");
            }
            url => self.check_endpoint(fields, pointer, url),
        }
    }
}

/// Checks what a client and an entry of the catalogue have in common.
pub(super) fn check_settings(fields: &mut Fields, settings: &ClientSettings, policy: &OutboundPolicy) {
    fields.text("/name", &settings.name);
    fields.text_opt("/owner", settings.owner.as_ref());
    fields.text_opt("/client_id", settings.client_id.as_ref());
    fields.text_opt("/audience", settings.audience.as_ref());
    for (pointer, url) in [("/docs_url", &settings.docs_url), ("/scopes/docs_url", &settings.scopes.docs_url)] {
        if url.as_ref().is_some_and(|url| !url.starts_with("https://")) {
            fields.wrong(pointer, "url_not_https", "A link for people uses https.");
        }
    }
    if let Some(resource) = &settings.resource
        && url::Url::parse(resource).map_or(true, |url| url.fragment().is_some())
    {
        fields.wrong("/resource", "not_a_resource", "An absolute URI without a fragment (RFC 8707 §2).");
    }
    grants(fields, &settings.grant_types);
    fields.scopes("/scopes/required", &settings.scopes.required);
    fields.scopes("/scopes/optional", settings.scopes.optional.iter().map(|scope| &scope.value));
    if let Some(separator) = &settings.scopes.separator
        && ![" ", ","].contains(&separator.as_str())
    {
        fields.wrong("/scopes/separator", "unsupported", "A space or a comma.");
    }
    fields.labels("/labels", &settings.labels);
    variables::check(fields, settings);
    endpoints::check(fields, settings, policy);
    wire::check(fields, settings);
    api::check(fields, settings);
}

/// A secret is bound to the origin of the token endpoint, which must be known with it.
pub(super) fn check_destination(fields: &mut Fields, settings: &ClientSettings) {
    let Some(endpoint) = &settings.token_endpoint else {
        if settings.issuer.is_none() {
            let rule =
                "A client secret is bound to the origin of the token endpoint: give token_endpoint or issuer with it.";
            fields.wrong("/token_endpoint", "needed_for_secret", rule);
        }
        return;
    };
    let open = settings.origin_of(endpoint).unwrap_or_default();
    for variable in settings.variables.iter().filter(|variable| variable.source == VariableSource::Client) {
        if open.contains(&format!("{{{}", variable.key)) {
            let rule = "A client secret is bound to the origin of the token endpoint, and this value is part of it: give it first, or with the secret.";
            fields.wrong(&format!("/values/{}", escape(&variable.key)), "needed_for_secret", rule);
        }
    }
}

/// A secret that is entered for a client.
pub(super) fn check_secret(fields: &mut Fields, settings: &ClientSettings, secret: &Secret<String>) {
    let text = secret.expose();
    if settings.credentials_from == CredentialsFrom::Person {
        let rule = "Each person brings a client id and a secret of their own (credentials_from: person).";
        fields.wrong("/client_secret", "not_used", rule);
    } else if text.is_empty() || text.len() > MAX_SECRET || text.chars().any(char::is_control) {
        let rule = "Not empty, at most 4096 characters, no control characters.";
        fields.wrong("/client_secret", "not_a_secret", rule);
    }
}

fn grants(fields: &mut Fields, grants: &[GrantType]) {
    if grants.is_empty() {
        fields.wrong("/grant_types", "empty", "Name at least one grant type.");
    } else if grants.iter().all(|grant| *grant == GrantType::RefreshToken) {
        let rule = "refresh_token only renews what another grant gave: name that grant, too.";
        fields.wrong("/grant_types", "unsupported", rule);
    }
    for (index, grant) in grants.iter().enumerate() {
        if grants.iter().take(index).any(|earlier| earlier == grant) {
            fields.wrong(&format!("/grant_types/{index}"), "duplicate", "This grant type is named twice.");
        }
    }
}
