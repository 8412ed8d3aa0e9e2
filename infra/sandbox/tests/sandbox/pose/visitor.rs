//! A program that visits providers by their own addresses, and says exactly what a test wants it to.

use axum::body::Body;
use axum::http::{Method, Request};
use grantkeeper_sandbox::{Pose, PoseSettings, Sandbox};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::harness::{Answer, CHALLENGE, REDIRECT_URI, VERIFIER, basic, form, open};

pub const AUTHORIZE: &str = "https://x.example/authorize";
pub const TOKEN: &str = "https://x.example/token";

/// A sandbox that poses as one provider, with the client `app` (secret `s3cret`).
pub struct Visit {
    pub sandbox: Sandbox,
    pub pose: Pose,
}

/// An entry with addresses at `x.example` and the scopes `a` and `b`; `facts` are laid over.
pub fn entry(facts: Value) -> Value {
    let mut entry = json!({
        "authorization_endpoint": AUTHORIZE,
        "token_endpoint": TOKEN,
        "api_base_url": "https://x.example/api",
        "scopes": { "required": ["a"], "optional": [{ "value": "b" }] },
    });
    for (name, value) in facts.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

pub fn settings(facts: Value) -> PoseSettings {
    PoseSettings {
        entry: entry(facts),
        client_id: "app".into(),
        client_secrets: vec!["s3cret".into()],
        redirect_uris: vec![REDIRECT_URI.into()],
        ..PoseSettings::default()
    }
}

pub fn visit(facts: Value) -> Visit {
    visit_with(settings(facts))
}

pub fn visit_with(settings: PoseSettings) -> Visit {
    let sandbox = open();
    let pose = sandbox.pose(settings).unwrap();
    Visit { sandbox, pose }
}

pub async fn send(sandbox: &Sandbox, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (host, rest) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
    request = request.uri(format!("/{rest}")).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (parts, body) = sandbox.poses_router().oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// What programs say about themselves.
pub const MANNERS: [(&str, &str); 2] = [("user-agent", "test"), ("accept", "application/json")];

impl Visit {
    pub async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        send(&self.sandbox, method, url, headers, body).await
    }

    /// With the manners of a program.
    pub async fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(method, url, &[&MANNERS, headers].concat(), body).await
    }

    pub async fn authorize(&self, parameters: &[(&str, &str)]) -> Answer {
        self.send("GET", &format!("{AUTHORIZE}?{}", form(parameters)), &[], "").await
    }

    /// A code, got by the book.
    pub async fn code(&self) -> String {
        let answer = self.authorize(&by_the_book(&[])).await;
        answer.redirect_parameter("code").unwrap_or_else(|| panic!("{} {:?}", answer.body, self.pose.complaints()))
    }

    /// A form, with HTTP Basic.
    pub async fn post_basic(&self, url: &str, parameters: &[(&str, &str)]) -> Answer {
        let headers = [("authorization", &*basic("app", "s3cret")), FORM];
        self.ask("POST", url, &headers, &form(parameters)).await
    }

    pub async fn post_form(&self, url: &str, parameters: &[(&str, &str)]) -> Answer {
        self.ask("POST", url, &[FORM], &form(parameters)).await
    }

    pub async fn post_json(&self, url: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.ask("POST", url, &headers, &body.to_string()).await
    }

    /// The first tokens of a grant, with HTTP Basic and otherwise by the book.
    pub async fn tokens(&self) -> Answer {
        let code = self.code().await;
        let answer = self.post_basic(TOKEN, &exchange(&code)).await;
        assert_eq!(answer.status, 200, "{} {:?}", answer.body, self.pose.complaints());
        answer
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.post_basic(TOKEN, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// The last request was refused for this reason, which the answer tells as well.
    #[track_caller]
    pub fn refused(&self, answer: &Answer, reason: &str) {
        let complaints = self.pose.complaints();
        let last = complaints.last().map_or("", String::as_str);
        assert!(last.contains(reason), "{last:?} instead of {reason:?}: {} {}", answer.status, answer.body);
        let said = last.split_once(": ").unwrap().1;
        // A refusal by the sandbox itself has its code first, which the answer has apart.
        let own = said.split_once(": ").filter(|(code, _)| !code.contains(' ')).map_or(said, |(_, own)| own);
        let told = [own.to_owned(), json!(own).to_string()].iter().any(|own| answer.body.contains(own));
        assert!(told, "{said}: {}", answer.body);
    }
}

pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// An authorization request by the book; an empty value leaves a parameter out.
pub fn by_the_book<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "a b"),
        ("state", "s-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    parameters.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    parameters.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    parameters
}

/// The exchange of a code by the book.
pub fn exchange(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI), ("code_verifier", VERIFIER)]
}
