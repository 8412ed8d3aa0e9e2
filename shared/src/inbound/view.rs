//! Objects as API.md writes them, where more than one function answers with them.

use serde_json::{Value, json};

use crate::broker::read_token::Delivery;
use crate::model::credential::Credential;

/// A credential: metadata only.
pub fn credential(credential: &Credential) -> Value {
    json!({
        "id": credential.id,
        "name": credential.name,
        "kind": "oauth",
        "owner": credential.owner,
        "client": credential.client,
        "projects": [credential.project],
        "labels": credential.labels,
        "external_id": credential.external_id,
        "status": credential.status,
        "status_reason": credential.status_reason,
        "requested_scopes": credential.requested_scopes,
        "granted_scopes": credential.granted_scopes,
        "account": credential.account,
        "account_kind": credential.account_kind,
        "expires_at": credential.expires_at(),
        "last_refreshed_at": credential.last_refreshed_at,
        "generation": credential.generation,
        "created_at": credential.created_at,
    })
}

/// An access token on its way to a program. The only place where a token becomes part of an answer.
pub fn delivery(delivery: &Delivery) -> Value {
    let mut view = json!({
        "access_token": delivery.access_token.expose(),
        "token_type": delivery.token_type,
        "expires_at": delivery.expires_at,
        "refresh_after": delivery.refresh_after,
        "generation": delivery.generation,
        "scopes": delivery.scopes,
        "header": { "name": delivery.header_name, "value": delivery.header_value.expose() },
        "headers": delivery.headers,
        "api_base_url": delivery.api_base_url,
        "variables": {},
        "extra": {},
    });
    if let (Some(view), Some(warning)) = (view.as_object_mut(), delivery.warning) {
        view.insert("warning".to_owned(), warning.into());
    }
    view
}
