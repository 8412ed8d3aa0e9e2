//! Opens a connect session: an authenticated backend fixes what one person may connect.

use std::collections::BTreeMap;

use chrono::Duration;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::{Fields, escape};
use super::offer_clients::Offered;
use crate::error::{Error, Result};
use crate::model::ids::{ClientId, ProjectId, SessionId};
use crate::model::principal::Role;
use crate::model::project::Project;
use crate::model::session::{Binding, Offer, Session};
use crate::model::variable::GivenValue;
use crate::secret::Secret;
use crate::vault::root_key::{random_token, sha256};

/// How long a session lives when not said otherwise (seconds).
const DEFAULT_LIFE: i64 = 30 * 60;
/// How long it may live (seconds).
const MAX_LIFE: i64 = 24 * 60 * 60;
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
    /// The credential whose grant is replaced in place: the same id and name, and the same account.
    #[serde(default)]
    pub credential: Option<String>,
    /// Whether another account than before may take the place.
    #[serde(default)]
    pub allow_account_change: bool,
    /// The name of the credential; the person chooses one when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Scopes, fixed.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Optional scopes that are ticked at first.
    #[serde(default)]
    pub suggested_scopes: Vec<String>,
    /// Values of variables, fixed for every client that has them. `client_id`, `client_secret`, `username` and `password`
    /// are among them where a client asks them of each person. The person gives what is left open.
    #[serde(default)]
    pub variables: BTreeMap<String, GivenValue>,
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

/// A client, by its id or with scopes and variables of its own.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ClientChoice {
    /// By its id.
    Id(String),
    /// With scopes and variables of its own.
    With(ClientWith),
}

/// A client with scopes and variables of its own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientWith {
    /// The client.
    pub id: String,
    /// Scopes, fixed for this client.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Values of variables, fixed for this client.
    #[serde(default)]
    pub variables: BTreeMap<String, GivenValue>,
}

/// A session with the link that opens it.
pub struct Opened {
    /// The session.
    pub session: Session,
    /// The link for the person's browser. It is a secret until then.
    pub connect_url: Secret<String>,
}

impl Broker {
    /// Opens a session.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] when the name is taken; [`Error::Forbidden`] where the project does not
    /// allow the binding; [`Error::Revoked`] for a credential that was disconnected.
    pub async fn open_session(&self, caller: &Caller, new: NewSession) -> Result<Opened> {
        caller.require(&[Role::Platform], "sessions:write")?;
        let project = self.project(&caller.project(new.project.as_ref())?).await?;
        caller.check_owner(&new.owner)?;
        let target = self.target_of_session(&project, &new).await?;
        let offered = self.offered_clients(&project, &new, target.as_ref()).await?;
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
        let id = SessionId::generate();
        let mut offers = Vec::with_capacity(offered.len());
        for Offered { client, scopes, fixed, .. } in offered {
            let inputs = self.seal_inputs(&fixed.secret, &offer_context(&id, &client.id)).await?;
            offers.push(Offer { client: client.id.clone(), scopes, variables: fixed.shown, inputs });
        }
        let session = Session {
            id,
            project: project.id.clone(),
            token_hash: sha256(token.expose()),
            owner: new.owner,
            offers,
            name: new.name,
            scopes: new.scopes.or_else(|| target.as_ref().map(|target| target.requested_scopes.clone())),
            suggested_scopes: new.suggested_scopes,
            allow_account_change: new.allow_account_change && target.is_some(),
            credential: target.map(|target| target.id),
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

    fn validate_session(&self, project: &Project, new: &NewSession, offered: &[Offered]) -> Result<()> {
        let mut fields = Fields::default();
        fields.text("/owner", &new.owner);
        fields.text_opt("/name", new.name.as_ref());
        fields.authorization_params("/authorization_params", &new.authorization_params);
        let renamed = |name: &str| {
            let names = |one: &Offered| one.client.settings.authorization_names.values().any(|other| other == name);
            offered.iter().any(names)
        };
        for name in new.authorization_params.keys().filter(|name| renamed(name)) {
            let pointer = format!("/authorization_params/{}", escape(name));
            fields.wrong(&pointer, "reserved_parameter", "The flow sets this parameter itself.");
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
                let known = offered.iter().any(|one| one.client.settings.scopes.allows(scope));
                check_scope(&mut fields, &format!("{pointer}/{index}"), project, scope, known);
            }
        }
        for (index, Offered { client, scopes, .. }) in offered.iter().enumerate() {
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
            if !listed(&project.return_urls) && !offered.iter().all(|one| listed(&one.client.settings.return_urls)) {
                fields.wrong(
                    "/return_url",
                    "not_listed",
                    "It must equal, character for character, one of the return_urls of the project or the client.",
                );
            }
        }
        fields.done()
    }
}

/// What the sealed values of an offer are bound to: they open for this session and this client alone.
pub(super) fn offer_context(session: &SessionId, client: &ClientId) -> String {
    format!("{session}/{client}")
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
