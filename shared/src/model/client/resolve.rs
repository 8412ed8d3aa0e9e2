//! A client with the values of one credential put in: what is sent where.

use std::collections::BTreeMap;

use super::sets::put_in;
use super::{Client, ClientSettings, CredentialsFrom, HeaderScheme};
use crate::model::token_set::SecretInputs;
use crate::model::variable::{Variable, VariableKind, VariableSource, Visibility};
use crate::protocol::dialect::{Rendered, RevocationDialect, TokenRequestDialect, TokenResponseDialect};
use crate::protocol::template::{self, TemplateError};
use crate::protocol::token::AuthMethod;
use crate::secret::Secret;

/// What stands between two origins of a list.
const BETWEEN: char = ' ';

/// A client with the values of one credential put in.
pub struct Resolved {
    /// Our id at the authorization server.
    pub client_id: String,
    /// How the client authenticates.
    pub auth_method: AuthMethod,
    /// Where codes are exchanged and tokens fetched.
    pub token_endpoint: String,
    /// Where refresh tokens are presented; `None` as long as an answer of the provider has yet to name it.
    pub refresh_endpoint: Option<String>,
    /// RFC 7009.
    pub revocation_endpoint: Option<String>,
    /// RFC 7662.
    pub introspection_endpoint: Option<String>,
    /// What a token request looks like.
    pub token_request: Rendered<TokenRequestDialect>,
    /// What a refresh looks like.
    pub refresh_request: Rendered<TokenRequestDialect>,
    /// What the answers look like.
    pub token_response: TokenResponseDialect,
    /// What a revocation looks like.
    pub revocation_request: Rendered<RevocationDialect>,
    /// How the access token goes into a request to the API.
    pub header: HeaderScheme,
    /// `audience` and `resource` (RFC 8707), sent with every token request.
    pub params: BTreeMap<String, String>,
    /// What stands between scopes on the wire.
    pub scope_separator: String,
    /// Secret values that requests carry and records must not.
    pub hidden: Vec<Secret<String>>,
}

/// Why values cannot be put in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unresolved {
    /// The client itself lacks it.
    #[error("the client lacks its {0}")]
    Incomplete(&'static str),
    /// A URL or text of the client cannot take the values.
    #[error("{field}: {error}")]
    Template {
        /// The field of the client.
        field: &'static str,
        /// Why.
        error: TemplateError,
    },
}

impl Client {
    /// Puts the values of a credential in.
    ///
    /// # Errors
    /// [`Unresolved`]; no part of it quotes a value.
    pub fn resolve(&self, shown: &BTreeMap<String, String>, secret: &SecretInputs) -> Result<Resolved, Unresolved> {
        let settings = &self.settings;
        // Secrets never stand in an address: addresses are logged by everybody.
        let url = |field: &'static str, text: &str| self.url(field, text, shown).map(String::from);
        // What an answer of the provider has yet to supply is not there before it.
        let later = |address: Result<String, Unresolved>| match address {
            Err(Unresolved::Template { error: TemplateError::Missing(key), .. }) if self.comes_later(&key) => Ok(None),
            address => address.map(Some),
        };
        let optional = |field, text: &Option<String>| match text {
            Some(text) => later(url(field, text)),
            None => Ok(None),
        };
        let sets = settings.sets(shown);
        let value = |key: &str| {
            let plain = shown.get(key).or_else(|| sets.get(key)).cloned();
            plain.or_else(|| Some(secret.get(key)?.expose().clone()))
        };
        // In what is sent after the first token answer only, such a value stands for nothing until it is there.
        let value_or_later = |key: &str| value(key).or_else(|| self.comes_later(key).then(String::new));
        let missing = |field| move |key: String| Unresolved::Template { field, error: TemplateError::Missing(key) };

        let token_endpoint = settings.token_endpoint.as_deref().ok_or(Unresolved::Incomplete("token_endpoint"))?;
        let token_endpoint = url("token_endpoint", token_endpoint)?;
        let refresh = settings.refresh_dialect();
        let refresh_request = refresh.render(&value_or_later).map_err(missing("refresh_request"))?;
        let refresh_endpoint = match &refresh.url {
            Some(text) => later(url("refresh_request", text))?,
            None => Some(token_endpoint.clone()),
        };
        let client_id = match settings.credentials_from {
            CredentialsFrom::Client => settings.client_id.clone(),
            CredentialsFrom::Person => shown.get("client_id").cloned(),
        };
        Ok(Resolved {
            client_id: client_id.ok_or(Unresolved::Incomplete("client_id"))?,
            auth_method: settings.auth_method(),
            refresh_endpoint,
            revocation_endpoint: optional("revocation_endpoint", &settings.revocation_endpoint)?,
            introspection_endpoint: optional("introspection_endpoint", &settings.introspection_endpoint)?,
            token_request: settings.token_request.render(&value).map_err(missing("token_request"))?,
            refresh_request,
            token_response: settings.token_response.clone(),
            revocation_request: settings
                .revocation_request
                .render(&value_or_later)
                .map_err(missing("revocation_request"))?,
            header: settings.header.clone(),
            params: settings.token_params(),
            scope_separator: settings.scopes.separator.clone().unwrap_or_else(|| " ".to_owned()),
            hidden: secret.values().cloned().collect(),
            token_endpoint,
        })
    }

    /// The values with something in the place of those that the authorization response will bring: to see whether all the
    /// rest fits.
    pub fn with_stand_ins(&self, shown: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let brought = self.settings.variables.iter().filter(|variable| variable.source == VariableSource::Callback);
        let mut values = shown.clone();
        for variable in brought {
            let choice = variable.choices.first().map(|choice| &choice.value);
            let stand_in = variable.default.as_ref().or(choice).or(variable.example.as_ref()).cloned();
            let of_kind = match variable.kind {
                VariableKind::Url => "https://x.example",
                VariableKind::Host => "x.example",
                VariableKind::String | VariableKind::Integer | VariableKind::Boolean => "x",
            };
            values.entry(variable.key.clone()).or_insert_with(|| stand_in.unwrap_or_else(|| of_kind.to_owned()));
        }
        values
    }

    /// Whether the value of a variable comes with the token answer or after it.
    fn comes_later(&self, key: &str) -> bool {
        let variable = self.settings.variables.iter().find(|variable| variable.key == key);
        variable.is_some_and(|variable| variable.source.is_outside() && variable.source != VariableSource::Callback)
    }

    /// A URL of the client with the values put in; `client_id` stands for the one that the authorization server issued.
    ///
    /// # Errors
    /// [`Unresolved`].
    pub fn url(
        &self,
        field: &'static str,
        text: &str,
        shown: &BTreeMap<String, String>,
    ) -> Result<url::Url, Unresolved> {
        let text = put_in(text, &self.settings.sets(shown));
        let own =
            self.settings.client_id.as_ref().filter(|_| self.settings.credentials_from == CredentialsFrom::Client);
        let rendered = match own {
            Some(id) if text.contains("{client_id}") => {
                let mut values = shown.clone();
                values.insert("client_id".to_owned(), id.clone());
                template::render_url(&text, &values)
            }
            _ => template::render_url(&text, shown),
        };
        rendered.map_err(|error| Unresolved::Template { field, error })
    }
}

impl ClientSettings {
    /// The origins that secrets of this client may be sent to, as it stands now: those of the endpoints that take a
    /// secret or a refresh token, with the places that each credential fills in left open.
    pub fn secret_origins(&self) -> Option<String> {
        let endpoints = [
            self.token_endpoint.as_deref(),
            self.refresh_request.as_ref().and_then(|request| request.url.as_deref()),
            self.revocation_endpoint.as_deref(),
            self.introspection_endpoint.as_deref(),
        ];
        self.token_endpoint.as_ref()?;
        Some(join(endpoints.into_iter().flatten().filter_map(|url| self.origin_of(url))))
    }

    /// The origin of the token endpoint, with the places that each credential fills in left open.
    pub fn token_origin(&self) -> Option<String> {
        self.origin_of(self.token_endpoint.as_deref()?)
    }

    /// What stands before the path of a URL of these settings. What the client fixes is put in; what a person chooses
    /// from is listed in its place, so that another choice is another origin; what a person names is left open.
    pub(crate) fn origin_of(&self, template: &str) -> Option<String> {
        let mut text = template.to_owned();
        for variable in &self.variables {
            if let Some(value) = self.fixed_value(variable) {
                text = text.replace(&placeholder(&variable.key), value.trim_end_matches('/'));
            }
        }
        text = put_in(&text, &self.fixed_sets()).into_owned();
        if !text.contains('{') {
            return origin(&text);
        }
        let after_scheme = text.find("://").map_or(0, |at| at + 3);
        let end = text.get(after_scheme..)?.find(['/', '?', '#']).map_or(text.len(), |at| after_scheme + at);
        let before_path = text.get(..end)?;
        if !before_path.contains('{') {
            return origin(before_path);
        }
        let mut open = before_path.to_owned();
        for variable in self.variables.iter().filter(|variable| !variable.choices.is_empty()) {
            let mut choices: Vec<String> =
                variable.choices.iter().map(|one| one.value.replace(BETWEEN, "%20")).collect();
            choices.sort();
            let listed = format!("{{{}={}}}", variable.key, choices.join("|"));
            open = open.replace(&placeholder(&variable.key), &listed);
        }
        for (key, mut texts) in self.settable() {
            texts.sort_unstable();
            open = open.replace(&placeholder(key), &format!("{{{key}={}}}", texts.join("|")));
        }
        Some(open)
    }

    /// The variables for which the client itself must have a value, and has none.
    pub fn missing_values(&self) -> impl Iterator<Item = &Variable> {
        let own = |variable: &&Variable| variable.source == VariableSource::Client && variable.required;
        self.variables.iter().filter(own).filter(|variable| self.fixed_value(variable).is_none())
    }

    /// The value of a variable that nobody but the client gives.
    pub fn fixed_value<'a>(&'a self, variable: &'a Variable) -> Option<&'a str> {
        let fixed = variable.source == VariableSource::Client
            || (variable.source == VariableSource::Person && variable.visibility == Visibility::Fixed);
        let value = || self.values.get(&variable.key).or(variable.default.as_ref()).map(String::as_str);
        if fixed { value() } else { None }
    }
}

fn placeholder(key: &str) -> String {
    format!("{{{key}}}")
}

/// Whether a list of origins has this one.
pub(super) fn lists(origins: &str, origin: &str) -> bool {
    origins.split(BETWEEN).any(|known| known == origin)
}

impl Resolved {
    /// The origins that this credential's secrets may be sent to.
    pub fn origins(&self) -> String {
        let endpoints = [
            Some(&self.token_endpoint),
            self.refresh_endpoint.as_ref(),
            self.revocation_endpoint.as_ref(),
            self.introspection_endpoint.as_ref(),
        ];
        join(endpoints.into_iter().flatten().filter_map(|url| origin(url)))
    }

    /// Whether all of them are among these, to which secrets that are already kept were bound.
    pub fn origins_are_within(&self, bound: &str) -> bool {
        self.origins().split(BETWEEN).all(|origin| bound.split(BETWEEN).any(|known| known == origin))
    }
}

/// Whether a list of origins that was bound to a secret has the origin of this URL.
pub fn binds(bound: &str, url: &str) -> Option<String> {
    let origin = origin(url)?;
    lists(bound, &origin).then_some(origin)
}

fn origin(url: &str) -> Option<String> {
    Some(url::Url::parse(url).ok()?.origin().ascii_serialization())
}

fn join(origins: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for origin in origins {
        if !all.contains(&origin) {
            all.push(origin);
        }
    }
    all.join(&BETWEEN.to_string())
}
