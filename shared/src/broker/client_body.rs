//! The body of a client that names its provider: laid over the entry of the catalogue, before it is typed. The result is
//! a complete client: what the catalogue says later changes none that is stored.

use serde_json::Value;

use super::Broker;
use super::register_client::{NewClient, parse_client};
use crate::catalogue::{Provider, is_wire_fact};
use crate::error::{Error, Result};
use crate::model::client::{ClientSettings, GrantType};
use crate::protocol::merge_patch::merge;

impl Broker {
    /// Reads the body of `POST /v1/clients`, with the facts of the provider that it names.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field that is wrong, missing or unknown.
    pub fn new_client(&self, mut body: Value) -> Result<NewClient> {
        if let Some(Some(provider)) = self.take_provider(&mut body)? {
            let named = named_grants(&body);
            let grants = named.unwrap_or_else(|| provider.usual_grants());
            check_grants(&provider, &grants)?;
            let over = std::mem::replace(&mut body, provider.body(&grants));
            merge(&mut body, over);
        }
        let (settings, client_secret, client_key) = parse_client(body)?;
        Ok(NewClient { settings, client_secret, client_key })
    }

    /// What a merge patch is applied to: the settings as they are, or with the facts of the provider that it names in
    /// place of theirs.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn patched(&self, old: &ClientSettings, mut patch: Value) -> Result<Value> {
        // Who sends back what was read does not ask for the entry's facts anew.
        let same = old.provider.is_some() && patch.get("provider").and_then(Value::as_str) == old.provider.as_deref();
        if let Some(patch) = patch.as_object_mut().filter(|patch| same && patch.keys().any(|name| is_wire_fact(name))) {
            patch.remove("provider");
        }
        let mut merged = match self.take_provider(&mut patch)? {
            Some(Some(provider)) => {
                let grants = named_grants(&patch).unwrap_or_else(|| old.grant_types.clone());
                check_grants(&provider, &grants)?;
                provider.renewed(old, &grants)
            }
            Some(None) => settings_json(&ClientSettings { provider: None, ..old.clone() })?,
            None => settings_json(old)?,
        };
        // Null removes a member; null and absent settings are the same.
        merge(&mut merged, patch);
        Ok(merged)
    }

    /// Takes the provider out of a body: `None` where it names none, `Some(None)` where it says that there is none.
    fn take_provider(&self, body: &mut Value) -> Result<Option<Option<Provider>>> {
        match body.as_object_mut().and_then(|body| body.remove("provider")) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(id)) if id.is_empty() => Ok(Some(None)),
            Some(Value::String(id)) => self.known_provider(&id).map(|provider| Some(Some(provider))),
            Some(_) => Err(Error::field("/provider", "invalid_type", "It must be a text.")),
        }
    }

    fn known_provider(&self, id: &str) -> Result<Provider> {
        self.catalogue().find(id).map_err(|error| match error {
            Error::NotFound => {
                let like = match self.catalogue().like(id) {
                    like if like.is_empty() => "GET /v1/providers lists those that there are".to_owned(),
                    like => format!("like it are {}", like.join(", ")),
                };
                let rule =
                    format!("The catalogue has no such provider; {like}. Leave it out to give all facts yourself.");
                Error::field("/provider", "unknown_provider", rule)
            }
            other => other,
        })
    }

    /// Whether issuer and endpoints are those of the client's entry: then its metadata adds to them and does not judge
    /// them, and that it cannot be had stands against nothing.
    pub(super) fn has_endpoints_of_entry(&self, settings: &ClientSettings) -> bool {
        let Some(provider) = settings.provider.as_deref().and_then(|id| self.catalogue().find(id).ok()) else {
            return false;
        };
        let entry = &provider.settings;
        entry.token_endpoint.is_some()
            && entry.issuer == settings.issuer
            && entry.token_endpoint == settings.token_endpoint
    }
}

/// The grants that a body names; what is wrong about them is told when it is typed.
fn named_grants(body: &Value) -> Option<Vec<GrantType>> {
    serde_json::from_value(body.get("grant_types")?.clone()).ok()
}

fn check_grants(provider: &Provider, grants: &[GrantType]) -> Result<()> {
    let refused = provider.check_grants(grants);
    refused.map_err(|refusal| Error::field("/grant_types", refusal.code(), refusal.to_string()))
}

fn settings_json(settings: &ClientSettings) -> Result<Value> {
    serde_json::to_value(settings).map_err(|_| Error::Internal("settings cannot be written"))
}
