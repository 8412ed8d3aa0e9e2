//! Finds the values that a grant leaves open: what is looked up with its token, and what its owner must choose from a list.
//! Each comes from outside and is checked before anything is sent where it says.
//!
//! Nothing here costs a consent: the tokens are stored before, and what is not found is looked for again at a later read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Broker;
use super::answered::of_source;
use super::delivery::Api;
use super::fields::{Fields, escape};
use crate::error::{Error, Result};
use crate::model::client::Client;
use crate::model::credential::{AccountChoice, Credential};
use crate::model::token_set::TokenSet;
use crate::model::variable::{GivenValue, Lookup, Variable, VariableSource, scalar};
use crate::protocol::answer::denies;
use crate::protocol::dialect::lookup::find;
use crate::store::StoreError;

/// How long after its beginning a call may still begin a look-up, which takes 4 s at most: the function's time limit must
/// not cut it off.
const ASK_WITHIN: Duration = Duration::from_secs(12);
/// How long nothing is looked up after a look-up that brought nothing: where nothing works without it, and elsewhere.
const AGAIN_NEEDED: chrono::Duration = chrono::Duration::seconds(30);
const AGAIN_OPTIONAL: chrono::Duration = chrono::Duration::hours(1);
/// The most items of a list that are looked at, the most that are offered, and the longest name and value of one.
const MAX_ITEMS: usize = 2000;
const MAX_CHOICES: usize = 200;
const MAX_LABEL: usize = 120;
const MAX_VALUE: usize = 256;

/// The variables whose values are looked up or chosen.
pub(super) fn found_later(client: &Client) -> impl Iterator<Item = &Variable> {
    let later = |variable: &&Variable| matches!(variable.source, VariableSource::Lookup | VariableSource::Choice);
    client.settings.variables.iter().filter(later)
}

/// Those of them that a credential does not have yet.
fn missing<'c>(client: &'c Client, credential: &Credential) -> Vec<&'c Variable> {
    found_later(client).filter(|variable| !credential.variables.contains_key(&variable.key)).collect()
}

/// Whether the owner has yet to choose. A list for a variable that the client has no more is nobody's to choose from.
pub(crate) fn has_open_choice(client: &Client, credential: &Credential) -> bool {
    of_source(client, VariableSource::Choice).any(|variable| credential.choices.contains_key(&variable.key))
}

/// A look-up that brought nothing.
struct Unfound {
    error: Error,
    needed: bool,
}

impl Broker {
    /// Looks up what is missing, within a call that began at `begun`, and puts lists there from which the owner must
    /// choose. What is found is stored. A look-up that brought nothing is made again after a while, not at each read.
    ///
    /// # Errors
    /// [`Error::ProviderUnavailable`] and [`Error::ProviderMisbehaved`] when something is missing without which nothing
    /// works. Anything else that is missing is left out.
    pub(crate) async fn settle(
        &self,
        client: &Client,
        credential: Credential,
        tokens: &TokenSet,
        begun: Instant,
    ) -> Result<Credential> {
        let asked = to_be_asked(client, &credential);
        if asked.is_empty() || credential.is_ended() {
            return Ok(credential);
        }
        let now = self.now();
        let needed = asked.iter().any(|variable| variable.required) && !has_open_choice(client, &credential);
        let pause = if needed { AGAIN_NEEDED } else { AGAIN_OPTIONAL };
        let again_at = credential.looked_up_at.and_then(chrono::DateTime::from_timestamp_millis).map(|at| at + pause);
        let wait = again_at.and_then(|at| (at - now).to_std().ok());
        if wait.is_some() || begun.elapsed() >= ASK_WITHIN {
            let what = "what it is asked about an account is not known yet";
            return if needed {
                Err(Error::ProviderUnavailable { what, retry_after: Some(wait.unwrap_or(Duration::from_secs(1))) })
            } else {
                Ok(credential)
            };
        }
        let mut new = credential.clone();
        let unfound = self.look_up(client, &mut new, tokens, begun).await;
        new.looked_up_at = unfound.is_some().then(|| now.timestamp_millis());
        let settled = self.keep_settled(&credential, new).await?;
        // What the owner must choose goes before what could not be found.
        let waits = has_open_choice(client, &settled);
        match unfound {
            Some(Unfound { error, needed: true }) if !waits => Err(error),
            // A refresh or another grant was stored first, and this was not.
            None if !waits && to_be_asked(client, &settled).iter().any(|variable| variable.required) => {
                let what = "the credential changed while it was asked about an account";
                Err(Error::ProviderUnavailable { what, retry_after: Some(Duration::from_secs(1)) })
            }
            Some(Unfound { error, .. }) => {
                tracing::info!(credential = %settled.id, %error, "a value of a grant was not found");
                Ok(settled)
            }
            None => Ok(settled),
        }
    }

    /// As [`Broker::settle`], right after a grant was stored: what is not found is looked for at the first read.
    pub(crate) async fn settle_quietly(&self, client: &Client, credential: Credential, begun: Instant) -> Credential {
        if missing(client, &credential).is_empty() {
            return credential;
        }
        let tokens = match self.open_tokens(&credential).await {
            Ok(tokens) if !tokens.access_token.is_empty() => tokens,
            _ => return credential,
        };
        let (project, id) = (credential.project.clone(), credential.id.clone());
        match self.settle(client, credential.clone(), &tokens, begun).await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::warn!(credential = %id, %error, "values of a grant were not looked up");
                // Another look-up may have been stored.
                self.store().find_credential(&project, &id).await.ok().flatten().unwrap_or(credential)
            }
        }
    }

    /// Stores what was found. Where another call or another grant was first, what is stored counts.
    async fn keep_settled(&self, old: &Credential, new: Credential) -> Result<Credential> {
        if new == *old {
            return Ok(new);
        }
        match self.store().update_credential(old, &new).await {
            Ok(()) => Ok(new),
            Err(StoreError::Changed) => {
                let found = self.store().find_credential(&old.project, &old.id).await?;
                found.ok_or(Error::NotFound)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts what is found into `new`. What was not found first, and whether anything works without it.
    async fn look_up(
        &self,
        client: &Client,
        new: &mut Credential,
        tokens: &TokenSet,
        begun: Instant,
    ) -> Option<Unfound> {
        let mut unfound: Option<Unfound> = None;
        for variable in to_be_asked(client, new) {
            let found = match begun.elapsed() < ASK_WITHIN {
                true => self.look_up_one(client, new, tokens, variable).await,
                false => {
                    Err(Error::ProviderUnavailable { what: "there was no time left to look it up", retry_after: None })
                }
            };
            if let Err(error) = found
                && unfound.as_ref().is_none_or(|first| variable.required && !first.needed)
            {
                unfound = Some(Unfound { error, needed: variable.required });
            }
        }
        unfound
    }

    async fn look_up_one(
        &self,
        client: &Client,
        new: &mut Credential,
        tokens: &TokenSet,
        variable: &Variable,
    ) -> Result<()> {
        let Some(lookup) = &variable.lookup else { return Ok(()) };
        let answer = self.ask_lookup(client, new, tokens, lookup).await?;
        let Some(items) = &lookup.items else {
            let value = find(&answer, &lookup.value).and_then(scalar);
            let value = value.ok_or(Error::ProviderMisbehaved("a look-up at its API brought no value"))?;
            let value = variable.take(&value);
            let value = value
                .map_err(|_| Error::ProviderMisbehaved("a look-up at its API brought a value that is not allowed"))?;
            new.variables.insert(variable.key.clone(), value);
            return Ok(());
        };
        let list = find(&answer, items).filter(|list| list.is_array() || list.is_object());
        let list = list.ok_or(Error::ProviderMisbehaved("a look-up at its API brought no list"))?;
        let offered = choices(client, variable, list, lookup);
        let before = new.former.get(&variable.key);
        let again = offered.iter().find(|choice| before == Some(&choice.value));
        match (again, before, offered.as_slice()) {
            (_, _, []) => Err(Error::ProviderMisbehaved("the grant covers no account from which one could be chosen")),
            (Some(chosen), ..) => {
                take_choice(client, new, variable, chosen.clone());
                Ok(())
            }
            // Where another account was chosen before, the owner says whether this one takes its place.
            (None, None, [chosen]) => {
                take_choice(client, new, variable, chosen.clone());
                Ok(())
            }
            _ => {
                new.choices.insert(variable.key.clone(), offered);
                Ok(())
            }
        }
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
            200..=299 => {
                let not_json = "a look-up at its API was answered with something other than JSON";
                let said: Value =
                    serde_json::from_slice(&answer.body).map_err(|_| Error::ProviderMisbehaved(not_json))?;
                // A success that carries an error is none.
                if denies(&said, None) {
                    Err(Error::ProviderMisbehaved("a look-up at its API was refused"))
                } else {
                    Ok(said)
                }
            }
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
        // A list for a variable that the client has no more is nobody's to choose from.
        new.choices.retain(|key, _| of_source(client, VariableSource::Choice).any(|variable| variable.key == *key));
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
                Some(chosen) => take_choice(client, &mut new, variable, chosen),
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
            return Err(Error::Conflict {
                code: "token_expired",
                detail: "What can be chosen is asked with the access token, and that has expired.".to_owned(),
                advice: &["Refresh the credential (POST /v1/credentials/{id}/refresh), then choose again."],
            });
        }
        let Some(lookup) = &variable.lookup else { return Ok(Vec::new()) };
        let tokens = self.open_tokens(credential).await?;
        let answer = self.ask_lookup(client, credential, &tokens, lookup).await?;
        let items = lookup.items.as_deref().and_then(|items| find(&answer, items));
        Ok(items.map(|items| choices(client, variable, items, lookup)).unwrap_or_default())
    }
}

/// The missing variables that have a look-up of their own and no list yet; others come with an item of somebody else's.
fn to_be_asked<'c>(client: &'c Client, credential: &Credential) -> Vec<&'c Variable> {
    let has_url = |variable: &Variable| variable.lookup.as_ref().is_some_and(|lookup| lookup.url.is_some());
    let asked = |variable: &&Variable| has_url(variable) && !credential.choices.contains_key(&variable.key);
    missing(client, credential).into_iter().filter(asked).collect()
}

/// The variables that come with an item of this one's list.
fn followers<'c>(client: &'c Client, variable: &'c Variable) -> impl Iterator<Item = (&'c Variable, &'c Lookup)> {
    client.settings.variables.iter().filter_map(|follower| {
        let lookup = follower.lookup.as_ref()?;
        (lookup.with.as_deref() == Some(variable.key.as_str())).then_some((follower, lookup))
    })
}

/// What is chosen replaces what was chosen before, with everything that came along.
fn take_choice(client: &Client, credential: &mut Credential, variable: &Variable, chosen: AccountChoice) {
    for (follower, _) in followers(client, variable) {
        credential.variables.remove(&follower.key);
    }
    credential.variables.insert(variable.key.clone(), chosen.value);
    credential.variables.extend(chosen.with);
    credential.choices.remove(&variable.key);
}

/// The items of a list that can be chosen. One that is no value of the variable, or that lacks something without which it
/// would be of no use, is not among them.
fn choices(client: &Client, variable: &Variable, items: &Value, lookup: &Lookup) -> Vec<AccountChoice> {
    let taken = |variable: &Variable, value: Option<&Value>| {
        let value = value.and_then(scalar).filter(|value| value.len() <= MAX_VALUE)?;
        variable.take(&value).ok()
    };
    let choice = |item: &Value| {
        // A list may hold the values themselves.
        let place = |place: &str| if item.is_object() { find(item, place) } else { Some(item) };
        let value = taken(variable, place(&lookup.value))?;
        let label = lookup.label.as_deref().and_then(|label| place(label).and_then(scalar));
        let mut with = BTreeMap::new();
        for (follower, lookup) in followers(client, variable) {
            match taken(follower, find(item, &lookup.value)) {
                Some(value) => drop(with.insert(follower.key.clone(), value)),
                None if follower.required => return None,
                None => {}
            }
        }
        Some(AccountChoice { label: label.map_or_else(|| value.clone(), |label| shown(&label)), with, value })
    };
    let items: Vec<&Value> = match items {
        Value::Array(items) => items.iter().take(MAX_ITEMS).collect(),
        Value::Object(items) => items.values().take(MAX_ITEMS).collect(),
        _ => Vec::new(),
    };
    let mut offered: Vec<AccountChoice> = Vec::new();
    for choice in items.into_iter().filter_map(choice) {
        if offered.len() == MAX_CHOICES {
            tracing::warn!(client = %client.id, variable = %variable.key, "a list of accounts was cut to the first 200");
            break;
        }
        if !offered.iter().any(|known| known.value == choice.value) {
            offered.push(choice);
        }
    }
    offered
}

/// Words of the provider's, cut to one line of text.
fn shown(label: &str) -> String {
    label.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LABEL).collect()
}
