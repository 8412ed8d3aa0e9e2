//! A credential that is shared with a second project: used there, and changed at home alone.

use grantkeeper_tests::{Answer, Backend, World};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Outcome;
use super::change::{assert_refused, assert_wrong};
use super::refresh::Connected;

/// A key for two projects, in one of them.
fn within(caller: &Backend, project: &str) -> Backend {
    caller.with("Grantkeeper-Project", project)
}

async fn ids(caller: &Backend) -> anyhow::Result<Vec<Value>> {
    let listed = caller.get("/v1/credentials").await?;
    Ok(listed.body["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect())
}

async fn share(it: &Connected, projects: &Value, all: &Backend) -> anyhow::Result<Answer> {
    let home = within(all, it.world.stack.project.as_str());
    home.acting_for("ada").patch(&it.path(), json!({ "projects": projects })).await
}

#[tokio::test]
async fn a_shared_credential_is_used_where_it_is_shared_and_changed_at_home() -> Outcome {
    let it = Connected::usual().await?;
    let (world, home) = (&it.world, it.world.stack.project.to_string());
    let (second, third) = (world.project(json!({ "name": "B" })).await?, world.project(json!({ "name": "C" })).await?);
    let all = world.caller("platform", json!([home, second, third])).await?;
    let shared = share(&it, &json!([home, second]), &all).await?;
    assert_eq!((shared.status, &shared.body["projects"]), (StatusCode::OK, &json!([home, second])), "{}", shared.body);

    let token = format!("{}/token", it.path());
    let there = world.caller("runner", json!([second])).await?;
    let platform = world.caller("platform", json!([second])).await?;
    let root = world.caller("superuser", json!([second])).await?;
    for caller in [&platform, &root] {
        assert_eq!(caller.get(&it.path()).await?.body["projects"], json!([home, second]));
        assert_eq!(caller.get(&format!("{}/attempts", it.path())).await?.status, StatusCode::OK);
        assert_eq!(ids(caller).await?, [json!(it.id)]);
    }
    // What only the owner may do is done at home: elsewhere there is no such credential to change.
    let ada = platform.acting_for("ada");
    for (caller, method, body) in [
        (&ada, Method::PATCH, json!({ "name": "mine" })),
        (&ada, Method::DELETE, Value::Null),
        (&root, Method::PATCH, json!({ "suspended": true })),
    ] {
        let body = (!body.is_null()).then(|| ("application/json", body.to_string()));
        assert_refused(&caller.send(method, &it.path(), body).await?, StatusCode::NOT_FOUND, "not_found");
    }
    // The third project sees nothing of it, and neither does the second when it is no longer shared.
    let elsewhere = async |project: &str| {
        let platform = world.caller("platform", json!([project])).await?;
        let runner = world.caller("runner", json!([project])).await?;
        for refused in [
            platform.get(&it.path()).await?,
            platform.get(&format!("{}/attempts", it.path())).await?,
            platform.acting_for("ada").post(&token, json!({})).await?,
            runner.post(&token, json!({})).await?,
        ] {
            assert_refused(&refused, StatusCode::NOT_FOUND, "not_found");
        }
        assert_eq!(ids(&platform).await?, Vec::<Value>::new());
        anyhow::Ok(())
    };
    elsewhere(&third).await?;
    assert_eq!(
        there.post(&token, json!({})).await?.text("/access_token"),
        it.token(json!({})).await?.text("/access_token")
    );
    assert_eq!(share(&it, &json!([]), &all).await?.body["projects"], json!([home]));
    elsewhere(&second).await?;
    Ok(())
}

#[tokio::test]
async fn the_home_project_stays_and_only_projects_of_the_key_are_added() -> Outcome {
    let it = Connected::usual().await?;
    let (world, home) = (&it.world, it.world.stack.project.to_string());
    let (second, third) = (world.project(json!({ "name": "B" })).await?, world.project(json!({ "name": "C" })).await?);
    let some = world.caller("platform", json!([home, second])).await?;
    for projects in [json!([second]), json!([home, second]), json!([second, home, second])] {
        assert_eq!(share(&it, &projects, &some).await?.body["projects"], json!([home, second]), "{projects}");
    }
    for (projects, pointer) in [
        (json!([home, third]), "/projects/1"),
        (json!(["prj_01ARZ3NDEKTSV4RRFFQ69G5FAV"]), "/projects/0"),
        (json!([second, "nonsense"]), "/projects/1"),
    ] {
        assert_wrong(&share(&it, &projects, &some).await?, &[(pointer, "unknown_project")]);
    }
    let everywhere = world.caller("platform", json!("*")).await?;
    let unknown = share(&it, &json!(["prj_01ARZ3NDEKTSV4RRFFQ69G5FAV"]), &everywhere).await?;
    assert_wrong(&unknown, &[("/projects/0", "unknown_project")]);
    assert_eq!(share(&it, &json!([second, third]), &everywhere).await?.body["projects"], json!([home, second, third]));
    // Somebody whose key is for fewer projects keeps what others shared, or takes it away.
    assert_eq!(share(&it, &json!([third]), &some).await?.body["projects"], json!([home, third]));
    Ok(())
}

#[tokio::test]
async fn a_shared_credential_that_is_disconnected_is_over_everywhere() -> Outcome {
    let it = Connected::usual().await?;
    let world: &World = &it.world;
    let second = world.project(json!({ "name": "B" })).await?;
    let all = world.caller("platform", json!([world.stack.project, second])).await?;
    share(&it, &json!([second]), &all).await?;
    assert_eq!(it.ada().delete(&it.path()).await?.status, StatusCode::ACCEPTED);
    let runner = world.caller("runner", json!([second])).await?;
    let refused = runner.post(&format!("{}/token", it.path()), json!({})).await?;
    assert_refused(&refused, StatusCode::CONFLICT, "revoked");
    Ok(())
}
