//! Revocation (RFC 7009), introspection (RFC 7662) and metadata (RFC 8414).

use super::{Advice, Situation, hint, words};

const CHECK_CLIENT: &str =
    "Check client_id, client_secret and token_endpoint_auth_method: the same ones are used here.";

fn refuses_client(situation: &Situation<'_>) -> bool {
    situation.status == Some(401) || situation.error.map(hint::meaning) == Some("invalid_client")
}

fn is_elsewhere(situation: &Situation<'_>) -> bool {
    situation.is_html || matches!(situation.status, Some(300..=399 | 404 | 405 | 410))
}

pub(super) fn revocation(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let by_hand = "Until it is proven, the owner can withdraw the access in the account's settings at the provider.";
    if situation.error.map(hint::meaning) == Some("unsupported_token_type") {
        return Advice::warning(
            "revocation_unsupported",
            "The provider does not revoke this kind of token",
            format!("{answered}: it does not revoke tokens of this kind (RFC 7009 §2.2.1)."),
        )
        .check(by_hand);
    }
    if refuses_client(situation) {
        return Advice::error(
            "revocation_client_refused",
            "The client may not revoke",
            format!("{answered}: it does not accept the client, so the token may still work."),
        )
        .check(CHECK_CLIENT)
        .check(by_hand);
    }
    if is_elsewhere(situation) {
        return Advice::error(
            "revocation_url_wrong",
            "The revocation URL is wrong",
            format!("{answered}: that is no revocation endpoint."),
        )
        .check("Compare revocation_endpoint with the provider's documentation.")
        .check(by_hand);
    }
    Advice::warning(
        "revocation_failed",
        "The token could not be revoked",
        format!("{answered}; the token may still work."),
    )
    .check("It is tried again by itself.")
    .check(by_hand)
}

pub(super) fn introspection(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    if refuses_client(situation) || situation.status == Some(403) {
        return Advice::warning(
            "introspection_refused",
            "The client may not introspect",
            format!("{answered}: the client may not ask about tokens there."),
        )
        .check("Allow introspection for the client at the provider.")
        .check(CHECK_CLIENT);
    }
    Advice::warning(
        "introspection_failed",
        "The token could not be introspected",
        format!("{answered}; when the token expires stays unknown."),
    )
    .check("Compare introspection_endpoint with the provider's documentation.")
    .check("Or set refresh.default_lifetime to the life of its access tokens.")
}

pub(super) fn discovery(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let by_hand = "Where the provider publishes no metadata, leave issuer out and enter the endpoints.";
    if is_elsewhere(situation) && !situation.is_html {
        return Advice::error(
            "discovery_not_found",
            "There is no metadata at the issuer",
            format!("{answered}: there is no metadata document (RFC 8414 §3)."),
        )
        .check("Check issuer: scheme, host, path (tenant or realm), and no slash at the end that the provider does not have.")
        .check(by_hand);
    }
    if situation.is_html || situation.not_json {
        return Advice::error(
            "discovery_not_json",
            "The metadata is not JSON",
            format!("{answered} with something that is not a metadata document."),
        )
        .check("Check that issuer is the issuer and not the sign-in page.")
        .check(by_hand);
    }
    Advice::error(
        "discovery_failed",
        "The metadata cannot be used",
        format!("{answered}; its metadata cannot be used."),
    )
    .check("Check that the issuer in the document equals issuer, character by character (RFC 8414 §3.3).")
    .check(by_hand)
}
