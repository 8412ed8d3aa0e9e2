//! A client as API.md writes it: never a secret.

use grantkeeper::broker::Broker;
use grantkeeper::model::client::Client;
use serde_json::{Value, json};

/// The client, with the redirect URI to enter at the provider.
pub fn client(client: &Client, broker: &Broker) -> Value {
    let mut view = json!({
        "id": client.id,
        "client_key": client.client_key,
        "redirect_uri": broker.config().redirect_uri(&client.client_key),
        "status": client.status(),
        "missing": client.missing(),
        "client_secrets": client.client_secrets.iter().map(|secret| json!({
            "id": secret.id,
            "added_at": secret.added_at,
            "last_success_at": secret.last_success_at,
            "retire_at": secret.retire_at,
            "expires_at": secret.expires_at,
        })).collect::<Vec<_>>(),
        "created_at": client.created_at,
        "updated_at": client.updated_at,
    });
    let settings = serde_json::to_value(&client.settings).unwrap_or_default();
    if let (Some(view), Value::Object(settings)) = (view.as_object_mut(), settings) {
        view.extend(settings);
    }
    view
}
