//! Clients: read, list, change, delete.

use serde_json::{Value, json};

use super::Broker;
use super::access::Caller;
use super::inputs::implicit;
use super::register_client::{Discovered, parse_client};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientSettings, GrantType};
use crate::model::ids::{ClientId, ProjectId};
use crate::model::principal::{Projects, Role};
use crate::model::variable;
use crate::store::Page;
use crate::vault::Place;

/// How many clients one read of a filtered list brings, and how often it is read for one page.
const PAGE: u32 = 200;
const MOST_READS: usize = 10;

impl Broker {
    /// A client that the caller may see.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_client(&self, caller: &Caller, id: &str) -> Result<Client> {
        caller.require(&[Role::Superuser, Role::Platform], "clients:read")?;
        let id = ClientId::parse(id).map_err(|_| Error::NotFound)?;
        let client = self.store().find_client(&id).await?.ok_or(Error::NotFound)?;
        let visible = match caller.project_filter(None)? {
            Some(project) => client.is_visible_to(&project),
            None => true,
        };
        if visible { Ok(client) } else { Err(Error::NotFound) }
    }

    /// The JSON Schema (2020-12) of what a person must give for a client and one of its grants; the first when none is
    /// named.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for a grant that gives no first token at this client.
    pub async fn describe_inputs(&self, caller: &Caller, id: &str, grant: Option<GrantType>) -> Result<Value> {
        let client = self.read_client(caller, id).await?;
        let settings = &client.settings;
        let mut offered = settings.first_grants();
        let Some(grant) = (match grant {
            Some(grant) => offered.find(|one| *one == grant),
            None => offered.next(),
        }) else {
            return Err(Error::field("/grant_type", "not_offered", "The client gives no first token by this grant."));
        };
        Ok(variable::schema(&settings.name, &settings.variables, &settings.values, &implicit(&client, grant)))
    }

    /// Clients of a project with the global ones, or all; of one provider, where it is named.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a project that the key is not for.
    pub async fn list_clients(
        &self,
        caller: &Caller,
        project: Option<&ProjectId>,
        provider: Option<&str>,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<Client>> {
        caller.require(&[Role::Superuser, Role::Platform], "clients:read")?;
        let project = caller.project_filter(project)?;
        let Some(provider) = provider else {
            return Ok(self.store().list_clients(project.as_ref(), limit, cursor).await?);
        };
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut items, mut next) = (Vec::new(), cursor.map(str::to_owned));
        // The rest is left to the next page: a call does not read through thousands of clients.
        for _ in 0..MOST_READS {
            let page = self.store().list_clients(project.as_ref(), PAGE, next.as_deref()).await?;
            next = page.next;
            for client in page.items.into_iter().filter(|client| client.settings.provider.as_deref() == Some(provider))
            {
                if items.len() == wanted {
                    next = items.last().map(|last: &Client| last.id.to_string());
                    return Ok(Page { items, next });
                }
                items.push(client);
            }
            if next.is_none() {
                break;
            }
        }
        Ok(Page { items, next })
    }

    /// Changes a client by a JSON merge patch (RFC 7396); `status` may be `disabled` or `active`.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when it was changed meanwhile.
    pub async fn update_client(&self, caller: &Caller, id: &str, mut patch: Value) -> Result<Client> {
        caller.require(&[Role::Superuser], "clients:write")?;
        let old = self.read_client(caller, id).await?;
        self.may_change(caller, &old)?;
        let status = serde_json::to_value(old.status()).unwrap_or_default();
        let disabled = match patch.as_object_mut().and_then(|patch| patch.remove("status")) {
            None => old.disabled,
            Some(unchanged) if unchanged == status => old.disabled,
            Some(Value::String(status)) if status == "disabled" => true,
            Some(Value::String(status)) if status == "active" => false,
            Some(_) => {
                return Err(Error::field("/status", "unsupported", "It can be set to active or disabled."));
            }
        };
        drop_unchanged(&mut patch, &old, &self.config().redirect_uri(&old.client_key));
        for fixed in ["project", "client_key"] {
            if patch.get(fixed).is_some() {
                return Err(Error::field(format!("/{fixed}"), "read_only", "It is fixed when the client is made."));
            }
        }
        let (mut settings, client_secret, _) = parse_client(self.patched(&old.settings, patch)?)?;
        settings.drop_defaults(Some(&old.settings));

        let new_issuer = settings.issuer.is_some() && settings.issuer != old.settings.issuer;
        let of_entry = self.has_endpoints_of_entry(&settings);
        if new_issuer && !of_entry {
            // A new issuer brings its own endpoints; those that were not typed anew are taken from it.
            for (new, old) in [
                (&mut settings.authorization_endpoint, &old.settings.authorization_endpoint),
                (&mut settings.token_endpoint, &old.settings.token_endpoint),
                (&mut settings.revocation_endpoint, &old.settings.revocation_endpoint),
                (&mut settings.introspection_endpoint, &old.settings.introspection_endpoint),
                (&mut settings.userinfo_endpoint, &old.settings.userinfo_endpoint),
            ] {
                if *new == *old {
                    *new = None;
                }
            }
        }
        self.check_shared_with(caller, &settings.shared_with, &old.settings.shared_with).await?;
        self.validate_client(&settings, client_secret.as_ref(), None)?;

        let mut client = Client {
            version: old.version + 1,
            revision: old.revision + 1,
            disabled,
            updated_at: self.now(),
            ..old.clone()
        };
        if settings.issuer.is_some() && (new_issuer || endpoints(&settings) != endpoints(&old.settings)) {
            let known = match new_issuer {
                true => Discovered::default(),
                false => Discovered { iss_required: old.iss_required, jwks_uri: old.jwks_uri.clone() },
            };
            let discovered = match of_entry {
                true => self.discover_besides(&settings, known).await?,
                false => self.discover(&mut settings).await?,
            };
            client.iss_required = discovered.iss_required;
            client.jwks_uri = discovered.jwks_uri;
        } else if settings.issuer.is_none() {
            client.iss_required = false;
            client.jwks_uri = None;
        }
        client.settings = settings;
        // A secret goes only to the origins it was entered for. When the token endpoint moves to another one, the
        // secrets are forgotten and must be entered again (SECURITY.md 24).
        let token_endpoint = client.settings.token_endpoint.as_deref();
        if token_endpoint.is_none() || !client.may_send_secrets_to(token_endpoint, &client.settings) {
            client.client_secrets.clear();
            client.secret_origin = None;
        }
        client.forget_spent_secrets(self.now());
        if let Some(secret) = client_secret {
            let now = self.now();
            client.client_secrets.clear();
            self.add_secret(&mut client, &secret, now).await?;
        }
        self.store().update_client(&client).await?;
        self.inner.clients.remove(&client.id);
        Ok(client)
    }

    /// Deletes a client and its secrets. Its redirect URI is never given to another.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_client(&self, caller: &Caller, id: &str) -> Result<()> {
        caller.require(&[Role::Superuser], "clients:write")?;
        let client = self.read_client(caller, id).await?;
        self.may_change(caller, &client)?;
        if !self.store().delete_client(&client).await? {
            return Err(Error::NotFound);
        }
        self.inner.clients.remove(&client.id);
        if !client.client_secrets.is_empty() {
            self.vault().delete(&Place::new(client.settings.home(), client.id.as_str())).await?;
        }
        Ok(())
    }

    /// A superuser of some projects may not change a client of the instance or of another project.
    pub(super) fn may_change(&self, caller: &Caller, client: &Client) -> Result<()> {
        let theirs = match (&caller.key.projects, &client.settings.project) {
            (Projects::All(_), _) => true,
            (Projects::Some(list), Some(home)) => list.contains(home),
            (Projects::Some(_), None) => false,
        };
        if theirs {
            Ok(())
        } else {
            Err(Error::Forbidden {
                code: "not_your_client",
                detail: "This client belongs to the instance or to another project.".to_owned(),
            })
        }
    }
}

/// What the metadata of an issuer supplies, and typed values must agree with.
fn endpoints(settings: &ClientSettings) -> [&Option<String>; 5] {
    [
        &settings.authorization_endpoint,
        &settings.token_endpoint,
        &settings.revocation_endpoint,
        &settings.introspection_endpoint,
        &settings.userinfo_endpoint,
    ]
}

/// Takes out of a patch what is not to be changed and was sent as it was read.
fn drop_unchanged(patch: &mut Value, client: &Client, redirect_uri: &str) {
    let Some(patch) = patch.as_object_mut() else { return };
    let read = json!({
        "id": client.id,
        "project": client.settings.project,
        "client_key": client.client_key,
        "redirect_uri": redirect_uri,
        "missing": client.missing(),
        "client_secrets": client.client_secrets,
        "created_at": client.created_at,
        "updated_at": client.updated_at,
    });
    patch.retain(|name, value| read.get(name) != Some(value));
}
