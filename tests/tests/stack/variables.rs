//! Variables: what a backend fixes and what a person types, and where hostile values do not lead.

use grantkeeper_sandbox::TokenRequestRules;
use grantkeeper_tests::{Browser, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::assert_field;
use super::shaping::{assert_again, at_sandbox, finish, link, secret_of, shaped, url};

/// Values that try to lead a request elsewhere.
const HOSTILE: [&str; 15] = [
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "evil.com%2f",
    "%2f",
    "%2e%2e",
    "..",
    ".",
    "x\\",
    "\\\\evil.com",
    "//evil.com",
    "evil\u{3002}com",
    "evil\u{FF0E}com",
    "x\r\nHost: evil.com",
    "x\n",
];

/// Others, which are no more than text in a path.
const HOSTILE_IN_A_HOST: [&str; 2] = ["a@evil", "a:b@evil.com"];

fn hostile(key: &str) -> impl Iterator<Item = &'static str> {
    HOSTILE.into_iter().chain(HOSTILE_IN_A_HOST.into_iter().filter(move |_| key != "tenant"))
}

/// A client whose host, path and base URL each take a value.
async fn hostile_client(world: &World) -> anyhow::Result<String> {
    let patch = json!({
        "variables": [
            { "key": "subdomain", "label": "Subdomain", "required": true },
            { "key": "tenant", "label": "Tenant", "required": true },
            { "key": "base", "label": "Base", "required": true },
        ],
        "authorization_endpoint": "https://{subdomain}.provider.example/authorize",
        "token_endpoint": "https://provider.example/{tenant}/token",
        "revocation_endpoint": null,
        "api_base_url": "{base}/api",
    });
    shaped(world, at_sandbox("hostile"), patch).await
}

fn good(key: &str) -> &'static str {
    match key {
        "base" => "https://api.example",
        _ => "acme",
    }
}

#[tokio::test]
async fn a_hostile_value_of_a_session_is_refused_and_nothing_is_sent() -> Outcome {
    let world = World::new().await?;
    let client = hostile_client(&world).await?;
    for key in ["subdomain", "tenant", "base"] {
        for value in hostile(key) {
            for (body, pointer) in [
                (json!({ "clients": [client], "variables": { key: value } }), format!("/variables/{key}")),
                (
                    json!({ "clients": [{ "id": client, "variables": { key: value } }] }),
                    format!("/clients/0/variables/{key}"),
                ),
            ] {
                let refused = world.open_session(body).await?;
                assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{key} {value:?}: {}", refused.body);
                let errors = refused.field_errors();
                assert_eq!(errors.len(), 1, "{errors:?}");
                assert_eq!(errors[0].0, pointer);
                assert!(["unsafe_value", "control_character"].contains(&errors[0].1.as_str()), "{errors:?}");
                assert!(!refused.body.to_string().contains("evil"), "the value is not quoted");
            }
        }
        let fits = json!({ "clients": [client], "variables": { key: good(key) } });
        assert_eq!(world.open_session(fits).await?.status, StatusCode::CREATED);
    }
    assert_eq!(world.sandbox().log(), []);
    Ok(())
}

#[tokio::test]
async fn a_hostile_value_that_is_typed_is_refused_by_its_label_and_nothing_is_sent() -> Outcome {
    let world = World::new().await?;
    let client = hostile_client(&world).await?;
    let link = link(&world, &client, json!({})).await?;
    let browser = Browser::new();
    for (key, label) in [("subdomain", "Subdomain"), ("tenant", "Tenant"), ("base", "Base")] {
        for value in hostile(key) {
            let form: Vec<(String, &str)> = ["subdomain", "tenant", "base"]
                .into_iter()
                .map(|other| (format!("var.{other}"), if other == key { value } else { good(other) }))
                .collect();
            let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            assert_again(&browser.post(&link, &form).await?, &format!("{label}: "));
        }
    }
    let started =
        browser.start(&link, &[("var.subdomain", "acme"), ("var.tenant", "t"), ("var.base", "https://api.example/")]);
    assert!(started.await?.as_str().starts_with("https://acme.provider.example/authorize?"));
    assert_eq!(world.sandbox().log(), []);
    Ok(())
}

#[tokio::test]
async fn a_hostile_value_is_refused_at_every_door_also_where_only_programs_would_go() -> Outcome {
    let world = World::new().await?;
    let patch = json!({
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "variables": [{ "key": "host", "default": "safe" }, { "key": "part", "default": "safe" }],
        "api_base_url": "https://{host}.api.example.com/of/{part}",
        "test_request": { "path": "/v1/{part}" },
    });
    let client = shaped(&world, at_sandbox("doors"), patch).await?;
    let made = |variables: Value| json!({ "name": "m", "owner": "ada", "client": client, "grant_type": "client_credentials", "variables": variables });
    let imported = |variables: Value| {
        let import = json!({ "access_token": "imported-access-token" });
        json!({ "name": "i", "owner": "ada", "client": client, "import": import, "variables": variables })
    };
    let ada = world.platform().acting_for("ada");
    for key in ["host", "part"] {
        for value in HOSTILE {
            for body in [made(json!({ key: value })), imported(json!({ key: value }))] {
                let refused = ada.post("/v1/credentials", body).await?;
                assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{value:?}: {}", refused.body);
                assert_eq!(refused.text("/errors/0/pointer"), format!("/variables/{key}"), "{value:?}");
            }
        }
    }
    assert_eq!(world.token_requests().len(), 0, "nothing was sent");
    let stored = ada.post("/v1/credentials", made(json!({}))).await?;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.body);
    let path = format!("/v1/credentials/{}", stored.text("/id"));
    for (key, value) in [("host", "evil.com/"), ("part", ".."), ("host", "a@evil"), ("part", "x\\")] {
        let change = json!({ "variables": { key: value } });
        assert_eq!(ada.patch(&path, change.clone()).await?.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}");
        let body = Some(("application/json", change.to_string()));
        let put = ada.send(http::Method::PUT, &format!("{path}/value"), body).await?;
        assert_eq!(put.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}: {}", put.body);
    }
    assert_eq!(world.token_requests().len(), 1, "only the one that was right");
    Ok(())
}

#[tokio::test]
async fn an_address_that_may_not_be_reached_is_refused_before_the_browser_is_sent_away() -> Outcome {
    let world = World::new().await?;
    let patch = json!({
        "credentials_from": "person",
        "variables": [{ "key": "base", "label": "Base", "type": "url", "required": true }],
        "token_endpoint": "{base}/token",
    });
    let client = shaped(&world, at_sandbox("reach"), patch).await?;
    let page = link(&world, &client, json!({})).await?;
    for (value, code) in [
        ("https://169.254.169.254", "url_address_not_allowed"),
        ("https://localhost", "url_address_not_allowed"),
        ("https://[::1]", "url_address_not_allowed"),
        ("https://as.example:8443", "url_port_not_allowed"),
        ("http://as.example", "url_not_https"),
    ] {
        let refused = world.open_session(json!({ "clients": [client], "variables": { "base": value } })).await?;
        assert_field(&refused, "/variables/base", code);
        let form = [("var.base", value), ("var.client_id", "x"), ("var.client_secret", "y")];
        assert_again(&Browser::new().post(&page, &form).await?, "Base: ");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_session_names_must_be_known_to_a_client_that_it_offers() -> Outcome {
    let world = World::new().await?;
    let variables = json!([
        { "key": "Region", "choices": ["eu", "us"] },
        { "key": "limit", "type": "integer" },
        { "key": "plan", "visibility": "fixed", "default": "basic" },
        { "key": "own", "source": "client" },
        { "key": "inner", "visibility": "hidden", "required": true },
    ]);
    let client = shaped(&world, at_sandbox("known"), json!({ "variables": variables })).await?;
    let open = async |variables: Value| {
        world.open_session(json!({ "clients": [client, world.client()], "variables": variables })).await
    };
    for (key, value, code) in [
        ("region", json!("eu"), "unknown_variable"),
        ("Region", json!("mars"), "not_a_choice"),
        ("limit", json!("1.5"), "not_an_integer"),
        ("plan", json!("gold"), "fixed"),
        ("own", json!("x"), "not_yours"),
        ("username", json!("ada"), "unknown_variable"),
    ] {
        let mut given = json!({ "inner": "x" });
        given[key] = value;
        assert_field(&open(given).await?, &format!("/variables/{key}"), code);
    }
    assert_field(&open(json!({})).await?, "/variables/inner", "required");
    let given = json!({ "inner": "x", "Region": "eu", "limit": 7, "plan": "basic" });
    assert_eq!(open(given).await?.status, StatusCode::CREATED);
    let other = json!({ "clients": [client, { "id": world.client(), "variables": { "Region": "eu" } }],
        "variables": { "inner": "x" } });
    assert_field(&world.open_session(other).await?, "/clients/1/variables/Region", "unknown_variable");
    Ok(())
}

#[tokio::test]
async fn values_of_path_query_and_base_url_lead_to_the_token() -> Outcome {
    let world = World::new().await?;
    let rules = TokenRequestRules {
        query: [("tenant".to_owned(), "Contoso Ltd".to_owned())].into(),
        headers: [("x-plan".to_owned(), "gold".to_owned())].into(),
        ..Default::default()
    };
    let settings = grantkeeper_sandbox::ClientSettings { token_request: rules, ..at_sandbox("paths") };
    let patch = json!({
        "credentials_from": "person",
        "variables": [
            { "key": "base", "label": "Base URL", "type": "url", "required": true },
            { "key": "page", "required": true, "visibility": "hidden" },
            { "key": "tenant", "label": "Tenant", "help": "It is in the address bar.", "required": true },
            { "key": "plan", "label": "Plan", "choices": ["basic", { "value": "gold", "label": "Gold" }], "default": "basic" },
        ],
        "authorization_endpoint": "{base}/authorize",
        "authorization_params": { "plan": "{plan}", "claims": "{\"userinfo\": {\"email\": null}}" },
        "token_endpoint": "{base}/{page}?tenant={tenant}",
        "token_request": { "headers": { "X-Plan": "{plan}" } },
        "revocation_endpoint": null,
        "api_base_url": "{base}/api",
    });
    let client = shaped(&world, settings, patch).await?;
    // The session fixes the one, the person gives the other.
    let fixed = json!({ "clients": [{ "id": client, "variables": { "page": "token" } }] });
    let link = link(&world, &client, fixed).await?;
    let browser = Browser::new();
    let page = browser.get(&link).await?.text;
    for wanted in [
        "It is in the address bar.",
        "type=\"url\"",
        "name=\"var.tenant\"",
        "<option value=\"gold\">Gold</option>",
        "<option value=\"basic\" selected>",
        "type=\"password\"",
        "required",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains("var.page"), "{page}");
    let refused = browser.post(&link, &[("var.page", "token")]).await?;
    assert_eq!(refused.code(), "bad_form");
    let (base, secret) = (format!("{}/", world.sandbox_url()), secret_of("paths"));
    let missing =
        [("var.base", base.as_str()), ("var.plan", "gold"), ("var.client_id", "paths"), ("var.client_secret", &secret)];
    let again = browser.post(&link, &missing).await?;
    assert_again(&again, "Tenant: It must be given.");
    assert!(again.text.contains(&format!("value=\"{base}\"")) && again.text.contains("value=\"paths\""));
    assert!(again.text.contains("<option value=\"gold\" selected>"), "{}", again.text);
    assert!(!again.text.contains(&secret), "a secret is typed again");
    let form: Vec<_> = missing.into_iter().chain([("var.tenant", "Contoso Ltd")]).collect();
    let asked = parameters(&Browser::new().start(&link, &form).await?);
    assert_eq!((asked["plan"].as_str(), asked["client_id"].as_str()), ("gold", "paths"));
    assert_eq!(asked["claims"], "{\"userinfo\": {\"email\": null}}");
    let completed = finish(&world, &link, &form, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    Ok(())
}

#[tokio::test]
async fn of_several_clients_only_the_fields_of_the_chosen_one_count() -> Outcome {
    let world = World::new().await?;
    let variables = |key: &str| {
        json!({ "variables": [
        { "key": "shop", "label": "Shop", "required": true },
        { "key": key, "type": "boolean", "default": "true" },
    ], "token_endpoint": url(&world, "token?shop={shop}") })
    };
    let first = shaped(&world, at_sandbox("first"), variables("a")).await?;
    let second = shaped(&world, at_sandbox("second"), variables("b")).await?;
    let session = json!({ "clients": [first, second] });
    let link = link(&world, &first, session).await?;
    let browser = Browser::new();
    let page = browser.get(&link).await?.text;
    let (of_first, of_second) = (format!("var.{first}.shop"), format!("var.{second}.shop"));
    for name in [of_first.as_str(), &of_second, "var.a", "var.b"] {
        assert!(page.contains(&format!("name=\"{name}\"")), "{name}: {page}");
    }
    for (name, value) in [("var.c", "x"), ("var.", "x"), ("grant.other", "password")] {
        let refused = browser.post(&link, &[("client", &second), (name, value)]).await?;
        assert_eq!(refused.code(), "bad_form", "{name}");
    }
    let twice = [("client", second.as_str()), ("var.shop", "a"), (&of_second, "b")];
    assert_eq!(browser.post(&link, &twice).await?.code(), "bad_form");
    let form = [
        ("client", second.as_str()),
        (&of_first, "a@evil"),
        (&of_second, "acme"),
        ("var.a", "nonsense"),
        ("var.b", "false"),
        ("var.b", "true"),
    ];
    let completed = finish(&world, &link, &form, "ada").await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);
    assert_eq!(completed.text("/client"), second);
    Ok(())
}

#[tokio::test]
async fn authorization_parameters_go_by_the_names_that_the_client_says() -> Outcome {
    let world = World::new().await?;
    let patch = json!({ "authorization_names": { "client_id": "app_id", "scope": "permissions" } });
    let client = shaped(&world, at_sandbox("renamed"), patch).await?;
    let link = link(&world, &client, json!({})).await?;
    let sent = parameters(&Browser::new().start(&link, &[]).await?);
    assert_eq!((sent["app_id"].as_str(), sent["permissions"].as_str()), ("renamed", "read"));
    assert!(!sent.contains_key("client_id") && !sent.contains_key("scope"), "{sent:?}");
    let refused = world.open_session(json!({ "clients": [client], "authorization_params": { "app_id": "evil" } }));
    assert_field(&refused.await?, "/authorization_params/app_id", "reserved_parameter");
    Ok(())
}
