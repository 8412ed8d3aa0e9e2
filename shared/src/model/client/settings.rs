//! What a superuser configures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::{HeaderScheme, RefreshFacts, Scopes, TestRequest};
use crate::model::ids::ProjectId;
use crate::model::variable::Variable;
use crate::protocol::dialect::{RevocationDialect, TokenRequestDialect, TokenResponseDialect};
use crate::protocol::token::AuthMethod;

/// A grant that a client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
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

/// What a superuser configures; the body of `POST /v1/clients` without the secret and the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// A name for people: "Sign in with …".
    pub name: String,
    /// The entry of the catalogue that its facts were taken from.
    #[serde(default)]
    pub provider: Option<String>,
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
    /// Whose client id and secret are used.
    #[serde(default)]
    pub credentials_from: CredentialsFrom,
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
    /// Authorization parameters that go by other names at this provider; an empty name leaves the parameter out. `code`
    /// renames a parameter of the answer.
    #[serde(default)]
    pub authorization_names: BTreeMap<String, String>,
    /// A fragment behind the authorization URL, which RFC 6749 §3.1 forbids and a provider demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_fragment: Option<String>,
    /// What a token request looks like where it differs from RFC 6749.
    #[serde(default)]
    pub token_request: TokenRequestDialect,
    /// What a refresh looks like where it differs from the other token requests.
    #[serde(default)]
    pub refresh_request: Option<TokenRequestDialect>,
    /// What a token answer looks like where it differs from RFC 6749.
    #[serde(default)]
    pub token_response: TokenResponseDialect,
    /// What a revocation looks like where it differs from RFC 7009.
    #[serde(default)]
    pub revocation_request: RevocationDialect,
    /// What each person, or the client itself, must give; endpoints, queries, headers and bodies can use it.
    #[serde(default)]
    pub variables: Vec<Variable>,
    /// Values of variables that are the client's own.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// How the access token goes into a request.
    #[serde(default)]
    pub header: HeaderScheme,
    /// The API that the tokens are for.
    #[serde(default)]
    pub api_base_url: Option<String>,
    /// Further headers of every request to the API.
    #[serde(default)]
    pub api_headers: BTreeMap<String, String>,
    /// Parameters of the query of every request to the API, for those that take no header: `{access_token}` stands for the
    /// token, which every log on the way then has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub api_query: BTreeMap<String, String>,
    /// Further origins that the token may be sent to.
    #[serde(default)]
    pub api_origins: Vec<String>,
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

    /// Whether it has a grant.
    pub fn offers(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// The grants that give a first token, in the order in which they are offered.
    pub fn first_grants(&self) -> impl Iterator<Item = GrantType> {
        self.grant_types.iter().copied().filter(|grant| *grant != GrantType::RefreshToken)
    }

    /// What a refresh looks like: as any token request, but for what was said of it. An empty query parameter or header
    /// drops the inherited one of its name. `grant_type` is not inherited: it is another grant. Whether the two fit each
    /// other tells `check_refresh` of the result.
    pub fn refresh_dialect(&self) -> TokenRequestDialect {
        // RFC 6749 §6: a refresh says refresh_token, whatever the exchange of the code says.
        let base = TokenRequestDialect { grant_type: None, ..self.token_request.clone() };
        let Some(own) = &self.refresh_request else { return base };
        let over = |mut under: BTreeMap<String, String>, own: &BTreeMap<String, String>, ignore_case: bool| {
            let same = |a: &str, b: &str| a == b || (ignore_case && a.eq_ignore_ascii_case(b));
            for (name, value) in own {
                let inherited = under.len();
                under.retain(|known, _| !same(known, name));
                if !value.is_empty() || under.len() == inherited {
                    under.insert(name.clone(), value.clone());
                }
            }
            under
        };
        // An empty name leaves its parameter out, here as there.
        let mut names = base.names;
        names.extend(own.names.clone());
        TokenRequestDialect {
            method: own.method.or(base.method),
            content_type: own.content_type.clone().or(base.content_type),
            query: over(base.query, &own.query, false),
            headers: over(base.headers, &own.headers, true),
            body: own.body.clone().or(base.body),
            names,
            grant_type: own.grant_type.clone(),
            url: own.url.clone(),
            auth: own.auth.or(base.auth),
        }
    }

    /// Extra parameters of every token request: `audience` and `resource` (RFC 8707 §2.2).
    pub fn token_params(&self) -> BTreeMap<String, String> {
        let named = [("audience", &self.audience), ("resource", &self.resource)];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refresh(token_request: serde_json::Value, refresh_request: serde_json::Value) -> TokenRequestDialect {
        let settings = json!({"name": "a", "token_request": token_request, "refresh_request": refresh_request});
        serde_json::from_value::<ClientSettings>(settings).expect("settings").refresh_dialect()
    }

    #[test]
    fn the_grant_type_of_a_token_request_is_not_that_of_a_refresh() {
        let own = json!({"grant_type": "urn:x", "query": {"v": "1"}});
        for refresh_request in [json!(null), json!({}), json!({"headers": {"X": "y"}})] {
            let merged = refresh(own.clone(), refresh_request);
            assert_eq!((merged.grant_type.as_deref(), merged.query.len()), (None, 1));
        }
        assert_eq!(refresh(own, json!({"grant_type": "urn:r"})).grant_type.as_deref(), Some("urn:r"));
    }

    #[test]
    fn an_empty_entry_of_a_refresh_drops_the_inherited_one() {
        let base = json!({"query": {"v": "1", "w": "2"}, "headers": {"X-App": "a"}, "names": {"client_id": "appid"}});
        let own = json!({"query": {"v": "", "flag": ""}, "headers": {"x-app": ""}, "names": {"client_id": ""}});
        let merged = refresh(base, own);
        assert_eq!(json!(merged.query), json!({"w": "2", "flag": ""}));
        assert_eq!(json!(merged.headers), json!({}));
        // An empty name leaves the parameter out, whatever it is called elsewhere.
        assert_eq!(json!(merged.names), json!({"client_id": ""}));
    }

    #[test]
    fn halves_of_a_refresh_that_do_not_fit_each_other_are_found_in_the_merged_one() {
        let merged = refresh(json!({"body": "a={code}"}), json!({"method": "GET"}));
        assert_eq!(merged.check_refresh().into_iter().map(|(at, ..)| at).collect::<Vec<_>>(), ["/body"]);
    }
}
