//! The token endpoint said no (RFC 6749 §5.2), by its code.

use super::shape::with_checks;
use super::{Advice, Hint, Situation, asked, grant, hint, shape, words};

pub(super) fn refused(situation: &Situation<'_>) -> Advice {
    if let Some(advice) = asked::refused(situation) {
        return advice;
    }
    match situation.error.map(hint::meaning) {
        Some("invalid_client") => client(situation),
        Some("invalid_grant") => grant::refused(situation),
        Some("unsupported_grant_type") => unsupported_grant(situation),
        Some("invalid_request") if situation.hint == Some(Hint::Verifier) => grant::refused(situation),
        Some("invalid_request") => invalid_request(situation),
        Some("use_dpop_nonce" | "invalid_dpop_proof") => dpop(situation),
        Some(_) => shape::unknown_error(situation),
        // RFC 6749 §5.2: 401 is for client authentication alone.
        None if situation.status == Some(401) && !situation.is_html => client(situation),
        None => shape::not_oauth(situation),
    }
}

const CHECK_SECRET: &str = "Check client_id and client_secret for typing errors, for blanks at the ends, and for a secret \
                            that was rotated at the provider.";
const CHECK_PLACE: &str =
    "Check that the client was made in the environment of this token endpoint (live or test, region, tenant).";

fn client(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let used = words::auth_method(situation.auth_method);
    let wanted = words::auth_method(situation.quirks.auth_method);
    if let (Some(used), Some(wanted)) = (used, wanted)
        && used != wanted
    {
        let detail =
            format!("{answered}. The client authenticated with {used}, and this provider is known to want {wanted}.");
        return Advice::error("client_auth_method", "The provider wants another client authentication", detail)
            .check(format!("Set token_endpoint_auth_method to {wanted}."))
            .check(CHECK_SECRET);
    }
    let unauthorized = situation.status == Some(401);
    match used {
        Some("client_secret_basic") if unauthorized => Advice::error(
            "invalid_client_basic",
            "The client was refused with its secret in the header",
            format!("{answered}. Client id and secret were sent in the Authorization header (client_secret_basic)."),
        )
        .check(CHECK_SECRET)
        .check("Try token_endpoint_auth_method client_secret_post: some providers read the secret from the body only.")
        .check(CHECK_PLACE),
        Some("client_secret_post") if unauthorized => Advice::error(
            "invalid_client_post",
            "The client was refused with its secret in the body",
            format!("{answered}. Client id and secret were sent in the body (client_secret_post)."),
        )
        .check(CHECK_SECRET)
        .check("Try token_endpoint_auth_method client_secret_basic: some providers read the secret from the header only.")
        .check(CHECK_PLACE),
        Some("none") => Advice::error(
            "client_secret_wanted",
            "The provider wants a client secret",
            format!("{answered}. The client authenticated with no secret (none)."),
        )
        .check("Enter the client secret, and set token_endpoint_auth_method to client_secret_basic or client_secret_post.")
        .check("Or make the client a public one at the provider.")
        .check("Check client_id for typing errors."),
        _ => Advice::error(
            "invalid_client",
            "The client was not accepted",
            format!("{answered}: it does not know the client, or not its secret."),
        )
        .check(CHECK_SECRET)
        .check("Check token_endpoint_auth_method: client_secret_basic is the standard, some providers want client_secret_post.")
        .check(CHECK_PLACE),
    }
}

fn unsupported_grant(situation: &Situation<'_>) -> Advice {
    let grant = words::grant(situation);
    let detail = format!("{}: it does not support the grant {grant}.", words::answered(situation));
    let advice = Advice::error("unsupported_grant_type", "The provider does not support this grant", detail)
        .check(format!("Check in the provider's documentation that it supports {grant}."));
    let advice = match grant {
        "password" => advice.check("Most providers have switched this grant off: use the authorization code grant."),
        _ => advice.check("Check that token_endpoint is the endpoint of this grant."),
    };
    with_checks(advice, situation)
}

fn invalid_request(situation: &Situation<'_>) -> Advice {
    let detail = format!("{}: a field is missing, unknown, doubled or wrong.", words::answered(situation));
    let advice = Advice::error("invalid_request", "The token request is not accepted", detail).check_some(
        situation.quirks.json_body.then(|| "This provider wants a JSON body: check content_type.".to_owned()),
    );
    with_checks(advice, situation)
        .check("Check the extra query, headers and body of the token request, and whether one is sent twice.")
        .check("Some providers break on PKCE or on a client id in both header and body.")
}

fn dpop(situation: &Situation<'_>) -> Advice {
    let detail = format!(
        "{}: it binds tokens to a key (RFC 9449), and only bearer tokens are supported here.",
        words::answered(situation)
    );
    Advice::error("dpop_wanted", "The provider wants tokens bound to a key", detail)
        .check("Switch DPoP off for the client at the provider, so that it issues bearer tokens.")
}
