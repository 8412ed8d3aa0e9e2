//! Projects do not see each other, and keys end.

use chrono::Duration;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Answer, Backend, Browser, World, parameters};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;

fn without_request_id(answer: &Answer) -> (StatusCode, Value, Vec<(String, String)>) {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        assert!(body.remove("request_id").is_some());
    }
    let headers =
        answer.headers.iter().filter(|(name, _)| !["date", "grantkeeper-request-id"].contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status, body, headers)
}

#[tokio::test]
async fn another_projects_objects_are_as_if_they_were_not_there() -> Outcome {
    let world = World::new().await?;
    let credential = world.connect(json!({ "name": "theirs" })).await?["id"].as_str().unwrap().to_owned();
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({})).await?;
    let returned = parameters(&browser.get(callback.as_str()).await?.location()?);
    let flow = returned["flow"].clone();
    let session = world.open_session(json!({})).await?.text("/id");
    let client = world.client();

    let other = world.project(json!({})).await?;
    let platform = world.caller("platform", json!([other])).await?;
    let runner = world.caller("runner", json!([other])).await?;
    let superuser = world.caller("superuser", json!([other])).await?;
    let completion = json!({ "completion_code": returned["completion_code"], "owner": "ada" });
    let ada = platform.acting_for("ada");
    let unknown = |prefix: &str| format!("{prefix}_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let calls: Vec<(&Backend, &str, &str, &str, Option<Value>)> = vec![
        (&platform, "GET", "/v1/credentials/{}", &credential, None),
        (&superuser, "GET", "/v1/credentials/{}", &credential, None),
        (&ada, "PATCH", "/v1/credentials/{}", &credential, Some(json!({ "name": "mine" }))),
        (&superuser, "PATCH", "/v1/credentials/{}", &credential, Some(json!({ "suspended": true }))),
        (&ada, "DELETE", "/v1/credentials/{}", &credential, None),
        (&platform, "GET", "/v1/credentials/{}/attempts", &credential, None),
        (&superuser, "GET", "/v1/credentials/{}/attempts", &credential, None),
        (&ada, "POST", "/v1/credentials/{}/token", &credential, Some(json!({}))),
        (&runner, "POST", "/v1/credentials/{}/token", &credential, Some(json!({}))),
        (&platform, "POST", "/v1/credentials/{}/refresh", &credential, Some(json!({}))),
        (&superuser, "POST", "/v1/credentials/{}/refresh", &credential, Some(json!({}))),
        (&platform, "GET", "/v1/flows/{}", &flow, None),
        (&platform, "POST", "/v1/flows/{}/complete", &flow, Some(completion.clone())),
        (&ada, "POST", "/v1/flows/{}/complete", &flow, Some(completion.clone())),
        (&platform, "GET", "/v1/connect-sessions/{}", &session, None),
        (&platform, "DELETE", "/v1/connect-sessions/{}", &session, None),
        (&platform, "GET", "/v1/clients/{}", &client, None),
        (&superuser, "GET", "/v1/clients/{}", &client, None),
        (&superuser, "PATCH", "/v1/clients/{}", &client, Some(json!({ "name": "mine" }))),
        (&superuser, "DELETE", "/v1/clients/{}", &client, None),
        (&platform, "GET", "/v1/projects/{}", world.stack.project.as_str(), None),
        (&superuser, "GET", "/v1/projects/{}", world.stack.project.as_str(), None),
        (&superuser, "PATCH", "/v1/projects/{}", world.stack.project.as_str(), Some(json!({ "name": "mine" }))),
    ];
    for (caller, method, path, id, body) in calls {
        let mut answers = Vec::new();
        let prefix = id.split('_').next().unwrap();
        for id in [id, &unknown(prefix), &id.to_lowercase(), "x", &id[..id.len() - 1], &unknown("zzz")] {
            let body = body.as_ref().map(|body| ("application/json", body.to_string()));
            answers.push(caller.send(method.parse()?, &path.replace("{}", id), body).await?);
        }
        let theirs = without_request_id(&answers[0]);
        assert_eq!(theirs.0, StatusCode::NOT_FOUND, "{method} {path} {}", theirs.1);
        for answer in &answers[1..] {
            assert_eq!(without_request_id(answer), theirs, "{method} {path}");
        }
    }
    // Lists show nothing of the other project, and naming it is refused.
    let lists = [
        (&platform, "/v1/credentials"),
        (&platform, "/v1/clients"),
        (&superuser, "/v1/clients"),
        (&superuser, "/v1/credentials"),
    ];
    for (caller, path) in lists {
        assert_eq!(caller.get(path).await?.body["items"], json!([]), "{path}");
        let named = caller.with("Grantkeeper-Project", world.stack.project.as_str()).get(path).await?;
        assert_eq!((named.status, named.code()), (StatusCode::FORBIDDEN, "project_not_allowed"), "{path}");
        let filtered = caller.get(&format!("{path}?project={}", world.stack.project)).await?;
        assert_eq!((filtered.status, filtered.code()), (StatusCode::FORBIDDEN, "project_not_allowed"), "{path}");
    }
    let borrowed = json!({ "owner": "ada", "clients": [client], "return_url": RETURN_URL });
    let refused = platform.post("/v1/connect-sessions", borrowed).await?;
    assert_eq!(refused.field_errors(), [("/clients/0".into(), "unknown_client".into())]);
    // After all that, everything is as it was.
    assert_eq!(world.token_requests().len(), 1);
    assert_eq!(
        world.platform().post(&format!("/v1/flows/{flow}/complete"), completion).await?.status,
        StatusCode::CREATED
    );
    assert_eq!(world.platform().get(&format!("/v1/connect-sessions/{session}")).await?.status, StatusCode::OK);
    assert_eq!(world.superuser().get(&format!("/v1/clients/{client}")).await?.text("/name"), "Sandbox");
    assert_eq!(world.read_token(&credential, json!({})).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn names_and_owners_of_one_project_say_nothing_in_another() -> Outcome {
    let world = World::new().await?;
    world.connect(json!({ "name": "Mail" })).await?;
    let other = world.project(json!({})).await?;
    let platform = world.caller("platform", json!([other])).await?;
    let settings = ClientSettings { client_id: "other".into(), client_secret: Some("s".into()), ..Default::default() };
    world.register(settings, json!({ "project": other })).await?;
    let session = platform.post("/v1/connect-sessions", json!({ "owner": "ada", "name": "Mail" })).await?;
    assert_eq!(session.status, StatusCode::CREATED, "{}", session.body);
    Ok(())
}

#[tokio::test]
async fn a_global_client_serves_every_project_and_a_shared_one_those_it_names() -> Outcome {
    let world = World::new().await?;
    let (one, two) = (world.project(json!({ "name": "One" })).await?, world.project(json!({ "name": "Two" })).await?);
    let settings =
        |id: &str| ClientSettings { client_id: id.into(), client_secret: Some("s".into()), ..Default::default() };
    let global = world.register(settings("global"), json!({ "project": null })).await?;
    let shared = world.register(settings("shared"), json!({ "shared_with": [one] })).await?;
    for (project, client, status) in [
        (&one, &global, StatusCode::OK),
        (&two, &global, StatusCode::OK),
        (&one, &shared, StatusCode::OK),
        (&two, &shared, StatusCode::NOT_FOUND),
    ] {
        let platform = world.caller("platform", json!([project])).await?;
        assert_eq!(platform.get(&format!("/v1/clients/{client}")).await?.status, status);
        let listed = platform.get("/v1/clients").await?.body["items"].to_string().contains(client.as_str());
        assert_eq!(listed, status == StatusCode::OK, "{client} in the list of {project}");
        let session = platform.post("/v1/connect-sessions", json!({ "owner": "ada", "clients": [client] })).await?;
        assert_eq!(session.status == StatusCode::CREATED, status == StatusCode::OK);
    }
    // A superuser of one project may see a global client but not change it.
    let superuser = world.caller("superuser", json!([one])).await?;
    for client in [&global, &shared] {
        let refused = superuser.patch(&format!("/v1/clients/{client}"), json!({ "name": "mine" })).await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_your_client"));
        let refused = superuser.delete(&format!("/v1/clients/{client}")).await?;
        assert_eq!((refused.status, refused.code()), (StatusCode::FORBIDDEN, "not_your_client"));
    }
    Ok(())
}

#[tokio::test]
async fn a_superuser_of_one_project_makes_nothing_beyond_it() -> Outcome {
    let world = World::new().await?;
    let other = world.project(json!({})).await?;
    let superuser = world.caller("superuser", json!([other])).await?;
    let expires_at = (world.stack.broker.now() + Duration::days(1)).to_rfc3339();
    for projects in [json!("*"), json!([world.stack.project]), json!([other, world.stack.project])] {
        let body = json!({ "name": "k", "role": "runner", "projects": projects, "expires_at": expires_at });
        let refused = superuser.post("/v1/keys", body).await?;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{projects}: {}", refused.body);
    }
    let client = superuser.post("/v1/clients", json!({ "name": "c", "project": world.stack.project })).await?;
    assert_eq!((client.status, client.code()), (StatusCode::FORBIDDEN, "project_not_allowed"));
    let own = superuser.post("/v1/clients", json!({ "name": "c" })).await?;
    assert_eq!(own.text("/project"), other, "without a project it is theirs, not everybody's");
    let platform_keys = superuser.get("/v1/keys").await?;
    let foreign: Vec<_> = platform_keys.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["projects"] != json!([other]))
        .collect();
    assert!(foreign.is_empty(), "keys of others are listed: {foreign:?}");
    Ok(())
}

#[tokio::test]
async fn a_superuser_of_one_project_cannot_delete_keys_of_others() -> Outcome {
    let world = World::new().await?;
    let other = world.project(json!({})).await?;
    let superuser = world.caller("superuser", json!([other])).await?;
    let theirs = world.key("runner", json!([world.stack.project]), 30).await?;
    let refused = superuser.delete(&format!("/v1/keys/{}", theirs.text("/id"))).await?;
    assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.body);
    Ok(())
}

#[tokio::test]
async fn a_superuser_of_one_project_makes_no_project() -> Outcome {
    let world = World::new().await?;
    let other = world.project(json!({})).await?;
    let superuser = world.caller("superuser", json!([other])).await?;
    let refused = superuser.post("/v1/projects", json!({ "name": "New" })).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    Ok(())
}

#[tokio::test]
async fn a_key_for_several_projects_names_one_in_each_call() -> Outcome {
    let world = World::new().await?;
    let other = world.project(json!({})).await?;
    let both = world.caller("platform", json!([world.stack.project, other])).await?;
    let unnamed = both.get("/v1/credentials").await?;
    assert_eq!(unnamed.field_errors()[0].1, "project_required");
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/credentials/{id}");
    assert_eq!(both.with("Grantkeeper-Project", world.stack.project.as_str()).get(&path).await?.status, StatusCode::OK);
    assert_eq!(both.with("Grantkeeper-Project", &other).get(&path).await?.status, StatusCode::NOT_FOUND);
    let body = json!({ "owner": "ada", "project": other });
    let two = both.with("Grantkeeper-Project", world.stack.project.as_str()).post("/v1/connect-sessions", body).await?;
    assert_eq!(two.field_errors(), [("/project".into(), "project_ambiguous".into())]);
    Ok(())
}

#[tokio::test]
async fn a_key_ends_at_its_time_and_after_ninety_idle_days() -> Outcome {
    let world = World::new().await?;
    let projects = json!([world.stack.project]);
    let short = world.with_key(&world.key("platform", projects.clone(), 10).await?.text("/key"));
    let used = world.with_key(&world.key("platform", projects.clone(), 300).await?.text("/key"));
    let idle = world.with_key(&world.key("platform", projects, 300).await?.text("/key"));
    let alive = async |caller: &Backend| anyhow::Ok(caller.get("/v1/credentials").await?.status);
    world.clock.advance(Duration::days(10) - Duration::seconds(1));
    assert_eq!(alive(&short).await?, StatusCode::OK);
    world.clock.advance(Duration::seconds(1));
    assert_eq!(alive(&short).await?, StatusCode::UNAUTHORIZED, "also from the cache");
    assert_eq!(alive(&used).await?, StatusCode::OK);
    world.clock.advance(Duration::days(80));
    assert_eq!(alive(&idle).await?, StatusCode::UNAUTHORIZED, "90 days after it was made");
    assert_eq!(alive(&used).await?, StatusCode::OK);
    world.clock.advance(Duration::days(90));
    assert_eq!(alive(&used).await?, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn a_deleted_key_is_dead_within_half_a_minute() -> Outcome {
    let world = World::new().await?;
    let made = world.key("platform", json!([world.stack.project]), 30).await?;
    let caller = world.with_key(&made.text("/key"));
    assert_eq!(caller.get("/v1/credentials").await?.status, StatusCode::OK);
    let path = format!("/v1/keys/{}", made.text("/id"));
    assert_eq!(world.superuser().delete(&path).await?.status, StatusCode::NO_CONTENT);
    world.clock.advance(Duration::seconds(30));
    assert_eq!(caller.get("/v1/credentials").await?.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.superuser().delete(&path).await?.status, StatusCode::NOT_FOUND);
    let listed = world.superuser().get("/v1/keys").await?;
    assert!(!listed.body.to_string().contains(&made.text("/id")));
    Ok(())
}
