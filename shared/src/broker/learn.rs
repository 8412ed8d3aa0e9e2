//! What a provider can be asked about a token that its answer did not say: whose it is, and when it ends.

use http::{HeaderValue, header};
use serde_json::Value;

use super::Broker;
use super::inputs::Inputs;
use crate::model::client::{Client, Resolved};
use crate::model::credential::{Account, Credential};
use crate::outbound::{Limits, OutboundRequest};
use crate::secret::Secret;

impl Broker {
    /// The account that an access token belongs to, by the userinfo endpoint (OpenID Connect Core §5.3). Best effort: a
    /// provider that does not say costs nobody a consent.
    pub(crate) async fn ask_account(
        &self,
        client: &Client,
        resolved: &Resolved,
        inputs: &Inputs,
        access_token: &Secret<String>,
    ) -> Option<Account> {
        let endpoint = client.settings.userinfo_endpoint.as_deref()?;
        let url = client.url("userinfo_endpoint", endpoint, &inputs.shown).ok()?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", access_token.expose())).ok()?;
        bearer.set_sensitive(true);
        let request = OutboundRequest::get(url.clone(), Limits::LOOKUP).with_header(header::AUTHORIZATION, bearer);
        let answer = self.outbound().send(request).await.ok().filter(|answer| answer.status.is_success())?;
        let document: Value = serde_json::from_slice(&answer.body).ok()?;
        let subject = match document.get("sub")? {
            Value::String(text) if !text.is_empty() && text.len() <= 255 => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        // Without an issuer of its own, the server that answers stands for it.
        let issuer = client.settings.issuer.clone();
        let issuer =
            issuer.or_else(|| Some(url::Url::parse(&resolved.token_endpoint).ok()?.origin().ascii_serialization()));
        Some(Account { issuer: issuer?, subject })
    }

    /// Learns when the access token ends by introspection (RFC 7662), where the answer did not say. Best effort, after
    /// everything is stored.
    pub(crate) async fn learn_expiry(&self, client: &Client, resolved: &Resolved, stored: Credential) -> Credential {
        self.learn_end(client, resolved, stored, true).await
    }

    /// As [`Broker::learn_expiry`], of a token that may be old.
    pub(crate) async fn learn_end(
        &self,
        client: &Client,
        resolved: &Resolved,
        stored: Credential,
        fresh: bool,
    ) -> Credential {
        if resolved.introspection_endpoint.is_none() {
            return stored;
        }
        match self.engine().introspect(client, resolved, &stored, fresh).await {
            Ok(Some(learned)) => learned,
            Ok(None) => stored,
            Err(error) => {
                tracing::warn!(credential = %stored.id, %error, "the token's end was not learned");
                stored
            }
        }
    }
}
