//! Client credentials, passwords, and what the protected resources say.

use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn client_credentials_speak_for_the_client_and_give_no_refresh_token() {
    let sandbox = sandbox_with(json!({}));
    let answer = as_app(&sandbox, "/token", &[("grant_type", "client_credentials")]).await;
    assert_eq!((answer.text("scope").as_str(), answer.json().get("refresh_token")), ("read write", None));
    let me = get_as(&sandbox, "/api/me", &answer.text("access_token")).await.json();
    assert_eq!((&me["user"], &me["grant_type"]), (&json!(null), &json!("client_credentials")));
    let with_openid = [("grant_type", "client_credentials"), ("scope", "openid read")];
    assert_eq!(as_app(&sandbox, "/token", &with_openid).await.json().get("id_token"), None);
}

#[tokio::test]
async fn the_password_is_sandbox_for_everybody() {
    let sandbox = sandbox_with(json!({}));
    let sign_in = |username: &'static str, password: &'static str| {
        let sandbox = sandbox.clone();
        async move {
            let parameters =
                [("grant_type", "password"), ("username", username), ("password", password), ("scope", "openid read")];
            as_app(&sandbox, "/token", &parameters).await
        }
    };
    let answer = sign_in("grace", "sandbox").await;
    assert_eq!(get_as(&sandbox, "/api/me", &answer.text("access_token")).await.text("user"), "grace");
    assert!(!answer.text("id_token").is_empty());
    assert_eq!(refresh(&sandbox, &answer.text("refresh_token")).await.status, 200);
    sign_in("grace", "Sandbox").await.assert_error(400, "invalid_grant");
    sign_in("a\u{0}b", "sandbox").await.assert_error(400, "invalid_grant");
    sign_in("", "sandbox").await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn the_api_tells_a_missing_token_from_a_bad_one() {
    let sandbox = sandbox_with(json!({}));
    for path in ["/api/me", "/userinfo", "/api/elsewhere"] {
        let none = send(&sandbox, "GET", path, &[], "").await;
        assert_eq!((none.status.as_u16(), none.header("www-authenticate")), (401, "Bearer realm=\"sandbox\""));
        get_as(&sandbox, path, "sbx_at_unknown").await.assert_error(401, "invalid_token");
    }
    let token = tokens(&sandbox).await;
    get_as(&sandbox, "/api/me", &token.text("refresh_token")).await.assert_error(401, "invalid_token");
    get_as(&sandbox, "/api/elsewhere", &token.text("access_token")).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn userinfo_gives_the_claims_of_the_granted_scopes() {
    let sandbox = sandbox_with(json!({}));
    let answer = tokens(&sandbox).await;
    let info = get_as(&sandbox, "/userinfo", &answer.text("access_token")).await.json();
    assert_eq!(info, json!({ "sub": "ada", "name": "ada", "preferred_username": "ada" }));
    let machine = as_app(&sandbox, "/token", &[("grant_type", "client_credentials")]).await;
    let refused = get_as(&sandbox, "/userinfo", &machine.text("access_token")).await;
    refused.assert_error(403, "insufficient_scope");
}

#[tokio::test]
async fn every_name_on_the_consent_page_is_another_subject() {
    let sandbox = sandbox_with(json!({ "auto_consent": null }));
    let mut subjects = std::collections::BTreeSet::new();
    for name in ["ada", "Ada", "zoë", "zo%C3%AB", "a b", "a+b"] {
        let decided = authorize_parameters(&[("decision", "allow"), ("username", name)]);
        let code = post_form(&sandbox, "/authorize", &decided).await.redirect_parameter("code").unwrap();
        let token = redeem(&sandbox, &code).await.text("access_token");
        let info = get_as(&sandbox, "/userinfo", &token).await;
        assert_eq!((info.status.as_u16(), info.text("name").as_str()), (200, name));
        assert!(subjects.insert(info.text("sub")), "{name}");
    }
}
