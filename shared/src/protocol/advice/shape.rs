//! An answer that is not what a token endpoint says, and the three checks of a token fetch that fails.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Advice, Failure, Situation, hint, words};
use crate::protocol::scope;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answer shows that it is right.
    Right,
    /// The answer shows that it is wrong.
    Wrong,
    /// The answer does not tell.
    Unknown,
}

/// One of the checks of a token fetch that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// What was checked: `Token URL`, `Grant type` or `Required fields`.
    pub what: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// Why, with values that are safe to show.
    pub detail: String,
}

impl Check {
    fn sentence(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Right => "looks right",
            Verdict::Wrong => "looks wrong",
            Verdict::Unknown => "not known",
        };
        format!("{}: {verdict}. {}", self.what, self.detail)
    }
}

/// The three checks: token URL, grant type, required fields.
pub fn token_checks(situation: &Situation<'_>) -> [Check; 3] {
    [token_url(situation), grant_type(situation), required_fields(situation)]
}

/// The advice, and the three checks behind it.
pub(super) fn with_checks(advice: Advice, situation: &Situation<'_>) -> Advice {
    token_checks(situation).iter().fold(advice, |advice, check| advice.check(check.sentence()))
}

fn token_url(situation: &Situation<'_>) -> Check {
    let shown = situation.token_endpoint.and_then(words::url);
    let shown = shown.map_or("The token endpoint".to_owned(), |url| url);
    let known_error = situation.error.is_some_and(|error| hint::known_error(error) != "other");
    let (verdict, detail) = match (situation.failure, situation.status) {
        (Some(Failure::Dns | Failure::Connect | Failure::Tls | Failure::Refused), _) => {
            (Verdict::Wrong, format!("{shown} could not be reached."))
        }
        (Some(_), _) | (None, None) if !known_error => (Verdict::Unknown, format!("{shown} gave no complete answer.")),
        _ if known_error => (Verdict::Right, format!("{shown} answers as a token endpoint does.")),
        (_, Some(status)) if situation.is_html => {
            (Verdict::Wrong, format!("{shown} answered {status} with a web page."))
        }
        (_, Some(status @ (300..=399 | 404 | 405 | 410))) => (Verdict::Wrong, format!("{shown} answered {status}.")),
        (_, Some(status)) => {
            (Verdict::Unknown, format!("{shown} answered {status}; compare it with the provider's documentation."))
        }
        (_, None) => (Verdict::Unknown, format!("{shown} gave no complete answer.")),
    };
    Check { what: "Token URL", verdict, detail }
}

fn grant_type(situation: &Situation<'_>) -> Check {
    let grant = words::grant(situation);
    let (verdict, detail) = match situation.error.map(hint::meaning) {
        Some("unsupported_grant_type" | "unauthorized_client") => {
            (Verdict::Wrong, format!("{grant} was sent, and it is not supported or not enabled for the client."))
        }
        Some("invalid_grant" | "invalid_scope" | "invalid_target") => {
            (Verdict::Right, format!("{grant} was sent, and the provider looked at what came with it."))
        }
        _ => (Verdict::Unknown, format!("{grant} was sent; check that it is enabled for the client at the provider.")),
    };
    Check { what: "Grant type", verdict, detail }
}

fn required_fields(situation: &Situation<'_>) -> Check {
    let missing: Vec<&str> = situation
        .missing_fields
        .iter()
        .copied()
        .filter(|name| name.len() <= 64 && scope::is_scope_token(name))
        .collect();
    let (verdict, detail) = match situation.error.map(hint::meaning) {
        _ if !missing.is_empty() => (Verdict::Wrong, format!("These are missing: {}.", missing.join(", "))),
        Some("invalid_request") => (
            Verdict::Wrong,
            "The provider says that one is missing or wrong; compare them with its documentation.".to_owned(),
        ),
        Some("invalid_grant") => (Verdict::Right, "The provider found what it needs and judged it.".to_owned()),
        _ => (
            Verdict::Unknown,
            "All that the standard asks were sent; check whether this provider wants more, such as scope, audience or \
             resource."
                .to_owned(),
        ),
    };
    Check { what: "Required fields", verdict, detail }
}

/// An error code that no standard has.
pub(super) fn unknown_error(situation: &Situation<'_>) -> Advice {
    if situation.status.is_some_and(|status| (200..300).contains(&status)) {
        let detail = format!("{}: it reports the failure inside a success.", words::answered(situation));
        let advice = Advice::error("error_in_success", "The provider refused with the status of a success", detail)
            .check("Look the error up in the provider's documentation; the attempts of the credential name the step.")
            .check("Check client_id, client_secret and redirect_uri first: they are the usual causes.");
        return with_checks(advice, situation);
    }
    fetch_failed(situation)
}

/// No error code at all.
pub(super) fn not_oauth(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let advice = match situation.status {
        Some(300..=399) => Advice::error(
            "token_url_redirects",
            "The token URL redirects",
            format!("{answered}, a redirect. Credentials are not sent after a redirect, so it was not followed."),
        )
        .check(
            "Enter the final address of the token endpoint: https, the right host, with or without a slash at the end.",
        ),
        Some(404 | 410) => Advice::error(
            "token_url_not_found",
            "There is nothing at the token URL",
            format!("{answered}: there is no token endpoint at this address."),
        )
        .check("Compare token_endpoint with the provider's documentation: path, version, tenant, region.")
        .check("Where the provider publishes metadata, set issuer: the endpoints then come from there."),
        Some(405) => Advice::error(
            "token_url_method",
            "The token URL does not take POST",
            format!("{answered}: this address does not take POST (RFC 6749 §3.2)."),
        )
        .check("Check that token_endpoint is not the authorization endpoint or an API."),
        Some(415) => Advice::error(
            "token_content_type",
            "The token URL wants another content type",
            format!("{answered}: it does not take the content type that was sent."),
        )
        .check("Set content_type of the token request to the one in the provider's documentation: form or JSON."),
        Some(_) if situation.is_html => Advice::error(
            "token_url_is_page",
            "The token URL is a web page",
            format!("{answered} with a web page instead of JSON."),
        )
        .check("Check that token_endpoint is not the authorization endpoint or the sign-in page.")
        .check("A firewall or a bot check before the provider also answers with a page."),
        Some(403) => Advice::error(
            "token_url_forbidden",
            "The token URL is closed to us",
            format!("{answered} without an OAuth error: something before the token endpoint refused the request."),
        )
        .check(
            "Check whether the provider admits only listed addresses, or wants a certificate or an API key besides.",
        ),
        Some(200..=299) if situation.no_access_token => Advice::error(
            "no_access_token",
            "The answer has no access token",
            format!("{answered}, a success without an access_token (RFC 6749 §5.1)."),
        )
        .check("Check in the provider's documentation where the token is in the answer, and set its path.")
        .check("Check that token_endpoint is the token endpoint and not an API."),
        Some(_) if situation.not_json => Advice::error(
            "answer_not_json",
            "The answer is not JSON",
            format!("{answered} with something that is neither JSON nor a form."),
        )
        .check("Check that token_endpoint is the token endpoint and not a page or an API.")
        .check("Where the provider answers in another format, set it for the token response."),
        _ => return fetch_failed(situation),
    };
    with_checks(advice, situation)
}

fn fetch_failed(situation: &Situation<'_>) -> Advice {
    let detail = format!("{}; no token came.", words::answered(situation));
    with_checks(Advice::error("token_fetch_failed", "No token could be fetched", detail), situation)
}
