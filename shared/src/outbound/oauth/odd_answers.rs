//! Token answers as they really come, through the adapter and the crate: the tokens are right, or there are none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::outbound::tests::server::{Server, answer, outbound_to};
use crate::protocol::token::{AuthMethod, TokenAnswer, TokenEndpoint, TokenFailure};

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;

type Result = std::result::Result<TokenAnswer, TokenFailure<OAuthHttpError>>;

async fn refresh_at(server: &Server, dialect: Value) -> (Result, Exchange) {
    let outbound = outbound_to(&[server.origin()]);
    let response: TokenResponseDialect = serde_json::from_value(dialect).expect("a dialect");
    assert!(response.check().is_empty(), "{:?}", response.check());
    let http = OAuthHttp::new(&outbound, &server.origin())
        .with_dialect(&TokenRequestDialect::default(), &response)
        .at(DateTime::from_timestamp(NOW, 0).expect("a time"));
    let secret = Secret::from("CANARY-client");
    let endpoint = TokenEndpoint {
        url: &server.url("/token"),
        client_id: "id",
        client_secret: Some(&secret),
        auth_method: AuthMethod::ClientSecretBasic,
        extra: &BTreeMap::new(),
        scope_separator: None,
    };
    let result = endpoint.refresh(&http, &"CANARY-refresh".into()).await;
    (result, http.record().expect("a record"))
}

/// What came of it, in one line: `access refresh lifetime scopes type`, with `-` for what is missing, or the failure.
fn line(result: &Result) -> String {
    match result {
        Ok(tokens) => {
            let refresh = tokens.refresh_token.as_ref().map_or("-", |token| token.expose());
            let lifetime = tokens.expires_in.map_or("-".to_owned(), |seconds| seconds.to_string());
            let scopes = tokens.scopes.as_ref().map_or("-".to_owned(), |scopes| scopes.join("+"));
            let access = if tokens.usable { tokens.access_token.expose().as_str() } else { "unusable" };
            format!("{access} {refresh} {lifetime} {scopes} {}", tokens.token_type)
        }
        Err(TokenFailure::Refused(code)) => format!("refused {code}"),
        Err(TokenFailure::NotOAuth) => "not OAuth".to_owned(),
        Err(TokenFailure::Transport(error)) => match error {
            OAuthHttpError::NotJson { status } => format!("{status} not JSON"),
            OAuthHttpError::Compressed { status } => format!("{status} compressed"),
            OAuthHttpError::NoErrorCode { status } => format!("{status} no code"),
            OAuthHttpError::NoAccessToken { status } => format!("{status} no token"),
            OAuthHttpError::UnsafeToken => "unsafe token".to_owned(),
            OAuthHttpError::Outbound(_) => "no answer".to_owned(),
        },
    }
}

const J: &str = "application/json";
const F: &str = "application/x-www-form-urlencoded";
const T: &str = "text/plain; charset=utf-8";
const H: &str = "text/html";

#[tokio::test]
async fn odd_answers_give_the_right_tokens_or_none() {
    let none = || json!({});
    let slack = || json!({"access_token": "/authed_user/access_token", "scope": "/authed_user/scope", "ok": "ok"});
    let tiktok = || json!({"root": "/data", "ok": "/code==0", "error": "/message"});
    let withings = || json!({"root": "/body", "ok": "/status==0", "error": "/status", "error_description": "/error"});
    let at = |place: &str| json!({"expires_at": place});
    let ms = || json!({"expires_in_unit": "milliseconds"});
    let rows: Vec<(&str, Value, u16, &str, &str, &str)> = vec![
        // By the book, and near it.
        (
            "by the book",
            none(),
            200,
            J,
            r#"{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r","scope":"x y"}"#,
            "a r 60 x+y bearer",
        ),
        ("status 201", none(), 201, J, r#"{"access_token":"a"}"#, "a - - - bearer"),
        ("another token type", none(), 200, J, r#"{"access_token":"a","token_type":"bot"}"#, "a - - - bot"),
        ("a byte order mark", none(), 200, J, "\u{feff}{\"access_token\":\"a\"}", "a - - - bearer"),
        ("called a web page", none(), 200, H, r#"{"access_token":"a"}"#, "a - - - bearer"),
        ("an empty refresh token", none(), 200, J, r#"{"access_token":"a","refresh_token":""}"#, "a - - - bearer"),
        (
            "null members",
            none(),
            200,
            J,
            r#"{"access_token":"a","refresh_token":null,"expires_in":null,"scope":null,"error":null}"#,
            "a - - - bearer",
        ),
        ("an empty error beside a token", none(), 200, J, r#"{"access_token":"a","error":""}"#, "a - - - bearer"),
        ("an id token that is none", none(), 200, J, r#"{"access_token":"a","id_token":5}"#, "a - - - bearer"),
        // Lifetimes.
        ("expires_in as text", none(), 200, J, r#"{"access_token":"a","expires_in":"60"}"#, "a - 60 - bearer"),
        ("expires_in with a fraction", none(), 200, J, r#"{"access_token":"a","expires_in":59.9}"#, "a - 59 - bearer"),
        ("expires_in zero", none(), 200, J, r#"{"access_token":"a","expires_in":0}"#, "a - - - bearer"),
        ("expires_in negative", none(), 200, J, r#"{"access_token":"a","expires_in":-5}"#, "a - - - bearer"),
        ("expires_in a word", none(), 200, J, r#"{"access_token":"a","expires_in":"never"}"#, "a - - - bearer"),
        ("milliseconds", ms(), 200, J, r#"{"access_token":"a","expires_in":3600000}"#, "a - 3600 - bearer"),
        ("milliseconds as text", ms(), 200, J, r#"{"access_token":"a","expires_in":"1500"}"#, "a - 1 - bearer"),
        ("another key", json!({"expires_in": "expires"}), 200, F, "access_token=a&expires=86400", "a - 86400 - bearer"),
        (
            "another key alone counts",
            json!({"expires_in": "expires"}),
            200,
            J,
            r#"{"access_token":"a","expires_in":5}"#,
            "a - - - bearer",
        ),
        (
            "epoch seconds",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":1767229200,"expires_in":1}"#,
            "a - 3600 - bearer",
        ),
        (
            "epoch seconds as text",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"1767229200"}"#,
            "a - 3600 - bearer",
        ),
        (
            "epoch milliseconds",
            at("/expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":1767229200000}"#,
            "a - 3600 - bearer",
        ),
        (
            "RFC 3339",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01T02:00:00+01:00"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a date with fractions and Z",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01T01:00:00.123Z"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a date without a zone",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01 01:00:00"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a zone without its colon",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01T02:00:00+0100"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a date of mail",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"Thu, 01 Jan 2026 01:00:00 GMT"}"#,
            "a - 3600 - bearer",
        ),
        (
            "an end that has passed",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":5}"#,
            "a - 1 - bearer",
        ),
        (
            "no end falls back to a lifetime",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"?","expires_in":7}"#,
            "a - 7 - bearer",
        ),
        // Scopes.
        ("scopes with commas", none(), 200, J, r#"{"access_token":"a","scope":"x,y, z"}"#, "a - - x+y+z bearer"),
        ("scopes as a list", none(), 200, J, r#"{"access_token":"a","scope":["x","y","x"]}"#, "a - - x+y bearer"),
        (
            "commas within, spaces between",
            json!({"scope_separator": " "}),
            200,
            J,
            r#"{"access_token":"a","scope":"x,1 y"}"#,
            "a - - x,1+y bearer",
        ),
        (
            "commas between, and only they",
            json!({"scope_separator": ","}),
            200,
            J,
            r#"{"access_token":"a","scope":"x, y z"}"#,
            "a - - x+y?z bearer",
        ),
        (
            "scopes elsewhere",
            json!({"scope": "/scopes"}),
            200,
            J,
            r#"{"access_token":"a","scopes":"x y"}"#,
            "a - - x+y bearer",
        ),
        ("empty scopes", none(), 200, J, r#"{"access_token":"a","scope":""}"#, "a - -  bearer"),
        ("an empty list of scopes", none(), 200, J, r#"{"access_token":"a","scope":[]}"#, "a - -  bearer"),
        ("scopes that are none", none(), 200, J, r#"{"access_token":"a","scope":7}"#, "a - -  bearer"),
        (
            "a scope with a quote",
            none(),
            200,
            J,
            r#"{"access_token":"a","scope":"x y\"z w\\v"}"#,
            "a - - x+y?z+w?v bearer",
        ),
        // Token types.
        ("a type with blanks", none(), 200, J, r#"{"access_token":"a","token_type":" Bearer "}"#, "a - - - bearer"),
        (
            "a type of two words",
            none(),
            200,
            J,
            r#"{"access_token":"a","token_type":"Bearer token"}"#,
            "a - - - bearer",
        ),
        ("a type that is no token", none(), 200, J, r#"{"access_token":"a","token_type":"a\r\nX: y"}"#, "a - - - a"),
        ("a type that is not ASCII", none(), 200, J, r#"{"access_token":"a","token_type":"é"}"#, "a - - - bearer"),
        (
            "a type that is bound to a key",
            none(),
            200,
            J,
            r#"{"access_token":"a","token_type":"DPoP"}"#,
            "unusable - - - dpop",
        ),
        // Members that are there twice.
        ("two access tokens", none(), 200, J, r#"{"access_token":"a","access_token":"b"}"#, "200 not JSON"),
        (
            "two refresh tokens in a form",
            none(),
            200,
            F,
            "access_token=a&refresh_token=r&refresh_token=s",
            "200 not JSON",
        ),
        ("two errors", none(), 400, J, r#"{"error":"invalid_grant","error":"x"}"#, "400 not JSON"),
        ("two of what does not matter", none(), 200, J, r#"{"access_token":"a","x":1,"x":2}"#, "a - - - bearer"),
        (
            "two in a place of the dialect",
            json!({"access_token": "data.key"}),
            200,
            J,
            r#"{"data":{"key":"a","key":"b"}}"#,
            "200 not JSON",
        ),
        (
            "digits are the token",
            json!({"access_token": "/"}),
            200,
            T,
            "12345678901234567890123\n",
            "12345678901234567890123 - - - bearer",
        ),
        // Dates.
        (
            "a date without seconds",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01T01:00Z"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a date with UTC",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01 01:00:00 UTC"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a date with a zone behind a space",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01 01:00:00 +0000"}"#,
            "a - 3600 - bearer",
        ),
        (
            "a date without seconds and zone",
            at("expires_at"),
            200,
            J,
            r#"{"access_token":"a","expires_at":"2026-01-01 01:00"}"#,
            "a - 3600 - bearer",
        ),
        ("less than a second", ms(), 200, J, r#"{"access_token":"a","expires_in":999}"#, "a - 1 - bearer"),
        // Codes of the provider's own.
        (
            "a number that the dialect knows",
            json!({"error_codes": {"40029": "invalid_grant"}, "error": "/errcode"}),
            200,
            J,
            r#"{"errcode":40029}"#,
            "refused invalid_grant",
        ),
        (
            "a word that the dialect knows",
            json!({"error_codes": {"Falscher Schlüssel": "invalid_client"}}),
            400,
            J,
            r#"{"error":"Falscher Schlüssel"}"#,
            "refused invalid_client",
        ),
        (
            "a number in an error object that the dialect knows",
            json!({"error_codes": {"190": "invalid_grant"}}),
            400,
            J,
            r#"{"error":{"type":"OAuthException","code":190}}"#,
            "refused invalid_grant",
        ),
        // Forms and texts.
        ("a form", none(), 200, F, "access_token=a&refresh_token=r&expires_in=60&scope=x%2Cy", "a r 60 x+y bearer"),
        ("a form called text", none(), 200, T, "access_token=a&expires_in=60", "a - 60 - bearer"),
        ("a form called a web page", none(), 200, H, "access_token=a", "200 not JSON"),
        ("an error as a form", none(), 200, F, "error=invalid_grant", "refused invalid_grant"),
        ("a form with another key", json!({"access_token": "token"}), 200, F, "token=a", "a - - - bearer"),
        ("the text is the token", json!({"access_token": "/"}), 200, T, " a\n", "a - - - bearer"),
        ("a JSON text is the token", json!({"access_token": "/"}), 200, J, r#""a""#, "a - - - bearer"),
        ("a text that nobody announced", none(), 200, T, "a", "200 not JSON"),
        // Nested.
        (
            "a root",
            tiktok(),
            200,
            J,
            r#"{"code":0,"message":"OK","data":{"access_token":"a","expires_in":60}}"#,
            "a - 60 - bearer",
        ),
        (
            "a root and no success",
            tiktok(),
            200,
            J,
            r#"{"code":40110,"message":"Auth code expired","data":{}}"#,
            "refused other",
        ),
        (
            "a root that is not there",
            tiktok(),
            200,
            J,
            r#"{"code":0,"message":"OK","access_token":"a"}"#,
            "200 no token",
        ),
        (
            "a text that no code can be",
            tiktok(),
            200,
            J,
            r#"{"code":1,"message":"über","data":{"access_token":"a"}}"#,
            "refused other",
        ),
        (
            "a status in the body",
            withings(),
            200,
            J,
            r#"{"status":0,"body":{"access_token":"a","refresh_token":"r"}}"#,
            "a r - - bearer",
        ),
        ("a bad status in the body", withings(), 200, J, r#"{"status":503,"error":"Invalid Params"}"#, "refused other"),
        (
            "a nested token",
            slack(),
            200,
            J,
            r#"{"ok":true,"access_token":"bot","authed_user":{"access_token":"a","scope":"x,y"}}"#,
            "a - - x+y bearer",
        ),
        (
            "ok is false",
            slack(),
            200,
            J,
            r#"{"ok":false,"error":"invalid_grant","authed_user":{"access_token":"a"}}"#,
            "refused invalid_grant",
        ),
        ("ok is missing", slack(), 200, J, r#"{"authed_user":{"access_token":"a"}}"#, "refused other"),
        ("ok is zero", json!({"ok": "ok"}), 200, J, r#"{"ok":0,"access_token":"a"}"#, "refused other"),
        (
            "a dotted path",
            json!({"access_token": "data.token", "refresh_token": "data.more.0"}),
            200,
            J,
            r#"{"data":{"token":"a","more":["r"]}}"#,
            "a r - - bearer",
        ),
        (
            "a key with a dot in it",
            json!({"access_token": "data.token"}),
            200,
            J,
            r#"{"data.token":"a"}"#,
            "a - - - bearer",
        ),
        ("alternatives", json!({"access_token": "/access_token|/token"}), 200, J, r#"{"token":"a"}"#, "a - - - bearer"),
        (
            "a root in a list or none",
            json!({"root": "/data/0|/"}),
            200,
            J,
            r#"{"data":[{"access_token":"a"}]}"#,
            "a - - - bearer",
        ),
        (
            "the same without the list",
            json!({"root": "/data/0|/"}),
            200,
            J,
            r#"{"access_token":"a"}"#,
            "a - - - bearer",
        ),
        ("a list as the answer", json!({"root": "/0"}), 200, J, r#"[{"access_token":"a"}]"#, "a - - - bearer"),
        ("a list that nobody announced", none(), 200, J, r#"[{"access_token":"a"}]"#, "200 not JSON"),
        (
            "a place without a token",
            json!({"access_token": "token"}),
            200,
            J,
            r#"{"access_token":"a"}"#,
            "200 no token",
        ),
        (
            "another token type place",
            json!({"token_type": "kind"}),
            200,
            J,
            r#"{"access_token":"a","token_type":"x","kind":"Bearer"}"#,
            "a - - - bearer",
        ),
        // Errors.
        (
            "an error inside 200",
            none(),
            200,
            J,
            r#"{"error":"bad_verification_code","access_token":"a"}"#,
            "refused invalid_grant",
        ),
        ("ok false without a word", none(), 200, J, r#"{"ok":false,"access_token":"a"}"#, "200 no code"),
        ("an error object", none(), 400, J, r#"{"error":{"type":"OAuthException","message":"no"}}"#, "refused other"),
        (
            "a number as the code",
            json!({"error": "/errcode"}),
            200,
            J,
            r#"{"errcode":40029,"errmsg":"invalid code"}"#,
            "refused other",
        ),
        (
            "a zero as the code",
            json!({"error": "/errcode"}),
            200,
            J,
            r#"{"errcode":0,"access_token":"a"}"#,
            "a - - - bearer",
        ),
        (
            "a code elsewhere",
            json!({"error": "errors.0.code"}),
            400,
            J,
            r#"{"errors":[{"code":"invalid_client"}]}"#,
            "refused invalid_client",
        ),
        ("a code of RFC 8707", none(), 400, J, r#"{"error":"invalid_target"}"#, "refused invalid_target"),
        ("access denied", none(), 403, J, r#"{"error":"access_denied"}"#, "refused access_denied"),
        ("a code of RFC 8628 that is no refusal", none(), 400, J, r#"{"error":"slow_down"}"#, "refused other"),
        ("tokens with an error status", none(), 400, J, r#"{"access_token":"a"}"#, "400 no code"),
        ("a redirect", none(), 302, H, "", "302 not JSON"),
        ("a web page", none(), 404, H, "<!DOCTYPE html><p>no</p>", "404 not JSON"),
        ("a web page that says 200", none(), 200, H, "<html></html>", "200 not JSON"),
        ("nothing", none(), 200, J, "", "200 not JSON"),
        ("half an answer", none(), 200, J, r#"{"access_token":"a","#, "200 not JSON"),
        ("no access token", none(), 200, J, r#"{"expires_in":5}"#, "200 no token"),
        ("a refresh token alone", none(), 200, J, r#"{"refresh_token":"r"}"#, "200 no token"),
        ("an empty access token", none(), 200, J, r#"{"access_token":"","refresh_token":"r"}"#, "200 no token"),
        (
            "an access token that no header carries",
            none(),
            200,
            J,
            r#"{"access_token":"a b","refresh_token":"r"}"#,
            "unsafe token",
        ),
        ("a token with a line break", none(), 200, J, r#"{"access_token":"a\r\nX: y"}"#, "unsafe token"),
        (
            "a refresh token that is a number",
            none(),
            200,
            J,
            r#"{"access_token":"a","refresh_token":7}"#,
            "unsafe token",
        ),
        (
            "a refresh token that is no text",
            none(),
            200,
            J,
            r#"{"access_token":"a","refresh_token":{"x":1}}"#,
            "unsafe token",
        ),
    ];
    assert!(rows.len() >= 50);
    for (name, dialect, status, content_type, body, expected) in rows {
        let server = Server::answering(answer(&format!("{status} X"), content_type, body));
        let (result, record) = refresh_at(&server, dialect).await;
        assert_eq!(line(&result), expected, "{name}");
        assert_eq!(record.status, Some(status), "{name}");
    }
}

#[tokio::test]
async fn what_else_an_answer_says_is_kept_without_its_tokens() {
    let body = json!({
        "access_token": "TOKEN-access", "refresh_token": "TOKEN-refresh", "id_token": "TOKEN-id", "scope": "x",
        "expires_in": 5, "token_type": "bearer", "error": "", "instance_url": "https://na1.example", "realmId": 42,
        "refresh_token_expires_in": 9, "team": {"id": "T1", "accessToken": "TOKEN-other", "list": [{"id-token": "TOKEN-3"}, "TOKEN-access"]},
        "bot_token": "TOKEN-bot", "echo": "Bearer TOKEN-access", "nothing": null,
    });
    let server = Server::answering(answer("200 OK", J, &body.to_string()));
    let tokens = refresh_at(&server, json!({})).await.0.expect("tokens");
    let expected = json!({
        "instance_url": "https://na1.example", "realmId": 42, "refresh_token_expires_in": 9,
        "team": {"id": "T1", "list": [{}]},
    });
    assert_eq!(Value::Object(tokens.extra), expected);
    assert_eq!(tokens.id_token.map(|token| token.expose().clone()).as_deref(), Some("TOKEN-id"));
}

#[tokio::test]
async fn what_else_an_answer_says_is_bounded() {
    let body = json!({"access_token": "a", "small": "x", "large": "y".repeat(10_000), "larger": "z".repeat(12_000)});
    let server = Server::answering(answer("200 OK", J, &body.to_string()));
    let extra = refresh_at(&server, json!({})).await.0.expect("tokens").extra;
    assert_eq!(extra.keys().collect::<Vec<_>>(), ["large", "small"]);
}

#[tokio::test]
async fn a_record_tells_what_happened_and_no_secret() {
    let basic = "aWQ6Q0FOQVJZLWNsaWVudA==";
    let bodies = [
        (J, r#"{"access_token":"CANARY-a","refresh_token":"CANARY-r"}"#.to_owned()),
        (J, r#"{"error":"invalid_grant","error_description":"CANARY-refresh is dead"}"#.to_owned()),
        (J, format!(r#"{{"error":"x","sent":"Basic {basic} CANARY-client"}}"#)),
        (F, "error=x&note=CANARY-refresh".to_owned()),
        (H, "<html>CANARY-refresh</html>".to_owned()),
    ];
    for (content_type, body) in bodies {
        let head = "400 Bad Request\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nRetry-After: 9";
        let server = Server::answering(answer(head, content_type, &body));
        let record = refresh_at(&server, json!({})).await.1;
        let text = format!("{record:?} {}", serde_json::to_string(&record).expect("JSON"));
        assert!(!text.contains("CANARY") && !text.contains(basic), "{text}");
        assert_eq!((record.status, record.retry_after, record.server_time), (Some(400), Some(9), Some(NOW)));
        assert_eq!((record.method.as_str(), record.is_html), ("POST", content_type == H));
        assert_eq!(record.url, server.url("/token"));
        assert_eq!(record.auth, crate::protocol::exchange::AuthSent::ClientSecretBasic);
        let shown = [("grant_type", "refresh_token"), ("refresh_token", "[redacted]")];
        assert_eq!(record.parameters, shown.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<Exchange>(&text).expect("a record"), record);
    }
}

#[tokio::test]
async fn a_token_under_a_name_that_tells_nothing_is_not_on_record() {
    let odd = "CANARY|a!b*c:d%7";
    for (dialect, content_type, body) in [
        (json!({"access_token": "data.value"}), J, format!(r#"{{"data":{{"value":"{odd}"}},"echo":"is {odd}"}}"#)),
        (json!({"root": "/r", "refresh_token": "/next"}), J, format!(r#"{{"r":{{"next":"{odd}"}}}}"#)),
        (json!({"access_token": "/"}), J, format!(r#""{odd}""#)),
        (json!({"access_token": "/"}), T, odd.to_owned()),
        (json!({"access_token": "/list"}), J, format!(r#"{{"list":["{odd}"],"x":"{odd}"}}"#)),
        (json!({}), J, format!(r#"{{"access_token":"{odd}","note":"{odd}"}}"#)),
        (json!({}), J, r#"{"access_token":"a","other":"CANARY|0a1b2c!3d4e5f*6a7b8c:9d"}"#.to_owned()),
    ] {
        let server = Server::answering(answer("200 OK", content_type, &body));
        let record = refresh_at(&server, dialect).await.1;
        let text = format!("{record:?} {}", serde_json::to_string(&record).expect("JSON"));
        assert!(!text.contains("CANARY"), "{text}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_a_failure_of_its_own() {
    let server = Server::answering(answer("200 OK\r\nContent-Encoding: gzip", J, "x"));
    let (result, record) = refresh_at(&server, json!({})).await;
    let fault = record.reading.and_then(|reading| reading.fault);
    assert_eq!((line(&result).as_str(), fault), ("200 compressed", Some(Fault::Compressed)));
}

#[tokio::test]
async fn a_record_holds_what_was_understood_and_no_text_of_the_provider() {
    for (status, dialect, body, error, hint, fault) in [
        (
            400,
            json!({}),
            r#"{"error":"invalid_grant","error_description":"Token was revoked CANARY"}"#,
            Some("invalid_grant"),
            Some(Hint::Withdrawn),
            None,
        ),
        (
            400,
            json!({"error": "/c", "error_codes": {"7": "invalid_client"}}),
            r#"{"c":7}"#,
            Some("invalid_client"),
            None,
            None,
        ),
        (400, json!({}), r#"{"error":"CANARY"}"#, Some("other"), None, None),
        (200, json!({}), "{}", None, None, Some(Fault::NoAccessToken)),
        (400, json!({}), "{}", None, None, Some(Fault::NoErrorCode)),
        (200, json!({}), r#"{"access_token":"a"}"#, None, None, None),
    ] {
        let server = Server::answering(answer(&format!("{status} X"), J, body));
        let reading = refresh_at(&server, dialect).await.1.reading.expect("a reading");
        let expected = Reading { error: error.map(str::to_owned), hint, fault };
        assert_eq!(reading, expected, "{body}");
    }
}

#[tokio::test]
async fn a_record_says_why_no_answer_came() {
    use crate::protocol::exchange::NoAnswer;
    let cut = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    assert_eq!(refresh_at(&cut, json!({})).await.1.failure, Some(NoAnswer::Interrupted));
    let long = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{");
    assert_eq!(refresh_at(&long, json!({})).await.1.failure, Some(NoAnswer::TooLarge));
}
