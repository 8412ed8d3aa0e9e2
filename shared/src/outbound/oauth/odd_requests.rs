//! What goes out over the wire for each grant and dialect.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::outbound::tests::server::{Server, answer, outbound_to};
use crate::protocol::exchange::{AuthSent, NoAnswer};
use crate::protocol::token::{AuthMethod, TokenEndpoint};

/// Which grant is used.
#[derive(Clone, Copy)]
enum Grant {
    Code,
    Refresh,
    Client,
    Password,
}

/// One request; its request line, its headers in lower case, its body, and the record.
async fn sent(grant: Grant, auth_method: AuthMethod, dialect: Value) -> (String, String, String, Exchange) {
    let server = Server::answering(answer("200 OK", "application/json", r#"{"access_token":"a"}"#));
    let outbound = outbound_to(&[server.origin()]);
    let request: TokenRequestDialect = serde_json::from_value(dialect).expect("a dialect");
    assert!(request.check().is_empty(), "{:?}", request.check());
    let http = OAuthHttp::new(&outbound, &server.origin()).with_dialect(&request, &TokenResponseDialect::default());
    let (secret, extra) = (Secret::from("s&1"), BTreeMap::from([("audience".to_owned(), "api".to_owned())]));
    let endpoint = TokenEndpoint {
        url: &server.url("/token?v=1"),
        client_id: "id",
        client_secret: Some(&secret),
        auth_method,
        extra: &extra,
        scope_separator: Some(","),
    };
    let scopes = ["x".to_owned(), "y".to_owned()];
    let result = match grant {
        Grant::Code => endpoint.exchange_code(&http, &"c1".into(), Some(&"v1".into()), "https://b.example/cb").await,
        Grant::Refresh => endpoint.refresh(&http, &"r1".into()).await,
        Grant::Client => endpoint.client_credentials(&http, &scopes).await,
        Grant::Password => endpoint.password(&http, &"joe".into(), &"p w".into(), &scopes).await,
    };
    assert!(result.is_ok());
    let seen = server.seen().concat();
    let (head, body) = seen.split_once("\r\n\r\n").expect("a request");
    let (line, headers) = head.split_once("\r\n").expect("a head");
    (line.to_owned(), headers.to_ascii_lowercase(), body.to_owned(), http.record().expect("a record"))
}

/// In which order the crate writes a form does not matter.
fn sorted(body: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = body.split('&').collect();
    pairs.sort_unstable();
    pairs
}

#[tokio::test]
async fn every_grant_goes_out_by_the_book_or_as_the_dialect_says() {
    use AuthMethod::{ClientSecretBasic, ClientSecretPost, None as Public};
    let plain = "POST /token?v=1 HTTP/1.1";
    let post = ClientSecretPost;
    for (name, grant, auth, dialect, line, body) in [
        (
            "code",
            Grant::Code,
            post,
            json!({}),
            plain,
            "grant_type=authorization_code&code=c1&redirect_uri=https%3A%2F%2Fb.example%2Fcb&code_verifier=v1&audience=api&client_id=id&client_secret=s%261",
        ),
        (
            "client credentials",
            Grant::Client,
            ClientSecretBasic,
            json!({}),
            plain,
            "grant_type=client_credentials&audience=api&scope=x%2Cy",
        ),
        (
            "password",
            Grant::Password,
            Public,
            json!({}),
            plain,
            "grant_type=password&username=joe&password=p+w&audience=api&scope=x%2Cy&client_id=id",
        ),
        (
            "another grant type",
            Grant::Client,
            ClientSecretBasic,
            json!({"grant_type": "urn:x"}),
            plain,
            "grant_type=urn%3Ax&audience=api&scope=x%2Cy",
        ),
        (
            "a refresh without grant type and audience",
            Grant::Refresh,
            ClientSecretBasic,
            json!({"names": {"grant_type": "", "audience": ""}, "body": {"type": "refresh"}}),
            plain,
            "refresh_token=r1&type=refresh",
        ),
        (
            "renamed in JSON",
            Grant::Client,
            post,
            json!({"content_type": "json", "names": {"client_id": "clientId",
            "client_secret": "clientSecret", "grant_type": "", "audience": "", "scope": ""}}),
            plain,
            r#"{"clientId":"id","clientSecret":"s&1"}"#,
        ),
        (
            "GET",
            Grant::Client,
            post,
            json!({"method": "GET", "names": {"audience": "", "scope": ""}}),
            "GET /token?v=1&grant_type=client_credentials&client_id=id&client_secret=s%261 HTTP/1.1",
            "",
        ),
        (
            "POST with a query",
            Grant::Refresh,
            ClientSecretBasic,
            json!({"content_type": "query", "query": {"q": "é"},
            "names": {"audience": ""}}),
            "POST /token?v=1&q=%C3%A9&grant_type=refresh_token&refresh_token=r1 HTTP/1.1",
            "",
        ),
        (
            "another scope",
            Grant::Client,
            ClientSecretBasic,
            json!({"body": {"scope": "all"}}),
            plain,
            "grant_type=client_credentials&audience=api&scope=all",
        ),
        (
            "a text",
            Grant::Refresh,
            ClientSecretBasic,
            json!({"content_type": "application/xml",
            "body": "<r t=\"{refresh_token}\" s=\"{scope}\"/>"}),
            plain,
            "<r t=\"r1\" s=\"\"/>",
        ),
    ] {
        let (seen_line, headers, seen_body, record) = sent(grant, auth, dialect).await;
        assert_eq!(seen_line, line, "{name}");
        assert_eq!(sorted(&seen_body), sorted(body), "{name}");
        assert_eq!(headers.contains("authorization: basic "), auth == ClientSecretBasic, "{name}");
        assert_eq!(headers.contains("content-type: "), !body.is_empty(), "{name}");
        let text = serde_json::to_string(&record).expect("JSON");
        for secret in ["s&1", "s%261", "r1", "c1", "v1", "p w", "p+w", "joe"] {
            assert!(!text.contains(secret), "{name}: {text}");
        }
        assert!(record.url.ends_with("/token"), "{name}");
        assert_eq!(record.parameters.first().map(|(name, _)| name.as_str()), Some("v"), "{name}");
    }
}

#[tokio::test]
async fn headers_of_the_dialect_replace_ours() {
    let headers =
        json!({"headers": {"Accept": "application/vnd.x+json", "User-Agent": "my app", "X-Id": "{client_id}"}});
    let (_, seen, _, record) = sent(Grant::Client, AuthMethod::ClientSecretPost, headers).await;
    for line in ["accept: application/vnd.x+json", "user-agent: my app", "x-id: id"] {
        assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
    }
    assert!(!seen.contains("accept: application/json"));
    assert_eq!(record.auth, AuthSent::ClientSecretPost);
    let own = json!({"headers": {"Authorization": "Client {client_id}"}, "names": {"client_id": ""}});
    let (_, seen, _, record) = sent(Grant::Client, AuthMethod::None, own).await;
    assert!(seen.contains("authorization: client id"), "{seen}");
    assert_eq!(record.auth, AuthSent::Header);
}

#[tokio::test]
async fn the_id_and_the_secret_can_be_named_wherever_they_are_sent() {
    let dialect = json!({"headers": {"X-Id": "{client_id}"}, "content_type": "application/xml",
        "body": "<a i=\"{client_id}\" s=\"{client_secret}\"/>"});
    for auth in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost] {
        let (_, headers, body, record) = sent(Grant::Refresh, auth, dialect.clone()).await;
        assert_eq!(body, "<a i=\"id\" s=\"s&amp;1\"/>");
        assert!(headers.contains("x-id: id"), "{headers}");
        assert!(!serde_json::to_string(&record).expect("JSON").contains("s&"));
    }
}

#[tokio::test]
async fn a_secret_in_the_place_of_a_parameter_that_is_shown_is_not_on_record() {
    let dialect: TokenRequestDialect = serde_json::from_value(json!({"body": {"scope": "{app}"}})).expect("one");
    let rendered = dialect.render(&|_| Some("CANARY-app".to_owned())).expect("a dialect");
    let server = Server::answering(answer("200 OK", "application/json", r#"{"access_token":"a"}"#));
    let outbound = outbound_to(&[server.origin()]);
    let http = OAuthHttp::new(&outbound, &server.origin())
        .with_dialect(&rendered, &TokenResponseDialect::default())
        .hiding(vec!["CANARY-hidden".into()]);
    let endpoint = TokenEndpoint {
        url: &server.url("/token"),
        client_id: "id CANARY-hidden",
        client_secret: None,
        auth_method: AuthMethod::None,
        extra: &BTreeMap::new(),
        scope_separator: None,
    };
    assert!(endpoint.client_credentials(&http, &["read".to_owned()]).await.is_ok());
    assert!(server.seen().concat().contains("CANARY-app"));
    assert!(!format!("{:?}", http.record()).contains("CANARY"));
}

#[tokio::test]
async fn a_request_that_cannot_be_built_or_may_not_go_there_is_not_sent() {
    let (own, evil) = (Server::answering(""), Server::answering(""));
    let outbound = outbound_to(&[own.origin(), evil.origin()]);
    let broken: TokenRequestDialect = serde_json::from_value(json!({"content_type": "text/xml"})).expect("a dialect");
    for (dialect, url, failure) in [
        (broken, own.url("/token"), NoAnswer::Unbuildable),
        (TokenRequestDialect::default(), evil.url("/token?code=CANARY"), NoAnswer::Refused),
    ] {
        let http = OAuthHttp::new(&outbound, &own.origin()).with_dialect(&dialect, &TokenResponseDialect::default());
        assert!(http.record().is_none());
        let endpoint = TokenEndpoint {
            url: &url,
            client_id: "id",
            client_secret: None,
            auth_method: AuthMethod::None,
            extra: &BTreeMap::new(),
            scope_separator: None,
        };
        let result = endpoint.refresh(&http, &"CANARY-refresh".into()).await;
        assert!(matches!(&result, Err(crate::protocol::token::TokenFailure::Transport(e)) if !e.maybe_processed()));
        let record = http.record().expect("a record");
        assert_eq!((record.failure, record.status), (Some(failure), None));
        assert!(!format!("{record:?} {http:?}").contains("CANARY"));
    }
    assert_eq!(own.seen().len() + evil.seen().len(), 0);
}

#[tokio::test]
async fn a_secret_variable_is_not_on_record_when_the_answer_repeats_it() {
    let body = r#"{"error":"invalid_client","error_description":"no app CANARY-app"}"#;
    let server = Server::answering(answer("400 Bad Request", "application/json", body));
    let outbound = outbound_to(&[server.origin()]);
    let dialect: TokenRequestDialect = serde_json::from_value(json!({"headers": {"X-App": "{app}"}})).expect("one");
    let rendered = dialect.render(&|_| Some("CANARY-app".to_owned())).expect("a dialect");
    let http = OAuthHttp::new(&outbound, &server.origin())
        .with_dialect(&rendered, &TokenResponseDialect::default())
        .hiding(vec!["CANARY-app".into()]);
    let endpoint = TokenEndpoint {
        url: &server.url("/token"),
        client_id: "id",
        client_secret: None,
        auth_method: AuthMethod::None,
        extra: &BTreeMap::new(),
        scope_separator: None,
    };
    assert!(endpoint.client_credentials(&http, &[]).await.is_err());
    assert!(server.seen().concat().contains("CANARY-app"));
    assert!(!format!("{:?} {http:?}", http.record()).contains("CANARY"));
}
