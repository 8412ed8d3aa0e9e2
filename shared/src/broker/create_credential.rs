//! Makes a credential without a browser: by a grant that needs no consent, of tokens that were obtained elsewhere, or of
//! a JSON document.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::fields::Fields;
use super::import_credential::{ImportedAccount, ImportedTokens};
use super::inputs::Inputs;
use super::new_grant::{NewGrant, only_tokens};
use super::open_session::{check_scope, name_taken};
use crate::clock::Timestamp;
use crate::error::{Error, FieldError, Result};
use crate::model::client::{Client, ClientStatus, GrantType};
use crate::model::credential::{Credential, CredentialKind, Schedule};
use crate::model::ids::{ClientId, CredentialId, ProjectId};
use crate::model::principal::Role;
use crate::model::project::Project;
use crate::model::token_set::TokenSet;
use crate::model::variable::GivenValue;
use crate::refresh::persist;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::vault::Place;

/// The most projects that a credential is shared with.
const MAX_PROJECTS: usize = 50;

/// The body of `POST /v1/credentials`. It has one of three forms: with `kind: raw` a JSON document is stored, with
/// `import` tokens are, and otherwise `grant_type` says how a token is fetched.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// The name, unique per owner and project.
    pub name: String,
    /// The platform's id of the person whose it is.
    pub owner: String,
    /// The project, where the key is for several.
    #[serde(default)]
    pub project: Option<ProjectId>,
    /// Further projects whose programs may read it; the key must be for them.
    #[serde(default)]
    pub projects: Vec<String>,
    /// The platform's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The platform's id for it.
    #[serde(default)]
    pub external_id: Option<String>,
    /// `raw` for a JSON document.
    #[serde(default)]
    pub kind: Option<CredentialKind>,
    /// The client; for grants and imports.
    #[serde(default)]
    pub client: Option<String>,
    /// `client_credentials` or `password`; for grants.
    #[serde(default)]
    pub grant_type: Option<GrantType>,
    /// What the client asks of a person (`GET /v1/clients/{id}/variables`); for grants and imports.
    #[serde(default)]
    pub variables: Option<BTreeMap<String, GivenValue>>,
    /// The user name; for the password grant. It may also stand in `variables`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub username: Option<Secret<String>>,
    /// The password; for the password grant. It may also stand in `variables`.
    #[serde(default)]
    #[schema(value_type = Option<String>, write_only)]
    pub password: Option<Secret<String>>,
    /// Scopes to ask for besides the client's required ones; for grants.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// Whether a token is fetched before anything is stored (true); for grants.
    #[serde(default)]
    pub verify: Option<bool>,
    /// The document, an object of at most 64 kB; for raw credentials.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Value>,
    /// JSON Schema that the document keeps to; for raw credentials.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Value>,
    /// The API that the document is for; for raw credentials.
    #[serde(default)]
    pub api_base_url: Option<String>,
    /// Headers of requests to the API, where `{member}` stands for a member of the document; for raw credentials.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, String>>,
    /// What the provider said besides the tokens, delivered with them; for imports.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub extra: Option<Map<String, Value>>,
    /// Whose account at the provider it is; for imports.
    #[serde(default)]
    pub account: Option<ImportedAccount>,
    /// Tokens that were obtained elsewhere.
    #[serde(default)]
    pub import: Option<ImportedTokens>,
}

/// What every new credential has.
pub(crate) struct Head {
    pub(crate) project: ProjectId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) projects: Vec<ProjectId>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) external_id: Option<String>,
}

/// What must be there in this form of the body.
pub(crate) fn required<T>(value: Option<T>, pointer: &str) -> Result<T> {
    value.ok_or_else(|| Error::field(pointer, "missing_field", "This field is required."))
}

/// Says which of the given fields do not belong to this form of a body.
pub(crate) fn refuse_foreign(fields: &[(&str, bool)], why: &str) -> Result<()> {
    let mut wrong = Fields::default();
    for (pointer, _) in fields.iter().filter(|(_, given)| *given) {
        wrong.wrong(pointer, "forms_mixed", why);
    }
    wrong.done()
}

impl NewCredential {
    /// Which of the fields that not every form has were given.
    fn check_form(&self) -> Result<()> {
        let of_grants = [
            ("/grant_type", self.grant_type.is_some()),
            ("/username", self.username.is_some()),
            ("/password", self.password.is_some()),
            ("/scopes", self.scopes.is_some()),
            ("/verify", self.verify.is_some()),
        ];
        let of_clients = [("/client", self.client.is_some()), ("/variables", self.variables.is_some())];
        let of_raw = [
            ("/body", self.body.is_some()),
            ("/schema", self.schema.is_some()),
            ("/api_base_url", self.api_base_url.is_some()),
            ("/headers", self.headers.is_some()),
        ];
        let of_imports = [
            ("/extra", self.extra.is_some()),
            ("/account", self.account.is_some()),
            ("/import", self.import.is_some()),
        ];
        let (foreign, why) = if self.kind == Some(CredentialKind::Raw) {
            ([&of_grants[..], &of_clients, &of_imports].concat(), "A raw credential does not have this field.")
        } else if self.import.is_some() {
            ([&of_grants[..], &of_raw].concat(), "An import does not have this field.")
        } else {
            ([&of_raw[..], &of_imports].concat(), "A grant does not have this field: give `kind: raw` or `import`.")
        };
        refuse_foreign(&foreign, why)
    }
}

impl Broker {
    /// Makes a credential.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] `name_taken`, before anybody is asked; [`Error::PolicyForbids`] for the
    /// password grant; what the authorization server said, and nothing is stored then.
    pub async fn create_credential(&self, caller: &Caller, new: NewCredential) -> Result<Credential> {
        caller.require(&[Role::Platform], "credentials:write")?;
        let project = caller.project(new.project.as_ref())?;
        let project = self.store().find_project(&project).await?.ok_or(Error::NotFound)?;
        caller.check_owner(&new.owner)?;
        new.check_form()?;
        let NewCredential { name, owner, projects, labels, external_id, .. } = &new;
        let mut fields = Fields::default();
        fields.text("/name", name);
        fields.text("/owner", owner);
        fields.text_opt("/external_id", external_id.as_ref());
        fields.labels("/labels", labels);
        let projects = self.shared_projects(caller, &mut fields, &project.id, projects).await?;
        fields.done()?;
        let head = Head {
            project: project.id.clone(),
            name: name.clone(),
            owner: owner.clone(),
            projects,
            labels: labels.clone(),
            external_id: external_id.clone(),
        };
        if new.kind == Some(CredentialKind::Raw) {
            self.create_raw(head, new).await
        } else if new.import.is_some() {
            self.import_credential(&project, head, new).await
        } else {
            self.create_by_grant(&project, head, new).await
        }
    }

    /// The further projects that were named: each must be one that the key is for.
    async fn shared_projects(
        &self,
        caller: &Caller,
        fields: &mut Fields,
        home: &ProjectId,
        named: &[String],
    ) -> Result<Vec<ProjectId>> {
        if named.len() > MAX_PROJECTS {
            fields.wrong("/projects", "too_many", format!("At most {MAX_PROJECTS} projects."));
            return Ok(Vec::new());
        }
        let mut projects = Vec::new();
        for (index, named) in named.iter().enumerate() {
            let known = match ProjectId::parse(named).ok().filter(|project| caller.key.projects.contains(project)) {
                Some(project) => self.store().find_project(&project).await?.map(|_| project),
                None => None,
            };
            match known {
                Some(project) if project != *home && !projects.contains(&project) => projects.push(project),
                Some(_) => {}
                None => {
                    let rule = "There is no such project for this key.";
                    fields.wrong(&format!("/projects/{index}"), "unknown_project", rule);
                }
            }
        }
        Ok(projects)
    }

    /// A client that the project may use, as it is now.
    ///
    /// # Errors
    /// [`Error::Invalid`] `unknown_client` or `client_not_active`.
    pub(crate) async fn usable_client(&self, project: &ProjectId, id: &str) -> Result<Client> {
        let found = match ClientId::parse(id) {
            Ok(id) => self.store().find_client(&id).await?,
            Err(_) => None,
        };
        let client = found.filter(|client| client.is_visible_to(project)).ok_or_else(|| {
            let rule = "There is no such client for this project: ask the superuser to register one.";
            Error::field("/client", "unknown_client", rule)
        })?;
        match client.status() {
            ClientStatus::Active => Ok(client),
            ClientStatus::Disabled => {
                let rule = "This client is disabled: ask the superuser to enable it.";
                Err(Error::field("/client", "client_not_active", rule))
            }
            ClientStatus::Draft => {
                let missing = client.missing().join(", ");
                let rule =
                    format!("This client cannot be used: ask the superuser to complete it. It lacks: {missing}.");
                Err(Error::field("/client", "client_not_active", rule))
            }
        }
    }

    /// # Errors
    /// [`Error::Conflict`] `name_taken`.
    pub(crate) async fn check_name(&self, head: &Head) -> Result<()> {
        let taken = self.store().is_name_taken(&head.project, &head.owner, &head.name).await?;
        if taken { Err(name_taken()) } else { Ok(()) }
    }

    async fn create_by_grant(&self, project: &Project, head: Head, new: NewCredential) -> Result<Credential> {
        let client = self.usable_client(&project.id, &required(new.client, "/client")?).await?;
        let grant = required(new.grant_type, "/grant_type")?;
        check_grant(&client, grant)?;
        check_policy(project, grant)?;
        let inputs =
            self.accept_grant_inputs(&client, grant, new.variables.unwrap_or_default(), new.username, new.password)?;
        let scopes = wanted_scopes(&client, project, new.scopes.unwrap_or_default())?;
        let resolved = self.resolve_inputs(&client, &inputs, "/variables")?;
        self.check_name(&head).await?;

        let asked = NewGrant {
            project: &project.id,
            owner: &head.owner.clone(),
            client: &client,
            grant,
            requested_scopes: &scopes,
            inputs,
            bound_origin: resolved.origins(),
            account: None,
            extra: Map::new(),
            aside: None,
        };
        if new.verify == Some(false) {
            // Without a token nothing is granted yet.
            let ungranted = |made| Credential { granted_scopes: Vec::new(), ..made };
            return self.store_grant(&asked, head, unfetched(&asked, self.now()), ungranted).await;
        }
        let fetched = self.fetch_tokens(&client, &resolved, &asked.inputs, grant, &scopes).await?;
        let answer = fetched.outcome?;
        let says_its_end = answer.expires_in.is_some();
        let account = match grant {
            GrantType::Password => self.ask_account(&client, &resolved, &asked.inputs, &answer.access_token).await,
            _ => None,
        };
        let asked = NewGrant { account, ..asked };
        let stored = self.store_grant(&asked, head, asked.tokens(answer, 1, self.now()), |made| made).await?;
        self.engine().record(&stored, 0, "fetch", fetched.began, &fetched.exchanges, None).await;
        Ok(if says_its_end { stored } else { self.learn_expiry(&client, &resolved, stored).await })
    }

    /// What was given for a grant: user name and password may stand beside the variables or among them.
    pub(crate) fn accept_grant_inputs(
        &self,
        client: &Client,
        grant: GrantType,
        mut variables: BTreeMap<String, GivenValue>,
        username: Option<Secret<String>>,
        password: Option<Secret<String>>,
    ) -> Result<Inputs> {
        let mut fields = Fields::default();
        let mut beside = Vec::new();
        for (key, value) in [("username", username), ("password", password)] {
            let Some(value) = value else {
                if !variables.contains_key(key) {
                    beside.push(key);
                }
                continue;
            };
            beside.push(key);
            if variables.insert(key.to_owned(), GivenValue::from(value.expose().as_str())).is_some() {
                fields.wrong(&format!("/{key}"), "given_twice", "It is among the variables as well.");
            }
        }
        fields.done()?;
        self.accept_inputs(client, grant, variables, "/variables").map_err(|error| match error {
            Error::Invalid(errors) => {
                // What is wrong with a field is said where the field is.
                let moved =
                    |error: FieldError| match beside.iter().find(|key| error.pointer == format!("/variables/{key}")) {
                        Some(key) => FieldError { pointer: format!("/{key}"), ..error },
                        None => error,
                    };
                Error::Invalid(errors.into_iter().map(moved).collect())
            }
            other => other,
        })
    }

    /// Stages the tokens and adds the credential that points at them, after `adjust` changed what is its own.
    ///
    /// # Errors
    /// [`Error::Conflict`] `name_taken` when another call was quicker; the grant is ended then.
    pub(crate) async fn store_grant(
        &self,
        new: &NewGrant<'_>,
        head: Head,
        tokens: (TokenSet, Schedule),
        adjust: impl FnOnce(Credential) -> Credential,
    ) -> Result<Credential> {
        let (id, now) = (CredentialId::generate(), self.now());
        let staged = self.stage_grant(new.project, &id, tokens).await?;
        let Head { name, projects, labels, external_id, .. } = head;
        let made = new.credential(id, name, &staged, now);
        let credential = adjust(Credential { projects, labels, external_id, ..made });
        if self.add_credential(&credential).await? {
            tracing::info!(credential = %credential.id, project = %credential.project, "credential made");
            return Ok(credential);
        }
        self.end_grant_quietly(new, staged.tokens).await;
        Err(name_taken())
    }

    /// Adds a credential whose secrets are staged. `false`: its name was taken meanwhile, and they are gone again.
    pub(crate) async fn add_credential(&self, credential: &Credential) -> Result<bool> {
        let added = persist(|| async {
            match self.store().insert_credential(credential).await {
                Err(StoreError::AlreadyExists) => Ok(false),
                other => other.map(|()| true),
            }
        });
        let added = added.await?;
        if !added {
            // Nothing points at it, so nobody could ever read it; it goes all the same.
            let place = Place::new(credential.project.as_str(), credential.id.as_str());
            if let Err(error) = self.vault().delete(&place).await {
                tracing::warn!(credential = %credential.id, %error, "a secret that nothing names was not deleted");
            }
        }
        Ok(added)
    }
}

/// The token set of a grant for which nobody was asked yet. It is over as soon as it is there, so it is never served.
fn unfetched(new: &NewGrant<'_>, now: Timestamp) -> (TokenSet, Schedule) {
    let at = Some(now.timestamp_millis());
    let tokens = TokenSet {
        scopes: new.requested_scopes.to_vec(),
        expires_at: Some(now),
        inputs: new.inputs.secret.clone(),
        ..only_tokens("".into(), None, new.bound_origin.clone())
    };
    (tokens, Schedule { at_exp: at, refresh_after: at })
}

/// Whether the client has this grant, and whether it can be had without a browser.
fn check_grant(client: &Client, grant: GrantType) -> Result<()> {
    if !matches!(grant, GrantType::ClientCredentials | GrantType::Password) {
        let rule = "This grant needs the person: open a connect session (POST /v1/connect-sessions).";
        return Err(Error::field("/grant_type", "needs_consent", rule));
    }
    if !client.settings.offers(grant) {
        let rule = format!("The client does not offer {}: ask the superuser to add it.", grant.as_str());
        return Err(Error::field("/grant_type", "grant_not_offered", rule));
    }
    Ok(())
}

/// RFC 9700 §2.4: passwords are not to be handed to clients. A project says so when it must be.
pub(crate) fn check_policy(project: &Project, grant: GrantType) -> Result<()> {
    if grant == GrantType::Password && !project.policies.allow_password_grant {
        return Err(Error::PolicyForbids {
            code: "password_grant_not_allowed",
            detail: "This project does not allow the password grant.".to_owned(),
        });
    }
    Ok(())
}

/// The client's required scopes, then those that were asked for, each once.
fn wanted_scopes(client: &Client, project: &Project, asked: Vec<String>) -> Result<Vec<String>> {
    let mut fields = Fields::default();
    fields.scopes("/scopes", &asked);
    for (index, scope) in asked.iter().enumerate() {
        let known = client.settings.scopes.allows(scope);
        check_scope(&mut fields, &format!("/scopes/{index}"), project, scope, known);
    }
    for scope in &client.settings.scopes.required {
        check_scope(&mut fields, "/client", project, scope, true);
    }
    fields.done()?;
    let mut scopes: Vec<String> = Vec::new();
    for scope in client.settings.scopes.required.iter().cloned().chain(asked) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}
