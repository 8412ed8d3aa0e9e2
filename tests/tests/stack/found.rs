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
    let refresh = world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await?;
    assert_eq!((refresh.status, refresh.code()), (StatusCode::CONFLICT, "choice_required"));
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
    assert_eq!(world.read_token(&id, json!({})).await?.body["generation"], 2);

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
    let world = World::new().await?;
    let lookup = |path: &str| {
        json!([{ "key": "who", "source": "lookup",
                 "lookup": { "url": format!("{}{path}", world.sandbox_url()), "value": "/user" } }])
    };
    let client = registered(&world, ClientSettings::default(), lookup("/api/nothing"), json!({})).await?;
    let made = connected(&world, &client, json!([])).await?;
    assert_eq!((&made["status"], &made["variables"]), (&json!("active"), &json!({})));
    let id = made["id"].as_str().unwrap();
    let read = world.read_token(id, json!({})).await?;
    assert_eq!((read.status, read.code()), (StatusCode::BAD_GATEWAY, "provider_misbehaved"), "{}", read.body);

    let mended = json!({ "variables": lookup("/api/me") });
    let answer = world.superuser().patch(&format!("/v1/clients/{client}"), mended).await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    world.advance(Duration::seconds(31));
    let read = world.read_token(id, json!({})).await?;
    assert_eq!((read.status, &read.body["variables"]["who"]), (StatusCode::OK, &json!("ada")), "{}", read.body);
    let looked_up = || world.sandbox().log().into_iter().filter(|entry| entry.path == "/api/me").count();
    let before = looked_up();
    world.read_token(id, json!({})).await?;
    assert_eq!(looked_up(), before, "what was found is kept");
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
async fn what_need_not_be_there_is_not_waited_for_and_what_must_be_is() -> Outcome {
    for required in [false, true] {
        let world = World::new().await?;
        let nothing = json!([{ "key": "account", "source": "choice", "required": required,
            "lookup": { "url": format!("{}/api/me", world.sandbox_url()), "items": "/nothing", "value": "id" } }]);
        let client = registered(&world, ClientSettings::default(), nothing, json!({})).await?;
        let made = connected(&world, &client, json!([])).await?;
        let id = made["id"].as_str().unwrap();
        let asked = || world.sandbox().log().into_iter().filter(|entry| entry.path == "/api/me").count();
        let before = asked();
        let read = world.read_token(id, json!({})).await?;
        if required {
            assert_eq!(
                (&made["status"], &made["status_reason"]),
                (&json!("choice_required"), &json!("nothing_to_choose"))
            );
            assert_eq!((read.status, read.code()), (StatusCode::CONFLICT, "choice_required"));
        } else {
            assert_eq!((&made["status"], read.status), (&json!("active"), StatusCode::OK), "{made}");
            assert_eq!(asked(), before, "a read asks nobody again");
        }
    }
    Ok(())
}
