//! Suspends a credential, and lifts a suspension. Nothing is lost by it: a refresh that is under way is not committed, and
//! what it brings stays in the vault until recovery adopts it (REFRESH.md S5, FROZEN).

use super::Broker;
use super::access::Caller;
use super::find_credential::not_the_owner;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::credential::{Credential, CredentialStatus};
use crate::model::principal::Role;
use crate::refresh::commit::{SCOPE_EXCEEDED, UNUSABLE_TOKEN_TYPE};
use crate::refresh::suspended::{ACCOUNT_UNVERIFIED, BY_OWNER, BY_SUPERUSER};
use crate::store::{Attempted, StatusChange};

/// How often a change is tried while the credential changes under it.
pub(super) const ROUNDS: u32 = 5;

impl Broker {
    /// Suspends a credential, or lifts its suspension. What a superuser suspended only a superuser lifts.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Revoked`].
    pub(crate) async fn set_suspended(
        &self,
        caller: &Caller,
        credential: Credential,
        suspended: bool,
    ) -> Result<Credential> {
        let superuser = caller.key.role == Role::Superuser;
        let owner = credential.owner.clone();
        let mut base = credential;
        for _ in 0..ROUNDS {
            if !superuser && base.owner != owner {
                return Err(not_the_owner());
            }
            let change = match suspended {
                _ if base.is_ended() => return Err(Error::Revoked),
                true => suspend(&base, superuser),
                false => lift(&base, superuser, self.now())?,
            };
            let Some(change) = change else { return Ok(base) };
            match self.store().change_status(&base, &change).await? {
                Attempted::Applied(now) if now.status_reason == change.status_reason => {
                    tracing::warn!(
                        credential = %now.id, key = %caller.key.id, user = caller.user.as_deref(),
                        before = base.shown_reason(), suspended, security = true, "suspension changed"
                    );
                    return Ok(*now);
                }
                Attempted::Applied(other) | Attempted::Refused(Some(other)) => base = *other,
                Attempted::Refused(None) => return Err(Error::NotFound),
            }
        }
        Err(changing())
    }
}

/// `None`: it is as it should be.
fn suspend(base: &Credential, superuser: bool) -> Option<StatusChange> {
    let already = base.status == CredentialStatus::Suspended;
    if already && (!superuser || base.shown_reason() == Some(BY_SUPERUSER)) {
        return None;
    }
    let by = if superuser { BY_SUPERUSER } else { BY_OWNER };
    // Behind the reason stands the one to go on with; of a suspension it is known already.
    let before = match already {
        true => base.status_reason.as_deref().and_then(|reason| match reason.split_once(':') {
            Some((_, behind)) => Some(behind),
            None => is_quarantine(reason).then_some(reason),
        }),
        false => base.status_reason.as_deref(),
    };
    Some(StatusChange {
        status: CredentialStatus::Suspended,
        status_reason: Some(before.map_or(by.to_owned(), |before| format!("{by}:{before}"))),
        suspended_from: if already { base.suspended_from } else { Some(base.status) },
        fails: base.fails,
        next_due: None,
        evidence: None,
        frees_name: false,
        forget_after: None,
    })
}

/// Whether a suspension for this reason is for its owner to judge.
fn is_quarantine(reason: &str) -> bool {
    [SCOPE_EXCEEDED, ACCOUNT_UNVERIFIED, UNUSABLE_TOKEN_TYPE].contains(&reason)
}

/// `None`: it is not suspended.
fn lift(base: &Credential, superuser: bool, now: Timestamp) -> Result<Option<StatusChange>> {
    if base.status != CredentialStatus::Suspended {
        return Ok(None);
    }
    if base.shown_reason() == Some(BY_SUPERUSER) && !superuser {
        return Err(Error::Forbidden {
            code: "suspended_by_superuser",
            detail: "A superuser suspended this credential, and only a superuser lifts that.".to_owned(),
        });
    }
    let behind = base.status_reason.as_deref().and_then(|reason| Some(reason.split_once(':')?.1));
    // Who lifts a suspension does not accept what it was put aside for before, or while.
    let aside = behind.is_some_and(is_quarantine);
    let status = match aside {
        true => CredentialStatus::Suspended,
        false => base.suspended_from.unwrap_or(CredentialStatus::Active),
    };
    let resumed = Credential { status, ..base.clone() };
    Ok(Some(StatusChange {
        status,
        status_reason: behind.map(str::to_owned),
        suspended_from: if aside { Some(CredentialStatus::Active) } else { None },
        fails: base.fails,
        next_due: resumed.may_refresh().then(|| due_again(base, now)).flatten(),
        evidence: None,
        frees_name: false,
        forget_after: None,
    }))
}

/// When the work goes on: a refresh that was begun as soon as its worker is surely dead, else at the usual time.
fn due_again(base: &Credential, now: Timestamp) -> Option<i64> {
    let lease = base.lease.as_ref().map(|lease| lease.until_ms + 1);
    let begun = base.intent.is_some() || base.suspended_from == Some(CredentialStatus::RefreshFailing);
    let at = if begun { Some(now.timestamp_millis()) } else { base.refresh_after };
    at.map(|at| at.max(lease.unwrap_or(at)).max(base.backoff_until.unwrap_or(at)))
}

/// The answer to a change that others keep overtaking.
pub(super) fn changing() -> Error {
    Error::Conflict {
        code: "changed_meanwhile",
        detail: "The credential is being changed by other calls.".to_owned(),
        advice: &["Try again."],
    }
}
