//! The error codes that are known by name, and what a provider's free text gives away. The text itself goes nowhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The codes of the RFCs: RFC 6749 §4.1.2.1 and §5.2, OpenID Connect Core §3.1.2.6, RFC 7009 §2.2.1, RFC 8707 §2,
/// RFC 9449 §5.
const STANDARD: [&str; 21] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "unsupported_response_type",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "account_selection_required",
    "consent_required",
    "unsupported_token_type",
    "invalid_target",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "slow_down",
    "invalid_token",
    "insufficient_scope",
];

/// What widespread providers say instead, and which code it stands for.
const OTHER_NAMES: [(&str, &str); 37] = [
    ("redirect_uri_mismatch", REDIRECT_URI),
    ("invalid_redirect_uri", REDIRECT_URI),
    ("bad_redirect_uri", REDIRECT_URI),
    ("incorrect_client_credentials", "invalid_client"),
    ("invalid_client_credentials", "invalid_client"),
    ("bad_client_credentials", "invalid_client"),
    ("bad_client_secret", "invalid_client"),
    ("incorrect_client_secret", "invalid_client"),
    ("invalid_client_secret", "invalid_client"),
    ("client_secret_expired", "invalid_client"),
    ("expired_client_secret", "invalid_client"),
    ("bad_client_id", "invalid_client"),
    ("invalid_client_id", "invalid_client"),
    ("unknown_client", "invalid_client"),
    ("bad_verification_code", "invalid_grant"),
    ("invalid_code", "invalid_grant"),
    ("code_expired", "invalid_grant"),
    ("code_already_used", "invalid_grant"),
    ("expired_code", "invalid_grant"),
    ("invalid_auth_code", "invalid_grant"),
    ("invalid_authorization_code", "invalid_grant"),
    ("bad_refresh_token", "invalid_grant"),
    ("invalid_refresh_token", "invalid_grant"),
    ("expired_refresh_token", "invalid_grant"),
    ("refresh_token_expired", "invalid_grant"),
    ("refresh_token_revoked", "invalid_grant"),
    ("token_expired", "invalid_grant"),
    ("token_revoked", "invalid_grant"),
    ("expired_token", "invalid_grant"),
    ("account_inactive", "invalid_grant"),
    ("user_denied", "access_denied"),
    ("unsupported_grant", "unsupported_grant_type"),
    ("invalid_resource", "invalid_target"),
    ("mfa_required", "interaction_required"),
    ("ratelimited", RATE_LIMITED),
    ("rate_limited", RATE_LIMITED),
    ("too_many_requests", RATE_LIMITED),
];

/// The redirect URI is not the registered one. No RFC has a code for it at these endpoints.
pub(super) const REDIRECT_URI: &str = "redirect_uri_mismatch";
/// Too many requests, as a code instead of the status 429.
pub(crate) const RATE_LIMITED: &str = "rate_limited";

/// The code as it may be shown and logged: one that is known by name, else `other`.
pub fn known_error(error: &str) -> &'static str {
    let standard = STANDARD.iter().find(|known| **known == error).copied();
    let other = || OTHER_NAMES.iter().find(|(name, _)| *name == error).map(|(name, _)| *name);
    standard.or_else(other).unwrap_or("other")
}

/// The code that it stands for.
pub(crate) fn meaning(error: &str) -> &'static str {
    let shown = known_error(error);
    OTHER_NAMES.iter().find(|(name, _)| *name == shown).map_or(shown, |(_, meaning)| *meaning)
}

/// What the free text of an error answer (RFC 6749 §5.2, `error_description`) gives away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// The redirect URI is not the registered one.
    RedirectUri,
    /// The client secret's time is over.
    SecretExpired,
    /// The PKCE verifier does not fit the challenge (RFC 7636 §4.6).
    Verifier,
    /// The code was used before.
    CodeUsed,
    /// The time of the code or the refresh token is over.
    Expired,
    /// The refresh token was not used for too long.
    Idle,
    /// The person changed the password, which ended the grant.
    PasswordChanged,
    /// Somebody withdrew the grant.
    Withdrawn,
    /// A second factor is wanted.
    SecondFactor,
    /// An administrator has to consent.
    AdminConsent,
}

/// How much of a text is read, in characters.
const READ: usize = 500;

impl Hint {
    /// Recognises what widespread providers write, case-insensitively and in the first 500 characters. The text is only
    /// compared: nothing of it is kept. A text that lists several causes (as RFC 6749 §5.2 words `invalid_grant`, and as
    /// many servers repeat it) names none.
    pub fn recognise(text: &str) -> Option<Self> {
        let text: String = text.chars().take(READ).collect::<String>().to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        // The numbers are those of Microsoft Entra ID, which says `invalid_grant` or `invalid_client` to nearly all.
        let certain = [
            (has(&["aadsts7000222"]) || (has(&["secret"]) && has(&["expired"])), Self::SecretExpired),
            (has(&["aadsts50011"]), Self::RedirectUri),
            (has(&["verifier", "pkce", "code_challenge"]), Self::Verifier),
            (has(&["aadsts50076", "aadsts50079", "multi-factor", "multifactor", "mfa"]), Self::SecondFactor),
            (has(&["aadsts65001", "aadsts90094", "admin consent", "administrator consent"]), Self::AdminConsent),
            (has(&["aadsts54005"]), Self::CodeUsed),
            (has(&["aadsts700082", "due to inactivity"]), Self::Idle),
            (has(&["aadsts50173"]) || (has(&["password"]) && has(&["changed", "reset"])), Self::PasswordChanged),
            (has(&["aadsts70008"]), Self::Expired),
        ];
        if let Some((_, hint)) = certain.into_iter().find(|(holds, _)| *holds) {
            return Some(hint);
        }
        let causes = [
            (has(&["redirect"]) && has(&["uri", "url"]), Some(Self::RedirectUri)),
            (has(&["already redeemed", "been used", "already used", "was used"]), Some(Self::CodeUsed)),
            (has(&["revoked", "withdrawn"]), Some(Self::Withdrawn)),
            (has(&["expired"]), Some(Self::Expired)),
            (has(&["another client"]), None),
        ];
        let mut named = causes.into_iter().filter(|(holds, _)| *holds);
        let (_, only) = named.next()?;
        if named.next().is_some() { None } else { only }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_several_causes_names_none() {
        let doorkeeper = "The provided authorization grant is invalid, expired, revoked, does not match the redirection \
                          URI used in the authorization request, or was issued to another client.";
        for (text, hint) in [
            (doorkeeper, None),
            ("Token has been expired or revoked.", None),
            ("The code has expired or was used", None),
            ("Token was revoked", Some(Hint::Withdrawn)),
            ("The code has expired", Some(Hint::Expired)),
            ("Redirect URI mismatch", Some(Hint::RedirectUri)),
            ("The refresh token expired due to inactivity", Some(Hint::Idle)),
            ("The account is inactive", None),
        ] {
            assert_eq!(Hint::recognise(text), hint, "{text}");
        }
    }

    #[test]
    fn every_other_name_stands_for_a_known_code() {
        for (name, means) in OTHER_NAMES {
            assert_eq!((known_error(name), meaning(name)), (name, means));
        }
    }
}
