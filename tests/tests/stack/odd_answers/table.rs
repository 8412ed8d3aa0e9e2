//! The answers, one a line, and what comes of each.

use chrono::Duration;
use grantkeeper::clock::Timestamp;
use grantkeeper::model::credential::CredentialStatus;
use http::StatusCode;
use serde_json::{Value, json};

/// What the clients say of their servers' answers: name, `token_response`, and an answer that is as it should be.
pub(super) const DIALECTS: [(&str, &str, &str); 6] = [
    (
        "-",
        "{}",
        r#"{"access_token":"OLD-A","refresh_token":"OLD-R","expires_in":7200,"scope":"read write","team":"T1"}"#,
    ),
    (
        "at",
        r#"{"expires_at":"expires_at"}"#,
        r#"{"access_token":"OLD-A","refresh_token":"OLD-R","expires_in":7200,"scope":"read write"}"#,
    ),
    (
        "milli",
        r#"{"expires_in_unit":"milliseconds","scope_separator":","}"#,
        r#"{"access_token":"OLD-A","refresh_token":"OLD-R","expires_in":7200000,"scope":"read,write"}"#,
    ),
    (
        "data",
        r#"{"root":"/data","ok":"/code==0","error":"/message"}"#,
        r#"{"code":0,"data":{"access_token":"OLD-A","refresh_token":"OLD-R","expires_in":7200,"scope":"read write"}}"#,
    ),
    (
        "user",
        r#"{"access_token":"/user/token","refresh_token":"/user/more","scope":"/user/scope","ok":"ok"}"#,
        r#"{"ok":true,"user":{"token":"OLD-A","more":"OLD-R","scope":"read write"},"expires_in":7200}"#,
    ),
    ("text", r#"{"access_token":"/"}"#, r#""OLD-A""#),
];

/// One answer in a row: name | dialect | status and media type (J JSON, F form, T text, H page, a word with `Retry-After`)
/// | body | what comes of it.
///
/// Tokens: `refresh-token lifetime scopes`, with `-` for what the answer does not say, and why it is put aside if it is.
/// No tokens: why. After a slash: what comes of it at a refresh, where that differs.
const ROWS: &str = r#"
by the book | - | 200 J | {"access_token":"NEW-A","token_type":"Bearer","expires_in":600,"refresh_token":"NEW-R","scope":"read write"} | NEW-R 600 read+write
status 201 | - | 201 J | {"access_token":"NEW-A","refresh_token":"NEW-R"} | NEW-R - -
called a web page | - | 200 H | {"access_token":"NEW-A","refresh_token":"NEW-R"} | NEW-R - -
no refresh token | - | 200 J | {"access_token":"NEW-A","expires_in":600} | - 600 -
an empty refresh token | - | 200 J | {"access_token":"NEW-A","refresh_token":"","expires_in":600} | - 600 -
null members | - | 200 J | {"access_token":"NEW-A","refresh_token":null,"expires_in":null,"scope":null,"error":null} | - - -
an empty error beside a token | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","error":""} | NEW-R - -
a form | - | 200 F | access_token=NEW-A&refresh_token=NEW-R&expires_in=600&scope=read%2Cwrite | NEW-R 600 read+write
a form called text | - | 200 T | access_token=NEW-A&refresh_token=NEW-R | NEW-R - -
expires_in as text | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":"600"} | NEW-R 600 -
expires_in with a fraction | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":599.9} | NEW-R 599 -
expires_in zero | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":0} | NEW-R - -
expires_in negative | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":-5} | NEW-R - -
expires_in a word | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":"never"} | NEW-R - -
milliseconds | milli | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":"600000"} | NEW-R 600 -
epoch seconds | at | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_at":IN-600,"expires_in":1} | NEW-R 600 -
epoch milliseconds as text | at | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_at":"IN-600000"} | NEW-R 600 -
a date | at | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_at":"DATE-600"} | NEW-R 600 -
no date falls back | at | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","expires_at":"?","expires_in":600} | NEW-R 600 -
scopes with commas | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","scope":"read,write"} | NEW-R - read+write
scopes as a list | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","scope":["read","write"]} | NEW-R - read+write
fewer scopes | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","scope":"read"} | NEW-R - read
other letters and offline_access | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","scope":"Read WRITE offline_access"} | NEW-R - Read+WRITE+offline_access
more scopes | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","scope":"read write admin"} | NEW-R - read+write+admin scope_exceeded
a list with a comma in it | milli | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","scope":"read, write"} | NEW-R - read+write
a token of another kind | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","token_type":"DPoP"} | misbehaved / NEW-R - - unusable_token_type
an odd word for bearer | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","token_type":"user"} | NEW-R - -
what else it says | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW-R","team":"T2","more":{"userToken":"NEW-A"}} | NEW-R - -
a root | data | 200 J | {"code":0,"data":{"access_token":"NEW-A","refresh_token":"NEW-R","expires_in":600}} | NEW-R 600 -
a nested token | user | 200 J | {"ok":true,"access_token":"BOT","user":{"token":"NEW-A","more":"NEW-R","scope":"read,write"}} | NEW-R - read+write
the text is the token | text | 200 T | NEW-A | - - -
an error inside 200 | - | 200 J | {"error":"invalid_grant","access_token":"NEW-A","refresh_token":"NEW-R"} | dead
an error inside 200 by another name | - | 200 J | {"error":"bad_verification_code","access_token":"NEW-A"} | dead
an error as a form inside 200 | - | 200 F | error=invalid_grant&access_token=NEW-A&refresh_token=NEW-R | dead
invalid_grant with tokens | - | 400 J | {"error":"invalid_grant","access_token":"NEW-A","refresh_token":"NEW-R"} | dead
invalid_client with tokens | - | 401 J | {"error":"invalid_client","access_token":"NEW-A","refresh_token":"NEW-R"} | client
an unknown code | - | 400 J | {"error":"flux","refresh_token":""} | client
an error object | - | 400 J | {"error":{"type":"OAuthException","message":"no"},"access_token":"NEW-A"} | client
a root and no success | data | 200 J | {"code":40110,"message":"expired","data":{"access_token":"NEW-A","refresh_token":"NEW-R"}} | client
a root that is not there | data | 200 J | {"code":0,"access_token":"NEW-A","refresh_token":"NEW-R"} | unknown
ok is false | user | 200 J | {"ok":false,"error":"invalid_grant","user":{"token":"NEW-A","more":"NEW-R"}} | dead
ok is missing | user | 200 J | {"user":{"token":"NEW-A","more":"NEW-R"}} | client
ok is false without a word | - | 200 J | {"ok":false,"access_token":"NEW-A","refresh_token":"NEW-R"} | unknown
no access token | - | 200 J | {"refresh_token":"NEW-R","expires_in":600} | unknown
an empty access token | - | 200 J | {"access_token":"","refresh_token":"NEW-R"} | unknown
a null access token | - | 200 J | {"access_token":null,"refresh_token":"NEW-R"} | unknown
an access token that is a number | - | 200 J | {"access_token":7,"refresh_token":"NEW-R"} | unknown
a refresh token that is a list | - | 200 J | {"access_token":"NEW-A","refresh_token":["NEW-R"]} | unknown
a token with a line break | - | 200 J | {"access_token":"NEW-A\r\nX: y","refresh_token":"NEW-R"} | unknown
a refresh token with a blank | - | 200 J | {"access_token":"NEW-A","refresh_token":" "} | unknown
a token at the wrong place | user | 200 J | {"ok":true,"access_token":"NEW-A","refresh_token":"NEW-R"} | unknown
half an answer | - | 200 J | {"access_token":"NEW-A","refresh_token":"NEW- | unknown
nothing | - | 200 J |  | unknown
a page that says 200 | - | 200 H | <html>NEW-A</html> | unknown
a list | - | 200 J | [{"access_token":"NEW-A","refresh_token":"NEW-R"}] | unknown
a form called a page | - | 200 H | access_token=NEW-A&refresh_token=NEW-R | unknown
a server error with tokens | - | 500 J | {"access_token":"NEW-A","refresh_token":"NEW-R"} | unknown
a gateway's page | - | 502 H | <html>bad gateway</html> | unknown
server_error as a code | - | 400 J | {"error":"server_error"} | unknown
tokens with an error status | - | 400 J | {"access_token":"NEW-A","refresh_token":"NEW-R"} | misbehaved
a page that is not there | - | 404 H | <html>no</html> | misbehaved
a redirect | - | 302 H | NEW-A | misbehaved
too many requests with tokens | - | 429 J | {"access_token":"NEW-A","refresh_token":"NEW-R"} | later
come again later | - | 503 J Retry-After | {"access_token":"NEW-A","refresh_token":"NEW-R"} | later
later as a code | - | 400 J | {"error":"temporarily_unavailable","access_token":"NEW-A"} | later
a closed connection | - | drop |  | unknown
"#;

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) dialect: &'static str,
    pub(super) answer: Value,
    pub(super) exchange: &'static str,
    pub(super) refresh: &'static str,
}

impl Row {
    fn parse(line: &'static str, now: Timestamp) -> anyhow::Result<Self> {
        let parts: Vec<_> = line.split(" | ").collect();
        let [name, dialect, kind, body, outcome] = parts.as_slice() else { anyhow::bail!("{line}") };
        let body = body
            .replace("IN-600000", &(now.timestamp_millis() + 600_000).to_string())
            .replace("IN-600", &(now.timestamp() + 600).to_string())
            .replace("DATE-600", &(now + Duration::seconds(600)).to_rfc3339());
        let (exchange, refresh) = outcome.split_once(" / ").unwrap_or((outcome, outcome));
        Ok(Self { name, dialect, answer: answer(kind, &body)?, exchange, refresh })
    }
}

/// The rows. Their times are counted from `now`.
pub(super) fn rows(now: Timestamp) -> anyhow::Result<Vec<Row>> {
    ROWS.trim().lines().map(|line| Row::parse(line, now)).collect()
}

/// What the sandbox is told to answer.
pub(super) fn answer(kind: &str, body: &str) -> anyhow::Result<Value> {
    let mut words = kind.split(' ');
    let status = words.next().unwrap_or_default();
    let content_type = match words.next() {
        None => return Ok(json!(status)),
        Some("J") => "application/json",
        Some("F") => "application/x-www-form-urlencoded",
        Some("T") => "text/plain; charset=utf-8",
        Some("H") => "text/html",
        Some(other) => anyhow::bail!("{other}"),
    };
    let headers = if words.next().is_some() { json!({ "Retry-After": "7" }) } else { json!({}) };
    Ok(json!({ "status": status.parse::<u16>()?, "content_type": content_type, "headers": headers, "body": body }))
}

/// What the caller of a refresh is told, and where the credential then stands. `None`: the answer brought tokens.
pub(super) fn failure(expected: &str) -> Option<(StatusCode, &'static str, CredentialStatus)> {
    use CredentialStatus::{Active, ReauthorizationRequired, RefreshFailing};
    Some(match expected {
        "dead" => (StatusCode::CONFLICT, "reauthorization_required", ReauthorizationRequired),
        "client" => (StatusCode::BAD_GATEWAY, "client_rejected", Active),
        "unknown" | "later" => (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable", RefreshFailing),
        "misbehaved" => (StatusCode::BAD_GATEWAY, "provider_misbehaved", RefreshFailing),
        _ => return None,
    })
}
