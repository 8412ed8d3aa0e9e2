//! Where secrets are kept: client secrets and token sets. The store never holds them.

mod aead;
pub mod both;
pub mod root_key;
pub mod sealed;
mod sealing_key;
pub mod secrets_manager;

use async_trait::async_trait;

use crate::error::Error;
use crate::secret::Secret;

pub use crate::model::place::{Binding, Place};

/// Which vault a stack writes token sets and raw values to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VaultKind {
    /// [`secrets_manager`]: a secret of its own for each credential.
    #[default]
    SecretsManager,
    /// [`sealed`]: items of the table, under keys in Secrets Manager.
    Sealed,
}

impl VaultKind {
    /// Its name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::Sealed => "sealed",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::SecretsManager, Self::Sealed].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a vault could fetch before it was told which version is wanted.
pub enum Prefetched {
    /// Nothing: the vault keeps its documents where the pointer is, or the fetch failed.
    Nothing,
    /// The newest version and its document. It may not be committed yet.
    Newest {
        /// The version.
        version: String,
        /// Its document.
        document: Secret<String>,
    },
}

/// What a vault can fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is no such version.
    #[error("the vault does not have it")]
    Missing,
    /// The version exists with another document.
    #[error("the version was written before with another content")]
    VersionTaken,
    /// The version id is not one the vault can use (32 to 64 characters).
    #[error("the version id cannot be used")]
    BadVersion,
    /// The version is there and does not open: it was changed, or belongs to another place, generation or origin, or the
    /// key that sealed it is gone.
    #[error("what the vault has does not open")]
    Broken,
    /// The vault did not answer, or throttled.
    #[error("the vault is unavailable")]
    Unavailable,
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Unavailable => Self::Dependency("vault"),
            VaultError::Missing => Self::Internal("the vault lacks a committed version"),
            VaultError::Broken => Self::Internal("a committed version does not open"),
            VaultError::VersionTaken | VaultError::BadVersion => Self::Internal("a version id was used wrongly"),
        }
    }
}

/// The result of a vault call.
pub type VaultResult<T> = Result<T, VaultError>;

/// Whether a text can be the id of a version: 32 to 64 characters, as Secrets Manager wants them.
fn is_version(version: &str) -> bool {
    (32..=64).contains(&version.len())
}

/// How often a vault takes a new version at one place: so many at once, and one more each time an interval has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteFloor {
    /// Versions that may be written at once.
    pub burst: u32,
    /// The interval in which one more may be written (seconds).
    pub interval_seconds: u32,
}

impl WriteFloor {
    /// How long to wait before the next version may be written; `None`: not at all. `spent_until` is what
    /// [`WriteFloor::spend`] returned for the last one (unix milliseconds).
    pub fn wait(self, spent_until: i64, now_ms: i64) -> Option<chrono::Duration> {
        let allowance = i64::from(self.burst) * i64::from(self.interval_seconds) * 1000;
        let over = spent_until - now_ms - allowance;
        (over > 0).then(|| chrono::Duration::milliseconds(over))
    }

    /// Counts one more version.
    pub fn spend(self, spent_until: i64, now_ms: i64) -> i64 {
        spent_until.max(now_ms) + i64::from(self.interval_seconds) * 1000
    }
}

/// A vault of documents, each version written once and never changed.
///
/// Obligations, each a contract test:
/// - `stage` makes a version durable before it returns and gives the pointer by which `open` finds it;
/// - staging the same version with the same document again succeeds and gives the same pointer;
/// - staging the same version with another document fails with `VersionTaken` and leaves the first;
/// - `open` gives exactly the document of its pointer, whatever was staged later and whatever was prefetched;
/// - what was staged at one place cannot be opened at another;
/// - after `delete`, `open` fails with `Missing`; what is staged at the place later is kept, and may bring back what was
///   deleted;
/// - what was forgotten may be missing or still there; everything else at the place opens as before.
#[async_trait]
pub trait Vault: Send + Sync {
    /// Fetches what may be wanted, so that it can run beside the read of the pointer. Never fails.
    async fn prefetch(&self, place: &Place) -> Prefetched;
    /// Opens the document of a pointer that was committed.
    async fn open(&self, place: &Place, pointer: &str, prefetched: Prefetched) -> VaultResult<Secret<String>>;
    /// Makes a version durable. Nobody sees it until its pointer is committed to the store.
    async fn stage(&self, place: &Place, version: &str, document: &Secret<String>) -> VaultResult<String>;
    /// How often a version may be written at one place; `None`: as often as wanted. It is asked before a provider is:
    /// a vault that refuses a version after the provider rotated would lose the refresh token.
    fn write_floor(&self) -> Option<WriteFloor> {
        None
    }
    /// Lets go of a version that nothing points at any more. A vault that loses old versions by itself does nothing.
    async fn forget(&self, _place: &Place, _pointer: &str) -> VaultResult<()> {
        Ok(())
    }
    /// Obtains whatever a version at a place will need, so that nothing but the write itself can fail once a provider has
    /// given what is to be staged.
    async fn prepare(&self, _place: &Place) -> VaultResult<()> {
        Ok(())
    }
    /// Deletes all versions at a place.
    async fn delete(&self, place: &Place) -> VaultResult<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_may_be_written_at_once_and_then_one_in_each_interval() {
        let floor = WriteFloor { burst: 3, interval_seconds: 600 };
        let (mut spent_until, mut now, mut written) = (0, 1_000_000_000, 0);
        while floor.wait(spent_until, now).is_none() {
            spent_until = floor.spend(spent_until, now);
            written += 1;
        }
        assert_eq!(written, 4, "the burst, and the one that the present interval allows");
        assert_eq!(floor.wait(spent_until, now), Some(chrono::Duration::seconds(600)));
        now += 600_000;
        assert_eq!(floor.wait(spent_until, now), None);
        spent_until = floor.spend(spent_until, now);
        assert!(floor.wait(spent_until, now).is_some());
        assert_eq!(floor.wait(spent_until, now + 86_400_000), None, "what was not used comes back");
    }
}
