//! Revocation requests.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::arrived::Arrived;
use super::facts::RevocationAuth;
use super::inner::Reply;
use super::known::variable;
use super::place::put_ok;
use super::resource::bearer;
use super::sites::Site;
use super::template::{Meaning, Pattern, Shape};
use super::wanted::Wanted;
use super::{Complaint, Endpoint, Posed, inner, shape, token};
use crate::Sandbox;
use crate::oauth_error::no_store;
use crate::settings::AuthMethod;

/// A revocation that is as the entry says.
pub(super) struct Revoked {
    /// Nothing where the entry has the account named instead.
    token: Option<String>,
    secret: Option<String>,
}

/// Checks a request at the revocation endpoint.
pub(super) fn read(posed: &Posed, site: &Site, arrived: &Arrived) -> Result<Revoked, Complaint> {
    let request = &posed.entry.revocation_request;
    let auth = request.auth.unwrap_or(match posed.entry.auth() {
        AuthMethod::ClientSecretBasic => RevocationAuth::ClientSecretBasic,
        AuthMethod::ClientSecretPost => RevocationAuth::ClientSecretPost,
        AuthMethod::None => RevocationAuth::None,
    });
    let wanted = wanted(posed, auth);
    let query = site.address.rest_of(&arrived.query);
    let query = query.ok_or_else(|| "the query of the address itself is not kept".to_owned())?;
    let mut told = wanted.read(arrived, &query)?;
    let mut shown = None;
    match auth {
        RevocationAuth::Bearer if !wanted.sets(&posed.entry.header.name) => {
            shown = Some(bearer(&posed.entry.header, arrived)?);
        }
        RevocationAuth::Bearer => {}
        RevocationAuth::ClientSecretBasic => {
            token::authenticate(posed, &wanted, AuthMethod::ClientSecretBasic, arrived, &mut told)?;
        }
        RevocationAuth::ClientSecretPost | RevocationAuth::None => {
            token::authenticate(posed, &wanted, AuthMethod::None, arrived, &mut told)?;
        }
    }
    let text = |name: &str| told.get(name).map(str::to_owned);
    let token = text("token").or(shown).or_else(|| text("access_token"));
    let names_account = request.names.get("token").is_some_and(String::is_empty);
    if token.is_none() && !names_account {
        return Err("no token is named".to_owned().into());
    }
    let secret = text("client_secret").or_else(|| posed.settings.client_secrets.first().cloned());
    Ok(Revoked { token, secret })
}

fn wanted(posed: &Posed, auth: RevocationAuth) -> Wanted<'_> {
    let request = &posed.entry.revocation_request;
    let mut wanted = Wanted::new(request.method.as_deref(), request.content_type.as_deref());
    let open = |name: &str| Shape::Text(Pattern::open(name));
    let is_bearer = auth == RevocationAuth::Bearer;
    for (name, optional) in [("token", false), ("token_type_hint", true)] {
        // An API call carries only what the entry names.
        if !is_bearer || request.names.contains_key(name) {
            wanted.parameters.standard(&request.names, name, open(name), optional);
        }
    }
    if matches!(auth, RevocationAuth::ClientSecretPost | RevocationAuth::None) {
        let client_id = Shape::Text(Pattern::exactly(&posed.settings.client_id));
        wanted.parameters.standard(&request.names, "client_id", client_id, false);
    }
    if auth == RevocationAuth::ClientSecretPost && posed.has_secret() {
        wanted.parameters.standard(&request.names, "client_secret", open("client_secret"), false);
    }
    let meaning = |name: &str| {
        variable(posed.known.first(), name).unwrap_or_else(|| match name {
            "client_id" => Meaning::Is(posed.settings.client_id.clone()),
            "client_secret" if posed.has_secret() => Meaning::Open,
            "token" | "access_token" | "token_type_hint" | "random" | "uuid" => Meaning::Open,
            _ => Meaning::Unset,
        })
    };
    wanted.add(&request.headers, request.body.as_ref(), &meaning, &|shape| shape.asks("token_type_hint"));
    wanted
}

/// Revokes at the sandbox. Whichever token is shown, the whole grant ends, as people expect of providers.
pub(super) async fn answer(sandbox: &Sandbox, posed: &Posed, revoked: Revoked) -> Response {
    let Some(token) = revoked.token else {
        return match sandbox.transact(|state| state.revoke_user(&posed.settings.user)) {
            Ok(_) => no_store(Json(json!({}))),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    };
    let behind = posed.notes().renewals.get(&token).cloned();
    let token = behind.unwrap_or(token);
    let grant = sandbox.read(|state| state.grant_of(&token));
    let client = (posed.settings.client_id.as_str(), revoked.secret.as_deref());
    let (reply, marks) = inner::post(sandbox, "/revoke", client, &[("token", &token)]).await;
    let response = match reply {
        Reply::Json(status, members) if !status.is_success() => {
            return marks.put_on(shape::passed_on(posed, Endpoint::Revoke, status, &members)).await;
        }
        Reply::Json(status, members) => (status, Json(members)).into_response(),
        Reply::Other(response) => response,
    };
    // A scripted answer may have left the token alone.
    let is_dead = sandbox.read(|state| state.grant_of(&token)).is_none();
    if let Some(grant) = grant.filter(|_| is_dead)
        && sandbox.transact(|state| state.revoke_grant(grant)).is_err()
    {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let response = match &posed.entry.token_response.ok {
        Some(ok) if response.status().is_success() && !marks.is_replaced => {
            let mut answer = Value::Null;
            put_ok(&mut answer, ok, true);
            no_store(Json(answer))
        }
        _ => response,
    };
    marks.put_on(response).await
}
