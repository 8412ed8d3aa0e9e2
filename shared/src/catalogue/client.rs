//! What becomes a client, and where a client differs from its entry. All of it happens on documents, before they are
//! typed: a default of the settings never hides what an entry says.

use serde_json::{Map, Value, json};

use super::document::extend;
use super::provider::{FACTS, Provider};
use crate::inbound::body::typed;
use crate::model::client::{ClientSettings, GrantType};

/// What a client may have of its own where the entry says nothing: a URL of its own tenant, an audience, an issuer.
const OPEN: [&str; 14] = [
    "api_base_url",
    "api_origins",
    "audience",
    "authorization_endpoint",
    "authorization_params",
    "credentials_from",
    "docs_url",
    "introspection_endpoint",
    "issuer",
    "resource",
    "revocation_endpoint",
    "token_endpoint",
    "token_endpoint_auth_method",
    "userinfo_endpoint",
];
/// What is the client's own choice, whatever the entry says.
const CHOSEN: [&str; 3] = ["grant_types", "scopes", "values"];

/// Whether a field of a client is a fact of its provider, and no choice of the client's own.
pub fn is_wire_fact(name: &str) -> bool {
    FACTS.contains(&name) && !CHOSEN.contains(&name)
}

/// Why a client cannot have the grants that it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// The provider does not have one of them.
    #[error("{provider} does not have {}; it has {has}.", .grant.as_str())]
    NotOffered {
        /// The provider's name.
        provider: String,
        /// What it does not have.
        grant: GrantType,
        /// What it has.
        has: String,
    },
    /// The facts of one of them differ.
    #[error(
        "At {provider} the facts of {} differ from those of other grants: register a client of its own for it, with no \
         other grant but refresh_token.",
        .grant.as_str()
    )]
    Differ {
        /// The provider's name.
        provider: String,
        /// The grant.
        grant: GrantType,
    },
}

impl GrantRefusal {
    /// Its stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOffered { .. } => "grant_not_offered",
            Self::Differ { .. } => "grants_differ",
        }
    }
}

impl Provider {
    /// The grants of a client that names none: those of the entry that can stand together.
    pub fn usual_grants(&self) -> Vec<GrantType> {
        let all = &self.settings.grant_types;
        let is_first = |grant: &GrantType| *grant != GrantType::RefreshToken;
        let has_section = |grant: &GrantType| self.about.grants.contains_key(grant);
        let together: Vec<_> = all.iter().copied().filter(|grant| !has_section(grant)).collect();
        if together.iter().any(is_first) {
            return together;
        }
        let only = all.iter().copied().find(is_first);
        only.into_iter().chain(together).collect()
    }

    /// Checks the grants of a client.
    ///
    /// # Errors
    /// The first that the client cannot have, or not with the others.
    pub fn check_grants(&self, grants: &[GrantType]) -> Result<(), GrantRefusal> {
        let provider = || self.about.name.clone();
        let known = &self.settings.grant_types;
        if let Some(&grant) = grants.iter().find(|grant| !known.contains(grant)) {
            let has = known.iter().map(|grant| grant.as_str()).collect::<Vec<_>>().join(", ");
            return Err(GrantRefusal::NotOffered { provider: provider(), grant, has });
        }
        let mut first = grants.iter().copied().filter(|grant| *grant != GrantType::RefreshToken);
        let alone = first.clone().count() == 1;
        match first.find(|grant| self.about.grants.contains_key(grant)) {
            Some(grant) if !alone => Err(GrantRefusal::Differ { provider: provider(), grant }),
            _ => Ok(()),
        }
    }

    /// What the body of a new client with these grants is laid over.
    pub fn body(&self, grants: &[GrantType]) -> Value {
        let mut body = self.facts_for(grants);
        body.insert("name".to_owned(), self.about.name.as_str().into());
        body.insert("provider".to_owned(), self.id.as_str().into());
        body.insert("grant_types".to_owned(), grants.iter().map(|grant| grant.as_str()).collect());
        Value::Object(body)
    }

    /// A client's settings with these facts in place of those that it has. What the client chose stays: its name, scopes,
    /// grants and values, and what the entry leaves open.
    pub fn renewed(&self, client: &ClientSettings, grants: &[GrantType]) -> Value {
        let Value::Object(mut renewed) = json!(client) else { return Value::Null };
        let mut facts = self.facts_for(grants);
        // What the entry leaves open stays the client's, but not what another provider's entry brought: a secret would be
        // bound to that one's endpoints as well.
        let of_another = client.provider.as_ref().is_some_and(|provider| *provider != self.id);
        for name in OPEN.into_iter().filter(|_| of_another) {
            renewed.remove(name);
        }
        renewed.insert("provider".to_owned(), self.id.as_str().into());
        renew_choices(&mut renewed, &mut facts);
        for name in FACTS.into_iter().filter(|name| !OPEN.contains(name) && !CHOSEN.contains(name)) {
            renewed.remove(name);
        }
        extend(&mut renewed, facts);
        Value::Object(renewed)
    }

    /// The facts in which a client differs from this entry.
    pub fn differences(&self, client: &ClientSettings) -> Vec<String> {
        let renewed = typed::<ClientSettings>(self.renewed(client, &client.grant_types));
        let Ok(mut renewed) = renewed else { return vec!["variables".to_owned()] };
        renewed.drop_defaults(None);
        let (renewed, client) = (json!(renewed), json!(client));
        let facts = FACTS.into_iter().chain(["docs_url"]);
        facts.filter(|name| renewed.get(name) != client.get(name)).map(str::to_owned).collect()
    }
}

/// The client's own values go over the entry's, without those of variables that are gone; of the scopes, the entry says
/// what stands between them and where they are described.
fn renew_choices(renewed: &mut Map<String, Value>, facts: &mut Map<String, Value>) {
    facts.remove("grant_types");
    if let (Some(Value::Object(scopes)), Some(Value::Object(said))) =
        (renewed.get_mut("scopes"), facts.remove("scopes"))
    {
        extend(scopes, said.into_iter().filter(|(name, _)| name == "separator" || name == "docs_url").collect());
    }
    let mut values = match facts.remove("values") {
        Some(Value::Object(values)) => values,
        _ => Map::new(),
    };
    if let Some(Value::Object(own)) = renewed.remove("values") {
        let declared = facts.get("variables").and_then(Value::as_array);
        let is_declared = |key: &str| {
            declared.into_iter().flatten().any(|variable| variable.get("key").and_then(Value::as_str) == Some(key))
        };
        values.extend(own.into_iter().filter(|(key, _)| is_declared(key)));
    }
    renewed.insert("values".to_owned(), Value::Object(values));
}
