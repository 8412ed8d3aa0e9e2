//! Client authentication and malformed token requests (RFC 6749 §2.3, §5.2).

use serde_json::json;

use crate::harness::*;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

async fn with_header(sandbox: &grantkeeper_sandbox::Sandbox, authorization: &str, body: &[(&str, &str)]) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", authorization)];
    send(sandbox, "POST", "/token", &headers, &form(body)).await
}

#[tokio::test]
async fn basic_credentials_are_form_encoded_before_base64() {
    let secret = "SECRET?%G+client:&=/";
    let sandbox = sandbox_with(json!({}));
    register(&sandbox, "my app:1", json!({ "client_secret": secret }));
    assert_eq!(with_header(&sandbox, &basic("my app:1", secret), &[GRANT]).await.status, 200);
    with_header(&sandbox, &basic("my app:1", "other"), &[GRANT]).await.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn the_body_may_carry_the_secret() {
    let sandbox = sandbox_with(json!({}));
    let body = [GRANT, ("client_id", "app"), ("client_secret", "s3cret")];
    assert_eq!(post_form(&sandbox, "/token", &body).await.status, 200);
}

#[tokio::test]
async fn wrong_credentials_are_invalid_client_with_a_challenge() {
    let sandbox = sandbox_with(json!({}));
    for header in [basic("app", "wrong"), basic("nobody", "s3cret"), "Basic ???".into(), "Bearer x".into(), "x".into()]
    {
        let answer = with_header(&sandbox, &header, &[GRANT]).await;
        answer.assert_error(401, "invalid_client");
        assert!(answer.header("www-authenticate").starts_with("Basic "));
    }
    for body in [vec![GRANT], vec![GRANT, ("client_id", "app")], vec![GRANT, ("client_id", "nobody")]] {
        post_form(&sandbox, "/token", &body).await.assert_error(401, "invalid_client");
    }
}

#[tokio::test]
async fn two_authentications_at_once_are_refused() {
    let sandbox = sandbox_with(json!({}));
    let both = [GRANT, ("client_id", "app"), ("client_secret", "s3cret")];
    with_header(&sandbox, &basic("app", "s3cret"), &both).await.assert_error(400, "invalid_request");
    let other = [GRANT, ("client_id", "other")];
    with_header(&sandbox, &basic("app", "s3cret"), &other).await.assert_error(400, "invalid_request");
    let same = [GRANT, ("client_id", "app")];
    assert_eq!(with_header(&sandbox, &basic("app", "s3cret"), &same).await.status, 200);
}

#[tokio::test]
async fn only_the_registered_methods_count() {
    let sandbox = sandbox_with(json!({ "token_endpoint_auth_methods": ["client_secret_basic"] }));
    let body = [GRANT, ("client_id", "app"), ("client_secret", "s3cret")];
    post_form(&sandbox, "/token", &body).await.assert_error(401, "invalid_client");
    assert_eq!(as_app(&sandbox, "/token", &[GRANT]).await.status, 200);
}

#[tokio::test]
async fn a_public_client_names_itself_and_has_no_secret() {
    let sandbox = sandbox_with(json!({ "client_secret": null }));
    let code = new_code(&sandbox).await;
    let mut body = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "app"),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_secret", "guess"),
    ];
    post_form(&sandbox, "/token", &body).await.assert_error(401, "invalid_client");
    body.pop();
    assert_eq!(post_form(&sandbox, "/token", &body).await.status, 200);
    let body = [GRANT, ("client_id", "app")];
    post_form(&sandbox, "/token", &body).await.assert_error(400, "unauthorized_client");
}

#[tokio::test]
async fn malformed_token_requests_get_the_error_of_the_rfc() {
    let sandbox = sandbox_with(json!({ "grant_types": ["client_credentials", "authorization_code", "refresh_token"] }));
    let requests: [(&[(&str, &str)], &str); 7] = [
        (&[], "invalid_request"),
        (&[GRANT, GRANT], "invalid_request"),
        (&[("grant_type", "implicit")], "unsupported_grant_type"),
        (&[("grant_type", "password"), ("username", "a"), ("password", "sandbox")], "unauthorized_client"),
        (&[("grant_type", "authorization_code")], "invalid_request"),
        (&[("grant_type", "refresh_token")], "invalid_request"),
        (&[GRANT, ("scope", "admin")], "invalid_scope"),
    ];
    for (body, error) in requests {
        as_app(&sandbox, "/token", body).await.assert_error(400, error);
    }
    let headers = [("content-type", "application/json"), ("authorization", &basic("app", "s3cret"))];
    send(&sandbox, "POST", "/token", &headers, "{}").await.assert_error(400, "invalid_request");
    let oversized = "x".repeat(3_000_000);
    as_app(&sandbox, "/token", &[GRANT, ("x", &oversized)]).await.assert_error(400, "invalid_request");
    assert_eq!(send(&sandbox, "GET", "/token", &[], "").await.status, 405);
}

#[tokio::test]
async fn several_secrets_count_at_once_and_the_log_tells_them_apart() {
    let sandbox = sandbox_with(json!({ "client_secrets": ["n3w"] }));
    for secret in ["s3cret", "n3w"] {
        assert_eq!(with_header(&sandbox, &basic("app", secret), &[GRANT]).await.status, 200);
    }
    with_header(&sandbox, &basic("app", "other"), &[GRANT]).await.assert_error(401, "invalid_client");
    register(&sandbox, "app", json!({ "client_secret": null, "client_secrets": ["n3w"] }));
    with_header(&sandbox, &basic("app", "s3cret"), &[GRANT]).await.assert_error(401, "invalid_client");
    post_form(&sandbox, "/token", &[GRANT, ("client_id", "app")]).await.assert_error(401, "invalid_client");
    let body = [GRANT, ("client_id", "app"), ("client_secret", "n3w")];
    assert_eq!(post_form(&sandbox, "/token", &body).await.status, 200);
    let used: Vec<_> = sandbox.log().into_iter().map(|entry| entry.client_secret).collect();
    // printf n3w | sha256sum
    assert_eq!((used[1].as_deref(), &used[5]), (Some("1dd4d43658e2"), &used[1]));
    assert!(used[0].is_some() && used[0] != used[1] && used[0] == used[3] && used[4].is_none());
    let list = send(&sandbox, "GET", "/admin/clients", &[], "").await;
    assert!(!list.body.contains("n3w"));
    assert_eq!((&list.json()[0]["has_secret"], &list.json()[0]["secret_count"]), (&json!(true), &json!(1)));
}
