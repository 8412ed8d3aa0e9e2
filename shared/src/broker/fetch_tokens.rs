//! Fetches tokens by a grant that needs no consent: the client's own (RFC 6749 §4.4) or a password (§4.3).

use super::Broker;
use super::inputs::Inputs;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::model::client::{Client, GrantType, Resolved};
use crate::protocol::exchange::Exchange;
use crate::protocol::token::TokenAnswer;
use crate::refresh::ask::Grant;
use crate::refresh::diagnose::{Facts, advised, step_of};

/// What came of a fetch.
pub(crate) struct Fetched {
    /// The tokens, or why there are none.
    pub(crate) outcome: Result<TokenAnswer>,
    /// Each request, redacted.
    pub(crate) exchanges: Vec<Exchange>,
    /// When the first was sent.
    pub(crate) began: Timestamp,
}

impl Broker {
    /// Fetches tokens. Nothing is stored, and nothing is spent.
    ///
    /// # Errors
    /// When it could not even be tried.
    pub(crate) async fn fetch_tokens(
        &self,
        client: &Client,
        resolved: &Resolved,
        inputs: &Inputs,
        grant: GrantType,
        scopes: &[String],
    ) -> Result<Fetched> {
        let secret = |key: &str| inputs.secret.get(key).ok_or(Error::Internal("a grant lacks what it needs"));
        let presented = match grant {
            GrantType::ClientCredentials => Grant::ClientCredentials { scopes },
            GrantType::Password => {
                Grant::Password { username: secret("username")?, password: secret("password")?, scopes }
            }
            GrantType::AuthorizationCode | GrantType::RefreshToken => {
                return Err(Error::Internal("a grant that needs consent was to be fetched"));
            }
        };
        let secrets = self.engine().secrets_for(client, resolved, &inputs.secret).await?;
        let began = self.now();
        let asked = self.engine().ask(client, resolved, &secrets, &resolved.origins(), &presented).await?;
        let outcome = asked.answer.tokens(&asked.exchanges).map_err(|(error, _)| error);
        // Nothing is spent by these grants, so this may come before the tokens are stored.
        self.engine().note_success(client, asked.secret.as_ref()).await;
        let facts = Facts::of(client, resolved);
        let outcome = outcome.map_err(|error| advised(error, step_of(grant), &asked.exchanges, scopes, &facts));
        Ok(Fetched { outcome, exchanges: asked.exchanges, began })
    }
}
