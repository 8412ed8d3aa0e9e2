//! Who calls, from the request's headers.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, header};

use crate::broker::Broker;
use crate::broker::access::Caller;
use crate::error::{Error, Result};
use crate::secret::Secret;

/// The longest id of a person or project in a header.
const MAX_HEADER: usize = 256;

impl FromRequestParts<Broker> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, broker: &Broker) -> Result<Self, Response> {
        identify(&parts.headers, broker).await.map_err(|error| error.into_response())
    }
}

/// Authenticates a request by its headers.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Malformed`] for a header that cannot be read.
pub async fn identify(headers: &HeaderMap, broker: &Broker) -> Result<Caller> {
    let key = broker.authenticate(&bearer(headers)?).await?;
    Ok(Caller { key, project: named(headers, "grantkeeper-project")?, user: named(headers, "grantkeeper-user")? })
}

/// The bearer token (RFC 6750 §2.1), once.
fn bearer(headers: &HeaderMap) -> Result<Secret<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Error::Unauthenticated);
    };
    let value = value.to_str().map_err(|_| Error::Unauthenticated)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Secret::from(token.trim()))
        }
        _ => Err(Error::Unauthenticated),
    }
}

fn named(headers: &HeaderMap, name: &'static str) -> Result<Option<String>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let unreadable = || Error::Malformed(format!("The header {name} is given twice or cannot be read."));
    if values.next().is_some() {
        return Err(unreadable());
    }
    // Ids of the platform may be any text; HTTP carries them as UTF-8 octets.
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| unreadable())?.trim();
    if text.is_empty() || text.chars().count() > MAX_HEADER || text.chars().any(char::is_control) {
        return Err(unreadable());
    }
    Ok(Some(text.to_owned()))
}
