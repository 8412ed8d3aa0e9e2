//! One pose: its facts and values, and the client that is registered for it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::ensure;

use super::facts::{Entry, TokenRequest};
use super::known::{self, Known, Values};
use super::sites::{self, Site};
use super::{Endpoint, PoseSettings, template};
use crate::settings::{AuthMethod, ClientSettings, GrantType, RefreshTokenMode, ReusePenalty};

/// A scope for entries that name none: the sandbox grants nothing without one. It is never told.
pub(super) const UNNAMED_SCOPE: &str = "unnamed";

/// How long an access token lives when neither the entry nor the test says so, seconds.
const LIFETIME_SECONDS: u32 = 3600;

/// What a pose is made of.
pub(super) struct Posed {
    pub(super) settings: PoseSettings,
    pub(super) entry: Entry,
    /// What a refresh looks like.
    pub(super) refreshing: TokenRequest,
    pub(super) known: Known,
    /// The scopes that may be asked.
    pub(super) scopes: Vec<String>,
    /// Those of them that must be.
    pub(super) required_scopes: Vec<String>,
    pub(super) sites: Vec<Site>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
pub(super) struct Notes {
    pub(super) complaints: Vec<String>,
    pub(super) reached: Vec<Endpoint>,
    /// Access tokens that renew themselves, with the sandbox's refresh token of each.
    pub(super) renewals: BTreeMap<String, String>,
}

/// Why a request is refused.
pub(super) struct Complaint {
    pub(super) reason: String,
    /// RFC 6749 §5.2, RFC 6750 §3.1.
    pub(super) code: &'static str,
}

impl Complaint {
    pub(super) fn new(code: &'static str, reason: impl Into<String>) -> Complaint {
        Complaint { reason: reason.into(), code }
    }
}

impl From<String> for Complaint {
    fn from(reason: String) -> Self {
        Complaint::new("invalid_request", reason)
    }
}

impl Posed {
    pub(super) fn new(settings: PoseSettings) -> anyhow::Result<Posed> {
        let entry = Entry::read(&settings.entry)?;
        let known = Known::of(&entry, &settings.values, &settings.found)?;
        let (required_scopes, optional) = scopes_of(&entry, known.first());
        let scopes = if settings.scopes.is_empty() {
            required_scopes.iter().chain(&optional).cloned().collect()
        } else {
            settings.scopes.clone()
        };
        let required_scopes = required_scopes.into_iter().filter(|scope| scopes.contains(scope)).collect();
        let refreshing = entry.refreshing();
        let sites = sites::of(&entry, &refreshing, &known, &settings.client_id);
        ensure!(!sites.is_empty(), "the entry has no address whose values are all known");
        Ok(Posed { settings, entry, refreshing, known, scopes, required_scopes, sites, notes: Mutex::default() })
    }

    /// The registration at the plain sandbox.
    pub(super) fn client(&self) -> ClientSettings {
        let facts = &self.entry.refresh;
        let renews = self.entry.renews_itself();
        let kind = match facts.kind.unwrap_or(RefreshTokenMode::Rotating) {
            RefreshTokenMode::None if renews => RefreshTokenMode::Static,
            kind => kind,
        };
        let mut scopes = self.scopes.clone();
        if scopes.is_empty() {
            scopes.push(UNNAMED_SCOPE.to_owned());
        }
        let mut grant_types = self.entry.grants();
        if renews && !grant_types.contains(&GrantType::RefreshToken) {
            grant_types.push(GrantType::RefreshToken);
        }
        ClientSettings {
            client_id: self.settings.client_id.clone(),
            client_secrets: self.settings.client_secrets.clone(),
            redirect_uris: self.settings.redirect_uris.clone(),
            grant_types,
            scopes,
            token_endpoint_auth_methods: vec![AuthMethod::ClientSecretBasic, AuthMethod::None],
            require_pkce: self.entry.pkce(),
            access_token_seconds: self.settings.access_token_seconds.or_else(|| self.lifetime()),
            refresh_token: kind,
            omit_refresh_token_on_refresh: kind == RefreshTokenMode::Static,
            grace_seconds: facts.grace_seconds.unwrap_or_default(),
            reuse_penalty: facts.reuse_penalty.unwrap_or(ReusePenalty::Family),
            send_iss: false,
            auto_consent: Some(self.settings.user.clone()),
            ..ClientSettings::default()
        }
    }

    /// Seconds; nothing for tokens that never end.
    fn lifetime(&self) -> Option<u32> {
        let never = self.entry.refresh.kind == Some(RefreshTokenMode::None) && !self.names_an_end();
        self.entry.refresh.default_lifetime.or((!never).then_some(LIFETIME_SECONDS))
    }

    /// Whether an answer tells when its access token ends.
    pub(super) fn tells_lifetime(&self) -> bool {
        let facts = &self.entry.refresh;
        let silent = facts.kind == Some(RefreshTokenMode::None) || facts.default_lifetime.is_some();
        self.settings.access_token_seconds.is_some() || !silent || self.names_an_end()
    }

    fn names_an_end(&self) -> bool {
        self.entry.token_response.expires_in.is_some() || self.entry.token_response.expires_at.is_some()
    }

    pub(super) fn has_secret(&self) -> bool {
        !self.settings.client_secrets.is_empty()
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn complain(&self, endpoint: Endpoint, reason: &str) {
        self.notes().complaints.push(format!("{}: {reason}", endpoint.as_str()));
    }

    /// The scopes of a request, which stand apart by the entry's separator and by nothing else.
    pub(super) fn split_scopes(&self, given: &str) -> Result<Vec<String>, Complaint> {
        let separator = self.entry.separator();
        let scopes: Vec<String> = given.split(separator).map(str::to_owned).collect();
        match scopes.iter().find(|scope| !self.scopes.contains(scope)) {
            Some(unknown) => Err(Complaint::new(
                "invalid_scope",
                format!("`{unknown}` is none of the scopes, between which stands `{separator}`"),
            )),
            None => Ok(scopes),
        }
    }
}

/// The required and the optional scopes of an entry.
fn scopes_of(entry: &Entry, values: &Values) -> (Vec<String>, Vec<String>) {
    let rendered = |scope: &String| {
        let meaning = |name: &str| known::at_api(values, name);
        template::Pattern::of(scope, &meaning).map(|pattern| pattern.shown())
    };
    let optional = entry.scopes.optional.iter().map(|scope| &scope.value);
    (entry.scopes.required.iter().filter_map(rendered).collect(), optional.filter_map(rendered).collect())
}
