//! The vault of sealed documents: AES-256-GCM in the table of the store, under keys that are in Secrets Manager.
//!
//! Each version is an item of its own that is written once: partition `V#{project}#{id}`, sort key `DOC#{version}`, the
//! number of the sealing key and the sealed octets. It is durable before anything points at it, as a version in Secrets
//! Manager is.
//!
//! The key of a document is derived from the sealing key of its project for its one credential, so that the bound on
//! random nonces (2^32 documents under one key, NIST SP 800-38D §8.3) counts for each credential by itself. Bound to it
//! as associated data are project, credential, field, version, key, generation and the origins that its secrets may go
//! to: an item that is copied to another place in the table does not open there.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client as Sdk;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_secretsmanager::Client as SecretsManager;

use super::aead::{open, row, seal};
use super::sealing_key::{SealingKey, SealingKeys};
use super::{Place, Prefetched, Vault, VaultError, VaultResult, is_version};
use crate::clock::Clock;
use crate::error::Error;
use crate::secret::Secret;

/// The form of the associated data; another form gets another name.
const FORM: &[u8] = b"grantkeeper/sealed/1";
/// What of a credential is sealed. The only field there is.
const FIELD: &[u8] = b"document";

type Item = HashMap<String, AttributeValue>;

/// The vault. The pointer is the version id.
#[derive(Clone)]
pub struct SealedVault {
    sdk: Sdk,
    table: String,
    keys: Arc<SealingKeys>,
}

/// An item as it is read.
struct Kept {
    key: u32,
    data: Vec<u8>,
}

impl SealedVault {
    /// A vault in this table, with keys under this prefix of Secrets Manager.
    pub fn new(
        sdk: Sdk,
        table: impl Into<String>,
        secrets: SecretsManager,
        prefix: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keys = SealingKeys::new(secrets, prefix.into(), clock);
        Self { sdk, table: table.into(), keys: Arc::new(keys) }
    }

    /// Makes a new key for a project and returns its number. What is staged is sealed with it at once in this process, and
    /// in others within five minutes; what was sealed before still opens with the key that sealed it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn rotate(&self, project: &str) -> VaultResult<u32> {
        self.keys.rotate(project).await
    }

    /// Seals a version with the newest key if it was sealed with an older one. The document stays what it is. `false`: it
    /// was sealed with the newest already.
    ///
    /// # Errors
    /// `Missing`, `Broken`, `Unavailable`.
    pub async fn reseal(&self, place: &Place, pointer: &str) -> VaultResult<bool> {
        let kept = self.get(place, pointer, true).await?.ok_or(VaultError::Missing)?;
        let document = self.unseal(place, pointer, &kept).await?;
        let newest = self.keys.newest(&place.project).await?;
        // Another process may know of a newer key than this one.
        if kept.key >= newest.number {
            return Ok(false);
        }
        let put = self
            .sdk
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(place, pointer, &newest, &document)?))
            .condition_expression("#key = :before")
            .expression_attribute_names("#key", "key")
            .expression_attribute_values(":before", AttributeValue::N(kept.key.to_string()));
        match put.send().await {
            Ok(_) => Ok(true),
            // Resealed by another call, or gone.
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn get(&self, place: &Place, pointer: &str, consistent: bool) -> VaultResult<Option<Kept>> {
        let read =
            self.sdk.get_item().table_name(&self.table).set_key(Some(key(place, pointer))).consistent_read(consistent);
        let Some(item) = read.send().await.map_err(|error| unavailable(&error))?.item else { return Ok(None) };
        let number = item.get("key").and_then(|number| number.as_n().ok()?.parse().ok());
        let data = item.get("data").and_then(|data| data.as_b().ok());
        match (number, data) {
            (Some(key), Some(data)) => Ok(Some(Kept { key, data: data.as_ref().to_vec() })),
            _ => Err(broken(place)),
        }
    }

    async fn unseal(&self, place: &Place, version: &str, kept: &Kept) -> VaultResult<Secret<String>> {
        let sealing_key = match self.keys.numbered(&place.project, kept.key).await {
            Err(VaultError::Missing) => return Err(broken(place)),
            read => read?,
        };
        let key = document_key(&sealing_key, place)?;
        open(&key, &bound_to(place, version, kept.key), &kept.data).map_err(|_| broken(place))
    }

    /// The sort keys at a place.
    async fn list(&self, place: &Place) -> VaultResult<Vec<Item>> {
        let (mut keys, mut start) = (Vec::new(), None);
        loop {
            let page = self
                .sdk
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", AttributeValue::S(partition(place)))
                .expression_attribute_values(":prefix", AttributeValue::S("DOC#".to_owned()))
                .projection_expression("pk, sk")
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| unavailable(&error))?;
            keys.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn remove(&self, key: Item) -> VaultResult<()> {
        let delete = self.sdk.delete_item().table_name(&self.table).set_key(Some(key));
        delete.send().await.map(drop).map_err(|error| unavailable(&error))
    }
}

fn partition(place: &Place) -> String {
    format!("V#{}#{}", place.project, place.id)
}

fn key(place: &Place, version: &str) -> Item {
    let parts = [("pk", partition(place)), ("sk", format!("DOC#{version}"))];
    parts.map(|(name, value)| (name.to_owned(), AttributeValue::S(value))).into()
}

fn item(place: &Place, version: &str, sealing_key: &SealingKey, document: &Secret<String>) -> VaultResult<Item> {
    let document_key = document_key(sealing_key, place)?;
    let data = seal(&document_key, &bound_to(place, version, sealing_key.number), document).map_err(unusable)?;
    let mut item = key(place, version);
    item.insert("key".to_owned(), AttributeValue::N(sealing_key.number.to_string()));
    item.insert("data".to_owned(), AttributeValue::B(Blob::new(data)));
    Ok(item)
}

fn document_key(sealing_key: &SealingKey, place: &Place) -> VaultResult<Secret<[u8; 32]>> {
    let info = row(&[b"grantkeeper/document", place.project.as_bytes(), place.id.as_bytes()]);
    sealing_key.source.key(&info).map_err(unusable)
}

/// What a document is bound to.
fn bound_to(place: &Place, version: &str, key: u32) -> Vec<u8> {
    row(&[
        FORM,
        place.project.as_bytes(),
        place.id.as_bytes(),
        FIELD,
        version.as_bytes(),
        &key.to_be_bytes(),
        &place.binding.generation.to_be_bytes(),
        place.binding.bound_origin.as_bytes(),
    ])
}

/// The crypto library failed.
fn unusable(error: Error) -> VaultError {
    tracing::error!(%error, "a document cannot be sealed");
    VaultError::Unavailable
}

fn broken(place: &Place) -> VaultError {
    tracing::error!(project = place.project, id = place.id, security = true, "a sealed document does not open");
    VaultError::Broken
}

fn is_refused<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// Logs the code of a failure and nothing else of it: an SDK error can carry the item.
fn unavailable<E: ProvideErrorMetadata>(error: &SdkError<E>) -> VaultError {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
    tracing::warn!(dependency = "dynamodb", code, "the vault did not do what it was asked");
    VaultError::Unavailable
}

#[async_trait]
impl Vault for SealedVault {
    async fn prefetch(&self, _place: &Place) -> Prefetched {
        Prefetched::Nothing
    }

    async fn open(&self, place: &Place, pointer: &str, _prefetched: Prefetched) -> VaultResult<Secret<String>> {
        // What is there never changes, so a read that may be behind is as good, at half the price; only what it does not
        // find may have been written a moment ago.
        for consistent in [false, true] {
            if let Some(kept) = self.get(place, pointer, consistent).await? {
                return self.unseal(place, pointer, &kept).await;
            }
        }
        Err(VaultError::Missing)
    }

    async fn prepare(&self, place: &Place) -> VaultResult<()> {
        self.keys.newest(&place.project).await.map(drop)
    }

    async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String> {
        if !is_version(version) {
            return Err(VaultError::BadVersion);
        }
        let newest = self.keys.newest(&place.project).await?;
        let put = self
            .sdk
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(place, version, &newest, document)?))
            .condition_expression("attribute_not_exists(pk)");
        match put.send().await {
            Ok(_) => return Ok(version.to_owned()),
            Err(error) if is_refused(&error) => {}
            Err(error) => return Err(unavailable(&error)),
        }
        // It is there already: by an earlier call, or by the SDK's own repetition of this one.
        let kept = self.get(place, version, true).await?.ok_or(VaultError::Unavailable)?;
        match self.unseal(place, version, &kept).await {
            Ok(staged) if staged.matches(document.expose().as_bytes()) => Ok(version.to_owned()),
            // What does not open is another document, too.
            Ok(_) | Err(VaultError::Broken) => Err(VaultError::VersionTaken),
            Err(error) => Err(error),
        }
    }

    async fn forget(&self, place: &Place, pointer: &str) -> VaultResult<()> {
        self.remove(key(place, pointer)).await
    }

    async fn delete(&self, place: &Place) -> VaultResult<()> {
        for key in self.list(place).await? {
            self.remove(key).await?;
        }
        Ok(())
    }
}
