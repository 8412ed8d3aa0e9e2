//! Imports tokens that were obtained elsewhere. Nobody is asked for them, but for their end where that is not known.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Broker;
use super::create_credential::{Head, NewCredential, required};
use super::fields::{Fields, escape};
use super::inputs::Inputs;
use super::new_grant::{NewGrant, only_tokens};
use super::open_session::check_scope;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::client::{Client, GrantType};
use crate::model::credential::{Account, Credential, Schedule};
use crate::model::project::Project;
use crate::model::token_set::TokenSet;
use crate::model::variable::{self, Variable, VariableSource, Visibility, scalar};
use crate::secret::Secret;

/// The longest token (bytes).
const MAX_TOKEN: usize = 16 * 1024;
/// The largest `extra` (bytes of JSON).
const MAX_EXTRA: usize = 16 * 1024;
/// What `extra` must not hold: it is delivered to programs.
const KEPT_APART: [&str; 5] = ["access_token", "refresh_token", "id_token", "client_secret", "password"];

/// Tokens that were obtained elsewhere: at least one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedTokens {
    /// The access token.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub access_token: Option<Secret<String>>,
    /// The refresh token. Whoever had it must not use it any more.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub refresh_token: Option<Secret<String>>,
    /// When the access token expires; it may be over when there is a refresh token.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When the refresh token expires.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub refresh_expires_at: Option<Timestamp>,
    /// What is granted; the client's required scopes when absent.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

/// Whose account at the provider it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportedAccount {
    /// The issuer.
    pub issuer: String,
    /// The account's id there.
    pub subject: String,
}

impl Broker {
    pub(crate) async fn import_credential(
        &self,
        project: &Project,
        head: Head,
        new: NewCredential,
    ) -> Result<Credential> {
        let begun = Instant::now();
        let client = self.usable_client(&project.id, &required(new.client, "/client")?).await?;
        let import = required(new.import, "/import")?;
        let extra = new.extra.unwrap_or_default();
        let now = self.now();
        let scopes = import.scopes.clone().unwrap_or_else(|| client.settings.scopes.required.clone());
        let renewable = import.refresh_token.is_some() && client.settings.offers(GrantType::RefreshToken);

        let mut fields = Fields::default();
        check_tokens(&mut fields, &import, renewable, now);
        check_extra(&mut fields, &extra);
        fields.scopes("/import/scopes", &scopes);
        for (index, scope) in scopes.iter().enumerate() {
            check_scope(&mut fields, &format!("/import/scopes/{index}"), project, scope, true);
        }
        if let Some(account) = &new.account {
            fields.text("/account/issuer", &account.issuer);
            fields.text("/account/subject", &account.subject);
        }
        fields.done()?;
        let grant = GrantType::AuthorizationCode;
        let mut inputs = self.accept_inputs(&client, grant, new.variables.unwrap_or_default(), "/variables")?;
        take_answered(&client, &extra, &mut inputs)?;
        let scopes = client.settings.render_scopes(scopes, &inputs.shown);
        let resolved = self.resolve_inputs(&client, &inputs, "/variables")?;
        self.check_name(&head).await?;

        let account = new.account.map(|ImportedAccount { issuer, subject }| Account {
            issuer,
            subject,
            label: None,
            named_by_api: false,
        });
        let owner = head.owner.clone();
        let refresh_expires_at = import.refresh_expires_at;
        let unknown_end = import.expires_at.is_none() && import.access_token.is_some();
        let grant = NewGrant {
            project: &project.id,
            owner: &owner,
            client: &client,
            grant,
            requested_scopes: &scopes,
            inputs,
            bound_origin: resolved.origins(),
            account,
            extra,
            aside: None,
        };
        let tokens = imported(&grant, import, renewable, now);
        let adjust = |made| Credential { refreshable: renewable, refresh_expires_at, ..made };
        let stored = self.store_grant(&grant, head, tokens, adjust).await?;
        let stored = if unknown_end { self.learn_end(&client, &resolved, stored, false).await } else { stored };
        let alive = stored.is_alive(now);
        Ok(if alive { self.settle_quietly(&client, stored, begun).await } else { stored })
    }
}

fn check_tokens(fields: &mut Fields, import: &ImportedTokens, renewable: bool, now: Timestamp) {
    let ImportedTokens { access_token, refresh_token, expires_at, refresh_expires_at, .. } = import;
    if access_token.is_none() && refresh_token.is_none() {
        fields.wrong("/import", "token_required", "Give an access token, a refresh token, or both.");
    }
    for (pointer, token) in [("/import/access_token", access_token), ("/import/refresh_token", refresh_token)] {
        let is_token = |token: &Secret<String>| {
            let text = token.expose();
            !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if token.as_ref().is_some_and(|token| !is_token(token)) {
            let rule = "A token is visible ASCII without spaces, at most 16 kB (RFC 6749 appendix A.12).";
            fields.wrong(pointer, "not_a_token", rule);
        }
    }
    if refresh_token.is_some() && access_token.is_none() && !renewable {
        let rule = "The client does not offer refresh_token, so a refresh token alone is of no use.";
        fields.wrong("/import/refresh_token", "grant_not_offered", rule);
    }
    if !renewable && access_token.is_some() && expires_at.is_some_and(|at| at <= now) {
        let rule = "The access token is over, and there is nothing to renew it with.";
        fields.wrong("/import/expires_at", "expired", rule);
    }
    if refresh_expires_at.is_some_and(|at| at <= now) {
        fields.wrong(
            "/import/refresh_expires_at",
            "expired",
            "The refresh token is over: the owner must connect again.",
        );
    }
}

fn check_extra(fields: &mut Fields, extra: &Map<String, Value>) {
    for name in KEPT_APART.into_iter().filter(|name| extra.contains_key(*name)) {
        let rule = "Secrets do not belong here: what stands here is delivered to programs.";
        fields.wrong(&format!("/extra/{name}"), "secret_in_extra", rule);
    }
    if !extra.is_empty() && Value::Object(extra.clone()).to_string().len() > MAX_EXTRA {
        fields.wrong("/extra", "too_large", "At most 16 kB of JSON.");
    }
}

/// Variables that the provider's answers supply come from what it said elsewhere.
fn take_answered(client: &Client, extra: &Map<String, Value>, inputs: &mut Inputs) -> Result<()> {
    let mut fields = Fields::default();
    let answered = |variable: &&Variable| variable.source.is_outside();
    for variable in client.settings.variables.iter().filter(answered) {
        let by_place = || variable.said_in(extra);
        let said = extra.get(&variable.key).and_then(scalar).or_else(by_place);
        // What can be looked up or chosen need not be said.
        if said.is_none() && variable.lookup.is_some() {
            continue;
        }
        let said = said.map(|said| variable.cut(&said).to_owned());
        let given: BTreeMap<String, String> = said.map(|said| (variable.key.clone(), said)).into_iter().collect();
        let as_given = Variable { source: VariableSource::Person, visibility: Visibility::Shown, ..variable.clone() };
        match variable::accept(&[as_given], &client.settings.values, &given) {
            Ok(accepted) => {
                inputs.shown.extend(accepted.shown);
                inputs.secret.extend(accepted.secret);
            }
            Err(wrong) => {
                for (key, code, detail) in wrong {
                    fields.wrong(&format!("/extra/{}", escape(&key)), code, detail);
                }
            }
        }
    }
    fields.done()
}

fn imported(grant: &NewGrant<'_>, import: ImportedTokens, renewable: bool, now: Timestamp) -> (TokenSet, Schedule) {
    let life = import.expires_at.map(|at| u64::try_from((at - now).num_seconds()).unwrap_or_default());
    let planned = Schedule::plan(now, life, &grant.client.lifetimes(None), renewable);
    let schedule = match (&import.access_token, import.expires_at) {
        // There is nothing to serve: it is due, and over until then.
        (None, _) => {
            Schedule { at_exp: Some(now.timestamp_millis()), refresh_after: Some(now.timestamp_millis()), slack: 0 }
        }
        // What the importer says is believed, however long it is.
        (Some(_), Some(at)) => Schedule { at_exp: Some(at.timestamp_millis()), ..planned },
        (Some(_), None) => planned,
    };
    let tokens = TokenSet {
        expires_at: schedule.at_exp.and_then(chrono::DateTime::from_timestamp_millis),
        scopes: grant.requested_scopes.to_vec(),
        extra: grant.extra.clone(),
        inputs: grant.inputs.secret.clone(),
        ..only_tokens(
            import.access_token.unwrap_or_else(|| "".into()),
            import.refresh_token,
            grant.bound_origin.clone(),
        )
    };
    (tokens, schedule)
}
