//! Redeeming authorization codes (RFC 6749 §4.1.3, RFC 7636 §4.6) and what the ID token says.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use crate::harness::*;

async fn redeem_with(sandbox: &grantkeeper_sandbox::Sandbox, code: &str, changes: &[(&str, &str)]) -> Answer {
    let mut parameters = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    parameters.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    parameters.extend(changes);
    as_app(sandbox, "/token", &parameters).await
}

#[tokio::test]
async fn a_code_becomes_tokens() {
    let sandbox = sandbox_with(json!({}));
    let answer = tokens(&sandbox).await;
    assert!(answer.text("access_token").starts_with("sbx_at_"));
    assert!(answer.text("refresh_token").starts_with("sbx_rt_"));
    assert_eq!(answer.text("token_type"), "Bearer");
    assert_eq!(answer.text("scope"), "openid profile read");
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    let me = get_as(&sandbox, "/api/me", &answer.text("access_token")).await;
    let expected = json!({
        "user": "ada", "client_id": "app", "scopes": ["openid", "profile", "read"], "grant_type": "authorization_code",
    });
    assert_eq!(me.json(), expected);
}

#[tokio::test]
async fn a_second_use_of_a_code_revokes_what_the_first_gave() {
    let sandbox = sandbox_with(json!({}));
    let code = new_code(&sandbox).await;
    let first = redeem(&sandbox, &code).await;
    let refreshed = refresh(&sandbox, &first.text("refresh_token")).await;
    sandbox.advance_clock(3000);
    redeem(&sandbox, &code).await.assert_error(400, "invalid_grant");
    assert_dead(&sandbox, &first.text("access_token")).await;
    assert_dead(&sandbox, &refreshed.text("access_token")).await;
    refresh(&sandbox, &refreshed.text("refresh_token")).await.assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn a_wrong_or_missing_verifier_is_refused_and_the_code_stays_good() {
    let sandbox = sandbox_with(json!({}));
    let code = new_code(&sandbox).await;
    for verifier in ["", "short", &"x".repeat(43), &"é".repeat(30), CHALLENGE] {
        let answer = redeem_with(&sandbox, &code, &[("code_verifier", verifier)]).await;
        answer.assert_error(400, "invalid_grant");
    }
    assert_eq!(redeem(&sandbox, &code).await.status, 200);
}

#[tokio::test]
async fn a_verifier_without_a_challenge_is_refused() {
    let sandbox = sandbox_with(json!({ "require_pkce": false }));
    let answer = authorize(&sandbox, &[("code_challenge", ""), ("code_challenge_method", "")]).await;
    let code = answer.redirect_parameter("code").unwrap();
    redeem(&sandbox, &code).await.assert_error(400, "invalid_grant");
    assert_eq!(redeem_with(&sandbox, &code, &[("code_verifier", "")]).await.status, 200);
}

#[tokio::test]
async fn the_redirect_uri_must_be_the_one_of_the_authorization_request() {
    let sandbox = sandbox_with(json!({}));
    let code = new_code(&sandbox).await;
    for redirect_uri in ["", "http://127.0.0.1:9000/callback", "http://evil.example/"] {
        redeem_with(&sandbox, &code, &[("redirect_uri", redirect_uri)]).await.assert_error(400, "invalid_grant");
    }
    assert_eq!(redeem(&sandbox, &code).await.status, 200);
}

#[tokio::test]
async fn a_redirect_uri_left_out_of_both_requests_is_fine() {
    let sandbox = sandbox_with(json!({}));
    let code = authorize(&sandbox, &[("redirect_uri", "")]).await.redirect_parameter("code").unwrap();
    assert_eq!(redeem_with(&sandbox, &code, &[("redirect_uri", "")]).await.status, 200);
}

#[tokio::test]
async fn a_code_expires() {
    let sandbox = sandbox_with(json!({ "code_seconds": 10 }));
    let code = new_code(&sandbox).await;
    sandbox.advance_clock(10);
    redeem(&sandbox, &code).await.assert_error(400, "invalid_grant");
}

#[tokio::test]
async fn another_client_can_neither_redeem_a_code_nor_burn_it() {
    let sandbox = sandbox_with(json!({}));
    register(&sandbox, "other", json!({}));
    let code = new_code(&sandbox).await;
    let parameters = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    as_client(&sandbox, "other", "/token", &parameters).await.assert_error(400, "invalid_grant");
    let first = redeem(&sandbox, &code).await;
    as_client(&sandbox, "other", "/token", &parameters).await.assert_error(400, "invalid_grant");
    assert_valid(&sandbox, &first.text("access_token")).await;
}

async fn verified_claims(sandbox: &grantkeeper_sandbox::Sandbox, id_token: &str) -> Value {
    let jwks: JwkSet = serde_json::from_value(send(sandbox, "GET", "/jwks", &[], "").await.json()).unwrap();
    let header = decode_header(id_token).unwrap();
    assert_eq!(header.alg, Algorithm::ES256);
    let key = DecodingKey::from_jwk(jwks.find(header.kid.as_deref().unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&["app"]);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    decode::<Value>(id_token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn the_id_token_verifies_against_the_jwks_and_binds_nonce_and_access_token() {
    let sandbox = sandbox_with(json!({}));
    let answer = tokens(&sandbox).await;
    let claims = verified_claims(&sandbox, &answer.text("id_token")).await;
    assert_eq!((&claims["sub"], &claims["nonce"]), (&json!("ada"), &json!("n-1")));
    assert!(claims["iat"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(claims["at_hash"].as_str().unwrap().len(), 22);
    let refreshed = refresh(&sandbox, &answer.text("refresh_token")).await;
    let again = verified_claims(&sandbox, &refreshed.text("id_token")).await;
    assert_eq!((&again["sub"], again.get("nonce")), (&claims["sub"], None));
    assert_eq!(again["auth_time"], claims["auth_time"]);
}

#[tokio::test]
async fn the_subject_of_a_name_beyond_ascii_is_ascii() {
    let sandbox = sandbox_with(json!({ "auto_consent": "zoë" }));
    let claims = verified_claims(&sandbox, &tokens(&sandbox).await.text("id_token")).await;
    assert_eq!(claims["sub"], "zo%C3%AB");
}

#[tokio::test]
async fn without_openid_there_is_no_id_token() {
    let sandbox = sandbox_with(json!({}));
    let code = authorize(&sandbox, &[("scope", "read")]).await.redirect_parameter("code").unwrap();
    assert_eq!(redeem(&sandbox, &code).await.json().get("id_token"), None);
}
