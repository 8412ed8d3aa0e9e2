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
use super::new_grant::NewGrant;
use super::open_session::name_taken;
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientStatus, GrantType};
use crate::model::credential::{Credential, CredentialKind, Schedule};
use crate::model::ids::{ClientId, CredentialId, ProjectId};
use crate::model::principal::Role;
use crate::model::token_set::TokenSet;
use crate::model::variable::GivenValue;
use crate::refresh::persist;
use crate::secret::Secret;
use crate::store::StoreError;

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
        let projects = self.accept_projects(&mut fields, caller, &project.id, &[], projects).await?;
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

    /// Stages the tokens and adds the credential that points at them, after `adjust` changed what is its own.
    ///
    /// # Errors
    /// [`Error::Conflict`] `name_taken` when another call was quicker; what a password brought is ended then.
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
        // What was imported is somebody's already, and a machine's token is whoever asks for the next one's: only what a
        // person's password brought here, and nobody has now, is ended.
        if new.grant == GrantType::Password {
            self.end_grant_quietly(new, staged.tokens).await;
        }
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
            let place = credential.place(credential.generation);
            if let Err(error) = self.vault().delete(&place).await {
                tracing::warn!(credential = %credential.id, %error, "a secret that nothing names was not deleted");
            }
        }
        Ok(added)
    }
}
