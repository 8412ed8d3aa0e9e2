//! Token requests that must look otherwise than RFC 6749 says.

use grantkeeper_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::harness::*;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

fn sandbox_ruled(rules: Value) -> Sandbox {
    sandbox_with(json!({ "token_request": rules }))
}

async fn post(sandbox: &Sandbox, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    send(sandbox, "POST", uri, headers, body).await
}

#[tokio::test]
async fn a_json_body_is_asked_for_and_a_form_refused() {
    let sandbox = sandbox_ruled(json!({ "content_type": "json" }));
    let basic = basic("app", "s3cret");
    let headers = [JSON, ("authorization", basic.as_str())];
    let body = json!({
        "grant_type": "authorization_code", "code": new_code(&sandbox).await, "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    });
    let first = post(&sandbox, "/token", &headers, &body.to_string()).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let refresh_token = first.text("refresh_token");
    refresh(&sandbox, &refresh_token).await.assert_error(400, "invalid_request");
    for broken in ["", "[]", "{", "grant_type=refresh_token"] {
        post(&sandbox, "/token", &headers, broken).await.assert_error(400, "invalid_request");
    }
    let body = json!({ "grant_type": "refresh_token", "refresh_token": refresh_token, "scope": ["read"] });
    assert_eq!(post(&sandbox, "/token", &headers, &body.to_string()).await.text("scope"), "read");
    let log = sandbox.log();
    assert_eq!((log[1].error.as_deref(), log[1].client_id.as_deref()), (Some("invalid_request"), Some("app")));
    assert_eq!(log[0].content_type.as_deref(), Some("application/json"));
}

#[tokio::test]
async fn another_media_type_carries_a_form_or_a_json_object() {
    let sandbox = sandbox_ruled(json!({ "content_type": "text/plain" }));
    let body = "grant_type=client_credentials&client_id=app&client_secret=s3cret";
    let json = r#"{"grant_type": "client_credentials", "client_id": "app", "client_secret": "s3cret"}"#;
    for body in [body, json] {
        assert_eq!(post(&sandbox, "/token", &[("content-type", "text/plain; charset=utf-8")], body).await.status, 200);
    }
    post(&sandbox, "/token", &[FORM], body).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn renamed_parameters_count_and_standard_names_do_not() {
    let names = json!({ "client_id": "clientId", "client_secret": "clientSecret", "grant_type": "grantType" });
    let sandbox = sandbox_ruled(json!({ "names": names }));
    let renamed = [("grantType", "client_credentials"), ("clientId", "app"), ("clientSecret", "s3cret")];
    assert_eq!(post_form(&sandbox, "/token", &renamed).await.status, 200);
    let wrong = [("grantType", "client_credentials"), ("clientId", "app"), ("clientSecret", "no")];
    post_form(&sandbox, "/token", &wrong).await.assert_error(401, "invalid_client");
    for standard in [
        vec![("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", "s3cret")],
        vec![("grant_type", "client_credentials"), ("clientId", "app"), ("clientSecret", "s3cret")],
        [renamed.as_slice(), &[("client_id", "app")]].concat(),
    ] {
        post_form(&sandbox, "/token", &standard).await.assert_error(400, "invalid_request");
    }
    assert!(sandbox.log().iter().all(|entry| entry.client_id.as_deref() == Some("app")));
}

#[tokio::test]
async fn names_may_be_swapped_and_may_point_into_a_json_body() {
    let sandbox = sandbox_ruled(json!({ "names": { "username": "password", "password": "username" } }));
    let body = [("grant_type", "password"), ("username", "sandbox"), ("password", "grace")];
    let answer = as_app(&sandbox, "/token", &body).await;
    assert_eq!(get_as(&sandbox, "/api/me", &answer.text("access_token")).await.text("user"), "grace");

    let names = json!({ "client_id": "/client/id", "client_secret": "/client/secret" });
    let sandbox = sandbox_ruled(json!({ "content_type": "json", "names": names, "body": { "/client/kind": 7 } }));
    let body = json!({ "grant_type": "client_credentials", "client": { "id": "app", "secret": "s3cret", "kind": 7 } });
    assert_eq!(post(&sandbox, "/token", &[JSON], &body.to_string()).await.status, 200);
    let body = body.to_string().replace('7', "\"7\"");
    post(&sandbox, "/token", &[JSON], &body).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn query_headers_and_body_must_carry_what_is_set() {
    let sandbox = sandbox_ruled(json!({
        "query": { "tenant": "a b" }, "headers": { "X-Version": "2.0" }, "body": { "format": "v2", "n": 3 },
    }));
    let basic = basic("app", "s3cret");
    let attempt = |uri: &'static str, version: &'static str, extra: &'static str| {
        let (sandbox, basic) = (sandbox.clone(), basic.clone());
        async move {
            let headers = [FORM, ("authorization", basic.as_str()), ("x-version", version)];
            post(&sandbox, uri, &headers, &format!("grant_type=client_credentials&{extra}")).await
        }
    };
    assert_eq!(attempt("/token?tenant=a%20b&more=1", "2.0", "format=v2&n=3").await.status, 200);
    for (uri, version, extra) in [
        ("/token", "2.0", "format=v2&n=3"),
        ("/token?tenant=a", "2.0", "format=v2&n=3"),
        ("/token?tenant=a+b", "2", "format=v2&n=3"),
        ("/token?tenant=a+b", "2.0", "format=v2"),
        ("/token?tenant=a+b", "2.0", "format=V2&n=3"),
    ] {
        attempt(uri, version, extra).await.assert_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn grant_types_may_have_other_words() {
    let sandbox = sandbox_ruled(json!({ "grant_type": { "refresh_token": "renew" } }));
    let first = tokens(&sandbox).await;
    let token = first.text("refresh_token");
    refresh(&sandbox, &token).await.assert_error(400, "invalid_request");
    let answer = as_app(&sandbox, "/token", &[("grant_type", "renew"), ("refresh_token", &token)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(sandbox.log()[2].grant_type.as_deref(), Some("refresh_token"));
}

#[tokio::test]
async fn one_word_for_every_grant_leaves_it_to_the_other_parameters() {
    for word in ["token", ""] {
        let sandbox = sandbox_ruled(json!({ "grant_type": word }));
        let code = new_code(&sandbox).await;
        let body = [("grant_type", word), ("code", &code), ("redirect_uri", REDIRECT_URI), ("code_verifier", VERIFIER)];
        let first = as_app(&sandbox, "/token", &body).await;
        assert_eq!(first.status, 200, "{}", first.body);
        let token = first.text("refresh_token");
        refresh(&sandbox, &token).await.assert_error(400, "invalid_request");
        let answer = as_app(&sandbox, "/token", &[("grant_type", word), ("refresh_token", &token)]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let machine = as_app(&sandbox, "/token", &[("grant_type", word)]).await;
        assert_eq!((machine.status.as_u16(), machine.json().get("refresh_token")), (200, None));
    }
}

#[tokio::test]
async fn another_method_is_asked_for() {
    let sandbox = sandbox_ruled(json!({ "method": "GET", "body": { "v": "1" } }));
    let query = "grant_type=client_credentials&client_id=app&client_secret=s3cret&v=1";
    let answer = send(&sandbox, "GET", &format!("/token?{query}"), &[], "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    as_app(&sandbox, "/token", &[("grant_type", "client_credentials")]).await.assert_error(400, "invalid_request");
    let sandbox = sandbox_ruled(json!({ "method": "PUT" }));
    assert_eq!(send(&sandbox, "PUT", "/token", &[FORM], query).await.status, 200);
    let standard = send(&sandbox_with(json!({})), "PUT", "/token", &[FORM], query).await;
    assert_eq!((standard.status.as_u16(), standard.header("allow")), (405, "POST"));
}
