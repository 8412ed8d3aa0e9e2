use std::error::Error;

use oauth2::basic::{BasicClient, BasicErrorResponseType, BasicRequestTokenError, BasicTokenResponse};
use oauth2::{AuthType, ClientId, ClientSecret, RefreshToken, RequestTokenError, TokenResponse, TokenUrl};

use super::*;
use crate::outbound::tests::server::{Server, answer, outbound_to};

type Refreshed = Result<BasicTokenResponse, BasicRequestTokenError<OAuthHttpError>>;

async fn refresh(http: &OAuthHttp<'_>, token_url: String) -> Refreshed {
    BasicClient::new(ClientId::new("id".to_owned()))
        .set_client_secret(ClientSecret::new("secret".to_owned()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(TokenUrl::new(token_url).expect("a URL"))
        .exchange_refresh_token(&RefreshToken::new("rt1".to_owned()))
        .request_async(http)
        .await
}

/// One refresh at a server that answers this, and what the wire said.
async fn refresh_at(server: &Server) -> (Refreshed, Option<Outcome>) {
    let outbound = outbound_to(&[server.origin()]);
    let http = OAuthHttp::new(&outbound, &server.origin());
    let result = refresh(&http, server.url("/token")).await;
    (result, http.outcome())
}

fn outbound_error(result: Refreshed) -> OAuthHttpError {
    match result {
        Err(RequestTokenError::Request(error)) => error,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[tokio::test]
async fn the_crate_sees_rfc_6749_where_the_wire_is_off() {
    let body = r#"{"access_token":"at2","expires_in":"3600","refresh_token":"","scope":["a","b"]}"#;
    let server = Server::answering(answer("201 Created", "text/javascript", body));
    let (result, outcome) = refresh_at(&server).await;
    let tokens = result.expect("tokens");
    assert_eq!(tokens.access_token().secret(), "at2");
    assert_eq!(tokens.expires_in(), Some(Duration::from_secs(3600)));
    assert!(tokens.refresh_token().is_none());
    assert_eq!(tokens.scopes().map(Vec::len), Some(2));
    assert_eq!(outcome, Some(Outcome { status: 201, retry_after: None }));
    let seen = server.seen().concat();
    assert!(seen.contains("accept: application/json\r\n") && seen.contains("refresh_token=rt1"), "{seen}");
}

#[tokio::test]
async fn an_error_with_status_200_reaches_the_crate_as_an_error() {
    let server = Server::answering(answer("200 OK", "application/json", r#"{"ok":false,"error":"invalid_grant"}"#));
    let (result, outcome) = refresh_at(&server).await;
    let Err(RequestTokenError::ServerResponse(error)) = result else { panic!("no error") };
    assert_eq!(*error.error(), BasicErrorResponseType::InvalidGrant);
    assert_eq!(outcome.map(|outcome| outcome.status), Some(200));
}

#[tokio::test]
async fn a_secret_goes_to_no_other_origin_than_its_own() {
    let (own, evil) = (Server::answering(""), Server::answering(""));
    let outbound = outbound_to(&[own.origin(), evil.origin()]);
    let other_spellings = [own.url("/token"), format!("{}.", own.origin()), String::new(), "null".to_owned()];
    for bound in [own.origin()].into_iter().chain(other_spellings) {
        let http = OAuthHttp::new(&outbound, &bound);
        let error = outbound_error(refresh(&http, evil.url("/token")).await);
        assert!(matches!(error, OAuthHttpError::Outbound(OutboundError::Refused(UrlRefusal::OriginNotBound))));
        assert!(!error.maybe_processed());
        assert_eq!(http.outcome(), None);
    }
    assert_eq!(own.seen().len() + evil.seen().len(), 0);
}

#[tokio::test]
async fn the_outcome_tells_later_from_unknown() {
    for (head, retry_after) in [
        ("429 Too Many Requests\r\nRetry-After: 30", Some(30)),
        ("503 Service Unavailable\r\nRetry-After:  7 ", Some(7)),
        (
            "503 Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:37 GMT",
            Some(60),
        ),
        (
            "503 Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:07 GMT",
            Some(0),
        ),
        ("503 Unavailable\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("503 Unavailable\r\nRetry-After: -1", None),
        ("500 Internal Server Error", None),
    ] {
        let status = head[..3].parse().expect("a status");
        let (result, outcome) = refresh_at(&Server::answering(answer(head, "text/html", "<html>"))).await;
        assert_eq!(outbound_error(result), OAuthHttpError::NotJson { status });
        let retry_after = retry_after.map(Duration::from_secs);
        assert_eq!(outcome, Some(Outcome { status, retry_after }), "{head}");
    }
}

#[tokio::test]
async fn a_call_without_an_answer_forgets_the_last_outcome() {
    let server = Server::answering(answer("200 OK", "application/json", r#"{"access_token":"at"}"#));
    let outbound = outbound_to(&[server.origin()]);
    let http = OAuthHttp::new(&outbound, &server.origin());
    assert!(refresh(&http, server.url("/token")).await.is_ok());
    assert!(refresh(&http, "https://elsewhere.example/token".to_owned()).await.is_err());
    assert_eq!(http.outcome(), None);
}

#[tokio::test]
async fn no_error_holds_text_of_the_answer() {
    for body in [
        "<html>CANARY</html>",
        r#"{"message":"CANARY"}"#,
        r#"{"error":"CANARY\r\n"}"#,
        r#"{"access_token":"CANARY\r\n"}"#,
        r#"{"access_token":["CANARY"]}"#,
    ] {
        for status in ["200 OK", "400 Bad Request", "500 Internal Server Error"] {
            let (result, _) = refresh_at(&Server::answering(answer(status, "application/json", body))).await;
            let error = outbound_error(result);
            let source = error.source().map(|source| format!("{source} {source:?}"));
            assert!(!format!("{error} {error:?} {source:?}").contains("CANARY"), "{body}");
            assert!(error.maybe_processed());
        }
    }
}

#[test]
fn the_future_can_move_between_threads() {
    fn is_send<T: Send>(_: T) {}
    let outbound = outbound_to(&["http://127.0.0.1:1".to_owned()]);
    let http = OAuthHttp::new(&outbound, "http://127.0.0.1:1");
    is_send(refresh(&http, "http://127.0.0.1:1/token".to_owned()));
}
