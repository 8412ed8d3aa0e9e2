//! The authorization endpoint (RFC 6749 §4.1.1, §4.1.2.1, RFC 9207) and its page.

use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn a_doubtful_redirect_uri_gets_a_page_and_never_a_redirect() {
    let sandbox = sandbox_with(json!({}));
    let doubtful = [
        [("client_id", "nobody"), ("state", "s-1")],
        [("client_id", ""), ("state", "s-1")],
        [("redirect_uri", "http://127.0.0.1:9000/callback"), ("state", "s-1")],
        [("redirect_uri", "http://127.0.0.1:9000/callback?fixed=1&"), ("state", "s-1")],
        [("redirect_uri", "HTTP://127.0.0.1:9000/callback?fixed=1"), ("state", "s-1")],
        [("redirect_uri", "https://evil.example/"), ("response_type", "token")],
    ];
    for changes in doubtful {
        let answer = authorize(&sandbox, &changes).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (400, ""), "{changes:?}");
        assert!(answer.header("content-type").starts_with("text/html"));
    }
}

#[tokio::test]
async fn later_mistakes_are_told_to_the_client_with_state_and_iss() {
    let sandbox = sandbox_with(json!({}));
    let mistakes = [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("response_mode", "fragment"), "invalid_request"),
        (("scope", "read admin"), "invalid_scope"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("request", "e30.e30."), "request_not_supported"),
        (("request_uri", "urn:x"), "request_uri_not_supported"),
        (("prompt", "none login"), "invalid_request"),
    ];
    for (change, error) in mistakes {
        authorize(&sandbox, &[change]).await.assert_redirect_error(error);
    }
    register(&sandbox, "app", json!({ "grant_types": ["password"] }));
    authorize(&sandbox, &[]).await.assert_redirect_error("unauthorized_client");
}

#[tokio::test]
async fn a_repeated_parameter_is_refused() {
    let sandbox = sandbox_with(json!({}));
    for repeated in ["nonce=2", "scope=read", "code_challenge=x"] {
        let uri = format!("{}&{repeated}", authorize_uri(&[]));
        send(&sandbox, "GET", &uri, &[], "").await.assert_redirect_error("invalid_request");
    }
    let two_states = send(&sandbox, "GET", &format!("{}&state=2", authorize_uri(&[])), &[], "").await;
    assert_eq!(two_states.redirect_parameter("error").as_deref(), Some("invalid_request"));
    assert_eq!(two_states.redirect_parameter("state"), None);
    for repeated in ["client_id=app", "redirect_uri=x"] {
        let uri = format!("{}&{repeated}", authorize_uri(&[]));
        assert_eq!(send(&sandbox, "GET", &uri, &[], "").await.status, 400);
    }
}

#[tokio::test]
async fn auto_consent_answers_at_once_and_keeps_the_query_of_the_redirect_uri() {
    let sandbox = sandbox_with(json!({}));
    let answer = authorize(&sandbox, &[("prompt", "none")]).await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("location").starts_with(&format!("{REDIRECT_URI}&code=sbx_code_")));
    assert_eq!(answer.redirect_parameter("state").as_deref(), Some("s-1"));
    assert_eq!(answer.redirect_parameter("iss").as_deref(), Some(ISSUER));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn iss_can_be_left_out_or_forged_for_attack_tests() {
    let sandbox = sandbox_with(json!({ "send_iss": false }));
    assert_eq!(authorize(&sandbox, &[]).await.redirect_parameter("iss"), None);
    assert_eq!(authorize(&sandbox, &[("scope", "x")]).await.redirect_parameter("iss"), None);
    register(&sandbox, "app", json!({ "iss_override": "https://honest.example" }));
    let forged = authorize(&sandbox, &[]).await.redirect_parameter("iss");
    assert_eq!(forged.as_deref(), Some("https://honest.example"));
}

#[tokio::test]
async fn the_page_shows_client_and_scopes_and_prefills_ada() {
    let sandbox = sandbox_with(json!({ "auto_consent": null }));
    let page = authorize(&sandbox, &[]).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert!(page.body.contains("<strong>app</strong>"));
    assert!(page.body.contains(r#"<label for="username">"#) && page.body.contains(r#"value="ada""#));
    for scope in ["openid", "profile", "read"] {
        assert!(page.body.contains(&format!("<li><code>{scope}</code>")));
    }
    assert!(!page.body.contains("<script"));
    let hinted = authorize(&sandbox, &[("login_hint", "grace")]).await;
    assert!(hinted.body.contains(r#"name="username" type="text" value="grace""#));
    authorize(&sandbox, &[("prompt", "none")]).await.assert_redirect_error("login_required");
}

#[tokio::test]
async fn allow_sends_a_code_and_deny_an_error() {
    let sandbox = sandbox_with(json!({ "auto_consent": null }));
    let decided = |decision: &'static str, username: &'static str| {
        let sandbox = sandbox.clone();
        async move {
            let parameters = authorize_parameters(&[("decision", decision), ("username", username)]);
            post_form(&sandbox, "/authorize", &parameters).await
        }
    };
    decided("deny", "").await.assert_redirect_error("access_denied");
    let allowed = decided("allow", " Grace Hopper ").await;
    assert_eq!(allowed.status, 303);
    let answer = redeem(&sandbox, &allowed.redirect_parameter("code").unwrap()).await;
    let me = get_as(&sandbox, "/api/me", &answer.text("access_token")).await;
    assert_eq!(me.text("user"), "Grace Hopper");
    assert_eq!(decided("maybe", "ada").await.status, 400);
    for name in ["", "a\u{7}b"] {
        let again = decided("allow", name).await;
        assert_eq!(again.status, 422);
        assert!(again.body.contains("role=\"alert\"") && again.body.contains("name=\"code_challenge\""));
    }
}

#[tokio::test]
async fn the_decision_is_checked_like_the_request_it_answers() {
    let sandbox = sandbox_with(json!({ "auto_consent": null }));
    let forged =
        authorize_parameters(&[("decision", "allow"), ("username", "ada"), ("redirect_uri", "https://evil.example/")]);
    let answer = post_form(&sandbox, "/authorize", &forged).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (400, ""));
}

#[tokio::test]
async fn hostile_parameters_are_escaped_on_the_page() {
    let sandbox = sandbox_with(json!({ "auto_consent": null }));
    let page = authorize(&sandbox, &[("state", "\"><script>alert(1)</script>"), ("login_hint", "'\"><img>")]).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("<script") && !page.body.contains("<img"));
}

#[tokio::test]
async fn a_request_in_a_form_is_an_authorization_request_too() {
    let sandbox = sandbox_with(json!({}));
    let answer = post_form(&sandbox, "/authorize", &authorize_parameters(&[])).await;
    assert!(answer.redirect_parameter("code").is_some());
    let not_a_form = send(&sandbox, "POST", "/authorize", &[("content-type", "application/json")], "{}").await;
    assert_eq!(not_a_form.status, 400);
}

#[tokio::test]
async fn extra_callback_parameters_come_with_the_code_only() {
    let sandbox = sandbox_with(json!({ "callback_params": { "realmId": "42", "note": "a&b" } }));
    let answer = authorize(&sandbox, &[]).await;
    assert_eq!(answer.redirect_parameter("realmId").as_deref(), Some("42"));
    assert_eq!(answer.redirect_parameter("note").as_deref(), Some("a&b"));
    assert!(answer.redirect_parameter("code").is_some() && answer.redirect_parameter("state").is_some());
    assert_eq!(authorize(&sandbox, &[("scope", "x")]).await.redirect_parameter("realmId"), None);
}
