//! The introspection endpoint (RFC 7662), open to each client for its own tokens.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use crate::Sandbox;
use crate::client_auth::PresentedClient;
use crate::id_token::subject;
use crate::log::Facts;
use crate::oauth_error::{OauthError, no_store};
use crate::parameters::Parameters;
use crate::state::{Grant, ValidToken};
use crate::token::with_facts;

pub(crate) async fn introspect(
    Shared(sandbox): Shared<Sandbox>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let mut facts = Facts::default();
    let outcome = answer(&sandbox, &headers, body, &mut facts);
    with_facts(outcome.map(|answer| no_store(Json(answer))), facts)
}

fn answer(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    facts: &mut Facts,
) -> Result<Value, OauthError> {
    let parameters = Parameters::from_body(headers, body)?;
    facts.note(&parameters);
    let presented = PresentedClient::parse(headers, &parameters)?;
    facts.client_secret = presented.secret_fingerprint();
    sandbox.read(|state| {
        facts.client_id = state.clients.get(&presented.client_id).map(|known| known.client_id.clone());
        let client = presented.authenticate(state)?;
        let token = parameters.one("token")?.ok_or(OauthError::invalid_request("token is missing"))?;
        Ok(match state.find_token_of(&client, token, state.now()) {
            // RFC 7662 §2.2: nothing but this, whatever the reason.
            None => json!({ "active": false }),
            Some(ValidToken::Access(token, grant)) => {
                let mut answer = description(sandbox, grant, &token.scopes, client.shown(token.issued_at));
                set(&mut answer, "token_type", Some(json!("Bearer")));
                set(&mut answer, "exp", token.expires_at.map(|expires_at| json!(client.shown(expires_at) / 1000)));
                answer
            }
            Some(ValidToken::Refresh(token, grant)) => {
                description(sandbox, grant, &client.granted(&grant.scopes), client.shown(token.issued_at))
            }
        })
    })
}

fn description(sandbox: &Sandbox, grant: &Grant, scopes: &[String], issued_at: i64) -> Value {
    let mut answer = json!({
        "active": true,
        "scope": scopes.join(" "),
        "client_id": grant.client_id,
        "iat": issued_at / 1000,
        "iss": sandbox.issuer(),
    });
    set(&mut answer, "username", grant.user.as_ref().map(|user| json!(user)));
    set(&mut answer, "sub", grant.user.as_ref().map(|user| json!(subject(user))));
    answer
}

/// Adds a member that may be missing.
fn set(answer: &mut Value, name: &str, value: Option<Value>) {
    if let (Some(members), Some(value)) = (answer.as_object_mut(), value) {
        members.insert(name.to_owned(), value);
    }
}
