//! Starts a flow: one press of the button on the connect page (RFC 6749 §4.1.1).

use std::collections::BTreeMap;

use chrono::Duration;
use serde_json::Map;
use url::Url;

use super::Broker;
use super::choose::{Choice, chosen, chosen_grant, chosen_name, chosen_scopes, chosen_values, kept};
use super::connect_page::{ConnectPage, Offering};
use super::inputs::{Inputs, Wrong, check_inputs, implicit};
use super::receive_callback::Returned;
use crate::error::{BrowserRefusal, Error, Result};
use crate::model::client::{Client, ClientSettings, ClientStatus, GrantType, Resolved, Unresolved};
use crate::model::flow::{Flow, FlowStatus, LIFETIME_SECONDS};
use crate::model::ids::FlowId;
use crate::model::session::Binding;
use crate::model::variable::VariableSource;
use crate::protocol::authorization::AuthorizationRequest;
use crate::protocol::pkce;
use crate::protocol::template::{self, TemplateError};
use crate::secret::Secret;
use crate::vault::root_key::{Purpose, random_token, sha256};

/// What came of a press of the button.
pub enum Pressed {
    /// The browser goes on, with a cookie.
    Away(Started),
    /// No sign-in elsewhere is needed: to the platform's page. The URL carries a completion code.
    Back(Secret<String>),
    /// The same, where there is no return URL: to a page of ours.
    Waiting,
    /// Something that was typed is wrong: nothing was started.
    Again(Box<Again>),
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

/// The page once more, with what is wrong.
pub struct Again {
    /// The page.
    pub page: ConnectPage,
    /// What was sent.
    pub choice: Choice,
    /// What is wrong, for the person: the label of the field and the rule.
    pub notices: Vec<String>,
}

/// What a flow is made with, checked.
struct Prepared {
    inputs: Inputs,
    resolved: Resolved,
}

/// Why a flow is not started.
enum Refused {
    /// Values that the person can set right.
    Values(Vec<Wrong>),
    /// Anything else.
    Other(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<BrowserRefusal> for Refused {
    fn from(refusal: BrowserRefusal) -> Self {
        Self::Other(refusal.into())
    }
}

impl Broker {
    /// Starts a flow. An earlier one of the same session is voided.
    ///
    /// # Errors
    /// [`BrowserRefusal`].
    pub async fn start_flow(&self, token: &Secret<String>, choice: Choice) -> Result<Pressed> {
        let page = self.connect_page(token).await?;
        let offering = chosen(&page, choice.client.as_deref())?;
        let offering = &self.offering_now(&page, offering).await?;
        let (client, session) = (offering.client.as_ref(), &page.session);
        let name = match chosen_name(&page, choice.name.as_deref())? {
            Some(name) => name,
            None => self.free_name(session, client).await?,
        };
        let scopes = chosen_scopes(&page, &offering.offer, client, &choice.scopes)?;
        let grant = chosen_grant(&page, offering, &choice)?;
        if client.status() != ClientStatus::Active {
            return Err(BrowserRefusal::ClientChanged.into());
        }
        if page.target.is_none() && self.store().is_name_taken(&session.project, &session.owner, &name).await? {
            return Err(BrowserRefusal::NameTaken.into());
        }
        let Prepared { inputs, resolved } = match self.prepare(&page, offering, grant, &choice) {
            Ok(prepared) => prepared,
            Err(Refused::Other(error)) => return Err(error),
            Err(Refused::Values(wrong)) => {
                let notices = notices(offering, &wrong)?;
                return Ok(Pressed::Again(Box::new(Again { page, choice, notices })));
            }
        };

        let scopes = client.settings.render_scopes(scopes, &inputs.shown);
        let now = self.now();
        let key = self.root_keys().current().await?;
        let (id, state, cookie) = (FlowId::generate(), random_token()?, random_token()?);
        let settings = &client.settings;
        let flow = Flow {
            project: session.project.clone(),
            session: session.id.clone(),
            owner: session.owner.clone(),
            name,
            client: client.id.clone(),
            client_version: client.version,
            client_key: client.client_key.clone(),
            grant,
            target: session.credential.clone(),
            allow_account_change: session.allow_account_change,
            inputs: self.seal_inputs(&inputs.secret, id.as_str()).await?,
            variables: inputs.shown,
            id,
            issuer: settings.issuer.clone(),
            iss_required: client.iss_required,
            token_endpoint: resolved.token_endpoint.clone(),
            redirect_uri: self.config().redirect_uri(&client.client_key),
            pkce: settings.pkce && grant == GrantType::AuthorizationCode,
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
        let location = match (grant, flow.binding) {
            (GrantType::AuthorizationCode | GrantType::RefreshToken, _) => {
                let verifier = pkce::verifier(key.derive(Purpose::Pkce, &state)?.expose());
                let nonce = pkce::verifier(key.derive(Purpose::Nonce, &state)?.expose());
                Some(self.authorization_url(client, &page, &flow, &resolved, (&state, &verifier, &nonce))?)
            }
            // The exchange is not made by the function that serves this page: it may not touch the vault. The browser
            // goes where an authorization response would arrive, with the same proof that it is the same browser.
            (_, Binding::Browser) => Some(Secret::new(format!("{}?state={}", flow.redirect_uri, state.expose()))),
            (_, Binding::Backend) => None,
        };
        if let Some(interrupted) = page.flow.as_ref().filter(|flow| flow.is_interrupted(now)) {
            self.end_interrupted(interrupted).await?;
        }
        if !self.store().start_flow(&flow, session, now).await? {
            return Err(BrowserRefusal::AlreadyUsed.into());
        }
        tracing::info!(flow = %flow.id, client = %flow.client, project = %flow.project, "flow started");
        let Some(location) = location else {
            return match self.park(flow, &state, None, Map::new()).await? {
                Returned::Redirect(location) => Ok(Pressed::Back(location)),
                _ => Ok(Pressed::Waiting),
            };
        };
        let cookie_name = flow.cookie_name(self.config().plain_http());
        Ok(Pressed::Away(Started { location, cookie_name, cookie }))
    }

    /// Checks all that was given, and puts it into the client's URLs and requests.
    fn prepare(
        &self,
        page: &ConnectPage,
        offering: &Offering,
        grant: GrantType,
        choice: &Choice,
    ) -> Result<Prepared, Refused> {
        let client = offering.client.as_ref();
        let given = chosen_values(page, offering, grant, choice)?;
        let kept = kept(offering, grant, &given);
        let needed = |key: &str| !kept.iter().any(|kept| kept == key);
        let inputs = check_inputs(client, &implicit(client, grant), given, &needed).map_err(Refused::Values)?;
        let wrong = self.check_addresses(client, &inputs.shown);
        if !wrong.is_empty() {
            return Err(Refused::Values(wrong));
        }
        // What the vault has is not known here: something stands for it, to see whether all the rest fits.
        let mut secret = inputs.secret.clone();
        secret.extend(kept.iter().map(|key| (key.clone(), Secret::from("kept"))));
        // So does something for what the authorization response will bring.
        let mut shown = inputs.shown.clone();
        let of_target = page.target.iter().flat_map(|target| &target.variables);
        let brought = |key: &str| {
            client.settings.variables.iter().any(|one| one.key == key && one.source == VariableSource::Callback)
        };
        shown.extend(of_target.filter(|(key, _)| brought(key)).map(|(key, value)| (key.clone(), value.clone())));
        let resolved = client.resolve(&client.with_stand_ins(&shown), &secret).map_err(refused)?;
        self.check_reach(&resolved)?;
        // A secret goes only to the origins it was entered for (SECURITY.md 24).
        let bound = page.target.as_ref().map(|target| target.bound_origin.as_str()).unwrap_or_default();
        if !kept.is_empty() && !resolved.origins_are_within(bound) {
            let again = "The address has changed, so it must be given again.";
            let asked = |key: &String| offering.questions().iter().any(|question| question.key == key);
            let wrong = kept.into_iter().filter(asked).map(|key| (key, "required", again.to_owned()));
            return Err(Refused::Values(wrong.collect()));
        }
        Ok(Prepared { inputs, resolved })
    }

    /// Every URL that a secret goes to is checked before the browser is sent away.
    fn check_reach(&self, resolved: &Resolved) -> Result<(), BrowserRefusal> {
        let urls = [
            Some(&resolved.token_endpoint),
            resolved.refresh_endpoint.as_ref(),
            resolved.revocation_endpoint.as_ref(),
            resolved.introspection_endpoint.as_ref(),
        ];
        let reachable = |url: &String| self.outbound().policy().check_url(url).is_ok();
        if urls.into_iter().flatten().all(reachable) { Ok(()) } else { Err(BrowserRefusal::ClientChanged) }
    }

    fn authorization_url(
        &self,
        client: &Client,
        page: &ConnectPage,
        flow: &Flow,
        resolved: &Resolved,
        (state, verifier, nonce): (&Secret<String>, &Secret<String>, &Secret<String>),
    ) -> Result<Secret<String>> {
        let settings = &client.settings;
        let endpoint = settings.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or(Error::Internal("an active client lacks what its flow needs"))?;
        let endpoint = client.url("authorization_endpoint", endpoint, &flow.variables);
        let endpoint = endpoint.map_err(|_| BrowserRefusal::ClientChanged)?;
        // Checked when it was configured, and again now: only https goes into a Location.
        let endpoint: Url =
            self.outbound().policy().check_url(endpoint.as_str()).map_err(|_| BrowserRefusal::ClientChanged)?;
        let mut extra = authorization_params(settings, &resolved.client_id, &flow.variables);
        extra.extend(page.session.authorization_params.clone());
        extra.extend(resolved.params.clone());
        let challenge = pkce::challenge(verifier);
        let openid = flow.requested_scopes.iter().any(|scope| scope == "openid");
        let request = AuthorizationRequest {
            endpoint: &endpoint,
            client_id: &resolved.client_id,
            redirect_uri: &flow.redirect_uri,
            scopes: &flow.requested_scopes,
            scope_separator: settings.scopes.separator.as_deref().unwrap_or(" "),
            state,
            code_challenge: flow.pkce.then_some(challenge.as_str()),
            nonce: openid.then_some(nonce),
            extra: &extra,
            names: &settings.authorization_names,
            fragment: settings.authorization_fragment.as_deref(),
        };
        Ok(request.url())
    }
}

/// The extra parameters of an authorization request that the client has, with these values put in.
pub(crate) fn authorization_params(
    settings: &ClientSettings,
    client_id: &str,
    values: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let sets = settings.sets(values);
    let find = |key: &str| match key {
        "random" | "uuid" => Some(uuid::Uuid::new_v4().simple().to_string()),
        "client_id" => Some(client_id.to_owned()),
        _ => values.get(key).or_else(|| sets.get(key)).cloned(),
    };
    let rendered = settings.authorization_params.iter().filter_map(|(name, text)| {
        let value = match template::render_line(text, &find) {
            Ok(Some(value)) => value,
            // A variable has no value: nothing is said.
            Ok(None) if settings.names_variables(text) => return None,
            // A text that is no template, such as the JSON of `claims`, is sent as it is.
            Ok(None) | Err(_) => text.clone(),
        };
        Some((name.clone(), value))
    });
    rendered.collect()
}

/// Why the values do not fit the client, as far as the person can set it right.
fn refused(error: Unresolved) -> Refused {
    match error {
        Unresolved::Template { error: TemplateError::Missing(key), .. } => {
            Refused::Values(vec![(key, "required", "It must be given.".to_owned())])
        }
        Unresolved::Template { error: TemplateError::Unsafe { key, why }, .. } => {
            let detail = format!("It cannot stand in the address where it is used: {why}.");
            Refused::Values(vec![(key, "unsafe_value", detail)])
        }
        Unresolved::Template { .. } | Unresolved::Incomplete(_) => Refused::Other(BrowserRefusal::ClientChanged.into()),
    }
}

/// What is wrong, in words for the person: by the label and never with the value.
///
/// # Errors
/// [`BrowserRefusal::ClientChanged`] when it is nothing that the page asks: what the session fixed no longer fits.
fn notices(offering: &Offering, wrong: &[Wrong]) -> Result<Vec<String>> {
    let questions = offering.questions();
    let mut notices = Vec::new();
    for (key, _, rule) in wrong {
        let question = questions.iter().find(|question| question.key == key).ok_or(BrowserRefusal::ClientChanged)?;
        notices.push(format!("{}: {rule}", question.label));
    }
    if notices.is_empty() { Err(BrowserRefusal::ClientChanged.into()) } else { Ok(notices) }
}
