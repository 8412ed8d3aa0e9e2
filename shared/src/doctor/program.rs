//! The token endpoint, asked in the dialect of the entry for what nobody issued.

use super::example::Examples;
use super::{Patient, REDIRECT_URI, Seen, unanswered};
use crate::model::client::{GrantType, Resolved};
use crate::outbound::{OAuthHttp, OAuthHttpError};
use crate::protocol::dialect::TokenRequestDialect;
use crate::protocol::exchange::Exchange;
use crate::protocol::token::{AuthMethod, TokenAnswer, TokenEndpoint, TokenFailure};
use crate::secret::Secret;

/// A code, a refresh token, a user name, a password: whatever it is, nobody issued it.
const BOGUS: &str = "grantkeeper-doctor-0000000000000000000000000";

/// What a token request brought.
type Answer = Result<TokenAnswer, TokenFailure<OAuthHttpError>>;

impl Patient<'_> {
    pub(super) async fn ask_as_program(&self, grant: GrantType) -> Seen {
        let resolved = match self.resolve() {
            Ok(resolved) => resolved,
            Err(seen) => return seen,
        };
        let (url, dialect) = match grant {
            GrantType::RefreshToken => (resolved.refresh_endpoint.as_deref(), &resolved.refresh_request),
            _ => (Some(resolved.token_endpoint.as_str()), &resolved.token_request),
        };
        let Some(url) = url else {
            return Seen::skipped("Its address comes with a token answer.", "Connect an account to see it.");
        };
        let (answer, record) = self.ask(&resolved, url, dialect, grant).await;
        judge(&answer, record.as_ref())
    }

    async fn ask(
        &self,
        resolved: &Resolved,
        url: &str,
        dialect: &TokenRequestDialect,
        grant: GrantType,
    ) -> (Answer, Option<Exchange>) {
        let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let auth_method = dialect.auth.unwrap_or(resolved.auth_method);
        let secret = Examples::client_secret();
        let http = OAuthHttp::new(self.outbound, &origin).with_dialect(dialect, &resolved.token_response).at(self.now);
        let endpoint = TokenEndpoint {
            url,
            client_id: &resolved.client_id,
            client_secret: (auth_method != AuthMethod::None).then_some(&secret),
            auth_method,
            extra: &resolved.params,
            scope_separator: Some(&resolved.scope_separator),
        };
        let settings = &self.client.settings;
        let (bogus, scopes) = (Secret::from(BOGUS), &settings.scopes.required);
        let answer = match grant {
            GrantType::AuthorizationCode => {
                endpoint.exchange_code(&http, &bogus, settings.pkce.then_some(&bogus), REDIRECT_URI).await
            }
            GrantType::RefreshToken => endpoint.refresh(&http, &bogus).await,
            GrantType::ClientCredentials => endpoint.client_credentials(&http, scopes).await,
            GrantType::Password => endpoint.password(&http, &bogus, &bogus, scopes).await,
        };
        (answer, http.record())
    }
}

/// A token endpoint says which error it is (RFC 6749 §5.2).
fn judge(answer: &Answer, record: Option<&Exchange>) -> Seen {
    const WRONG_URL: &str = "Look for the provider's current token URL.";
    const WRONG_FORM: &str = "Compare token_request with the provider's documentation.";
    let status = record.and_then(|record| record.status).unwrap_or_default();
    let said = |what: &str| format!("It answers {status}: {what}.");
    let is_html = record.is_some_and(|record| record.is_html);
    let nothing_there = || Seen::failed(said("there is nothing"), WRONG_URL);
    let error = match answer {
        Ok(_) => return Seen::failed(said("a token, for a code that nobody issued"), "Tell the provider."),
        Err(TokenFailure::Refused("other")) if matches!(status, 404 | 405 | 410) => return nothing_there(),
        Err(TokenFailure::Refused(code @ "unsupported_grant_type")) => return Seen::unclear(said(code), WRONG_FORM),
        Err(TokenFailure::Refused("other")) => return Seen::passed(said("an error of its own words")),
        Err(TokenFailure::Refused(code)) => return Seen::passed(said(code)),
        Err(TokenFailure::NotOAuth) => return Seen::failed(said("no token answer"), WRONG_FORM),
        Err(TokenFailure::Transport(OAuthHttpError::Outbound(error))) => return unanswered(*error),
        Err(TokenFailure::Transport(error)) => error,
    };
    match (status, error) {
        (404 | 410, _) => nothing_there(),
        (405, _) => Seen::failed(said("it takes no such method"), WRONG_URL),
        (429, _) => Seen::unclear(said("too many requests"), "Try again later."),
        (300..=399, _) => Seen::failed(said("a redirect, which a token request does not follow"), WRONG_URL),
        (_, OAuthHttpError::NotJson { .. }) if is_html => {
            let advice =
                "It is a page for people, of another address or of a firewall: look for the current token URL.";
            Seen::failed(said("a web page"), advice)
        }
        (500.., _) => {
            Seen::failed(said("it is broken"), "Try again later; then compare token_request with the documentation.")
        }
        (_, OAuthHttpError::NotJson { .. }) if (400..500).contains(&status) => {
            Seen::unclear(said("a refusal that says nothing"), "Compare the address with the provider's documentation.")
        }
        (_, OAuthHttpError::NotJson { .. }) => Seen::failed(said("neither JSON nor a form"), WRONG_URL),
        (_, OAuthHttpError::NoErrorCode { .. } | OAuthHttpError::NoAccessToken { .. }) => Seen::unclear(
            said("JSON, without an error code where the entry looks for it"),
            "Compare token_response (ok, error) with what the provider answers.",
        ),
        (_, error) => Seen::unclear(format!("{error}."), WRONG_FORM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use crate::outbound::OutboundError;
    use serde_json::json;

    fn record(status: u16, is_html: bool) -> Exchange {
        let record = json!({
            "method": "POST", "url": "https://as.example/token", "auth": "none", "parameters": [],
            "status": status, "is_html": is_html,
        });
        serde_json::from_value(record).unwrap()
    }

    fn verdict(error: TokenFailure<OAuthHttpError>, status: u16, is_html: bool) -> Verdict {
        judge(&Err(error), Some(&record(status, is_html))).verdict
    }

    #[test]
    fn an_oauth_error_passes_and_what_is_none_is_found() {
        use TokenFailure::{Refused, Transport};
        let not_json = |status| Transport(OAuthHttpError::NotJson { status });
        for (error, status, is_html, expected) in [
            (Refused("invalid_client"), 401, false, Verdict::Passed),
            (Refused("invalid_grant"), 400, false, Verdict::Passed),
            (Refused("invalid_client"), 404, false, Verdict::Passed),
            (Refused("other"), 200, false, Verdict::Passed),
            (Refused("other"), 404, false, Verdict::Failed),
            (Refused("unsupported_grant_type"), 400, false, Verdict::Unclear),
            (not_json(404), 404, true, Verdict::Failed),
            (not_json(405), 405, false, Verdict::Failed),
            (not_json(302), 302, false, Verdict::Failed),
            (not_json(200), 200, true, Verdict::Failed),
            (not_json(403), 403, true, Verdict::Failed),
            (not_json(401), 401, false, Verdict::Unclear),
            (not_json(503), 503, false, Verdict::Failed),
            (not_json(429), 429, true, Verdict::Unclear),
            (Transport(OAuthHttpError::NoErrorCode { status: 400 }), 400, false, Verdict::Unclear),
            (Transport(OAuthHttpError::NoErrorCode { status: 404 }), 404, false, Verdict::Failed),
            (Transport(OAuthHttpError::NoAccessToken { status: 200 }), 200, false, Verdict::Unclear),
        ] {
            assert_eq!(verdict(error, status, is_html), expected, "{status} {is_html}");
        }
        let silent = Transport(OAuthHttpError::Outbound(OutboundError::Dns));
        assert_eq!(judge(&Err(silent), None).verdict, Verdict::Failed);
    }
}
