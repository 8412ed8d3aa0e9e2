//! What a read of a credential needs, decided on the item alone (REFRESH.md b.2).

use chrono::Duration;

use super::plan::is_wanted;
use crate::clock::Timestamp;
use crate::model::client::ClientSettings;
use crate::model::credential::{Credential, CredentialStatus};

/// A token that is younger is not refreshed again only because somebody asks for a longer life.
const JUST_REFRESHED: Duration = Duration::minutes(1);

/// What to do for a caller who wants an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Serve what is there.
    Serve,
    /// Serve what is there, and have it refreshed: nobody waits.
    ServeAndRefresh,
    /// Serve what is there; it lives shorter than was asked, and so would any other.
    ServeShort,
    /// A refresh must come first. `alive`: if it fails, what is there can still be served.
    Refresh {
        /// Whether the access token can still be used.
        alive: bool,
    },
    /// Nothing can be served, and a refresh is not possible.
    Nothing,
}

/// Decides. `min_ttl` is the remaining life that the caller asks for.
pub fn need(credential: &Credential, now: Timestamp, min_ttl: Option<Duration>) -> Need {
    let alive = credential.is_alive(now);
    let Some(expires_at) = credential.expires_at() else {
        return Need::Serve;
    };
    if !credential.may_refresh() {
        return if alive { Need::Serve } else { Need::Nothing };
    }
    if !alive {
        return Need::Refresh { alive };
    }
    let now_ms = now.timestamp_millis();
    if min_ttl.is_some_and(|min_ttl| expires_at - now < min_ttl) {
        let lifetime = Duration::milliseconds(expires_at.timestamp_millis() - credential.issued_at);
        // A token that was obtained by a refresh shows how long this provider's tokens live: when that is no more than
        // what is asked, or the refresh was a moment ago, another one would only spend a refresh token.
        let fresh = now_ms - credential.issued_at < JUST_REFRESHED.num_milliseconds();
        // Once a refresh is wanted anyway, there is nothing to save.
        let wanted = credential.refresh_after.is_some_and(|at| now_ms >= at);
        let too_long = min_ttl.is_some_and(|min_ttl| lifetime <= min_ttl) && !wanted;
        let unreachable = credential.last_refreshed_at.is_some() && (fresh || too_long);
        if !unreachable {
            return Need::Refresh { alive };
        }
        return Need::ServeShort;
    }
    let wanted = credential.refresh_after.is_some_and(|at| now_ms >= at);
    if wanted && credential.backoff(now).is_none() && !credential.is_leased(now) {
        Need::ServeAndRefresh
    } else {
        Need::Serve
    }
}

/// Whether a refresh may begin for a piece of work from the queue: it is void once there is a newer generation, or while
/// somebody is at it.
pub fn is_open(credential: &Credential, generation: u64, now: Timestamp) -> bool {
    credential.generation == generation
        && credential.may_refresh()
        && credential.backoff(now).is_none()
        && !credential.is_leased(now)
}

/// Whether a refresh is to begin now: what is used, when it is wanted; what is not, for its keep-alive alone; what was
/// interrupted, at once.
pub fn is_due(credential: &Credential, client: &ClientSettings, now: Timestamp) -> bool {
    let wanted = credential.refresh_after.is_some_and(|at| now.timestamp_millis() >= at);
    is_interrupted(credential) || (wanted && is_wanted(credential, client, now))
}

/// Whether a refresh was begun or tried and came to nothing: it goes on soon, however early it was, while a provider's
/// grace lasts.
fn is_interrupted(credential: &Credential) -> bool {
    credential.intent.is_some() || credential.status == CredentialStatus::RefreshFailing
}

/// The warning that goes with a token, when there is something to warn of.
pub fn warning(credential: &Credential) -> Option<&'static str> {
    match credential.status {
        CredentialStatus::RefreshFailing => Some("refresh_failing"),
        CredentialStatus::ReauthorizationRequired => Some("reauthorization_required"),
        CredentialStatus::Active
        | CredentialStatus::ChoiceRequired
        | CredentialStatus::Suspended
        | CredentialStatus::Revoking
        | CredentialStatus::Revoked => None,
    }
}
