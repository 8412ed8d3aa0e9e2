//! The vault over AWS Secrets Manager: one secret per place, named `{prefix}/{project}/{id}`.

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client as Sdk;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};

use super::{Place, Prefetched, Vault, VaultError, VaultResult, WriteFloor, is_version};
use crate::secret::Secret;

/// The days that Secrets Manager keeps a deleted secret before it is gone; the shortest it allows.
const RECOVERY_DAYS: i64 = 7;

/// Secrets Manager keeps every version of the last 24 hours and takes about 100 of them; then a secret cannot be written
/// any more. This lets 98 through in any 24 hours.
const WRITE_FLOOR: WriteFloor = WriteFloor { burst: 40, interval_seconds: 1500 };

/// The vault. The pointer is the version id; `AWSCURRENT` is only a guess that saves a round trip.
#[derive(Clone)]
pub struct SecretsManagerVault {
    sdk: Sdk,
    prefix: String,
}

impl SecretsManagerVault {
    /// A vault whose secrets have this prefix.
    pub fn new(sdk: Sdk, prefix: impl Into<String>) -> Self {
        Self { sdk, prefix: prefix.into() }
    }

    fn name(&self, place: &Place) -> String {
        format!("{}/{}/{}", self.prefix, place.project, place.id)
    }

    async fn put(&self, name: &str, version: &str, document: &Secret<String>) -> Result<(), PutFailure> {
        let put =
            self.sdk.put_secret_value().secret_id(name).client_request_token(version).secret_string(document.expose());
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.as_service_error() {
                Some(service) if service.is_resource_not_found_exception() => PutFailure::NoSecret,
                Some(service) if service.is_resource_exists_exception() => PutFailure::Vault(VaultError::VersionTaken),
                Some(service) if service.is_invalid_request_exception() => PutFailure::Deleted,
                _ => PutFailure::Vault(unavailable(&error)),
            }),
        }
    }

    async fn create(&self, name: &str) -> VaultResult<()> {
        match self.sdk.create_secret().name(name).send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Another call, or the SDK's own repetition, was first.
                Some(service) if service.is_resource_exists_exception() => Ok(()),
                _ => Err(unavailable(&error)),
            },
        }
    }

    async fn restore(&self, name: &str) -> VaultResult<()> {
        self.sdk.restore_secret().secret_id(name).send().await.map(drop).map_err(|error| unavailable(&error))
    }
}

enum PutFailure {
    NoSecret,
    /// It is to be deleted, and until then takes nothing.
    Deleted,
    Vault(VaultError),
}

/// Logs the code of a failure and nothing else of it.
fn unavailable<E: ProvideErrorMetadata>(error: &SdkError<E>) -> VaultError {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
    tracing::warn!(dependency = "secretsmanager", code, "the vault did not do what it was asked");
    VaultError::Unavailable
}

#[async_trait]
impl Vault for SecretsManagerVault {
    async fn prefetch(&self, place: &Place) -> Prefetched {
        let answer = self.sdk.get_secret_value().secret_id(self.name(place)).send().await;
        match answer.map(|answer| (answer.version_id, answer.secret_string)) {
            Ok((Some(version), Some(document))) => Prefetched::Newest { version, document: Secret::new(document) },
            // `open` asks again and then reports why.
            _ => Prefetched::Nothing,
        }
    }

    async fn open(&self, place: &Place, pointer: &str, prefetched: Prefetched) -> VaultResult<Secret<String>> {
        if let Prefetched::Newest { version, document } = prefetched
            && version == pointer
        {
            return Ok(document);
        }
        let answer = self.sdk.get_secret_value().secret_id(self.name(place)).version_id(pointer).send().await;
        match answer {
            Ok(answer) => answer.secret_string.map(Secret::new).ok_or(VaultError::Missing),
            Err(error) => Err(match error.as_service_error() {
                Some(service)
                    if service.is_resource_not_found_exception() || service.is_invalid_request_exception() =>
                {
                    VaultError::Missing
                }
                _ => unavailable(&error),
            }),
        }
    }

    async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String> {
        if !is_version(version) {
            return Err(VaultError::BadVersion);
        }
        let name = self.name(place);
        match self.put(&name, version, document).await {
            Ok(()) => return Ok(version.to_owned()),
            Err(PutFailure::Vault(error)) => return Err(error),
            Err(PutFailure::NoSecret) => self.create(&name).await?,
            // Its documents were moved to another vault less than the days ago that it is kept for.
            Err(PutFailure::Deleted) => self.restore(&name).await?,
        }
        match self.put(&name, version, document).await {
            Ok(()) => Ok(version.to_owned()),
            Err(PutFailure::Vault(error)) => Err(error),
            Err(PutFailure::NoSecret | PutFailure::Deleted) => Err(VaultError::Unavailable),
        }
    }

    fn write_floor(&self) -> Option<WriteFloor> {
        Some(WRITE_FLOOR)
    }

    async fn delete(&self, place: &Place) -> VaultResult<()> {
        let delete = self.sdk.delete_secret().secret_id(self.name(place)).recovery_window_in_days(RECOVERY_DAYS);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // Gone, or to be deleted already.
                Some(service)
                    if service.is_resource_not_found_exception() || service.is_invalid_request_exception() =>
                {
                    Ok(())
                }
                _ => Err(unavailable(&error)),
            },
        }
    }
}
