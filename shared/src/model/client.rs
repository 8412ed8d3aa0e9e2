//! A client: our registration at one authorization server (RFC 6749 §2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::{ClientId, ProjectId};
use crate::clock::Timestamp;
use crate::protocol::token::AuthMethod;

/// Whether a client can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientStatus {
    /// It lacks something that its grants need.
    Draft,
    /// It can be used.
    Active,
    /// It was switched off; its credentials are not refreshed.
    Disabled,
}

/// A grant that a client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 §4.1.
    #[default]
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.4: the client itself, without a person.
    ClientCredentials,
    /// RFC 6749 §4.3, which RFC 9700 §2.4 advises against: only where the project's policy allows it.
    Password,
}

impl GrantType {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::Password => "password",
        }
    }
}

/// Whose client id and secret are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialsFrom {
    /// The client's own.
    #[default]
    Client,
    /// Each person enters an id and a secret.
    Person,
}

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
}

/// A request that shows whether a token works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// HTTP method; `GET` when not given.
    #[serde(default)]
    pub method: Option<String>,
    /// Path below `api_base_url`.
    pub path: String,
}

/// A client secret as the client's record knows it; the value is in Secrets Manager, as the version of this id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClientSecret {
    /// Its id, also the version id in Secrets Manager.
    pub id: String,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    pub added_at: Timestamp,
    /// When a token request last succeeded with it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_success_at: Option<Timestamp>,
    /// When it is no longer tried.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retire_at: Option<Timestamp>,
    /// When the provider lets it expire.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// What a superuser configures; the body of `POST /v1/clients` without the secret and the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// A name for people: "Sign in with …".
    pub name: String,
    /// The project it belongs to; absent: every project may use it.
    #[serde(default)]
    pub project: Option<ProjectId>,
    /// Further projects that may use a project's own client.
    #[serde(default)]
    pub shared_with: Vec<ProjectId>,
    /// Who looks after it.
    #[serde(default)]
    pub owner: Option<String>,
    /// What the authorization server issued.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The issuer (RFC 8414), when it is known; its metadata then supplies the endpoints.
    #[serde(default)]
    pub issuer: Option<String>,
    /// RFC 6749 §3.1.
    #[serde(default)]
    pub authorization_endpoint: Option<String>,
    /// RFC 6749 §3.2.
    #[serde(default)]
    pub token_endpoint: Option<String>,
    /// RFC 7009.
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// RFC 7662.
    #[serde(default)]
    pub introspection_endpoint: Option<String>,
    /// OpenID Connect Core §5.3.
    #[serde(default)]
    pub userinfo_endpoint: Option<String>,
    /// The grants.
    #[serde(default = "default_grants")]
    pub grant_types: Vec<GrantType>,
    /// How it authenticates at the token endpoint; absent: the metadata's first known one, else `client_secret_basic`.
    #[serde(default)]
    pub token_endpoint_auth_method: Option<AuthMethod>,
    /// RFC 7636; off only for authorization servers that break on it.
    #[serde(default = "on")]
    pub pkce: bool,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Scopes,
    /// The `audience` that some authorization servers ask for.
    #[serde(default)]
    pub audience: Option<String>,
    /// RFC 8707: repeated in every token request.
    #[serde(default)]
    pub resource: Option<String>,
    /// Extra authorization parameters.
    #[serde(default)]
    pub authorization_params: BTreeMap<String, String>,
    /// How the access token goes into a request.
    #[serde(default)]
    pub header: HeaderScheme,
    /// The API that the tokens are for.
    #[serde(default)]
    pub api_base_url: Option<String>,
    /// A request that shows whether a token works.
    #[serde(default)]
    pub test_request: Option<TestRequest>,
    /// Pages to which people may return, besides the project's.
    #[serde(default)]
    pub return_urls: Vec<String>,
    /// The provider's page about registering clients.
    #[serde(default)]
    pub docs_url: Option<String>,
    /// How the provider treats refresh tokens.
    #[serde(default)]
    pub refresh: RefreshFacts,
    /// The operator's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn default_grants() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode, GrantType::RefreshToken]
}

fn on() -> bool {
    true
}

impl ClientSettings {
    /// How it authenticates at the token endpoint.
    pub fn auth_method(&self) -> AuthMethod {
        self.token_endpoint_auth_method.unwrap_or(AuthMethod::ClientSecretBasic)
    }

    /// The part of its secret's name that stands for the project.
    pub fn home(&self) -> &str {
        self.project.as_ref().map_or("global", ProjectId::as_str)
    }

    /// The origin of the token endpoint, to which codes, secrets and refresh tokens are bound.
    pub fn token_origin(&self) -> Option<String> {
        let url = url::Url::parse(self.token_endpoint.as_deref()?).ok()?;
        Some(url.origin().ascii_serialization())
    }

    /// Extra parameters of every token request: `audience` and `resource` (RFC 8707 §2.2).
    pub fn token_params(&self) -> BTreeMap<String, String> {
        let named = [("audience", &self.audience), ("resource", &self.resource)];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
}

/// A client as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// The unguessable part of its redirect URI: 256 bits, never used again.
    pub client_key: String,
    /// Counts changes; a flow that was started under another version is aborted.
    pub version: u64,
    /// Switched off.
    pub disabled: bool,
    /// Its secrets, newest first.
    pub client_secrets: Vec<ClientSecret>,
    /// The only origin that the client secrets may be sent to: that of the token endpoint they were entered for.
    pub secret_origin: Option<String>,
    /// RFC 9207 §3: the authorization server promises `iss`.
    pub iss_required: bool,
    /// The keys that sign ID tokens.
    pub jwks_uri: Option<String>,
    /// What was configured.
    pub settings: ClientSettings,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Client {
    /// What it still lacks for its grants, as names of fields.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let settings = &self.settings;
        if settings.client_id.is_none() {
            missing.push("client_id");
        }
        if settings.token_endpoint.is_none() {
            missing.push("token_endpoint");
        }
        if settings.grant_types.contains(&GrantType::AuthorizationCode) && settings.authorization_endpoint.is_none() {
            missing.push("authorization_endpoint");
        }
        if settings.auth_method() != AuthMethod::None && self.client_secrets.is_empty() {
            missing.push("client_secret");
        }
        missing
    }

    /// Whether it can be used.
    pub fn status(&self) -> ClientStatus {
        if self.disabled {
            ClientStatus::Disabled
        } else if self.missing().is_empty() {
            ClientStatus::Active
        } else {
            ClientStatus::Draft
        }
    }

    /// Whether a project may use it.
    pub fn is_visible_to(&self, project: &ProjectId) -> bool {
        let settings = &self.settings;
        settings.project.as_ref().is_none_or(|home| home == project) || settings.shared_with.contains(project)
    }

    /// The secrets to try now, in order: the newest first, without those that are retired or expired.
    pub fn usable_secrets(&self, now: Timestamp) -> impl Iterator<Item = &ClientSecret> {
        let over = move |at: Option<Timestamp>| at.is_some_and(|at| now >= at);
        self.client_secrets.iter().filter(move |secret| !over(secret.retire_at) && !over(secret.expires_at))
    }
}
