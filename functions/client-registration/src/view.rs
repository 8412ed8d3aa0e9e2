//! A client as API.md writes it: never a secret.

use grantkeeper::broker::Broker;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::client::{Client, ClientSecret, ClientSettings, ClientStatus};
use grantkeeper::model::ids::ClientId;
use serde::Serialize;
use utoipa::ToSchema;

/// A client, with the redirect URI to enter at the provider.
#[derive(Serialize, ToSchema)]
#[schema(as = Client)]
pub struct ClientView {
    #[serde(flatten)]
    settings: ClientSettings,
    /// Its id; not the `client_id` that the authorization server issued.
    id: ClientId,
    /// The unguessable part of its redirect URI.
    client_key: String,
    /// The exact redirect URI to enter at the provider.
    redirect_uri: String,
    /// Whether it can be used.
    status: ClientStatus,
    /// The fields that its grants need and that it still lacks.
    missing: Vec<String>,
    /// Its secrets, newest first, without their values.
    client_secrets: Vec<ClientSecret>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Shows a client.
pub fn client(client: Client, broker: &Broker) -> ClientView {
    ClientView {
        redirect_uri: broker.config().redirect_uri(&client.client_key),
        status: client.status(),
        missing: client.missing(),
        id: client.id,
        client_key: client.client_key,
        client_secrets: client.client_secrets,
        created_at: client.created_at,
        updated_at: client.updated_at,
        settings: client.settings.with_defaults(),
    }
}
