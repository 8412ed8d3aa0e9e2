//! Ends a grant at the provider (RFC 7009), however often it must be asked, and asks about tokens (RFC 7662).

use chrono::Duration;
use http::header;

use super::ask::{KnownSecret, may_tell};
use super::{Engine, persist};
use crate::error::{Error, Result};
use crate::model::client::{Client, Resolved, binds};
use crate::model::credential::{Credential, CredentialStatus, Evidence, Schedule};
use crate::model::token_set::TokenSet;
use crate::outbound::{Limits, OutboundRequest, OutboundResponse};
use crate::protocol::dialect::WireRequest;
use crate::protocol::exchange::{AuthSent, Exchange, NoAnswer};
use crate::protocol::introspection;
use crate::protocol::redact::redact_body;
use crate::protocol::revocation::{self, ClientAuth, Verdict};
use crate::secret::Secret;
use crate::store::{Attempted, StatusChange};
use crate::telemetry;
use crate::vault::{Place, Prefetched, VaultError};

/// The first pause between two tries; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::seconds(10);
const MAX_PAUSE: Duration = Duration::hours(1);
/// How long what is known about an ended credential is kept (days).
const KEEP_DAYS: i64 = 30;

/// What one try came to.
enum Ending {
    Proven(Evidence),
    Later(Option<u16>),
}

impl Engine {
    /// Tells the provider that a grant is over, once, and notes the proof or the time of the next try.
    ///
    /// # Errors
    /// When the store or the vault does not answer; the work then comes again.
    pub(crate) async fn end(&self, client: Option<&Client>, credential: &Credential) -> Result<()> {
        let now = self.clock.now();
        let credential = match &credential.evidence {
            Some(_) => credential.clone(),
            None => {
                // Whoever refreshes it now may still bring tokens, which have to be ended as well.
                if let Some(lease) = credential.lease.as_ref().filter(|_| credential.is_leased(now)) {
                    return self.note(credential, credential.fails, Some(lease.until_ms + 1), None).await.map(drop);
                }
                match self.try_to_end(client, credential).await? {
                    Ending::Later(status) => {
                        telemetry::count("Revocation", "later", now);
                        tracing::warn!(credential = %credential.id, status, "the provider was not told yet that a grant is over");
                        let pause = (FIRST_PAUSE * (1 << credential.fails.min(10))).min(MAX_PAUSE);
                        let next = (now + pause).timestamp_millis();
                        return self
                            .note(credential, credential.fails.saturating_add(1), Some(next), None)
                            .await
                            .map(drop);
                    }
                    Ending::Proven(evidence) => {
                        telemetry::count("Revocation", "proven", now);
                        tracing::info!(credential = %credential.id, verdict = evidence.verdict, "a grant is over");
                        let due = Some(now.timestamp_millis());
                        match self.note(credential, credential.fails, due, Some(evidence)).await? {
                            Some(noted) => noted,
                            None => return Ok(()),
                        }
                    }
                }
            }
        };
        // The proof is noted; only then do the tokens go.
        let place = Place::new(credential.project.as_str(), credential.id.as_str());
        self.vault.delete(&place).await?;
        let change = StatusChange {
            status: CredentialStatus::Revoked,
            status_reason: credential.evidence.as_ref().map(|evidence| evidence.verdict.clone()),
            suspended_from: None,
            fails: credential.fails,
            next_due: None,
            evidence: credential.evidence.clone(),
            frees_name: false,
            forget_after: Some(now + Duration::days(KEEP_DAYS)),
        };
        persist(|| self.store.change_status(&credential, &change)).await?;
        Ok(())
    }

    async fn note(
        &self,
        credential: &Credential,
        fails: u32,
        next_due: Option<i64>,
        evidence: Option<Evidence>,
    ) -> Result<Option<Credential>> {
        let change = StatusChange {
            status: CredentialStatus::Revoking,
            status_reason: None,
            suspended_from: None,
            fails,
            next_due,
            evidence,
            frees_name: false,
            forget_after: None,
        };
        match persist(|| self.store.change_status(credential, &change)).await? {
            Attempted::Applied(noted) => Ok(Some(*noted)),
            Attempted::Refused(_) => Ok(None),
        }
    }

    async fn try_to_end(&self, client: Option<&Client>, credential: &Credential) -> Result<Ending> {
        let at = self.clock.now();
        let proven = |verdict: &str, status| {
            Ok(Ending::Proven(Evidence { verdict: verdict.to_owned(), provider_status: status, at }))
        };
        let Some(client) = client else { return proven("client_deleted", None) };
        let grants = self.grants_of(credential).await?;
        let Some(first) = grants.first() else { return proven("nothing_to_revoke", None) };
        let Ok(resolved) = client.resolve(&credential.variables, &first.inputs) else {
            return proven("not_supported", None);
        };
        let Some(endpoint) = &resolved.revocation_endpoint else { return proven("not_supported", None) };
        // A token goes only to the origins it is bound to (SECURITY.md 24).
        if binds(&credential.bound_origin, endpoint).is_none() {
            return proven("endpoint_not_bound", None);
        }
        // Until a superuser enters the secret for this endpoint, too.
        if !may_tell(client, client.settings.revocation_endpoint.as_deref()) {
            return Ok(Ending::Later(None));
        }
        let secrets = match self.secrets_for(client, &resolved, &first.inputs).await {
            Ok(secrets) => secrets,
            Err(error @ (Error::Dependency(_) | Error::Internal(_))) => return Err(error),
            Err(_) => return Ok(Ending::Later(None)),
        };
        let mut status = None;
        let mut verdict = "revoked";
        for tokens in &grants {
            for (hint, token) in tokens_to_end(tokens) {
                let (told, answered) = self.tell(&resolved, secrets.first(), endpoint, hint, token, credential).await;
                status = answered.or(status);
                match told {
                    Verdict::Revoked => {}
                    // A superuser may mend the client; the endpoint may come back.
                    Verdict::Later | Verdict::Refused("invalid_client" | "unauthorized") => {
                        return Ok(Ending::Later(status));
                    }
                    // RFC 7009 §2.2.1: some servers end access tokens only with their refresh token.
                    Verdict::Refused("unsupported_token_type") if hint == "access_token" => {}
                    Verdict::Refused(_) => verdict = "refused",
                }
            }
        }
        proven(verdict, status)
    }

    /// The committed token set, and one that a refresh brought and could not commit any more.
    async fn grants_of(&self, credential: &Credential) -> Result<Vec<TokenSet>> {
        let place = Place::new(credential.project.as_str(), credential.id.as_str());
        let orphan = credential.intent.as_ref().map(|intent| intent.attempt.as_str());
        let mut grants = Vec::new();
        for pointer in orphan.into_iter().chain([credential.cur.as_str()]) {
            match self.vault.open(&place, pointer, Prefetched::Nothing).await {
                Ok(document) => grants.extend(TokenSet::from_document(&document)),
                Err(VaultError::Missing) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(grants)
    }

    async fn tell(
        &self,
        resolved: &Resolved,
        secret: Option<&KnownSecret>,
        endpoint: &str,
        hint: &str,
        token: &Secret<String>,
        credential: &Credential,
    ) -> (Verdict, Option<u16>) {
        let auth = client_auth(resolved, secret);
        let request = revocation::request(endpoint, token, hint, auth, &resolved.revocation_request, None);
        let Some(request) = request else { return (Verdict::Refused("not_a_request"), None) };
        let at = self.clock.now();
        let (record, answer) = self.send_wire(request, token).await;
        self.record(credential, credential.fence + u64::from(credential.fails), "revoke", at, &[record], None).await;
        match answer {
            Some(answer) => {
                let status = answer.status.as_u16();
                (revocation::read(status, &answer.body), Some(status))
            }
            None => (Verdict::Later, None),
        }
    }

    /// Asks when the access token of a credential ends, and notes it. `None`: the server does not say.
    ///
    /// # Errors
    /// When the store or the vault does not answer.
    pub(crate) async fn introspect(
        &self,
        client: &Client,
        resolved: &Resolved,
        stored: &Credential,
    ) -> Result<Option<Credential>> {
        let Some(endpoint) = &resolved.introspection_endpoint else { return Ok(None) };
        let may_tell = may_tell(client, client.settings.introspection_endpoint.as_deref());
        if binds(&stored.bound_origin, endpoint).is_none() || !may_tell {
            return Ok(None);
        }
        let place = Place::new(stored.project.as_str(), stored.id.as_str());
        let document = self.vault.open(&place, &stored.cur, Prefetched::Nothing).await?;
        let Some(tokens) = TokenSet::from_document(&document).filter(|tokens| !tokens.access_token.is_empty()) else {
            return Ok(None);
        };
        let secrets = self.secrets_for(client, resolved, &tokens.inputs).await?;
        let auth = client_auth(resolved, secrets.first());
        let request = introspection::request(endpoint, &tokens.access_token, "access_token", auth);
        let Some(request) = request else { return Ok(None) };
        let (_, answer) = self.send_wire(request, &tokens.access_token).await;
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
            learned_lifetime: Some(left),
            at_exp: schedule.at_exp,
            refresh_after: schedule.refresh_after,
            ..stored.clone()
        };
        Ok(self.store.learn_lifetime(&learned).await?.then_some(learned))
    }

    /// `hidden`: what the answer may repeat and the record must not.
    async fn send_wire(&self, request: WireRequest, hidden: &Secret<String>) -> (Exchange, Option<OutboundResponse>) {
        let WireRequest { method, url, headers, body, .. } = &request;
        let hidden = [hidden.expose().as_str()];
        let mut outbound = OutboundRequest::get(url.clone(), Limits::TOKEN);
        outbound.method = method.clone();
        outbound.headers = headers.clone();
        outbound.body = body.clone();
        let answer = self.outbound.send(outbound).await;
        let exchange = Exchange {
            method: method.to_string(),
            url: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            auth: if headers.contains_key(header::AUTHORIZATION) { AuthSent::Header } else { AuthSent::None },
            parameters: request.parameters.clone(),
            status: None,
            content_type: None,
            is_html: false,
            body: None,
            retry_after: None,
            server_time: None,
            failure: None,
        };
        match answer {
            Ok(answer) => {
                let content_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let status = Some(answer.status.as_u16());
                let body = Some(redact_body(content_type, &answer.body, &hidden));
                (Exchange { status, content_type: content_type.map(str::to_owned), body, ..exchange }, Some(answer))
            }
            Err(error) => (Exchange { failure: Some(NoAnswer::from(error)), ..exchange }, None),
        }
    }
}

fn client_auth<'a>(resolved: &'a Resolved, secret: Option<&'a KnownSecret>) -> ClientAuth<'a> {
    ClientAuth {
        method: resolved.auth_method,
        client_id: &resolved.client_id,
        client_secret: secret.map(KnownSecret::value),
    }
}

/// The refresh token first: it takes its access tokens along at most servers (RFC 7009 §2.1).
fn tokens_to_end(tokens: &TokenSet) -> Vec<(&'static str, &Secret<String>)> {
    let refresh = tokens.refresh_token.as_ref().map(|token| ("refresh_token", token));
    let access = Some(("access_token", &tokens.access_token));
    refresh.into_iter().chain(access).filter(|(_, token)| !token.is_empty()).collect()
}
