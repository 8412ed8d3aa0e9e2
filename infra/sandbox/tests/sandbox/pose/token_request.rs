//! Token requests to a pose.

use std::collections::BTreeMap;

use grantkeeper_sandbox::Endpoint;
use serde_json::json;

use super::visitor::*;
use crate::harness::{REDIRECT_URI, VERIFIER, basic, form};

#[tokio::test]
async fn a_request_by_the_book_gets_tokens() {
    let visit = visit(json!({}));
    let answer = visit.tokens().await;
    assert_eq!((answer.text("token_type"), answer.text("scope")), ("Bearer".into(), "a b".into()));
    assert_eq!(answer.json()["expires_in"], 3600);
    assert!(answer.text("refresh_token").starts_with("sbx_rt_"));
    assert_eq!(visit.pose.reached(), [Endpoint::Authorize, Endpoint::Token]);
    assert_eq!(visit.sandbox.log()[0].path, "/token");
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_reason() {
    let visit = visit(json!({}));
    let code = visit.code().await;
    let right = exchange(&code);
    let basic = basic("app", "s3cret");
    let (auth, body) = (("authorization", basic.as_str()), form(&right));
    let all = [&MANNERS[..], &[auth, FORM]].concat();
    let without = |name: &str| -> Vec<_> { all.iter().copied().filter(|(known, _)| *known != name).collect() };
    for (method, headers, body, reason) in [
        ("PUT", all.clone(), body.clone(), "the method must be POST, not PUT"),
        ("POST", without("user-agent"), body.clone(), "the header User-Agent is missing"),
        ("POST", without("accept"), body.clone(), "the header Accept must be application/json"),
        ("POST", without("authorization"), body.clone(), "HTTP Basic is missing"),
        ("POST", without("content-type"), body.clone(), "the body must be a form"),
        ("POST", all.clone(), format!("{body}&client_id=app"), "the parameter client_id is not known here"),
        ("POST", all.clone(), format!("{body}&client_secret=s3cret"), "the parameter client_secret is not known"),
        ("POST", all.clone(), format!("{body}&code=2"), "the parameter code comes twice"),
        ("POST", all.clone(), form(&right[..3]), "the parameter code_verifier is missing"),
        ("POST", all.clone(), form(&right[1..]), "the parameter grant_type is missing"),
    ] {
        let answer = visit.send(method, TOKEN, &headers, &body).await;
        answer.assert_error(400, "invalid_request");
        visit.refused(&answer, reason);
    }
    visit.refused(&visit.post_basic(&format!("{TOKEN}?x=1"), &right).await, "the parameter x is not known here");
    let wrong_secret = [("authorization", &*crate::harness::basic("app", "no")), FORM];
    let answer = visit.ask("POST", TOKEN, &wrong_secret, &body).await;
    answer.assert_error(401, "invalid_client");
    visit.refused(&answer, "token: invalid_client: client authentication failed");
    let another = [("authorization", &*crate::harness::basic("other", "s3cret")), FORM];
    visit.refused(&visit.ask("POST", TOKEN, &another, &body).await, "HTTP Basic names another client");
    assert_eq!(visit.post_basic(TOKEN, &right).await.status, 200, "nothing of all that spent the code");
    visit.refused(&visit.post_basic(TOKEN, &right).await, "invalid_grant: the code is unknown");
}

#[tokio::test]
async fn a_secret_in_the_body_excludes_http_basic() {
    let visit = visit(json!({ "token_endpoint_auth_method": "client_secret_post" }));
    let code = visit.code().await;
    let right = [exchange(&code).as_slice(), &[("client_id", "app"), ("client_secret", "s3cret")]].concat();
    visit.refused(&visit.post_basic(TOKEN, &right).await, "the header Authorization must be left out");
    visit.refused(&visit.post_form(TOKEN, &right[..5]).await, "the parameter client_secret is missing");
    assert_eq!(visit.post_form(TOKEN, &right).await.status, 200);
}

#[tokio::test]
async fn a_public_client_shows_its_id_alone() {
    let mut settings = settings(json!({ "token_endpoint_auth_method": "none" }));
    settings.client_secrets.clear();
    let visit = visit_with(settings);
    let code = visit.code().await;
    let right = [exchange(&code).as_slice(), &[("client_id", "app")]].concat();
    let more = [right.as_slice(), &[("client_secret", "s3cret")]].concat();
    visit.refused(&visit.post_form(TOKEN, &more).await, "the parameter client_secret is not known here");
    assert_eq!(visit.post_form(TOKEN, &right).await.status, 200);
}

#[tokio::test]
async fn a_json_body_has_other_names_extra_members_and_no_grant_type() {
    let facts = json!({
        "token_endpoint_auth_method": "client_secret_post", "pkce": false,
        "token_request": {
            "content_type": "json", "headers": { "X-Version": "{version}", "X-None": "{none?}" },
            "names": { "client_id": "app_id", "client_secret": "secret", "code": "auth_code", "grant_type": "",
                "redirect_uri": "" },
            "body": { "n": 3, "list": ["{version}"], "nonce": "{uuid}", "none": "{none?}" },
        },
        "variables": [{ "key": "version", "default": "v2" }, { "key": "none" }],
    });
    let visit = visit(facts);
    let pkce = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = visit.authorize(&by_the_book(&pkce)).await.redirect_parameter("code").unwrap();
    let right = json!({
        "app_id": "app", "secret": "s3cret", "auth_code": code, "n": 3, "list": ["v2"], "nonce": "u-1",
    });
    let version = [("x-version", "v2")];
    for (name, value, reason) in [
        ("n", json!("3"), "the parameter n must be `3`"),
        ("list", json!(["v1"]), "the parameter list must be `a list`"),
        ("nonce", json!(""), "the parameter nonce must be `{uuid}`"),
        ("grant_type", json!("authorization_code"), "the parameter grant_type is not known here"),
        ("redirect_uri", json!(REDIRECT_URI), "the parameter redirect_uri is not known here"),
        ("code_verifier", json!(VERIFIER), "the parameter code_verifier is not known here"),
        ("client_id", json!("app"), "the parameter client_id is not known here"),
        ("none", json!(""), "the parameter none is not known here"),
    ] {
        let mut wrong = right.clone();
        wrong[name] = value;
        visit.refused(&visit.post_json(TOKEN, &version, wrong).await, reason);
    }
    let answer = visit.post_form(TOKEN, &[("app_id", "app"), ("secret", "s3cret"), ("auth_code", &code)]).await;
    visit.refused(&answer, "the header X-Version is missing");
    let headers = [version[0], FORM];
    visit.refused(&visit.ask("POST", TOKEN, &headers, "a=b").await, "token: the body must be JSON, not `application/x");
    let none = [version[0], ("x-none", "")];
    visit.refused(&visit.post_json(TOKEN, &none, right.clone()).await, "the header X-None must be left out");
    let answer = visit.post_json(TOKEN, &version, right).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn everything_goes_into_the_query() {
    let request = json!({ "method": "GET", "query": { "v": "2" }, "grant_type": "code_word" });
    let facts = json!({
        "token_endpoint": "https://x.example/token?do=get", "token_request": request,
        "token_endpoint_auth_method": "client_secret_post",
    });
    let visit = visit(facts);
    let code = visit.code().await;
    let mut right =
        [exchange(&code).as_slice(), &[("client_id", "app"), ("client_secret", "s3cret"), ("v", "2")]].concat();
    right[0].1 = "code_word";
    let url = |parameters: &[(&str, &str)]| format!("{TOKEN}?do=get&{}", form(parameters));
    let answer = visit.ask("POST", &url(&right), &[], "").await;
    visit.refused(&answer, "the method must be GET, not POST");
    visit.refused(&visit.ask("GET", &url(&right), &[FORM], "x=1").await, "the body empty");
    visit.refused(&visit.ask("GET", &url(&right[..6]), &[], "").await, "the parameter v is missing (in the query)");
    visit.refused(&visit.ask("GET", &url(&right).replace("do=get&", ""), &[], "").await, "the query of the address");
    let standard = url(&right).replace("code_word", "authorization_code");
    visit.refused(&visit.ask("GET", &standard, &[], "").await, "the parameter grant_type must be `code_word`");
    assert_eq!(visit.ask("GET", &url(&right), &[], "").await.status, 200);
    // Parameters in the query of a POST.
    let facts = json!({ "token_request": { "content_type": "query" } });
    let visit = super::visitor::visit(facts);
    let code = visit.code().await;
    let auth = [("authorization", &*basic("app", "s3cret"))];
    let answer = visit.ask("POST", &format!("{TOKEN}?{}", form(&exchange(&code))), &auth, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_text_is_the_whole_body_and_a_header_carries_the_secret() {
    let body = "<t><id>{client_id}</id><code>{code}</code><to>{redirect_uri}</to><v>{code_verifier}</v></t>";
    let request = json!({
        "content_type": "text/xml", "body": body, "headers": { "Authorization": "Key {client_secret}" },
    });
    let visit = visit(json!({ "token_request": request }));
    let code = visit.code().await;
    let text = |to: &str| format!("<t><id>app</id><code>{code}</code><to>{to}</to><v>{VERIFIER}</v></t>");
    let headers = [("content-type", "text/xml"), ("authorization", "Key s3cret")];
    visit.refused(&visit.ask("POST", TOKEN, &headers, "<t/>").await, "the body must be `<t><id>app</id><code>{code}");
    let other = [("content-type", "text/plain"), headers[1]];
    visit.refused(&visit.ask("POST", TOKEN, &other, &text(REDIRECT_URI)).await, "the body must be `text/xml`");
    let other = [headers[0], ("authorization", "Basic s3cret")];
    let answer = visit.ask("POST", TOKEN, &other, &text(REDIRECT_URI)).await;
    visit.refused(&answer, "the header Authorization must be `Key {client_secret}`");
    let answer = visit.ask("POST", TOKEN, &[headers[0], ("authorization", "Key no")], &text(REDIRECT_URI)).await;
    visit.refused(&answer, "invalid_client");
    let elsewhere = visit.ask("POST", TOKEN, &headers, &text("http://127.0.0.1:9000/&amp;")).await;
    visit.refused(&elsewhere, "redirect_uri differs");
    let answer = visit.ask("POST", TOKEN, &headers, &text(REDIRECT_URI)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_redirect_uri_has_another_value_and_the_token_host_comes_from_the_callback() {
    let facts = json!({
        "token_endpoint": "https://{shop}.x.example/token",
        "token_request": { "names": { "redirect_uri": "" }, "body": { "redirect_uri": "{ru_name}" } },
        "variables": [{ "key": "ru_name", "source": "client" }, { "key": "shop", "source": "callback", "from": "shop" }],
    });
    let mut settings = settings(facts);
    settings.values = BTreeMap::from([("ru_name".into(), "Ada-App".into())]);
    settings.found = BTreeMap::from([("shop".into(), json!("acme"))]);
    let visit = visit_with(settings);
    let code = visit.code().await;
    let mut parameters = exchange(&code);
    let url = "https://acme.x.example/token";
    visit.refused(&visit.post_basic(url, &parameters).await, "the parameter redirect_uri must be `Ada-App`");
    parameters[2].1 = "Ada-App";
    assert_eq!(visit.post_basic(url, &parameters).await.status, 200);
}

#[tokio::test]
async fn a_client_of_its_own_asks_with_scopes_apart_as_the_entry_says() {
    let facts = json!({ "grant_types": ["client_credentials", "password"], "audience": "api",
        "scopes": { "required": ["a", "b"], "separator": "," } });
    let visit = visit(facts);
    let right = [("grant_type", "client_credentials"), ("scope", "a,b"), ("audience", "api")];
    let spaced = [right[0], ("scope", "a b"), right[2]];
    let answer = visit.post_basic(TOKEN, &spaced).await;
    answer.assert_error(400, "invalid_scope");
    visit.refused(&answer, "`a b` is none of the scopes, between which stands `,`");
    visit.refused(&visit.post_basic(TOKEN, &right[..2]).await, "the parameter audience is missing");
    let answer = visit.post_basic(TOKEN, &right).await;
    assert_eq!((answer.status.as_u16(), answer.text("scope")), (200, "a b".into()));
    let password = [
        ("grant_type", "password"),
        ("username", "ada"),
        ("password", "sandbox"),
        ("scope", "a,b"),
        ("audience", "api"),
    ];
    assert_eq!(visit.post_basic(TOKEN, &password).await.status, 200);
    let answer = visit.post_basic(TOKEN, &exchange("sbx_code_x")).await;
    answer.assert_error(400, "unauthorized_client");
    visit.refused(&answer, "this provider has no such grant");
}
