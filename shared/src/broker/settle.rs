//! Finds the values that a grant leaves open: what the provider's answers name, what is looked up with the first token,
//! and what its owner must choose from a list. Each comes from outside and is checked before anything is sent where it says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Broker;
use super::delivery::Api;
use super::fields::{Fields, escape};
use super::inputs::Inputs;
use super::suspend_credential::changing;
use crate::error::{Error, Result};
use crate::model::client::{Client, Resolved};
use crate::model::credential::{AccountChoice, Credential, CredentialStatus};
use crate::model::token_set::TokenSet;
use crate::model::variable::{GivenValue, Lookup, Variable, VariableSource, scalar};
use crate::protocol::dialect::lookup::find;
use crate::store::{Attempted, StatusChange, StoreError};

/// The most accounts from which an owner can choose, and the longest name of one (characters).
const MAX_CHOICES: usize = 200;
const MAX_LABEL: usize = 120;
/// The `status_reason` of a grant that covers no account at all.
const NOTHING_TO_CHOOSE: &str = "nothing_to_choose";

/// What was found beyond a grant.
#[derive(Default)]
struct Found {
    values: BTreeMap<String, String>,
    /// What can be chosen; an empty list where there is nothing.
    choices: BTreeMap<String, Vec<AccountChoice>>,
}

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

fn of_source(client: &Client, source: VariableSource) -> impl Iterator<Item = &Variable> {
    client.settings.variables.iter().filter(move |variable| variable.source == source)
}

/// Puts the values in that were looked up or chosen for an earlier grant.
pub(crate) fn keep_found(client: &Client, before: &BTreeMap<String, String>, inputs: &mut Inputs) {
    let found = of_source(client, VariableSource::Lookup).chain(of_source(client, VariableSource::Choice));
    for key in found.map(|variable| &variable.key) {
        if let Some(value) = before.get(key) {
            inputs.shown.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The variables whose values are looked up or chosen and that a credential does not have yet. One that need not be there
/// and of which nothing was found is not looked for again.
fn missing<'c>(client: &'c Client, credential: &Credential) -> Vec<&'c Variable> {
    let has_none =
        |variable: &Variable| !variable.required && credential.choices.get(&variable.key).is_some_and(Vec::is_empty);
    let open = |variable: &&Variable| {
        matches!(variable.source, VariableSource::Lookup | VariableSource::Choice)
            && !credential.variables.contains_key(&variable.key)
            && !has_none(variable)
    };
    client.settings.variables.iter().filter(open).collect()
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

    /// Whether values of a credential are still to be looked up or chosen.
    pub(crate) fn is_unsettled(client: &Client, credential: &Credential) -> bool {
        credential.status == CredentialStatus::ChoiceRequired || !missing(client, credential).is_empty()
    }

    /// Looks up what is missing, and asks the owner to choose where there are several. What is found is stored. `before`:
    /// what was chosen for the grant that this one replaced, which stays chosen where it is still offered.
    ///
    /// # Errors
    /// [`Error::ProviderUnavailable`] and [`Error::ProviderMisbehaved`] when a look-up fails: it can be tried again.
    pub(crate) async fn settle(
        &self,
        client: &Client,
        credential: Credential,
        tokens: &TokenSet,
        before: &BTreeMap<String, String>,
    ) -> Result<Credential> {
        let may_change = matches!(
            credential.status,
            CredentialStatus::Active | CredentialStatus::RefreshFailing | CredentialStatus::ChoiceRequired
        );
        let waits = credential.status == CredentialStatus::ChoiceRequired && !missing(client, &credential).is_empty();
        if !may_change || waits || !Self::is_unsettled(client, &credential) {
            return Ok(credential);
        }
        let found = self.look_up(client, &credential, tokens, before).await?;
        let mut new = credential.clone();
        new.variables.extend(found.values);
        new.choices.extend(found.choices);
        self.keep_settled(client, &credential, new).await
    }

    /// As [`Broker::settle`], where the grant is stored and a look-up can be made later.
    pub(crate) async fn settle_quietly(
        &self,
        client: &Client,
        credential: Credential,
        before: &BTreeMap<String, String>,
    ) -> Credential {
        if !Self::is_unsettled(client, &credential) {
            return credential;
        }
        let settled = match self.open_tokens(&credential).await {
            Ok(tokens) if tokens.access_token.is_empty() => return credential,
            Ok(tokens) => self.settle(client, credential.clone(), &tokens, before).await,
            Err(error) => Err(error),
        };
        settled.unwrap_or_else(|error| {
            tracing::warn!(credential = %credential.id, %error, "values of a grant were not looked up");
            credential
        })
    }

    /// Stores values and choices, and lets the status say whether something is open.
    pub(crate) async fn keep_settled(&self, client: &Client, old: &Credential, new: Credential) -> Result<Credential> {
        if (&new.variables, &new.choices) != (&old.variables, &old.choices) {
            match self.store().update_credential(old, &new).await {
                // Another call settled it, or a new grant came: what counts is there.
                Err(StoreError::Changed) => {
                    let found = self.store().find_credential(&old.project, &old.id).await?;
                    return found.ok_or(Error::NotFound);
                }
                other => other?,
            }
        }
        let open = missing(client, &new).iter().any(|variable| new.choices.contains_key(&variable.key));
        let wanted = if open { CredentialStatus::ChoiceRequired } else { CredentialStatus::Active };
        let of_status = |status| [CredentialStatus::ChoiceRequired, CredentialStatus::Active].contains(&status);
        if new.status == wanted || !of_status(new.status) {
            return Ok(new);
        }
        let nothing = new.choices.values().any(Vec::is_empty).then(|| NOTHING_TO_CHOOSE.to_owned());
        let change = StatusChange {
            status: wanted,
            status_reason: nothing.filter(|_| open),
            suspended_from: None,
            fails: new.fails,
            next_due: new.refresh_after.filter(|_| !open && new.refreshable),
            evidence: None,
            frees_name: false,
            forget_after: None,
        };
        match self.store().change_status(&new, &change).await? {
            Attempted::Applied(now) => Ok(*now),
            Attempted::Refused(Some(other)) => Ok(*other),
            Attempted::Refused(None) => Err(Error::NotFound),
        }
    }

    async fn look_up(
        &self,
        client: &Client,
        credential: &Credential,
        tokens: &TokenSet,
        before: &BTreeMap<String, String>,
    ) -> Result<Found> {
        let mut found = Found::default();
        for variable in missing(client, credential) {
            let Some(lookup) = &variable.lookup else { continue };
            if lookup.url.is_none() || found.values.contains_key(&variable.key) {
                continue;
            }
            // What was found just now may stand in the next address.
            let mut so_far = credential.clone();
            so_far.variables.extend(found.values.clone());
            let answer = self.ask_lookup(client, &so_far, tokens, lookup).await?;
            match &lookup.items {
                None => {
                    let value = find(&answer, &lookup.value).and_then(scalar);
                    let Some(value) = value else {
                        if variable.required {
                            return Err(Error::ProviderMisbehaved("a look-up at its API brought no value"));
                        }
                        found.choices.insert(variable.key.clone(), Vec::new());
                        continue;
                    };
                    let value = variable.take(&value);
                    let refused =
                        |_| Error::ProviderMisbehaved("a look-up at its API brought a value that is not allowed");
                    found.values.insert(variable.key.clone(), value.map_err(refused)?);
                }
                Some(items) => {
                    let list = choices(client, variable, find(&answer, items), lookup);
                    let again = list.iter().find(|choice| before.get(&variable.key) == Some(&choice.value));
                    match (again, list.as_slice()) {
                        (Some(chosen), _) | (None, [chosen]) => {
                            found.values.insert(variable.key.clone(), chosen.value.clone());
                            found.values.extend(chosen.with.clone());
                        }
                        _ => {
                            found.choices.insert(variable.key.clone(), list);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    async fn ask_lookup(
        &self,
        client: &Client,
        credential: &Credential,
        tokens: &TokenSet,
        lookup: &Lookup,
    ) -> Result<Value> {
        let unaskable = Error::ProviderMisbehaved("the address of a look-up cannot be made of what it answered");
        let api = Api::of(client, credential, tokens);
        let url = lookup.url.as_deref().and_then(|url| api.address(self.outbound().policy(), url));
        let request = url.and_then(|url| api.request(url, lookup.header.as_ref())).ok_or(unaskable)?;
        let unavailable =
            |retry_after| Error::ProviderUnavailable { what: "a look-up at its API was not answered", retry_after };
        let answer = self.outbound().send(request).await.map_err(|_| unavailable(None))?;
        match answer.status.as_u16() {
            200..=299 => serde_json::from_slice(&answer.body).map_err(|_| {
                Error::ProviderMisbehaved("a look-up at its API was answered with something other than JSON")
            }),
            429 | 500.. => Err(unavailable(None)),
            status => {
                tracing::warn!(credential = %credential.id, status, "a look-up was refused");
                Err(Error::ProviderMisbehaved("a look-up at its API was refused"))
            }
        }
    }

    /// Chooses for a credential: what is chosen comes out of `given`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a value that is not offered.
    pub(crate) async fn choose(
        &self,
        client: &Client,
        old: &Credential,
        given: &mut BTreeMap<String, GivenValue>,
    ) -> Result<Credential> {
        let mut new = old.clone();
        let mut fields = Fields::default();
        for variable in of_source(client, VariableSource::Choice) {
            let Some(value) = given.remove(&variable.key) else { continue };
            let pointer = format!("/variables/{}", escape(&variable.key));
            let offered = match old.choices.get(&variable.key) {
                Some(offered) => offered.clone(),
                // It was chosen before, and is to be another one now.
                None => self.offered_now(client, old, variable).await?,
            };
            match offered.into_iter().find(|choice| choice.value == value.expose()) {
                Some(chosen) => {
                    new.variables.insert(variable.key.clone(), chosen.value);
                    new.variables.extend(chosen.with);
                    new.choices.remove(&variable.key);
                }
                None => fields.wrong(&pointer, "not_a_choice", "It must be one of the credential's choices."),
            }
        }
        fields.done()?;
        Ok(new)
    }

    async fn offered_now(
        &self,
        client: &Client,
        credential: &Credential,
        variable: &Variable,
    ) -> Result<Vec<AccountChoice>> {
        if !credential.is_alive(self.now()) {
            return Err(changing());
        }
        let Some(lookup) = &variable.lookup else { return Ok(Vec::new()) };
        let tokens = self.open_tokens(credential).await?;
        let answer = self.ask_lookup(client, credential, &tokens, lookup).await?;
        let items = lookup.items.as_deref().and_then(|items| find(&answer, items));
        Ok(choices(client, variable, items, lookup))
    }
}

/// The items of a list that can be chosen; one that is no value of the variable is not among them.
fn choices(client: &Client, variable: &Variable, items: Option<&Value>, lookup: &Lookup) -> Vec<AccountChoice> {
    let followers = || {
        client.settings.variables.iter().filter_map(|follower| {
            let lookup =
                follower.lookup.as_ref().filter(|lookup| lookup.with.as_deref() == Some(variable.key.as_str()))?;
            Some((follower, lookup))
        })
    };
    let choice = |item: &Value| {
        // A list may hold the values themselves.
        let place = |place: &str| if item.is_object() { find(item, place) } else { Some(item) };
        let value = variable.take(&place(&lookup.value).and_then(scalar)?).ok()?;
        let label = lookup.label.as_deref().and_then(|label| place(label).and_then(scalar));
        let with = followers().filter_map(|(follower, lookup)| {
            let value = follower.take(&find(item, &lookup.value).and_then(scalar)?).ok()?;
            Some((follower.key.clone(), value))
        });
        Some(AccountChoice {
            label: label.map_or_else(|| value.clone(), |label| shown(&label)),
            with: with.collect(),
            value,
        })
    };
    let items: Vec<&Value> = match items {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(Value::Object(items)) => items.values().collect(),
        _ => Vec::new(),
    };
    let mut offered: Vec<AccountChoice> = Vec::new();
    for choice in items.into_iter().filter_map(choice) {
        if offered.len() < MAX_CHOICES && !offered.iter().any(|known| known.value == choice.value) {
            offered.push(choice);
        }
    }
    offered
}

/// Words of the provider's, cut to one line of text.
fn shown(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LABEL).collect()
}
