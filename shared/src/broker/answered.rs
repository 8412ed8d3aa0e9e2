//! What the provider's answers say of an account: the values that they bring, bound to the grant, and whether they name the
//! account that its owner accepted. All of it comes from outside and is checked before anything is sent where it says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Broker;
use super::inputs::Inputs;
use super::settle::found_later;
use crate::error::{Error, Result};
use crate::model::client::{Client, Resolved};
use crate::model::credential::Credential;
use crate::model::variable::{Variable, VariableSource};
use crate::refresh::suspended::is_unverified;

/// The values that an authorization response brought.
///
/// # Errors
/// [`Error::ProviderMisbehaved`] when one is missing that is required, or is no value of its variable: somebody may have
/// changed it on its way through the browser, so nothing is sent then.
pub(crate) fn take_callback(client: &Client, callback: &Map<String, Value>, inputs: &mut Inputs) -> Result<()> {
    for variable in of_source(client, VariableSource::Callback) {
        match variable.read(callback) {
            Ok(Some(value)) => {
                inputs.shown.insert(variable.key.clone(), value);
            }
            Ok(None) if variable.required => {
                return Err(Error::ProviderMisbehaved(
                    "its authorization response lacks a value that the client needs",
                ));
            }
            Ok(None) => {
                inputs.shown.remove(&variable.key);
            }
            Err(misfit) => {
                tracing::warn!(client = %client.id, variable = %variable.key, misfit = misfit.code, security = true, "a value of an authorization response was refused");
                return Err(Error::ProviderMisbehaved(
                    "a value in its authorization response is not one that the client allows",
                ));
            }
        }
    }
    Ok(())
}

/// The values that a token answer brought. One that is no value of its variable is left out: the tokens are kept.
fn take_answer(client: &Client, answer: &Map<String, Value>, inputs: &mut Inputs) {
    for variable in of_source(client, VariableSource::Token) {
        match variable.read(answer) {
            Ok(Some(value)) => {
                inputs.shown.insert(variable.key.clone(), value);
            }
            Ok(None) => {}
            Err(misfit) => {
                tracing::warn!(client = %client.id, variable = %variable.key, misfit = misfit.code, security = true, "a value of a token answer was refused");
            }
        }
    }
}

pub(super) fn of_source(client: &Client, source: VariableSource) -> impl Iterator<Item = &Variable> {
    client.settings.variables.iter().filter(move |variable| variable.source == source)
}

/// What the owner has accepted of a grant, to be kept in mind for the next one of the same credential: which account was
/// named, looked up or chosen. A grant that nobody has accepted yet teaches nothing.
pub(crate) fn accepted_of(client: &Client, base: &Credential) -> BTreeMap<String, String> {
    let mut accepted = base.former.clone();
    if !is_unverified(base) {
        accepted.extend(found_of(client, &base.variables));
        let named = of_source(client, VariableSource::Callback);
        accepted.extend(named.filter_map(|one| Some((one.key.clone(), base.variables.get(&one.key)?.clone()))));
    }
    accepted
}

/// What was looked up or chosen.
pub(crate) fn found_of(client: &Client, values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let found = found_later(client).filter_map(|variable| values.get_key_value(&variable.key));
    found.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Whether an authorization response names another account than the one that the owner accepted.
pub(crate) fn names_another(client: &Client, base: &Credential, values: &BTreeMap<String, String>) -> bool {
    let accepted = accepted_of(client, base);
    of_source(client, VariableSource::Callback).any(|variable| {
        let before = accepted.get(&variable.key);
        before.is_some() && before != values.get(&variable.key)
    })
}

impl Broker {
    /// Binds what a token answer says to a grant: the values, and the origins that its secrets may be sent to from now on.
    /// An answer that leads where nobody may go changes nothing.
    pub(crate) fn bind_answer(
        &self,
        client: &Client,
        inputs: &Inputs,
        resolved: &Resolved,
        answer: &Map<String, Value>,
    ) -> (Inputs, String) {
        let mut found = inputs.clone();
        take_answer(client, answer, &mut found);
        match self.resolve_inputs(client, &found, "") {
            Ok(resolved) => (found, resolved.origins()),
            Err(_) => {
                tracing::warn!(client = %client.id, security = true, "a token answer leads to an address that may not be reached");
                (inputs.clone(), resolved.origins())
            }
        }
    }
}
