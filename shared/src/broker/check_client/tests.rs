//! What a check finds, by code.

use std::collections::BTreeSet;

use chrono::Duration;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::{Catalogue, Confidence};
use crate::model::client::ClientSecret;
use crate::testing::fixtures;

/// A case: what is changed, and what is then found besides what a good client has.
struct Case {
    settings: Value,
    change: fn(&mut Client),
    allowed_scopes: Option<Vec<String>>,
    metadata: Option<Value>,
    /// What the entry of its provider says, in TOML.
    entry: Option<&'static str>,
    found: Vec<(Level, &'static str)>,
}

fn case(settings: Value, found: &[(Level, &'static str)]) -> Case {
    Case { settings, change: |_| {}, allowed_scopes: None, metadata: None, entry: None, found: found.to_vec() }
}

/// A case with an entry of its provider: what `said` adds to the facts of a good client.
fn from_entry(settings: Value, said: &'static str, found: &[(Level, &'static str)]) -> Case {
    Case { entry: Some(said), ..case(settings, found) }
}

fn entry(said: &str) -> Provider {
    let facts = r#"
        name = "Example"
        category = "developer"
        checked = 2026-11-23
        confidence = "high"
        token_endpoint = "https://as.example/token"
        test_request = { path = "/me" }
        token_response = { access_token = "/data/token" }
    "#;
    Catalogue::of("example", &format!("{facts}\n{said}")).unwrap()
}

/// A client with nothing to be said of but its redirect URI.
fn good() -> Value {
    let mut settings = serde_json::to_value(fixtures::client_settings(None)).unwrap();
    let patch = json!({
        "api_base_url": "https://api.example", "test_request": { "path": "/me" }, "variables": [], "values": {},
        "return_urls": ["https://platform.example/return"], "refresh": {},
        "grant_types": ["authorization_code", "refresh_token"], "owner": "integrations", "issuer": "https://as.example",
        "credentials_from": "client", "token_request": {}, "refresh_request": null, "api_headers": {},
    });
    settings.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    settings
}

fn secret(id: &str) -> ClientSecret {
    ClientSecret {
        id: id.to_owned(),
        added_at: fixtures::start(),
        last_success_at: None,
        retire_at: None,
        expires_at: None,
    }
}

fn metadata(patch: &Value) -> Server {
    let mut document = json!({
        "issuer": "https://as.example",
        "authorization_endpoint": "https://as.example/authorize",
        "token_endpoint": "https://as.example/token",
    });
    document.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    Server::Says(Box::new(serde_json::from_value(document).unwrap()))
}

fn found(case: &Case) -> Vec<Finding> {
    let mut settings = good();
    settings.as_object_mut().unwrap().extend(case.settings.as_object().unwrap().clone());
    let mut client = Client {
        settings: serde_json::from_value(settings).unwrap(),
        client_secrets: vec![secret("only")],
        ..fixtures::client(None)
    };
    (case.change)(&mut client);
    let mut project = fixtures::project();
    project.policies = Default::default();
    project.policies.allowed_scopes = case.allowed_scopes.clone();
    project.return_urls.clear();
    let server = match (&case.metadata, &client.settings.issuer) {
        (Some(patch), _) => metadata(patch),
        (None, Some(_)) => metadata(&json!({})),
        (None, None) => Server::Unnamed,
    };
    check(&Facts {
        client: &client,
        project: Some(&project),
        provider: case.entry.map(entry).as_ref(),
        server: &server,
        redirect_uri: "https://broker.example/callback/k",
        refresh_floor: Some(1500),
        now: fixtures::start(),
    })
}

fn cases() -> Vec<Case> {
    use Level::{Error, Info, Warning};
    let at_server = |metadata: Value, code| Case { metadata: Some(metadata), ..case(json!({}), &[code]) };
    let changed = |change, found: &[(Level, &'static str)]| Case { change, ..case(json!({}), found) };
    let machine = ["client_credentials"];
    vec![
        case(json!({}), &[]),
        case(json!({ "client_id": null }), &[(Error, "client_draft"), (Error, "client_id_missing")]),
        case(json!({ "token_endpoint": null }), &[(Error, "client_draft"), (Error, "token_endpoint_missing")]),
        case(
            json!({ "authorization_endpoint": null }),
            &[(Error, "client_draft"), (Error, "authorization_endpoint_missing")],
        ),
        changed(|client| client.client_secrets.clear(), &[(Error, "client_draft"), (Error, "client_secret_missing")]),
        changed(|client| client.disabled = true, &[(Warning, "client_disabled")]),
        case(
            json!({ "grant_types": ["password", "refresh_token"] }),
            &[(Warning, "password_grant"), (Warning, "password_grant_not_allowed")],
        ),
        case(
            json!({ "grant_types": machine, "token_endpoint_auth_method": "none" }),
            &[(Error, "public_client_credentials"), (Warning, "client_secret_not_sent")],
        ),
        case(json!({ "pkce": false }), &[(Warning, "pkce_off")]),
        case(json!({ "grant_types": ["authorization_code"] }), &[(Warning, "refresh_token_missing")]),
        case(json!({ "token_request": { "method": "GET" } }), &[(Warning, "secrets_in_query")]),
        case(
            json!({
                "variables": [{ "key": "k", "secret": true }], "token_request": { "query": { "key": "{k}" } },
            }),
            &[(Warning, "secrets_in_query")],
        ),
        changed(
            |client| client.client_secrets.iter_mut().for_each(|one| one.expires_at = Some(fixtures::start())),
            &[(Error, "client_secret_expired")],
        ),
        changed(
            |client| {
                let soon = Some(fixtures::start() + Duration::days(30));
                client.client_secrets.iter_mut().for_each(|one| one.expires_at = soon);
            },
            &[(Warning, "client_secret_expires_soon")],
        ),
        changed(
            |client| {
                // An older one that ends soon is about to be replaced.
                let soon = Some(fixtures::start() + Duration::days(3));
                client.client_secrets.push(ClientSecret { expires_at: soon, ..secret("old") });
            },
            &[(Info, "several_client_secrets")],
        ),
        changed(
            |client| {
                let long_ago = fixtures::start() - Duration::days(91);
                client.client_secrets.iter_mut().for_each(|one| one.added_at = long_ago);
            },
            &[(Info, "client_secret_unused")],
        ),
        case(
            json!({ "revocation_endpoint": "https://elsewhere.example/revoke" }),
            &[(Error, "client_secret_bound_elsewhere")],
        ),
        case(json!({ "issuer": null }), &[(Info, "issuer_missing")]),
        case(json!({ "revocation_endpoint": null }), &[(Info, "revocation_endpoint_missing")]),
        at_server(json!({ "grant_types_supported": ["authorization_code"] }), (Error, "grant_type_not_supported")),
        at_server(
            json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }),
            (Warning, "auth_method_not_supported"),
        ),
        at_server(json!({ "scopes_supported": ["read"] }), (Warning, "scope_not_supported")),
        at_server(
            json!({ "code_challenge_methods_supported": ["plain"] }),
            (Warning, "code_challenge_method_not_supported"),
        ),
        at_server(
            json!({ "scopes_supported": ["read", "write", "offline_access"] }),
            (Warning, "offline_access_missing"),
        ),
        at_server(json!({ "token_endpoint": "https://as.example/token2" }), (Warning, "endpoint_differs")),
        case(json!({ "return_urls": [] }), &[(Warning, "return_url_missing")]),
        Case { allowed_scopes: Some(vec!["write".to_owned()]), ..case(json!({}), &[(Error, "scope_not_allowed")]) },
        case(json!({ "owner": null }), &[(Info, "owner_missing")]),
        case(json!({ "api_base_url": null }), &[(Info, "api_base_url_missing")]),
        case(json!({ "test_request": null }), &[(Info, "test_request_missing")]),
        case(json!({ "refresh": { "default_lifetime": 300 } }), &[(Warning, "short_access_tokens")]),
        case(
            json!({
                "variables": [{ "key": "own", "source": "client", "required": true }],
                "api_headers": { "X-Own": "{own}" },
            }),
            &[(Error, "client_draft"), (Error, "value_missing")],
        ),
        case(
            json!({ "variables": [{ "key": "part" }], "api_base_url": "https://api.example/{part}" }),
            &[(Warning, "variable_may_be_missing")],
        ),
        case(json!({ "variables": [{ "key": "spare" }] }), &[(Info, "variable_unused")]),
        case(
            json!({ "refresh": { "scope": "offline" }, "scopes": { "required": ["read"] } }),
            &[(Warning, "offline_scope_missing")],
        ),
        case(json!({ "refresh": { "scope": "offline" }, "scopes": { "required": ["offline"] } }), &[]),
        from_entry(json!({}), "pkce = true", &[]),
        from_entry(json!({}), "pkce = false", &[(Info, "provider_changed")]),
        from_entry(json!({ "audience": "api" }), "", &[]),
        from_entry(json!({}), "token_request.content_type = \"json\"", &[(Info, "provider_changed")]),
        from_entry(json!({ "token_request": { "content_type": "json" } }), "", &[(Info, "provider_changed")]),
        case(json!({ "variables": [{ "key": "spare", "secret": true }] }), &[(Warning, "variable_unused")]),
    ]
}

#[test]
fn each_fault_is_found_and_nothing_else() {
    let mut codes = BTreeSet::new();
    for case in cases() {
        let mut findings = found(&case);
        assert!(findings.is_sorted_by_key(|finding| finding.level), "{findings:?}");
        findings.retain(|finding| finding.code != "redirect_uri");
        let expected: BTreeSet<_> = case.found.iter().copied().collect();
        let actual: BTreeSet<_> = findings.iter().map(|finding| (finding.level, finding.code)).collect();
        assert_eq!(actual, expected, "{}", case.settings);
        for finding in findings {
            assert!(finding.detail.ends_with('.') && !finding.advice.is_empty(), "{finding:?}");
            codes.insert(finding.code);
        }
    }
    assert!(codes.len() >= 20, "{}", codes.len());
}

#[test]
fn the_redirect_uri_is_told_exactly_and_only_where_there_is_one() {
    let of = |settings| found(&case(settings, &[])).into_iter().find(|finding| finding.code == "redirect_uri");
    assert!(of(json!({})).unwrap().detail.ends_with(" https://broker.example/callback/k"));
    assert_eq!(of(json!({ "grant_types": ["client_credentials"] })), None);
}

#[test]
fn a_server_that_does_not_answer_is_a_finding() {
    let client = fixtures::client(None);
    let server = Server::Silent("It is away.".to_owned());
    let facts = Facts {
        client: &client,
        project: None,
        provider: None,
        server: &server,
        redirect_uri: "https://broker.example/callback/k",
        refresh_floor: None,
        now: fixtures::start(),
    };
    assert!(check(&facts).iter().any(|one| one.code == "metadata_unavailable" && one.detail.contains("It is away.")));
}

#[test]
fn a_machine_client_needs_no_pages() {
    let codes: Vec<_> = found(&case(json!({ "grant_types": ["client_credentials"], "return_urls": [] }), &[]))
        .into_iter()
        .map(|finding| finding.code)
        .collect();
    assert_eq!(codes, Vec::<&str>::new());
}

#[test]
fn an_entry_of_one_source_is_told() {
    let told = |confidence| {
        let mut provider = entry("");
        provider.about.confidence = confidence;
        let mut findings = Findings::default();
        let client = fixtures::client(None);
        let facts = Facts {
            client: &client,
            project: None,
            provider: Some(&provider),
            server: &Server::Unnamed,
            redirect_uri: "https://broker.example/callback/k",
            refresh_floor: None,
            now: fixtures::start(),
        };
        provider::check(&facts, &mut findings);
        findings.0.iter().any(|finding| finding.code == "provider_entry_unsure")
    };
    assert_eq!((told(Confidence::Medium), told(Confidence::High)), (true, false));
}
