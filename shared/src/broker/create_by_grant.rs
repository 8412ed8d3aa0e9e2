//! Makes a credential by a grant that needs no consent: the client's own, or a password.

use std::collections::BTreeMap;

use serde_json::Map;
use tokio::time::Instant;

use super::Broker;
use super::create_credential::{Head, NewCredential, required};
use super::fields::Fields;
use super::inputs::Inputs;
use super::new_grant::{NewGrant, only_tokens};
use super::open_session::check_scope;
use crate::clock::Timestamp;
use crate::error::{Error, FieldError, Result};
use crate::model::client::{Client, GrantType};
use crate::model::credential::{Credential, Schedule};
use crate::model::project::Project;
use crate::model::token_set::TokenSet;
use crate::model::variable::GivenValue;
use crate::secret::Secret;

impl Broker {
    /// Fetches a token, unless that is not wanted, and makes the credential.
    pub(crate) async fn create_by_grant(
        &self,
        project: &Project,
        head: Head,
        new: NewCredential,
    ) -> Result<Credential> {
        let begun = Instant::now();
        let client = self.usable_client(&project.id, &required(new.client, "/client")?).await?;
        let grant = required(new.grant_type, "/grant_type")?;
        check_grant(&client, grant)?;
        check_policy(project, grant)?;
        let inputs =
            self.accept_grant_inputs(&client, grant, new.variables.unwrap_or_default(), new.username, new.password)?;
        let scopes = wanted_scopes(&client, project, new.scopes.unwrap_or_default())?;
        let scopes = client.settings.render_scopes(scopes, &inputs.shown);
        let resolved = self.resolve_inputs(&client, &inputs, "/variables")?;
        self.check_name(&head).await?;

        let asked = NewGrant {
            project: &project.id,
            owner: &head.owner.clone(),
            client: &client,
            grant,
            requested_scopes: &scopes,
            inputs,
            bound_origin: resolved.origins(),
            account: None,
            extra: Map::new(),
            aside: None,
        };
        if new.verify == Some(false) {
            // Without a token nothing is granted yet.
            let ungranted = |made| Credential { granted_scopes: Vec::new(), ..made };
            return self.store_grant(&asked, head, unfetched(&asked, self.now()), ungranted).await;
        }
        let fetched = self.fetch_tokens(&client, &resolved, &asked.inputs, grant, &scopes).await?;
        let answer = fetched.outcome?;
        let says_its_end = answer.expires_in.is_some();
        let (inputs, bound_origin) = self.bind_answer(&client, &asked.inputs, &resolved, &answer.extra);
        let account = match grant {
            GrantType::Password => {
                self.ask_account(&client, &resolved, &inputs, &answer.access_token, &answer.extra).await
            }
            _ => None,
        };
        let asked = NewGrant { account, inputs, bound_origin, ..asked };
        let stored = self.store_grant(&asked, head, asked.tokens(answer, 1, self.now()), |made| made).await?;
        self.engine().record(&stored, 0, "fetch", fetched.began, &fetched.exchanges, None).await;
        let stored = if says_its_end { stored } else { self.learn_expiry(&client, &resolved, stored).await };
        Ok(self.settle_quietly(&client, stored, begun).await)
    }

    /// What was given for a grant: user name and password may stand beside the variables or among them.
    pub(crate) fn accept_grant_inputs(
        &self,
        client: &Client,
        grant: GrantType,
        mut variables: BTreeMap<String, GivenValue>,
        username: Option<Secret<String>>,
        password: Option<Secret<String>>,
    ) -> Result<Inputs> {
        let mut fields = Fields::default();
        let mut beside = Vec::new();
        for (key, value) in [("username", username), ("password", password)] {
            let Some(value) = value else {
                if !variables.contains_key(key) {
                    beside.push(key);
                }
                continue;
            };
            beside.push(key);
            if variables.insert(key.to_owned(), GivenValue::from(value.expose().as_str())).is_some() {
                fields.wrong(&format!("/{key}"), "given_twice", "It is among the variables as well.");
            }
        }
        fields.done()?;
        self.accept_inputs(client, grant, variables, "/variables").map_err(|error| match error {
            Error::Invalid(errors) => {
                // What is wrong with a field is said where the field is.
                let moved =
                    |error: FieldError| match beside.iter().find(|key| error.pointer == format!("/variables/{key}")) {
                        Some(key) => FieldError { pointer: format!("/{key}"), ..error },
                        None => error,
                    };
                Error::Invalid(errors.into_iter().map(moved).collect())
            }
            other => other,
        })
    }
}

/// The token set of a grant for which nobody was asked yet. It is over as soon as it is there, so it is never served.
fn unfetched(new: &NewGrant<'_>, now: Timestamp) -> (TokenSet, Schedule) {
    let at = Some(now.timestamp_millis());
    let tokens = TokenSet {
        scopes: new.requested_scopes.to_vec(),
        expires_at: Some(now),
        inputs: new.inputs.secret.clone(),
        ..only_tokens("".into(), None, new.bound_origin.clone())
    };
    (tokens, Schedule { at_exp: at, refresh_after: at, slack: 0 })
}

/// Whether the client has this grant, and whether it can be had without a browser.
fn check_grant(client: &Client, grant: GrantType) -> Result<()> {
    if !matches!(grant, GrantType::ClientCredentials | GrantType::Password) {
        let rule = "This grant needs the person: open a connect session (POST /v1/connect-sessions).";
        return Err(Error::field("/grant_type", "needs_consent", rule));
    }
    if !client.settings.offers(grant) {
        let rule = format!("The client does not offer {}: ask the superuser to add it.", grant.as_str());
        return Err(Error::field("/grant_type", "grant_not_offered", rule));
    }
    Ok(())
}

/// RFC 9700 §2.4: passwords are not to be handed to clients. A project says so when it must be.
pub(crate) fn check_policy(project: &Project, grant: GrantType) -> Result<()> {
    if grant == GrantType::Password && !project.policies.allow_password_grant {
        return Err(Error::PolicyForbids {
            code: "password_grant_not_allowed",
            detail: "This project does not allow the password grant.".to_owned(),
        });
    }
    Ok(())
}

/// The client's required scopes, then those that were asked for, each once.
fn wanted_scopes(client: &Client, project: &Project, asked: Vec<String>) -> Result<Vec<String>> {
    let mut fields = Fields::default();
    fields.scopes("/scopes", &asked);
    for (index, scope) in asked.iter().enumerate() {
        let known = client.settings.scopes.allows(scope);
        check_scope(&mut fields, &format!("/scopes/{index}"), project, scope, known);
    }
    for scope in &client.settings.scopes.required {
        check_scope(&mut fields, "/client", project, scope, true);
    }
    fields.done()?;
    let mut scopes: Vec<String> = Vec::new();
    for scope in client.settings.scopes.required.iter().cloned().chain(asked) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}
