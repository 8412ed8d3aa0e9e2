//! Which clients a session offers, and what it fixes for each of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Broker;
use super::fields::Fields;
use super::inputs::{Inputs, implicit};
use super::open_session::{ClientChoice, NewSession};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus, GrantType};
use crate::model::credential::{Credential, CredentialKind};
use crate::model::ids::{ClientId, CredentialId};
use crate::model::project::Project;
use crate::model::variable::{GivenValue, Implicit};
use crate::protocol::template::{self, HostBinding};

/// The most clients that a session may name.
const MAX_CLIENTS: usize = 50;

/// A client that will be offered.
pub(super) struct Offered {
    pub(super) client: Arc<Client>,
    pub(super) scopes: Option<Vec<String>>,
    /// The grants to choose from.
    pub(super) grants: Vec<GrantType>,
    /// What the session fixes.
    pub(super) fixed: Inputs,
    /// What was given for this client alone.
    pub(super) given: BTreeMap<String, GivenValue>,
    /// Whether the caller named it; otherwise one that cannot be used is only left out.
    pub(super) named: bool,
}

/// The grants by which a person can get a first token of a client; `only`: the one of a credential that is renewed.
pub(super) fn grants_of(client: &Client, project: &Project, only: Option<GrantType>) -> Vec<GrantType> {
    let mut grants: Vec<GrantType> = Vec::new();
    for grant in client.settings.first_grants() {
        let allowed = grant != GrantType::Password || project.policies.allow_password_grant;
        if allowed && only.is_none_or(|only| only == grant) && !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    grants
}

/// The grant that a renewed credential keeps.
pub(super) fn grant_of(credential: &Credential) -> GrantType {
    match credential.grant {
        GrantType::RefreshToken => GrantType::AuthorizationCode,
        grant => grant,
    }
}

/// What the grants of a client ask besides its variables.
pub(super) fn implicits(client: &Client, grants: &[GrantType]) -> Vec<Implicit<'static>> {
    let mut all: Vec<Implicit<'static>> = Vec::new();
    for asked in grants.iter().flat_map(|grant| implicit(client, *grant)) {
        if !all.contains(&asked) {
            all.push(asked);
        }
    }
    all
}

/// Whether a credential that is renewed keeps this value where no other is given: it is a secret, so it is in the vault.
/// A user name and a password are asked again: after a refresh token came they were dropped.
pub(super) fn is_kept(client: &Client, key: &str) -> bool {
    let secret = |key: &str| client.settings.variables.iter().any(|variable| variable.key == key && variable.secret);
    key == Implicit::CLIENT_SECRET.key || secret(key)
}

impl Broker {
    /// The credential whose grant a session is to replace.
    ///
    /// # Errors
    /// [`Error::Invalid`] `unknown_credential`, the same for one of another owner; [`Error::Revoked`].
    pub(super) async fn target_of_session(&self, project: &Project, new: &NewSession) -> Result<Option<Credential>> {
        let Some(id) = &new.credential else { return Ok(None) };
        let found = match CredentialId::parse(id) {
            Ok(id) => self.store().find_credential(&project.id, &id).await?,
            Err(_) => None,
        };
        let target = found.filter(|credential| credential.owner == new.owner && !credential.detached);
        let wrong = |code, detail: &str| Error::field("/credential", code, detail);
        let target =
            target.ok_or_else(|| wrong("unknown_credential", "The owner has no such credential in this project."))?;
        if target.kind != CredentialKind::Oauth || target.client.is_none() {
            return Err(wrong("not_oauth", "This credential has no grant: its owner replaces its value instead."));
        }
        if target.is_ended() {
            return Err(Error::Revoked);
        }
        if new.name.is_some() {
            return Err(Error::field("/name", "fixed_by_credential", "The credential keeps its name."));
        }
        Ok(Some(target))
    }

    /// The clients that a session offers: those that were named, or all that can be used; only that of the credential
    /// whose grant it replaces.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] `no_client`; [`Error::PolicyForbids`].
    pub(super) async fn offered_clients(
        &self,
        project: &Project,
        new: &NewSession,
        target: Option<&Credential>,
    ) -> Result<Vec<Offered>> {
        let mut offered = match (&new.clients, target.and_then(|target| target.client.as_ref())) {
            (Some(choices), _) => self.named_clients(project, choices).await?,
            (None, Some(client)) => vec![self.client_of_target(project, client).await?],
            (None, None) => self.all_clients(project).await?,
        };
        if let Some(target) = target
            && let Some(other) = offered.iter().position(|one| Some(&one.client.id) != target.client.as_ref())
        {
            let rule = "A credential stays with its client: leave clients out, or name that one.";
            return Err(Error::field(format!("/clients/{other}"), "other_client", rule));
        }
        for one in &mut offered {
            one.grants = grants_of(&one.client, project, target.map(grant_of));
            if one.grants.is_empty() && target.is_some() {
                let rule = "Its client no longer has the grant that this credential was made with.";
                return Err(Error::field("/credential", "grant_not_offered", rule));
            }
            if one.grants.is_empty() && one.named {
                return Err(Error::PolicyForbids {
                    code: "password_grant_forbidden",
                    detail: "This client has only the password grant, which the project's policy does not allow."
                        .to_owned(),
                });
            }
        }
        offered.retain(|one| !one.grants.is_empty());
        self.fix_values(&mut offered, &new.variables, target)?;
        if offered.is_empty() {
            return Err(no_client());
        }
        Ok(offered)
    }

    async fn all_clients(&self, project: &Project) -> Result<Vec<Offered>> {
        let clients = self.store().list_clients(Some(&project.id), 100, None).await?.items;
        let usable = clients.into_iter().filter(|client| client.status() == ClientStatus::Active);
        Ok(usable.map(|client| Offered::new(Arc::new(client), None, BTreeMap::new(), false)).collect())
    }

    async fn client_of_target(&self, project: &Project, id: &ClientId) -> Result<Offered> {
        let wrong = |code, detail| Error::field("/credential", code, detail);
        match self.client_of(&project.id, id).await {
            Ok(client) if client.status() == ClientStatus::Active => {
                Ok(Offered::new(client, None, BTreeMap::new(), true))
            }
            Ok(_) => Err(wrong("client_not_active", "The client of this credential cannot be used now.")),
            Err(Error::NotFound) => Err(wrong("unknown_client", "The client of this credential was deleted.")),
            Err(error) => Err(error),
        }
    }

    async fn named_clients(&self, project: &Project, choices: &[ClientChoice]) -> Result<Vec<Offered>> {
        let mut fields = Fields::default();
        if choices.len() > MAX_CLIENTS {
            return Err(Error::field("/clients", "too_many", format!("At most {MAX_CLIENTS} clients.")));
        }
        let mut offered: Vec<Offered> = Vec::new();
        for (index, choice) in choices.iter().enumerate() {
            let (id, scopes, given) = match choice {
                ClientChoice::Id(id) => (id, None, BTreeMap::new()),
                ClientChoice::With(with) => (&with.id, with.scopes.clone(), with.variables.clone()),
            };
            let pointer = format!("/clients/{index}");
            let found = match ClientId::parse(id) {
                Ok(id) => self.client_of(&project.id, &id).await,
                Err(_) => Err(Error::NotFound),
            };
            match found {
                Ok(client) if offered.iter().any(|known| known.client.id == client.id) => {
                    fields.wrong(&pointer, "repeated", "This client is named twice.");
                }
                Ok(client) if client.status() == ClientStatus::Active => {
                    offered.push(Offered::new(client, scopes, given, true));
                }
                Ok(client) => {
                    let missing = client.missing().join(", ");
                    let why = if missing.is_empty() {
                        "It is disabled.".to_owned()
                    } else {
                        format!("It still lacks: {missing}.")
                    };
                    fields.wrong(&pointer, "client_not_active", format!("This client cannot be used. {why}"));
                }
                Err(Error::NotFound) => {
                    fields.wrong(
                        &pointer,
                        "unknown_client",
                        "There is no such client for this project: ask the superuser to register one.",
                    );
                }
                Err(error) => return Err(error),
            }
        }
        if choices.is_empty() {
            fields.wrong("/clients", "empty", "Name at least one client, or leave clients out to offer all.");
        }
        fields.done().map(|()| offered)
    }
}

impl Offered {
    /// Whether the person will name the host of an endpoint that takes secrets.
    pub(super) fn leaves_a_host_open(&self) -> bool {
        let settings = &self.client.settings;
        let named_by_person = |key: &str| {
            let variable = settings.variables.iter().find(|variable| variable.key == key);
            !self.fixed.shown.contains_key(key)
                && variable.is_some_and(|variable| variable.is_asked() && variable.choices.is_empty())
        };
        let endpoints = [
            settings.token_endpoint.as_deref(),
            settings.refresh_request.as_ref().and_then(|request| request.url.as_deref()),
            settings.revocation_endpoint.as_deref(),
            settings.introspection_endpoint.as_deref(),
        ];
        endpoints.into_iter().flatten().any(|url| template::host_binding(url, &named_by_person) == HostBinding::Open)
    }

    fn new(client: Arc<Client>, scopes: Option<Vec<String>>, given: BTreeMap<String, GivenValue>, named: bool) -> Self {
        Self { client, scopes, grants: Vec::new(), fixed: Inputs::default(), given, named }
    }
}

fn no_client() -> Error {
    Error::Conflict {
        code: "no_client",
        detail: "This project has no client that can be used yet.".to_owned(),
        advice: &["Ask the superuser of this stack to register a client for the provider (POST /v1/clients)."],
    }
}
