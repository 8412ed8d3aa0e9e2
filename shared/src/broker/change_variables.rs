//! Changes the values that a credential puts into its client's requests, as far as no secret and no address is touched.

use std::collections::BTreeMap;

use super::Broker;
use super::fields::{Fields, escape};
use super::inputs::{implicit, unresolved};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus};
use crate::model::credential::Credential;
use crate::model::variable::{self, GivenValue, Variable, VariableSource, Visibility};

impl Broker {
    /// The values of a credential after a change: what was given goes over what is stored.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names the variable; [`Error::Conflict`] `origin_would_change` when a value would send the
    /// credential's secrets to another origin than the one that they are bound to (SECURITY.md 24).
    pub(crate) async fn change_variables(
        &self,
        old: &Credential,
        given: BTreeMap<String, GivenValue>,
    ) -> Result<BTreeMap<String, String>> {
        if old.client.is_none() {
            let unknown = "A raw credential has no variables.";
            let mut fields = Fields::default();
            for key in given.keys() {
                fields.wrong(&format!("/variables/{}", escape(key)), "unknown_variable", unknown);
            }
            fields.done()?;
            return Ok(old.variables.clone());
        }
        let client = self.client_of_credential(old).await?;
        let new = merge(&client, old, &given)?;
        if client.status() == ClientStatus::Draft {
            return Err(Error::Conflict {
                code: "client_not_active",
                detail: "The client of this credential is incomplete, so the values cannot be checked.".to_owned(),
                advice: &["Ask the superuser to complete the client."],
            });
        }
        let secret = self.open_tokens(old).await?.inputs;
        // A stored value may fit the client no longer; then what the secrets are bound to is what counts.
        let before = client.resolve(&old.variables, &secret);
        let before = before.map_or_else(|_| old.bound_origin.clone(), |resolved| resolved.origins());
        let resolved = client.resolve(&new, &secret).map_err(|error| unresolved(&error, "/variables"))?;
        if resolved.origins() != before {
            return Err(Error::Conflict {
                code: "origin_would_change",
                detail: "A value would move an endpoint of this credential to another origin, where its secrets must not go."
                    .to_owned(),
                advice: &[
                    "Reauthorize the credential with the new values: POST /v1/connect-sessions with credential and variables.",
                    "The grant is then given anew, at the new origin.",
                ],
            });
        }
        self.require_addresses(&client, &new, "/variables")?;
        Ok(new)
    }
}

fn merge(client: &Client, old: &Credential, given: &BTreeMap<String, GivenValue>) -> Result<BTreeMap<String, String>> {
    let settings = &client.settings;
    let mut fields = Fields::default();
    let implicit = implicit(client, old.grant);
    let is_secret = |key: &str| {
        implicit.iter().any(|asked| asked.key == key)
            || settings.variables.iter().any(|variable| variable.key == key && variable.secret)
    };
    for key in given.keys().filter(|key| is_secret(key)) {
        let rule = "It is kept with the secrets: give it with PUT /v1/credentials/{id}/value.";
        fields.wrong(&format!("/variables/{}", escape(key)), "secret_variable", rule);
    }
    let asked: Vec<Variable> = settings.variables.iter().filter(|variable| !variable.secret).cloned().collect();
    let of_person =
        |variable: &&Variable| variable.source == VariableSource::Person && variable.visibility != Visibility::Fixed;
    let mut merged: BTreeMap<String, GivenValue> = asked
        .iter()
        .filter(of_person)
        .filter_map(|variable| Some((variable.key.clone(), old.variables.get(&variable.key)?.as_str().into())))
        .collect();
    let changes = || given.iter().filter(|(key, _)| !is_secret(key));
    merged.extend(changes().map(|(key, value)| (key.clone(), value.clone())));
    let accepted = match variable::accept(&asked, &settings.values, &merged) {
        Ok(accepted) => accepted,
        Err(wrong) => {
            for (key, code, detail) in wrong {
                fields.wrong(&format!("/variables/{}", escape(&key)), code, detail);
            }
            Default::default()
        }
    };
    fields.done()?;
    let mut new = old.variables.clone();
    for (key, _) in changes() {
        match accepted.shown.get(key) {
            Some(value) => new.insert(key.clone(), value.clone()),
            None => new.remove(key),
        };
    }
    Ok(new)
}
