//! A client of the sandbox, without sockets.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION};
use axum::http::{Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use grantkeeper_sandbox::{ClientSettings, Options, Sandbox};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use url::Url;

pub const ISSUER: &str = "http://127.0.0.1:8090";
pub const REDIRECT_URI: &str = "http://127.0.0.1:9000/callback?fixed=1";
/// RFC 7636 Appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A parameter of the address the browser is sent to.
    pub fn redirect_parameter(&self, name: &str) -> Option<String> {
        let location = Url::parse(self.headers.get(LOCATION)?.to_str().unwrap()).unwrap();
        location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.text("error").as_str()), (status, code), "{}", self.body);
    }

    #[track_caller]
    pub fn assert_redirect_error(&self, code: &str) {
        assert_eq!(self.status, 303, "{}", self.body);
        assert_eq!(self.redirect_parameter("error").as_deref(), Some(code));
        assert_eq!(self.redirect_parameter("iss").as_deref(), Some(ISSUER));
        assert_eq!(self.redirect_parameter("state").as_deref(), Some("s-1"));
        assert_eq!(self.redirect_parameter("code"), None);
    }
}

pub fn open() -> Sandbox {
    Sandbox::open(Options { issuer: ISSUER.into(), data_file: None }).unwrap()
}

/// A sandbox with the client `app` (secret `s3cret`) that grants at once as `ada`; `settings` are laid over.
pub fn sandbox_with(settings: Value) -> Sandbox {
    let sandbox = open();
    register(&sandbox, "app", settings);
    sandbox
}

pub fn register(sandbox: &Sandbox, client_id: &str, settings: Value) {
    let mut all = json!({
        "client_id": client_id,
        "client_secret": "s3cret",
        "redirect_uris": [REDIRECT_URI],
        "auto_consent": "ada",
    });
    for (name, value) in settings.as_object().unwrap() {
        all[name] = value.clone();
    }
    sandbox.register(serde_json::from_value::<ClientSettings>(all).unwrap()).unwrap();
}

pub fn form(parameters: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

pub fn basic(client_id: &str, secret: &str) -> String {
    let half = |value: &str| form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", half(client_id), half(secret))))
}

pub async fn send(sandbox: &Sandbox, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sandbox.router().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

pub async fn post_form(sandbox: &Sandbox, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let headers = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
    send(sandbox, "POST", path, &headers, &form(parameters)).await
}

/// A form in the name of `app`, authenticated with HTTP Basic.
pub async fn as_app(sandbox: &Sandbox, path: &str, parameters: &[(&str, &str)]) -> Answer {
    as_client(sandbox, "app", path, parameters).await
}

pub async fn as_client(sandbox: &Sandbox, client_id: &str, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let authorization = basic(client_id, "s3cret");
    let headers = [
        (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded"),
        (AUTHORIZATION.as_str(), authorization.as_str()),
    ];
    send(sandbox, "POST", path, &headers, &form(parameters)).await
}

/// A complete authorization request of `app`, with some parameters replaced; an empty value leaves one out.
pub async fn authorize(sandbox: &Sandbox, changes: &[(&str, &str)]) -> Answer {
    send(sandbox, "GET", &authorize_uri(changes), &[], "").await
}

pub fn authorize_parameters<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid profile read"),
        ("state", "s-1"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    parameters.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    parameters.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    parameters
}

pub fn authorize_uri(changes: &[(&str, &str)]) -> String {
    format!("/authorize?{}", form(&authorize_parameters(changes)))
}

pub async fn new_code(sandbox: &Sandbox) -> String {
    authorize(sandbox, &[]).await.redirect_parameter("code").expect("a code")
}

pub async fn redeem(sandbox: &Sandbox, code: &str) -> Answer {
    let parameters = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    as_app(sandbox, "/token", &parameters).await
}

/// The first answer of a new grant.
pub async fn tokens(sandbox: &Sandbox) -> Answer {
    let answer = redeem(sandbox, &new_code(sandbox).await).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

pub async fn refresh(sandbox: &Sandbox, refresh_token: &str) -> Answer {
    as_app(sandbox, "/token", &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
}

pub async fn get_as(sandbox: &Sandbox, path: &str, access_token: &str) -> Answer {
    send(sandbox, "GET", path, &[("authorization", &format!("Bearer {access_token}"))], "").await
}

pub async fn assert_valid(sandbox: &Sandbox, access_token: &str) {
    assert_eq!(get_as(sandbox, "/api/me", access_token).await.status, 200);
}

pub async fn assert_dead(sandbox: &Sandbox, access_token: &str) {
    let answer = get_as(sandbox, "/api/me", access_token).await;
    answer.assert_error(401, "invalid_token");
    assert!(answer.header("www-authenticate").contains(r#"error="invalid_token""#));
}

/// Changes settings of `app` through the admin endpoint.
pub async fn patch(sandbox: &Sandbox, changes: Value) -> Answer {
    let headers = [(CONTENT_TYPE.as_str(), "application/json")];
    send(sandbox, "PATCH", "/admin/clients/app", &headers, &changes.to_string()).await
}
