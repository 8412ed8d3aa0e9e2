//! A provider: an entry with everything that it extends, divided into what it says to people and what a client takes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::document::extend;
use crate::error::Error;
use crate::inbound::body::typed;
use crate::model::client::{ClientSettings, GrantType};

/// What a client takes from an entry, besides its `docs_url`.
pub(super) const FACTS: [&str; 29] = [
    "api_base_url",
    "api_headers",
    "api_origins",
    "api_query",
    "audience",
    "authorization_endpoint",
    "authorization_fragment",
    "authorization_names",
    "authorization_params",
    "credentials_from",
    "grant_types",
    "header",
    "introspection_endpoint",
    "issuer",
    "pkce",
    "refresh",
    "refresh_request",
    "resource",
    "revocation_endpoint",
    "revocation_request",
    "scopes",
    "test_request",
    "token_endpoint",
    "token_endpoint_auth_method",
    "token_request",
    "token_response",
    "userinfo_endpoint",
    "values",
    "variables",
];

/// How sure the two URLs of an entry are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Two independent sources agree.
    High,
    /// There is one source.
    Medium,
}

/// A provider of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its id, the name of its file.
    pub id: String,
    /// What the entry says to people.
    pub about: About,
    /// What a client takes: a part of the body of `POST /v1/clients`.
    pub(super) facts: Map<String, Value>,
    /// The same as settings, under the name of the provider and with the standard where the entry says nothing.
    pub settings: ClientSettings,
}

/// What an entry says to people.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Its name.
    pub name: String,
    /// What kind of product it is, one word of a short list.
    pub category: String,
    /// The provider's page about registering clients.
    #[serde(default)]
    pub docs_url: Option<String>,
    /// The day on which the facts were last compared with a source, where anybody did.
    #[serde(default)]
    pub checked: Option<String>,
    /// How sure its URLs are.
    pub confidence: Confidence,
    /// What to do at the provider beyond the usual steps.
    #[serde(default)]
    pub setup: Vec<String>,
    /// What people should know before they rely on it.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What differs for a client that has this grant alone.
    #[serde(default)]
    pub(super) grants: BTreeMap<GrantType, Map<String, Value>>,
    /// Facts for what is not built.
    #[serde(default)]
    pub later: Map<String, Value>,
}

impl Provider {
    /// Divides a document that has everything it extends.
    ///
    /// # Errors
    /// [`Error::Invalid`]: a field that is unknown, missing or of the wrong type.
    pub(super) fn read(id: &str, mut document: Map<String, Value>) -> Result<Self, Error> {
        document.remove("extends");
        let (mut facts, about): (Map<_, _>, Map<_, _>) =
            document.into_iter().partition(|(name, _)| FACTS.contains(&name.as_str()));
        let mut about: About = typed(Value::Object(about))?;
        if let Some(url) = &about.docs_url {
            facts.insert("docs_url".to_owned(), url.as_str().into());
        }
        let settings = settings(&about.name, facts.clone())?;
        // What was extended may have a grant that this entry does not.
        about.grants.retain(|grant, _| settings.offers(*grant));
        for (grant, section) in &about.grants {
            let below = format!("/grants/{}", grant.as_str());
            let unfit = section.keys().find(|name| !FACTS.contains(&name.as_str()) || *name == "grant_types");
            if let Some(name) = unfit {
                let rule = "The section of a grant has what a client takes, without grant_types.";
                return Err(Error::field(format!("{below}/{name}"), "unknown_field", rule));
            }
            let mut whole = facts.clone();
            extend(&mut whole, section.clone());
            self::settings(&about.name, whole).map_err(|error| error.below(&below))?;
        }
        Ok(Self { id: id.to_owned(), about, facts, settings })
    }

    /// The grants for which the entry says something of its own.
    pub fn own_sections(&self) -> impl Iterator<Item = GrantType> {
        self.about.grants.keys().copied()
    }

    /// The settings of a client that gets its first token by this grant alone.
    pub fn settings_for(&self, grant: GrantType) -> ClientSettings {
        let whole = settings(&self.about.name, self.facts_for(&[grant])).ok();
        whole.unwrap_or_else(|| self.settings.clone())
    }

    /// What a client with these grants takes, `grant_types` left out.
    pub(super) fn facts_for(&self, grants: &[GrantType]) -> Map<String, Value> {
        let mut facts = self.facts.clone();
        facts.remove("grant_types");
        let mut first = grants.iter().filter(|grant| **grant != GrantType::RefreshToken);
        if let (Some(only), None) = (first.next(), first.next())
            && let Some(section) = self.about.grants.get(only)
        {
            extend(&mut facts, section.clone());
        }
        facts
    }
}

fn settings(name: &str, mut facts: Map<String, Value>) -> Result<ClientSettings, Error> {
    facts.insert("name".to_owned(), name.into());
    typed(Value::Object(facts))
}
