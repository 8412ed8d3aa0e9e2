//! Why a credential that waits for its owner gives no token.

use super::commit::{SCOPE_EXCEEDED, UNUSABLE_TOKEN_TYPE};
use crate::error::{Aside, Error};
use crate::model::credential::{Credential, CredentialStatus};
use crate::protocol::scope;

/// The `status_reason` of a credential that its owner switched off.
pub(crate) const BY_OWNER: &str = "suspended_by_owner";
/// The `status_reason` of a credential that a superuser switched off.
pub(crate) const BY_SUPERUSER: &str = "suspended_by_superuser";

/// The `status_reason` of a credential whose new consent may have been given with another account.
pub(crate) const ACCOUNT_UNVERIFIED: &str = "account_unverified";

/// Whether its grant may be of another account than the one before, and nobody has accepted it yet.
pub(crate) fn is_unverified(credential: &Credential) -> bool {
    let suspended = credential.status == CredentialStatus::Suspended;
    let reason = credential.status_reason.as_deref().unwrap_or_default();
    suspended && reason.split(':').any(|reason| reason == ACCOUNT_UNVERIFIED)
}

/// What a caller is told who wants a token of a suspended credential.
pub(crate) fn suspended(credential: &Credential) -> Error {
    match credential.shown_reason() {
        Some(BY_SUPERUSER) => Error::PutAside(Aside::Superuser),
        Some(SCOPE_EXCEEDED) => {
            let beyond = scope::beyond(&credential.granted_scopes, &credential.requested_scopes);
            // Where nothing was asked, the first answer is what counts as asked, and it is no longer known.
            let named = if beyond.is_empty() { credential.granted_scopes.clone() } else { beyond };
            Error::PutAside(Aside::ScopeExceeded(named))
        }
        Some(ACCOUNT_UNVERIFIED) => Error::PutAside(Aside::AccountUnverified),
        Some(UNUSABLE_TOKEN_TYPE) => Error::PutAside(Aside::TokenType),
        _ => Error::Suspended,
    }
}

/// What a caller is told who wants a token of a credential whose owner has yet to choose an account.
pub(crate) fn choice_required() -> Error {
    Error::Conflict {
        code: "choice_required",
        detail: "The grant covers several accounts at the provider, and its owner has yet to choose one.".to_owned(),
        advice: &[
            "Show the owner the credential's choices (GET /v1/credentials/{id}).",
            "Send the chosen value: PATCH /v1/credentials/{id} with variables.",
        ],
    }
}
