//! Values that are found on the way: in the authorization response, in the token answer, by a look-up, by the owner's
//! choice. All come from outside.

use chrono::Duration;
use grantkeeper_sandbox::{ClientSettings, TokenResponseShape};
use grantkeeper_tests::{Browser, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;

const ID: &str = "found";

/// A client that takes part of what it needs from answers; `patch` goes over its settings.
async fn registered(world: &World, settings: ClientSettings, variables: Value, patch: Value) -> anyhow::Result<String> {
    let mut body = json!({ "variables": variables, "test_request": { "path": "/api/me" } });
    body.as_object_mut().unwrap().extend(patch.as_object().cloned().unwrap_or_default());
    let at_sandbox =
        ClientSettings { client_id: ID.to_owned(), client_secret: Some("found-secret".to_owned()), ..settings };
    world.register(at_sandbox, body).await
}

fn bringing(parameters: &[(&str, &str)]) -> ClientSettings {
    let callback_params = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ClientSettings { callback_params, ..ClientSettings::default() }
}

/// A choice among the scopes that the sandbox's API says were granted: one account each.
fn choice(world: &World) -> Value {
    json!({ "key": "account", "source": "choice",
            "lookup": { "url": format!("{}/api/me", world.sandbox_url()), "items": "/scopes", "value": "id" } })
}

async fn connected(world: &World, client: &str, scopes: Value) -> anyhow::Result<Value> {
    world.connect(json!({ "clients": [client], "scopes": scopes })).await
}

async fn patched(world: &World, id: &str, variables: Value) -> anyhow::Result<grantkeeper_tests::Answer> {
    let body = json!({ "variables": variables });
    world.platform().acting_for("ada").patch(&format!("/v1/credentials/{id}"), body).await
}

#[tokio::test]
async fn a_value_of_the_callback_is_bound_and_one_that_does_not_fit_stops_the_flow_before_anything_is_sent() -> Outcome
{
    for (brought, fits) in [("https://eu.example.com/x", true), ("eu.example.com.evil.example", false), ("", false)] {
        let world = World::new().await?;
        let variable = json!([{ "key": "dc", "type": "host", "source": "callback", "from": "accounts-server",
                                "choices": ["us.example.com", "eu.example.com"], "required": true }]);
        let settings = bringing(&[("accounts-server", brought)]);
        let request = json!({ "token_request": { "query": { "dc": "{dc}" } } });
        let client = registered(&world, settings, variable, request).await?;
        let browser = Browser::new();
        let callback = world.to_callback(&browser, json!({ "clients": [client] })).await?;
        let returned = browser.get(callback.as_str()).await?;
        let done = world.complete(&returned.location()?, "ada").await?;
        if fits {
            assert_eq!(done.status, StatusCode::CREATED, "{}", done.body);
            assert_eq!(done.body["variables"], json!({ "dc": "eu.example.com" }));
            assert_eq!(world.token_requests().len(), 1);
        } else {
            assert_eq!((done.status, done.code()), (StatusCode::BAD_GATEWAY, "provider_misbehaved"), "{brought}");
            assert!(!done.body.to_string().contains("evil"), "{}", done.body);
            assert_eq!(world.token_requests().len(), 0, "{brought}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_anybody_could_name_is_refused_at_registration() -> Outcome {
    let world = World::new().await?;
    let open = |source: &str| json!([{ "key": "h", "type": "host", "source": source }]);
    let confined = json!([{ "key": "h", "type": "host", "source": "callback", "example": "a.eu.acme-auth.com",
                            "pattern": "[a-z]+\\.(eu|us)\\.acme-auth\\.com" }]);
    let loose = json!([{ "key": "h", "type": "host", "source": "callback", "example": "a.acme-auth.com",
                         "pattern": "[a-z.]+acme-auth\\.com" }]);
    for (variables, place, refused) in [
        (open("callback"), "token_endpoint", true),
        (open("callback"), "api_base_url", true),
        (open("token"), "revocation_endpoint", true),
        (open("token"), "api_base_url", false),
        (loose, "token_endpoint", true),
        (confined.clone(), "token_endpoint", false),
        (confined, "api_base_url", false),
    ] {
        let mut body = json!({
            "name": "x", "client_id": "x", "client_secret": "x", "authorization_endpoint": "https://acme-auth.com/a",
            "token_endpoint": "https://acme-auth.com/t", "variables": variables,
        });
        body[place] = json!("https://{h}/x");
        let answer = world.superuser().post("/v1/clients", body).await?;
        let errors = answer.field_errors();
        if refused {
            assert_eq!(errors, [(format!("/{place}"), "host_not_fixed".to_owned())], "{place}");
        } else {
            assert_eq!(answer.status, StatusCode::CREATED, "{} {place}", answer.body);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_value_of_the_token_answer_is_bound_if_it_fits_and_left_out_if_it_does_not() -> Outcome {
    for (said, bound) in
        [("https://api.acme.example/", Some("https://api.acme.example")), ("https://evil.example", None)]
    {
        let world = World::new().await?;
        let extra = json!({ "team": { "host": said } }).as_object().cloned().unwrap();
        let token_response = TokenResponseShape { extra, ..TokenResponseShape::default() };
        let settings = ClientSettings { token_response, ..ClientSettings::default() };
        let variable = json!([{ "key": "api", "type": "url", "source": "token", "from": "/team/host",
                                "pattern": "https://api\\.[a-z]+\\.example", "example": "https://api.x.example" }]);
        let client = registered(&world, settings, variable, json!({ "api_base_url": "{api}/v1" })).await?;
        let made = connected(&world, &client, json!([])).await?;
        assert_eq!(made["variables"]["api"].as_str(), bound);
        let read = world.read_token(made["id"].as_str().unwrap(), json!({})).await?;
        assert_eq!(read.body["api_base_url"].as_str(), bound.map(|base| format!("{base}/v1")).as_deref());
        assert_eq!(read.body["variables"]["api"].as_str(), bound);
    }
    Ok(())
}

#[tokio::test]
async fn one_account_is_taken_and_of_several_the_owner_chooses() -> Outcome {
    let world = World::new().await?;
    let headers = json!({ "api_headers": { "X-Account": "{account}" } });
    let client = registered(&world, ClientSettings::default(), json!([choice(&world)]), headers).await?;

    let one = connected(&world, &client, json!([])).await?;
    assert_eq!((&one["status"], &one["variables"]), (&json!("active"), &json!({ "account": "read" })));
    assert_eq!(one.get("choices"), None);

    let two = connected(&world, &client, json!(["write"])).await?;
    let id = two["id"].as_str().unwrap().to_owned();
    let offered = json!({ "account": [{ "value": "read", "label": "read" }, { "value": "write", "label": "write" }] });
    assert_eq!((&two["status"], &two["choices"]), (&json!("choice_required"), &offered));
    let shown = world.platform().get(&format!("/v1/credentials/{id}")).await?.body;
    assert_eq!((&shown["status"], &shown["choices"]), (&json!("choice_required"), &offered));

    // Nothing is served as long as nobody knows for which account.
    let early = world.read_token(&id, json!({})).await?;
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "choice_required"));
    // It is refreshed all the same: a grant must not die while its owner thinks.
    let refresh = world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await?;
    assert_eq!((refresh.status, &refresh.body["status"]), (StatusCode::OK, &json!("choice_required")));
    let listed = world.platform().get("/v1/credentials?status=choice_required").await?;
    assert_eq!(listed.body["items"][0]["id"], json!(id), "{}", listed.body);
    // A value that is not offered changes nothing.
    let wrong = patched(&world, &id, json!({ "account": "admin" })).await?;
    assert_eq!(wrong.field_errors(), [("/variables/account".to_owned(), "not_a_choice".to_owned())]);

    let chosen = patched(&world, &id, json!({ "account": "write" })).await?;
    assert_eq!((chosen.status, &chosen.body["status"]), (StatusCode::OK, &json!("active")), "{}", chosen.body);
    assert_eq!(chosen.body.get("choices"), None);
    let read = world.read_token(&id, json!({})).await?;
    assert_eq!(read.body["headers"], json!({ "X-Account": "write" }), "{}", read.body);
    // The credential is refreshed again from now on.
    world.advance(Duration::seconds(3600));
    assert_eq!(world.read_token(&id, json!({})).await?.body["generation"], 3);

    // Another account of the same grant, by the list as it is now.
    let other = patched(&world, &id, json!({ "account": "read" })).await?;
    assert_eq!((other.status, &other.body["variables"]["account"]), (StatusCode::OK, &json!("read")), "{}", other.body);
    Ok(())
}

#[tokio::test]
async fn what_was_chosen_stays_chosen_when_the_grant_is_given_anew() -> Outcome {
    let world = World::new().await?;
    let client = registered(&world, ClientSettings::default(), json!([choice(&world)]), json!({})).await?;
    let made = connected(&world, &client, json!(["write"])).await?;
    let id = made["id"].as_str().unwrap();
    patched(&world, id, json!({ "account": "write" })).await?;
    let again = world.connect(json!({ "clients": null, "credential": id, "scopes": ["write"] })).await?;
    assert_eq!((&again["status"], &again["variables"]["account"]), (&json!("active"), &json!("write")), "{again}");
    Ok(())
}

#[tokio::test]
async fn a_look_up_that_fails_costs_no_consent_and_is_made_again() -> Outcome {
    for required in [true, false] {
        let world = World::new().await?;
        let lookup = |path: &str| {
            json!([{ "key": "who", "source": "lookup", "required": required,
                     "lookup": { "url": format!("{}{path}", world.sandbox_url()), "value": "/user" } }])
        };
        let client = registered(&world, ClientSettings::default(), lookup("/api/nothing"), json!({})).await?;
        let made = connected(&world, &client, json!([])).await?;
        assert_eq!((&made["status"], &made["variables"]), (&json!("active"), &json!({})));
        let id = made["id"].as_str().unwrap();
        let asked = |path: &str| world.sandbox().log().into_iter().filter(|entry| entry.path == path).count();
        let before = asked("/api/nothing");
        for _ in 0..3 {
            let read = world.read_token(id, json!({})).await?;
            let expected = if required { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            assert_eq!(read.status, expected, "{}", read.body);
        }
        assert_eq!(asked("/api/nothing"), before, "not at each read");

        let mended = json!({ "variables": lookup("/api/me") });
        let answer = world.superuser().patch(&format!("/v1/clients/{client}"), mended).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        world.advance(Duration::minutes(61));
        let read = world.read_token(id, json!({})).await?;
        assert_eq!((read.status, &read.body["variables"]["who"]), (StatusCode::OK, &json!("ada")), "{}", read.body);
        let before = asked("/api/me");
        world.read_token(id, json!({})).await?;
        assert_eq!(asked("/api/me"), before, "what was found is kept");
    }
    Ok(())
}

#[tokio::test]
async fn a_choice_sets_every_placeholder_that_hangs_on_it() -> Outcome {
    let world = World::new().await?;
    let origin = world.sandbox_url().to_owned();
    let region = json!([{ "key": "region", "default": "us", "choices": [
        { "value": "us", "label": "United States", "sets": { "infix": "", "part": "me" } },
        { "value": "eu", "label": "Europe", "sets": { "infix": "/echo", "part": "eu" } } ] }]);
    let patch = json!({ "api_base_url": format!("{origin}/api{{infix}}"), "api_headers": { "X-Part": "{part}" } });
    let client = registered(&world, ClientSettings::default(), region, patch).await?;
    for (region, base, part) in [("us", "/api", "me"), ("eu", "/api/echo", "eu")] {
        let session = json!({ "clients": [client], "variables": { "region": region } });
        let made = world.connect(session).await?;
        let read = world.read_token(made["id"].as_str().unwrap(), json!({})).await?;
        assert_eq!(read.body["api_base_url"], format!("{origin}{base}"));
        assert_eq!(read.body["headers"], json!({ "X-Part": part }));
    }
    let differ = json!([{ "key": "r", "choices": [{ "value": "a", "sets": { "x": "1" } }, { "value": "b" }] }]);
    let body = json!({ "name": "x", "variables": differ });
    let answer = world.superuser().post("/v1/clients", body).await?;
    assert_eq!(answer.field_errors(), [("/variables/0/choices".to_owned(), "sets_differ".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn the_api_says_whose_account_it_is_and_a_query_carries_what_it_wants() -> Outcome {
    let world = World::new().await?;
    let test = json!({ "path": format!("{}/api/me", world.sandbox_url()), "account": "/user", "label": "/user" });
    let patch = json!({ "test_request": test, "api_query": { "key": "{client_id}" } });
    let client = registered(&world, ClientSettings::default(), json!([]), patch).await?;
    let made = connected(&world, &client, json!([])).await?;
    assert_eq!((&made["account"]["subject"], &made["account"]["label"]), (&json!("ada"), &json!("ada")), "{made}");
    let read = world.read_token(made["id"].as_str().unwrap(), json!({})).await?;
    assert_eq!(read.body["query"], json!({ "key": ID }));
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_no_list_or_an_empty_one_is_no_choice_and_ends_nothing() -> Outcome {
    for (items, required) in [("/nothing", true), ("/nothing", false), ("/user", true), ("/scopes", true)] {
        let world = World::new().await?;
        // Of the scopes, none is a value of this variable.
        let list = json!([{ "key": "account", "source": "choice", "required": required, "pattern": "[0-9]+",
            "lookup": { "url": format!("{}/api/me", world.sandbox_url()), "items": items, "value": "id" } }]);
        let client = registered(&world, ClientSettings::default(), list, json!({})).await?;
        let made = connected(&world, &client, json!([])).await?;
        assert_eq!((&made["status"], made.get("choices")), (&json!("active"), None), "{made}");
        let id = made["id"].as_str().unwrap();
        let read = world.read_token(id, json!({})).await?;
        assert_eq!(
            read.status,
            if required { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK },
            "{}",
            read.body
        );
        world.advance(Duration::seconds(31));
        let again = world.read_token(id, json!({})).await?;
        assert_eq!(again.status, if required { StatusCode::BAD_GATEWAY } else { StatusCode::OK }, "{}", again.body);
        let refreshed = world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await?;
        assert_eq!(refreshed.status, StatusCode::OK, "{}", refreshed.body);
    }
    Ok(())
}

#[tokio::test]
async fn what_was_chosen_is_not_replaced_by_the_only_account_that_is_left() -> Outcome {
    let world = World::new().await?;
    let client = registered(&world, ClientSettings::default(), json!([choice(&world)]), json!({})).await?;
    let made = connected(&world, &client, json!(["write"])).await?;
    let id = made["id"].as_str().unwrap();
    patched(&world, id, json!({ "account": "write" })).await?;
    // The new grant covers another account alone: its owner says whether it takes the place of the first.
    let again = world.connect(json!({ "clients": null, "credential": id, "scopes": [] })).await?;
    let offered = json!({ "account": [{ "value": "read", "label": "read" }] });
    assert_eq!((&again["status"], &again["choices"]), (&json!("choice_required"), &offered), "{again}");
    let read = world.read_token(id, json!({})).await?;
    assert_eq!((read.status, read.code()), (StatusCode::CONFLICT, "choice_required"));
    Ok(())
}

#[tokio::test]
async fn a_choice_survives_a_suspension_and_is_made_under_one() -> Outcome {
    let world = World::new().await?;
    let client = registered(&world, ClientSettings::default(), json!([choice(&world)]), json!({})).await?;
    let made = connected(&world, &client, json!(["write"])).await?;
    let id = made["id"].as_str().unwrap();
    let patch = |body: Value| {
        let (platform, path) = (world.platform().acting_for("ada"), format!("/v1/credentials/{id}"));
        async move { platform.patch(&path, body).await }
    };
    assert_eq!(patch(json!({ "suspended": true })).await?.body["status"], "suspended");
    let both = patch(json!({ "variables": { "account": "write" }, "suspended": false })).await?;
    assert_eq!((&both.body["status"], both.body.get("choices")), (&json!("active"), None), "{}", both.body);
    world.advance(Duration::hours(2));
    assert_eq!(world.read_token(id, json!({})).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn an_authorization_response_that_names_another_account_puts_the_new_grant_aside() -> Outcome {
    let world = World::new().await?;
    let realm = json!([{ "key": "realm", "source": "callback", "from": "realmId" }]);
    let test = json!({ "path": "/api/me", "account": "/user" });
    let client = registered(&world, bringing(&[("realmId", "1")]), realm, json!({ "test_request": test })).await?;
    let made = connected(&world, &client, json!([])).await?;
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["variables"]["realm"], "1");
    world.change_at_sandbox(ID, json!({ "callback_params": { "realmId": "2" } })).await?;
    let again = world.connect(json!({ "clients": null, "credential": id })).await?;
    assert_eq!(
        (&again["status"], &again["status_reason"]),
        (&json!("suspended"), &json!("account_unverified")),
        "the same person in another company: {again}"
    );
    // A second try is no acceptance; the owner's word is.
    let again = world.connect(json!({ "clients": null, "credential": id })).await?;
    assert_eq!(again["status_reason"], json!("account_unverified"), "{again}");
    let platform = world.platform().acting_for("ada");
    let accepted = platform.patch(&format!("/v1/credentials/{id}"), json!({ "suspended": false })).await?;
    assert_eq!(accepted.body["status"], json!("active"), "{}", accepted.body);
    let again = world.connect(json!({ "clients": null, "credential": id })).await?;
    assert_eq!((&again["status"], &again["variables"]["realm"]), (&json!("active"), &json!("2")), "{again}");
    Ok(())
}
