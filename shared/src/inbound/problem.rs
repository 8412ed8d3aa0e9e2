//! The one mapping of errors to RFC 9457 problem documents.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Aside, Error, FieldError};
use crate::protocol::advice::Advice;

/// Who can do something about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhoCanAct {
    /// Whoever made the request.
    Caller,
    /// The owner of the credential.
    Owner,
    /// A superuser of this stack.
    Superuser,
    /// The third party.
    Provider,
    /// The broker itself.
    Broker,
}

/// A problem document before it is written.
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: String,
    /// One sentence, the same for every problem of this code.
    pub title: &'static str,
    /// What happened here.
    pub detail: String,
    /// What to check or do, in order.
    pub advice: Vec<String>,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// Who can do something about it.
    pub who_can_act: WhoCanAct,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// Further members.
    pub extra: serde_json::Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, code: impl Into<String>, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            title,
            detail: detail.into(),
            advice: Vec::new(),
            retryable: false,
            who_can_act: WhoCanAct::Caller,
            retry_after: None,
            extra: serde_json::Map::new(),
        }
    }

    fn advice<T: Into<String>>(mut self, advice: impl IntoIterator<Item = T>) -> Self {
        self.advice = advice.into_iter().map(Into::into).collect();
        self
    }

    fn by(mut self, who: WhoCanAct) -> Self {
        self.who_can_act = who;
        self
    }

    fn retry(mut self, after: Option<Duration>) -> Self {
        self.retryable = true;
        self.retry_after = after;
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    // What the error is stays as it is; what happened and what to check are known better.
    fn diagnosed(mut self, advice: &Advice) -> Self {
        self.detail.clone_from(&advice.detail);
        let diagnosis = json!({
            "code": advice.code,
            "title": advice.title,
            "detail": advice.detail,
            "severity": advice.severity,
        });
        self.advice(advice.advice.iter().cloned()).with("diagnosis", diagnosis)
    }

    /// The document.
    pub fn body(&self, request_id: &str) -> Value {
        let mut body = json!({
            "type": format!("urn:grantkeeper:problem:{}", self.code),
            "title": self.title,
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "advice": self.advice,
            "retryable": self.retryable,
            "who_can_act": self.who_can_act,
            "request_id": request_id,
        });
        if let Some(object) = body.as_object_mut() {
            object.extend(self.extra.clone());
        }
        body
    }
}

impl From<&Error> for Problem {
    // Exhaustive, without `_`: a new error does not compile until it has a status, a code and advice.
    fn from(error: &Error) -> Self {
        use StatusCode as S;
        match error {
            Error::Malformed(what) => {
                Self::new(S::BAD_REQUEST, "malformed_request", "The request cannot be read", what)
                    .advice(["Check that the body is valid JSON and the query is well formed."])
            }
            Error::Unauthenticated => {
                Self::new(S::UNAUTHORIZED, "unauthenticated", "No valid API key", "The request has no valid API key.")
                    .advice([
                        "Send the header: Authorization: Bearer gk_…",
                        "Check that the key has not expired, was not deleted, and was used in the last 90 days.",
                    ])
            }
            Error::Forbidden { code, detail } => Self::new(S::FORBIDDEN, *code, "Not allowed", detail)
                .advice(["Use a key with the role, permission and project that this call needs."])
                .by(WhoCanAct::Superuser),
            Error::PolicyForbids { code, detail } => {
                Self::new(S::FORBIDDEN, *code, "Forbidden by the project's policy", detail)
                    .advice([
                        "Prefer the authorization code or the client credentials grant.",
                        "If the provider has nothing else, ask a superuser to set the project's policy allow_password_grant.",
                    ])
                    .by(WhoCanAct::Superuser)
            }
            Error::NotFound => Self::new(S::NOT_FOUND, "not_found", "Not found", "There is no such object here.")
                .advice(["Check the id.", "Check that the key is for the project the object belongs to."]),
            Error::MethodNotAllowed => Self::new(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
                "This path does not serve that method.",
            )
            .advice(["See GET /v1/openapi.json for what it serves."]),
            Error::Conflict { code, detail, advice } => {
                let problem = Self::new(S::CONFLICT, *code, "Conflict", detail).advice(advice.iter().copied());
                let passing = ["changed_meanwhile", "completion_in_progress", "idempotency_in_progress"];
                if passing.contains(code) { problem.retry(Some(Duration::from_secs(1))) } else { problem }
            }
            Error::Gone { code, detail, advice } => {
                Self::new(S::GONE, *code, "No longer possible", detail).advice(advice.iter().copied())
            }
            Error::Invalid(errors) => invalid(errors),
            Error::TooLarge(limit) => Self::new(
                S::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is too large",
                format!("The body has more than {limit} bytes."),
            )
            .advice(["Send less in one call."]),
            Error::UnsupportedMediaType => Self::new(
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body is not JSON",
                "This call takes a JSON body.",
            )
            .advice(["Send the header: Content-Type: application/json"]),
            Error::Suspended => Self::new(
                S::LOCKED,
                "suspended",
                "The credential is suspended",
                "The owner suspended this credential; nothing of it was lost.",
            )
            .advice(["Ask its owner or a superuser to lift the suspension: PATCH /v1/credentials/{id} with suspended false."])
            .by(WhoCanAct::Owner),
            Error::PutAside(why) => put_aside(why),
            Error::Revoked => Self::new(
                S::CONFLICT,
                "revoked",
                "The credential was disconnected",
                "This credential was disconnected: its tokens are gone and it gives none any more.",
            )
            .advice(["Ask the owner to connect the account again.", "Delete the credential if it is not needed any more."])
            .by(WhoCanAct::Owner),
            Error::AccountMismatch => Self::new(
                S::CONFLICT,
                "account_mismatch",
                "Another account was brought",
                "The credential belongs to one account and the consent was given with another; the credential was left alone.",
            )
            .advice([
                "Sign in at the provider with the same account as before, then reauthorize again.",
                "To change the account on purpose, set allow_account_change, or make a new credential.",
            ])
            .by(WhoCanAct::Owner),
            Error::Advised { error, advice } => Self::from(error.as_ref()).diagnosed(advice),
            Error::ReauthorizationRequired { reason, url } => {
                let mut advice = vec![match reason.as_str() {
                    "client_deleted" => "The client that this credential was made with was deleted.",
                    "origin_changed" => {
                        "The client's token endpoint moved to another origin, and tokens do not follow it there."
                    }
                    "expired_without_refresh_token" => {
                        "The access token expired and the provider gave no refresh token: ask for offline access when connecting."
                    }
                    _ => {
                        "The provider no longer accepts the refresh token: access was withdrawn, or it expired unused."
                    }
                }];
                advice.push("Ask the owner to connect the account again.");
                let problem = Self::new(
                    S::CONFLICT,
                    "reauthorization_required",
                    "New consent is needed",
                    "The credential cannot be refreshed any more; only its owner's consent helps.",
                )
                .advice(advice)
                .by(WhoCanAct::Owner)
                .with("reason", reason.clone());
                match url {
                    Some(url) => problem.with("reauthorize_url", url.clone()),
                    None => problem,
                }
            }
            Error::Browser(refusal) => {
                let page = super::html::Refusal::from(*refusal);
                Self::new(page.status, page.code, "The sign-in was refused", refusal.to_string()).advice([page.advice])
            }
            Error::ClientRejected { error, status } => Self::new(
                S::BAD_GATEWAY,
                "client_rejected",
                "The authorization server refused the client",
                match status {
                    Some(status) => format!("The token endpoint answered {status} with the error {error}."),
                    None => format!("The token endpoint refused the client a moment ago, with the error {error}."),
                },
            )
            .advice(client_advice(error))
            .by(WhoCanAct::Superuser)
            .with("provider_error", *error)
            .with("provider_status", *status),
            Error::GrantRejected => Self::new(
                S::BAD_GATEWAY,
                "code_rejected",
                "The authorization server refused the grant",
                "The token endpoint answered invalid_grant to the authorization code.",
            )
            .advice([
                "The code may have expired: complete the flow soon after the person returns.",
                "Check that the client's redirect URI at the provider equals the client's redirect_uri exactly.",
                "Open a new connect session.",
            ])
            .by(WhoCanAct::Owner),
            Error::ProviderMisbehaved(what) => Self::new(
                S::BAD_GATEWAY,
                "provider_misbehaved",
                "The authorization server gave an unusable answer",
                format!("The authorization server's answer cannot be used: {what}."),
            )
            .advice([
                "Check that token_endpoint is the token endpoint and not a page or an API.",
                "Check the provider's status page.",
            ])
            .by(WhoCanAct::Superuser),
            Error::ProviderUnavailable { what, retry_after } => Self::new(
                S::SERVICE_UNAVAILABLE,
                "provider_unavailable",
                "The authorization server is unavailable",
                format!("The authorization server is unavailable: {what}."),
            )
            .advice(["Try again later; the credential is kept.", "Check the provider's status page."])
            .by(WhoCanAct::Provider)
            .retry(Some(retry_after.unwrap_or(Duration::from_secs(5)))),
            Error::Refreshing { retry_after } => Self::new(
                S::SERVICE_UNAVAILABLE,
                "refreshing",
                "A refresh is under way",
                "The access token has expired and another call refreshes it now.",
            )
            .advice(["Try again after the time in Retry-After."])
            .by(WhoCanAct::Broker)
            .retry(Some(*retry_after)),
            Error::RefreshedTooOften { retry_after } => Self::new(
                S::SERVICE_UNAVAILABLE,
                "refreshed_too_often",
                "The credential was refreshed too often",
                "The vault takes only so many versions of a secret a day, and this credential has used them up.",
            )
            .advice([
                "Refresh only when a token was refused: reading it keeps it fresh.",
                "Ask the provider for tokens that live an hour or longer.",
            ])
            .by(WhoCanAct::Caller)
            .retry(Some(*retry_after)),
            Error::Dependency(what) => Self::new(
                S::SERVICE_UNAVAILABLE,
                "dependency_unavailable",
                "A dependency is unavailable",
                format!("The {what} did not answer."),
            )
            .advice(["Try again; nothing was lost."])
            .by(WhoCanAct::Broker)
            .retry(Some(Duration::from_secs(1))),
            Error::Internal(_) => Self::new(
                S::INTERNAL_SERVER_ERROR,
                "internal_error",
                "Internal error",
                "Something went wrong on our side.",
            )
            .advice(["Tell the operators of this stack the request_id: the log says more."])
            .by(WhoCanAct::Broker),
        }
    }
}

/// A suspension that the owner did not order: nothing is lost, and what ends it depends on its cause.
fn put_aside(why: &Aside) -> Problem {
    let suspended = |reason: &str, detail: String| {
        Problem::new(StatusCode::LOCKED, "suspended", "The credential is suspended", detail).with("reason", reason)
    };
    match why {
        Aside::Superuser => suspended(
            "suspended_by_superuser",
            "A superuser switched this credential off; nothing of it was lost.".to_owned(),
        )
        .advice(["Ask a superuser why, and to lift the suspension: the owner cannot."])
        .by(WhoCanAct::Superuser),
        Aside::ScopeExceeded(scopes) => suspended(
            "scope_exceeded",
            format!("The provider granted more than was asked ({}). The tokens are kept and not served.", scopes.join(", ")),
        )
        .advice([
            format!("Check why the provider grants what nobody asked for: {}.", scopes.join(", ")),
            "To accept it, the owner lifts the suspension: PATCH /v1/credentials/{id} with suspended false.".to_owned(),
            "Otherwise delete the credential: its grant is then ended at the provider.".to_owned(),
        ])
        .by(WhoCanAct::Owner)
        .with("scopes", scopes.clone()),
        Aside::AccountUnverified => suspended(
            "account_unverified",
            "The new consent may have been given with another account: the provider did not say. It is kept and not served."
                .to_owned(),
        )
        .advice([
            "If it is the same account, the owner lifts the suspension: PATCH /v1/credentials/{id} with suspended false.",
            "Otherwise connect the right account again.",
        ])
        .by(WhoCanAct::Owner),
        Aside::TokenType => suspended(
            "unusable_token_type",
            "The provider issued a token that is not a bearer token. It is kept and not served.".to_owned(),
        )
        .advice([
            "Check at the provider whether the client is set to proof-of-possession tokens (DPoP or MAC), and ask for bearer tokens.",
            "Then connect the account again.",
        ])
        .by(WhoCanAct::Superuser),
    }
}

fn invalid(errors: &[FieldError]) -> Problem {
    let listed: Vec<Value> = errors
        .iter()
        .map(|error| json!({ "pointer": error.pointer, "code": error.code, "detail": error.detail }))
        .collect();
    let detail = match errors {
        [only] if only.pointer.is_empty() => only.detail.clone(),
        [only] => format!("{}: {}", only.pointer, only.detail),
        many => format!("{} fields are wrong; see errors.", many.len()),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "A field is wrong", detail)
        .advice(["Correct the fields that errors names; GET /v1/openapi.json describes them."])
        .with("errors", listed)
}

/// What to check, by the RFC 6749 §5.2 code.
fn client_advice(error: &str) -> Vec<&'static str> {
    match error {
        "invalid_client" => vec![
            "Check client_id and client_secret for typing errors and for a secret that was rotated at the provider.",
            "Check token_endpoint_auth_method: some providers want client_secret_post.",
        ],
        "unauthorized_client" => vec!["Check that the client may use this grant at the provider."],
        "invalid_scope" => vec!["Check the client's scopes against what is enabled for it at the provider."],
        "unsupported_grant_type" => {
            vec!["Check that token_endpoint is right and that the provider supports this grant."]
        }
        _ => vec![
            "Check the client's settings against the provider's documentation.",
            "Check that the redirect URI at the provider equals the client's redirect_uri exactly.",
        ],
    }
}

/// Writes a problem as a response.
pub fn respond(error: &Error, request_id: &str) -> Response {
    let problem = Problem::from(error);
    let body = problem.body(request_id).to_string();
    let mut response = (problem.status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(after) = problem.retry_after {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
mod tests;
