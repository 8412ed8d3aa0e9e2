//! The revocation endpoint (RFC 7009).

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::Sandbox;
use crate::client_auth::PresentedClient;
use crate::log::Facts;
use crate::oauth_error::{OauthError, no_store};
use crate::parameters::Parameters;
use crate::settings::TokenResponseShape;
use crate::state::{Revocation, State};
use crate::token::with_facts;

pub(crate) async fn revoke(
    Shared(sandbox): Shared<Sandbox>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut facts = Facts::default();
    let outcome = answer(&sandbox, &headers, body, &mut facts).await;
    with_facts(outcome, facts)
}

async fn answer(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    facts: &mut Facts,
) -> Result<Response, OauthError> {
    let parameters = Parameters::from_body(headers, body)?;
    facts.note(&parameters);
    let presented = PresentedClient::parse(headers, &parameters)?;
    facts.client_secret = presented.secret_fingerprint();
    let scripted = sandbox.read(|state| {
        let known = state.clients.get(&presented.client_id)?;
        facts.client_id = Some(known.client_id.clone());
        Some(!known.revoke_answers.is_empty())
    });
    if scripted == Some(true) {
        let next = |state: &mut State| state.clients.get_mut(&presented.client_id)?.next_revoke_answer();
        if !facts.follow(sandbox.transact(next)?, &TokenResponseShape::default()).await {
            // Nobody gets to see it.
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let revocation = sandbox.transact(|state| {
        let client = presented.authenticate(state)?;
        let token = parameters.one("token")?.ok_or(OauthError::invalid_request("token is missing"))?;
        let now = state.now();
        Ok::<_, OauthError>(state.revoke_token(&client, token, now))
    })??;
    match revocation {
        Revocation::Done => Ok(no_store(StatusCode::OK)),
        Revocation::OtherClient => Err(OauthError::invalid_grant("the token was issued to another client")),
    }
}
