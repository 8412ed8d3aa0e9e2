//! The connect page: what a session lets a person see and choose. Reading it has no side effects.

use std::sync::Arc;

use super::Broker;
use super::open_session::session_status;
use crate::error::{BrowserRefusal, Error, Result};
use crate::model::client::Client;
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
    pub offers: Vec<(Offer, Arc<Client>)>,
    /// The project, whose policy the person's choice must keep to as well.
    project: Arc<Project>,
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
        use super::open_session::SessionStatus as Status;
        let interrupted = flow.as_ref().is_some_and(|flow| flow.is_interrupted(now));
        if !interrupted && matches!(session_status(&session, flow.as_ref(), now), Status::Returned | Status::Completed)
        {
            return Err(BrowserRefusal::AlreadyUsed.into());
        }
        // The code that came back was never completed, and has expired: only a new session helps.
        if session_status(&session, flow.as_ref(), now) == Status::Expired {
            return Err(BrowserRefusal::ExpiredLink.into());
        }
        let mut offers = Vec::with_capacity(session.offers.len());
        for offer in &session.offers {
            match self.client_of(&session.project, &offer.client).await {
                Ok(client) => offers.push((offer.clone(), client)),
                // A client that was deleted meanwhile is no longer offered.
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        if offers.is_empty() {
            return Err(BrowserRefusal::ClientChanged.into());
        }
        let project = self.project(&session.project).await?;
        Ok(ConnectPage { session, flow, offers, project })
    }
}
