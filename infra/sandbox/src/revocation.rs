//! The revocation endpoint (RFC 7009).

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use crate::Sandbox;
use crate::client_auth::PresentedClient;
use crate::log::Facts;
use crate::oauth_error::{OauthError, no_store};
use crate::parameters::Parameters;
use crate::state::Revocation;
use crate::token::with_facts;

pub(crate) async fn revoke(
    Shared(sandbox): Shared<Sandbox>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut facts = Facts::default();
    let outcome = answer(&sandbox, &headers, body, &mut facts);
    with_facts(outcome.map(|()| no_store(StatusCode::OK)), facts)
}

fn answer(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    facts: &mut Facts,
) -> Result<(), OauthError> {
    let parameters = Parameters::from_body(headers, body)?;
    facts.note(&parameters);
    let presented = PresentedClient::parse(headers, &parameters)?;
    let revocation = sandbox.transact(|state| {
        facts.client_id = state.clients.get(&presented.client_id).map(|known| known.client_id.clone());
        let client = presented.authenticate(state)?;
        let token = parameters.one("token")?.ok_or(OauthError::invalid_request("token is missing"))?;
        let now = state.now();
        Ok::<_, OauthError>(state.revoke_token(&client, token, now))
    })??;
    match revocation {
        Revocation::Done => Ok(()),
        Revocation::OtherClient => Err(OauthError::invalid_grant("the token was issued to another client")),
    }
}
