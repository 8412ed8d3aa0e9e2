//! A flow: one authorization request in flight (RFC 6749 §4.1.1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::client::GrantType;
use super::ids::{ClientId, CredentialId, FlowId, ProjectId, SessionId};
use super::session::Binding;
use crate::clock::Timestamp;
use crate::error::{BrowserRefusal, Error};
use crate::vault::root_key::Sealed;

/// How long a person may take at the authorization server (seconds).
pub const LIFETIME_SECONDS: i64 = 600;
/// How long a parked code waits for `complete` at most (seconds): RFC 6749 §4.1.2 advises 10 minutes as a code's life.
pub const COMPLETION_SECONDS: i64 = 600;
/// How long a repeated `complete` gets the same answer (seconds).
pub const REPEAT_SECONDS: i64 = 600;

/// Where a flow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowStatus {
    /// The browser is at the authorization server.
    Pending,
    /// The code is here, sealed, and not exchanged.
    Parked,
    /// One caller exchanges the code now.
    Exchanging,
    /// The credential exists.
    Completed,
    /// The person denied, the exchange failed, or another owner came.
    Failed,
    /// A newer start replaced it.
    Voided,
}

/// A flow as stored. `state`, cookie nonce and completion code are here only as SHA-256; the verifier is derived from
/// `state`, so nothing secret is stored until the code is parked, sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Its id.
    pub id: FlowId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// The session it was started from.
    pub session: SessionId,
    /// Whose credential it will be.
    pub owner: String,
    /// The name the credential will have.
    pub name: String,
    /// The client, and its `version` at the start: a client that changed meanwhile aborts the flow.
    pub client: ClientId,
    /// See `client`.
    pub client_version: u64,
    /// The key in the redirect URI; a callback at another client's redirect URI is refused.
    pub client_key: String,
    /// The grant that will be used; one that needs no redirect is parked at once.
    #[serde(default)]
    pub grant: GrantType,
    /// The credential whose grant is replaced; absent: a new one is made.
    #[serde(default)]
    pub target: Option<CredentialId>,
    /// Whether another account than before may take the place.
    #[serde(default)]
    pub allow_account_change: bool,
    /// What was given for the client's variables and is no secret.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// What was given and is a secret, sealed until the exchange.
    #[serde(default)]
    pub inputs: Option<Sealed>,
    /// The issuer to compare `iss` with (RFC 9207), when it is known.
    pub issuer: Option<String>,
    /// Whether the authorization server promised `iss`.
    pub iss_required: bool,
    /// The token endpoint, pinned.
    pub token_endpoint: String,
    /// The redirect URI that was sent.
    pub redirect_uri: String,
    /// Whether a code challenge was sent.
    pub pkce: bool,
    /// What was asked.
    pub requested_scopes: Vec<String>,
    /// SHA-256 of `state`, hex.
    pub state_hash: String,
    /// SHA-256 of the cookie's nonce, hex.
    pub cookie_hash: String,
    /// The version of the root key that verifier and nonce were derived with.
    pub key_version: String,
    /// Where the browser goes afterwards.
    pub return_url: Option<String>,
    /// Given back on return.
    pub context: Option<String>,
    /// Where the code is exchanged.
    pub binding: Binding,
    /// When it was started.
    pub created_at: Timestamp,
    /// When `state` stops working.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub status: FlowStatus,
    /// Code, verifier and nonce, sealed, from the callback until the exchange.
    pub parked: Option<Sealed>,
    /// SHA-256 of the completion code, hex.
    pub completion_hash: Option<String>,
    /// When the completion code stops working.
    pub completion_expires_at: Option<Timestamp>,
    /// When an exchange that was begun must be over.
    pub exchange_until: Option<Timestamp>,
    /// The exchange that holds the flow, a UUID.
    #[serde(default)]
    pub exchange_attempt: Option<String>,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// What came of it.
    pub credential: Option<CredentialId>,
    /// Why nothing came of it, as a stable code.
    pub problem: Option<String>,
}

impl Flow {
    /// The name of the cookie that binds the flow to its browser. `__Host-` pins it to this host over https; plain-http
    /// loopback cannot have the prefix.
    pub fn cookie_name(&self, plain_http: bool) -> String {
        cookie_name(&self.id, plain_http)
    }

    /// Before anything else: the answer must arrive at the redirect URI of this flow's client (distinct redirect URIs
    /// per client are the defence against mix-up across clients).
    ///
    /// # Errors
    /// [`BrowserRefusal::ForeignRedirectUri`].
    pub fn check_redirect_uri(&self, client_key: &str) -> Result<(), BrowserRefusal> {
        if self.client_key == client_key { Ok(()) } else { Err(BrowserRefusal::ForeignRedirectUri) }
    }

    /// Whether the flow can still be answered. The time is tested here and again in the condition that consumes it: the
    /// table's own expiry only collects garbage.
    ///
    /// # Errors
    /// [`BrowserRefusal::ExpiredState`], [`BrowserRefusal::AlreadyUsed`], or [`BrowserRefusal::UnknownState`] for a flow
    /// that a newer start voided.
    pub fn check_pending(&self, now: Timestamp) -> Result<(), BrowserRefusal> {
        match self.status {
            FlowStatus::Voided => Err(BrowserRefusal::UnknownState),
            FlowStatus::Pending if now >= self.expires_at => Err(BrowserRefusal::ExpiredState),
            FlowStatus::Pending => Ok(()),
            FlowStatus::Parked | FlowStatus::Exchanging | FlowStatus::Completed | FlowStatus::Failed => {
                Err(BrowserRefusal::AlreadyUsed)
            }
        }
    }

    /// RFC 9700 §4.7.1: the answer must come from the user agent that started the flow.
    ///
    /// # Errors
    /// [`BrowserRefusal::WrongBrowser`].
    pub fn check_browser(&self, cookie_hash: Option<&str>) -> Result<(), BrowserRefusal> {
        use subtle::ConstantTimeEq as _;
        let same = cookie_hash.is_some_and(|hash| hash.as_bytes().ct_eq(self.cookie_hash.as_bytes()).into());
        if same { Ok(()) } else { Err(BrowserRefusal::WrongBrowser) }
    }

    /// Whether an exchange was begun and its time is over: the worker is dead.
    pub fn is_interrupted(&self, now: Timestamp) -> bool {
        self.status == FlowStatus::Exchanging && self.exchange_until.is_none_or(|until| now >= until)
    }

    /// Whether a `complete` call may exchange the code now.
    ///
    /// # Errors
    /// 409 or 410 errors that say where the flow stands.
    pub fn check_completable(&self, now: Timestamp) -> Result<(), Error> {
        let conflict =
            |code, detail: &str| Err(Error::Conflict { code, detail: detail.to_owned(), advice: &[RESTART] });
        match self.status {
            FlowStatus::Pending => conflict("flow_not_returned", "The person has not come back from the provider yet."),
            FlowStatus::Exchanging if !self.is_interrupted(now) => Err(Error::Conflict {
                code: "completion_in_progress",
                detail: "Another call completes this flow now.".to_owned(),
                advice: &["Repeat the call in a second: it then gets the same answer."],
            }),
            FlowStatus::Exchanging => conflict(
                "exchange_interrupted",
                "The exchange of the authorization code was interrupted and the code can be used only once.",
            ),
            FlowStatus::Failed | FlowStatus::Voided => {
                conflict("flow_failed", "This flow failed; its authorization code was destroyed.")
            }
            FlowStatus::Completed => conflict("flow_completed", "This flow was completed before."),
            FlowStatus::Parked if self.completion_expires_at.is_none_or(|at| now >= at) => Err(Error::Gone {
                code: "completion_expired",
                detail: "The authorization code of this flow has expired.".to_owned(),
                advice: &["Open a new connect session."],
            }),
            FlowStatus::Parked => Ok(()),
        }
    }
}

const RESTART: &str = "Open a new connect session, or send the person to the same connect link again.";

/// See [`Flow::cookie_name`].
pub fn cookie_name(id: &FlowId, plain_http: bool) -> String {
    let prefix = if plain_http { "" } else { "__Host-" };
    format!("{prefix}gk-{id}")
}
