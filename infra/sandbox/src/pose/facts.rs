//! The facts of a catalogue entry as the provider itself would know them. They are read here anew, not by the code of the
//! product, so that a fault there shows.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::settings::{AuthMethod, GrantType, RefreshTokenMode, ReusePenalty};

type Strings = BTreeMap<String, String>;

/// What a client takes from an entry. Whatever is left out is by the book.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) issuer: Option<String>,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) introspection_endpoint: Option<String>,
    pub(super) userinfo_endpoint: Option<String>,
    pub(super) grant_types: Option<Vec<GrantType>>,
    pub(super) token_endpoint_auth_method: Option<AuthMethod>,
    pub(super) pkce: Option<bool>,
    #[serde(default)]
    pub(super) scopes: Scopes,
    pub(super) audience: Option<String>,
    pub(super) resource: Option<String>,
    #[serde(default)]
    pub(super) authorization_params: Strings,
    #[serde(default)]
    pub(super) authorization_names: Strings,
    /// Part of the address in the browser that no server ever sees.
    #[serde(default, rename = "authorization_fragment")]
    _authorization_fragment: Option<String>,
    #[serde(default)]
    pub(super) token_request: TokenRequest,
    pub(super) refresh_request: Option<TokenRequest>,
    #[serde(default)]
    pub(super) token_response: TokenResponse,
    #[serde(default)]
    pub(super) revocation_request: RevocationRequest,
    #[serde(default)]
    pub(super) header: Header,
    #[serde(default)]
    pub(super) api_headers: Strings,
    #[serde(default)]
    pub(super) api_query: Strings,
    pub(super) api_base_url: Option<String>,
    #[serde(default)]
    pub(super) api_origins: Vec<String>,
    pub(super) test_request: Option<TestRequest>,
    #[serde(default)]
    pub(super) variables: Vec<Variable>,
    #[serde(default)]
    pub(super) values: Strings,
    #[serde(default)]
    pub(super) refresh: Refresh,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scopes {
    pub(super) required: Vec<String>,
    pub(super) optional: Vec<OptionalScope>,
    pub(super) separator: Option<String>,
    #[serde(rename = "docs_url")]
    _docs_url: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OptionalScope {
    pub(super) value: String,
}

/// Also the merged form of a refresh: see [`Entry::refreshing`].
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenRequest {
    pub(super) method: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) query: Strings,
    pub(super) headers: Strings,
    pub(super) body: Option<Body>,
    pub(super) names: Strings,
    pub(super) grant_type: Option<String>,
    pub(super) url: Option<String>,
    pub(super) auth: Option<AuthMethod>,
}

/// A text is the whole body, or a form; anything else is parameters.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Body {
    Text(String),
    Parameters(BTreeMap<String, Value>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenResponse {
    pub(super) root: Option<String>,
    pub(super) access_token: Option<String>,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_in: Option<String>,
    pub(super) expires_in_unit: Option<Unit>,
    pub(super) expires_at: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) scope_separator: Option<String>,
    pub(super) token_type: Option<String>,
    pub(super) ok: Option<String>,
    pub(super) error: Option<String>,
    pub(super) error_codes: Strings,
    pub(super) error_description: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RevocationRequest {
    pub(super) method: Option<String>,
    pub(super) auth: Option<RevocationAuth>,
    pub(super) content_type: Option<String>,
    pub(super) headers: Strings,
    pub(super) names: Strings,
    pub(super) body: Option<Body>,
    #[serde(rename = "on_replace")]
    _on_replace: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RevocationAuth {
    ClientSecretBasic,
    ClientSecretPost,
    None,
    Bearer,
}

/// Where an access token stands in a request to the API.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) prefix: String,
}

impl Default for Header {
    fn default() -> Self {
        Header { name: "Authorization".to_owned(), prefix: "Bearer".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestRequest {
    pub(super) method: Option<String>,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: Strings,
    pub(super) body: Option<Body>,
    pub(super) ok: Option<String>,
    pub(super) account: Option<String>,
    pub(super) label: Option<String>,
}

/// Of a variable only what a provider has to do with it.
#[derive(Deserialize)]
pub(super) struct Variable {
    pub(super) key: String,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) choices: Vec<Choice>,
    #[serde(default)]
    pub(super) default: Option<Value>,
    #[serde(default)]
    pub(super) source: Source,
    #[serde(default)]
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) lookup: Option<Lookup>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Choice {
    Plain(String),
    Full {
        value: String,
        #[serde(default)]
        sets: Strings,
    },
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    #[default]
    Person,
    Client,
    Callback,
    Token,
    Lookup,
    Choice,
}

/// Where a variable's value is looked up, or in which other variable's chosen item (`with`) it stands.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Lookup {
    pub(super) url: Option<String>,
    pub(super) items: Option<String>,
    pub(super) value: Option<String>,
    pub(super) label: Option<String>,
    pub(super) with: Option<String>,
    pub(super) header: Option<Header>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Refresh {
    pub(super) kind: Option<RefreshTokenMode>,
    pub(super) grace_seconds: Option<u32>,
    pub(super) reuse_penalty: Option<ReusePenalty>,
    pub(super) min_age_seconds: Option<u32>,
    #[serde(rename = "idle_days")]
    _idle_days: Option<u32>,
    #[serde(rename = "absolute_days")]
    _absolute_days: Option<u32>,
    pub(super) default_lifetime: Option<u32>,
    pub(super) scope: Option<String>,
}

impl Entry {
    /// Reads the JSON of an entry.
    ///
    /// # Errors
    /// It has a member that no client takes, or one of another type.
    pub(super) fn read(entry: &Value) -> anyhow::Result<Entry> {
        let Value::Object(members) = entry else { anyhow::bail!("an entry is an object") };
        // A client's own JSON has null for what is not set.
        let given = members.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        serde_json::from_value(Value::Object(given)).context("the entry is not in the form of the catalogue")
    }

    pub(super) fn pkce(&self) -> bool {
        self.pkce.unwrap_or(true)
    }

    pub(super) fn auth(&self) -> AuthMethod {
        self.token_endpoint_auth_method.unwrap_or(AuthMethod::ClientSecretBasic)
    }

    pub(super) fn grants(&self) -> Vec<GrantType> {
        self.grant_types.clone().unwrap_or_else(|| vec![GrantType::AuthorizationCode, GrantType::RefreshToken])
    }

    pub(super) fn separator(&self) -> &str {
        self.scopes.separator.as_deref().unwrap_or(" ")
    }

    /// What a refresh looks like: as the other token requests but for what `refresh_request` says. A parameter of the
    /// query or a header that is empty there drops the one of that name here. The word of `grant_type` is not taken over.
    pub(super) fn refreshing(&self) -> TokenRequest {
        let base = &self.token_request;
        let Some(own) = &self.refresh_request else { return TokenRequest { grant_type: None, ..base.clone() } };
        let mut names = base.names.clone();
        names.extend(own.names.clone());
        TokenRequest {
            method: own.method.clone().or_else(|| base.method.clone()),
            content_type: own.content_type.clone().or_else(|| base.content_type.clone()),
            query: laid_over(&base.query, &own.query, |a, b| a == b),
            headers: laid_over(&base.headers, &own.headers, str::eq_ignore_ascii_case),
            body: own.body.clone().or_else(|| base.body.clone()),
            names,
            grant_type: own.grant_type.clone(),
            url: own.url.clone(),
            auth: own.auth,
        }
    }

    /// Whether the access token is what is presented for a new one.
    pub(super) fn renews_itself(&self) -> bool {
        let place = |given: &Option<String>| given.clone().unwrap_or_default().trim_start_matches('/').to_owned();
        let refresh_token = place(&self.token_response.refresh_token);
        let access_token = self.token_response.access_token.is_some();
        let access_token =
            if access_token { place(&self.token_response.access_token) } else { "access_token".to_owned() };
        !refresh_token.is_empty() && refresh_token == access_token
    }
}

fn laid_over(base: &Strings, own: &Strings, same: fn(&str, &str) -> bool) -> Strings {
    let is_named = |name: &str| own.keys().any(|known| same(known, name));
    let kept = base.iter().filter(|(name, _)| !is_named(name));
    // An empty one that drops nothing is one of its own.
    let drops = |name: &str, value: &str| value.is_empty() && base.keys().any(|known| same(known, name));
    let added = own.iter().filter(|(name, value)| !drops(name, value));
    kept.chain(added).map(|(name, value)| (name.clone(), value.clone())).collect()
}
