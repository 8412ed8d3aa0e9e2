//! What a person gives for a client: variables, and where the client says so a client id and secret of their own.

use std::collections::BTreeMap;

use super::Broker;
use super::fields::{Fields, escape};
use crate::error::{Error, Result};
use crate::model::client::{Client, CredentialsFrom, GrantType, Resolved, Unresolved};
use crate::model::token_set::SecretInputs;
use crate::model::variable::{self, GivenValue, Implicit, Variable};
use crate::protocol::template::TemplateError;
use crate::protocol::token::AuthMethod;
use crate::secret::Secret;
use crate::vault::root_key::{Purpose, Sealed};

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
pub(crate) fn implicit(client: &Client, grant: GrantType) -> Vec<Implicit<'static>> {
    let mut implicit = Vec::new();
    if client.settings.credentials_from == CredentialsFrom::Person {
        implicit.push(Implicit::CLIENT_ID);
        if client.settings.auth_method() != AuthMethod::None {
            implicit.push(Implicit::CLIENT_SECRET);
        }
    }
    if grant == GrantType::Password {
        implicit.push(Implicit::USERNAME);
        implicit.push(Implicit::PASSWORD);
    }
    implicit
}

/// What is wrong with a value: its key, a stable code, and what would be right. It never quotes the value.
pub(crate) type Wrong = (String, &'static str, String);

/// Checks what was given. `needed` says of a key that was not given whether it must be there; one that need not is left
/// out, also where it has a default.
///
/// # Errors
/// All that is wrong.
pub(crate) fn check_inputs(
    client: &Client,
    implicit: &[Implicit<'_>],
    mut given: BTreeMap<String, GivenValue>,
    needed: &dyn Fn(&str) -> bool,
) -> Result<Inputs, Vec<Wrong>> {
    let mut inputs = Inputs::default();
    let mut wrong = Vec::new();
    for asked in implicit {
        let key = asked.key.to_owned();
        match given.remove(asked.key) {
            None if needed(asked.key) => wrong.push((key, "required", "It must be given.".to_owned())),
            None => {}
            Some(value) if !is_secret_text(value.expose()) => {
                let rule = "Not empty, at most 4096 characters, no control characters.";
                wrong.push((key, "not_a_text", rule.to_owned()));
            }
            // A user name is no secret in itself, but with the password it is half of one.
            Some(value) if asked.secret || asked.key == "username" => {
                inputs.secret.insert(key, Secret::from(value.expose()));
            }
            Some(value) => {
                inputs.shown.insert(key, value.expose().to_owned());
            }
        }
    }
    let looked_at = |variable: &&Variable| given.contains_key(&variable.key) || needed(&variable.key);
    let variables: Vec<Variable> = client.settings.variables.iter().filter(looked_at).cloned().collect();
    match variable::accept(&variables, &client.settings.values, &given) {
        Ok(accepted) => {
            inputs.shown.extend(accepted.shown);
            inputs.secret.extend(accepted.secret);
        }
        Err(more) => wrong.extend(more),
    }
    if wrong.is_empty() { Ok(inputs) } else { Err(wrong) }
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
        let checked = check_inputs(client, &implicit(client, grant), given, &|_| true);
        checked.map_err(|wrong| {
            for (key, code, detail) in wrong {
                fields.wrong(&format!("{pointer}/{}", escape(&key)), code, detail);
            }
            fields.into_error()
        })
    }

    /// Seals secrets that were given, for as long as there is no credential whose they are. `context` names what they
    /// belong to: sealed for one flow, they cannot be opened for another.
    ///
    /// # Errors
    /// When the root key cannot be read.
    pub(crate) async fn seal_inputs(&self, inputs: &SecretInputs, context: &str) -> Result<Option<Sealed>> {
        if inputs.is_empty() {
            return Ok(None);
        }
        let plain: BTreeMap<&str, &str> =
            inputs.iter().map(|(key, value)| (key.as_str(), value.expose().as_str())).collect();
        let document = Secret::new(serde_json::to_string(&plain).unwrap_or_default());
        let key = self.root_keys().current().await?;
        Ok(Some(key.seal(Purpose::Inputs, context, &document)?))
    }

    /// Opens what [`Broker::seal_inputs`] sealed.
    ///
    /// # Errors
    /// When the root key cannot be read, or it was sealed for something else.
    pub(crate) async fn open_inputs(&self, sealed: Option<&Sealed>, context: &str) -> Result<SecretInputs> {
        let Some(sealed) = sealed else { return Ok(SecretInputs::new()) };
        let key = self.root_keys().version(&sealed.key_version).await?;
        let document = key.open(Purpose::Inputs, context, sealed)?;
        serde_json::from_str(document.expose()).map_err(|_| Error::Internal("sealed inputs cannot be read"))
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
            resolved.refresh_endpoint.as_ref(),
            resolved.revocation_endpoint.as_ref(),
            resolved.introspection_endpoint.as_ref(),
        ] {
            self.check_endpoint(&mut fields, pointer, url);
        }
        fields.done()?;
        self.require_addresses(client, &inputs.shown, pointer)?;
        Ok(resolved)
    }
}

impl Broker {
    /// Every other address that the values stand in, the API's among them: programs will go there.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the variable.
    pub(crate) fn require_addresses(
        &self,
        client: &Client,
        shown: &BTreeMap<String, String>,
        pointer: &str,
    ) -> Result<()> {
        let mut fields = Fields::default();
        for (key, code, detail) in self.check_addresses(client, shown) {
            fields.wrong(&format!("{pointer}/{}", escape(&key)), code, detail);
        }
        fields.done()
    }
}

/// Why values do not fit the client, by the variable that is to blame.
pub(crate) fn unresolved(error: &Unresolved, pointer: &str) -> Error {
    match error {
        Unresolved::Incomplete(_) => Error::Internal("an active client lacks what its grants need"),
        Unresolved::Template { error, .. } => {
            let at = match error {
                TemplateError::Missing(key) | TemplateError::Unsafe { key, .. } => {
                    format!("{pointer}/{}", escape(key))
                }
                TemplateError::Unbalanced | TemplateError::BadKey | TemplateError::NotAUrl(_) => pointer.to_owned(),
            };
            match error {
                TemplateError::Missing(_) => Error::field(at, "required", "The client's requests need this variable."),
                _ => Error::field(
                    at,
                    "unsafe_value",
                    format!("The value cannot stand where the client uses it: {error}."),
                ),
            }
        }
    }
}

fn is_secret_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_SECRET && !text.chars().any(char::is_control)
}
