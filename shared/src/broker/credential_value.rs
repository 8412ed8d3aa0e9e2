//! What the owner gave: read by the owner alone, and replaced after it was tried.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::create_credential::{refuse_foreign, required};
use super::raw_credential::RawChange;
use crate::error::{Error, Result};
use crate::model::client::GrantType;
use crate::model::credential::{Credential, CredentialKind};
use crate::model::principal::Role;
use crate::model::raw_value::RawValue;
use crate::model::token_set::SecretInputs;
use crate::model::variable::{GivenValue, VariableSource};
use crate::secret::Secret;
use crate::vault::Prefetched;

/// The body of `PUT /v1/credentials/{id}/value`: a document for a raw credential, otherwise what is to be replaced of
/// what the owner gave; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValue {
    /// The document; for raw credentials.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
    /// JSON Schema that the document keeps to: absent, the old one stays; null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Option<Value>>,
    /// The API that the document is for: absent, the old one stays; null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub api_base_url: Option<Option<String>>,
    /// Headers of requests to the API; replaces all, and absent, the old ones stay.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, String>>,
    /// Variables, secret ones and `client_secret` included; those that are absent stay.
    #[serde(default)]
    pub variables: Option<BTreeMap<String, GivenValue>>,
    /// The user name; for the password grant.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub username: Option<Secret<String>>,
    /// The password; for the password grant.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub password: Option<Secret<String>>,
}

/// Tells null from absent.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// What the owner of a credential gave.
pub enum OwnersValue {
    /// A document.
    Raw {
        /// The document, and what belongs to it.
        value: RawValue,
        /// Which generation it is.
        generation: u64,
    },
    /// What the client asks of a person.
    Oauth {
        /// Variables that are no secrets.
        shown: BTreeMap<String, String>,
        /// Those that are.
        secret: SecretInputs,
    },
}

impl Broker {
    /// Reads what the owner gave. No token and no secret of the client's own is in it.
    ///
    /// # Errors
    /// [`Error::Forbidden`] `not_the_owner`; [`Error::NotFound`]; [`Error::Suspended`]; [`Error::Revoked`].
    pub async fn read_value(&self, caller: &Caller, id: &str) -> Result<OwnersValue> {
        let credential = self.with_value(caller, id, "tokens:read").await?;
        tracing::info!(credential = %credential.id, key = %caller.key.id, user = caller.user.as_deref(), "value read");
        if credential.kind == CredentialKind::Raw {
            let value = self.open_raw(&credential, Prefetched::Nothing).await?;
            return Ok(OwnersValue::Raw { value, generation: credential.generation });
        }
        let mut secret = self.open_tokens(&credential).await?.inputs;
        let client = match &credential.client {
            Some(client) => self.store().find_client(client).await?,
            None => None,
        };
        secret.retain(|key, value| match key.as_str() {
            "client_secret" | "username" | "password" => true,
            key => client.as_ref().is_some_and(|client| {
                let of_person = |variable: &&crate::model::variable::Variable| {
                    variable.key == key && variable.source == VariableSource::Person
                };
                // A value that is the client's own is not the owner's to see.
                let of_client = client.settings.values.get(key);
                client.settings.variables.iter().any(|variable| of_person(&variable))
                    && !of_client.is_some_and(|own| value.matches(own.as_bytes()))
            }),
        });
        Ok(OwnersValue::Oauth { shown: credential.variables, secret })
    }

    /// Replaces what the owner gave, after it was tried: a failure leaves everything as it was.
    ///
    /// # Errors
    /// As [`Broker::read_value`]; [`Error::Invalid`]; what the authorization server said to it; [`Error::Conflict`]
    /// `reauthorization_needed_for_value` where only new consent can replace it.
    pub async fn replace_value(&self, caller: &Caller, id: &str, new: NewValue) -> Result<Credential> {
        let credential = self.with_value(caller, id, "credentials:write").await?;
        let of_raw = [
            ("/body", new.body.is_some()),
            ("/schema", new.schema.is_some()),
            ("/api_base_url", new.api_base_url.is_some()),
            ("/headers", new.headers.is_some()),
        ];
        let of_oauth = [
            ("/variables", new.variables.is_some()),
            ("/username", new.username.is_some()),
            ("/password", new.password.is_some()),
        ];
        if credential.kind == CredentialKind::Raw {
            refuse_foreign(&of_oauth, "A raw credential does not have this field.")?;
            let NewValue { body, schema, api_base_url, headers, .. } = new;
            let change = RawChange { body: required(body, "/body")?, schema, api_base_url, headers };
            return self.replace_raw(credential, &change).await;
        }
        refuse_foreign(&of_raw, "Only a raw credential has this field.")?;
        let NewValue { variables, username, password, .. } = new;
        if variables.as_ref().is_none_or(BTreeMap::is_empty) && username.is_none() && password.is_none() {
            return Err(Error::field("", "empty", "Give at least one variable, a user name or a password."));
        }
        let variables = variables.unwrap_or_default();
        match credential.grant {
            GrantType::ClientCredentials | GrantType::Password => {
                self.replace_inputs(credential, variables, username, password).await
            }
            GrantType::AuthorizationCode | GrantType::RefreshToken => {
                let others = username.is_some() || password.is_some();
                self.replace_client_secret(credential, variables, others).await
            }
        }
    }

    /// A credential of the project whose owner the key acts for, as it must be to have a value.
    async fn with_value(&self, caller: &Caller, id: &str, permission: &str) -> Result<Credential> {
        caller.require(&[Role::Platform], permission)?;
        let credential = self.owned_credential(caller, id).await?;
        check_usable(&credential)?;
        Ok(credential)
    }
}

/// Whether the status lets a value be read and replaced.
pub(crate) fn check_usable(credential: &Credential) -> Result<()> {
    use crate::model::credential::CredentialStatus as Status;
    match credential.status {
        Status::Suspended => Err(crate::refresh::suspended(credential)),
        Status::Revoking | Status::Revoked => Err(Error::Revoked),
        Status::Active | Status::RefreshFailing | Status::ChoiceRequired | Status::ReauthorizationRequired => Ok(()),
    }
}
