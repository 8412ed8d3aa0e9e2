//! What a test can set per client.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

mod choices;
mod dialect;
mod fault;
mod fault_rule;
mod scripted;
#[cfg(test)]
mod tests;

pub use choices::{AuthMethod, GrantType, RefreshTokenMode, ReusePenalty};
pub use dialect::{ApiHeader, ExpiresAtFormat, ExpiresInFormat, GrantTypeWords, TokenRequestRules, TokenResponseShape};
pub use fault::{Fault, FaultKind, Garbage};
pub use fault_rule::{Always, FaultRule, When};
pub use scripted::{LostAnswer, RawAnswer, ScriptedAnswer};

/// The longest delay of an answer, milliseconds.
const MAX_DELAY_MS: u32 = 60_000;

/// How far a client's view of the clock may be off, seconds: a year.
const MAX_SKEW_SECONDS: i64 = 366 * 86_400;

/// A client registration (RFC 7591 §2) and the behaviour it meets. Fields left out of JSON take their defaults;
/// unknown fields are refused. Serializing writes the secret: that form is for the data file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientSettings {
    /// 1 to 200 printable ASCII characters (RFC 6749 §2.2).
    pub client_id: String,
    /// `None` makes the client public (RFC 6749 §2.1).
    pub client_secret: Option<String>,
    /// Further secrets that count as well: how a secret is changed with overlap.
    pub client_secrets: Vec<String>,
    /// Absolute URLs without fragment, compared character for character (RFC 9700 §2.1).
    pub redirect_uris: Vec<String>,
    /// The grants the client may use; all four by default.
    pub grant_types: Vec<GrantType>,
    /// The scopes the client may ask for.
    pub scopes: Vec<String>,
    /// How the client may authenticate. `none` counts for public clients only, the other two for confidential ones.
    pub token_endpoint_auth_methods: Vec<AuthMethod>,
    /// Authorization requests must carry an S256 challenge (RFC 7636); on by default.
    pub require_pkce: bool,
    /// Lifetime of access tokens, seconds. 0 or null: `expires_in` is left out and they never expire.
    pub access_token_seconds: Option<u32>,
    /// What happens to a refresh token when it is used.
    pub refresh_token: RefreshTokenMode,
    /// For so many seconds after its first use a rotated refresh token still gets a fresh pair of the same grant.
    pub grace_seconds: u32,
    /// What a rotated refresh token costs when it is shown after the grace.
    pub reuse_penalty: ReusePenalty,
    /// Refresh answers carry no refresh token; the one presented stays valid (RFC 6749 §6).
    pub omit_refresh_token_on_refresh: bool,
    /// Token answers carry no `scope`.
    pub omit_scope: bool,
    /// Token answers carry neither `expires_in` nor `expires_at`, and access tokens expire nevertheless.
    pub omit_expires_in: bool,
    /// Granted at every exchange and refresh, asked for or not.
    pub extra_scopes: Vec<String>,
    /// Left out of every exchange and refresh; outweighs `extra_scopes`.
    pub withheld_scopes: Vec<String>,
    /// What a token request must look like.
    pub token_request: TokenRequestRules,
    /// What a token answer looks like.
    pub token_response: TokenResponseShape,
    /// What the next token requests get instead of the usual answer, each once.
    pub token_answers: VecDeque<ScriptedAnswer>,
    /// What token requests get again and again instead of the usual answer. The first rule that strikes counts, and
    /// `token_answers` go first. `null` in JSON is an empty list.
    #[serde(deserialize_with = "fault_rule::rules")]
    pub token_faults: Vec<FaultRule>,
    /// What the next revocation requests get instead of the usual answer, each once.
    pub revoke_answers: VecDeque<ScriptedAnswer>,
    /// Authorization responses carry `iss` (RFC 9207); on by default.
    pub send_iss: bool,
    /// Lifetime of authorization codes, seconds.
    pub code_seconds: u32,
    /// Another issuer to claim in authorization responses, to play a mix-up attack.
    pub iss_override: Option<String>,
    /// Authorization requests are granted at once, without pages, in this person's name.
    pub auto_consent: Option<String>,
    /// Parameters added to the authorization responses that carry a code.
    pub callback_params: BTreeMap<String, String>,
    /// Where the API looks for this client's access tokens.
    pub api_header: ApiHeader,
    /// The API takes only access tokens that were asked for with this `audience` or `resource` (RFC 8707).
    pub api_audience: Option<String>,
    /// The keys `/api/key` takes.
    pub api_keys: Vec<String>,
    /// The token endpoint acts at once and answers after so many milliseconds, at most 60,000.
    pub delay_ms: u32,
    /// So many seconds the provider's clock is off where it shows to the client: in `Date`, `expires_at`, introspection
    /// and the times of ID tokens. Lifetimes are counted by the right clock. At most a year either way.
    pub clock_skew_seconds: i64,
}

impl Default for ClientSettings {
    fn default() -> Self {
        ClientSettings {
            client_id: String::new(),
            client_secret: None,
            client_secrets: Vec::new(),
            redirect_uris: Vec::new(),
            grant_types: vec![
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::ClientCredentials,
                GrantType::Password,
            ],
            scopes: ["openid", "profile", "email", "offline_access", "read", "write"].map(String::from).to_vec(),
            token_endpoint_auth_methods: vec![
                AuthMethod::ClientSecretBasic,
                AuthMethod::ClientSecretPost,
                AuthMethod::None,
            ],
            require_pkce: true,
            access_token_seconds: Some(3600),
            refresh_token: RefreshTokenMode::Rotating,
            grace_seconds: 0,
            reuse_penalty: ReusePenalty::Family,
            omit_refresh_token_on_refresh: false,
            omit_scope: false,
            omit_expires_in: false,
            extra_scopes: Vec::new(),
            withheld_scopes: Vec::new(),
            token_request: TokenRequestRules::default(),
            token_response: TokenResponseShape::default(),
            token_answers: VecDeque::new(),
            token_faults: Vec::new(),
            revoke_answers: VecDeque::new(),
            send_iss: true,
            code_seconds: 60,
            iss_override: None,
            auto_consent: None,
            callback_params: BTreeMap::new(),
            api_header: ApiHeader::default(),
            api_audience: None,
            api_keys: Vec::new(),
            delay_ms: 0,
            clock_skew_seconds: 0,
        }
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientSettings").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

impl ClientSettings {
    /// Checks what the types leave open.
    pub(crate) fn validate(&self) -> anyhow::Result<()> {
        ensure!(is_printable_ascii(&self.client_id, 200), "client_id must be 1 to 200 printable ASCII characters");
        for secret in self.secrets().chain(&self.api_keys) {
            ensure!(is_printable_ascii(secret, 1000), "secrets and keys must be 1 to 1000 printable ASCII characters");
        }
        for redirect_uri in &self.redirect_uris {
            let url = Url::parse(redirect_uri).context("redirect_uris must be absolute URLs")?;
            ensure!(!url.cannot_be_a_base(), "redirect_uris must be hierarchical URLs");
            ensure!(url.fragment().is_none(), "redirect_uris must not have a fragment");
        }
        let mut scopes = self.scopes.iter().chain(&self.extra_scopes).chain(&self.withheld_scopes);
        ensure!(scopes.all(|scope| is_scope_token(scope)), "scopes must be scope tokens (RFC 6749 §3.3)");
        self.token_request.validate()?;
        self.token_response.validate()?;
        self.api_header.validate()?;
        self.token_answers.iter().chain(&self.revoke_answers).try_for_each(ScriptedAnswer::validate)?;
        self.token_faults.iter().try_for_each(FaultRule::validate)?;
        if let Some(name) = &self.auto_consent {
            ensure!(is_username(name), "auto_consent must be a username: 1 to 80 bytes, no control characters");
        }
        ensure!(self.delay_ms <= MAX_DELAY_MS, "delay_ms must be at most {MAX_DELAY_MS}");
        ensure!(
            self.clock_skew_seconds.saturating_abs() <= MAX_SKEW_SECONDS,
            "clock_skew_seconds must be at most {MAX_SKEW_SECONDS} either way"
        );
        Ok(())
    }

    /// Reads the body of `PUT /admin/clients/{client_id}`.
    pub(crate) fn from_body(client_id: &str, body: Map<String, Value>) -> anyhow::Result<ClientSettings> {
        ClientSettings { client_id: client_id.to_owned(), ..ClientSettings::default() }.merged(body)
    }

    /// These settings with the given members replaced. `null` is a value, not a removal.
    pub(crate) fn merged(&self, changes: Map<String, Value>) -> anyhow::Result<ClientSettings> {
        let Value::Object(mut members) = serde_json::to_value(self)? else {
            bail!("settings are an object");
        };
        members.extend(changes);
        let settings: ClientSettings = serde_json::from_value(Value::Object(members))?;
        ensure!(settings.client_id == self.client_id, "client_id is the one in the path");
        settings.validate()?;
        Ok(settings)
    }

    /// The settings as the admin endpoints show them: how many secrets and keys there are, never one of them.
    pub(crate) fn view(&self) -> Value {
        let mut view = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = view.as_object_mut() {
            for hidden in ["client_secret", "client_secrets", "api_keys"] {
                members.remove(hidden);
            }
            members.insert("has_secret".to_owned(), Value::from(!self.is_public()));
            members.insert("secret_count".to_owned(), Value::from(self.secrets().count()));
            members.insert("api_key_count".to_owned(), Value::from(self.api_keys.len()));
        }
        view
    }

    /// Every secret that counts.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.client_secret.iter().chain(&self.client_secrets)
    }

    /// RFC 6749 §2.1: a client without a secret.
    pub(crate) fn is_public(&self) -> bool {
        self.secrets().next().is_none()
    }

    /// The scopes of a request: those asked for, or without `scope` the allowed ones that name a right at the API.
    /// `None` when one is not allowed, or none is left (RFC 6749 §3.3, `invalid_scope`).
    pub(crate) fn scopes_for(&self, requested: Option<&str>) -> Option<Vec<String>> {
        let scopes: Vec<String> = match requested {
            Some(requested) => self.split_scopes(requested),
            None => self.scopes.iter().filter(|scope| !is_openid_scope(scope)).cloned().collect(),
        };
        (!scopes.is_empty() && scopes.iter().all(|scope| self.scopes.contains(scope))).then(|| without_repeats(scopes))
    }

    /// The scopes of a `scope` parameter: apart by spaces (RFC 6749 §3.3), and by the client's own separator if it has one.
    pub(crate) fn split_scopes(&self, requested: &str) -> Vec<String> {
        let spaced = match self.token_response.scope_separator.as_deref() {
            Some(separator) => requested.replace(separator, " "),
            None => requested.to_owned(),
        };
        spaced.split(' ').filter(|scope| !scope.is_empty()).map(String::from).collect()
    }

    /// What comes of scopes that were allowed: with the extra ones, without the withheld ones.
    pub(crate) fn granted(&self, allowed: &[String]) -> Vec<String> {
        let all = allowed.iter().chain(&self.extra_scopes);
        without_repeats(all.filter(|scope| !self.withheld_scopes.contains(scope)).cloned().collect())
    }

    /// Seconds until an access token issued now expires; `None` when it never does.
    pub(crate) fn expires_in(&self) -> Option<u32> {
        self.access_token_seconds.filter(|seconds| *seconds > 0)
    }

    /// A moment as the provider's clock shows it to the client, both in milliseconds.
    pub(crate) fn shown(&self, moment: i64) -> i64 {
        moment.saturating_add(self.clock_skew_seconds.saturating_mul(1000))
    }

    /// Whether the client is given refresh tokens with the grants of a person.
    pub(crate) fn gets_refresh_tokens(&self) -> bool {
        self.refresh_token != RefreshTokenMode::None && self.grant_types.contains(&GrantType::RefreshToken)
    }
}

/// A name anybody may sign in with.
pub(crate) fn is_username(name: &str) -> bool {
    (1..=80).contains(&name.len()) && name.trim() == name && !name.chars().any(char::is_control)
}

/// RFC 6749 Appendix A: `VSCHAR`.
fn is_printable_ascii(value: &str, longest: usize) -> bool {
    (1..=longest).contains(&value.len()) && value.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// RFC 6749 §3.3: `scope-token`.
pub(crate) fn is_scope_token(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

fn is_openid_scope(scope: &str) -> bool {
    matches!(scope, "openid" | "profile" | "email" | "offline_access")
}

fn without_repeats(scopes: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(scopes.len());
    for scope in scopes {
        if !kept.contains(&scope) {
            kept.push(scope);
        }
    }
    kept
}
