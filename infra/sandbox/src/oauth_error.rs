//! Error answers of the endpoints a client talks to directly (RFC 6749 §5.2).

use aws_lc_rs::error::Unspecified;
use axum::Json;
use axum::http::header::{ALLOW, CACHE_CONTROL, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error a client is told about. The description is a fixed text, so it can never carry a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OauthError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: &'static str,
}

impl OauthError {
    pub(crate) fn invalid_request(description: &'static str) -> Self {
        Self::bad_request("invalid_request", description)
    }

    pub(crate) fn invalid_grant(description: &'static str) -> Self {
        Self::bad_request("invalid_grant", description)
    }

    pub(crate) fn invalid_scope() -> Self {
        Self::bad_request("invalid_scope", "a scope is missing, unknown or beyond the grant")
    }

    pub(crate) fn unauthorized_client(description: &'static str) -> Self {
        Self::bad_request("unauthorized_client", description)
    }

    pub(crate) fn unsupported_grant_type() -> Self {
        Self::bad_request("unsupported_grant_type", "this grant type is not supported")
    }

    pub(crate) fn invalid_client(description: &'static str) -> Self {
        OauthError { status: StatusCode::UNAUTHORIZED, code: "invalid_client", description }
    }

    pub(crate) fn method_not_allowed() -> Self {
        let description = "token requests are sent with POST";
        OauthError { status: StatusCode::METHOD_NOT_ALLOWED, code: "invalid_request", description }
    }

    fn bad_request(code: &'static str, description: &'static str) -> Self {
        OauthError { status: StatusCode::BAD_REQUEST, code, description }
    }

    fn server_error() -> Self {
        OauthError { status: StatusCode::INTERNAL_SERVER_ERROR, code: "server_error", description: "internal error" }
    }
}

/// The state could not be saved, or an ID token not be signed.
impl From<anyhow::Error> for OauthError {
    fn from(_: anyhow::Error) -> Self {
        Self::server_error()
    }
}

/// The system's random generator failed.
impl From<Unspecified> for OauthError {
    fn from(_: Unspecified) -> Self {
        Self::server_error()
    }
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.code, "error_description": self.description }));
        let mut response = no_store((self.status, body));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"sandbox\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

/// RFC 6749 §5.1: answers with tokens, or about them, are never cached.
pub(crate) fn no_store(response: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], response).into_response()
}
