//! Makes the record of a token request and its answer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use http::header;
use oauth2::HttpRequest;
use url::form_urlencoded;

use super::text;
use super::wire::tokens_of;
use crate::outbound::{OutboundError, OutboundResponse};
use crate::protocol::answer::is_page;
use crate::protocol::dialect::{TokenResponseDialect, WireRequest};
use crate::protocol::exchange::{AuthSent, Exchange};
use crate::protocol::redact::{MIN_SECRET, mask_shown, redact_body};
use crate::secret::Secret;

/// Parameters whose values may be seen in an answer.
const NO_SECRETS: [&str; 6] = ["audience", "client_id", "grant_type", "redirect_uri", "resource", "scope"];

/// Longest media type kept.
const MAX_MEDIA_TYPE: usize = 100;

/// A request that is on its way.
pub(super) struct Sent {
    exchange: Exchange,
    /// What an answer may repeat and a record may not.
    secrets: Vec<Secret<String>>,
}

impl Sent {
    /// The request as the crate made it.
    pub(super) fn of(request: &HttpRequest, hidden: &[Secret<String>]) -> Self {
        let basic = request.headers().get(header::AUTHORIZATION).and_then(|value| basic_secret(value.to_str().ok()?));
        let parameters: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
        let auth = match &basic {
            Some(_) => AuthSent::ClientSecretBasic,
            None if parameters.iter().any(|(name, _)| name == "client_secret") => AuthSent::ClientSecretPost,
            None => AuthSent::None,
        };
        let secrets = parameters.into_iter().filter(|(name, _)| !NO_SECRETS.contains(&name.as_str()));
        let secrets = secrets.map(|(_, value)| value).chain(basic.into_iter().flatten());
        let secrets = secrets.chain(hidden.iter().map(|secret| secret.expose().clone()));
        Self {
            exchange: Exchange {
                method: request.method().to_string(),
                url: without_query(&request.uri().to_string()),
                auth,
                parameters: Vec::new(),
                status: None,
                content_type: None,
                is_html: false,
                body: None,
                reading: None,
                retry_after: None,
                server_time: None,
                failure: None,
            },
            // An answer may show a secret as it was sent.
            secrets: secrets
                .filter(|secret| secret.len() >= MIN_SECRET)
                .flat_map(|secret| [as_sent(&secret), secret])
                .map(Secret::new)
                .collect(),
        }
    }

    /// The request as it is sent.
    pub(super) fn on_the_wire(mut self, wire: &WireRequest) -> Self {
        self.exchange.method = wire.method.to_string();
        let secrets: Vec<&str> = self.secrets.iter().map(|secret| secret.expose().as_str()).collect();
        self.exchange.parameters = mask_shown(&wire.parameters, &secrets);
        if self.exchange.auth == AuthSent::None && wire.headers.contains_key(header::AUTHORIZATION) {
            self.exchange.auth = AuthSent::Header;
        }
        self
    }

    /// The record when no complete answer came.
    pub(super) fn without_answer(&self, error: OutboundError) -> Exchange {
        Exchange { failure: Some(error.into()), ..self.exchange.clone() }
    }

    /// The record with its answer.
    pub(super) fn answered(
        &self,
        answer: &OutboundResponse,
        retry_after: Option<Duration>,
        dialect: &TokenResponseDialect,
    ) -> Exchange {
        let content_type = text(&answer.headers, header::CONTENT_TYPE);
        // Where the dialect has the tokens, no name tells that they are some.
        let tokens = tokens_of(content_type, &answer.body, dialect).into_iter().map(Secret::new).collect::<Vec<_>>();
        let secrets = self.secrets.iter().chain(&tokens).map(|secret| secret.expose().as_str());
        let secrets: Vec<&str> = secrets.filter(|secret| secret.len() >= MIN_SECRET).collect();
        let media_type = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        let date = text(&answer.headers, header::DATE).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let safe = |text: &&str| text.len() <= MAX_MEDIA_TYPE && !secrets.iter().any(|secret| text.contains(secret));
        Exchange {
            status: Some(answer.status.as_u16()),
            content_type: media_type.filter(safe).map(str::to_ascii_lowercase),
            is_html: is_page(content_type, &answer.body),
            body: Some(redact_body(content_type, &answer.body, &secrets)),
            retry_after: retry_after.map(|duration| duration.as_secs()),
            server_time: date.map(|date| date.timestamp()),
            ..self.exchange.clone()
        }
    }
}

/// The secret of HTTP Basic, as sent and decoded, and the header's own text.
fn basic_secret(header: &str) -> Option<Vec<String>> {
    let encoded = header.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (_, secret) = pair.split_once(':')?;
    let decoded = form_urlencoded::parse(secret.as_bytes()).next().map(|(text, _)| text.into_owned());
    Some(decoded.into_iter().chain([secret.to_owned(), encoded.to_owned()]).collect())
}

fn as_sent(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

fn without_query(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    url.get(..end).unwrap_or_default().to_owned()
}
