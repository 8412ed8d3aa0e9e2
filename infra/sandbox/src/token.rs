//! The token endpoint (RFC 6749 §3.2).

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::Sandbox;
use crate::client_auth::PresentedClient;
use crate::log::Facts;
use crate::oauth_error::OauthError;
use crate::opaque::FreshTokens;
use crate::parameters::Parameters;
use crate::settings::{ClientSettings, GrantType, ScriptedAnswer, is_username};
use crate::state::{CodeRedemption, IdFacts, Issued, State};

mod answer;
mod wire;

pub(crate) use answer::error_body;
use wire::Wire;

/// The one password that is right.
const PASSWORD: &str = "sandbox";

pub(crate) async fn token(
    Shared(sandbox): Shared<Sandbox>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut facts = Facts::default();
    let wire = Wire::read(&method, &uri, &headers, body);
    let named = sandbox.read(|state| wire.find_client(&state.clients).cloned()).unwrap_or_default();
    let parameters = wire.parameters(&named.token_request);
    let presented = PresentedClient::parse(&headers, &parameters);
    facts.note(&parameters);
    facts.client_secret = presented.as_ref().ok().and_then(PresentedClient::secret_fingerprint);
    facts.client_id = Some(named.client_id.clone()).filter(|client_id| !client_id.is_empty());
    facts.delay_ms = named.delay_ms;
    let outcome = match arrive(&sandbox, &named, &parameters, &mut facts) {
        Ok(scripted) => {
            if !facts.follow(scripted, &named.token_response).await {
                // Nobody gets to see it.
                return with_facts(Ok(StatusCode::NO_CONTENT.into_response()), facts);
            }
            let request = Request { wire: &wire, parameters: &parameters, presentation: facts.presentation };
            answer(&sandbox, &request, &named, presented)
        }
        Err(error) => Err(error),
    };
    let outcome = outcome.or_else(|error| {
        facts.error = Some(error.code);
        Ok(answer::refusal(&named.token_response, error))
    });
    with_facts(outcome, facts)
}

/// Notes the refresh token that is presented, and takes the scripted answer if there is one.
fn arrive(
    sandbox: &Sandbox,
    named: &ClientSettings,
    parameters: &Parameters,
    facts: &mut Facts,
) -> Result<Option<ScriptedAnswer>, OauthError> {
    if let Some(token) = parameters.first("refresh_token") {
        let number = sandbox.read(|state| sandbox.0.presented.arrived(state, facts.client_id.as_deref(), token));
        facts.presentation = Some(number);
    }
    if named.token_answers.is_empty() && named.token_faults.is_empty() {
        return Ok(None);
    }
    let grant_type = parameters.first("grant_type").and_then(GrantType::parse);
    let next = |state: &mut State| state.clients.get_mut(&named.client_id)?.next_token_answer(grant_type);
    Ok(sandbox.transact(next)?)
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

/// A token request that is to be carried out.
struct Request<'a> {
    wire: &'a Wire<'a>,
    parameters: &'a Parameters,
    /// The number of the presentation of a refresh token.
    presentation: Option<u64>,
}

/// `named` is the client the request names, or the defaults when there is no such client.
fn answer(
    sandbox: &Sandbox,
    request: &Request<'_>,
    named: &ClientSettings,
    presented: Result<PresentedClient, OauthError>,
) -> Result<Response, OauthError> {
    request.wire.check(&named.token_request)?;
    let presented = presented?;
    let fresh = FreshTokens::generate()?;
    let parameters = request.parameters;
    let grant = parameters.first("refresh_token").filter(|_| request.presentation.is_some());
    // An error may change the state as well: reuse revokes. So the change is kept whatever it answers.
    let (outcome, revoked) = sandbox.transact(|state| {
        let grant = grant.and_then(|token| state.grant_of(token));
        let outcome = presented.authenticate(state).and_then(|client| {
            let issued = exchange(state, &client, parameters, fresh)?;
            state.direct(&issued.access_token, parameters.audiences());
            Ok((client, issued))
        });
        (outcome, grant.is_some_and(|grant| !state.stands(grant)))
    })?;
    if let Some(number) = request.presentation {
        sandbox.0.presented.carried_out(number, outcome.is_ok(), revoked);
    }
    let (client, issued) = outcome?;
    let id_token = issued.id.as_ref().map(|facts| {
        let shown = IdFacts {
            auth_time: client.shown(facts.auth_time),
            issued_at: client.shown(facts.issued_at),
            ..facts.clone()
        };
        sandbox.0.signing_key.id_token(sandbox.issuer(), &client.client_id, &shown, &issued.access_token)
    });
    Ok(answer::tokens(&client, &issued, id_token.transpose()?))
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
            if client.is_public() {
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
