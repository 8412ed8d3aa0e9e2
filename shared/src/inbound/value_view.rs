//! What an owner gave, as API.md writes it: the value for its owner, a raw document for programs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::view::DeliveryView;
use crate::broker::credential_value::OwnersValue;
use crate::broker::raw_credential::RawDelivery;
use crate::broker::read_token::Delivered;
use crate::model::credential::CredentialKind;
use crate::model::raw_value::RawValue;
use crate::model::token_set::SecretInputs;

/// A raw credential, with what is needed to use it.
#[derive(Serialize, ToSchema)]
#[schema(as = RawDelivery)]
pub struct RawDeliveryView<'a> {
    /// The document.
    #[schema(value_type = Object)]
    pub body: &'a Value,
    /// Which generation it is.
    pub generation: u64,
    /// The API that it is for.
    pub api_base_url: Option<&'a str>,
    /// Headers of a request to the API, ready to be sent.
    pub headers: BTreeMap<&'a str, &'a str>,
}

impl<'a> From<&'a RawDelivery> for RawDeliveryView<'a> {
    fn from(delivery: &'a RawDelivery) -> Self {
        let headers = delivery.headers.iter();
        Self {
            body: &delivery.body,
            generation: delivery.generation,
            api_base_url: delivery.api_base_url.as_deref(),
            headers: headers.map(|(name, value)| (name.as_str(), value.expose().as_str())).collect(),
        }
    }
}

/// What a read brings.
#[derive(Serialize, ToSchema)]
#[schema(as = AnyDelivery)]
#[serde(untagged)]
pub enum DeliveredView<'a> {
    /// An access token.
    Token(DeliveryView<'a>),
    /// A raw credential.
    Raw(RawDeliveryView<'a>),
}

impl<'a> From<&'a Delivered> for DeliveredView<'a> {
    fn from(delivered: &'a Delivered) -> Self {
        match delivered {
            Delivered::Token(delivery) => Self::Token(delivery.as_ref().into()),
            Delivered::Raw(delivery) => Self::Raw(delivery.into()),
        }
    }
}

/// What the owner of a credential gave.
#[derive(Serialize, ToSchema)]
#[schema(as = CredentialValue)]
#[serde(untagged)]
pub enum ValueView<'a> {
    /// Of a raw credential.
    Raw(RawValueView<'a>),
    /// Of one with tokens.
    Oauth(GivenView<'a>),
}

/// A document, with what belongs to it.
#[derive(Serialize, ToSchema)]
#[schema(as = RawValue)]
pub struct RawValueView<'a> {
    /// `raw`.
    pub kind: CredentialKind,
    /// The document.
    #[schema(value_type = Object)]
    pub body: &'a Value,
    /// JSON Schema that it keeps to.
    #[schema(value_type = Option<Object>)]
    pub schema: Option<&'a Value>,
    /// The API that it is for.
    pub api_base_url: Option<&'a str>,
    /// Headers of requests to the API, where `{member}` stands for a member of the document.
    pub headers: &'a BTreeMap<String, String>,
    /// Which generation it is.
    pub generation: u64,
}

/// What a client asked of the owner.
#[derive(Serialize, ToSchema)]
#[schema(as = GivenValues)]
pub struct GivenView<'a> {
    /// `oauth`.
    pub kind: CredentialKind,
    /// The variables, secret ones included.
    pub variables: BTreeMap<&'a str, &'a str>,
    /// The user name, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'a str>,
    /// The password, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<&'a str>,
}

impl<'a> From<&'a OwnersValue> for ValueView<'a> {
    fn from(value: &'a OwnersValue) -> Self {
        match value {
            OwnersValue::Raw { value: RawValue { body, schema, api_base_url, headers, .. }, generation } => {
                Self::Raw(RawValueView {
                    kind: CredentialKind::Raw,
                    body,
                    schema: schema.as_ref(),
                    api_base_url: api_base_url.as_deref(),
                    headers,
                    generation: *generation,
                })
            }
            OwnersValue::Oauth { shown, secret } => Self::Oauth(given(shown, secret)),
        }
    }
}

fn given<'a>(shown: &'a BTreeMap<String, String>, secret: &'a SecretInputs) -> GivenView<'a> {
    let apart = ["username", "password"];
    let text = |key: &str| secret.get(key).map(|value| value.expose().as_str());
    let secrets = secret.iter().filter(|(key, _)| !apart.contains(&key.as_str()));
    let secrets = secrets.map(|(key, value)| (key.as_str(), value.expose().as_str()));
    GivenView {
        kind: CredentialKind::Oauth,
        variables: shown.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(secrets).collect(),
        username: text("username"),
        password: text("password"),
    }
}
