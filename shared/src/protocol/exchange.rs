//! What is on record of one request to a provider and its answer: enough to find a fault, and no secret.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::advice::Hint;

/// One exchange with a provider, redacted when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Exchange {
    /// The method.
    pub method: String,
    /// Origin and path; the query is among the parameters.
    pub url: String,
    /// How the client authenticated.
    pub auth: AuthSent,
    /// The parameters by the names they were sent under; a secret one as `[redacted]`.
    pub parameters: Vec<(String, String)>,
    /// The status of the answer; `None` when no complete answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The media type of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Whether the answer is a web page.
    #[serde(default)]
    pub is_html: bool,
    /// The answer, redacted; of anything but JSON and forms only its type and length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// What the answer of a token endpoint was understood to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Seconds after which the provider wants to be asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The provider's own clock, in epoch seconds, from the header `Date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<i64>,
    /// Why no complete answer came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<NoAnswer>,
}

/// What an answer of a token endpoint was understood to say, after the client's dialect was applied. Nothing of it is a
/// provider's own text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// The error code, one that is known by name, else `other`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the text of the error gave away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<Hint>,
    /// Why it could not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Why an answer of a token endpoint could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Neither a JSON object nor a form, or one that says something twice.
    NotUnderstood,
    /// It is compressed, which was not asked for.
    Compressed,
    /// An error without a code.
    NoErrorCode,
    /// A success without an access token.
    NoAccessToken,
    /// A token has characters that no header can carry.
    UnsafeToken,
}

/// Where the client's authentication was in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthSent {
    /// HTTP Basic.
    ClientSecretBasic,
    /// A secret among the parameters.
    ClientSecretPost,
    /// A header that the dialect sets.
    Header,
    /// Nowhere.
    None,
}

/// Why no complete answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoAnswer {
    /// The address was refused before anything was sent.
    Refused,
    /// The request could not be built from what is configured.
    Unbuildable,
    /// The host name has no address.
    Dns,
    /// The operator's proxy could not be reached, or would not connect.
    Proxy,
    /// No connection.
    Connect,
    /// No TLS.
    Tls,
    /// Time ran out.
    Timeout,
    /// The answer is longer than allowed.
    TooLarge,
    /// The connection was lost.
    Interrupted,
}
