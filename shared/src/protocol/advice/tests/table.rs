//! The table of cases: which situation brings which code.

use super::super::*;

const TOKEN: &str = "https://user:pw@as.example/token?key=hidden#f";
pub(super) const REDIRECT: &str = "https://broker.example/callback/ck_1";

pub(super) fn scopes(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// An answer of the token endpoint.
pub(super) fn token(step: Step, status: u16, error: &'static str) -> Situation<'static> {
    let error = Some(error).filter(|error| !error.is_empty());
    let (token_endpoint, redirect_uri) = (Some(TOKEN), Some(REDIRECT));
    Situation { step, status: Some(status), error, token_endpoint, redirect_uri, ..Situation::default() }
}

pub(super) fn authorization(error: &'static str) -> Situation<'static> {
    Situation { status: None, ..token(Step::Authorization, 0, error) }
}

pub(super) fn api(status: u16, challenge: &str) -> Situation<'static> {
    let www_authenticate = parse_www_authenticate(challenge);
    let url = Some("https://api.example/me?token=hidden");
    let header_prefix = Some("Bearer");
    Situation {
        step: Step::ApiRequest,
        status: Some(status),
        url,
        header_prefix,
        www_authenticate,
        ..Situation::default()
    }
}

fn at(step: Step, status: u16) -> Situation<'static> {
    Situation { step, status: Some(status), url: Some("https://as.example/there"), ..Situation::default() }
}

pub(super) fn failed(failure: Failure) -> Situation<'static> {
    Situation { status: None, failure: Some(failure), ..token(Step::Refresh, 0, "") }
}

pub(super) fn quirky(quirks: Quirks<'static>, situation: Situation<'static>) -> Situation<'static> {
    Situation { quirks, ..situation }
}

fn hinted(text: &str, situation: Situation<'static>) -> Situation<'static> {
    Situation { hint: Hint::recognise(text), ..situation }
}

pub(super) fn authenticated(method: &'static str, situation: Situation<'static>) -> Situation<'static> {
    Situation { auth_method: Some(method), ..situation }
}

/// The code of the advice, and the situation that brings it.
pub(super) fn table() -> Vec<(&'static str, Situation<'static>)> {
    use Step::{ClientCredentials, Discovery, Exchange, Introspection, Password, Refresh, Revocation, Setup};
    let invalid_client = || token(Refresh, 401, "invalid_client");
    let invalid_token = r#"Bearer error="invalid_token""#;
    let narrow = r#"Bearer error="insufficient_scope", scope="admin""#;
    let mut table = vec![
        // No answer.
        ("dns_failed", failed(Failure::Dns)),
        ("connect_failed", failed(Failure::Connect)),
        ("tls_failed", failed(Failure::Tls)),
        ("timeout", failed(Failure::Timeout)),
        ("answer_too_large", failed(Failure::TooLarge)),
        ("connection_interrupted", failed(Failure::Interrupted)),
        ("blocked_by_policy", failed(Failure::Refused)),
        ("proxy_failed", failed(Failure::Proxy)),
        ("request_not_built", failed(Failure::Unbuildable)),
        // Not now.
        ("rate_limited", token(Refresh, 429, "")),
        ("rate_limited", token(Refresh, 200, "ratelimited")),
        ("rate_limited", api(429, "")),
        ("provider_busy", token(Refresh, 400, "temporarily_unavailable")),
        ("provider_busy", token(Refresh, 503, "")),
        ("provider_failed", token(Exchange, 500, "")),
        ("provider_failed", authorization("server_error")),
        ("provider_failed", api(502, "")),
        // The authorization response.
        ("redirect_uri_mismatch", authorization("redirect_uri_mismatch")),
        ("invalid_scope", authorization("invalid_scope")),
        ("invalid_target", authorization("invalid_target")),
        ("unauthorized_client", authorization("unauthorized_client")),
        ("consent_denied", authorization("access_denied")),
        ("consent_required", authorization("consent_required")),
        ("login_required", authorization("login_required")),
        ("interaction_required", authorization("interaction_required")),
        ("unsupported_response_type", authorization("unsupported_response_type")),
        ("invalid_authorization_request", authorization("invalid_request")),
        ("unknown_client", authorization("invalid_client")),
        ("authorization_failed", authorization("provider_error")),
        ("authorization_not_returned", authorization("")),
        // The client.
        ("invalid_client", token(ClientCredentials, 400, "invalid_client")),
        ("invalid_client", token(ClientCredentials, 401, "")),
        ("invalid_client", token(Exchange, 200, "incorrect_client_credentials")),
        ("invalid_client_basic", authenticated("client_secret_basic", invalid_client())),
        ("invalid_client_post", authenticated("client_secret_post", invalid_client())),
        ("client_secret_wanted", authenticated("none", invalid_client())),
        (
            "client_auth_method",
            quirky(
                Quirks { auth_method: Some("client_secret_post"), ..Quirks::default() },
                authenticated("client_secret_basic", invalid_client()),
            ),
        ),
        ("client_secret_expired", Situation { client_secret_expired: true, ..invalid_client() }),
        ("client_secret_expired", Situation { client_secret_expired: true, ..Situation::default() }),
        (
            "client_secret_expired",
            hinted("AADSTS7000222: The provided client secret keys are expired.", invalid_client()),
        ),
        // What was asked.
        ("redirect_uri_mismatch", token(Exchange, 400, "redirect_uri_mismatch")),
        ("redirect_uri_mismatch", hinted("Redirect URI does not match", token(Exchange, 400, "invalid_grant"))),
        ("invalid_scope", token(ClientCredentials, 400, "invalid_scope")),
        ("invalid_target", token(ClientCredentials, 400, "invalid_target")),
        ("unauthorized_client", token(Password, 400, "unauthorized_client")),
        ("unsupported_grant_type", token(Password, 400, "unsupported_grant_type")),
        ("invalid_request", token(Exchange, 400, "invalid_request")),
        ("dpop_wanted", token(Exchange, 400, "use_dpop_nonce")),
        ("admin_consent_required", hinted("AADSTS65001: no consent", token(Refresh, 400, "invalid_grant"))),
        ("interaction_required", hinted("AADSTS50076: use multi-factor", token(Password, 400, "invalid_grant"))),
        // The grant, by cause.
        ("code_rejected", token(Exchange, 400, "invalid_grant")),
        ("code_expired", Situation { code_age_seconds: Some(700), ..token(Exchange, 400, "invalid_grant") }),
        ("code_expired", hinted("The code has expired", token(Exchange, 400, "invalid_grant"))),
        ("code_used", hinted("AADSTS54005: already redeemed", token(Exchange, 400, "invalid_grant"))),
        ("pkce_rejected", hinted("code_verifier is wrong", token(Exchange, 400, "invalid_grant"))),
        ("pkce_rejected", hinted("PKCE failed", token(Exchange, 400, "invalid_request"))),
        ("refresh_token_dead", token(Refresh, 400, "invalid_grant")),
        ("refresh_token_dead", token(Refresh, 200, "bad_refresh_token")),
        ("refresh_token_withdrawn", hinted("The token was revoked.", token(Refresh, 400, "invalid_grant"))),
        ("refresh_token_dead", hinted("Token has been expired or revoked.", token(Refresh, 400, "invalid_grant"))),
        ("refresh_token_idle", hinted("expired due to inactivity", token(Refresh, 400, "invalid_grant"))),
        ("refresh_token_password_changed", hinted("AADSTS50173", token(Refresh, 400, "invalid_grant"))),
        ("wrong_username_or_password", token(Password, 400, "invalid_grant")),
        ("client_credentials_refused", token(ClientCredentials, 400, "invalid_grant")),
        // Not OAuth.
        ("token_url_redirects", token(Refresh, 302, "")),
        ("token_url_not_found", Situation { is_html: true, ..token(Refresh, 404, "") }),
        ("token_url_method", token(Refresh, 405, "")),
        ("token_content_type", token(Refresh, 415, "")),
        ("token_url_is_page", Situation { is_html: true, ..token(Refresh, 200, "") }),
        ("token_url_forbidden", token(Refresh, 403, "")),
        ("no_access_token", Situation { no_access_token: true, ..token(Refresh, 200, "") }),
        ("answer_not_json", Situation { not_json: true, ..token(Refresh, 200, "") }),
        ("error_in_success", token(Refresh, 200, "unheard_of")),
        ("token_fetch_failed", token(ClientCredentials, 400, "unheard_of")),
        ("token_fetch_failed", token(ClientCredentials, 418, "")),
        // Other endpoints.
        ("revocation_unsupported", Situation { error: Some("unsupported_token_type"), ..at(Revocation, 400) }),
        ("revocation_client_refused", at(Revocation, 401)),
        ("revocation_url_wrong", at(Revocation, 404)),
        ("revocation_failed", at(Revocation, 400)),
        ("introspection_refused", at(Introspection, 401)),
        ("introspection_failed", at(Introspection, 404)),
        ("discovery_not_found", at(Discovery, 404)),
        ("discovery_not_json", Situation { is_html: true, ..at(Discovery, 200) }),
        ("discovery_failed", at(Discovery, 200)),
        // The API.
        ("api_token_expired", Situation { token_expired: Some(true), ..api(401, invalid_token) }),
        ("api_audience", Situation { token_expired: Some(false), ..api(401, invalid_token) }),
        ("api_unauthorized", api(401, invalid_token)),
        ("api_unauthorized", api(401, "")),
        ("api_insufficient_scope", api(403, narrow)),
        ("api_insufficient_scope", Situation { token_expired: Some(true), ..api(401, narrow) }),
        ("api_header_prefix", api(401, r#"OAuth realm="x""#)),
        (
            "api_header_prefix",
            quirky(Quirks { header_prefix: Some("token"), ..Quirks::default() }, api(401, invalid_token)),
        ),
        ("api_token_not_seen", api(401, r#"Bearer realm="x""#)),
        (
            "clock_skew",
            Situation { clock_skew_seconds: Some(-300), token_expired: Some(false), ..api(401, invalid_token) },
        ),
        ("api_forbidden", api(403, "")),
        ("api_request_malformed", api(400, r#"Bearer error="invalid_request""#)),
        ("api_redirects", api(302, "")),
        ("api_not_found", api(404, "")),
        ("api_is_page", Situation { is_html: true, ..api(200, "") }),
        ("api_accepts", api(204, "")),
        ("api_refused", api(422, "")),
        // What we know ourselves.
        ("owner_mismatch", Situation { owner_mismatch: true, ..Situation::default() }),
        ("account_mismatch", Situation { account_mismatch: true, ..token(Exchange, 200, "") }),
        ("account_connected", Situation { account_connected: true, ..token(Exchange, 200, "") }),
        ("refresh_token_missing", Situation { refresh_token_missing: true, ..token(Exchange, 200, "") }),
        ("refresh_token_missing", Situation { status: None, refresh_token_missing: true, ..token(Refresh, 0, "") }),
        ("clock_skew", Situation { clock_skew_seconds: Some(90), ..token(Exchange, 200, "") }),
        ("provider_refused", at(Setup, 400)),
        ("nothing_found", Situation::default()),
    ];
    static ASKED: std::sync::LazyLock<[Vec<String>; 3]> =
        std::sync::LazyLock::new(|| [scopes("read write offline_access"), scopes("READ"), scopes("read write admin")]);
    let [asked, fewer, more] = &*ASKED;
    for (code, granted) in [("scope_narrower", fewer), ("scope_wider", more)] {
        table.push((code, Situation { scopes: asked, granted: Some(granted), ..token(Exchange, 200, "") }));
    }
    table
}
