//! The pages people see: server-rendered, no scripts.

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

/// `form-action` is left out on purpose: Chromium would apply it to the whole redirect chain behind the consent form,
/// and the chain ends at a client's address.
const CONTENT_SECURITY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage;

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusalPage {
    problem: &'static str,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    client_id: &'a str,
    username: &'a str,
    username_rejected: bool,
    scopes: Vec<(&'a str, &'static str)>,
    carried: Vec<(&'static str, String)>,
}

pub(crate) async fn home() -> Response {
    page(StatusCode::OK, &HomePage)
}

pub(crate) async fn style() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "max-age=300"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("../templates/style.css")).into_response()
}

/// The page for requests that must not be answered by a redirect (RFC 6749 §4.1.2.1).
pub(crate) fn refusal(problem: &'static str) -> Response {
    page(StatusCode::BAD_REQUEST, &RefusalPage { problem })
}

/// Sign-in and consent in one; `carried` is the authorization request, which the form sends back.
pub(crate) fn consent(
    client_id: &str,
    username: &str,
    username_rejected: bool,
    scopes: &[String],
    carried: Vec<(&'static str, String)>,
) -> Response {
    let status = if username_rejected { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let scopes = scopes.iter().map(|scope| (scope.as_str(), meaning(scope))).collect();
    page(status, &ConsentPage { client_id, username, username_rejected, scopes, carried })
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, HEADERS, html).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// What a scope allows, in words; empty for those only the client knows.
fn meaning(scope: &str) -> &'static str {
    match scope {
        "openid" => "know who you are",
        "profile" => "see your name",
        "email" => "see your e-mail address",
        "offline_access" => "keep access while you are away",
        "read" => "read your data",
        "write" => "change your data",
        _ => "",
    }
}
