//! The authorization endpoint (RFC 6749 §3.1): checks the request, asks the person, answers the client.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State as Shared};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use crate::Sandbox;
use crate::oauth_error::no_store;
use crate::opaque::new_code;
use crate::pages;
use crate::parameters::Parameters;
use crate::settings::is_username;
use crate::state::{Code, after};

mod request;

use request::{AuthorizationRequest, Refusal};

/// What the person pressed on the consent page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allow,
    Deny,
}

pub(crate) async fn by_query(Shared(sandbox): Shared<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    answer(&sandbox, &parameters, Ok(None)).unwrap_or_else(refused)
}

/// An authorization request in a form (OpenID Connect Core §3.1.2.1), or the answer to the consent page: the page
/// sends the whole request along with the decision, and it is checked again from the start.
pub(crate) async fn by_form(
    Shared(sandbox): Shared<Sandbox>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(parameters) = Parameters::from_body(&headers, body) else {
        return refused(Refusal::Page("The request is not a form."));
    };
    let decision = match parameters.one("decision") {
        Ok(None) => Ok(None),
        Ok(Some("allow")) => Ok(Some(Decision::Allow)),
        Ok(Some("deny")) => Ok(Some(Decision::Deny)),
        _ => Err(Refusal::Page("The decision is neither allow nor deny.")),
    };
    answer(&sandbox, &parameters, decision).unwrap_or_else(refused)
}

fn answer(
    sandbox: &Sandbox,
    parameters: &Parameters,
    decision: Result<Option<Decision>, Refusal>,
) -> Result<Response, Refusal> {
    let decision = decision?;
    let request = sandbox.read(|state| AuthorizationRequest::parse(&state.clients, sandbox.issuer(), parameters))?;
    if let Some(user) = request.client.auto_consent.clone() {
        return grant(sandbox, &request, &user);
    }
    match decision {
        Some(Decision::Deny) => Err(request.reply.error("access_denied", "the person did not allow it")),
        Some(Decision::Allow) => {
            let typed = parameters.first("username").unwrap_or_default().trim();
            if is_username(typed) {
                grant(sandbox, &request, typed)
            } else {
                Ok(ask(&request, parameters, Some(typed)))
            }
        }
        None if request.prompt_none => Err(request.reply.error("login_required", "nobody is signed in")),
        None => Ok(ask(&request, parameters, None)),
    }
}

/// Gives out a code, saved before the browser learns it.
fn grant(sandbox: &Sandbox, request: &AuthorizationRequest, user: &str) -> Result<Response, Refusal> {
    let failed = || request.reply.error("server_error", "internal error");
    let code = new_code().map_err(|_| failed())?;
    sandbox
        .transact(|state| {
            let now = state.now();
            let pending = Code {
                client_id: request.client.client_id.clone(),
                user: user.to_owned(),
                scopes: request.scopes.clone(),
                redirect_uri: request.redirect_uri.clone(),
                redirect_uri_given: request.redirect_uri_given,
                code_challenge: request.code_challenge.clone(),
                nonce: request.nonce.clone(),
                audiences: request.audiences.clone(),
                issued_at: now,
                expires_at: after(now, request.client.code_seconds),
                redeemed_as: None,
            };
            state.insert_code(&code, pending);
        })
        .map_err(|_| failed())?;
    let extra = request.client.callback_params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let parameters: Vec<(&str, &str)> = [("code", code.as_str())].into_iter().chain(extra).collect();
    Ok(redirect(&request.reply.location(&parameters)))
}

fn ask(request: &AuthorizationRequest, parameters: &Parameters, rejected_name: Option<&str>) -> Response {
    let username = rejected_name.or(request.login_hint.as_deref()).unwrap_or("ada");
    let carried = request::PARAMETERS
        .iter()
        .flat_map(|name| parameters.all(name).map(|value| (*name, value.to_owned())))
        .collect();
    pages::consent(&request.client.client_id, username, rejected_name.is_some(), &request.scopes, carried)
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Page(problem) => pages::refusal(problem),
        Refusal::Redirect(location) => redirect(&location),
    }
}

/// 303, so that no browser ever repeats the form at the client (RFC 9700 §4.12).
fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        return pages::refusal("The redirect URI cannot be used in a header.");
    };
    let mut response = no_store(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, location);
    response
}
