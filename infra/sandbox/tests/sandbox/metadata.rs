//! Discovery (RFC 8414, OpenID Connect Discovery) and the home page.

use serde_json::json;

use crate::harness::*;

#[tokio::test]
async fn both_documents_are_the_same_and_every_endpoint_answers() {
    let sandbox = open();
    let openid = send(&sandbox, "GET", "/.well-known/openid-configuration", &[], "").await.json();
    let oauth = send(&sandbox, "GET", "/.well-known/oauth-authorization-server", &[], "").await.json();
    assert_eq!(openid, oauth);
    assert_eq!(openid["issuer"], ISSUER);
    assert_eq!(openid["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(openid["authorization_response_iss_parameter_supported"], true);
    for (name, value) in openid.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            let path = value.as_str().unwrap().strip_prefix(ISSUER).unwrap();
            assert_ne!(send(&sandbox, "GET", path, &[], "").await.status, 404, "{name}");
        }
    }
}

#[tokio::test]
async fn the_home_page_says_what_this_is() {
    let sandbox = open();
    let page = send(&sandbox, "GET", "/", &[], "").await;
    assert!(page.status == 200 && page.body.contains("This is a sandbox"));
    let style = send(&sandbox, "GET", "/style.css", &[], "").await;
    assert!(style.header("content-type").starts_with("text/css") && style.body.contains("prefers-color-scheme: dark"));
}
