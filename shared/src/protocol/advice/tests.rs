use std::collections::BTreeSet;

use proptest::option;
use proptest::prelude::*;

use super::*;

const TOKEN: &str = "https://user:pw@as.example/token?key=hidden#f";
const REDIRECT: &str = "https://broker.example/callback/ck_1";

fn scopes(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// An answer of the token endpoint.
fn token(step: Step, status: u16, error: &'static str) -> Situation<'static> {
    let error = Some(error).filter(|error| !error.is_empty());
    let (token_endpoint, redirect_uri) = (Some(TOKEN), Some(REDIRECT));
    Situation { step, status: Some(status), error, token_endpoint, redirect_uri, ..Situation::default() }
}

fn authorization(error: &'static str) -> Situation<'static> {
    Situation { status: None, ..token(Step::Authorization, 0, error) }
}

fn api(status: u16, challenge: &str) -> Situation<'static> {
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

fn failed(failure: Failure) -> Situation<'static> {
    Situation { status: None, failure: Some(failure), ..token(Step::Refresh, 0, "") }
}

fn quirky(quirks: Quirks<'static>, situation: Situation<'static>) -> Situation<'static> {
    Situation { quirks, ..situation }
}

fn hinted(text: &str, situation: Situation<'static>) -> Situation<'static> {
    Situation { hint: Hint::recognise(text), ..situation }
}

fn authenticated(method: &'static str, situation: Situation<'static>) -> Situation<'static> {
    Situation { auth_method: Some(method), ..situation }
}

/// The code of the advice, and the situation that brings it.
fn table() -> Vec<(&'static str, Situation<'static>)> {
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
        ("refresh_token_withdrawn", hinted("Token has been expired or revoked.", token(Refresh, 400, "invalid_grant"))),
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
        ("api_header_prefix", api(401, r#"Zoho-oauthtoken realm="x""#)),
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

#[test]
fn each_situation_has_its_case() {
    for (code, situation) in table() {
        assert_eq!(classify(&situation).code, code, "{situation:?}");
    }
}

#[test]
fn there_are_at_least_28_cases_each_with_one_title() {
    let cases: Vec<Advice> = table().iter().map(|(_, situation)| classify(situation)).collect();
    let codes: BTreeSet<_> = cases.iter().map(|case| case.code).collect();
    let titles: BTreeSet<_> = cases.iter().map(|case| (case.code, case.title)).collect();
    assert!(codes.len() >= 28, "{codes:?}");
    assert_eq!(codes.len(), titles.len());
}

#[test]
fn a_redirect_mismatch_prints_the_uri_that_was_sent() {
    for step in [Step::Authorization, Step::Exchange] {
        let advice = classify(&token(step, 400, "redirect_uri_mismatch"));
        assert!(advice.detail.ends_with(REDIRECT), "{advice:?}");
        assert!(advice.advice.iter().any(|text| text.ends_with(REDIRECT)), "{advice:?}");
    }
    for unclear in [authorization(""), authorization("invalid_request"), token(Step::Exchange, 400, "invalid_grant")] {
        let advice = classify(&unclear);
        assert!(advice.advice.iter().any(|text| text.ends_with(REDIRECT)), "{advice:?}");
    }
}

#[test]
fn an_invalid_scope_names_the_scopes_that_were_sent() {
    let sent = scopes("read admin:org");
    for step in [Step::Authorization, Step::ClientCredentials] {
        let advice = classify(&Situation { scopes: &sent, ..token(step, 400, "invalid_scope") });
        assert!(advice.detail.contains("read, admin:org"), "{advice:?}");
    }
}

#[test]
fn a_token_fetch_that_fails_lists_its_three_checks_with_verdicts() {
    let verdicts = |situation: &Situation<'_>| token_checks(situation).map(|check| check.verdict);
    use Verdict::{Right, Unknown, Wrong};
    assert_eq!(verdicts(&token(Step::Password, 404, "")), [Wrong, Unknown, Unknown]);
    assert_eq!(verdicts(&token(Step::Password, 400, "unsupported_grant_type")), [Right, Wrong, Unknown]);
    assert_eq!(verdicts(&token(Step::Password, 400, "invalid_request")), [Right, Unknown, Wrong]);
    assert_eq!(verdicts(&token(Step::Password, 400, "invalid_grant")), [Right, Right, Right]);
    assert_eq!(verdicts(&failed(Failure::Dns)), [Wrong, Unknown, Unknown]);
    let lacking = Situation { missing_fields: &["username"], ..token(Step::Password, 400, "") };
    assert_eq!(verdicts(&lacking), [Unknown, Unknown, Wrong]);

    let advice = classify(&lacking);
    assert_eq!(advice.code, "token_fetch_failed");
    let [url, grant, fields] = advice.advice.as_slice() else { panic!("{advice:?}") };
    assert!(url.starts_with("Token URL: not known. https://as.example/token answered 400"), "{url}");
    assert!(grant.starts_with("Grant type: not known. password"), "{grant}");
    assert_eq!(fields, "Required fields: looks wrong. These are missing: username.");
}

#[test]
fn a_401_with_one_client_authentication_advises_the_other() {
    for (used, other) in [("client_secret_basic", "client_secret_post"), ("client_secret_post", "client_secret_basic")]
    {
        let advice = classify(&authenticated(used, token(Step::Exchange, 401, "invalid_client")));
        assert!(advice.detail.contains(used), "{advice:?}");
        assert!(advice.advice.iter().any(|text| text.contains(other)), "{advice:?}");
    }
}

#[test]
fn a_401_at_the_api_names_what_the_challenge_wants() {
    let held = scopes("read");
    let lacking = Situation { granted: Some(&held), ..api(403, r#"Bearer error="insufficient_scope", scope="admin""#) };
    let advice = classify(&lacking);
    assert!(advice.detail.ends_with("wants: admin."), "{advice:?}");
    assert!(advice.advice.iter().any(|text| text.contains("are enough: read.")), "{advice:?}");
    let prefix = classify(&api(401, "Zoho-oauthtoken"));
    assert!(
        prefix.detail.contains("with the prefix Bearer, and the API wants the prefix Zoho-oauthtoken"),
        "{prefix:?}"
    );
}

#[test]
fn urls_are_shown_without_user_query_and_fragment() {
    let advice = classify(&token(Step::Refresh, 404, ""));
    assert!(advice.detail.starts_with("The token endpoint https://as.example/token answered 404"), "{advice:?}");
    assert!(!format!("{advice:?}").contains("hidden") && !format!("{advice:?}").contains("pw"));
    assert!(!format!("{:?}", classify(&api(401, ""))).contains("hidden"));
}

#[test]
fn offline_access_and_case_raise_no_alarm() {
    let (asked, granted) = (scopes("Read offline_access"), scopes("read"));
    let fine = Situation { scopes: &asked, granted: Some(&granted), ..Situation::default() };
    assert_eq!(classify(&fine).code, "nothing_found");
}

#[test]
fn a_missing_refresh_token_is_advised_in_the_providers_own_way() {
    let missing = Situation { refresh_token_missing: true, ..token(Step::Exchange, 200, "") };
    let first = |offline, situation: &Situation<'static>| {
        let situation = quirky(Quirks { offline: Some(offline), ..Quirks::default() }, situation.clone());
        classify(&situation).advice.first().cloned().unwrap()
    };
    assert!(first("access_type=offline", &missing).contains("access_type=offline to authorization_params"));
    assert_eq!(first("offline_access", &missing), "Add the scope offline_access.");
    assert_eq!(classify(&missing).severity, Severity::Warning);
    assert_eq!(classify(&Situation { step: Step::Refresh, status: None, ..missing }).severity, Severity::Error);
}

/// Text that a provider, or somebody's configuration, could put anywhere.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("planted secret".to_owned()),
        Just("invalid_grant".to_owned()),
        Just("invalid_client".to_owned()),
        Just("https://as.example/x?planted secret".to_owned()),
        Just("client_secret_basic".to_owned()),
        ".{0,40}",
    ]
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let all = [
        Authorization,
        Exchange,
        ClientCredentials,
        Password,
        Refresh,
        Revocation,
        Introspection,
        Discovery,
        ApiRequest,
        Setup,
    ];
    prop::sample::select(all.to_vec())
}

fn failure() -> impl Strategy<Value = Option<Failure>> {
    use Failure::*;
    option::weighted(0.2, prop::sample::select(vec![Dns, Connect, Tls, Timeout, TooLarge, Interrupted, Refused]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_situation_has_advice_and_none_repeats_a_providers_text(
        (step, status, failure) in (step(), option::of(prop_oneof![Just(200), Just(401), 0..1000u16]), failure()),
        (error, text, other) in (option::of(hostile()), option::of(hostile()), hostile()),
        granted in option::of(prop::collection::vec(hostile(), 0..4)),
        flags in prop::array::uniform9(prop::bool::weighted(0.2)),
        (seconds, expired) in (option::of(any::<i64>()), option::of(any::<bool>())),
    ) {
        let [is_html, not_json, no_access_token, refresh_token_missing, client_secret_expired, account_connected,
            account_mismatch, owner_mismatch, pkce] = flags;
        let scopes = granted.clone().unwrap_or_default();
        let advice = classify(&Situation {
            step,
            status,
            error: error.as_deref(),
            hint: text.as_deref().and_then(Hint::recognise),
            failure,
            is_html,
            not_json,
            no_access_token,
            retry_after_seconds: seconds.map(i64::unsigned_abs),
            grant: Some(&other),
            redirect_uri: None,
            scopes: &scopes,
            granted: granted.as_deref(),
            token_endpoint: text.as_deref(),
            url: text.as_deref(),
            auth_method: Some(&other),
            header_prefix: text.as_deref(),
            www_authenticate: parse_www_authenticate(&format!("Bearer error=\"{other}\", scope=\"planted\"")),
            audience: Some(&other),
            resource: text.as_deref(),
            missing_fields: &[&other],
            pkce,
            code_age_seconds: seconds,
            clock_skew_seconds: seconds,
            token_expired: expired,
            refresh_token_missing,
            client_secret_expired,
            account_connected,
            account_mismatch,
            owner_mismatch,
            quirks: Quirks { auth_method: text.as_deref(), header_prefix: Some(&other), ..Quirks::default() },
        });
        prop_assert!(!advice.code.is_empty() && !advice.title.is_empty());
        prop_assert!(!advice.detail.trim().is_empty());
        prop_assert!(!advice.advice.is_empty() && advice.advice.iter().all(|text| text.len() > 10));
        let said = format!("{} {}", advice.detail, advice.advice.join(" "));
        prop_assert!(!said.contains("planted secret"), "{said}");
    }

    #[test]
    fn recognising_a_hint_never_panics(text in ".{0,700}") {
        let _ = Hint::recognise(&text);
    }
}
