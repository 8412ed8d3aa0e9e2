//! Starts a flow: one press of the button on the connect page (RFC 6749 §4.1.1).

use chrono::Duration;
use url::Url;

use super::Broker;
use super::connect_page::ConnectPage;
use crate::error::{BrowserRefusal, Error, Result};
use crate::model::client::{Client, ClientStatus, GrantType};
use crate::model::flow::{Flow, FlowStatus, LIFETIME_SECONDS};
use crate::model::ids::FlowId;
use crate::model::session::Offer;
use crate::protocol::authorization::AuthorizationRequest;
use crate::protocol::pkce;
use crate::secret::Secret;
use crate::vault::root_key::{Purpose, random_token, sha256};

/// What the form of the connect page sent. What the session fixed is not accepted.
#[derive(Default)]
pub struct Choice {
    /// The client, where there are several.
    pub client: Option<String>,
    /// The credential's name, where the session left it open.
    pub name: Option<String>,
    /// Optional scopes that were ticked, where the session left them open.
    pub scopes: Vec<String>,
}

/// A flow that was started.
pub struct Started {
    /// Where to send the browser.
    pub location: Secret<String>,
    /// The name of the cookie to set.
    pub cookie_name: String,
    /// Its value.
    pub cookie: Secret<String>,
}

impl Broker {
    /// Starts a flow. An earlier one of the same session is voided.
    ///
    /// # Errors
    /// [`BrowserRefusal`].
    pub async fn start_flow(&self, token: &Secret<String>, choice: Choice) -> Result<Started> {
        let page = self.connect_page(token).await?;
        let (offer, _) = chosen(&page, choice.client.as_deref())?;
        // Not from the cache: a flow that starts with an old version of the client would cost the person's consent.
        let client = &self.store().find_client(&offer.client).await?.ok_or(BrowserRefusal::ClientChanged)?;
        let name = match chosen_name(&page, choice.name)? {
            Some(name) => name,
            None => self.free_name(&page.session, client).await?,
        };
        let scopes = chosen_scopes(&page, offer, client, choice.scopes)?;
        let session = &page.session;
        if client.status() != ClientStatus::Active {
            return Err(BrowserRefusal::ClientChanged.into());
        }
        if self.store().is_name_taken(&session.project, &session.owner, &name).await? {
            return Err(BrowserRefusal::NameTaken.into());
        }

        let now = self.now();
        let key = self.root_keys().current().await?;
        let (state, cookie) = (random_token()?, random_token()?);
        let verifier = pkce::verifier(key.derive(Purpose::Pkce, &state)?.expose());
        let nonce = pkce::verifier(key.derive(Purpose::Nonce, &state)?.expose());
        let settings = &client.settings;
        let flow = Flow {
            id: FlowId::generate(),
            project: session.project.clone(),
            session: session.id.clone(),
            owner: session.owner.clone(),
            name,
            client: client.id.clone(),
            client_version: client.version,
            client_key: client.client_key.clone(),
            grant: GrantType::AuthorizationCode,
            target: session.credential.clone(),
            allow_account_change: session.allow_account_change,
            variables: Default::default(),
            inputs: None,
            issuer: settings.issuer.clone(),
            iss_required: client.iss_required,
            token_endpoint: settings
                .token_endpoint
                .clone()
                .ok_or(Error::Internal("an active client lacks its endpoint"))?,
            redirect_uri: self.config().redirect_uri(&client.client_key),
            pkce: settings.pkce,
            requested_scopes: scopes,
            state_hash: sha256(state.expose()),
            cookie_hash: sha256(cookie.expose()),
            key_version: key.version().to_owned(),
            return_url: session.return_url.clone(),
            context: session.context.clone(),
            binding: session.binding,
            created_at: now,
            expires_at: now + Duration::seconds(LIFETIME_SECONDS),
            status: FlowStatus::Pending,
            parked: None,
            completion_hash: None,
            completion_expires_at: None,
            exchange_until: None,
            exchange_attempt: None,
            completed_at: None,
            credential: None,
            problem: None,
        };
        let location = self.authorization_url(client, &page, &flow, &state, &verifier, &nonce)?;
        if let Some(interrupted) = page.flow.as_ref().filter(|flow| flow.is_interrupted(now)) {
            self.end_interrupted(interrupted).await?;
        }
        if !self.store().start_flow(&flow, session, now).await? {
            return Err(BrowserRefusal::AlreadyUsed.into());
        }
        tracing::info!(flow = %flow.id, client = %flow.client, project = %flow.project, "flow started");
        Ok(Started { location, cookie_name: flow.cookie_name(self.config().plain_http()), cookie })
    }

    fn authorization_url(
        &self,
        client: &Client,
        page: &ConnectPage,
        flow: &Flow,
        state: &Secret<String>,
        verifier: &Secret<String>,
        nonce: &Secret<String>,
    ) -> Result<Secret<String>> {
        let settings = &client.settings;
        let incomplete = Error::Internal("an active client lacks what its flow needs");
        let (Some(endpoint), Some(client_id)) = (&settings.authorization_endpoint, &settings.client_id) else {
            return Err(incomplete);
        };
        // Checked when it was configured, and again now: only https goes into a Location.
        let endpoint: Url = self.outbound().policy().check_url(endpoint).map_err(|_| BrowserRefusal::ClientChanged)?;
        let mut extra = settings.authorization_params.clone();
        extra.extend(page.session.authorization_params.clone());
        extra.extend(settings.token_params());
        let challenge = pkce::challenge(verifier);
        let openid = flow.requested_scopes.iter().any(|scope| scope == "openid");
        let request = AuthorizationRequest {
            endpoint: &endpoint,
            client_id,
            redirect_uri: &flow.redirect_uri,
            scopes: &flow.requested_scopes,
            scope_separator: settings.scopes.separator.as_deref().unwrap_or(" "),
            state,
            code_challenge: flow.pkce.then_some(challenge.as_str()),
            nonce: openid.then_some(nonce),
            extra: &extra,
        };
        Ok(request.url())
    }
}

fn chosen<'a>(page: &'a ConnectPage, client: Option<&str>) -> Result<(&'a Offer, &'a Client)> {
    let found = match (client, page.offers.as_slice()) {
        (None, [only]) => Some(only),
        (Some(_), [_]) if page.session.offers.len() == 1 => None,
        (Some(id), offers) => offers.iter().find(|(offer, _)| offer.client.as_str() == id),
        (None, _) => None,
    };
    found.map(|(offer, client)| (offer, client.as_ref())).ok_or_else(|| BrowserRefusal::BadForm.into())
}

/// The session's name or the person's; `None` when neither gave one.
fn chosen_name(page: &ConnectPage, name: Option<String>) -> Result<Option<String>> {
    let name = name.map(|name| name.trim().to_owned());
    match (&page.session.name, name) {
        (Some(_), Some(_)) => Err(BrowserRefusal::BadForm.into()),
        (Some(fixed), None) => Ok(Some(fixed.clone())),
        (None, Some(name)) if name.chars().count() > 256 || name.chars().any(char::is_control) => {
            Err(BrowserRefusal::BadForm.into())
        }
        (None, name) => Ok(name.filter(|name| !name.is_empty())),
    }
}

fn chosen_scopes(page: &ConnectPage, offer: &Offer, client: &Client, ticked: Vec<String>) -> Result<Vec<String>> {
    let mut scopes = client.settings.scopes.required.clone();
    match page.fixed_scopes(offer) {
        Some(_) if !ticked.is_empty() => return Err(BrowserRefusal::BadForm.into()),
        Some(fixed) => scopes.extend(fixed.iter().filter(|scope| page.offers_scope(client, scope)).cloned()),
        None => {
            // One form shows the scopes of all clients; those of the others are passed over, unknown ones are not.
            let offered = |scope: &String| page.offers.iter().any(|(_, client)| page.offers_scope(client, scope));
            if !ticked.iter().all(offered) {
                return Err(BrowserRefusal::BadForm.into());
            }
            scopes.extend(ticked.into_iter().filter(|scope| page.offers_scope(client, scope)));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    scopes.retain(|scope| seen.insert(scope.clone()));
    Ok(scopes)
}
