//! The catalogue of providers, and clients that take their facts from it. The entries are those of a directory, as an
//! operator has one: they name the sandbox.

use std::fs;
use std::path::Path;

use grantkeeper_local::stack::Options;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

const HEAD: &str = "category = \"developer\"\nconfidence = \"high\"\n";

/// A provider whose host the client says.
const SITE: &str = r#"
name = "Zz Site"
category = "developer"
confidence = "medium"
docs_url = "https://docs.example.com/oauth"
grant_types = ["authorization_code", "refresh_token", "client_credentials"]
setup = ["Switch the API on."]
notes = ["It is a sandbox."]
authorization_endpoint = "{base_url}/authorize"
token_endpoint = "{base_url}/token"
revocation_endpoint = "{base_url}/revoke"
scopes = { required = ["read"], separator = " ", optional = [{ value = "write" }] }
api_base_url = "{base_url}"
test_request = { path = "/api/me" }
authorization_params = { access_type = "offline" }

[[variables]]
key = "base_url"
label = "Base URL"
type = "url"
source = "client"
required = true

[refresh]
kind = "rotating"
scope = "offline_access"

[grants.client_credentials]
token_request = { body = { kind = "machine" } }

[later]
device_authorization_endpoint = "https://example.com/device"
"#;

fn write(directory: &Path, id: &str, text: &str) -> std::io::Result<()> {
    fs::write(directory.join(format!("{id}.toml")), text)
}

/// A stack with some entries of its own.
async fn world() -> anyhow::Result<(World, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    write(directory.path(), "zz-site", SITE)?;
    write(directory.path(), "zz-issuer", &format!("name = \"Zz Issuer\"\n{HEAD}"))?;
    write(directory.path(), "zz-child", "extends = \"zz-site\"\nname = \"Zz Child\"\nscopes.required = [\"write\"]")?;
    let providers = Some(directory.path().to_owned());
    Ok((World::with(|options| Options { providers, ..options }).await?, directory))
}

/// Registers a client of the default project.
async fn registered(world: &World, patch: Value) -> anyhow::Result<Answer> {
    let mut body = json!({ "project": world.stack.project });
    body.as_object_mut().unwrap().extend(patch.as_object().unwrap().clone());
    world.superuser().post("/v1/clients", body).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.body["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn providers_are_listed_searched_and_paged() -> Outcome {
    let (world, _directory) = world().await?;
    let platform = world.platform();
    let whole = platform.get("/v1/providers?query=Zz").await?;
    assert_eq!(whole.status, StatusCode::OK, "{}", whole.body);
    assert_eq!(ids(&whole), ["zz-child", "zz-issuer", "zz-site"]);
    let first = &whole.body["items"][0];
    assert_eq!((&first["name"], &first["category"]), (&json!("Zz Child"), &json!("developer")));
    assert_eq!(first["grant_types"], json!(["authorization_code", "refresh_token", "client_credentials"]));
    assert_eq!(ids(&platform.get("/v1/providers?query=zz%20SITE&category=Developer").await?), ["zz-site"]);
    assert!(ids(&platform.get("/v1/providers?query=zz&category=crm").await?).is_empty());
    let page = platform.get("/v1/providers?query=zz&limit=2").await?;
    let rest = platform.get(&format!("/v1/providers?query=zz&limit=2&cursor={}", page.text("/next"))).await?;
    assert_eq!((ids(&page).len(), ids(&rest), &rest.body["next"]), (2, vec!["zz-site".to_owned()], &Value::Null));
    for query in ["limit=0", "cursor=abc", "colour=red", "query=a&query=b"] {
        assert_is_problem(&platform.get(&format!("/v1/providers?{query}")).await?, 400, "malformed_request");
    }
    for path in ["/v1/providers", "/v1/providers/zz-site"] {
        assert_is_problem(&world.runner().get(path).await?, 403, "role_not_allowed");
        assert_is_problem(&world.nobody().get(path).await?, 401, "unauthenticated");
        assert_eq!(world.superuser().get(path).await?.status, StatusCode::OK);
    }
    assert_is_problem(&platform.get("/v1/providers/zz-nobody").await?, 404, "not_found");
    Ok(())
}

#[tokio::test]
async fn a_provider_tells_its_facts_and_what_follows_from_them() -> Outcome {
    let (world, _directory) = world().await?;
    let told = world.platform().get("/v1/providers/zz-site").await?;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    let body = &told.body;
    assert_eq!((told.text("/id"), told.text("/confidence")), ("zz-site".into(), "medium".into()));
    assert_eq!(body["endpoints"]["token_endpoint"], "{base_url}/token");
    assert_eq!(body["variables"][0]["key"], "base_url");
    assert_eq!(body["refresh"]["scope"], "offline_access");
    assert_eq!(body["later"]["device_authorization_endpoint"], "https://example.com/device");
    assert_eq!((&body["notes"], &body["checked"]), (&json!(["It is a sandbox."]), &Value::Null));
    let codes: Vec<_> = body["quirks"].as_array().unwrap().iter().map(|quirk| quirk["code"].clone()).collect();
    for code in ["rotating_refresh_tokens", "offline_scope", "host_of_client", "grants_differ"] {
        assert!(codes.contains(&json!(code)), "{code}: {codes:?}");
    }
    assert_eq!(body["methods"][0]["enter"][2]["field"], "values.base_url");
    assert!(body["setup"].as_array().unwrap().contains(&json!("Switch the API on.")));
    Ok(())
}

#[tokio::test]
async fn the_catalogue_may_be_kept_for_a_while_and_problems_may_not() -> Outcome {
    let (world, _directory) = world().await?;
    for path in ["/v1/providers?query=zz", "/v1/providers/zz-site"] {
        let first = world.platform().get(path).await?;
        assert_eq!(first.headers["cache-control"], "private, max-age=300");
        assert!(!first.headers.contains_key("pragma"));
        let tag = first.headers["etag"].to_str()?.to_owned();
        let again = world.platform().with("If-None-Match", &tag).get(path).await?;
        assert_eq!((again.status, again.headers["etag"].to_str()?), (StatusCode::NOT_MODIFIED, tag.as_str()));
        let other = world.platform().with("If-None-Match", "\"other\"").get(path).await?;
        assert_eq!(other.status, StatusCode::OK);
    }
    let refused = world.platform().get("/v1/providers/zz-nobody").await?;
    assert_eq!(
        (&refused.headers["cache-control"], &refused.headers["pragma"]),
        (&"no-store".parse()?, &"no-cache".parse()?)
    );
    assert_eq!(world.platform().get("/v1/clients").await?.headers["cache-control"], "no-store");
    Ok(())
}

#[tokio::test]
async fn a_client_of_a_provider_is_a_draft_until_its_values_are_there_and_then_connects() -> Outcome {
    let (world, _directory) = world().await?;
    let draft = registered(&world, json!({ "provider": "zz-site" })).await?;
    assert_eq!((draft.status, draft.text("/status")), (StatusCode::CREATED, "draft".into()), "{}", draft.body);
    assert_eq!(draft.body["missing"], json!(["client_id", "client_secret", "values.base_url"]));
    assert_eq!((draft.text("/name"), draft.text("/provider")), ("Zz Site".into(), "zz-site".into()));
    assert_eq!(draft.text("/docs_url"), "https://docs.example.com/oauth");
    assert_eq!(draft.body["grant_types"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(draft.body["token_request"].get("body"), None);
    let path = format!("/v1/clients/{}", draft.text("/id"));
    let findings = world.superuser().post(&format!("{path}/check"), json!({})).await?;
    let codes: Vec<_> = findings.body["findings"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
    for code in ["value_missing", "offline_scope_missing", "provider_entry_unsure"] {
        assert!(codes.contains(&json!(code)), "{code}: {codes:?}");
    }
    assert!(!codes.contains(&json!("provider_changed")), "{codes:?}");

    // The secret waits for the host that it is bound to.
    let early = json!({ "client_id": "zz", "client_secret": "zz-secret" });
    assert_field(&world.superuser().patch(&path, early).await?, "/values/base_url", "needed_for_secret");
    let given = json!({
        "client_id": "zz", "client_secret": "zz-secret", "values": { "base_url": world.sandbox_url() },
        "scopes": { "required": ["read", "offline_access"] },
    });
    let active = world.superuser().patch(&path, given).await?;
    assert_eq!((active.status, active.text("/status")), (StatusCode::OK, "active".into()), "{}", active.body);
    world.sandbox().register(ClientSettings {
        client_id: "zz".into(),
        client_secret: Some("zz-secret".into()),
        redirect_uris: vec![active.text("/redirect_uri")],
        ..ClientSettings::default()
    })?;
    let credential = world.connect(json!({ "clients": [active.text("/id")] })).await?;
    assert_eq!(credential["status"], "active");
    Ok(())
}

#[tokio::test]
async fn what_the_body_says_goes_over_the_entry() -> Outcome {
    let (world, _directory) = world().await?;
    let own = json!({
        "provider": "zz-child", "name": "Mine", "docs_url": null, "api_base_url": "https://api.example.com",
        "scopes": { "optional": null, "separator": "," }, "authorization_params": { "access_type": null, "hint": "h" },
    });
    let client = registered(&world, own).await?;
    assert_eq!(client.status, StatusCode::CREATED, "{}", client.body);
    assert_eq!((client.text("/name"), &client.body["docs_url"]), ("Mine".into(), &Value::Null));
    assert_eq!(client.text("/api_base_url"), "https://api.example.com");
    let scopes = json!({ "required": ["write"], "optional": [], "separator": ",", "docs_url": null });
    assert_eq!(client.body["scopes"], scopes);
    assert_eq!(client.body["authorization_params"], json!({ "hint": "h" }));
    let machine = json!({ "provider": "zz-site", "grant_types": ["client_credentials"] });
    let machine = registered(&world, machine).await?;
    assert_eq!(machine.body["token_request"]["body"], json!({ "kind": "machine" }), "{}", machine.body);
    // Both are found by the provider that they name.
    let list = |id: &str| format!("/v1/clients?provider={id}");
    assert_eq!(ids(&world.superuser().get(&list("zz-child")).await?), [client.text("/id")]);
    assert_eq!(ids(&world.platform().get(&list("zz-site")).await?), [machine.text("/id")]);
    assert!(ids(&world.superuser().get(&list("zz-nobody")).await?).is_empty());
    Ok(())
}

#[tokio::test]
async fn what_a_provider_does_not_have_is_refused_by_its_field() -> Outcome {
    let (world, _directory) = world().await?;
    for (patch, pointer, code) in [
        (json!({ "provider": "zz-sit" }), "/provider", "unknown_provider"),
        (json!({ "provider": 7 }), "/provider", "invalid_type"),
        (json!({ "provider": "zz-site", "grant_types": ["password"] }), "/grant_types", "grant_not_offered"),
        (
            json!({ "provider": "zz-site", "grant_types": ["authorization_code", "client_credentials"] }),
            "/grant_types",
            "grants_differ",
        ),
        (json!({ "provider": "zz-site", "grant_types": ["magic"] }), "/grant_types/0", "invalid_value"),
        (json!({ "provider": "zz-site", "client_secret": "s" }), "/values/base_url", "needed_for_secret"),
        (json!({ "provider": "zz-issuer", "client_secret": "s" }), "/token_endpoint", "needed_for_secret"),
        (json!({ "provider": "zz-site", "values": { "nobody": "x" } }), "/values/nobody", "undeclared_variable"),
        (json!({ "provider": null }), "/name", "missing_field"),
        (json!({ "provider": "" }), "/name", "missing_field"),
    ] {
        let refused = registered(&world, patch).await?;
        assert_field(&refused, pointer, code);
        if code == "unknown_provider" {
            assert!(refused.text("/errors/0/detail").contains("zz-site"), "{}", refused.body);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_entry_changes_no_client_until_somebody_asks_for_it() -> Outcome {
    let (world, directory) = world().await?;
    let own = json!({ "provider": "zz-site", "name": "Mine", "audience": "api", "values": { "base_url": world.sandbox_url() } });
    let client = registered(&world, own).await?;
    assert_eq!(client.status, StatusCode::CREATED, "{}", client.body);
    let path = format!("/v1/clients/{}", client.text("/id"));
    // By hand, so that it differs from the entry as one of an older catalogue does.
    let old = json!({ "pkce": false, "test_request": { "path": "/old" }, "labels": { "team": "a" } });
    let old = world.superuser().patch(&path, old).await?;
    assert_eq!((old.status, &old.body["pkce"]), (StatusCode::OK, &json!(false)));
    let checked = world.superuser().post(&format!("{path}/check"), json!({})).await?;
    let finding =
        checked.body["findings"].as_array().unwrap().iter().find(|one| one["code"] == "provider_changed").cloned();
    let detail = finding.unwrap_or_default()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("pkce, test_request"), "{}", checked.body);

    let renewed = world.superuser().patch(&path, json!({ "provider": "zz-site", "owner": "me" })).await?;
    assert_eq!((renewed.status, &renewed.body["pkce"]), (StatusCode::OK, &json!(true)), "{}", renewed.body);
    assert_eq!((renewed.text("/test_request/path"), renewed.text("/owner")), ("/api/me".into(), "me".into()));
    assert_eq!((renewed.text("/name"), renewed.text("/audience")), ("Mine".into(), "api".into()));
    assert_eq!((&renewed.body["labels"], &renewed.body["values"]), (&old.body["labels"], &old.body["values"]));
    let other = world.superuser().patch(&path, json!({ "provider": "zz-child", "pkce": false })).await?;
    assert_eq!((other.text("/provider"), &other.body["pkce"]), ("zz-child".into(), &json!(false)));
    assert_eq!(other.body["scopes"]["required"], json!(["read"]));
    assert_field(
        &world.superuser().patch(&path, json!({ "provider": "zz-no" })).await?,
        "/provider",
        "unknown_provider",
    );
    // What was read can be sent back.
    let read = world.superuser().get(&path).await?.body;
    let back = world.superuser().patch(&path, read.clone()).await?;
    assert_eq!((back.status, &back.body["pkce"]), (StatusCode::OK, &read["pkce"]), "{}", back.body);
    for nothing in [json!(null), json!("")] {
        let untied = world.superuser().patch(&path, json!({ "provider": nothing })).await?;
        assert_eq!((untied.status, &untied.body["provider"]), (StatusCode::OK, &Value::Null));
        assert_eq!(untied.text("/token_endpoint"), "{base_url}/token");
    }
    drop(directory);
    Ok(())
}

#[tokio::test]
async fn a_provider_is_also_described_at_run_time_by_its_issuer_or_field_by_field() -> Outcome {
    let (world, _directory) = world().await?;
    let url = world.sandbox_url().to_owned();
    for (id, body) in [
        ("by-issuer", json!({ "name": "By issuer", "issuer": url })),
        ("by-entry", json!({ "provider": "zz-issuer", "issuer": url })),
        (
            "by-fields",
            json!({
                "name": "By fields", "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"), "token_endpoint_auth_method": "client_secret_post",
                "header": { "prefix": "Bearer" }, "test_request": { "path": "/api/me" },
            }),
        ),
    ] {
        let mut body = body;
        let own = json!({
            "client_id": id, "client_secret": "s", "api_base_url": url, "scopes": { "required": ["read"] },
        });
        body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let client = registered(&world, body).await?;
        assert_eq!((client.status, client.text("/status")), (StatusCode::CREATED, "active".into()), "{}", client.body);
        assert_eq!(client.text("/token_endpoint"), format!("{url}/token"));
        world.sandbox().register(ClientSettings {
            client_id: id.into(),
            client_secret: Some("s".into()),
            redirect_uris: vec![client.text("/redirect_uri")],
            ..ClientSettings::default()
        })?;
        let credential = world.connect(json!({ "clients": [client.text("/id")] })).await?;
        assert_eq!(credential["status"], "active", "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_wrong_keeps_the_stack_from_starting() -> Outcome {
    let directory = tempfile::tempdir()?;
    write(directory.path(), "bad", &format!("name = \"Bad\"\n{HEAD}token_endpoint = \"http://as.example.com\""))?;
    let providers = Some(directory.path().to_owned());
    let Err(error) = World::with(|options| Options { providers, ..options }).await else { panic!("it started") };
    let told = format!("{error:#}");
    assert!(told.contains("--providers") && told.contains("bad.toml") && told.contains("/token_endpoint"), "{told}");
    Ok(())
}
