//! Where the refresh of a credential stands, as store, vault and provider tell.

use anyhow::{bail, ensure};
use grantkeeper::clock::Timestamp;
use grantkeeper::model::credential::{Credential, CredentialStatus};
use grantkeeper_tests::Parts;

use super::presented::Presented;

/// Where a refresh was when its worker died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not begun, or over.
    Idle,
    /// Begun, and the provider has not rotated.
    Begun,
    /// The provider has rotated, and the new tokens are nowhere: they died on the way.
    Unstored,
    /// The new tokens are in the vault and not committed.
    Staged,
}

impl Stage {
    /// While no worker runs.
    pub(super) async fn of(
        parts: &Parts,
        presented: &Presented,
        person: &str,
        stored: &Credential,
    ) -> anyhow::Result<Self> {
        // Each commit spent one refresh token.
        let rotated = match presented.spent(person) {
            spent if spent + 1 == stored.generation => false,
            spent if spent == stored.generation => true,
            spent => bail!("{person}: {spent} refresh tokens spent, generation {}", stored.generation),
        };
        let Some(intent) = &stored.intent else {
            ensure!(!rotated, "{person}: the provider rotated, and nothing says so");
            return Ok(Self::Idle);
        };
        let staged = parts.secret_version(stored.id.as_str(), &intent.attempt).await?.is_some();
        match (rotated, staged) {
            (false, false) => Ok(Self::Begun),
            (true, false) => Ok(Self::Unstored),
            (true, true) => Ok(Self::Staged),
            (false, true) => bail!("{person}: the vault has tokens that the provider has not made"),
        }
    }
}

/// Whether nothing is to be done for it now, nor once a lease has lapsed.
pub(super) fn is_settled(stored: &Credential, now: Timestamp) -> bool {
    match stored.status {
        CredentialStatus::Active => {
            stored.intent.is_none() && stored.refresh_after.is_some_and(|at| at > now.timestamp_millis())
        }
        CredentialStatus::RefreshFailing => stored.lease.is_none() && stored.backoff(now).is_some(),
        _ => true,
    }
}
