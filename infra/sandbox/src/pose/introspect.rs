//! Introspection requests, by the book (RFC 7662 §2.1).

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;

use super::arrived::Arrived;
use super::inner::Reply;
use super::sites::Site;
use super::template::{Pattern, Shape};
use super::wanted::Wanted;
use super::{Complaint, Endpoint, Posed, inner, shape, token};
use crate::Sandbox;
use crate::oauth_error::no_store;
use crate::settings::AuthMethod;

pub(super) struct Question {
    token: String,
    secret: Option<String>,
}

/// Checks a request at the introspection endpoint: the client authenticates as it does for tokens.
pub(super) fn read(posed: &Posed, site: &Site, arrived: &Arrived) -> Result<Question, Complaint> {
    let (names, auth) = (BTreeMap::new(), posed.entry.auth());
    let mut wanted = Wanted::new(None, None);
    let open = |name: &str| Shape::Text(Pattern::open(name));
    wanted.parameters.standard(&names, "token", open("token"), false);
    wanted.parameters.standard(&names, "token_type_hint", open("token_type_hint"), true);
    if auth != AuthMethod::ClientSecretBasic {
        let client_id = Shape::Text(Pattern::exactly(&posed.settings.client_id));
        wanted.parameters.standard(&names, "client_id", client_id, false);
    }
    if auth == AuthMethod::ClientSecretPost && posed.has_secret() {
        wanted.parameters.standard(&names, "client_secret", open("client_secret"), false);
    }
    let query = site.address.rest_of(&arrived.query);
    let query = query.ok_or_else(|| "the query of the address itself is not kept".to_owned())?;
    let mut told = wanted.read(arrived, &query)?;
    token::authenticate(posed, &wanted, auth, arrived, &mut told)?;
    let token = told.get("token").ok_or_else(|| "no token is named".to_owned())?.to_owned();
    let secret = told.get("client_secret").map(str::to_owned);
    Ok(Question { token, secret: secret.or_else(|| posed.settings.client_secrets.first().cloned()) })
}

pub(super) async fn answer(sandbox: &Sandbox, posed: &Posed, question: Question) -> Response {
    let client = (posed.settings.client_id.as_str(), question.secret.as_deref());
    let (reply, marks) = inner::post(sandbox, "/introspect", client, &[("token", &question.token)]).await;
    let response = match reply {
        Reply::Json(StatusCode::OK, members) => no_store(Json(members)),
        Reply::Json(status, members) => shape::passed_on(posed, Endpoint::Introspect, status, &members),
        Reply::Other(response) => response,
    };
    marks.put_on(response).await
}
