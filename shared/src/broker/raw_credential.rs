//! Raw credentials: a JSON document of the owner's is stored, read by programs, and replaced.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Broker;
use super::create_credential::{Head, NewCredential, required};
use super::open_session::name_taken;
use crate::error::{Error, Result};
use crate::model::client::GrantType;
use crate::model::credential::{AccountKind, Credential, CredentialKind, CredentialStatus};
use crate::model::ids::CredentialId;
use crate::model::raw_value::RawValue;
use crate::refresh::persist;
use crate::secret::Secret;
use crate::store::Replacement;
use crate::telemetry;
use crate::vault::{Place, Prefetched};

/// How often a replacement is tried while others replace it, too.
const ROUNDS: u32 = 5;

/// A raw credential as programs get it.
pub struct RawDelivery {
    /// The document.
    pub body: Value,
    /// Which generation it is.
    pub generation: u64,
    /// The API that it is for.
    pub api_base_url: Option<String>,
    /// Headers of a request to the API, ready to be sent.
    pub headers: BTreeMap<String, Secret<String>>,
}

/// What replaces a raw value; what is `None` stays.
pub(crate) struct RawChange {
    pub(crate) body: Value,
    pub(crate) schema: Option<Option<Value>>,
    pub(crate) api_base_url: Option<Option<String>>,
    pub(crate) headers: Option<BTreeMap<String, String>>,
}

impl Broker {
    pub(crate) async fn create_raw(&self, head: Head, new: NewCredential) -> Result<Credential> {
        let body = required(new.body, "/body")?;
        let value = RawValue::new(body, new.schema, new.api_base_url, new.headers.unwrap_or_default());
        let value = value.accept().map_err(Error::Invalid)?;
        self.check_name(&head).await?;

        let (id, now, attempt) = (CredentialId::generate(), self.now(), uuid::Uuid::new_v4().to_string());
        let (place, document) = (Place::new(head.project.as_str(), id.as_str()).bound(1, ""), value.to_document());
        let cur = persist(|| self.vault().stage(&place, &attempt, &document)).await?;
        let Head { project, name, owner, projects, labels, external_id } = head;
        let credential = Credential {
            id,
            project,
            name,
            owner,
            kind: CredentialKind::Raw,
            client: None,
            grant: GrantType::default(),
            variables: BTreeMap::new(),
            choices: Default::default(),
            former: Default::default(),
            looked_up_at: None,
            projects,
            labels,
            external_id,
            created_at: now,
            status: CredentialStatus::Active,
            status_reason: None,
            requested_scopes: Vec::new(),
            granted_scopes: Vec::new(),
            account: None,
            account_kind: AccountKind::Personal,
            bound_origin: String::new(),
            refreshable: false,
            suspended_from: None,
            granted_at: Some(now),
            refresh_expires_at: None,
            learned_lifetime: None,
            detached: false,
            evidence: None,
            generation: 1,
            attempt,
            cur,
            prev: None,
            prev_until: None,
            fence: 0,
            lease: None,
            intent: None,
            issued_at: now.timestamp_millis(),
            at_exp: None,
            refresh_after: None,
            written_until: 0,
            fails: 0,
            backoff_until: None,
            last_refreshed_at: None,
            last_used_at: None,
            warned_of: None,
            due_at: None,
        };
        if self.add_credential(&credential).await? {
            tracing::info!(credential = %credential.id, project = %credential.project, "raw credential made");
            Ok(credential)
        } else {
            Err(name_taken())
        }
    }

    /// The committed value of a raw credential.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub(crate) async fn open_raw(&self, credential: &Credential, prefetched: Prefetched) -> Result<RawValue> {
        let place = credential.place(credential.generation);
        let document = self.vault().open(&place, &credential.cur, prefetched).await?;
        RawValue::from_document(&document).ok_or(Error::Internal("a raw value cannot be read"))
    }

    /// A raw credential for a program. Whether the caller may have it was checked before.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub(crate) async fn read_raw(&self, credential: &Credential, prefetched: Prefetched) -> Result<RawDelivery> {
        let value = self.open_raw(credential, prefetched).await?;
        let headers = value.render_headers().map_err(|_| Error::Internal("headers that were checked do not fit"))?;
        telemetry::count("TokenRead", "served", self.now());
        Ok(RawDelivery {
            body: value.body,
            generation: credential.generation,
            api_base_url: value.api_base_url,
            headers,
        })
    }

    /// Replaces the document, after it was checked against what it has to keep to.
    ///
    /// # Errors
    /// [`Error::Invalid`], and everything is as it was; [`Error::RefreshedTooOften`].
    pub(crate) async fn replace_raw(&self, mut base: Credential, change: &RawChange) -> Result<Credential> {
        let owner = base.owner.clone();
        for _ in 0..ROUNDS {
            let now = self.now();
            let old = self.open_raw(&base, Prefetched::Nothing).await?;
            let value = RawValue::new(
                change.body.clone(),
                change.schema.clone().unwrap_or(old.schema),
                change.api_base_url.clone().unwrap_or(old.api_base_url),
                change.headers.clone().unwrap_or(old.headers),
            );
            let value = value.accept().map_err(Error::Invalid)?;
            self.check_write_floor(&base)?;
            let attempt = uuid::Uuid::new_v4().to_string();
            let (place, document) = (base.place(base.generation + 1), value.to_document());
            let cur = persist(|| self.vault().stage(&place, &attempt, &document)).await?;
            let floor = self.vault().write_floor();
            let new = Credential {
                generation: base.generation + 1,
                attempt,
                cur,
                status: CredentialStatus::Active,
                status_reason: None,
                granted_at: Some(now),
                issued_at: now.timestamp_millis(),
                written_until: floor.map_or(0, |floor| floor.spend(base.written_until, now.timestamp_millis())),
                ..base.clone()
            };
            match persist(|| self.store().replace_grant(None, &base, &new, now)).await? {
                Replacement::Done => {
                    tracing::info!(credential = %new.id, generation = new.generation, "raw value replaced");
                    return Ok(Credential { fence: base.fence + 1, ..new });
                }
                Replacement::Changed | Replacement::Lost => {
                    base = self.store().find_credential(&base.project, &base.id).await?.ok_or(Error::NotFound)?;
                    super::credential_value::check_usable(&base)?;
                    if base.owner != owner {
                        return Err(super::find_credential::not_the_owner());
                    }
                }
            }
        }
        Err(crate::store::StoreError::Changed.into())
    }

    /// Whether the vault takes one more version at the credential's place.
    ///
    /// # Errors
    /// [`Error::RefreshedTooOften`].
    pub(crate) fn check_write_floor(&self, credential: &Credential) -> Result<()> {
        let Some(floor) = self.vault().write_floor() else { return Ok(()) };
        match floor.wait(credential.written_until, self.now().timestamp_millis()) {
            Some(wait) => Err(Error::RefreshedTooOften { retry_after: wait.to_std().unwrap_or_default() }),
            None => Ok(()),
        }
    }
}
