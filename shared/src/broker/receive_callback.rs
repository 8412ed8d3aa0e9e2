//! Receives the authorization response at the redirection endpoint. The code is parked, sealed, and not exchanged:
//! only `complete` does that, after the backend vouched for the person.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::Broker;
use crate::error::{BrowserRefusal, Result};
use crate::model::client::GrantType;
use crate::model::credential::Credential;
use crate::model::flow::{COMPLETION_SECONDS, Flow, FlowStatus, cookie_name};
use crate::model::session::Binding;
use crate::model::variable::{Variable, VariableSource};
use crate::protocol::authorization::{Answer, AuthorizationResponse};
use crate::protocol::pkce;
use crate::secret::Secret;
use crate::store::Parking;
use crate::vault::root_key::{Purpose, random_token, sha256};

/// A request at the redirection endpoint.
pub struct Callback<'a> {
    /// The key in the path.
    pub client_key: &'a str,
    /// The raw query.
    pub query: &'a str,
    /// The cookies that the browser sent, by name.
    pub cookie: &'a (dyn Fn(&str) -> Option<String> + Send + Sync),
}

/// Where the browser goes now.
pub enum Returned {
    /// To the platform's page. The URL carries a completion code, so it is a secret until the browser has it.
    Redirect(Secret<String>),
    /// To a page of ours: the person is back, and the backend will go on.
    Waiting,
    /// To a page of ours: the credential exists.
    Connected(Box<Credential>),
    /// To a page of ours: the authorization server sent an error response.
    Denied(&'static str),
}

/// What is sealed between callback and exchange.
#[derive(Serialize, Deserialize)]
struct ParkedDocument {
    /// A grant that needs no redirect has none.
    #[serde(default)]
    code: Option<String>,
    verifier: String,
    nonce: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    callback: Map<String, Value>,
}

/// Code, verifier and nonce of a flow.
pub(crate) struct Parked {
    /// A grant that needs no redirect has none.
    pub(crate) code: Option<Secret<String>>,
    pub(crate) verifier: Secret<String>,
    pub(crate) nonce: Secret<String>,
    /// Some token endpoints want to see it again.
    pub(crate) state: Secret<String>,
    /// What the provider added to its answer.
    pub(crate) callback: Map<String, Value>,
}

impl Broker {
    /// Handles an authorization response, in the order of SECURITY.md's minimum set, 3.
    ///
    /// # Errors
    /// [`BrowserRefusal`]; nothing is consumed then, and no request is made.
    pub async fn receive_callback(&self, callback: Callback<'_>) -> Result<Returned> {
        let response = AuthorizationResponse::parse(callback.query)?;
        let state_hash = sha256(response.state()?.expose());
        let flow = self.store().find_flow_by_state(&state_hash).await?.ok_or(BrowserRefusal::UnknownState)?;
        let now = self.now();
        flow.check_redirect_uri(callback.client_key)?;
        flow.check_pending(now)?;
        let cookie = (callback.cookie)(&cookie_name(&flow.id, self.config().plain_http()));
        flow.check_browser(cookie.map(|cookie| sha256(&cookie)).as_deref())?;
        let redirected = flow.grant == GrantType::AuthorizationCode;
        if redirected {
            response.check_issuer(flow.issuer.as_deref(), flow.iss_required)?;
        } else if !response.is_bare() {
            // No provider was asked: our own page sent this browser on.
            return Err(BrowserRefusal::MalformedResponse.into());
        }
        let client = self.store().find_client(&flow.client).await?.ok_or(BrowserRefusal::ClientChanged)?;
        if client.version != flow.client_version {
            return Err(BrowserRefusal::ClientChanged.into());
        }

        let response = response.with_code_in(client.settings.authorization_names.get("code"));
        let state = response.state()?.clone();
        if !redirected {
            return self.park(flow, &state, None, Map::new()).await;
        }
        let of_callback = |variable: &&Variable| variable.source == VariableSource::Callback;
        let wanted: Vec<&str> =
            client.settings.variables.iter().filter(of_callback).map(|variable| variable.place()).collect();
        let callback = response.extra(&wanted);
        match response.into_answer()? {
            Answer::Error(problem) => {
                if !self.store().fail_flow(&flow, FlowStatus::Pending, problem, now).await? {
                    return Err(BrowserRefusal::AlreadyUsed.into());
                }
                tracing::info!(flow = %flow.id, problem, "the authorization server sent an error response");
                Ok(match &flow.return_url {
                    Some(url) => Returned::Redirect(back(url, &flow, &[("error", problem)])?),
                    None => Returned::Denied(problem),
                })
            }
            Answer::Code(code) => self.park(flow, &state, Some(code), callback).await,
        }
    }

    /// Parks what was brought, for `complete`; with a binding to the browser the exchange happens at once.
    ///
    /// # Errors
    /// [`BrowserRefusal::AlreadyUsed`].
    pub(super) async fn park(
        &self,
        flow: Flow,
        state: &Secret<String>,
        code: Option<Secret<String>>,
        callback: Map<String, Value>,
    ) -> Result<Returned> {
        let now = self.now();
        let key = self.root_keys().version(&flow.key_version).await?;
        let document = ParkedDocument {
            code: code.map(|code| code.expose().clone()),
            verifier: pkce::verifier(key.derive(Purpose::Pkce, state)?.expose()).expose().clone(),
            nonce: pkce::verifier(key.derive(Purpose::Nonce, state)?.expose()).expose().clone(),
            state: state.expose().clone(),
            callback,
        };
        let document = Secret::new(serde_json::to_string(&document).unwrap_or_default());
        let completion_code = random_token()?;
        let parking = Parking {
            parked: key.seal(Purpose::ParkedCode, flow.id.as_str(), &document)?,
            completion_hash: sha256(completion_code.expose()),
            completion_expires_at: now + Duration::seconds(COMPLETION_SECONDS),
        };
        // One winner: a replayed or parallel callback ends here.
        if !self.store().park_flow(&flow, &parking, now).await? {
            return Err(BrowserRefusal::AlreadyUsed.into());
        }
        tracing::info!(flow = %flow.id, "the flow is parked");
        match flow.binding {
            Binding::Backend => Ok(match &flow.return_url {
                Some(url) => Returned::Redirect(back(url, &flow, &[("completion_code", completion_code.expose())])?),
                None => Returned::Waiting,
            }),
            Binding::Browser => {
                let parked = Flow {
                    status: FlowStatus::Parked,
                    parked: Some(parking.parked),
                    completion_hash: Some(parking.completion_hash),
                    completion_expires_at: Some(parking.completion_expires_at),
                    ..flow
                };
                self.complete_in_browser(parked).await
            }
        }
    }

    /// `binding: browser`: the exchange happens now, tied to the browser that started.
    async fn complete_in_browser(&self, flow: Flow) -> Result<Returned> {
        let begun = Instant::now();
        match self.exchange_code(&flow, begun).await {
            Ok(credential) => Ok(match &flow.return_url {
                Some(url) => Returned::Redirect(back(url, &flow, &[("credential", credential.id.as_str())])?),
                None => Returned::Connected(Box::new(credential)),
            }),
            Err(error) => {
                let problem = super::complete_flow::problem_of(&error);
                tracing::warn!(flow = %flow.id, problem, %error, "the exchange failed");
                // Nobody has a completion code that could try again.
                self.store().fail_flow(&flow, FlowStatus::Parked, problem, self.now()).await?;
                Ok(match &flow.return_url {
                    Some(url) => Returned::Redirect(back(url, &flow, &[("error", problem)])?),
                    None => Returned::Denied(problem),
                })
            }
        }
    }

    /// Opens what was parked.
    pub(crate) async fn open_parked(&self, flow: &Flow) -> Result<Parked> {
        let lost = || crate::error::Error::Internal("a parked flow has no code");
        let sealed = flow.parked.as_ref().ok_or_else(lost)?;
        let key = self.root_keys().version(&sealed.key_version).await?;
        let document = key.open(Purpose::ParkedCode, flow.id.as_str(), sealed)?;
        let document: ParkedDocument = serde_json::from_str(document.expose()).map_err(|_| lost())?;
        Ok(Parked {
            code: document.code.map(Secret::new),
            verifier: Secret::new(document.verifier),
            nonce: Secret::new(document.nonce),
            state: Secret::new(document.state),
            callback: document.callback,
        })
    }
}

/// The platform's page with our parameters added, and `#_` at the end: without a fragment of its own a browser would
/// carry the one of the authorization server over (RFC 9700 §4.1.3).
fn back(return_url: &str, flow: &Flow, parameters: &[(&str, &str)]) -> Result<Secret<String>> {
    let mut url = Url::parse(return_url).map_err(|_| crate::error::Error::Internal("a return URL is not a URL"))?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("flow", flow.id.as_str());
        for (name, value) in parameters {
            query.append_pair(name, value);
        }
        if let Some(context) = &flow.context {
            query.append_pair("context", context);
        }
    }
    url.set_fragment(Some("_"));
    Ok(Secret::new(url.into()))
}
