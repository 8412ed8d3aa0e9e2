use serde_json::json;

use super::*;
use crate::model::token_set::SecretInputs;

fn client(patch: Value) -> Client {
    let mut settings = json!({ "name": "a", "client_id": "our-id", "token_endpoint": "https://as.example/token" });
    if let (Some(settings), Value::Object(patch)) = (settings.as_object_mut(), patch) {
        settings.extend(patch);
    }
    let client = json!({
        "id": "clt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "client_key": "k", "version": 1, "disabled": false,
        "client_secrets": [], "secret_origin": null, "iss_required": false, "jwks_uri": null, "settings": settings,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    });
    serde_json::from_value(client).unwrap()
}

fn credential(variables: Value) -> Credential {
    let credential = json!({
        "id": "crd_01ARZ3NDEKTSV4RRFFQ69G5FAV", "project": "prj_01ARZ3NDEKTSV4RRFFQ69G5FAV", "name": "a",
        "owner": "ada", "client": "clt_01ARZ3NDEKTSV4RRFFQ69G5FAV", "variables": variables, "external_id": null,
        "created_at": "2026-01-01T00:00:00Z", "status": "active", "status_reason": null, "requested_scopes": [],
        "granted_scopes": ["read"], "account": null, "bound_origin": "https://as.example", "refreshable": true,
        "gen": 1, "attempt": "a", "cur": "a", "prev": null, "prev_until": null, "fence": 0, "lease": null,
        "intent": null, "issued_at": 0, "at_exp": 3_600_000, "refresh_after": null, "backoff_until": null,
        "last_refreshed_at": null,
    });
    serde_json::from_value(credential).unwrap()
}

fn tokens(extra: Value) -> TokenSet {
    TokenSet {
        access_token: Secret::from("the-access-token"),
        refresh_token: Some(Secret::from("the-refresh-token")),
        token_type: "bearer".to_owned(),
        expires_at: None,
        scopes: Vec::new(),
        generation: 1,
        bound_origin: "https://as.example".to_owned(),
        extra: extra.as_object().cloned().unwrap_or_default(),
        inputs: SecretInputs::from([
            ("key".to_owned(), Secret::from("s3cr3t")),
            ("password".to_owned(), Secret::from("of ada")),
        ]),
    }
}

fn base_url(template: &str, variables: Value, extra: Value) -> Option<String> {
    let client = client(json!({ "api_base_url": template, "variables": [{ "key": "key", "secret": true }] }));
    deliver(&OutboundPolicy::strict(), &client, &credential(variables), tokens(extra), None).api_base_url
}

#[test]
fn the_base_url_is_made_of_variables_and_of_what_the_provider_said() {
    for (template, variables, extra, expected) in [
        ("https://api.example", json!({}), json!({}), Some("https://api.example")),
        ("https://api.example/v1/", json!({}), json!({}), Some("https://api.example/v1")),
        ("https://{sub}.api.example", json!({ "sub": "acme" }), json!({}), Some("https://acme.api.example")),
        ("{instance_url}", json!({}), json!({ "instance_url": "https://na1.example/" }), Some("https://na1.example")),
        (
            "{instance_url}/services",
            json!({}),
            json!({ "instance_url": "https://na1.example//" }),
            Some("https://na1.example/services"),
        ),
        ("https://{team.host}/x", json!({}), json!({ "team": { "host": "t.example" } }), Some("https://t.example/x")),
        ("https://api.example/{id}", json!({}), json!({ "id": 42 }), Some("https://api.example/42")),
        ("https://{sub}.a.example", json!({ "sub": "mine" }), json!({ "sub": "its" }), Some("https://mine.a.example")),
    ] {
        assert_eq!(base_url(template, variables, extra).as_deref(), expected, "{template}");
    }
}

#[test]
fn a_base_url_that_cannot_be_said_is_none() {
    for (template, variables, extra) in [
        ("{instance_url}", json!({}), json!({})),
        ("{instance_url}", json!({}), json!({ "instance_url": ["https://na1.example"] })),
        ("{instance_url}", json!({}), json!({ "instance_url": "https://a@evil.example" })),
        ("{instance_url}", json!({}), json!({ "instance_url": "http://na1.example" })),
        ("{instance_url}", json!({}), json!({ "instance_url": "https://169.254.169.254" })),
        ("https://{sub}.api.example", json!({}), json!({ "sub": "evil.com/" })),
        ("https://{sub}.api.example", json!({}), json!({ "sub": "a.b" })),
        ("https://{sub}.api.example", json!({ "sub": "evil.com#" }), json!({})),
        ("https://api.example/{key}", json!({}), json!({})),
        ("https://api.example/{password}", json!({}), json!({})),
    ] {
        assert_eq!(base_url(template, variables, extra.clone()), None, "{template} {extra}");
    }
}

#[test]
fn headers_hold_variables_and_secrets_and_an_unknown_one_is_left_out() {
    let client = client(json!({
        "api_headers": {
            "X-Key": "k={key}", "Client-Id": "{client_id}", "X-Realm": "{realmId}", "X-None": "{none}",
            "X-Password": "{password}", "X-Torn": "{torn}", "Version": "2024-01-01", "not a header": "x",
        },
        "variables": [{ "key": "key", "secret": true }],
    }));
    let extra = json!({ "realmId": "77", "torn": "a\r\nX-Evil: 1" });
    let delivery = deliver(&OutboundPolicy::strict(), &client, &credential(json!({})), tokens(extra), None);
    let headers: Vec<_> =
        delivery.headers.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect();
    let expected = [("Client-Id", "our-id"), ("Version", "2024-01-01"), ("X-Key", "k=s3cr3t"), ("X-Realm", "77")];
    assert_eq!(headers, expected);
}

#[test]
fn the_token_goes_into_the_header_that_the_client_names() {
    for (header, name, value) in [
        (json!({}), "Authorization", "Bearer the-access-token"),
        (json!({ "prefix": "Token " }), "Authorization", "Token the-access-token"),
        (json!({ "name": "X-Access", "prefix": "" }), "X-Access", "the-access-token"),
    ] {
        let client = client(json!({ "header": header }));
        let delivery = deliver(&OutboundPolicy::strict(), &client, &credential(json!({})), tokens(json!({})), None);
        assert_eq!((delivery.header_name.as_str(), delivery.header_value.expose().as_str()), (name, value));
    }
}

#[test]
fn what_looks_like_another_token_is_not_delivered() {
    let extra = json!({
        "instance_url": "https://na1.example", "refresh_token": "r", "id_token": "i", "idToken": {"a": 1},
        "client-secret": "s", "refresh_token_expires_in": 86_400, "signed": "eyJh.eyJi.c", "team": { "id": "T1",
        "user_token": "x", "name": "was the-refresh-token" }, "list": ["a", "eyJh.eyJi.c"], "nothing": null,
    });
    let client = client(json!({}));
    let delivery = deliver(&OutboundPolicy::strict(), &client, &credential(json!({})), tokens(extra), None);
    let expected = json!({
        "instance_url": "https://na1.example", "refresh_token_expires_in": 86_400, "team": { "id": "T1" },
        "list": ["a"], "nothing": null,
    });
    assert_eq!(Value::Object(delivery.extra), expected);
}

#[test]
fn variables_that_an_answer_supplies_are_delivered_with_the_others() {
    let client = client(json!({ "variables": [
        { "key": "site" }, { "key": "realmId", "source": "callback" },
        { "key": "region", "source": "token", "default": "eu" }, { "key": "key", "secret": true },
    ] }));
    let (credential, tokens) = (credential(json!({ "site": "s" })), tokens(json!({ "realmId": "77", "key": "x" })));
    let delivery = deliver(&OutboundPolicy::strict(), &client, &credential, tokens, None);
    let expected = [("realmId", "77"), ("region", "eu"), ("site", "s")];
    assert_eq!(delivery.variables, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}
