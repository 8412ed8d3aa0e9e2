use super::*;
use serde_json::json;

const ENDPOINT: &str = "https://as.example/revoke";

fn api(access_token: Option<&Secret<String>>) -> ApiCall<'_> {
    ApiCall { header: "Authorization", prefix: "Bearer", access_token }
}

fn ask(dialect: Value) -> WireRequest {
    let dialect: RevocationDialect = serde_json::from_value(dialect).expect("a dialect");
    assert!(dialect.check().is_empty(), "{:?}", dialect.check());
    let secret = Secret::from("s");
    let auth = ClientAuth { method: AuthMethod::ClientSecretPost, client_id: "c", client_secret: Some(&secret) };
    request(ENDPOINT, &"rt".into(), "refresh_token", auth, &dialect, api(Some(&"at".into()))).expect("a request")
}

#[test]
fn a_revocation_is_rfc_7009_unless_the_dialect_differs() {
    let standard = "token=rt&token_type_hint=refresh_token";
    let post = format!("{standard}&client_id=c&client_secret=s");
    for (name, dialect, method, query, authorization, body) in [
        ("by the book", json!({}), "POST", "", "", post.clone()),
        ("basic", json!({"auth": "client_secret_basic"}), "POST", "", "Basic Yzpz", standard.to_owned()),
        ("public", json!({"auth": "none"}), "POST", "", "", format!("{standard}&client_id=c")),
        ("bearer", json!({"auth": "bearer"}), "POST", "", "Bearer at", String::new()),
        (
            "bearer and token",
            json!({"auth": "bearer", "names": {"token": "token"}}),
            "POST",
            "",
            "Bearer at",
            "token=rt".to_owned(),
        ),
        (
            "DELETE, as an API call",
            json!({"method": "DELETE", "auth": "bearer"}),
            "DELETE",
            "",
            "Bearer at",
            String::new(),
        ),
        (
            "DELETE with JSON",
            json!({"method": "DELETE", "auth": "client_secret_basic", "content_type": "json",
            "names": {"token": "access_token", "token_type_hint": ""}}),
            "DELETE",
            "",
            "Basic Yzpz",
            r#"{"access_token":"rt"}"#.to_owned(),
        ),
        (
            "GET",
            json!({"method": "GET", "auth": "none", "names": {"client_id": "", "token_type_hint": ""}}),
            "GET",
            "?token=rt",
            "",
            String::new(),
        ),
        (
            "in the query",
            json!({"content_type": "query", "auth": "none", "names": {"client_id": ""}}),
            "POST",
            "?token=rt&token_type_hint=refresh_token",
            "",
            String::new(),
        ),
        (
            "own header",
            json!({"auth": "none", "content_type": "json", "headers": {"Authorization": "Client k"},
            "names": {"token": "access_token", "token_type_hint": ""}}),
            "POST",
            "",
            "Client k",
            r#"{"access_token":"rt","client_id":"c"}"#.to_owned(),
        ),
        (
            "extra parameter",
            json!({"body": {"grant_type": "delete"}}),
            "POST",
            "",
            "",
            format!("{post}&grant_type=delete"),
        ),
    ] {
        let wire = ask(dialect);
        assert_eq!(wire.method.as_str(), method, "{name}");
        assert_eq!(wire.url, format!("{ENDPOINT}{query}"), "{name}");
        let sent = wire.headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().expect("text"));
        assert_eq!(sent, authorization, "{name}");
        assert_eq!(String::from_utf8_lossy(&wire.body), body, "{name}");
        assert!(wire.parameters.iter().all(|(_, value)| !["rt", "at", "s"].contains(&value.as_str())), "{name}");
    }
}

#[test]
fn an_id_and_a_secret_are_encoded_before_basic() {
    let secret = Secret::from("p:ä");
    let auth = ClientAuth { method: AuthMethod::ClientSecretBasic, client_id: "a:b", client_secret: Some(&secret) };
    let wire = request(ENDPOINT, &"t".into(), "access_token", auth, &RevocationDialect::default(), api(None));
    let header = wire.expect("a request").headers[header::AUTHORIZATION].to_str().expect("text").to_owned();
    let pair = STANDARD.decode(header.strip_prefix("Basic ").expect("Basic")).expect("base64");
    assert_eq!(pair, b"a%3Ab:p%3A%C3%A4");
}

#[test]
fn only_a_success_or_a_dead_token_is_proof() {
    let (json, form, html) = (Some("application/json"), Some("application/x-www-form-urlencoded"), Some("text/html"));
    let later = |why| Verdict::Later(Some(why));
    for (status, content_type, body, verdict) in [
        (200, None, "", Verdict::Revoked),
        (204, None, "", Verdict::Revoked),
        // Django calls nothing HTML.
        (200, html, "", Verdict::Revoked),
        (200, json, r#"{"ok":true,"revoked":true}"#, Verdict::Revoked),
        (200, json, r#"{"ok":false,"error":"token_revoked"}"#, Verdict::Revoked),
        (400, json, r#"{"error":"invalid_token"}"#, Verdict::Revoked),
        // A success that says no.
        (200, None, "<html>", later("not_an_answer")),
        (200, html, "Sign in", later("not_an_answer")),
        (200, json, r#"{"error":{"message":"no"}}"#, later("other")),
        (200, json, r#"{"error":true}"#, later("other")),
        (200, json, r#"{"error":401}"#, later("other")),
        (200, json, r#"{"ok":"false"}"#, later("other")),
        (200, form, "error=invalid_request", later("invalid_request")),
        (200, Some("text/plain"), "error=x", later("other")),
        (200, json, r#"{"ok":false,"error":"not_allowed"}"#, later("other")),
        (200, json, r#"{"error":"invalid_client"}"#, later("invalid_client")),
        (200, json, r#"{"error":"server_error"}"#, Verdict::Later(None)),
        // Only this one is final.
        (400, json, r#"{"error":"unsupported_token_type"}"#, Verdict::Refused("unsupported_token_type")),
        (400, json, r#"{"error":{"type":"invalid_request"}}"#, later("invalid_request")),
        (400, None, "nonsense", later("other")),
        (401, json, r#"{"error":"invalid_client"}"#, later("invalid_client")),
        (401, json, r#"{"error":"bad_client_secret"}"#, later("invalid_client")),
        (401, json, r#"{"error":"invalid_token"}"#, later("unauthorized")),
        (403, None, "", later("forbidden")),
        (404, None, "", later("not_found")),
        (405, None, "", later("method_not_allowed")),
        (302, None, "", later("redirected")),
        (429, None, "", Verdict::Later(None)),
        (408, None, "", Verdict::Later(None)),
        (500, json, r#"{"error":"invalid_client"}"#, Verdict::Later(None)),
        (503, None, "", Verdict::Later(None)),
    ] {
        assert_eq!(read(status, content_type, body.as_bytes()), verdict, "{status} {body}");
    }
}

#[test]
fn a_revocation_that_is_an_api_call_carries_the_token_as_the_api_wants_it() {
    let dialect = RevocationDialect { auth: Some(RevocationAuth::Bearer), ..RevocationDialect::default() };
    let auth = ClientAuth { method: AuthMethod::ClientSecretPost, client_id: "c", client_secret: None };
    let token = Secret::from("at");
    let api = ApiCall { header: "X-Shop-Access-Token", prefix: "", access_token: Some(&token) };
    let wire = request(ENDPOINT, &"rt".into(), "refresh_token", auth, &dialect, api).expect("a request");
    assert_eq!(wire.headers.get("X-Shop-Access-Token").unwrap(), "at");
    assert_eq!(wire.headers.get("Authorization"), None);
}
