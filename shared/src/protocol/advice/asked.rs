//! Something in what was asked for is refused, at the authorization endpoint or at the token endpoint.

use super::{Advice, Situation, Step, hint, words};

/// The cases that both endpoints have.
pub(super) fn refused(situation: &Situation<'_>) -> Option<Advice> {
    use super::Hint;
    match situation.hint {
        // Only these two requests have a redirect URI.
        Some(Hint::RedirectUri) if matches!(situation.step, Step::Authorization | Step::Exchange) => {
            return Some(redirect_uri(situation));
        }
        Some(Hint::SecondFactor) => return Some(second_factor(situation)),
        Some(Hint::AdminConsent) => return Some(admin_consent(situation)),
        _ => {}
    }
    Some(match hint::meaning(situation.error?) {
        hint::REDIRECT_URI => redirect_uri(situation),
        "invalid_scope" => scope(situation),
        "invalid_target" => target(situation),
        "unauthorized_client" => unauthorized_client(situation),
        "access_denied" => denied(situation),
        "consent_required" => consent_needed(situation),
        "login_required" | "account_selection_required" => login(situation),
        "interaction_required" => second_factor(situation),
        _ => return None,
    })
}

/// What to check of the redirect URI, as a sentence that names it byte for byte.
pub(super) fn register(situation: &Situation<'_>) -> String {
    match situation.redirect_uri {
        Some(uri) => format!("Register exactly this redirect URI for the client at the provider: {uri}"),
        None => "Register exactly the client's redirect_uri at the provider.".to_owned(),
    }
}

fn redirect_uri(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let detail = match situation.redirect_uri {
        Some(uri) => format!("{answered}: the redirect URI is not registered there. This one was sent: {uri}"),
        None => format!("{answered}: the redirect URI that was sent is not registered there."),
    };
    Advice::error("redirect_uri_mismatch", "The redirect URI does not match", detail)
        .check(register(situation))
        .check("Compare character by character: scheme, host, path, upper and lower case, a slash at the end.")
        .check("Check that client_id is that of the registration which you look at; changes there may take minutes.")
}

fn scope(situation: &Situation<'_>) -> Advice {
    let asked = words::scopes(situation.scopes);
    let detail = format!("{}. These scopes were sent: {asked}.", words::answered(situation));
    Advice::error("invalid_scope", "A scope is not allowed", detail)
        .check(if situation.scopes.is_empty() {
            "No scope was sent: some providers want at least one."
        } else {
            "Check each scope against the provider's list: spelling, upper and lower case, the full URL where it wants one."
        })
        .check("Check that these scopes are enabled for the client at the provider, and reviewed where it asks for that.")
        .check("Check the separator: the standard is a space, some providers want a comma.")
}

fn target(situation: &Situation<'_>) -> Advice {
    let sent = words::target(situation).map_or("no resource or audience".to_owned(), |target| target);
    let detail = format!(
        "{}: the API that the token is to be for is not accepted; {sent} was sent.",
        words::answered(situation)
    );
    Advice::error("invalid_target", "The resource or audience is not accepted", detail)
        .check("Check resource (RFC 8707) or audience against the API's identifier at the authorization server.")
        .check("Check that the client may get tokens for that API.")
}

fn unauthorized_client(situation: &Situation<'_>) -> Advice {
    let grant = words::grant(situation);
    let detail = format!("{}: the client may not use the grant {grant} there.", words::answered(situation));
    Advice::error("unauthorized_client", "The client may not use this grant", detail)
        .check(format!("Enable the grant {grant} for the client at the provider."))
        .check("Check that the kind of the client is right: web application, not desktop or single-page.")
        .check("Check that the client is approved, and allowed in the person's organisation.")
}

fn denied(situation: &Situation<'_>) -> Advice {
    let detail = if situation.step == Step::Authorization {
        format!("The person said no, or may not consent. These scopes were asked: {}.", words::scopes(situation.scopes))
    } else {
        format!("{}: consent was denied.", words::answered(situation))
    };
    Advice::warning("consent_denied", "Consent was denied", detail)
        .check("Ask the person to connect again and to consent.")
        .check("Check whether an administrator of the person's organisation has to allow the client first.")
        .check("Ask for fewer scopes: people and administrators refuse what they do not understand.")
}

fn consent_needed(situation: &Situation<'_>) -> Advice {
    let detail = format!("{}: the person has not consented to all that was asked.", words::answered(situation));
    Advice::error("consent_required", "The person has to consent", detail)
        .check("Open a connect session, so that the person sees the provider's consent page.")
        .check("Remove prompt=none from authorization_params.")
}

fn login(situation: &Situation<'_>) -> Advice {
    let detail =
        format!("{}: the person is not signed in there, or has to choose an account.", words::answered(situation));
    Advice::error("login_required", "The person has to sign in", detail)
        .check("Ask the person to connect again and to sign in at the provider.")
        .check("Remove prompt=none from authorization_params: it forbids the provider to ask.")
}

fn second_factor(situation: &Situation<'_>) -> Advice {
    let detail = format!(
        "{}: the person has to act at the provider, for example with a second factor.",
        words::answered(situation)
    );
    let advice = Advice::error("interaction_required", "The person has to act at the provider", detail);
    match situation.step {
        Step::Password => advice
            .check("A password alone is not enough there: use the authorization code grant.")
            .check("Or use an account for programs that the provider exempts from the second factor."),
        _ => advice
            .check("Ask the owner to connect the account again.")
            .check("Remove prompt=none from authorization_params."),
    }
}

fn admin_consent(situation: &Situation<'_>) -> Advice {
    let detail = format!(
        "{}: an administrator has to consent. These scopes were asked: {}.",
        words::answered(situation),
        words::scopes(situation.scopes)
    );
    Advice::error("admin_consent_required", "An administrator has to consent", detail)
        .check("Ask an administrator of the person's organisation to allow the client at the provider.")
        .check("Or ask only for scopes to which a person may consent alone.")
}
