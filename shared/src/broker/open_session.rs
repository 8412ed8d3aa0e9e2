//! Opens a connect session: an authenticated backend fixes what one person may connect.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Duration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::{Fields, escape};
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus};
use crate::model::flow::{Flow, FlowStatus};
use crate::model::ids::{ClientId, ProjectId, SessionId};
use crate::model::principal::Role;
use crate::model::project::Project;
use crate::model::session::{Binding, Offer, Session};
use crate::secret::Secret;
use crate::vault::root_key::{random_token, sha256};

/// How long a session lives when not said otherwise (seconds).
const DEFAULT_LIFE: i64 = 30 * 60;
/// How long it may live (seconds).
const MAX_LIFE: i64 = 24 * 60 * 60;
/// The most clients that a session may name.
const MAX_CLIENTS: usize = 50;
/// The longest `context` (characters).
const MAX_CONTEXT: usize = 512;

/// The body of `POST /v1/connect-sessions`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// The platform's id of the person whose credential it will be.
    pub owner: String,
    /// The project, where the key is for several.
    #[serde(default)]
    pub project: Option<ProjectId>,
    /// The clients to choose from; all of the project when absent. One fixes the client.
    #[serde(default)]
    pub clients: Option<Vec<ClientChoice>>,
    /// The name of the credential; the person chooses one when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Scopes, fixed.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Optional scopes that are ticked at first.
    #[serde(default)]
    pub suggested_scopes: Vec<String>,
    /// Variables of the client, fixed. No client has any yet, so none may be named.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Extra authorization parameters such as `login_hint` and `prompt`.
    #[serde(default)]
    pub authorization_params: BTreeMap<String, String>,
    /// Where the browser goes afterwards: one of the `return_urls` of the client or the project.
    #[serde(default)]
    pub return_url: Option<String>,
    /// Where the code is exchanged.
    #[serde(default)]
    pub binding: Binding,
    /// Opaque to the broker, given back on return.
    #[serde(default)]
    pub context: Option<String>,
    /// Seconds; 30 minutes when absent, a day at most.
    #[serde(default)]
    pub expires_in: Option<i64>,
}

/// A client, by its id or with scopes of its own.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ClientChoice {
    /// By its id.
    Id(String),
    /// With scopes of its own.
    With(ClientWith),
}

/// A client with scopes of its own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientWith {
    /// The client.
    pub id: String,
    /// Scopes, fixed for this client.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
}

/// A session with the link that opens it.
pub struct Opened {
    /// The session.
    pub session: Session,
    /// The link for the person's browser. It is a secret until then.
    pub connect_url: Secret<String>,
}

/// Where a session stands, by its own time and the flow that was started last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Nobody has pressed the button.
    Open,
    /// The person is at the authorization server.
    Started,
    /// The person is back, and `complete` is awaited.
    Returned,
    /// The credential exists.
    Completed,
    /// The last flow failed; the link may be tried again.
    Failed,
    /// Its time is over.
    Expired,
}

impl Broker {
    /// Opens a session.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] when the name is taken; [`Error::Forbidden`] where the project does not
    /// allow the binding.
    pub async fn open_session(&self, caller: &Caller, new: NewSession) -> Result<Opened> {
        caller.require(&[Role::Platform], "sessions:write")?;
        let project = self.project(&caller.project(new.project.as_ref())?).await?;
        caller.check_owner(&new.owner)?;
        let offered = self.offered_clients(&project, new.clients.as_deref()).await?;
        self.validate_session(&project, &new, &offered)?;
        if new.binding == Binding::Browser && !project.policies.allow_browser_binding {
            return Err(Error::Forbidden {
                code: "binding_not_allowed",
                detail: "This project does not allow sessions that are bound only to the browser.".to_owned(),
            });
        }
        if let Some(name) = &new.name
            && self.store().is_name_taken(&project.id, &new.owner, name).await?
        {
            return Err(name_taken());
        }

        let (token, now) = (random_token()?, self.now());
        let session = Session {
            id: SessionId::generate(),
            project: project.id.clone(),
            token_hash: sha256(token.expose()),
            owner: new.owner,
            offers: offered
                .into_iter()
                .map(|(client, scopes)| Offer {
                    client: client.id.clone(),
                    scopes,
                    variables: BTreeMap::new(),
                    inputs: None,
                })
                .collect(),
            name: new.name,
            scopes: new.scopes,
            suggested_scopes: new.suggested_scopes,
            credential: None,
            allow_account_change: false,
            authorization_params: new.authorization_params,
            return_url: new.return_url,
            binding: new.binding,
            context: new.context,
            created_at: now,
            expires_at: now + Duration::seconds(new.expires_in.unwrap_or(DEFAULT_LIFE)),
            flow: None,
        };
        self.store().insert_session(&session).await?;
        let connect_url = Secret::new(format!("{}/connect/{}", self.config().public_url, token.expose()));
        Ok(Opened { session, connect_url })
    }

    /// The clients that a session offers: those that were named, or all that can be used.
    async fn offered_clients(
        &self,
        project: &Project,
        choices: Option<&[ClientChoice]>,
    ) -> Result<Vec<(Arc<Client>, Option<Vec<String>>)>> {
        let Some(choices) = choices else {
            let clients = self.store().list_clients(Some(&project.id), 100, None).await?.items;
            let usable: Vec<_> = clients.into_iter().filter(|client| client.status() == ClientStatus::Active).collect();
            if usable.is_empty() {
                return Err(Error::Conflict {
                    code: "no_client",
                    detail: "This project has no client that can be used yet.".to_owned(),
                    advice: &[
                        "Ask the superuser of this stack to register a client for the provider (POST /v1/clients).",
                    ],
                });
            }
            return Ok(usable.into_iter().map(|client| (Arc::new(client), None)).collect());
        };
        let mut fields = Fields::default();
        if choices.len() > MAX_CLIENTS {
            return Err(Error::field("/clients", "too_many", format!("At most {MAX_CLIENTS} clients.")));
        }
        let mut offered: Vec<(Arc<Client>, Option<Vec<String>>)> = Vec::new();
        for (index, choice) in choices.iter().enumerate() {
            let (id, scopes) = match choice {
                ClientChoice::Id(id) => (id, None),
                ClientChoice::With(with) => (&with.id, with.scopes.clone()),
            };
            let pointer = format!("/clients/{index}");
            let found = match ClientId::parse(id) {
                Ok(id) => self.client_of(&project.id, &id).await,
                Err(_) => Err(Error::NotFound),
            };
            match found {
                Ok(client) if offered.iter().any(|(known, _)| known.id == client.id) => {
                    fields.wrong(&pointer, "repeated", "This client is named twice.");
                }
                Ok(client) if client.status() == ClientStatus::Active => offered.push((client, scopes)),
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

    fn validate_session(
        &self,
        project: &Project,
        new: &NewSession,
        offered: &[(Arc<Client>, Option<Vec<String>>)],
    ) -> Result<()> {
        let mut fields = Fields::default();
        fields.text("/owner", &new.owner);
        fields.text_opt("/name", new.name.as_ref());
        fields.authorization_params("/authorization_params", &new.authorization_params);
        for name in new.variables.keys() {
            fields.wrong(
                &format!("/variables/{}", escape(name)),
                "unknown_variable",
                "The client has no such variable.",
            );
        }
        if new
            .context
            .as_ref()
            .is_some_and(|context| context.chars().count() > MAX_CONTEXT || context.chars().any(char::is_control))
        {
            fields.wrong("/context", "too_long", format!("At most {MAX_CONTEXT} characters, no control characters."));
        }
        if new.expires_in.is_some_and(|seconds| !(1..=MAX_LIFE).contains(&seconds)) {
            fields.wrong("/expires_in", "out_of_range", format!("1 to {MAX_LIFE} seconds."));
        }
        for (pointer, scopes) in
            [("/scopes", new.scopes.as_deref().unwrap_or_default()), ("/suggested_scopes", &new.suggested_scopes)]
        {
            fields.scopes(pointer, scopes);
            for (index, scope) in scopes.iter().enumerate() {
                let known = offered.iter().any(|(client, _)| client.settings.scopes.allows(scope));
                check_scope(&mut fields, &format!("{pointer}/{index}"), project, scope, known);
            }
        }
        for (index, (client, scopes)) in offered.iter().enumerate() {
            for (at, scope) in scopes.iter().flatten().enumerate() {
                let pointer = format!("/clients/{index}/scopes/{at}");
                check_scope(&mut fields, &pointer, project, scope, client.settings.scopes.allows(scope));
            }
            for scope in &client.settings.scopes.required {
                check_scope(&mut fields, &format!("/clients/{index}"), project, scope, true);
            }
        }
        // Character by character: nothing is normalised, so nothing can be smuggled.
        if let Some(url) = &new.return_url {
            let listed = |urls: &[String]| urls.iter().any(|listed| listed == url);
            if !listed(&project.return_urls) && !offered.iter().all(|(client, _)| listed(&client.settings.return_urls))
            {
                fields.wrong(
                    "/return_url",
                    "not_listed",
                    "It must equal, character for character, one of the return_urls of the project or the client.",
                );
            }
        }
        fields.done()
    }

    /// A session of the caller's project, with the flow that was started last.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn read_session(&self, caller: &Caller, id: &str) -> Result<(Session, Option<Flow>, SessionStatus)> {
        caller.require(&[Role::Platform], "sessions:read")?;
        let session = self.find_session(caller, id).await?;
        let flow = match &session.flow {
            Some(flow) => self.store().find_flow(&session.project, flow).await?,
            None => None,
        };
        let status = session_status(&session, flow.as_ref(), self.now());
        Ok((session, flow, status))
    }

    /// Deletes a session: its link stops working.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_session(&self, caller: &Caller, id: &str) -> Result<()> {
        caller.require(&[Role::Platform], "sessions:write")?;
        let session = self.find_session(caller, id).await?;
        if let Some(flow) = &session.flow
            && let Some(flow) = self.store().find_flow(&session.project, flow).await?
        {
            self.store().fail_flow(&flow, FlowStatus::Pending, "session_deleted", self.now()).await?;
        }
        if self.store().delete_session(&session).await? { Ok(()) } else { Err(Error::NotFound) }
    }

    async fn find_session(&self, caller: &Caller, id: &str) -> Result<Session> {
        let project = caller.project(None)?;
        let id = SessionId::parse(id).map_err(|_| Error::NotFound)?;
        self.store().find_session(&project, &id).await?.ok_or(Error::NotFound)
    }
}

/// Where a session stands.
pub(crate) fn session_status(session: &Session, flow: Option<&Flow>, now: crate::clock::Timestamp) -> SessionStatus {
    match flow.map(|flow| flow.status) {
        Some(FlowStatus::Completed) => SessionStatus::Completed,
        Some(FlowStatus::Parked) if flow.is_some_and(|flow| flow.completion_expires_at.is_none_or(|at| now >= at)) => {
            SessionStatus::Expired
        }
        Some(FlowStatus::Parked | FlowStatus::Exchanging) => SessionStatus::Returned,
        _ if session.is_expired(now) => SessionStatus::Expired,
        Some(FlowStatus::Failed) => SessionStatus::Failed,
        Some(FlowStatus::Pending) if flow.is_some_and(|flow| now < flow.expires_at) => SessionStatus::Started,
        Some(FlowStatus::Pending | FlowStatus::Voided) | None => SessionStatus::Open,
    }
}

pub(crate) fn check_scope(fields: &mut Fields, pointer: &str, project: &Project, scope: &str, known: bool) {
    if !known {
        fields.wrong(pointer, "scope_not_offered", format!("The client does not list the scope {scope:?}."));
    } else if project.policies.allowed_scopes.as_ref().is_some_and(|allowed| !allowed.iter().any(|one| one == scope)) {
        fields.wrong(pointer, "scope_not_allowed", format!("The project's policy does not allow the scope {scope:?}."));
    }
}

pub(crate) fn name_taken() -> Error {
    Error::Conflict {
        code: "name_taken",
        detail: "The owner already has a credential of this name in this project.".to_owned(),
        advice: &["Choose another name."],
    }
}
