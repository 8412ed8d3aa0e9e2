//! Replaces what an owner gave for a client: user name, password, variables, a client secret of their own.

use std::collections::BTreeMap;

use chrono::Duration;

use super::Broker;
use super::create_by_grant::check_policy;
use super::inputs::{Inputs, implicit};
use super::new_grant::{NewGrant, only_tokens};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus, CredentialsFrom, GrantType};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::event::Event;
use crate::model::token_set::{TokenPair, TokenSet};
use crate::model::variable::{GivenValue, VariableSource, Visibility};
use crate::protocol::token::TokenAnswer;
use crate::refresh::ask::bound_elsewhere;
use crate::refresh::{LEASE_SECONDS, persist};
use crate::secret::Secret;
use crate::store::{AcquireRefresh, Attempted, CommitRefresh, ReleaseRefresh};

impl Broker {
    /// Puts new inputs over those of a grant that needs no consent, if a token can be fetched with them.
    pub(crate) async fn replace_inputs(
        &self,
        base: Credential,
        variables: BTreeMap<String, GivenValue>,
        username: Option<Secret<String>>,
        password: Option<Secret<String>>,
    ) -> Result<Credential> {
        let client = self.client_of_credential(&base).await?;
        if client.status() != ClientStatus::Active {
            return Err(Error::Conflict {
                code: "client_not_active",
                detail: "The client of this credential is disabled or incomplete.".to_owned(),
                advice: &["Ask the superuser to complete or enable the client."],
            });
        }
        let project = self.store().find_project(&base.project).await?.ok_or(Error::NotFound)?;
        check_policy(&project, base.grant)?;
        self.check_write_floor(&base)?;
        let old = self.open_tokens(&base).await?;
        let mut given = kept(&client, &base, &old);
        given.extend(variables);
        for (key, value) in [("username", &username), ("password", &password)] {
            if value.is_some() {
                given.remove(key);
            }
        }
        let mut inputs = self.accept_grant_inputs(&client, base.grant, given, username, password)?;
        keep_answered(&client, &base, &old, &mut inputs);
        let resolved = self.resolve_inputs(&client, &inputs, "/variables")?;
        // What is kept goes nowhere but to the origins that it was entered for (SECURITY.md 24).
        let kept = |key: &String| {
            old.inputs
                .get(key)
                .zip(inputs.secret.get(key))
                .is_some_and(|(old, new)| new.matches(old.expose().as_bytes()))
        };
        if old.inputs.keys().any(kept) && !resolved.origins_are_within(&base.bound_origin) {
            return Err(bound_elsewhere());
        }

        let fetched = self.fetch_tokens(&client, &resolved, &inputs, base.grant, &base.requested_scopes).await?;
        let answer = match fetched.outcome {
            Ok(answer) => answer,
            Err(error) => {
                let number = base.fence + 1;
                self.engine().record(&base, number, "replace", fetched.began, &fetched.exchanges, Some(&error)).await;
                return Err(error);
            }
        };
        let says_its_end = answer.expires_in.is_some();
        let account = match base.grant {
            GrantType::Password => {
                self.ask_account(&client, &resolved, &inputs, &answer.access_token, &answer.extra).await
            }
            _ => None,
        };
        let new = NewGrant {
            project: &base.project,
            owner: &base.owner,
            client: &client,
            grant: base.grant,
            requested_scopes: &base.requested_scopes,
            inputs,
            bound_origin: resolved.origins(),
            account,
            extra: old.extra.clone(),
            aside: None,
        };
        let received = only_tokens(answer.access_token.clone(), answer.refresh_token.clone(), resolved.origins());
        let stored = match self.replace_for_owner(&new, &base, answer).await {
            Ok(stored) => stored,
            // When the store does not answer, the tokens may be the credential's by now.
            Err(error @ Error::Dependency(_)) => return Err(error),
            Err(error) => {
                // Where ending one grant ends all of the account's, the credential's own would go with it.
                let alone = client.settings.revocation_request.revokes_replaced();
                if received.refresh_token.is_some() && alone {
                    self.end_grant_quietly(&new, received).await;
                }
                return Err(error);
            }
        };
        self.engine().record(&stored, stored.fence, "replace", fetched.began, &fetched.exchanges, None).await;
        tracing::info!(credential = %stored.id, generation = stored.generation, "what the owner gave was replaced");
        Ok(if says_its_end { stored } else { self.learn_expiry(&client, &resolved, stored).await })
    }

    /// Commits the new grant over the old one, which is ended where it would outlive its access token: programs may still
    /// hold that one.
    async fn replace_for_owner(
        &self,
        new: &NewGrant<'_>,
        base: &Credential,
        answer: TokenAnswer,
    ) -> Result<Credential> {
        if let (Some(known), Some(brought)) = (&base.account, &new.account)
            && known.is_same(brought) == Some(false)
        {
            return Err(Error::AccountMismatch);
        }
        let tokens = new.tokens(answer, base.generation + 1, self.now());
        let current = TokenPair::of(&tokens.0);
        let (stored, replaced) = self.replace_over(None, new, base, tokens).await?;
        self.end_replaced(new, &replaced, &current, true).await;
        Ok(stored)
    }

    /// Puts a new client secret of the owner's beside tokens that only consent can replace. A refresh would try it, and
    /// spend the refresh token: so it is tried when the next one is due.
    pub(crate) async fn replace_client_secret(
        &self,
        base: Credential,
        mut variables: BTreeMap<String, GivenValue>,
        others: bool,
    ) -> Result<Credential> {
        let client = self.client_of_credential(&base).await?;
        let secret = variables.remove("client_secret");
        let of_person = client.settings.credentials_from == CredentialsFrom::Person && base.may_refresh();
        let Some(secret) = secret.filter(|_| of_person && variables.is_empty() && !others) else {
            return Err(Error::Conflict {
                code: "reauthorization_needed_for_value",
                detail: "The tokens of this credential belong to what the owner consented to.".to_owned(),
                advice: &[
                    "Open a connect session that names this credential (POST /v1/connect-sessions with credential): the owner then gives the new values and consents.",
                ],
            });
        };
        let mut old = self.open_tokens(&base).await?;
        let mut all = kept(&client, &base, &old);
        all.insert("client_secret".to_owned(), secret);
        let mut inputs = self.accept_inputs(&client, base.grant, all, "/variables")?;
        keep_answered(&client, &base, &old, &mut inputs);
        self.resolve_inputs(&client, &inputs, "/variables")?;
        self.check_write_floor(&base)?;

        // Under the lease of a refresh: one that is under way has spent the refresh token that is stored now.
        let acquire = self.acquisition(&base);
        let attempted = self.store().acquire_refresh(&base.project, &base.id, &acquire).await?;
        let Attempted::Applied(held) = attempted else {
            return Err(Error::Refreshing { retry_after: std::time::Duration::from_secs(1) });
        };
        old.inputs = inputs.secret;
        old.generation = held.generation + 1;
        let place = held.place(held.generation + 1);
        let document = old.to_document();
        let cur = match persist(|| self.vault().stage(&place, &acquire.attempt, &document)).await {
            Ok(cur) => cur,
            Err(error) => {
                let release = given_up(&held, &acquire);
                persist(|| self.store().release_refresh(&held.project, &held.id, &release)).await?;
                return Err(error.into());
            }
        };
        let commit = self.same_tokens(&held, &acquire, cur);
        match persist(|| self.store().commit_refresh(&held.project, &held.id, &commit)).await? {
            Attempted::Applied(stored) => {
                tracing::info!(credential = %stored.id, generation = stored.generation, "the owner's client secret was replaced");
                Ok(*stored)
            }
            Attempted::Refused(_) => Err(crate::store::StoreError::Changed.into()),
        }
    }

    fn acquisition(&self, base: &Credential) -> AcquireRefresh {
        let now = self.now();
        AcquireRefresh {
            generation: base.generation,
            owner: uuid::Uuid::new_v4().to_string(),
            attempt: uuid::Uuid::new_v4().to_string(),
            rt_fp: "none".to_owned(),
            now,
            until: now + Duration::seconds(LEASE_SECONDS),
            take_over: None,
            tried: Vec::new(),
            due_before: base.due_at,
        }
    }

    /// A generation with the tokens of the one before, and its times.
    fn same_tokens(&self, held: &Credential, acquire: &AcquireRefresh, cur: String) -> CommitRefresh {
        let now = self.now();
        let floor = self.vault().write_floor();
        CommitRefresh {
            fence: held.fence,
            base_generation: held.generation,
            attempt: acquire.attempt.clone(),
            cur,
            prev: held.cur.clone(),
            prev_until: now.timestamp_millis(),
            issued_at: held.issued_at,
            at_exp: held.at_exp,
            refresh_after: held.refresh_after,
            next_due: held.refresh_after,
            written_until: floor.map_or(0, |floor| floor.spend(held.written_until, now.timestamp_millis())),
            granted_scopes: held.granted_scopes.clone(),
            status: CredentialStatus::Active,
            status_reason: None,
            event: Event::of_change(held, CredentialStatus::Active, None, now),
            now,
        }
    }
}

/// The end of the lease without a new generation: everything is as it was.
fn given_up(held: &Credential, acquire: &AcquireRefresh) -> ReleaseRefresh {
    ReleaseRefresh {
        fence: held.fence,
        attempt: acquire.attempt.clone(),
        keep_intent: None,
        fails: held.fails,
        backoff_until: held.backoff_until,
        status: held.status,
        status_reason: held.status_reason.clone(),
        next_due: acquire.due_before.or(held.refresh_after),
        event: None,
    }
}

/// What the owner gave before, of what the client still asks for.
fn kept(client: &Client, base: &Credential, old: &TokenSet) -> BTreeMap<String, GivenValue> {
    let asks = |key: &String| {
        let implicit = implicit(client, base.grant).iter().any(|asked| asked.key == key);
        let variables = client.settings.variables.iter();
        implicit
            || variables.into_iter().any(|variable| {
                variable.key == *key
                    // What became no secret meanwhile was one when it was given: it is not shown unasked.
                    && variable.secret == old.inputs.contains_key(key)
                    && variable.source == VariableSource::Person
                    && variable.visibility != Visibility::Fixed
            })
    };
    let shown = base.variables.iter().map(|(key, value)| (key, value.as_str()));
    let secret = old.inputs.iter().map(|(key, value)| (key, value.expose().as_str()));
    let known = shown.chain(secret).filter(|(key, _)| asks(key));
    known.map(|(key, value)| (key.clone(), GivenValue::from(value))).collect()
}

/// What the provider's answers said stays with what the owner gave.
fn keep_answered(client: &Client, base: &Credential, old: &TokenSet, inputs: &mut Inputs) {
    for variable in &client.settings.variables {
        if !variable.source.is_outside() {
            continue;
        }
        if let Some(value) = base.variables.get(&variable.key) {
            inputs.shown.insert(variable.key.clone(), value.clone());
        }
        if let Some(value) = old.inputs.get(&variable.key) {
            inputs.secret.insert(variable.key.clone(), value.clone());
        }
    }
}
