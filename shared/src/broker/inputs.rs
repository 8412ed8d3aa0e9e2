//! What a person gives for a client: variables, and where the client says so a client id and secret of their own.

use std::collections::BTreeMap;

use super::Broker;
use super::fields::{Fields, escape};
use crate::error::{Error, Result};
use crate::model::client::{Client, CredentialsFrom, GrantType, Resolved, Unresolved};
use crate::model::token_set::SecretInputs;
use crate::model::variable::{self, GivenValue, Implicit};
use crate::protocol::template::TemplateError;
use crate::protocol::token::AuthMethod;
use crate::secret::Secret;

/// The longest client secret, user name or password (bytes).
const MAX_SECRET: usize = 4096;

/// What was given, checked: the parts that may be seen, and those that may not.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Values that are no secrets.
    pub shown: BTreeMap<String, String>,
    /// Values that are.
    pub secret: SecretInputs,
}

/// What a client asks of a person besides its variables, for one grant.
pub(crate) fn implicit(client: &Client, grant: GrantType) -> Vec<Implicit> {
    let mut implicit = Vec::new();
    if client.settings.credentials_from == CredentialsFrom::Person {
        implicit.push(Implicit::new("client_id", "Client ID", false, true));
        if client.settings.auth_method() != AuthMethod::None {
            implicit.push(Implicit::new("client_secret", "Client secret", true, true));
        }
    }
    if grant == GrantType::Password {
        implicit.push(Implicit::new("username", "User name", false, true));
        implicit.push(Implicit::new("password", "Password", true, true));
    }
    implicit
}

impl Broker {
    /// Checks what was given for a client and a grant, all of it at once. `pointer` is where it stands in the body.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names each value that is missing, unknown or wrong, and quotes none.
    pub(crate) fn accept_inputs(
        &self,
        client: &Client,
        grant: GrantType,
        given: BTreeMap<String, GivenValue>,
        pointer: &str,
    ) -> Result<Inputs> {
        let mut fields = Fields::default();
        let mut given: BTreeMap<String, String> =
            given.into_iter().map(|(key, value)| (key, value.into_text())).collect();
        let mut inputs = Inputs::default();
        for asked in implicit(client, grant) {
            let at = format!("{pointer}/{}", escape(&asked.key));
            match given.remove(&asked.key) {
                None => fields.wrong(&at, "required", "It must be given."),
                Some(value) if !is_secret_text(&value) => {
                    fields.wrong(&at, "not_a_text", "Not empty, at most 4096 characters, no control characters.");
                }
                // A user name is no secret in itself, but with the password it is half of one.
                Some(value) if asked.secret || asked.key == "username" => {
                    inputs.secret.insert(asked.key, Secret::new(value));
                }
                Some(value) => drop(inputs.shown.insert(asked.key, value)),
            }
        }
        match variable::accept(&client.settings.variables, &client.settings.values, &given) {
            Ok(accepted) => {
                inputs.shown.extend(accepted.shown);
                inputs.secret.extend(accepted.secret);
            }
            Err(wrong) => {
                for (key, code, detail) in wrong {
                    fields.wrong(&format!("{pointer}/{}", escape(&key)), code, detail);
                }
            }
        }
        fields.done()?;
        Ok(inputs)
    }

    /// Puts the values into the client's URLs and requests, and checks where that leads, before anything is sent there.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the variable.
    pub(crate) fn resolve_inputs(&self, client: &Client, inputs: &Inputs, pointer: &str) -> Result<Resolved> {
        let resolved = client.resolve(&inputs.shown, &inputs.secret).map_err(|error| unresolved(&error, pointer))?;
        let mut fields = Fields::default();
        for url in [
            Some(&resolved.token_endpoint),
            Some(&resolved.refresh_endpoint),
            resolved.revocation_endpoint.as_ref(),
            resolved.introspection_endpoint.as_ref(),
        ] {
            self.check_endpoint(&mut fields, pointer, url);
        }
        fields.done()?;
        Ok(resolved)
    }
}

/// Why values do not fit the client, by the variable that is to blame.
pub(crate) fn unresolved(error: &Unresolved, pointer: &str) -> Error {
    match error {
        Unresolved::Incomplete(_) => Error::Internal("an active client lacks what its grants need"),
        Unresolved::Template { error, .. } => {
            let at = error.key().map_or_else(|| pointer.to_owned(), |key| format!("{pointer}/{}", escape(key)));
            match error {
                TemplateError::Missing(_) => Error::field(at, "required", "The client's requests need this variable."),
                _ => Error::field(at, "unsafe_value", format!("The value cannot stand where the client uses it: {error}.")),
            }
        }
    }
}

fn is_secret_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SECRET && !text.chars().any(char::is_control)
}
