//! The sandbox in the place of a real provider: it takes what a catalogue entry says about that provider for the truth,
//! refuses every request that differs from it, and answers in its odd shape.
//!
//! A pose stands in front of the plain sandbox. It finds which endpoint of which provider a request is for ([`find`]),
//! checks it ([`wanted`]), asks the sandbox by the book ([`inner`]) and gives its answer the provider's shape
//! ([`shape`]). Codes, grants, tokens, the clock and the log are those of the sandbox.
//!
//! - [`posed`], [`facts`], [`known`]: a pose, what the entry says, and the values of its variables
//! - [`template`], [`address`], [`place`]: texts with placeholders, URLs, places in answers
//! - [`sites`], [`arrived`], [`serve`]: addresses, requests, and what becomes of them
//! - [`authorize`], [`token`], [`revoke`], [`introspect`], [`resource`], [`metadata`]: one per kind of endpoint

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use serde_json::Value;

use crate::Sandbox;
use posed::{Complaint, Posed};
use sites::Site;

mod address;
mod arrived;
mod authorize;
mod facts;
mod find;
mod inner;
mod introspect;
mod known;
mod metadata;
mod place;
mod posed;
mod resource;
mod revoke;
mod serve;
mod shape;
mod sites;
mod template;
mod token;
mod wanted;

/// A provider to pose as, and the client that is registered there.
#[derive(Clone)]
pub struct PoseSettings {
    /// What a client takes from the entry, as JSON: `extends` and `[grants.*]` merged, nothing else in it.
    pub entry: Value,
    /// The client's id there. A pose replaces an earlier one of the same id.
    pub client_id: String,
    /// The secrets that count; without any the client is public.
    pub client_secrets: Vec<String>,
    /// The redirect URIs that are registered there.
    pub redirect_uris: Vec<String>,
    /// The scopes that may be asked, when they are other ones than those of the entry.
    pub scopes: Vec<String>,
    /// The values of variables that the person and the client give. What a choice sets is added.
    pub values: BTreeMap<String, String>,
    /// What the authorization response, the token answer and lookups bring for the other variables, as it stands there.
    /// A list for a variable of source `choice` is what the person can choose from; a list for a variable that comes
    /// `with` it has a value for each of these items.
    pub found: BTreeMap<String, Value>,
    /// The person who consents.
    pub user: String,
    /// What `test_request.account` and `userinfo_endpoint` bring.
    pub account: String,
    /// What `test_request.label` brings.
    pub label: String,
    /// The lifetime of access tokens, told as `expires_in` even where the provider never says it. Without it the entry
    /// decides.
    pub access_token_seconds: Option<u32>,
}

impl Default for PoseSettings {
    fn default() -> Self {
        PoseSettings {
            entry: Value::Null,
            client_id: String::new(),
            client_secrets: Vec::new(),
            redirect_uris: Vec::new(),
            scopes: Vec::new(),
            values: BTreeMap::new(),
            found: BTreeMap::new(),
            user: "ada".to_owned(),
            account: "account-1".to_owned(),
            label: "Ada's account".to_owned(),
            access_token_seconds: None,
        }
    }
}

impl fmt::Debug for PoseSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PoseSettings").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A kind of request that a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// An authorization request.
    Authorize,
    /// A token request of any grant but a refresh.
    Token,
    /// A token request that presents a refresh token.
    Refresh,
    /// A revocation request.
    Revoke,
    /// An introspection request.
    Introspect,
    /// A request to the UserInfo endpoint.
    Userinfo,
    /// The test request.
    Test,
    /// A lookup of a variable's value.
    Lookup,
    /// Any other request to the API.
    Api,
    /// The issuer's metadata, or its keys.
    Metadata,
}

impl Endpoint {
    /// Its name in complaints.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::Authorize => "authorize",
            Endpoint::Token => "token",
            Endpoint::Refresh => "refresh",
            Endpoint::Revoke => "revoke",
            Endpoint::Introspect => "introspect",
            Endpoint::Userinfo => "userinfo",
            Endpoint::Test => "test",
            Endpoint::Lookup => "lookup",
            Endpoint::Api => "api",
            Endpoint::Metadata => "metadata",
        }
    }
}

/// The sandbox posing as one provider. Clones share it.
#[derive(Clone)]
pub struct Pose(Arc<Posed>);

impl Pose {
    /// Why requests were refused, oldest first: `token: the body must be JSON, not …`. A refusal by the sandbox itself
    /// (a spent code, a wrong secret) is one too.
    pub fn complaints(&self) -> Vec<String> {
        self.0.notes().complaints.clone()
    }

    /// The endpoints whose requests were as the entry says, oldest first. One request can reach several: a lookup at the
    /// address of the test request is both.
    pub fn reached(&self) -> Vec<Endpoint> {
        self.0.notes().reached.clone()
    }

    /// Forgets complaints and what was reached.
    pub fn clear(&self) {
        let mut notes = self.0.notes();
        notes.complaints.clear();
        notes.reached.clear();
    }

    /// Host and path of every address that is answered, for tests that look for collisions.
    pub fn addresses(&self) -> Vec<(Endpoint, String)> {
        let shown = |site: &Site| (site.endpoint(), format!("{}{}", site.address.authority, site.address.path));
        self.0.sites.iter().map(shown).collect()
    }
}

/// The poses of a sandbox by client id.
#[derive(Default)]
pub(crate) struct Poses {
    by_client: Mutex<BTreeMap<String, Arc<Posed>>>,
    strays: Mutex<Vec<String>>,
}

impl Sandbox {
    /// Poses as a provider: registers the client and answers at the provider's addresses ([`Sandbox::poses_router`]).
    ///
    /// # Errors
    /// The entry is not in the form of the catalogue, a value is impossible, or the data file cannot be written.
    pub fn pose(&self, settings: PoseSettings) -> anyhow::Result<Pose> {
        let posed = Arc::new(Posed::new(settings)?);
        self.register(posed.client())?;
        let mut poses = self.0.poses.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        poses.insert(posed.settings.client_id.clone(), Arc::clone(&posed));
        Ok(Pose(posed))
    }

    /// The addresses of every pose. A request is for the host in its address or in `Host`.
    pub fn poses_router(&self) -> Router {
        Router::new().fallback(serve::serve).with_state(self.clone())
    }

    /// The requests that came to [`Sandbox::poses_router`] for a host or path of no pose: `GET x.example/path`.
    pub fn strays(&self) -> Vec<String> {
        self.0.poses.strays.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn poses(&self) -> Vec<Arc<Posed>> {
        self.0.poses.by_client.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn note_stray(&self, stray: String) {
        self.0.poses.strays.lock().unwrap_or_else(PoisonError::into_inner).push(stray);
    }
}
