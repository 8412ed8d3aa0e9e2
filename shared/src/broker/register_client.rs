//! Registers a client: our registration at one authorization server.

use serde_json::Value;

use super::Broker;
use super::access::Caller;
use super::fields::{Fields, escape};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::{Client, ClientSecret, ClientSettings};
use crate::model::ids::{ClientId, ProjectId};
use crate::model::principal::Role;
use crate::outbound::{Limits, Outbound, OutboundError, OutboundRequest};
use crate::protocol::discovery::{self, Metadata, MetadataRefusal};
use crate::protocol::token::AuthMethod;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::vault::Place;
use crate::vault::root_key::random_token;

/// The most projects that a client can be shared with.
const MAX_SHARED: usize = 50;

/// A client to be registered: what is configured, and the secret and the key, which are not part of it.
pub struct NewClient {
    /// What is configured.
    pub settings: ClientSettings,
    /// The secret that the authorization server issued.
    pub client_secret: Option<Secret<String>>,
    /// A key for the redirect URI, for those who need a stable one; otherwise one is made.
    pub client_key: Option<String>,
}

/// What metadata supplies beyond the settings.
#[derive(Default)]
pub(crate) struct Discovered {
    pub(crate) iss_required: bool,
    pub(crate) jwks_uri: Option<String>,
}

impl Broker {
    /// Registers a client. Makes no network call except discovery when an issuer is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all wrong fields; [`Error::Conflict`] when the `client_key` was used before;
    /// [`Error::ProviderMisbehaved`] when discovery fails.
    pub async fn register_client(&self, caller: &Caller, new: NewClient) -> Result<Client> {
        caller.require(&[Role::Superuser], "clients:write")?;
        let NewClient { mut settings, client_secret, client_key } = new;
        // A superuser of some projects registers for those, never for the instance.
        if let Some(project) = &settings.project {
            caller.project(Some(project))?;
            self.store()
                .find_project(project)
                .await?
                .ok_or_else(|| Error::field("/project", "unknown_project", "There is no such project."))?;
        } else {
            settings.project = caller.project_filter(None)?;
        }
        settings.drop_defaults(None);
        self.check_shared_with(caller, &settings.shared_with, &[]).await?;
        self.validate_client(&settings, client_secret.as_ref(), client_key.as_deref())?;
        let discovered = if self.has_endpoints_of_entry(&settings) {
            self.discover_besides(&settings, Discovered::default()).await?
        } else {
            self.discover(&mut settings).await?
        };

        let now = self.now();
        let id = ClientId::generate();
        let client_key = match client_key {
            Some(key) => key,
            None => random_token()?.expose().clone(),
        };
        let mut client = Client {
            id,
            client_key,
            version: 1,
            revision: 1,
            disabled: false,
            client_secrets: Vec::new(),
            secret_origin: None,
            iss_required: discovered.iss_required,
            jwks_uri: discovered.jwks_uri,
            settings,
            created_at: now,
            updated_at: now,
        };
        // Secret first, then the record that points at it: a crash in between leaves an unused secret.
        if let Some(secret) = client_secret {
            self.add_secret(&mut client, &secret, now).await?;
        }
        match self.store().insert_client(&client).await {
            Err(StoreError::AlreadyExists) => Err(Error::Conflict {
                code: "client_key_taken",
                detail: "This client_key belongs or belonged to another client.".to_owned(),
                advice: &["Leave client_key out: a new one is made."],
            }),
            other => Ok(other.map(|()| client)?),
        }
    }

    /// A client may be offered only to projects that the key is for; what it was shared with before may stay.
    pub(crate) async fn check_shared_with(
        &self,
        caller: &Caller,
        shared_with: &[ProjectId],
        before: &[ProjectId],
    ) -> Result<()> {
        if shared_with.len() > MAX_SHARED {
            return Err(Error::field("/shared_with", "too_many", format!("At most {MAX_SHARED} projects.")));
        }
        let mut fields = Fields::default();
        for (index, project) in shared_with.iter().enumerate().filter(|(_, project)| !before.contains(project)) {
            let known = caller.key.projects.contains(project) && self.store().find_project(project).await?.is_some();
            if !known {
                fields.wrong(&format!("/shared_with/{index}"), "unknown_project", "There is no such project.");
            }
        }
        fields.done()
    }

    /// Puts a secret into the vault and at the head of the client's list.
    pub(crate) async fn add_secret(&self, client: &mut Client, secret: &Secret<String>, now: Timestamp) -> Result<()> {
        let version = uuid::Uuid::new_v4().to_string();
        let place = Place::new(client.settings.home(), client.id.as_str());
        let pointer = self.vault().stage(&place, &version, secret).await?;
        let record =
            ClientSecret { id: pointer, added_at: now, last_success_at: None, retire_at: None, expires_at: None };
        client.client_secrets.insert(0, record);
        client.secret_origin = client.settings.secret_origins();
        Ok(())
    }

    /// Fills the endpoints from the issuer's metadata. What was typed must agree with it: endpoints of one issuer and a
    /// token endpoint of another are a mix-up waiting to happen.
    pub(crate) async fn discover(&self, settings: &mut ClientSettings) -> Result<Discovered> {
        let Some(issuer) = settings.issuer.clone() else {
            return Ok(Discovered::default());
        };
        let metadata = self.fetch_metadata(&issuer).await?;
        let mut fields = Fields::default();
        for (pointer, typed, found) in [
            ("/authorization_endpoint", &mut settings.authorization_endpoint, &metadata.authorization_endpoint),
            ("/token_endpoint", &mut settings.token_endpoint, &metadata.token_endpoint),
            ("/revocation_endpoint", &mut settings.revocation_endpoint, &metadata.revocation_endpoint),
            ("/introspection_endpoint", &mut settings.introspection_endpoint, &metadata.introspection_endpoint),
            ("/userinfo_endpoint", &mut settings.userinfo_endpoint, &metadata.userinfo_endpoint),
        ] {
            if let (Some(typed), Some(found)) = (typed.as_ref(), found)
                && typed != found
            {
                fields.wrong(pointer, "differs_from_issuer", "The issuer's metadata has another one: leave it out.");
            }
            self.check_found(&mut fields, pointer, found.as_ref());
            if typed.is_none() {
                typed.clone_from(found);
            }
        }
        self.check_found(&mut fields, "/issuer", metadata.jwks_uri.as_ref());
        fields.done()?;
        if settings.token_endpoint_auth_method.is_none() {
            settings.token_endpoint_auth_method = Some(auth_method(&metadata));
        }
        Ok(Discovered {
            iss_required: metadata.authorization_response_iss_parameter_supported,
            jwks_uri: metadata.jwks_uri,
        })
    }

    /// What the issuer's metadata adds where the endpoints are those of the catalogue's entry. That it cannot be had
    /// keeps nobody from registering, and takes nothing away that was known of the same issuer.
    pub(crate) async fn discover_besides(&self, settings: &ClientSettings, known: Discovered) -> Result<Discovered> {
        let Some(issuer) = &settings.issuer else { return Ok(Discovered::default()) };
        let metadata = match self.fetch_metadata(issuer).await {
            Ok(metadata) => metadata,
            Err(error @ (Error::Dependency(_) | Error::Internal(_))) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, issuer, "the metadata of a provider of the catalogue could not be read");
                return Ok(known);
            }
        };
        let mut fields = Fields::default();
        self.check_found(&mut fields, "/issuer", metadata.jwks_uri.as_ref());
        Ok(Discovered {
            iss_required: metadata.authorization_response_iss_parameter_supported,
            jwks_uri: metadata.jwks_uri.filter(|_| fields.done().is_ok()),
        })
    }

    pub(crate) async fn fetch_metadata(&self, issuer: &str) -> Result<Metadata> {
        fetch_metadata(self.outbound(), issuer).await
    }
}

/// Asks the issuer for its metadata (RFC 8414).
pub(crate) async fn fetch_metadata(outbound: &Outbound, issuer: &str) -> Result<Metadata> {
    let parsed = url::Url::parse(issuer).map_err(|_| Error::field("/issuer", "not_a_url", "It must be a URL."))?;
    let mut other_issuer = false;
    for location in discovery::locations(&parsed) {
        let answer = outbound.send(OutboundRequest::get(&location, Limits::DISCOVERY)).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(OutboundError::Refused(refusal)) => {
                return Err(Error::field("/issuer", refusal.code(), format!("{refusal}. {}", refusal.advice())));
            }
            Err(_) => {
                return Err(Error::ProviderUnavailable {
                    what: "its metadata could not be fetched",
                    retry_after: None,
                });
            }
        };
        if !answer.status.is_success() {
            continue;
        }
        match discovery::parse(&answer.body, issuer) {
            Ok(metadata) => return Ok(metadata),
            Err(MetadataRefusal::OtherIssuer) => other_issuer = true,
            Err(MetadataRefusal::NotMetadata) => {}
        }
    }
    Err(if other_issuer {
        let rule = "The metadata found there names another issuer (RFC 8414 §3.3). Compare them character by character, a final slash included.";
        Error::field("/issuer", "other_issuer", rule)
    } else {
        let rule = "No metadata was found at this issuer. Leave issuer out and give the endpoints instead.";
        Error::field("/issuer", "no_metadata", rule)
    })
}

/// The first of our methods that the metadata lists; Basic when it lists none (RFC 8414 §2).
pub(crate) fn auth_method(metadata: &Metadata) -> AuthMethod {
    let supported = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let known = [
        ("client_secret_basic", AuthMethod::ClientSecretBasic),
        ("client_secret_post", AuthMethod::ClientSecretPost),
        ("none", AuthMethod::None),
    ];
    let listed = known.into_iter().find(|(name, _)| supported.iter().any(|method| method == name));
    listed.map_or(AuthMethod::ClientSecretBasic, |(_, method)| method)
}

/// Takes secret and key out of a body, and the rest as settings: so the settings never hold a secret.
///
/// # Errors
/// [`Error::Invalid`] naming the field that is wrong, missing or unknown.
pub fn parse_client(mut body: Value) -> Result<(ClientSettings, Option<Secret<String>>, Option<String>)> {
    let not_text = |pointer: &str| Error::field(pointer, "invalid_type", "It must be a text.");
    let object = body.as_object_mut().ok_or_else(|| Error::field("", "invalid_type", "The body must be an object."))?;
    let mut take = |name: &str| match object.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(not_text(&format!("/{}", escape(name)))),
    };
    let client_secret = take("client_secret")?.map(Secret::new);
    let client_key = take("client_key")?;
    Ok((crate::inbound::body::typed(body)?, client_secret, client_key))
}
