//! How an authorization server departs from RFC 6749 and RFC 7009, as data in a client's settings.
//!
//! A dialect says what differs; whatever it does not say is by the book. Its strings may hold placeholders: `{variable}`
//! is replaced by [`TokenRequestDialect::render`] before a request, and the parameters that the flow sets itself
//! (`{client_id}`, `{scope}`, …, see [`is_standard`]) when the request is encoded. `{x?}` drops its parameter when `x` is
//! not set, and `{{` stands for a brace.
//!
//! - `placeholder`: the one place that replaces placeholders
//! - `check`: what may stand in a dialect; `render`: the variables put in
//! - `encode`: parameters by the book into the request that is sent
//! - `lookup`: finds a member of an answer by key, dotted path or JSON Pointer

mod check;
mod encode;
pub(crate) mod lookup;
mod placeholder;
mod render;

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::token::AuthMethod;

pub use check::Finding;
pub use encode::{REDACTED, WireRequest};
pub(crate) use encode::{Shape, encode};
pub use render::Rendered;

/// The parameters of RFC 6749, 7009, 7636 and 8707 that the flow sets itself; `names` renames them.
const STANDARD: [&str; 14] = [
    "audience",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "password",
    "redirect_uri",
    "refresh_token",
    "resource",
    "scope",
    "token",
    "token_type_hint",
    "username",
];

/// Those of them that extra parameters may not set: `names` and `grant_type` are the way to change them.
const RESERVED: [&str; 11] = [
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "password",
    "redirect_uri",
    "refresh_token",
    "token",
    "token_type_hint",
    "username",
];

/// Whether a placeholder names a parameter that the flow sets itself, unless a variable has its name.
pub fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name)
}

/// What else a placeholder of a token request may name: `state` of the flow, and something new each time.
const SUPPLIED: [&str; 3] = ["random", "state", "uuid"];

/// Whether a placeholder of a token request is filled in when the request is made, unless a variable has its name.
pub fn is_supplied(name: &str) -> bool {
    is_standard(name) || SUPPLIED.contains(&name)
}

/// The method of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TokenMethod {
    /// RFC 6749 §3.2.
    Post,
    /// All parameters in the query string, secrets included.
    Get,
}

/// The method of a revocation request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RevocationMethod {
    /// RFC 7009 §2.1.
    Post,
    /// With the parameters in the body.
    Delete,
    /// All parameters in the query string.
    Get,
}

/// How a revocation request authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevocationAuth {
    /// HTTP Basic.
    ClientSecretBasic,
    /// In the body.
    ClientSecretPost,
    /// With the `client_id` alone.
    None,
    /// With the access token, as an API call. `token` and `token_type_hint` are sent only where `names` names them.
    Bearer,
}

/// What a request holds beside the standard parameters, or instead of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum BodyTemplate {
    /// Extra parameters. Numbers, booleans, lists and objects stay what they are in a JSON body.
    Parameters(BTreeMap<String, Value>),
    /// The whole body. `{client_secret}` and the like are escaped for the content type.
    Text(String),
}

/// How a token request differs from RFC 6749 §4.1.3, §4.3.2, §4.4.2 and §6.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequestDialect {
    /// `POST` unless the provider differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<TokenMethod>,
    /// `form` (the default), `json` or their media types; `query` puts everything in the query string, which RFC 6749
    /// §2.3.1 forbids and a few providers demand. Any other media type needs a text `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Extra parameters of the query string.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Extra headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Extra parameters of the body, or the whole body as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyTemplate>,
    /// Standard parameter to the provider's name for it; an empty name leaves the parameter out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// What `grant_type` says instead of the standard value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
    /// Where refresh tokens are presented when that is not the token endpoint. Only in `refresh_request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How the client authenticates there when that differs. Only in `refresh_request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthMethod>,
}

/// The unit of `expires_in`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LifetimeUnit {
    /// RFC 6749 §5.1.
    Seconds,
    /// A thousandth of that.
    Milliseconds,
}

/// Where the members of a token answer are when they are not where RFC 6749 §5 puts them.
///
/// A place is a key, a dotted path (`data.token`) or a JSON Pointer (`/data/token`, RFC 6901; `/` alone is the whole
/// answer); `a|b` is the first of them that is there. Where a place is given, no other is tried.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenResponseDialect {
    /// The object that holds the token members. `ok` and the error members are looked up in the whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The access token. `/` with a text answer: the text is the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// The refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The lifetime of the access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// The unit of that lifetime, seconds unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_unit: Option<LifetimeUnit>,
    /// The end of the access token: epoch seconds, epoch milliseconds, or a date with time. It goes before `expires_in`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The granted scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// What stands between scopes. Without it, spaces and commas do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope_separator: Option<String>,
    /// The token type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// What tells a success from a failure behind a status of success: false, 0, "" and "false" are failures. With
    /// `==value` behind the place, only that value is a success (`/code==0`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<String>,
    /// The error code, text or number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Provider's code, as text also when it is a number, to the code of RFC 6749 §5.2 that it stands for. A number in
    /// the place of the error counts as a code when it is listed here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub error_codes: BTreeMap<String, String>,
    /// The text that explains the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

/// How a revocation request differs from RFC 7009 §2.1.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationDialect {
    /// `POST` unless the provider differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<RevocationMethod>,
    /// How to authenticate when that differs from the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<RevocationAuth>,
    /// As in a token request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Extra headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Standard parameter (`token`, `token_type_hint`, `client_id`, `client_secret`) to the provider's name for it; an
    /// empty name leaves the parameter out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// Extra parameters of the body, or the whole body as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyTemplate>,
    /// Whether the old grant is revoked when a new consent replaces it; true unless given. False for servers where
    /// revoking one token ends all of the person's grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_replace: Option<bool>,
}

impl TokenMethod {
    fn method(self) -> Method {
        match self {
            Self::Post => Method::POST,
            Self::Get => Method::GET,
        }
    }
}

impl RevocationMethod {
    fn method(self) -> Method {
        match self {
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
            Self::Get => Method::GET,
        }
    }
}

static NO_QUERY: BTreeMap<String, String> = BTreeMap::new();

impl TokenRequestDialect {
    /// What the encoder needs.
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape {
            method: self.method.map_or(Method::POST, TokenMethod::method),
            content_type: self.content_type.as_deref(),
            query: &self.query,
            headers: &self.headers,
            body: self.body.as_ref(),
            names: &self.names,
        }
    }
}

impl RevocationDialect {
    /// Whether the old grant is revoked when a new consent replaces it.
    pub fn revokes_replaced(&self) -> bool {
        self.on_replace.unwrap_or(true)
    }

    /// What the encoder needs.
    pub(crate) fn shape(&self) -> Shape<'_> {
        Shape {
            method: self.method.map_or(Method::POST, RevocationMethod::method),
            content_type: self.content_type.as_deref(),
            query: &NO_QUERY,
            headers: &self.headers,
            body: self.body.as_ref(),
            names: &self.names,
        }
    }
}

#[cfg(test)]
mod tests;
