mod table;

use std::collections::BTreeSet;

use proptest::option;
use proptest::prelude::*;

use self::table::{REDIRECT, api, authenticated, authorization, failed, quirky, scopes, table, token};
use super::*;

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
    let prefix = classify(&api(401, "OAuth"));
    assert!(prefix.detail.contains("with the prefix Bearer, and the API wants the prefix OAuth"), "{prefix:?}");
}

#[test]
fn only_a_scheme_for_tokens_is_taken_for_the_wanted_prefix() {
    for scheme in ["Basic realm=\"x\"", "Negotiate", "Digest nonce=\"1\"", "bearer"] {
        assert_ne!(classify(&api(401, scheme)).code, "api_header_prefix", "{scheme}");
    }
}

#[test]
fn at_most_ten_scopes_of_a_challenge_are_shown_and_only_scope_tokens() {
    let many: Vec<String> = (0..40).map(|number| format!("s{number}")).collect();
    let challenge = format!(r#"Bearer error="insufficient_scope", scope="é s\\\" {}""#, many.join(" "));
    let advice = classify(&api(403, &challenge));
    assert!(
        advice.detail.contains("s9") && !advice.detail.contains("s10") && !advice.detail.contains('é'),
        "{advice:?}"
    );
}

#[test]
fn a_redirect_uri_is_blamed_only_where_one_was_sent() {
    for step in [Step::Refresh, Step::Password, Step::ClientCredentials] {
        let situation = Situation { hint: Some(Hint::RedirectUri), ..token(step, 400, "invalid_grant") };
        assert_ne!(classify(&situation).code, "redirect_uri_mismatch", "{step:?}");
    }
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
    option::weighted(
        0.2,
        prop::sample::select(vec![Dns, Connect, Tls, Timeout, TooLarge, Interrupted, Refused, Proxy, Unbuildable]),
    )
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
    fn only_codes_that_are_known_by_name_are_shown(error in "[a-z_<>]{0,30}") {
        let shown = known_error(&error);
        prop_assert!(shown == "other" || shown == error);
    }

    #[test]
    fn recognising_a_hint_never_panics(text in ".{0,700}") {
        let _ = Hint::recognise(&text);
    }
}
