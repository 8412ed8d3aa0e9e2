//! What can go wrong, grouped by who can act. Knows nothing of HTTP; `inbound::problem` maps it once.

use std::time::Duration;

use crate::protocol::advice::{self, Advice, Situation};

/// A failure of a use case. No variant can hold a token, a code, a secret or a raw body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // The caller can act.
    /// The request could not be read at all.
    #[error("malformed request: {0}")]
    Malformed(String),
    /// No key, or one that is unknown, expired or disabled. They are not told apart.
    #[error("no valid API key was presented")]
    Unauthenticated,
    /// The key may not do this at all.
    #[error("{detail}")]
    Forbidden {
        /// Stable code.
        code: &'static str,
        /// Why.
        detail: String,
    },
    /// A policy of the project forbids it, and whoever may change the policy could allow it.
    #[error("{detail}")]
    PolicyForbids {
        /// Stable code.
        code: &'static str,
        /// What is forbidden.
        detail: String,
    },
    /// Missing, or somebody else's: the two are not told apart.
    #[error("not found")]
    NotFound,
    /// The state of an object, or a name, stands against it.
    #[error("{detail}")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// What is in the way.
        detail: String,
        /// What to do, in order.
        advice: &'static [&'static str],
    },
    /// It was there and its time is over.
    #[error("{detail}")]
    Gone {
        /// Stable code.
        code: &'static str,
        /// What is over.
        detail: String,
        /// What to do, in order.
        advice: &'static [&'static str],
    },
    /// Fields are wrong.
    #[error("{} field(s) of the request are wrong", .0.len())]
    Invalid(Vec<FieldError>),
    /// The body is larger than the limit in bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body is not JSON by its content type.
    #[error("the content type is not application/json")]
    UnsupportedMediaType,
    /// The method is not served at this path.
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// The credential is suspended by its owner.
    #[error("the credential is suspended")]
    Suspended,
    /// The credential is suspended for another reason than that its owner wants it so.
    #[error("the credential is suspended")]
    PutAside(Aside),

    // The person can act.
    /// Only new consent helps.
    #[error("the credential needs new consent: {reason}")]
    ReauthorizationRequired {
        /// Why, as a stable code.
        reason: String,
        /// Where the project sends its people for that.
        url: Option<String>,
    },
    /// The browser's request was refused at the redirection endpoint or the connect page.
    #[error("{0}")]
    Browser(#[from] BrowserRefusal),

    /// The credential was disconnected; its tokens are gone.
    #[error("the credential was disconnected")]
    Revoked,
    /// A reauthorization brought another account than the credential's.
    #[error("the reauthorization brought another account")]
    AccountMismatch,

    // The authorization server can act, or whoever configured the client there.
    /// It refused our client or the request (RFC 6749 §5.2).
    #[error("the authorization server refused the request: {error}")]
    ClientRejected {
        /// The RFC 6749 §5.2 error code, restricted to a known set.
        error: &'static str,
        /// HTTP status of the answer; absent when the last answer is only remembered.
        status: Option<u16>,
    },
    /// It refused the grant itself.
    #[error("the authorization server refused the grant")]
    GrantRejected,
    /// It answered something that is not OAuth.
    #[error("the authorization server misbehaved: {0}")]
    ProviderMisbehaved(&'static str),
    /// It could not be reached, or said it is unavailable.
    #[error("the authorization server is unavailable: {what}")]
    ProviderUnavailable {
        /// What happened.
        what: &'static str,
        /// When to try again.
        retry_after: Option<Duration>,
    },

    /// One of the failures at the authorization server, with what is known of its cause.
    #[error("{error}")]
    Advised {
        /// The failure; never an advised one.
        error: Box<Error>,
        /// Its cause, and what to check.
        advice: Box<Advice>,
    },

    /// The vault takes no further version of this credential for now, so the provider is not asked.
    #[error("the credential was refreshed too often")]
    RefreshedTooOften {
        /// When to try again.
        retry_after: Duration,
    },

    // Nobody need act but wait.
    /// Another worker refreshes this credential now.
    #[error("a refresh is under way")]
    Refreshing {
        /// When to try again.
        retry_after: Duration,
    },

    // Us.
    /// A service that we depend on failed; its own words are in the log only.
    #[error("a dependency is unavailable: {0}")]
    Dependency(&'static str),
    /// A bug or a broken invariant, in fixed words.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Why a credential is suspended that its owner did not suspend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aside {
    /// A superuser switched it off.
    Superuser,
    /// The provider granted these scopes, and nobody had asked for them (N10).
    ScopeExceeded(Vec<String>),
    /// The provider issued a token of a type that cannot be used.
    TokenType,
    /// Nobody could tell whether the new consent was given with the same account (N3).
    AccountUnverified,
}

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the body.
    pub pointer: String,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// Why a browser's request was refused. None of them consumes a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrowserRefusal {
    /// No flow has this `state`, or it was voided by a newer start.
    #[error("this sign-in is not known here")]
    UnknownState,
    /// The flow is past its time.
    #[error("this sign-in has expired")]
    ExpiredState,
    /// The flow was already used.
    #[error("this sign-in was already used")]
    AlreadyUsed,
    /// The flow was started in another browser.
    #[error("this sign-in was started in another browser")]
    WrongBrowser,
    /// `iss` differs from the issuer of the flow (RFC 9207 §2.4).
    #[error("the answer came from another authorization server")]
    IssuerMismatch,
    /// `iss` is missing although the authorization server promises it (RFC 9207 §2.4).
    #[error("the answer does not say which authorization server it came from")]
    IssuerMissing,
    /// A parameter occurs twice (RFC 6749 §3.1).
    #[error("the answer has a parameter twice")]
    DuplicateParameter,
    /// Neither or both of `code` and `error`, or a value that is too long.
    #[error("the answer is not a valid authorization response")]
    MalformedResponse,
    /// The answer arrived at the redirect URI of another client.
    #[error("the answer arrived at the wrong address")]
    ForeignRedirectUri,
    /// The client was changed between start and answer.
    #[error("the client was changed while the sign-in was under way")]
    ClientChanged,
    /// The connect link is unknown or was deleted.
    #[error("this link is not known here")]
    UnknownLink,
    /// The connect link is past its time.
    #[error("this link has expired")]
    ExpiredLink,
    /// The form was not posted from our own page.
    #[error("the form was not sent from this page")]
    CrossSite,
    /// The form has a field that the session fixed, or lacks one.
    #[error("the form is not complete")]
    BadForm,
    /// The owner already has a credential of this name.
    #[error("there is already a credential of this name")]
    NameTaken,
}

impl Error {
    /// One wrong field.
    pub fn field(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { pointer: pointer.into(), code, detail: detail.into() }])
    }

    /// The same wrong fields, by pointers that begin with this one.
    #[must_use]
    pub fn below(self, pointer: &str) -> Self {
        let at = |field: FieldError| FieldError { pointer: format!("{pointer}{}", field.pointer), ..field };
        match self {
            Self::Invalid(fields) => Self::Invalid(fields.into_iter().map(at).collect()),
            other => other,
        }
    }

    /// Adds what is known of the cause, where the authorization server, the client or the grant is to blame. Every other
    /// error stays as it is, and so does one that has its advice.
    #[must_use]
    pub fn advised(self, situation: &Situation<'_>) -> Self {
        match self {
            Self::ClientRejected { .. }
            | Self::GrantRejected
            | Self::ProviderMisbehaved(_)
            | Self::ProviderUnavailable { .. }
            | Self::ReauthorizationRequired { .. } => {
                Self::Advised { error: Box::new(self), advice: Box::new(advice::classify(situation)) }
            }
            other => other,
        }
    }

    /// A short stable code for records, where only failures at the provider matter in detail.
    pub fn code(&self) -> &'static str {
        match self.plain() {
            Self::ClientRejected { .. } => "client_rejected",
            Self::GrantRejected => "code_rejected",
            Self::ProviderUnavailable { .. } => "provider_unavailable",
            Self::ProviderMisbehaved(_) => "provider_misbehaved",
            Self::ReauthorizationRequired { .. } => "reauthorization_required",
            Self::AccountMismatch => "account_mismatch",
            Self::Suspended | Self::PutAside(_) => "suspended",
            Self::Revoked => "revoked",
            Self::Refreshing { .. } => "refreshing",
            Self::Conflict { code, .. } => code,
            _ => "internal_error",
        }
    }

    /// Whether only new consent helps.
    pub fn needs_reauthorization(&self) -> bool {
        matches!(self.plain(), Self::ReauthorizationRequired { .. })
    }

    /// Says where the owner is sent to consent again, when that is what helps.
    #[must_use]
    pub fn reauthorized_at(self, at: Option<String>) -> Self {
        match self {
            Self::ReauthorizationRequired { reason, .. } => Self::ReauthorizationRequired { reason, url: at },
            Self::Advised { error, advice } => Self::Advised { error: Box::new(error.reauthorized_at(at)), advice },
            other => other,
        }
    }

    /// The error without its advice: what to match on.
    pub fn plain(&self) -> &Self {
        match self {
            Self::Advised { error, .. } => error.plain(),
            other => other,
        }
    }
}

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    fn situation() -> Situation<'static> {
        Situation { step: advice::Step::Refresh, error: Some("invalid_grant"), ..Situation::default() }
    }

    #[test]
    fn a_failure_at_the_provider_takes_advice_once() {
        for error in [
            Error::ClientRejected { error: "invalid_client", status: Some(401) },
            Error::GrantRejected,
            Error::ProviderMisbehaved("it is odd"),
            Error::ProviderUnavailable { what: "it is busy", retry_after: None },
            Error::ReauthorizationRequired { reason: "invalid_grant".to_owned(), url: None },
        ] {
            let (said, plain) = (error.to_string(), format!("{error:?}"));
            let advised = error.advised(&situation());
            assert!(matches!(&advised, Error::Advised { advice, .. } if advice.code == "refresh_token_dead"));
            assert_eq!(advised.to_string(), said);
            let again = advised.advised(&Situation::default());
            assert!(matches!(&again, Error::Advised { advice, .. } if advice.code == "refresh_token_dead"));
            assert_eq!(format!("{:?}", again.plain()), plain);
        }
    }

    #[test]
    fn an_error_of_ours_or_of_the_caller_takes_no_advice() {
        for error in [Error::NotFound, Error::Suspended, Error::Revoked, Error::Dependency("store")] {
            let plain = format!("{error:?}");
            let advised = error.advised(&situation());
            assert_eq!(format!("{advised:?}"), plain);
            assert_eq!(format!("{:?}", advised.plain()), plain);
        }
    }
}
