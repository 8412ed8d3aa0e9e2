//! What the vault keeps for a credential.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::secret::Secret;

/// What a person gave that is secret: variables by their key, and what the grant itself needs (`client_id`,
/// `client_secret`, `username`, `password`).
pub type SecretInputs = BTreeMap<String, Secret<String>>;

/// Access and refresh token with what belongs to them. It lives in the vault and nowhere else.
pub struct TokenSet {
    /// The access token (RFC 6749 §1.4); empty only where a refresh token was imported without one.
    pub access_token: Secret<String>,
    /// The refresh token (§1.5), where the provider gives one.
    pub refresh_token: Option<Secret<String>>,
    /// As the provider sent it.
    pub token_type: String,
    /// When the access token expires.
    pub expires_at: Option<Timestamp>,
    /// What was granted.
    pub scopes: Vec<String>,
    /// The generation this is.
    pub generation: u64,
    /// The only origin that may ever see these tokens' refresh token.
    pub bound_origin: String,
    /// What else the provider said: members of its answer and parameters of the callback.
    pub extra: Map<String, Value>,
    /// What the owner gave.
    pub inputs: SecretInputs,
}

/// The document in the vault.
#[derive(Serialize, Deserialize)]
struct Document<'a> {
    v: u8,
    access_token: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<std::borrow::Cow<'a, str>>,
    token_type: std::borrow::Cow<'a, str>,
    expires_at: Option<Timestamp>,
    scopes: std::borrow::Cow<'a, [String]>,
    generation: u64,
    bound_origin: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    extra: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    inputs: BTreeMap<std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>>,
}

impl TokenSet {
    /// Writes the document for the vault.
    pub fn to_document(&self) -> Secret<String> {
        let document = Document {
            v: 1,
            access_token: self.access_token.expose().as_str().into(),
            refresh_token: self.refresh_token.as_ref().map(|token| token.expose().as_str().into()),
            token_type: self.token_type.as_str().into(),
            expires_at: self.expires_at,
            scopes: self.scopes.as_slice().into(),
            generation: self.generation,
            bound_origin: self.bound_origin.as_str().into(),
            extra: self.extra.clone(),
            inputs: self
                .inputs
                .iter()
                .map(|(key, value)| (key.as_str().into(), value.expose().as_str().into()))
                .collect(),
        };
        // Strings, numbers and times always serialize.
        Secret::new(serde_json::to_string(&document).unwrap_or_default())
    }

    /// Reads a document of the vault; `None` when it is not one.
    pub fn from_document(document: &Secret<String>) -> Option<Self> {
        let document: Document<'_> = serde_json::from_str(document.expose()).ok()?;
        Some(Self {
            access_token: Secret::new(document.access_token.into_owned()),
            refresh_token: document.refresh_token.map(|token| Secret::new(token.into_owned())),
            token_type: document.token_type.into_owned(),
            expires_at: document.expires_at,
            scopes: document.scopes.into_owned(),
            generation: document.generation,
            bound_origin: document.bound_origin.into_owned(),
            extra: document.extra,
            inputs: document
                .inputs
                .into_iter()
                .map(|(key, value)| (key.into_owned(), Secret::new(value.into_owned())))
                .collect(),
        })
    }

    /// With a refresh token the name and password that brought it are no longer needed. No variable has their names.
    pub fn forget_password(&mut self) {
        if self.refresh_token.is_some() {
            self.inputs.remove("username");
            self.inputs.remove("password");
        }
    }

    /// RFC 6749 §6: the server may omit the refresh token; then the old one stays valid. Dropping it here would force
    /// every person at such a provider to consent again.
    ///
    /// What the owner gave, and what else the provider said before, is kept in the same way: a refresh seldom repeats it.
    pub fn keep(&mut self, old: &TokenSet) {
        let mut size = size_of(&self.extra);
        for (name, value) in old.extra.iter().filter(|(name, _)| !self.extra.contains_key(*name)).collect::<Vec<_>>() {
            // Names that differ from answer to answer must not fill the vault's document.
            size += name.len() + value.to_string().len();
            if size > MAX_EXTRA {
                break;
            }
            self.extra.insert(name.clone(), value.clone());
        }
        for (key, value) in &old.inputs {
            self.inputs.entry(key.clone()).or_insert_with(|| value.clone());
        }
        if self.refresh_token.as_ref().is_none_or(Secret::is_empty) {
            self.refresh_token = old.refresh_token.clone();
        }
    }
}

/// The tokens of a token set, to recognise it by when it is gone.
pub struct TokenPair {
    access_token: Secret<String>,
    refresh_token: Option<Secret<String>>,
}

impl TokenPair {
    /// Those of a token set.
    pub fn of(tokens: &TokenSet) -> Self {
        Self { access_token: tokens.access_token.clone(), refresh_token: tokens.refresh_token.clone() }
    }

    /// Whether a token set has the same access or refresh token.
    pub fn shares_a_token_with(&self, other: &TokenSet) -> bool {
        let same = |one: &Secret<String>, other: &Secret<String>| one.matches(other.expose().as_bytes());
        let refresh = self.refresh_token.as_ref().zip(other.refresh_token.as_ref());
        refresh.is_some_and(|(one, other)| same(one, other)) || same(&self.access_token, &other.access_token)
    }
}

/// The most that is kept of what else a provider said (bytes of JSON).
const MAX_EXTRA: usize = 16 * 1024;

fn size_of(extra: &Map<String, Value>) -> usize {
    extra.iter().map(|(name, value)| name.len() + value.to_string().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(refresh_token: Option<&str>) -> TokenSet {
        TokenSet {
            access_token: Secret::from("at"),
            refresh_token: refresh_token.map(Secret::from),
            token_type: "bearer".to_owned(),
            expires_at: None,
            scopes: vec!["read".to_owned()],
            generation: 3,
            bound_origin: "https://as.example".to_owned(),
            extra: Map::new(),
            inputs: SecretInputs::new(),
        }
    }

    proptest! {
        #[test]
        fn a_token_set_survives_the_round_trip(access in ".{1,60}", refresh in proptest::option::of(".{1,60}")) {
            let mut before = set(refresh.as_deref());
            before.access_token = Secret::new(access.clone());
            let after = TokenSet::from_document(&before.to_document()).unwrap();
            prop_assert!(after.access_token.matches(access.as_bytes()));
            prop_assert_eq!(after.refresh_token.map(|token| token.expose().clone()), refresh);
            prop_assert_eq!(after.generation, 3);
        }

        #[test]
        fn merging_a_refresh_never_loses_a_refresh_token(new in proptest::option::of("[a-z]{0,5}")) {
            let old = set(Some("old"));
            let mut merged = set(new.as_deref());
            merged.keep(&old);
            let expected = new.filter(|token| !token.is_empty()).unwrap_or_else(|| "old".to_owned());
            prop_assert_eq!(merged.refresh_token.map(|token| token.expose().clone()), Some(expected));
        }
    }
}
