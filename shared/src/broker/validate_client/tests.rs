//! What settings are refused for, and where.

use serde_json::{Value, json};

use super::*;
use crate::error::{Error, FieldError};
use crate::outbound::OutboundPolicy;

/// What is wrong with a client that has this and nothing else: pointers and codes.
fn wrong(patch: Value) -> Vec<(String, &'static str)> {
    let mut body = json!({ "name": "Example" });
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    let settings: ClientSettings = serde_json::from_value(body).unwrap();
    let mut fields = Fields::default();
    grants(&mut fields, &settings.grant_types);
    variables::check(&mut fields, &settings);
    endpoints::check(&mut fields, &settings, &OutboundPolicy::strict());
    wire::check(&mut fields, &settings);
    api::check(&mut fields, &settings);
    match fields.done() {
        Ok(()) => Vec::new(),
        Err(Error::Invalid(errors)) => {
            errors.into_iter().map(|FieldError { pointer, code, .. }| (pointer, code)).collect()
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn with(variables: Value, patch: Value) -> Value {
    let mut all = json!({ "variables": variables });
    all.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    all
}

#[test]
fn settings_of_every_kind_are_accepted() {
    for patch in [
        json!({ "grant_types": ["client_credentials"] }),
        json!({ "grant_types": ["password", "refresh_token"] }),
        with(
            json!([{ "key": "subdomain", "required": true }, { "key": "Tenant-Id", "default": "common" }]),
            json!({
                "authorization_endpoint": "https://{subdomain}.example.com/{Tenant-Id}/authorize",
                "token_endpoint": "https://{subdomain}.example.com/{Tenant-Id}/token?v={Tenant-Id}",
                "api_base_url": "https://{subdomain}.example.com/api/",
            }),
        ),
        with(
            json!([{ "key": "base_url", "type": "url", "required": true }]),
            json!({ "credentials_from": "person", "token_endpoint": "{base_url}/oauth/token" }),
        ),
        with(
            json!([{ "key": "base_url", "source": "client" }]),
            json!({ "token_endpoint": "{base_url}/token", "values": { "base_url": "https://as.example.com/x/" } }),
        ),
        with(
            json!([{ "key": "host", "type": "host", "choices": ["login.example.com", "test.example.com"] }]),
            json!({ "token_endpoint": "https://{host}/token" }),
        ),
        with(
            json!([{ "key": "host", "type": "host" }]),
            json!({ "token_endpoint": "https://{host}/token", "token_endpoint_auth_method": "none" }),
        ),
        with(
            json!([{ "key": "api_key", "secret": true }, { "key": "instance", "source": "token", "type": "url" }]),
            json!({
                "token_request": {
                    "content_type": "json",
                    "headers": { "X-Key": "{api_key}" },
                    "body": { "who": "{client_id}", "optional": "{api_key?}", "list": ["{scope}"] },
                },
                "revocation_request": { "body": { "key": "{api_key}" } },
                "api_base_url": "{instance}/v1",
                "api_headers": { "Client-Id": "{client_id}", "X-Instance": "at {instance}" },
                "api_origins": ["https://files.example.com"],
                "authorization_names": { "client_id": "appid", "scope": "user_scope" },
            }),
        ),
        json!({ "authorization_names": { "client_id": "scope", "scope": "client_id" } }),
        json!({ "token_endpoint": "https://as.example.com" }),
        with(json!([{ "key": "id" }]), json!({ "test_request": { "path": "/v1/{id}/me?fields=all&q=%20" } })),
    ] {
        assert_eq!(wrong(patch.clone()), [], "{patch}");
    }
}

#[test]
fn what_is_wrong_is_named_by_pointer_and_code() {
    let key = || json!([{ "key": "base" }]);
    let secret = || json!([{ "key": "base", "secret": true }]);
    let mut others = Vec::new();
    for (patch, pointer, code) in [
        (json!({ "grant_types": [] }), "/grant_types", "empty"),
        (json!({ "grant_types": ["refresh_token"] }), "/grant_types", "unsupported"),
        (json!({ "grant_types": ["password", "password"] }), "/grant_types/1", "duplicate"),
        (json!({ "variables": [{ "key": "a b" }] }), "/variables/0/key", "not_a_key"),
        (json!({ "variables": [{ "key": "client_secret" }] }), "/variables/0/key", "reserved_key"),
        (
            json!({ "variables": [{ "key": "k", "secret": true, "source": "client" }] }),
            "/variables/0/secret",
            "secret_not_from_a_person",
        ),
        // Values.
        (json!({ "values": { "base": "x" } }), "/values/base", "undeclared_variable"),
        (with(key(), json!({ "values": { "Base": "x" } })), "/values/Base", "undeclared_variable"),
        (with(key(), json!({ "values": { "base": "x" } })), "/values/base", "not_the_clients"),
        (with(secret(), json!({ "values": { "base": "CANARY" } })), "/values/base", "secret_value"),
        (
            with(json!([{ "key": "base", "source": "client", "type": "url" }]), json!({ "values": { "base": "x" } })),
            "/values/base",
            "not_a_url",
        ),
        (
            with(
                json!([{ "key": "n", "visibility": "hidden", "pattern": "[0-9]+" }]),
                json!({ "values": { "n": "x" } }),
            ),
            "/values/n",
            "pattern",
        ),
        // URLs.
        (json!({ "token_endpoint": "https://{base}.example.com/t" }), "/token_endpoint", "undeclared_variable"),
        (
            with(key(), json!({ "token_endpoint": "https://{Base}.example.com" })),
            "/token_endpoint",
            "undeclared_variable",
        ),
        (with(secret(), json!({ "api_base_url": "https://a.example.com/{base}" })), "/api_base_url", "secret_in_url"),
        (
            json!({ "userinfo_endpoint": "https://a.example.com/{client_secret}" }),
            "/userinfo_endpoint",
            "undeclared_variable",
        ),
        (
            with(key(), json!({ "token_endpoint": "https://user:{base}@a.example.com" })),
            "/token_endpoint",
            "not_a_template",
        ),
        (with(key(), json!({ "token_endpoint": "https://a.example.com/{base" })), "/token_endpoint", "not_a_template"),
        (
            with(key(), json!({ "token_endpoint": "https://a.example.com/{base?}" })),
            "/token_endpoint",
            "not_a_template",
        ),
        (with(key(), json!({ "token_endpoint": "http://{base}.example.com/t" })), "/token_endpoint", "url_not_https"),
        (
            with(key(), json!({ "token_endpoint": "https://{base}.example.com:8443/" })),
            "/token_endpoint",
            "url_port_not_allowed",
        ),
        (
            with(key(), json!({ "revocation_endpoint": "https://10.0.0.1/{base}" })),
            "/revocation_endpoint",
            "url_address_not_allowed",
        ),
        (json!({ "refresh_request": { "url": "http://a.example.com/" } }), "/refresh_request/url", "url_not_https"),
        (json!({ "token_endpoint": "https://a.example.com/../t" }), "/token_endpoint", "url_invalid"),
        (json!({ "issuer": "https://{base}.example.com" }), "/issuer", "url_invalid"),
        (
            with(
                json!([{ "key": "base", "default": "a/b" }]),
                json!({ "api_base_url": "https://a.example.com/{base}" }),
            ),
            "/api_base_url",
            "unsafe_value",
        ),
        (
            with(
                json!([{ "key": "base", "source": "token" }]),
                json!({ "token_endpoint": "https://a.example.com/{base}" }),
            ),
            "/token_endpoint",
            "not_known_yet",
        ),
        (
            with(
                json!([{ "key": "r", "source": "callback" }]),
                json!({ "authorization_endpoint": "https://a.example.com/{r}" }),
            ),
            "/authorization_endpoint",
            "not_known_yet",
        ),
        // Hosts that get a shared secret.
        (with(key(), json!({ "token_endpoint": "{base}/oauth/token" })), "/token_endpoint", "host_not_fixed"),
        (with(key(), json!({ "token_endpoint": "https://{base}/token" })), "/token_endpoint", "host_not_fixed"),
        (with(key(), json!({ "token_endpoint": "https://{base}.com/token" })), "/token_endpoint", "host_not_fixed"),
        (
            with(json!([{ "key": "base", "visibility": "hidden" }]), json!({ "revocation_endpoint": "{base}/revoke" })),
            "/revocation_endpoint",
            "host_not_fixed",
        ),
        (
            with(json!([{ "key": "base", "source": "callback" }]), json!({ "refresh_request": { "url": "{base}/t" } })),
            "/refresh_request/url",
            "host_not_fixed",
        ),
        (with(key(), json!({ "introspection_endpoint": "{base}/i" })), "/introspection_endpoint", "host_not_fixed"),
        // Dialects.
        (json!({ "token_request": { "headers": { "Host": "x" } } }), "/token_request/headers/Host", "reserved_header"),
        (
            json!({ "token_request": { "url": "https://a.example.com" } }),
            "/token_request/url",
            "only_in_refresh_request",
        ),
        (
            json!({ "token_request": { "query": { "a/b": "{nobody}" } } }),
            "/token_request/query/a~1b",
            "undeclared_variable",
        ),
        (
            json!({ "token_request": { "content_type": "json", "body": { "a": ["{nobody}"] } } }),
            "/token_request/body/a",
            "undeclared_variable",
        ),
        (
            json!({ "token_request": { "body": "<a>{nobody}</a>", "content_type": "text/xml" } }),
            "/token_request/body",
            "undeclared_variable",
        ),
        (
            json!({
                "token_request": { "content_type": "application/xml", "body": "<t>{code}</t>" },
                "refresh_request": { "body": { "a": "b" } }
            }),
            "/refresh_request/body",
            "text_required",
        ),
        (
            json!({ "refresh_request": { "headers": { "X-A": "{nobody}" } } }),
            "/refresh_request/headers/X-A",
            "undeclared_variable",
        ),
        (
            json!({ "revocation_request": { "headers": { "X-A": "{nobody}" } } }),
            "/revocation_request/headers/X-A",
            "undeclared_variable",
        ),
        (
            json!({ "revocation_request": { "names": { "other": "x" } } }),
            "/revocation_request/names/other",
            "not_a_parameter",
        ),
        (json!({ "token_response": { "access_token": "/a~2" } }), "/token_response/access_token", "not_a_place"),
        (
            with(json!([{ "key": "t", "source": "token" }]), json!({ "token_request": { "query": { "t": "{t}" } } })),
            "/token_request/query/t",
            "not_known_yet",
        ),
        // Authorization parameters.
        (json!({ "authorization_names": { "prompt": "p" } }), "/authorization_names/prompt", "not_a_parameter"),
        (json!({ "authorization_names": { "state": "" } }), "/authorization_names/state", "not_left_out"),
        (json!({ "authorization_names": { "client_id": "a b" } }), "/authorization_names/client_id", "not_a_name"),
        (json!({ "authorization_names": { "client_id": "state" } }), "/authorization_names/client_id", "duplicate"),
        (
            json!({ "authorization_names": { "client_id": "x", "scope": "x" } }),
            "/authorization_names/scope",
            "duplicate",
        ),
        (
            json!({ "authorization_names": { "client_id": "appid" }, "authorization_params": { "appid": "evil" } }),
            "/authorization_params/appid",
            "reserved_parameter",
        ),
        // The API.
        (json!({ "api_headers": { "X A": "x" } }), "/api_headers/X A", "not_a_header"),
        (json!({ "api_headers": { "authorization": "x" } }), "/api_headers/authorization", "reserved_header"),
        (json!({ "api_headers": { "Transfer-Encoding": "x" } }), "/api_headers/Transfer-Encoding", "reserved_header"),
        (json!({ "api_headers": { "X-A": "a\r\nb" } }), "/api_headers/X-A", "control_character"),
        (json!({ "api_headers": { "X-A": "{nobody}" } }), "/api_headers/X-A", "undeclared_variable"),
        (json!({ "api_headers": { "X-A": "{a b}" } }), "/api_headers/X-A", "not_a_template"),
        (json!({ "api_origins": ["https://a.example.com/"] }), "/api_origins/0", "not_an_origin"),
        (json!({ "api_origins": ["a.example.com"] }), "/api_origins/0", "not_an_origin"),
        (json!({ "api_origins": ["http://a.example.com"] }), "/api_origins/0", "url_not_https"),
        (json!({ "test_request": { "path": "//evil.example.com" } }), "/test_request/path", "not_a_path"),
        (json!({ "test_request": { "path": "me" } }), "/test_request/path", "not_a_path"),
        (json!({ "test_request": { "path": "/a b" } }), "/test_request/path", "not_a_path"),
        (json!({ "test_request": { "path": "/{nobody}" } }), "/test_request/path", "undeclared_variable"),
        (with(secret(), json!({ "test_request": { "path": "/?k={base}" } })), "/test_request/path", "secret_in_url"),
    ] {
        let found = wrong(patch.clone());
        if found != [(pointer.to_owned(), code)] {
            others.push(format!("{patch}: {found:?}, and not {code} at {pointer}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn no_refusal_quotes_a_value() {
    let mut fields = Fields::default();
    let body = json!({
        "name": "a",
        "variables": [{ "key": "k", "source": "client", "type": "integer" }, { "key": "s", "secret": true }],
        "values": { "k": "CANARY", "s": "CANARY" },
    });
    variables::check(&mut fields, &serde_json::from_value(body).unwrap());
    assert!(!format!("{:?}", fields.done().unwrap_err()).contains("CANARY"));
}
