//! What we know ourselves, without any word of the provider.

use super::{Advice, Hint, Severity, Situation, Step, hint, words};

/// From how many seconds on two clocks are said to differ.
const SKEW_SECONDS: u64 = 60;

/// The facts that explain a failure, or that a success must be told with.
pub(super) fn known_to_us(situation: &Situation<'_>) -> Option<Advice> {
    if situation.owner_mismatch {
        return Some(owner_mismatch());
    }
    if situation.account_mismatch {
        return Some(account_mismatch());
    }
    if situation.failure.is_some() {
        return None;
    }
    let refused = situation.step.asks_tokens()
        && (situation.status == Some(401) || situation.error.map(hint::meaning) == Some("invalid_client"));
    let expired = situation.client_secret_expired || situation.hint == Some(Hint::SecretExpired);
    if expired && (refused || situation.step == Step::Setup) {
        return Some(secret_expired(situation));
    }
    let answered_well = situation.error.is_none() && situation.status.is_none_or(|status| (200..300).contains(&status));
    let readable = !(situation.is_html || situation.not_json || situation.no_access_token);
    let about_a_grant = situation.step.asks_tokens() || situation.step == Step::Setup;
    if !answered_well || !readable || !about_a_grant {
        return None;
    }
    if situation.account_connected {
        return Some(account_connected());
    }
    if situation.refresh_token_missing {
        return Some(refresh_token_missing(situation));
    }
    scope_difference(situation).or_else(|| clock_skew(situation, Severity::Warning))
}

/// Nothing is known to be wrong.
pub(super) fn nothing(situation: &Situation<'_>) -> Advice {
    if situation.status.is_none() && situation.error.is_none() {
        return Advice::info(
            "nothing_found",
            "Nothing is known to be wrong",
            "No fault is known of this configuration.",
        )
        .check("Test the credential: the test says at which step something fails.");
    }
    Advice::error("provider_refused", "The provider refused the request", format!("{}.", words::answered(situation)))
        .check("Compare the client's settings with the provider's documentation.")
        .check("Check the provider's status page.")
}

fn owner_mismatch() -> Advice {
    Advice::error(
        "owner_mismatch",
        "Another person came back",
        "The person who came back is not the person for whom the session was opened; the code was destroyed.",
    )
    .check("Open a new connect session for the person who is signed in now.")
    .check("If nobody shared a link on purpose, somebody may have been lured into consenting for another's session.")
}

fn account_mismatch() -> Advice {
    Advice::error(
        "account_mismatch",
        "Another account was brought",
        "The credential belongs to one account, and the person consented with another; the credential was left alone.",
    )
    .check("Sign out at the provider, or choose the account there, and connect again with the same account as before.")
    .check("To change the account on purpose, set allow_account_change, or make a new credential.")
}

fn account_connected() -> Advice {
    Advice::warning(
        "account_connected",
        "The account is connected already",
        "The same account of this provider already has a credential here. Some providers end the older grant.",
    )
    .check("Use the credential that is there, or reauthorize it in place.")
    .check("If two are wanted, check that the provider allows several grants for one account and client.")
}

fn secret_expired(situation: &Situation<'_>) -> Advice {
    let detail = if situation.status.is_some() || situation.error.is_some() {
        format!("{}: the client secret has expired.", words::answered(situation))
    } else {
        "The client secret has expired at the provider.".to_owned()
    };
    Advice::error("client_secret_expired", "The client secret has expired", detail)
        .check("Make a new secret for the client at the provider.")
        .check("Add it to the client here (its secrets may overlap), then retire the old one.")
        .check("Enter when the new one expires, so that it is told in time.")
}

fn refresh_token_missing(situation: &Situation<'_>) -> Advice {
    let at_refresh = situation.step == Step::Refresh;
    let detail = if at_refresh {
        "The access token has expired, and there is no refresh token to get another with."
    } else {
        "The provider gave an access token and no refresh token: when it expires, its owner has to consent again."
    };
    let severity = if at_refresh { Severity::Error } else { Severity::Warning };
    let asks_offline = situation.scopes.iter().any(|scope| scope.eq_ignore_ascii_case("offline_access"));
    Advice::new(severity, "refresh_token_missing", "There is no refresh token", detail)
        .check(match situation.quirks.offline {
            Some("access_type=offline") => {
                "Add access_type=offline to authorization_params; with prompt=consent it comes at a second consent too."
            }
            Some("offline_access") if !asks_offline => "Add the scope offline_access.",
            _ if asks_offline => {
                "offline_access was asked: check that the provider allows it to this client; some want prompt=consent or \
                 access_type=offline besides."
            }
            _ => "Ask for offline access as the provider names it: the scope offline_access, or access_type=offline.",
        })
        .check("Check that the refresh_token grant is enabled for the client at the provider.")
        .check("Connect the account again: some providers give a refresh token at the first consent only.")
}

/// What was granted against what was asked. Case and `offline_access`, which many do not repeat, raise no alarm.
fn scope_difference(situation: &Situation<'_>) -> Option<Advice> {
    let (asked, granted) = (situation.scopes, situation.granted?);
    let lacking: Vec<&String> = beyond(asked, granted).collect();
    if !lacking.is_empty() {
        let detail = format!(
            "Fewer scopes were granted than asked. Missing: {}. Granted: {}.",
            words::scopes(lacking),
            words::scopes(granted)
        );
        return Some(
            Advice::warning("scope_narrower", "Fewer scopes were granted than asked", detail)
                .check("Check whether the person left some unticked, or may not grant them; then connect again.")
                .check("Check that these scopes are enabled for the client at the provider.")
                .check("If they are not needed, do not ask for them."),
        );
    }
    let extra: Vec<&String> = if asked.is_empty() { Vec::new() } else { beyond(granted, asked).collect() };
    (!extra.is_empty()).then(|| {
        let detail = format!("More scopes were granted than asked: {}.", words::scopes(extra));
        Advice::warning("scope_wider", "More scopes were granted than asked", detail)
            .check("Check the client's scopes at the provider: some grant all that the client has, or all of earlier consents.")
            .check("Restrict them there to what is needed.")
    })
}

fn beyond<'s>(these: &'s [String], those: &'s [String]) -> impl Iterator<Item = &'s String> {
    these.iter().filter(|this| {
        !this.eq_ignore_ascii_case("offline_access") && !those.iter().any(|that| that.eq_ignore_ascii_case(this))
    })
}

/// The clocks differ by a minute or more.
pub(super) fn clock_skew(situation: &Situation<'_>, severity: Severity) -> Option<Advice> {
    let skew = situation.clock_skew_seconds.filter(|skew| skew.unsigned_abs() >= SKEW_SECONDS)?;
    let direction = if skew > 0 { "ahead of" } else { "behind" };
    let detail = format!(
        "The clock of the other side is {} seconds {direction} ours, so times in tokens are misread.",
        skew.unsigned_abs()
    );
    Some(
        Advice::new(severity, "clock_skew", "The clocks differ", detail)
            .check("Where the server is yours, set its clock by NTP.")
            .check("Otherwise tell the provider; until then read tokens with a min_ttl above the difference."),
    )
}
