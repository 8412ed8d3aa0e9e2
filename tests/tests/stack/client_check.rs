//! The check of a client: what is told before anybody uses it.

use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Answer, Proxy, World};
use http::StatusCode;
use serde_json::{Value, json};

use super::Outcome;
use super::requests::{assert_field, assert_is_problem};

/// The codes of one level.
fn codes(answer: &Answer, level: &str) -> Vec<String> {
    let findings = answer.body["findings"].as_array().unwrap();
    let of_level = findings.iter().filter(|finding| finding["level"] == level);
    of_level.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_client_that_works_has_no_errors_and_tells_its_redirect_uri() -> Outcome {
    let world = World::new().await?;
    let path = format!("/v1/clients/{}", world.client());
    let redirect_uri = world.superuser().get(&path).await?.text("/redirect_uri");
    for caller in [world.superuser(), world.platform()] {
        let checked = caller.post(&format!("{path}/check"), json!({})).await?;
        assert_eq!(checked.status, StatusCode::OK, "{}", checked.body);
        assert_eq!((codes(&checked, "error"), codes(&checked, "warning")), (vec![], vec![]), "{}", checked.body);
        let findings = checked.body["findings"].as_array().unwrap().clone();
        let told = findings.iter().find(|finding| finding["code"] == "redirect_uri").unwrap();
        assert!(told["detail"].as_str().unwrap().ends_with(&redirect_uri), "{told}");
        for finding in &findings {
            let members: Vec<_> = finding.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["advice", "code", "detail", "level"]);
            assert!(finding["advice"].as_array().unwrap().iter().all(Value::is_string), "{finding}");
        }
    }
    // Without any body as well.
    let empty = world.superuser().send("POST".parse()?, &format!("{path}/check"), None).await?;
    assert_eq!(empty.status, StatusCode::OK);
    assert_field(
        &world.superuser().post(&format!("{path}/check"), json!({ "deep": true })).await?,
        "/deep",
        "unknown_field",
    );
    Ok(())
}

#[tokio::test]
async fn a_check_is_for_those_who_see_the_client() -> Outcome {
    let world = World::new().await?;
    let other = world.project(json!({})).await?;
    let path = format!("/v1/clients/{}/check", world.client());
    for (caller, status, code) in [
        (world.runner(), 403, "role_not_allowed"),
        (world.nobody(), 401, "unauthenticated"),
        (world.caller("platform", json!([other])).await?, 404, "not_found"),
        (world.caller("superuser", json!([other])).await?, 404, "not_found"),
    ] {
        assert_is_problem(&caller.post(&path, json!({})).await?, status, code);
    }
    Ok(())
}

#[tokio::test]
async fn what_disagrees_with_the_authorization_server_is_found() -> Outcome {
    let proxy = Proxy::to("http://127.0.0.1:1").await?;
    let origins = vec![proxy.url.clone()];
    let world =
        World::with(|options| grantkeeper_local::stack::Options { insecure_origins: origins, ..options }).await?;
    let metadata = |grants: Value| {
        json!({
            "issuer": proxy.url, "token_endpoint": format!("{}/token", proxy.url), "grant_types_supported": grants,
            "token_endpoint_auth_methods_supported": ["client_secret_basic"], "scopes_supported": ["read"],
        })
    };
    // A server for machines has no authorization endpoint, and its client needs none.
    proxy.always(Some(grantkeeper_tests::Reply::Instead(200, metadata(json!(["client_credentials"])))));
    let body = json!({
        "name": "Machine", "project": world.stack.project, "issuer": proxy.url, "client_id": "m", "client_secret": "s",
        "grant_types": ["client_credentials"], "scopes": { "required": ["read", "other"] },
    });
    let registered = world.superuser().post("/v1/clients", body).await?;
    assert_eq!((registered.status, registered.text("/status")), (StatusCode::CREATED, "active".into()));
    let path = format!("/v1/clients/{}/check", registered.text("/id"));
    let checked = world.platform().post(&path, json!({})).await?;
    assert_eq!((codes(&checked, "error"), codes(&checked, "warning")), (vec![], vec!["scope_not_supported".into()]));
    proxy.always(Some(grantkeeper_tests::Reply::Instead(200, metadata(json!(["authorization_code"])))));
    let checked = world.platform().post(&path, json!({})).await?;
    assert_eq!(codes(&checked, "error"), ["grant_type_not_supported"]);
    // That it does not answer is a finding, and no error.
    proxy.always(Some(grantkeeper_tests::Reply::Instead(404, json!({}))));
    let checked = world.platform().post(&path, json!({})).await?;
    assert_eq!((checked.status, codes(&checked, "warning")), (StatusCode::OK, vec!["metadata_unavailable".into()]));
    Ok(())
}

#[tokio::test]
async fn what_each_grant_lacks_is_told_by_name() -> Outcome {
    let world = World::new().await?;
    let policies = json!({ "policies": { "allowed_scopes": ["write"] } });
    world.superuser().patch(&format!("/v1/projects/{}", world.stack.project), policies).await?;
    for (body, errors) in [
        (
            json!({ "grant_types": ["client_credentials"] }),
            vec!["client_draft", "client_id_missing", "token_endpoint_missing", "client_secret_missing"],
        ),
        (
            json!({ "token_endpoint_auth_method": "none", "client_id": "x", "token_endpoint": "https://as.example.com" }),
            vec!["client_draft", "authorization_endpoint_missing"],
        ),
        (
            json!({
                "grant_types": ["password"], "credentials_from": "person", "token_endpoint": "https://as.example.com",
                "scopes": { "required": ["read"] },
            }),
            vec!["scope_not_allowed"],
        ),
    ] {
        let mut draft = json!({ "name": "Draft", "project": world.stack.project });
        draft.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let draft = world.superuser().post("/v1/clients", draft).await?;
        assert_eq!(draft.status, StatusCode::CREATED, "{}", draft.body);
        let checked = world.superuser().post(&format!("/v1/clients/{}/check", draft.text("/id")), json!({})).await?;
        assert_eq!(codes(&checked, "error"), errors, "{body}");
        assert_eq!(
            codes(&checked, "warning").contains(&"password_grant".to_owned()),
            body.to_string().contains("password")
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_check_sends_nothing_to_the_token_endpoint_and_shows_no_secret() -> Outcome {
    let world = World::new().await?;
    let settings = ClientSettings { client_id: "c".into(), client_secret: Some("CANARY".into()), ..Default::default() };
    let client = world.register(settings, json!({})).await?;
    let checked = world.superuser().post(&format!("/v1/clients/{client}/check"), json!({})).await?;
    assert!(!checked.body.to_string().contains("CANARY"));
    assert!(world.token_requests().is_empty());
    Ok(())
}
