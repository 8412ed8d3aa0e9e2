//! How far a client's token endpoint and API stray from the RFCs.

use std::collections::BTreeMap;

use anyhow::ensure;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What a token request must look like. One that does not is refused with `invalid_request`; one that does counts like
/// the standard one. The default is RFC 6749 §4.1.3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRequestRules {
    /// `form` (default), `json`, or a media type whose body is a JSON object or a form, whatever it says.
    pub content_type: Option<String>,
    /// Standard parameter name to the name it goes by. In JSON bodies a JSON Pointer (RFC 6901) if it begins with `/`.
    pub names: BTreeMap<String, String>,
    /// Parameters the URL's query must carry.
    pub query: BTreeMap<String, String>,
    /// Headers that must be there, with exactly this value.
    pub headers: BTreeMap<String, String>,
    /// Members or parameters the body must carry, named like `names`.
    pub body: Map<String, Value>,
    /// What stands in `grant_type` instead of the standard value.
    pub grant_type: Option<GrantTypeWords>,
    /// The method, `POST` by default. With `GET` all parameters are in the query.
    pub method: Option<String>,
}

/// The words of a server that has its own values for `grant_type`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GrantTypeWords {
    /// One word for every grant, which then shows in the other parameters; empty: `grant_type` is left out.
    Every(String),
    /// Standard value to word; those not named keep the standard value.
    Each(BTreeMap<String, String>),
}

/// What a token answer looks like. The default is RFC 6749 §5.1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenResponseShape {
    /// JSON Pointer (RFC 6901) of the object all members stand in, such as `/data`; empty is the answer itself.
    pub root: String,
    /// Standard member name to another name below `root`, or to a JSON Pointer from the top.
    pub names: BTreeMap<String, String>,
    /// How `expires_in` is written.
    pub expires_in_format: ExpiresInFormat,
    /// Adds the member `expires_at`.
    pub expires_at: Option<ExpiresAtFormat>,
    /// What stands between scopes, in answers and, besides the space, in requests; a space by default.
    pub scope_separator: Option<String>,
    /// `scope` is an array.
    pub scope_as_list: bool,
    /// Answers and errors are forms; what is neither text, number nor boolean is JSON in them.
    pub form_encoded: bool,
    /// Errors come with status 200 and `"ok": false`, tokens with `"ok": true`.
    pub errors_in_200: bool,
    /// Members laid over the answer at last, objects into objects; they replace what is there.
    pub extra: Map<String, Value>,
}

/// How `expires_in` is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresInFormat {
    /// Seconds, as RFC 6749 §5.1 says.
    #[default]
    Number,
    /// Seconds in quotes.
    String,
    /// A thousand times as many.
    Milliseconds,
    /// Seconds with a fraction.
    Float,
    /// Not at all; `expires_at` may be there.
    Missing,
}

/// How `expires_at` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresAtFormat {
    /// Seconds since the Unix epoch.
    Epoch,
    /// Milliseconds since the Unix epoch.
    EpochMs,
    /// RFC 3339, in UTC.
    Iso,
}

/// Where the API looks for an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiHeader {
    /// The header.
    pub name: String,
    /// The word before the token, in any case (RFC 9110 §11.1), then a space; empty: the token stands alone.
    pub prefix: String,
}

impl Default for ApiHeader {
    fn default() -> Self {
        ApiHeader { name: AUTHORIZATION.as_str().to_owned(), prefix: "Bearer".to_owned() }
    }
}

impl TokenRequestRules {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure!(
            self.method.as_ref().is_none_or(|method| Method::from_bytes(method.as_bytes()).is_ok()),
            "token_request.method must be an HTTP method"
        );
        Ok(())
    }

    /// The media type of the body.
    pub(crate) fn media_type(&self) -> &str {
        match self.content_type.as_deref() {
            None | Some("form") => FORM,
            Some("json") => JSON,
            Some(other) => other,
        }
    }

    /// What a parameter is called in requests.
    pub(crate) fn name_of<'a>(&'a self, standard: &'a str) -> &'a str {
        self.names.get(standard).map_or(standard, String::as_str)
    }
}

impl TokenResponseShape {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure!(self.root.is_empty() || self.root.starts_with('/'), "token_response.root must be a JSON Pointer");
        ensure!(self.scope_separator.as_deref() != Some(""), "token_response.scope_separator must not be empty");
        Ok(())
    }
}

impl ApiHeader {
    pub(super) fn validate(&self) -> anyhow::Result<()> {
        ensure!(HeaderName::from_bytes(self.name.as_bytes()).is_ok(), "api_header.name must be a header name");
        ensure!(!self.prefix.contains(' '), "api_header.prefix must be one word");
        Ok(())
    }

    /// The token of a request, if it carries one in this place.
    pub(crate) fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let value = headers.get(&self.name)?.to_str().ok()?;
        if self.prefix.is_empty() {
            return Some(value);
        }
        let (prefix, token) = value.split_once(' ')?;
        prefix.eq_ignore_ascii_case(&self.prefix).then_some(token.trim())
    }
}
