//! The token endpoint (RFC 6749 §3.2).

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Sandbox;
use crate::client_auth::PresentedClient;
use crate::log::Facts;
use crate::oauth_error::{OauthError, no_store};
use crate::opaque::FreshTokens;
use crate::parameters::Parameters;
use crate::settings::{ClientSettings, GrantType, is_username};
use crate::state::{CodeRedemption, Issued, State};

/// The one password that is right.
const PASSWORD: &str = "sandbox";

/// A successful answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

pub(crate) async fn token(
    Shared(sandbox): Shared<Sandbox>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut facts = Facts::default();
    let outcome = answer(&sandbox, &headers, body, &mut facts).map(|answer| no_store(Json(answer)));
    with_facts(outcome, facts)
}

/// The answer or the error, with what the log needs.
pub(crate) fn with_facts(outcome: Result<Response, OauthError>, mut facts: Facts) -> Response {
    let mut response = outcome.unwrap_or_else(|error| {
        facts.error = Some(error.code);
        error.into_response()
    });
    response.extensions_mut().insert(facts);
    response
}

fn answer(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    facts: &mut Facts,
) -> Result<TokenAnswer, OauthError> {
    let parameters = Parameters::from_body(headers, body)?;
    facts.note(&parameters);
    let presented = PresentedClient::parse(headers, &parameters)?;
    let fresh = FreshTokens::generate()?;
    // An error may change the state as well: reuse revokes. So the change is kept whatever it answers.
    let (client, issued) = sandbox.transact(|state| {
        if let Some(known) = state.clients.get(&presented.client_id) {
            facts.client_id = Some(known.client_id.clone());
            facts.delay_ms = known.delay_ms;
        }
        let client = presented.authenticate(state)?;
        let issued = exchange(state, &client, &parameters, fresh)?;
        Ok::<_, OauthError>((client, issued))
    })??;
    let id_token = issued
        .id
        .as_ref()
        .map(|facts| sandbox.0.signing_key.id_token(sandbox.issuer(), &client.client_id, facts, &issued.access_token))
        .transpose()?;
    Ok(TokenAnswer {
        access_token: issued.access_token,
        token_type: "Bearer",
        expires_in: issued.expires_in,
        refresh_token: issued.refresh_token,
        scope: (!client.omit_scope).then(|| issued.scopes.join(" ")),
        id_token,
    })
}

fn exchange(
    state: &mut State,
    client: &ClientSettings,
    parameters: &Parameters,
    fresh: FreshTokens,
) -> Result<Issued, OauthError> {
    let grant_type = parameters.one("grant_type")?.ok_or(OauthError::invalid_request("grant_type is missing"))?;
    let grant_type = GrantType::parse(grant_type).ok_or(OauthError::unsupported_grant_type())?;
    if !client.grant_types.contains(&grant_type) {
        return Err(OauthError::unauthorized_client("the client may not use this grant type"));
    }
    let now = state.now();
    let scope = parameters.one("scope")?;
    match grant_type {
        GrantType::AuthorizationCode => {
            let request = CodeRedemption {
                code: parameters.one("code")?.ok_or(OauthError::invalid_request("code is missing"))?,
                redirect_uri: parameters.one("redirect_uri")?,
                code_verifier: parameters.one("code_verifier")?,
            };
            state.redeem_code(client, &request, fresh, now)
        }
        GrantType::RefreshToken => {
            let missing = OauthError::invalid_request("refresh_token is missing");
            state.refresh(client, parameters.one("refresh_token")?.ok_or(missing)?, scope, fresh, now)
        }
        GrantType::ClientCredentials => {
            // RFC 6749 §4.4: confidential clients only.
            if client.client_secret.is_none() {
                return Err(OauthError::unauthorized_client("a public client cannot act for itself"));
            }
            let scopes = client.scopes_for(scope).ok_or(OauthError::invalid_scope())?;
            Ok(state.grant_client_credentials(client, scopes, fresh, now))
        }
        GrantType::Password => {
            let user = parameters.one("username")?.ok_or(OauthError::invalid_request("username is missing"))?;
            let password = parameters.one("password")?.ok_or(OauthError::invalid_request("password is missing"))?;
            if password != PASSWORD || !is_username(user) {
                return Err(OauthError::invalid_grant("username or password is wrong"));
            }
            let scopes = client.scopes_for(scope).ok_or(OauthError::invalid_scope())?;
            Ok(state.grant_password(client, user, scopes, fresh, now))
        }
    }
}
