//! Facts about a provider that a client carries: its scopes, its header, how it treats refresh tokens.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An optional scope, with words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionalScope {
    /// The scope (RFC 6749 §3.3).
    pub value: String,
    /// What it means, for the person who ticks it.
    #[serde(default)]
    pub label: Option<String>,
}

/// The scopes of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Scopes {
    /// Always asked.
    pub required: Vec<String>,
    /// Asked when the session or the person chooses them.
    pub optional: Vec<OptionalScope>,
    /// What stands between scopes on the wire; a space when not given.
    pub separator: Option<String>,
    /// The provider's page about its scopes.
    pub docs_url: Option<String>,
}

impl Scopes {
    /// Whether the client allows a scope to be asked.
    pub fn allows(&self, scope: &str) -> bool {
        self.required.iter().any(|known| known == scope) || self.optional.iter().any(|known| known.value == scope)
    }
}

/// How the access token goes into a request to the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderScheme {
    /// The header, `Authorization` unless the provider differs.
    pub name: String,
    /// What stands before the token, `Bearer` unless the provider differs; empty for nothing.
    pub prefix: String,
}

impl Default for HeaderScheme {
    fn default() -> Self {
        Self { name: "Authorization".to_owned(), prefix: "Bearer".to_owned() }
    }
}

/// How a provider treats refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshKind {
    /// A new one comes with every refresh.
    Rotating,
    /// It stays the same.
    Static,
    /// There is none.
    None,
}

/// What a provider does when a spent refresh token is presented again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReusePenalty {
    /// Nothing but an error.
    None,
    /// That token's successor dies.
    Token,
    /// The whole grant dies.
    Family,
}

/// Facts about refresh at this provider (REFRESH.md b.5). What is not given counts as the strictest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshFacts {
    /// What becomes of the refresh token at a refresh.
    pub kind: Option<RefreshKind>,
    /// How long a spent refresh token may be shown again (seconds).
    pub grace_seconds: Option<u32>,
    /// What happens when a spent refresh token is presented again.
    pub reuse_penalty: Option<ReusePenalty>,
    /// A refresh is refused before the access token is this old (seconds).
    pub min_age_seconds: Option<u32>,
    /// A refresh token dies when unused for this long (days).
    pub idle_days: Option<u32>,
    /// A refresh token dies at this age (days).
    pub absolute_days: Option<u32>,
    /// The life of an access token whose answer has no `expires_in` (seconds).
    pub default_lifetime: Option<u32>,
    /// The scope without which no refresh token comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A request that shows whether a token works.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// HTTP method; `GET` when not given.
    #[serde(default)]
    pub method: Option<String>,
    /// Path below `api_base_url`, or an https URL at the origin of the API or at one of `api_origins`.
    pub path: String,
    /// Further headers of this request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent: an object as JSON, a text as it is (as a form, unless a header says otherwise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
    /// What tells a success from a failure behind a status of success, as in `token_response`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<String>,
    /// The place of the account's id in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The place of what people call the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl TestRequest {
    /// Whether its path is a whole URL, or begins with a variable that is one.
    pub fn is_url(&self) -> bool {
        ["https://", "http://", "{"].iter().any(|begin| self.path.starts_with(begin))
    }
}
