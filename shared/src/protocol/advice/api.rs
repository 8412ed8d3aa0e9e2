//! The API refused the access token, or answered something else (RFC 6750 §3.1, RFC 9110 §15.5).

use super::{Advice, Severity, Situation, finding, words};

pub(super) fn refused(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    match situation.status {
        Some(401) => unauthorized(situation, answered),
        Some(403) => forbidden(situation, answered),
        // RFC 6750 §3.1: `invalid_request`, for example the token was sent in two ways.
        Some(400) if challenge_error(situation) == Some("invalid_request") => {
            Advice::error("api_request_malformed", "The API cannot read how the token was sent", format!("{answered} and cannot read how the token was sent."))
                .check("Check that the token is sent once: in the header, and not in the query or body besides.")
                .check("Check the header's name and prefix.")
        }
        Some(300..=399) => Advice::error(
            "api_redirects",
            "The API redirects",
            format!("{answered}, a redirect. A token is not sent after a redirect, so it was not followed."),
        )
        .check("Enter the final address as api_base_url; a redirect to a sign-in page means that the token was not accepted."),
        Some(404 | 405 | 410) => Advice::error(
            "api_not_found",
            "The API does not serve this address",
            format!("{answered}; whether the token is accepted is not known."),
        )
        .check("Check api_base_url and the path and method of the test request: version, tenant, region, a doubled slash.")
        .check("Some APIs answer 404 for what the account may not see: check its rights."),
        Some(200..=299) if situation.is_html => Advice::warning(
            "api_is_page",
            "The API's address is a web page",
            format!("{answered} with a web page, perhaps its sign-in page."),
        )
        .check("Check that api_base_url is the API and not the provider's web site."),
        Some(200..=299) => {
            Advice::info("api_accepts", "The API accepts the token", format!("{answered}: the access token is accepted."))
                .check("Nothing need be done.")
        }
        _ => Advice::error(
            "api_refused",
            "The API refused the request",
            format!("{answered}; it did not say that the token is the reason."),
        )
        .check("Check the path, method and parameters of the request against the API's documentation.")
        .check("Check that the API needs no further header, such as a version or an account id."),
    }
}

fn challenge_error(situation: &Situation<'_>) -> Option<&'static str> {
    situation.www_authenticate.as_ref()?.error
}

/// S3.39: expired, other audience, other scope, or the header.
fn unauthorized(situation: &Situation<'_>, answered: String) -> Advice {
    if challenge_error(situation) == Some("insufficient_scope") {
        return scope(situation, answered);
    }
    if situation.token_expired == Some(true) {
        return Advice::error(
            "api_token_expired",
            "The access token had expired",
            format!("{answered}: the access token's time was over."),
        )
        .check("Read the token from here before each request instead of keeping it.")
        .check("For long work ask for a min_ttl, so that the token outlives it.");
    }
    if let Some(advice) = finding::clock_skew(situation, Severity::Error) {
        return advice;
    }
    if let Some(advice) = header_prefix(situation, &answered) {
        return advice;
    }
    let challenge = situation.www_authenticate.as_ref();
    // RFC 6750 §3.1: without authentication in the request the challenge has no error code.
    if challenge.is_some_and(|challenge| challenge.error.is_none()) {
        return Advice::error(
            "api_token_not_seen",
            "The API saw no token",
            format!("{answered}, and its challenge has no error: that is what an API says that saw no token (RFC 6750 §3.1)."),
        )
        .check("Check the header's name and prefix against the API's documentation.")
        .check("Check that api_base_url does not lead through something that drops the Authorization header.")
        .check(audience(situation));
    }
    if situation.token_expired == Some(false) {
        return Advice::error(
            "api_audience",
            "The access token is not for this API",
            format!(
                "{answered}, although the access token has not expired: it is for another API, or access was withdrawn."
            ),
        )
        .check(audience(situation))
        .check("Check that api_base_url is in the environment of the token (live or test, region, tenant).")
        .check("Check whether access was withdrawn at the provider: if so, ask the owner to connect the account again.")
        .check(scopes_held(situation));
    }
    Advice::error(
        "api_unauthorized",
        "The API does not accept the token",
        format!("{answered}: the token expired, is for another API, lacks a scope, or is sent in the wrong way."),
    )
    .check("Refresh the credential and try again: the provider did not say when the token expires.")
    .check(audience(situation))
    .check(scopes_held(situation))
    .check("Check the header's name and prefix against the API's documentation.")
}

/// Schemes (IANA's registry) that carry no token: what a gateway offers besides. Others are the provider's own prefix.
const NO_TOKEN_SCHEMES: [&str; 10] =
    ["Basic", "Digest", "HOBA", "Mutual", "Negotiate", "NTLM", "PrivateToken", "SCRAM-SHA-1", "SCRAM-SHA-256", "vapid"];

/// The prefix that was sent is not the one that the API asks for, or that the provider is known for.
fn header_prefix(situation: &Situation<'_>, answered: &str) -> Option<Advice> {
    let sent = situation.header_prefix?.trim();
    let challenge = situation.www_authenticate.as_ref();
    let carries = |scheme: &&str| !NO_TOKEN_SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let challenged = challenge.map(|challenge| challenge.scheme.as_str()).filter(carries);
    let wanted = situation.quirks.header_prefix.map(str::trim).or(challenged)?;
    if wanted.eq_ignore_ascii_case(sent) {
        return None;
    }
    let name = |prefix: &str| {
        let fits =
            prefix.len() <= 32 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        match prefix {
            "" => "no prefix".to_owned(),
            _ if fits => format!("the prefix {prefix}"),
            _ => "another prefix".to_owned(),
        }
    };
    let (sent, wanted) = (name(sent), name(wanted));
    Some(
        Advice::error(
            "api_header_prefix",
            "The token was sent with the wrong prefix",
            format!("{answered}. The token was sent with {sent}, and the API wants {wanted}."),
        )
        .check(format!("Set the client's header to {wanted}."))
        .check("Check the header's name too: some APIs do not read Authorization."),
    )
}

fn forbidden(situation: &Situation<'_>, answered: String) -> Advice {
    if challenge_error(situation) == Some("insufficient_scope") {
        return scope(situation, answered);
    }
    Advice::error(
        "api_forbidden",
        "The account may not do this",
        format!("{answered}: the token is accepted, and what was asked is not allowed."),
    )
    .check("Check that the connected account has the right at the provider: role, plan, organisation.")
    .check(scopes_held(situation))
    .check("Check that the API is enabled for the client at the provider, and that it admits this stack's addresses.")
}

fn scope(situation: &Situation<'_>, answered: String) -> Advice {
    let wanted = situation.www_authenticate.as_ref().map(|challenge| words::scopes(&challenge.scope));
    let wanted = wanted.filter(|wanted| wanted != "none");
    let detail = match &wanted {
        Some(wanted) => format!("{answered}: the token lacks a scope. The API wants: {wanted}."),
        None => format!("{answered}: the token lacks a scope."),
    };
    Advice::error("api_insufficient_scope", "The access token lacks a scope", detail)
        .check(match &wanted {
            Some(wanted) => format!("Add to the client's scopes what is missing of: {wanted}."),
            None => "Look up in the API's documentation which scope this request needs, and add it to the client."
                .to_owned(),
        })
        .check(scopes_held(situation))
        .check("Then ask the owner to connect the account again: a refresh never brings more scopes (RFC 6749 §6).")
}

fn scopes_held(situation: &Situation<'_>) -> String {
    let held = situation.granted.unwrap_or(situation.scopes);
    format!("Check that these scopes are enough: {}.", words::scopes(held))
}

fn audience(situation: &Situation<'_>) -> String {
    match words::target(situation) {
        Some(target) => format!("Check that the token is for this API: {target} was asked."),
        None => "Check whether the API wants a token with its own audience or resource; none was asked.".to_owned(),
    }
}
