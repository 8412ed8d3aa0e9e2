//! Disconnects a credential: it gives no token any more at once, and its grant is ended at the provider however often that
//! must be asked (RFC 7009).

use super::Broker;
use super::access::Caller;
use super::find_credential::not_the_owner;
use super::suspend_credential::{ROUNDS, changing};
use crate::error::{Error, Result};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::principal::Role;
use crate::refresh::sweep::Work;
use crate::store::{Attempted, StatusChange};

impl Broker {
    /// Disconnects a credential for its owner. The name is free at once; what is known of it stays readable for 30 days.
    /// One that is disconnected stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Forbidden`].
    pub async fn disconnect_credential(&self, caller: &Caller, id: &str) -> Result<Credential> {
        caller.require(&[Role::Platform], "credentials:write")?;
        let mut base = self.owned_credential(caller, id).await?;
        let owner = base.owner.clone();
        for _ in 0..ROUNDS {
            if base.owner != owner {
                return Err(not_the_owner());
            }
            if base.is_ended() {
                return Ok(base);
            }
            let now = self.now();
            // Whoever refreshes it now may still bring tokens, which have to be ended as well.
            let leased = base.lease.as_ref().filter(|_| base.is_leased(now)).map(|lease| lease.until_ms + 1);
            let change = StatusChange {
                status: CredentialStatus::Revoking,
                status_reason: None,
                suspended_from: None,
                fails: 0,
                next_due: Some(leased.unwrap_or(now.timestamp_millis())),
                evidence: None,
                frees_name: true,
                forget_after: None,
            };
            match self.store().change_status(&base, &change).await? {
                Attempted::Applied(ending) => {
                    tracing::info!(
                        credential = %ending.id, key = %caller.key.id, user = caller.user.as_deref(),
                        before = ?base.status, "credential disconnected"
                    );
                    if leased.is_none() {
                        self.enqueue_again(Work::from(&*ending)).await;
                    }
                    return Ok(*ending);
                }
                Attempted::Refused(Some(other)) => base = *other,
                Attempted::Refused(None) => return Err(Error::NotFound),
            }
        }
        Err(changing())
    }
}
