//! The connect page: what a session lets a person see and choose. Reading it has no side effects.

use std::sync::Arc;

use super::Broker;
use super::inputs::Inputs;
use super::offer_clients::{grant_of, grants_of};
use super::open_session::offer_context;
use super::questions::{Question, questions};
use super::read_session::{SessionStatus, session_status};
use crate::error::{BrowserRefusal, Error, Result};
use crate::model::client::{Client, GrantType};
use crate::model::credential::Credential;
use crate::model::flow::Flow;
use crate::model::project::Project;
use crate::model::session::{Offer, Session};
use crate::secret::Secret;
use crate::vault::root_key::sha256;

/// A session with the clients it offers.
pub struct ConnectPage {
    /// The session.
    pub session: Session,
    /// The flow that was started last.
    pub flow: Option<Flow>,
    /// The clients, in order, with what the session fixed for each.
    pub offers: Vec<Offering>,
    /// The credential whose grant is replaced.
    pub target: Option<Credential>,
    /// The project, whose policy the person's choice must keep to as well.
    project: Arc<Project>,
}

/// A client that is offered, with everything that is known of it.
pub struct Offering {
    /// What the session fixed.
    pub offer: Offer,
    /// The client.
    pub client: Arc<Client>,
    /// The grants to choose from, at least one.
    pub grants: Vec<GrantType>,
    /// The values that the session fixed.
    pub(super) fixed: Inputs,
    /// Whether secrets that are not given stay as the renewed credential has them.
    pub(super) renews: bool,
}

impl Offering {
    /// What the person is asked.
    pub fn questions(&self) -> Vec<Question<'_>> {
        questions(self)
    }
}

impl ConnectPage {
    /// The scopes that are always asked of a client; `None` where the session fixed all of them.
    pub fn fixed_scopes<'a>(&'a self, offer: &'a Offer) -> Option<&'a [String]> {
        offer.scopes.as_deref().or(self.session.scopes.as_deref())
    }

    /// Whether a person may choose a scope of this client.
    pub fn offers_scope(&self, client: &Client, scope: &str) -> bool {
        let allowed = self.project.policies.allowed_scopes.as_ref();
        client.settings.scopes.allows(scope) && allowed.is_none_or(|allowed| allowed.iter().any(|one| one == scope))
    }

    /// Whether the person gives the credential its name.
    pub fn asks_name(&self) -> bool {
        self.session.name.is_none() && self.target.is_none()
    }

    /// The name of the form's field for a question: qualified by the client where another one asks the same.
    pub fn field_name(&self, offering: &Offering, key: &str) -> String {
        let asks = |other: &Offering| {
            other.client.id != offering.client.id && other.questions().iter().any(|question| question.key == key)
        };
        if self.offers.iter().any(asks) { format!("var.{}.{key}", offering.client.id) } else { format!("var.{key}") }
    }

    /// The name of the form's field for the grant of a client.
    pub fn grant_field(&self, offering: &Offering) -> String {
        if self.offers.len() > 1 { format!("grant.{}", offering.client.id) } else { "grant".to_owned() }
    }
}

/// How many names are tried before a person must choose one.
const NAMES: u32 = 20;

impl Broker {
    /// A name that the owner does not use yet: the client's, or the client's with a number.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn free_name(&self, session: &Session, client: &Client) -> Result<String> {
        let base = &client.settings.name;
        let mut name = base.clone();
        for number in 2..NAMES {
            if !self.store().is_name_taken(&session.project, &session.owner, &name).await? {
                break;
            }
            name = format!("{base} ({number})");
        }
        Ok(name)
    }

    /// What is behind a connect link.
    ///
    /// # Errors
    /// [`BrowserRefusal::UnknownLink`] or [`BrowserRefusal::ExpiredLink`].
    pub async fn connect_page(&self, token: &Secret<String>) -> Result<ConnectPage> {
        // Ours have 43 characters; anything else is not worth a look-up.
        if token.expose().len() != 43 {
            return Err(BrowserRefusal::UnknownLink.into());
        }
        let session = self.store().find_session_by_token(&sha256(token.expose())).await?;
        let session = session.ok_or(BrowserRefusal::UnknownLink)?;
        let now = self.now();
        let flow = match &session.flow {
            Some(flow) => self.store().find_flow(&session.project, flow).await?,
            None => None,
        };
        if session.is_expired(now) {
            return Err(BrowserRefusal::ExpiredLink.into());
        }
        use SessionStatus as Status;
        let interrupted = flow.as_ref().is_some_and(|flow| flow.is_interrupted(now));
        if !interrupted && matches!(session_status(&session, flow.as_ref(), now), Status::Returned | Status::Completed)
        {
            return Err(BrowserRefusal::AlreadyUsed.into());
        }
        // The code that came back was never completed, and has expired: only a new session helps.
        if session_status(&session, flow.as_ref(), now) == Status::Expired {
            return Err(BrowserRefusal::ExpiredLink.into());
        }
        let target = self.target_of_link(&session).await?;
        let project = self.project(&session.project).await?;
        let mut offers = Vec::with_capacity(session.offers.len());
        for offer in &session.offers {
            match self.client_of(&session.project, &offer.client).await {
                Ok(client) => offers.extend(self.offering(&session, offer, client, &project, target.as_ref()).await?),
                // A client that was deleted meanwhile is no longer offered.
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if offers.is_empty() {
            return Err(BrowserRefusal::ClientChanged.into());
        }
        Ok(ConnectPage { session, flow, offers, target, project })
    }

    /// A client as it is offered; `None` when the policy no longer allows any of its grants.
    pub(super) async fn offering(
        &self,
        session: &Session,
        offer: &Offer,
        client: Arc<Client>,
        project: &Project,
        target: Option<&Credential>,
    ) -> Result<Option<Offering>> {
        let grants = grants_of(&client, project, target.map(grant_of));
        if grants.is_empty() {
            return Ok(None);
        }
        let secret = self.open_inputs(offer.inputs.as_ref(), &offer_context(&session.id, &offer.client)).await?;
        let fixed = Inputs { shown: offer.variables.clone(), secret };
        Ok(Some(Offering { offer: offer.clone(), client, grants, fixed, renews: target.is_some() }))
    }

    /// The credential whose grant a session replaces, while it is there and its owner's.
    async fn target_of_link(&self, session: &Session) -> Result<Option<Credential>> {
        let Some(id) = &session.credential else { return Ok(None) };
        let found = self.store().find_credential(&session.project, id).await?;
        let usable = |credential: &Credential| !credential.is_ended() && credential.owner == session.owner;
        found.filter(usable).map(Some).ok_or_else(|| BrowserRefusal::ExpiredLink.into())
    }

    /// The client of an offer as it is now, and not as it was up to half a minute ago: a flow that starts with an old
    /// version of the client would cost the person's consent.
    pub(super) async fn offering_now(&self, page: &ConnectPage, offering: &Offering) -> Result<Offering> {
        let client = self.store().find_client(&offering.offer.client).await?.ok_or(BrowserRefusal::ClientChanged)?;
        let found =
            self.offering(&page.session, &offering.offer, Arc::new(client), &page.project, page.target.as_ref());
        Ok(found.await?.ok_or(BrowserRefusal::ClientChanged)?)
    }
}
