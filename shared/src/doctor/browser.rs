//! The authorization endpoint, asked as a browser would ask it that a person was sent there with.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use url::Url;

use super::{Patient, REDIRECT_URI, Seen, unanswered, unresolved};
use crate::broker::start_flow::authorization_params;
use crate::model::client::Unresolved;
use crate::outbound::{Limits, OutboundError, OutboundRequest, OutboundResponse};
use crate::protocol::authorization::AuthorizationRequest;
use crate::protocol::pkce;
use crate::secret::Secret;

/// A page for people may be long and slow.
const PAGE: Limits = Limits { max_body: 8 * 1024 * 1024, total: Duration::from_secs(20) };
/// What a browser says of itself: some providers have no page for anything else.
const LIKE_A_BROWSER: [(HeaderName, &str); 3] = [
    (header::USER_AGENT, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (header::ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (header::ACCEPT_LANGUAGE, "en-US,en;q=0.5"),
];
/// What stands for everything that is random in a request, in its form: 32 bytes in base64url.
const RANDOM: &str = "ZG9jdG9yZG9jdG9yZG9jdG9yZG9jdG9yZG9jdG9yZG8";

impl Patient<'_> {
    pub(super) async fn ask_as_browser(&self) -> Seen {
        let url = match self.authorization_url() {
            Ok(url) => url,
            Err(seen) => return seen,
        };
        let mut request = OutboundRequest::get(url.as_str(), PAGE);
        for (name, value) in LIKE_A_BROWSER {
            request = request.with_header(name, HeaderValue::from_static(value));
        }
        match self.outbound.send(request).await {
            Ok(answer) => judge(&url, &answer),
            Err(OutboundError::TooLarge) => Seen::passed("It shows a page, a long one."),
            Err(error) => unanswered(error),
        }
    }

    /// Where the product would send the browser.
    fn authorization_url(&self) -> Result<Url, Seen> {
        let settings = &self.client.settings;
        let endpoint = settings.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or(Unresolved::Incomplete("authorization_endpoint"));
        let endpoint = endpoint
            .and_then(|text| self.client.url("authorization_endpoint", text, &self.examples.shown))
            .map_err(|error| unresolved(&error))?;
        let mut extra = authorization_params(settings, super::CLIENT_ID, &self.examples.shown);
        extra.extend(settings.token_params());
        let random = Secret::from(RANDOM);
        let challenge = pkce::challenge(&random);
        let openid = settings.scopes.required.iter().any(|scope| scope == "openid");
        let request = AuthorizationRequest {
            endpoint: &endpoint,
            client_id: super::CLIENT_ID,
            redirect_uri: REDIRECT_URI,
            scopes: &settings.scopes.required,
            scope_separator: settings.scopes.separator.as_deref().unwrap_or(" "),
            state: &random,
            code_challenge: settings.pkce.then_some(challenge.as_str()),
            nonce: openid.then_some(&random),
            extra: &extra,
            names: &settings.authorization_names,
            fragment: settings.authorization_fragment.as_deref(),
        };
        let not_a_url = |_| Seen::failed("Its address is no URL.", "Correct the entry.");
        let mut url = Url::parse(request.url().expose()).map_err(not_a_url)?;
        // A browser keeps it to itself.
        url.set_fragment(None);
        Ok(url)
    }
}

/// A server that has never heard of the client sends the browser to a login page or shows one, or shows an error page.
fn judge(asked: &Url, answer: &OutboundResponse) -> Seen {
    let status = answer.status;
    let detail = |what: &str| format!("It answers {}: {what}.", status.as_u16());
    if status.is_redirection() {
        let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let Some(to) = location.and_then(|location| asked.join(location).ok()) else {
            return Seen::failed(detail("a redirect that leads nowhere"), "Open the address in a browser.");
        };
        let to = to.host_str().unwrap_or_default().to_owned();
        let moved = matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT);
        if moved && Some(to.as_str()) != asked.host_str() {
            return Seen::unclear(
                detail(&format!("it has moved for good, to {to}")),
                "Compare the address with the provider's documentation.",
            );
        }
        return Seen::passed(detail(&format!("a redirect to {to}")));
    }
    match status.as_u16() {
        200..=299 => Seen::passed(detail("a page")),
        404 | 410 => Seen::failed(detail("there is nothing"), "Look for the provider's current authorization URL."),
        405 => Seen::failed(detail("it is for no browser"), "Look for the provider's current authorization URL."),
        429 => Seen::unclear(detail("too many requests"), "Try again later."),
        500.. => {
            Seen::failed(detail("it is broken"), "Try again later; then compare the parameters with the documentation.")
        }
        _ => Seen::passed(detail("it refuses the client, which nobody registered")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use http::HeaderMap;
    use zeroize::Zeroizing;

    fn judged(status: u16, location: Option<&str>) -> (Verdict, String) {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(header::LOCATION, location.parse().unwrap());
        }
        let body = Zeroizing::new(Vec::new());
        let answer = OutboundResponse { status: StatusCode::from_u16(status).unwrap(), headers, body };
        let seen = judge(&Url::parse("https://as.example/authorize").unwrap(), &answer);
        (seen.verdict, seen.detail)
    }

    #[test]
    fn whoever_shows_a_page_or_sends_on_is_there() {
        for (status, location, verdict) in [
            (302, Some("/login"), Verdict::Passed),
            (303, Some("https://login.as.example/?x"), Verdict::Passed),
            (301, Some("/authorize/"), Verdict::Passed),
            (301, Some("https://new.example/authorize"), Verdict::Unclear),
            (302, None, Verdict::Failed),
            (200, None, Verdict::Passed),
            (400, None, Verdict::Passed),
            (401, None, Verdict::Passed),
            (403, None, Verdict::Passed),
            (404, None, Verdict::Failed),
            (405, None, Verdict::Failed),
            (410, None, Verdict::Failed),
            (429, None, Verdict::Unclear),
            (500, None, Verdict::Failed),
            (503, None, Verdict::Failed),
        ] {
            assert_eq!(judged(status, location).0, verdict, "{status} {location:?}");
        }
    }

    #[test]
    fn of_a_redirect_only_the_host_is_told() {
        let (_, detail) = judged(302, Some("https://login.as.example/?secret=%0a"));
        assert_eq!(detail, "It answers 302: a redirect to login.as.example.");
    }
}
