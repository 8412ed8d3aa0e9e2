//! `invalid_grant`, by its cause. The code is one and the same for all of them (RFC 6749 §5.2).

use super::{Advice, Hint, Situation, Step, asked, words};

/// RFC 6749 §4.1.2: ten minutes is the longest recommended life of a code.
const CODE_LIFE_SECONDS: i64 = 600;
const CONNECT_AGAIN: &str = "Ask the owner to connect the account again.";

pub(super) fn refused(situation: &Situation<'_>) -> Advice {
    match situation.step {
        Step::Password => password(situation),
        Step::ClientCredentials => client_credentials(situation),
        Step::Refresh => refresh_token(situation),
        _ => code(situation),
    }
}

fn code(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let old = situation.code_age_seconds.filter(|age| *age >= CODE_LIFE_SECONDS);
    match situation.hint {
        Some(Hint::Verifier) => Advice::error(
            "pkce_rejected",
            "The PKCE verifier does not fit",
            format!(
                "{answered}: the code verifier does not fit the challenge of the authorization request (RFC 7636)."
            ),
        )
        .check("Open a new connect session.")
        .check("Check that nothing between the browser and the provider rewrites the authorization request.")
        .check("Check that the provider supports PKCE with S256; only where it breaks on it, switch pkce off."),
        Some(Hint::CodeUsed) => Advice::error(
            "code_used",
            "The code was used before",
            format!("{answered}: the authorization code was used before, and is good for one exchange only."),
        )
        .check("Open a new connect session.")
        .check("Check that no other program or page also exchanges the code."),
        Some(Hint::Expired) => expired(answered, situation.code_age_seconds),
        _ if old.is_some() => expired(answered, old),
        _ => {
            let advice = Advice::error(
                "code_rejected",
                "The code was not accepted",
                format!("{answered} to the authorization code: it expired, was used before, or was made for another request."),
            )
            .check("The code may have expired or been used: open a new connect session and complete it soon.")
            .check(asked::register(situation));
            if situation.pkce {
                advice.check("A code verifier was sent (RFC 7636): check that the provider supports PKCE with S256.")
            } else {
                advice.check("No code verifier was sent (RFC 7636): check whether the provider requires PKCE.")
            }
        }
    }
}

fn expired(answered: String, age: Option<i64>) -> Advice {
    let detail = match age {
        Some(age) => format!("{answered}: the authorization code had expired; it was {age} seconds old."),
        None => format!("{answered}: the authorization code had expired."),
    };
    Advice::error("code_expired", "The code had expired", detail).check("Open a new connect session.").check(
        "Complete the flow as soon as the person returns: codes live for minutes, at some providers for seconds.",
    )
}

fn refresh_token(situation: &Situation<'_>) -> Advice {
    let answered = words::answered(situation);
    let idle = situation.quirks.refresh_idle_days;
    match situation.hint {
        Some(Hint::Withdrawn) => Advice::error(
            "refresh_token_withdrawn",
            "Access was withdrawn",
            format!("{answered}: somebody withdrew the access, or the grant was ended at the provider."),
        )
        .check(CONNECT_AGAIN)
        .check("Check with the owner or an administrator whether it was withdrawn on purpose."),
        Some(Hint::PasswordChanged) => Advice::error(
            "refresh_token_password_changed",
            "The password was changed",
            format!("{answered}: the account's password was changed, which ends its grants at this provider."),
        )
        .check(CONNECT_AGAIN),
        Some(Hint::Idle) => Advice::error(
            "refresh_token_idle",
            "The refresh token was unused for too long",
            format!("{answered}: the refresh token was not used for too long."),
        )
        .check(CONNECT_AGAIN)
        .check("Enter the provider's limit as refresh.idle_days, so that the token is used in time."),
        _ => Advice::error(
            "refresh_token_dead",
            "The refresh token is not accepted any more",
            format!("{answered}: the refresh token was withdrawn, expired, or replaced."),
        )
        .check(CONNECT_AGAIN)
        .check("Check whether access was withdrawn at the provider, or the account's password was changed.")
        .check(match idle {
            Some(days) => format!("At this provider a refresh token dies when it is unused for {days} days."),
            None => {
                "It may have been unused for too long: look up the provider's limit and enter it as refresh.idle_days."
                    .to_owned()
            }
        })
        .check(
            "Check that no other program refreshes the same grant: where refresh tokens rotate, the second one fails.",
        )
        .check("Some providers let only so many grants of one account and client live, and end the oldest."),
    }
}

fn password(situation: &Situation<'_>) -> Advice {
    let detail = format!("{}: it does not accept the username or the password.", words::answered(situation));
    Advice::error("wrong_username_or_password", "The username or password is wrong", detail)
        .check("Check username and password for typing errors and for blanks at the ends.")
        .check("Check what the provider takes as username, and whether a security token belongs behind the password.")
        .check("Check that the account is not locked, has no expired password, and needs no second factor.")
        .check("Where the provider offers it, use the authorization code grant instead.")
}

fn client_credentials(situation: &Situation<'_>) -> Advice {
    let detail = format!("{} to the client's own credentials.", words::answered(situation));
    Advice::error("client_credentials_refused", "The client's own grant is not accepted", detail)
        .check("Check client_id and client_secret for typing errors and for a secret that was rotated at the provider.")
        .check("Check that the client has an account to act for, where the provider wants one.")
        .check("Check that the grant client_credentials is enabled for the client.")
}
