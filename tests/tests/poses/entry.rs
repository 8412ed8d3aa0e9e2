//! One provider with one grant: what a client of it is registered with, and what the provider itself knows.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use grantkeeper::catalogue::{Catalogue, Provider};
use grantkeeper::model::client::{ClientSettings, GrantType};
use grantkeeper::model::variable::{Variable, VariableKind, VariableSource, Visibility};
use regex_lite::Regex;
use serde_json::{Value, json};

/// What the body of a new client has and no entry: the pose takes facts only.
const NO_FACTS: [&str; 4] = ["name", "provider", "docs_url", "credentials_from"];

/// One provider with one grant.
#[derive(Clone)]
pub struct Case {
    /// The id of the entry.
    pub id: String,
    /// The grant that gives the first token.
    pub grant: GrantType,
    /// The grants of the client: this one, and the refresh token where the provider has it.
    pub grants: Vec<GrantType>,
    /// What a client of this grant alone takes from the entry.
    pub settings: ClientSettings,
    /// The same as a document, with everything it extends.
    pub entry: Value,
    /// What a client must say for itself, as the entry stands for any provider.
    pub own: Value,
    /// What of that only the provider knows.
    pub server: Value,
}

/// Values for the variables of an entry, from its examples.
#[derive(Debug, Default, Clone)]
pub struct Values {
    /// Those that the client is registered with.
    pub client: BTreeMap<String, String>,
    /// Those that a person gives.
    pub person: BTreeMap<String, String>,
    /// Those that the provider's answers bring.
    pub found: BTreeMap<String, Value>,
    /// What the person then chooses.
    pub chosen: BTreeMap<String, String>,
}

impl Case {
    /// The name of its test.
    pub fn name(&self) -> String {
        format!("{}::{}", self.id, self.grant.as_str())
    }

    fn of(provider: &Provider, grant: GrantType) -> Self {
        let refreshes = grant != GrantType::ClientCredentials && provider.settings.offers(GrantType::RefreshToken);
        let mut grants = vec![grant];
        grants.extend(refreshes.then_some(GrantType::RefreshToken));
        let mut entry = provider.body(&grants);
        if let Some(entry) = entry.as_object_mut() {
            entry.retain(|name, _| !NO_FACTS.contains(&name.as_str()));
        }
        let settings = provider.settings_for(grant);
        let (own, server) = own(&settings);
        Self { id: provider.id.clone(), grant, grants, settings, entry, own, server }
    }

    /// Every provider of the catalogue with every grant that gives a first token, and entries that cannot be read.
    pub fn all() -> (Vec<Self>, Vec<(String, String)>) {
        let catalogue = Catalogue::default();
        let (mut cases, mut unreadable) = (Vec::new(), Vec::new());
        for id in catalogue.ids() {
            match catalogue.read(&id) {
                Ok(provider) => {
                    let grants = provider.settings.first_grants();
                    cases.extend(grants.map(|grant| Self::of(&provider, grant)));
                }
                Err(error) => unreadable.push((id, format!("{error:?}"))),
            }
        }
        (cases, unreadable)
    }

    /// One of them.
    pub fn find(id: &str, grant: GrantType) -> anyhow::Result<Self> {
        let provider = Catalogue::default().find(id).with_context(|| format!("there is no entry {id}"))?;
        ensure!(provider.settings.offers(grant), "{id} does not have {}", grant.as_str());
        Ok(Self::of(&provider, grant))
    }

    /// Values for its variables: the default stays, else the example or the first choice counts.
    pub fn values(&self) -> anyhow::Result<Values> {
        let mut values = Values::default();
        for variable in &self.settings.variables {
            let key = &variable.key;
            let preset = self.settings.values.contains_key(key) || variable.default.is_some();
            let of_client = variable.source == VariableSource::Client || variable.visibility == Visibility::Fixed;
            if preset && !variable.source.is_outside() {
                continue;
            }
            let Some(value) = example(variable)? else { continue };
            match variable.source {
                VariableSource::Person if !of_client => drop(values.person.insert(key.clone(), value)),
                VariableSource::Person | VariableSource::Client => drop(values.client.insert(key.clone(), value)),
                VariableSource::Choice => {
                    let list: Vec<String> = another(variable, &value).into_iter().chain([value.clone()]).collect();
                    if list.len() > 1 {
                        values.chosen.insert(key.clone(), value);
                    }
                    let list = list.iter().map(|value| on_the_wire(variable, value)).collect();
                    values.found.insert(key.clone(), Value::Array(list));
                }
                VariableSource::Callback | VariableSource::Token | VariableSource::Lookup => {
                    values.found.insert(key.clone(), on_the_wire(variable, &value));
                }
            }
        }
        Ok(values)
    }
}

/// Somebody's own server, where the entry has none: an issuer whose metadata has the endpoints, or the endpoints.
fn own(settings: &ClientSettings) -> (Value, Value) {
    const SERVER: &str = "https://login.somebody-server.com";
    if settings.token_endpoint.is_some() || settings.issuer.is_some() {
        return (json!({}), json!({}));
    }
    let endpoints = json!({
        "authorization_endpoint": format!("{SERVER}/authorize"), "token_endpoint": format!("{SERVER}/token"),
    });
    if settings.scopes.required.iter().any(|scope| scope == "openid") {
        (json!({ "issuer": SERVER }), endpoints)
    } else {
        (endpoints, json!({}))
    }
}

/// What one looks like.
fn example(variable: &Variable) -> anyhow::Result<Option<String>> {
    let choice = variable.choices.first().map(|choice| &choice.value);
    match variable.example.as_ref().or(choice).or(variable.default.as_ref()) {
        Some(example) => Ok(Some(example.clone())),
        None if !variable.required && (!variable.source.is_outside() || variable.pattern.is_some()) => Ok(None),
        None => {
            let key = &variable.key;
            ensure!(variable.pattern.is_none(), "the variable {key} has a pattern and no example");
            Ok(Some(match variable.kind {
                VariableKind::String => format!("{key}-1"),
                VariableKind::Integer => "1".to_owned(),
                VariableKind::Boolean => "true".to_owned(),
                VariableKind::Url | VariableKind::Host => {
                    anyhow::bail!("the variable {key} is a host without an example")
                }
            }))
        }
    }
}

/// Another value that the variable allows, as near as there is one.
fn another(variable: &Variable, value: &str) -> Option<String> {
    if let Some(choice) = variable.choices.iter().find(|choice| choice.value != value) {
        return Some(choice.value.clone());
    }
    let pattern = variable.pattern.as_ref().map(|pattern| Regex::new(&format!("^(?:{pattern})$")));
    let fits = |candidate: &String| match &pattern {
        Some(Ok(pattern)) => pattern.is_match(candidate),
        Some(Err(_)) => false,
        None => true,
    };
    let is_open = |(_, character): &(usize, char)| character.is_ascii_alphanumeric();
    let changed = value.char_indices().filter(is_open).flat_map(|(at, character)| {
        let others = if character.is_ascii_digit() { "123456789" } else { "abcde" };
        let with = move |other: char| {
            format!("{}{other}{}", value.get(..at).unwrap_or_default(), value.get(at + 1..).unwrap_or_default())
        };
        others.chars().filter(move |other| *other != character).map(with)
    });
    changed.into_iter().find(fits)
}

/// A number where the variable is one, for that is what providers send.
fn on_the_wire(variable: &Variable, value: &str) -> Value {
    match (variable.kind, value.parse::<i64>()) {
        (VariableKind::Integer, Ok(number)) => json!(number),
        _ => json!(value),
    }
}
