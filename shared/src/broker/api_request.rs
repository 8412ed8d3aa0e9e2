//! A request to the API with a token: what the test of a credential and the lookups send.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::delivery::Api;
use crate::model::client::{HeaderScheme, TestRequest};
use crate::outbound::{Limits, OutboundPolicy, OutboundRequest};
use crate::protocol::template;
use crate::secret::Secret;

/// One request to an API: a list may be long, and a program waits.
const LIMITS: Limits = Limits { max_body: 1024 * 1024, total: Duration::from_secs(4) };

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unaskable {
    /// A value of the address is not known, or must not stand there.
    AddressUnknown,
    /// A token goes to its own API and nowhere else (SECURITY.md 24).
    OtherOrigin,
    /// Method, header or body cannot be sent.
    Unbuildable,
}

impl Api<'_> {
    /// The client's test request.
    pub(super) fn test_request(
        &self,
        policy: &OutboundPolicy,
        test: &TestRequest,
    ) -> Result<OutboundRequest, Unaskable> {
        let url = if test.is_url() { self.address(policy, &test.path) } else { self.url(policy, &test.path) };
        let url = url.ok_or(Unaskable::AddressUnknown)?;
        if !self.has_origin(policy, &url) {
            return Err(Unaskable::OtherOrigin);
        }
        let method = test.method.as_deref().unwrap_or("GET").to_ascii_uppercase();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Unaskable::Unbuildable)?;
        let mut request = self.request(url, None).ok_or(Unaskable::Unbuildable)?;
        request.method = method;
        if let Some(body) = &test.body {
            let (kind, bytes) = self.body(body).ok_or(Unaskable::Unbuildable)?;
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            request.body = bytes;
        }
        for (name, value) in self.render_headers(&test.headers) {
            set(&mut request.headers, &name, &value).ok_or(Unaskable::Unbuildable)?;
        }
        Ok(request)
    }

    /// A GET of this address, with the token as the API wants it or by another scheme, and with the client's headers and
    /// parameters.
    pub(super) fn request(&self, mut url: Url, scheme: Option<&HeaderScheme>) -> Option<OutboundRequest> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers() {
            set(&mut headers, &name, &value)?;
        }
        if scheme.is_some() || !self.is_in_query() {
            let (name, value) = scheme.map_or_else(|| self.token_header(), |scheme| self.token_in(scheme));
            set(&mut headers, &name, &value)?;
        }
        let query = self.query();
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, value.expose())));
        }
        Some(OutboundRequest { method: Method::GET, url: url.into(), headers, body: Vec::new(), limits: LIMITS })
    }

    /// What is sent: an object as it is, a text with the values in it, encoded as in a form.
    fn body(&self, body: &Value) -> Option<(&'static str, Vec<u8>)> {
        let Value::String(text) = body else {
            return Some(("application/json", body.to_string().into_bytes()));
        };
        let find = |key: &str| {
            let value = if key == "access_token" { Some(self.token().expose().clone()) } else { self.value(key) };
            value.map(|value| utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string())
        };
        let text = template::render_line(text, &find).ok().flatten()?;
        Some(("application/x-www-form-urlencoded", text.into_bytes()))
    }
}

fn set(headers: &mut HeaderMap, name: &str, value: &Secret<String>) -> Option<()> {
    let mut sensitive = HeaderValue::from_str(value.expose()).ok()?;
    sensitive.set_sensitive(true);
    headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, sensitive);
    Some(())
}
