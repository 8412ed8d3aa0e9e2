//! A grant that was just given, on its way to the vault and the store: the same for every way to get one.

use serde_json::{Map, Value};

use super::Broker;
use super::answered::accepted_of;
use super::inputs::Inputs;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::model::client::{Client, GrantType};
use crate::model::credential::{Account, AccountKind, Credential, CredentialKind, CredentialStatus, Schedule};
use crate::model::ids::{CredentialId, ProjectId};
use crate::model::token_set::TokenSet;
use crate::protocol::scope;
use crate::protocol::token::TokenAnswer;
use crate::refresh::commit::SCOPE_EXCEEDED;
use crate::refresh::persist;
use crate::refresh::suspended::{ACCOUNT_UNVERIFIED, BY_OWNER, BY_SUPERUSER};
use crate::refresh::sweep::Work;
use crate::secret::Secret;
use crate::vault::Place;

/// A grant that was just given.
#[derive(Clone)]
pub(crate) struct NewGrant<'a> {
    pub(crate) project: &'a ProjectId,
    pub(crate) owner: &'a str,
    pub(crate) client: &'a Client,
    pub(crate) grant: GrantType,
    pub(crate) requested_scopes: &'a [String],
    /// What the owner gave.
    pub(crate) inputs: Inputs,
    /// The origins that its secrets may be sent to.
    pub(crate) bound_origin: String,
    /// Whose account it is, when that is known.
    pub(crate) account: Option<Account>,
    /// What was said on the way, besides the token answer.
    pub(crate) extra: Map<String, Value>,
    /// Why it is put aside until its owner accepts it, when it is.
    pub(crate) aside: Option<&'static str>,
}

/// A grant that is in the vault and not in the store yet.
pub(crate) struct Staged {
    pub(crate) tokens: TokenSet,
    schedule: Schedule,
    pointer: String,
    attempt: String,
}

impl NewGrant<'_> {
    /// The token set of an answer.
    pub(crate) fn tokens(&self, answer: TokenAnswer, generation: u64, now: Timestamp) -> (TokenSet, Schedule) {
        let refresh_token = answer.refresh_token.filter(|_| self.grant != GrantType::ClientCredentials);
        let refreshable = refresh_token.is_some() || self.grant != GrantType::AuthorizationCode;
        let schedule = Schedule::plan(now, answer.expires_in, &self.client.lifetimes(None), refreshable);
        let mut extra = self.extra.clone();
        extra.extend(answer.extra);
        let mut tokens = TokenSet {
            access_token: answer.access_token,
            refresh_token,
            token_type: answer.token_type,
            expires_at: schedule.at_exp.and_then(chrono::DateTime::from_timestamp_millis),
            // RFC 6749 §5.1: without scope in the answer, what was asked is granted.
            scopes: answer.scopes.unwrap_or_else(|| self.requested_scopes.to_vec()),
            generation,
            bound_origin: self.bound_origin.clone(),
            extra,
            inputs: self.inputs.secret.clone(),
        };
        tokens.forget_password();
        (tokens, schedule)
    }

    /// The credential that points at what was staged.
    pub(crate) fn credential(&self, id: CredentialId, name: String, staged: &Staged, now: Timestamp) -> Credential {
        let Staged { tokens, schedule, pointer, attempt } = staged;
        // More than was asked is put aside, kept, and not served until somebody accepts it (N10).
        let beyond = scope::beyond(&tokens.scopes, self.requested_scopes);
        let aside = if beyond.is_empty() { self.aside } else { Some(SCOPE_EXCEEDED) };
        if let Some(reason) = aside {
            tracing::warn!(credential = %id, project = %self.project, reason, ?beyond, security = true, "a grant is put aside");
        }
        let refresh_after = schedule.spread(&id, tokens.generation).refresh_after;
        Credential {
            id,
            project: self.project.clone(),
            name,
            owner: self.owner.to_owned(),
            kind: CredentialKind::Oauth,
            client: Some(self.client.id.clone()),
            grant: self.grant,
            variables: self.inputs.shown.clone(),
            choices: Default::default(),
            former: Default::default(),
            looked_up_at: None,
            projects: Vec::new(),
            labels: Default::default(),
            external_id: None,
            created_at: now,
            status: if aside.is_some() { CredentialStatus::Suspended } else { CredentialStatus::Active },
            status_reason: aside.map(str::to_owned),
            requested_scopes: self.requested_scopes.to_vec(),
            granted_scopes: tokens.scopes.clone(),
            account: self.account.clone(),
            account_kind: match self.grant {
                GrantType::ClientCredentials => AccountKind::Integration,
                _ => AccountKind::Personal,
            },
            bound_origin: self.bound_origin.clone(),
            refreshable: tokens.refresh_token.is_some() || self.grant != GrantType::AuthorizationCode,
            suspended_from: aside.map(|_| CredentialStatus::Active),
            granted_at: Some(now),
            refresh_expires_at: None,
            learned_lifetime: None,
            detached: false,
            evidence: None,
            generation: tokens.generation,
            attempt: attempt.clone(),
            cur: pointer.clone(),
            prev: None,
            prev_until: None,
            fence: 0,
            lease: None,
            intent: None,
            issued_at: now.timestamp_millis(),
            at_exp: schedule.at_exp,
            refresh_after,
            fails: 0,
            backoff_until: None,
            written_until: 0,
            last_refreshed_at: None,
            last_used_at: None,
            warned_of: None,
            due_at: None,
        }
    }

    /// The credential as it is when this grant has replaced the one that it had.
    pub(crate) fn replacing(
        &self,
        base: &Credential,
        staged: &Staged,
        written_until: i64,
        now: Timestamp,
    ) -> Credential {
        let new = self.credential(base.id.clone(), base.name.clone(), staged, now);
        // Who switched it off did not mean one grant of it. That the new one is put aside is news for its owner, though.
        let stays = base.status == CredentialStatus::Suspended
            && match base.shown_reason() {
                Some(BY_SUPERUSER) => true,
                Some(BY_OWNER) => new.status == CredentialStatus::Active,
                _ => false,
            };
        let new = match stays {
            true => Credential {
                status: CredentialStatus::Suspended,
                // What the new grant is put aside for stands behind it, for the time when it is lifted.
                status_reason: base.shown_reason().map(|by| match &new.status_reason {
                    Some(aside) => format!("{by}:{aside}"),
                    None => by.to_owned(),
                }),
                suspended_from: Some(CredentialStatus::Active),
                ..new
            },
            false => new,
        };
        Credential {
            former: accepted_of(self.client, base),
            labels: base.labels.clone(),
            external_id: base.external_id.clone(),
            projects: base.projects.clone(),
            account_kind: base.account_kind,
            // An account that nobody could name is not taken for the one before, except to be compared with the next.
            account: match self.aside {
                Some(ACCOUNT_UNVERIFIED) => base.account.clone(),
                _ => new.account.clone(),
            },
            created_at: base.created_at,
            last_refreshed_at: base.last_refreshed_at,
            written_until,
            ..new
        }
    }
}

impl Broker {
    /// Puts a token set into the vault at the place of a credential. Nobody sees it before the store points at it.
    ///
    /// # Errors
    /// When the vault did not take it, after several tries.
    pub(crate) async fn stage_grant(
        &self,
        project: &ProjectId,
        id: &CredentialId,
        (tokens, schedule): (TokenSet, Schedule),
    ) -> Result<Staged> {
        let attempt = uuid::Uuid::new_v4().to_string();
        let (place, document) = (
            Place::new(project.as_str(), id.as_str()).bound(tokens.generation, tokens.bound_origin.as_str()),
            tokens.to_document(),
        );
        let pointer = persist(|| self.vault().stage(&place, &attempt, &document)).await?;
        Ok(Staged { tokens, schedule, pointer, attempt })
    }

    /// The same token set once more, one generation after what the credential has now.
    pub(crate) async fn stage_again(&self, base: &Credential, staged: Staged) -> Result<Staged> {
        let tokens = TokenSet { generation: base.generation + 1, ..staged.tokens };
        self.stage_grant(&base.project, &base.id, (tokens, staged.schedule)).await
    }

    /// Has a grant ended at the provider that no credential will use: it was refused here, or another took its place.
    ///
    /// # Errors
    /// When vault or store do not take it.
    pub(crate) async fn end_grant(&self, grant: &NewGrant<'_>, mut tokens: TokenSet) -> Result<()> {
        if grant.client.settings.revocation_endpoint.is_none() {
            return Ok(());
        }
        // The client secret that its owner brought is needed to end it.
        for (key, value) in &grant.inputs.secret {
            tokens.inputs.entry(key.clone()).or_insert_with(|| value.clone());
        }
        let schedule = Schedule::NEVER;
        let staged = Staged { tokens, schedule, pointer: String::new(), attempt: String::new() };
        let like = grant.credential(CredentialId::generate(), String::new(), &staged, self.now());
        let apart = self.engine().keep_apart(&like, staged.tokens).await?;
        self.enqueue(Work::from(&apart)).await;
        Ok(())
    }

    /// As [`Broker::end_grant`], for a way out that has an error of its own to give: a failure is logged.
    pub(crate) async fn end_grant_quietly(&self, grant: &NewGrant<'_>, tokens: TokenSet) {
        if let Err(error) = self.end_grant(grant, tokens).await {
            tracing::error!(project = %grant.project, client = %grant.client.id, %error, "a grant that nobody uses was not ended");
        }
    }
}

/// A token set that has only what ends a grant.
pub(crate) fn only_tokens(
    access_token: Secret<String>,
    refresh_token: Option<Secret<String>>,
    bound_origin: String,
) -> TokenSet {
    TokenSet {
        access_token,
        refresh_token,
        token_type: "bearer".to_owned(),
        expires_at: None,
        scopes: Vec::new(),
        generation: 1,
        bound_origin,
        extra: Map::new(),
        inputs: Default::default(),
    }
}
