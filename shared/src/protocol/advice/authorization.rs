//! The authorization response said no, or none came (RFC 6749 §4.1.2.1).

use super::{Advice, Situation, asked, hint, words};

pub(super) fn refused(situation: &Situation<'_>) -> Advice {
    if let Some(advice) = asked::refused(situation) {
        return advice;
    }
    let answered = words::answered(situation);
    match situation.error.map(hint::meaning) {
        Some("unsupported_response_type") => Advice::error(
            "unsupported_response_type",
            "The provider does not answer with a code",
            format!("{answered}: response_type=code is not enabled."),
        )
        .check("Enable the authorization code grant for the client at the provider.")
        .check("Check that authorization_endpoint is that of OAuth 2.0."),
        Some("invalid_request") => Advice::error(
            "invalid_authorization_request",
            "The authorization request is not accepted",
            format!("{answered}: a parameter is missing, unknown or wrong."),
        )
        .check("Check authorization_params against the provider's documentation.")
        .check(asked::register(situation))
        .check("Some providers break on PKCE: only then switch pkce off."),
        Some("invalid_client") => Advice::error(
            "unknown_client",
            "The provider does not know the client",
            format!("{answered}: it does not know the client_id."),
        )
        .check("Check client_id for typing errors and missing characters.")
        .check("Check that the client was made in the same environment (live or test, region, tenant)."),
        Some(_) => Advice::error(
            "authorization_failed",
            "The provider ended the sign-in",
            format!("{answered}, without a reason that the standard knows."),
        )
        .check("Ask the person what the provider's page said.")
        .check(asked::register(situation))
        .check("Check the client's settings at the provider."),
        None => not_returned(situation),
    }
}

/// RFC 6749 §4.1.2.1: with a wrong client or redirect URI the server must not send the browser back.
fn not_returned(situation: &Situation<'_>) -> Advice {
    let detail = match situation.redirect_uri {
        Some(uri) => format!("The person was sent to the provider and did not come back to {uri}"),
        None => "The person was sent to the provider and did not come back.".to_owned(),
    };
    Advice::warning("authorization_not_returned", "The person did not come back", detail)
        .check(
            "Ask what the provider's page said: with a wrong redirect URI or client_id it does not send anybody back.",
        )
        .check(asked::register(situation))
        .check("Check client_id and authorization_endpoint.")
        .check("The person may have closed the page: open a new connect session.")
}
