//! Tells a provider that tokens are over (RFC 7009): what is sent, what came back, and the record of both.

use http::header;

use super::Engine;
use super::ask::KnownSecret;
use crate::model::client::Resolved;
use crate::model::token_set::TokenSet;
use crate::outbound::{Limits, OutboundRequest, OutboundResponse};
use crate::protocol::dialect::WireRequest;
use crate::protocol::exchange::{AuthSent, Exchange, NoAnswer};
use crate::protocol::redact::{mask_shown, redact_body};
use crate::protocol::revocation::{self, ApiCall, ClientAuth, Verdict};
use crate::secret::Secret;

/// What the provider said to all tokens.
pub(super) enum Told {
    All,
    /// It never will, for this reason.
    Refused(&'static str),
    /// It must be asked again; with the reason, where it was our authentication.
    Later(Option<&'static str>),
}

/// One try to tell a provider.
pub(super) struct Telling<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) endpoint: &'a str,
    pub(super) secrets: &'a [KnownSecret],
    pub(super) exchanges: Vec<Exchange>,
    pub(super) last: Option<Last>,
}

/// The last answer.
pub(super) struct Last {
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<u64>,
}

impl Engine {
    /// Every token of every grant, each once, until the provider wants to be asked again.
    pub(super) async fn tell_all(&self, telling: &mut Telling<'_>, grants: &[TokenSet]) -> Told {
        let mut done: Vec<&Secret<String>> = Vec::new();
        let mut told = Told::All;
        for (hint, token, access) in grants.iter().flat_map(tokens_to_end) {
            // Where refresh tokens stay the same, two sets have the same one.
            if done.iter().any(|known| known.matches(token.expose().as_bytes())) {
                continue;
            }
            done.push(token);
            match self.tell(telling, hint, token, access).await {
                Verdict::Revoked => {}
                // A superuser may mend the client; the endpoint may come back.
                Verdict::Later(error) => return Told::Later(error),
                // RFC 7009 §2.2.1: some servers end access tokens only with their refresh token.
                Verdict::Refused("unsupported_token_type") if hint == "access_token" => {}
                Verdict::Refused(error) => told = Told::Refused(error),
            }
        }
        told
    }

    /// One POST per client secret: the next is tried only when the server refused the one before.
    async fn tell(
        &self,
        telling: &mut Telling<'_>,
        hint: &str,
        token: &Secret<String>,
        access: Option<&Secret<String>>,
    ) -> Verdict {
        let Telling { resolved, endpoint, secrets, .. } = telling;
        let tries: Vec<Option<&KnownSecret>> = match secrets {
            [] => vec![None],
            secrets => secrets.iter().map(Some).collect(),
        };
        let mut verdict = Verdict::Later(None);
        for secret in tries {
            let auth = client_auth(resolved, secret);
            let scheme = &resolved.header;
            let api = ApiCall { header: &scheme.name, prefix: scheme.prefix.trim(), access_token: access };
            let request = revocation::request(endpoint, token, hint, auth, &resolved.revocation_request, api);
            let Some(request) = request else { return Verdict::Later(Some("not_a_request")) };
            let hidden = resolved.hidden.iter().chain([token]).chain(secret.map(KnownSecret::value));
            let (mut record, answer) = self.send_wire(request, hidden).await;
            record.retry_after = answer.as_ref().and_then(retry_after);
            verdict = match &answer {
                Some(answer) => revocation::read(answer.status.as_u16(), content_type(answer), &answer.body),
                None => Verdict::Later(None),
            };
            telling.last = Some(Last { status: record.status, retry_after: record.retry_after });
            telling.exchanges.push(record);
            if !matches!(verdict, Verdict::Later(Some("invalid_client" | "unauthorized"))) {
                break;
            }
        }
        verdict
    }

    /// `hidden`: what the answer may repeat and the record must not.
    pub(super) async fn send_wire<'a>(
        &self,
        request: WireRequest,
        hidden: impl Iterator<Item = &'a Secret<String>>,
    ) -> (Exchange, Option<OutboundResponse>) {
        let WireRequest { method, url, headers, body, .. } = &request;
        let hidden: Vec<&str> = hidden.map(|secret| secret.expose().as_str()).collect();
        let mut outbound = OutboundRequest::get(url.clone(), Limits::TOKEN);
        outbound.method = method.clone();
        outbound.headers = headers.clone();
        outbound.body = body.clone();
        let answer = self.outbound.send(outbound).await;
        let auth = match headers.get(header::AUTHORIZATION) {
            Some(value) if value.as_bytes().starts_with(b"Basic ") => AuthSent::ClientSecretBasic,
            Some(_) => AuthSent::Header,
            None if request.parameters.iter().any(|(name, _)| name == "client_secret") => AuthSent::ClientSecretPost,
            None => AuthSent::None,
        };
        let exchange = Exchange {
            method: method.to_string(),
            url: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            auth,
            parameters: mask_shown(&request.parameters, &hidden),
            status: None,
            content_type: None,
            is_html: false,
            body: None,
            retry_after: None,
            server_time: None,
            reading: None,
            failure: None,
        };
        match answer {
            Ok(answer) => {
                let content_type = content_type(&answer);
                let status = Some(answer.status.as_u16());
                let body = Some(redact_body(content_type, &answer.body, &hidden));
                (Exchange { status, content_type: content_type.map(str::to_owned), body, ..exchange }, Some(answer))
            }
            Err(error) => (Exchange { failure: Some(NoAnswer::from(error)), ..exchange }, None),
        }
    }
}

fn content_type(answer: &OutboundResponse) -> Option<&str> {
    answer.headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// RFC 9110 §10.2.3, in seconds; a date is not worth the parsing: the pauses grow in any case.
fn retry_after(answer: &OutboundResponse) -> Option<u64> {
    answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

pub(super) fn client_auth<'a>(resolved: &'a Resolved, secret: Option<&'a KnownSecret>) -> ClientAuth<'a> {
    ClientAuth {
        method: resolved.auth_method,
        client_id: &resolved.client_id,
        client_secret: secret.map(KnownSecret::value),
    }
}

/// A hint (RFC 7009 §2.1), the token, and the access token of its grant.
type ToEnd<'a> = (&'static str, &'a Secret<String>, Option<&'a Secret<String>>);

/// The refresh token first: it takes its access tokens along at most servers (RFC 7009 §2.1). With each goes the access
/// token of its grant, which some servers take for authentication.
fn tokens_to_end(tokens: &TokenSet) -> Vec<ToEnd<'_>> {
    let access = Some(&tokens.access_token).filter(|token| !token.is_empty());
    let refresh = tokens.refresh_token.as_ref().filter(|token| !token.is_empty());
    let both = [refresh.map(|token| ("refresh_token", token)), access.map(|token| ("access_token", token))];
    both.into_iter().flatten().map(|(hint, token)| (hint, token, access)).collect()
}
