//! The settings that choose one of a few.

use serde::{Deserialize, Serialize};

/// A grant type (RFC 6749 §1.3, §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749 §4.1.
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 6749 §4.3; the right password is `sandbox`, whoever signs in.
    Password,
}

impl GrantType {
    /// The value of `grant_type`, or `None` when the sandbox does not know it.
    pub fn parse(value: &str) -> Option<GrantType> {
        match value {
            "authorization_code" => Some(GrantType::AuthorizationCode),
            "refresh_token" => Some(GrantType::RefreshToken),
            "client_credentials" => Some(GrantType::ClientCredentials),
            "password" => Some(GrantType::Password),
            _ => None,
        }
    }
}

/// How a client authenticates at the token endpoint (RFC 7591 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic with form-urlencoded halves (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// `client_id` and `client_secret` in the body.
    ClientSecretPost,
    /// Only `client_id` in the body, for public clients.
    None,
}

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokenMode {
    /// Each use spends it and gives a new one.
    Rotating,
    /// It stays valid and is handed out again.
    Static,
    /// The client gets no refresh tokens and may not use any.
    None,
}

/// What showing a spent refresh token after the grace does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReusePenalty {
    /// Nothing: spent refresh tokens keep working.
    None,
    /// The answer is `invalid_grant`, the grant lives on.
    Token,
    /// The answer is `invalid_grant` and the whole grant is revoked (RFC 9700 §4.14.2).
    Family,
}
