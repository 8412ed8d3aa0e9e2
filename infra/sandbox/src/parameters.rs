//! Request parameters in form encoding (RFC 6749 Appendix B).

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

use crate::oauth_error::OauthError;

pub(crate) struct Parameters(Vec<(String, String)>);

/// A parameter stands twice in a request (RFC 6749 §3.1, §3.2: must not).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

impl From<Repeated> for OauthError {
    fn from(_: Repeated) -> Self {
        OauthError::invalid_request("a parameter is repeated")
    }
}

impl Parameters {
    pub(crate) fn parse(encoded: &[u8]) -> Parameters {
        Parameters(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// Every value of a parameter that may be repeated.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// What a token is asked for: RFC 8707 §2, or the `audience` of servers that had it before.
    pub(crate) fn audiences(&self) -> Vec<String> {
        self.all("audience").chain(self.all("resource")).map(String::from).collect()
    }

    /// Reads a POST body, which must say that it is a form.
    pub(crate) fn from_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Self, OauthError> {
        if !has_media_type(headers, "application/x-www-form-urlencoded") {
            return Err(OauthError::invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        let body = body.map_err(|_| OauthError::invalid_request("the body cannot be read"))?;
        Ok(Parameters::parse(&body))
    }

    /// The value of a parameter that may stand once. An empty value counts as left out (RFC 6749 §3.1).
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated);
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// The first value, for places that only report what came.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

impl From<Vec<(String, String)>> for Parameters {
    fn from(pairs: Vec<(String, String)>) -> Self {
        Parameters(pairs)
    }
}

/// Whether `Content-Type` names this media type, whatever its parameters.
pub(crate) fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}
