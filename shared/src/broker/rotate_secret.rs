//! Changes the secret of a client with overlap: the new one is tried first, and the others stay until they retire.
//!
//! What flows depend on stays as it is, so a sign-in under way goes on. The record's revision rises, so that neither
//! another rotation nor a change of the client made at the same time is lost.

use chrono::Duration;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::Fields;
use super::validate_client::{check_destination, check_secret};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientSecret, CredentialsFrom};
use crate::model::ids::ClientId;
use crate::model::principal::Role;
use crate::protocol::token::AuthMethod;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::vault::Place;

/// The most secrets that are tried.
const MAX_LIVE: usize = 5;
/// The longest overlap (hours): a year.
const MAX_HOURS: u32 = 8760;
/// How often a change is made again on what another call wrote in the same moment.
const TRIES: u32 = 10;

/// The body of `POST /v1/clients/{id}/secrets`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The secret that the authorization server issued.
    #[schema(value_type = String, write_only)]
    pub client_secret: Secret<String>,
    /// When the provider lets it expire.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// How long the other secrets are still tried (hours): 0 to 8760.
    #[serde(default = "a_day")]
    #[schema(default = 24, maximum = 8760)]
    pub retire_others_after_hours: u32,
}

fn a_day() -> u32 {
    24
}

impl Broker {
    /// Adds a secret that is tried before the others, which retire. Returns its record.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`]; [`Error::Conflict`] `too_many_secrets`, or `token_endpoint_missing` when
    /// nobody knows yet where the secret would go, or `changed_meanwhile` when the client's endpoints were changed in the
    /// same moment.
    pub async fn add_client_secret(&self, caller: &Caller, id: &str, new: NewSecret) -> Result<ClientSecret> {
        caller.require(&[Role::Superuser], "clients:write")?;
        let client = self.read_client(caller, id).await?;
        self.may_change(caller, &client)?;
        let now = self.now();
        let mut fields = Fields::default();
        if new.expires_at.is_some_and(|at| at <= now) {
            fields.wrong("/expires_at", "out_of_range", "It must be in the future.");
        }
        if new.retire_others_after_hours > MAX_HOURS {
            fields.wrong("/retire_others_after_hours", "out_of_range", format!("0 to {MAX_HOURS} hours."));
        }
        check_secret(&mut fields, &client.settings, &new.client_secret);
        if client.settings.token_endpoint.is_some() {
            check_destination(&mut fields, &client.settings);
        }
        fields.done()?;
        let entered_for = client.settings.secret_origins().ok_or_else(|| Error::Conflict {
            code: "token_endpoint_missing",
            detail: "A client secret is bound to the origin of the token endpoint, and this client has none yet."
                .to_owned(),
            advice: &["Set token_endpoint or issuer with PATCH /v1/clients/{id}, then add the secret."],
        })?;
        let retire_at = now + Duration::hours(new.retire_others_after_hours.into());
        // Others that retire at once make room.
        let is_full = |client: &Client| retire_at > now && live(client, now) >= MAX_LIVE;
        if is_full(&client) {
            return Err(too_many());
        }

        // Secret first, then the record that points at it.
        let version = uuid::Uuid::new_v4().to_string();
        let place = Place::new(client.settings.home(), client.id.as_str());
        let pointer = self.vault().stage(&place, &version, &new.client_secret).await?;
        let record = ClientSecret {
            id: pointer,
            added_at: now,
            last_success_at: None,
            retire_at: None,
            expires_at: new.expires_at,
        };
        let added = self
            .change_secrets(&client.id, |client| {
                // It was entered for the endpoints as they were then.
                if client.settings.secret_origins().as_ref() != Some(&entered_for) {
                    return Err(StoreError::Changed.into());
                }
                if is_full(client) {
                    return Err(too_many());
                }
                for other in &mut client.client_secrets {
                    other.retire_at = Some(other.retire_at.map_or(retire_at, |theirs| theirs.min(retire_at)));
                }
                client.client_secrets.insert(0, record.clone());
                client.secret_origin = Some(entered_for.clone());
                Ok(())
            })
            .await;
        if matches!(added, Err(Error::NotFound)) {
            self.vault().delete(&place).await?;
        }
        added?;
        tracing::info!(client = %client.id, secret = %record.id, key = %caller.key.id, "client secret added");
        Ok(record)
    }

    /// Takes a secret away at once.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] `last_secret` when no other could be used.
    pub async fn delete_client_secret(&self, caller: &Caller, id: &str, secret: &str) -> Result<()> {
        caller.require(&[Role::Superuser], "clients:write")?;
        let client = self.read_client(caller, id).await?;
        self.may_change(caller, &client)?;
        let now = self.now();
        self.change_secrets(&client.id, |client| {
            if !client.client_secrets.iter().any(|known| known.id == secret) {
                return Err(Error::NotFound);
            }
            let settings = &client.settings;
            let needed =
                settings.credentials_from == CredentialsFrom::Client && settings.auth_method() != AuthMethod::None;
            let others = client.usable_secrets(now).filter(|usable| usable.id != secret).count();
            let is_usable = client.usable_secrets(now).any(|usable| usable.id == secret);
            if needed && is_usable && others == 0 {
                return Err(Error::Conflict {
                    code: "last_secret",
                    detail: "Without this secret the client could get no tokens.".to_owned(),
                    advice: &[
                        "Add the next secret first: POST /v1/clients/{id}/secrets.",
                        "To stop the client, set its status to disabled with PATCH /v1/clients/{id}.",
                    ],
                });
            }
            client.client_secrets.retain(|known| known.id != secret);
            Ok(())
        })
        .await?;
        tracing::info!(client = %client.id, secret, key = %caller.key.id, "client secret deleted");
        Ok(())
    }

    /// Changes the secrets of a client as it stands now, and nothing that a flow depends on. What another call writes in
    /// the same moment is kept: the change is made again on top of it.
    async fn change_secrets(&self, id: &ClientId, mut change: impl FnMut(&mut Client) -> Result<()>) -> Result<()> {
        for _ in 0..TRIES {
            let mut client = self.store().find_client(id).await?.ok_or(Error::NotFound)?;
            change(&mut client)?;
            client.forget_spent_secrets(self.now());
            client.revision += 1;
            client.updated_at = self.now();
            match self.store().update_client(&client).await {
                Ok(()) => {
                    self.inner.clients.remove(id);
                    return Ok(());
                }
                Err(StoreError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Changed.into())
    }
}

/// How many secrets are still tried.
fn live(client: &Client, now: Timestamp) -> usize {
    client.client_secrets.iter().filter(|secret| secret.is_live(now)).count()
}

fn too_many() -> Error {
    Error::Conflict {
        code: "too_many_secrets",
        detail: format!("The client has {MAX_LIVE} secrets that are still tried."),
        advice: &[
            "Delete one that is not needed any more: last_success_at tells which is in use.",
            "Or wait until one retires.",
        ],
    }
}
