//! Asks when an access token ends (RFC 7662), where the answer that brought it did not say.

use super::Engine;
use super::ask::may_tell;
use super::tell::client_auth;
use crate::error::Result;
use crate::model::client::{Client, Resolved, binds};
use crate::model::credential::{Credential, Schedule};
use crate::model::token_set::TokenSet;
use crate::protocol::introspection;
use crate::vault::Prefetched;

impl Engine {
    /// Asks when the access token of a credential ends, and notes it. `None`: the server does not say. `fresh`: it was
    /// issued just now, so that what is left is the life of every other one, too.
    ///
    /// # Errors
    /// When the store or the vault does not answer.
    pub(crate) async fn introspect(
        &self,
        client: &Client,
        resolved: &Resolved,
        stored: &Credential,
        fresh: bool,
    ) -> Result<Option<Credential>> {
        let Some(endpoint) = &resolved.introspection_endpoint else { return Ok(None) };
        let may_tell = may_tell(client, client.settings.introspection_endpoint.as_deref());
        if binds(&stored.bound_origin, endpoint).is_none() || !may_tell {
            return Ok(None);
        }
        let place = stored.place(stored.generation);
        let document = self.vault.open(&place, &stored.cur, Prefetched::Nothing).await?;
        let Some(tokens) = TokenSet::from_document(&document).filter(|tokens| !tokens.access_token.is_empty()) else {
            return Ok(None);
        };
        let secrets = self.secrets_for(client, resolved, &tokens.inputs).await?;
        let auth = client_auth(resolved, secrets.first());
        let request = introspection::request(endpoint, &tokens.access_token, "access_token", auth);
        let Some(request) = request else { return Ok(None) };
        let (_, answer) = self.send_wire(request, std::iter::once(&tokens.access_token)).await;
        let answer = answer.filter(|answer| answer.status.is_success());
        let Some(known) = answer.and_then(|answer| introspection::read(&answer.body)).filter(|known| known.active)
        else {
            return Ok(None);
        };
        let now = self.clock.now();
        let Some(left) = known.expires_at_epoch.and_then(|at| u32::try_from(at - now.timestamp()).ok()) else {
            return Ok(None);
        };
        let schedule = Schedule::plan(now, Some(left.into()), &client.lifetimes(Some(left)), stored.refreshable);
        let learned = Credential {
            learned_lifetime: if fresh { Some(left) } else { stored.learned_lifetime },
            at_exp: schedule.at_exp,
            refresh_after: schedule.refresh_after,
            ..stored.clone()
        };
        Ok(self.store.learn_lifetime(&learned).await?.then_some(learned))
    }
}
