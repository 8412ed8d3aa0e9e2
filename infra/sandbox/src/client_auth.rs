//! Client authentication (RFC 6749 §2.3).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::oauth_error::OauthError;
use crate::opaque::fingerprint;
use crate::parameters::Parameters;
use crate::settings::{AuthMethod, ClientSettings};
use crate::state::State;

/// What a request says about its client, before anything is checked.
pub(crate) struct PresentedClient {
    pub(crate) client_id: String,
    secret: Option<String>,
    method: AuthMethod,
}

impl PresentedClient {
    /// Finds the one authentication a request carries; two at once are refused.
    pub(crate) fn parse(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, OauthError> {
        let client_id = parameters.one("client_id")?;
        let secret = parameters.one("client_secret")?;
        if let Some(header) = headers.get(AUTHORIZATION) {
            let presented = header
                .to_str()
                .ok()
                .and_then(parse_basic)
                .ok_or(OauthError::invalid_client("the Authorization header is not usable HTTP Basic"))?;
            if secret.is_some() {
                return Err(OauthError::invalid_request("the client authenticates in two ways at once"));
            }
            if client_id.is_some_and(|client_id| client_id != presented.client_id) {
                return Err(OauthError::invalid_request("the body names another client than the header"));
            }
            return Ok(presented);
        }
        let client_id = client_id.ok_or(OauthError::invalid_client("the request names no client"))?.to_owned();
        let method = if secret.is_some() { AuthMethod::ClientSecretPost } else { AuthMethod::None };
        Ok(PresentedClient { client_id, secret: secret.map(String::from), method })
    }

    /// The settings of the client, if it exists and proved itself in a way it may use.
    pub(crate) fn authenticate(&self, state: &State) -> Result<ClientSettings, OauthError> {
        let refused = OauthError::invalid_client("client authentication failed");
        let client = state.clients.get(&self.client_id).ok_or(refused)?;
        let proven = match &self.secret {
            Some(given) => is_one_of(client.secrets(), given),
            None => client.is_public(),
        };
        if !proven || !client.token_endpoint_auth_methods.contains(&self.method) {
            return Err(refused);
        }
        Ok(client.clone())
    }

    /// The secret that came along, as the log may tell it.
    pub(crate) fn secret_fingerprint(&self) -> Option<String> {
        self.secret.as_deref().map(fingerprint)
    }
}

/// The client named by HTTP Basic, if the header can be read.
pub(crate) fn basic_client_id(headers: &HeaderMap) -> Option<String> {
    Some(parse_basic(headers.get(AUTHORIZATION)?.to_str().ok()?)?.client_id)
}

/// Compares with each of the secrets, so the time tells at most how many there are.
pub(crate) fn is_one_of<'a>(secrets: impl Iterator<Item = &'a String>, given: &str) -> bool {
    secrets.fold(false, |found, secret| found | bool::from(secret.as_bytes().ct_eq(given.as_bytes())))
}

/// RFC 6749 §2.3.1: identifier and secret are form-urlencoded before they become user name and password.
fn parse_basic(header: &str) -> Option<PresentedClient> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some(PresentedClient {
        client_id: form_decode(client_id),
        secret: Some(form_decode(secret)),
        method: AuthMethod::ClientSecretBasic,
    })
}

pub(crate) fn form_decode(value: &str) -> String {
    // Read as the value of a parameter; `&` and `=` in an unencoded value must not cut it.
    let whole = value.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(format!("v={whole}").as_bytes()).map(|(_, value)| value.into_owned()).collect()
}
