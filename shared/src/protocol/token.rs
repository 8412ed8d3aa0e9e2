//! Token requests and answers (RFC 6749 §4.1.3, §4.3.2, §4.4.2, §5, §6), on top of the `oauth2` crate.

use std::collections::BTreeMap;

use oauth2::basic::{BasicErrorResponse, BasicErrorResponseType, BasicTokenType};
use oauth2::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, ExtraTokenFields, PkceCodeVerifier, RedirectUrl,
    RefreshToken, ResourceOwnerPassword, ResourceOwnerUsername, StandardRevocableToken, StandardTokenResponse,
    TokenResponse as _, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::advice;
use super::scope::is_scope_token;
use crate::secret::Secret;

/// How a client authenticates at the token endpoint (RFC 6749 §2.3.1, RFC 7591 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// HTTP Basic, the default.
    ClientSecretBasic,
    /// In the body.
    ClientSecretPost,
    /// A public client.
    None,
}

/// Members of a token answer beyond RFC 6749.
#[derive(Serialize, Deserialize)]
pub struct Extra {
    #[serde(default, skip_serializing)]
    id_token: Option<String>,
    #[serde(flatten, skip_serializing)]
    rest: Map<String, Value>,
}

// The `oauth2` crate asks for Debug; it must show neither the ID token nor what a provider adds.
impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Extra")
    }
}

impl ExtraTokenFields for Extra {}

/// The answer type of the `oauth2` crate with our extra members.
pub type WireResponse = StandardTokenResponse<Extra, BasicTokenType>;

type WireClient = Client<
    BasicErrorResponse,
    WireResponse,
    oauth2::basic::BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    oauth2::basic::BasicRevocationErrorResponse,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointSet,
>;

/// Who asks, and where.
pub struct TokenEndpoint<'a> {
    /// The token endpoint.
    pub url: &'a str,
    /// Our `client_id` there.
    pub client_id: &'a str,
    /// Our secret, unless the client is public.
    pub client_secret: Option<&'a Secret<String>>,
    /// How to authenticate.
    pub auth_method: AuthMethod,
    /// RFC 8707 `resource` and the widespread `audience`, sent with every token request.
    pub extra: &'a BTreeMap<String, String>,
    /// What stands between requested scopes; a space unless the provider differs.
    pub scope_separator: Option<&'a str>,
}

/// A token answer that was accepted.
pub struct TokenAnswer {
    /// Not empty.
    pub access_token: Secret<String>,
    /// `None` when the answer had none or an empty one: then the old one stays valid (RFC 6749 §6).
    pub refresh_token: Option<Secret<String>>,
    /// Seconds; `None` when missing or zero.
    pub expires_in: Option<u64>,
    /// `None` when the answer had none: then the scope is the requested one (RFC 6749 §5.1). An empty or unreadable one
    /// grants nothing.
    pub scopes: Option<Vec<String>>,
    /// As sent, `bearer` when missing.
    pub token_type: String,
    /// When `openid` was granted.
    pub id_token: Option<Secret<String>>,
    /// Whether the access token can be presented as a bearer token. What a refresh brings is kept in any case: the
    /// refresh token before it may be spent.
    pub usable: bool,
    /// What the answer says beyond RFC 6749 (`instance_url`, `realmId`, a team), without tokens.
    pub extra: Map<String, Value>,
}

/// Why a token request brought no tokens.
#[derive(Debug)]
pub enum TokenFailure<E> {
    /// An RFC 6749 §5.2 error answer; anything that is not in its list is `other`.
    Refused(&'static str),
    /// The way there or back failed.
    Transport(E),
    /// An answer that is not RFC 6749.
    NotOAuth,
}

impl TokenEndpoint<'_> {
    fn client<E>(&self) -> Result<WireClient, TokenFailure<E>> {
        let url = TokenUrl::new(self.url.to_owned()).map_err(|_| TokenFailure::NotOAuth)?;
        let client = Client::new(ClientId::new(self.client_id.to_owned())).set_token_uri(url);
        let client = match self.auth_method {
            AuthMethod::ClientSecretBasic => client.set_auth_type(AuthType::BasicAuth),
            AuthMethod::ClientSecretPost | AuthMethod::None => client.set_auth_type(AuthType::RequestBody),
        };
        Ok(match self.client_secret {
            Some(secret) if self.auth_method != AuthMethod::None => {
                client.set_client_secret(ClientSecret::new(secret.expose().clone()))
            }
            _ => client,
        })
    }

    /// Asks for a token of the client's own (RFC 6749 §4.4.2).
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn client_credentials<H, E>(&self, http: &H, scopes: &[String]) -> Result<TokenAnswer, TokenFailure<E>>
    where
        H: for<'c> oauth2::AsyncHttpClient<'c, Error = E>,
        E: std::error::Error + 'static,
    {
        let client = self.client()?;
        let mut request = client.exchange_client_credentials();
        for (name, value) in self.extra {
            request = request.add_extra_param(name, value);
        }
        if let Some(scope) = self.scope(scopes) {
            request = request.add_extra_param("scope", scope);
        }
        answer(request.request_async(http).await)
    }

    /// Exchanges a person's username and password (RFC 6749 §4.3.2).
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn password<H, E>(
        &self,
        http: &H,
        username: &Secret<String>,
        password: &Secret<String>,
        scopes: &[String],
    ) -> Result<TokenAnswer, TokenFailure<E>>
    where
        H: for<'c> oauth2::AsyncHttpClient<'c, Error = E>,
        E: std::error::Error + 'static,
    {
        let client = self.client()?;
        let username = ResourceOwnerUsername::new(username.expose().clone());
        let password = ResourceOwnerPassword::new(password.expose().clone());
        let mut request = client.exchange_password(&username, &password);
        for (name, value) in self.extra {
            request = request.add_extra_param(name, value);
        }
        if let Some(scope) = self.scope(scopes) {
            request = request.add_extra_param("scope", scope);
        }
        answer(request.request_async(http).await)
    }

    /// The `scope` parameter; none when nothing is asked (RFC 6749 §3.3). The crate itself would join with spaces.
    fn scope(&self, scopes: &[String]) -> Option<String> {
        (!scopes.is_empty()).then(|| scopes.join(self.scope_separator.unwrap_or(" ")))
    }

    /// Exchanges an authorization code (RFC 6749 §4.1.3) with its verifier (RFC 7636 §4.5).
    ///
    /// # Errors
    /// [`TokenFailure`]; the code may be spent then.
    pub async fn exchange_code<H, E>(
        &self,
        http: &H,
        code: &Secret<String>,
        verifier: Option<&Secret<String>>,
        redirect_uri: &str,
    ) -> Result<TokenAnswer, TokenFailure<E>>
    where
        H: for<'c> oauth2::AsyncHttpClient<'c, Error = E>,
        E: std::error::Error + 'static,
    {
        let client = self.client()?;
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| TokenFailure::NotOAuth)?;
        let mut request = client
            .exchange_code(AuthorizationCode::new(code.expose().clone()))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect));
        if let Some(verifier) = verifier {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().clone()));
        }
        for (name, value) in self.extra {
            request = request.add_extra_param(name, value);
        }
        answer(request.request_async(http).await)
    }

    /// Presents a refresh token (RFC 6749 §6), once.
    ///
    /// # Errors
    /// [`TokenFailure`].
    pub async fn refresh<H, E>(&self, http: &H, refresh_token: &Secret<String>) -> Result<TokenAnswer, TokenFailure<E>>
    where
        H: for<'c> oauth2::AsyncHttpClient<'c, Error = E>,
        E: std::error::Error + 'static,
    {
        let client = self.client()?;
        let refresh_token = RefreshToken::new(refresh_token.expose().clone());
        let mut request = client.exchange_refresh_token(&refresh_token);
        for (name, value) in self.extra {
            request = request.add_extra_param(name, value);
        }
        answer(request.request_async(http).await)
    }
}

/// The crate's error carries the raw body in its Debug form, so it ends here.
fn answer<E: std::error::Error + 'static>(
    result: Result<WireResponse, oauth2::RequestTokenError<E, BasicErrorResponse>>,
) -> Result<TokenAnswer, TokenFailure<E>> {
    use oauth2::RequestTokenError as Wire;
    match result {
        Ok(response) => accept(&response).ok_or(TokenFailure::NotOAuth),
        Err(Wire::ServerResponse(response)) => Err(TokenFailure::Refused(known_error(response.error()))),
        Err(Wire::Request(error)) => Err(TokenFailure::Transport(error)),
        Err(Wire::Parse(..) | Wire::Other(_)) => Err(TokenFailure::NotOAuth),
    }
}

fn accept(response: &WireResponse) -> Option<TokenAnswer> {
    let access_token = response.access_token().secret();
    if access_token.is_empty() {
        return None;
    }
    let token_type = response.token_type().as_ref().to_owned();
    Some(TokenAnswer {
        access_token: Secret::new(access_token.clone()),
        refresh_token: response
            .refresh_token()
            .filter(|token| !token.secret().is_empty())
            .map(|token| Secret::new(token.secret().clone())),
        expires_in: response.expires_in().map(|duration| duration.as_secs()).filter(|seconds| *seconds > 0),
        scopes: response.scopes().map(|scopes| once(scopes.iter().map(|scope| scope.as_str()))),
        usable: is_usable_type(&token_type),
        token_type,
        id_token: response.extra_fields().id_token.clone().map(Secret::new),
        extra: response.extra_fields().rest.clone(),
    })
}

/// Scopes, each once. The adapter has split them, as only the dialect knows how.
fn once<'s>(scopes: impl Iterator<Item = &'s str>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for scope in scopes.filter(|scope| is_scope_token(scope)) {
        if !seen.iter().any(|known| known == scope) {
            seen.push(scope.to_owned());
        }
    }
    seen
}

/// Codes of RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6, RFC 6750 §3.1 and RFC 8707 §2 that token endpoints send as
/// well.
const BEYOND_6749: [&str; 9] = [
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_target",
    "invalid_token",
    "login_required",
    "server_error",
    "temporarily_unavailable",
];

/// What a code means, also one of those that providers have of their own.
fn known_error(error: &BasicErrorResponseType) -> &'static str {
    match error {
        BasicErrorResponseType::InvalidClient => "invalid_client",
        BasicErrorResponseType::InvalidGrant => "invalid_grant",
        BasicErrorResponseType::InvalidRequest => "invalid_request",
        BasicErrorResponseType::InvalidScope => "invalid_scope",
        BasicErrorResponseType::UnauthorizedClient => "unauthorized_client",
        BasicErrorResponseType::UnsupportedGrantType => "unsupported_grant_type",
        BasicErrorResponseType::Extension(code) => match advice::meaning(code) {
            advice::RATE_LIMITED => "temporarily_unavailable",
            known @ ("invalid_client" | "invalid_grant" | "unsupported_grant_type") => known,
            other => BEYOND_6749.into_iter().find(|known| *known == other).unwrap_or("other"),
        },
    }
}

/// Whether a token of this type can be used as a bearer token is: odd names mean bearer, these do not.
pub(crate) fn is_usable_type(token_type: &str) -> bool {
    !["dpop", "mac", "pop"].contains(&token_type.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_own_code_counts_as_the_one_that_it_stands_for() {
        for (code, means) in [
            ("incorrect_client_credentials", "invalid_client"),
            ("bad_client_secret", "invalid_client"),
            ("invalid_client_id", "invalid_client"),
            ("invalid_client_secret", "invalid_client"),
            ("invalid_code", "invalid_grant"),
            ("code_expired", "invalid_grant"),
            ("code_already_used", "invalid_grant"),
            ("expired_token", "invalid_grant"),
            ("bad_refresh_token", "invalid_grant"),
            ("ratelimited", "temporarily_unavailable"),
            ("mfa_required", "interaction_required"),
            ("invalid_resource", "invalid_target"),
            ("redirect_uri_mismatch", "other"),
            ("unheard_of", "other"),
        ] {
            assert_eq!(known_error(&BasicErrorResponseType::Extension(code.to_owned())), means, "{code}");
        }
    }
}
