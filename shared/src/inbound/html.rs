//! Pages for browsers: without JavaScript, without anything from elsewhere, and never with a provider's text.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::error::BrowserRefusal;

/// The response header by which programs and tests tell refusals apart.
pub const CODE: HeaderName = HeaderName::from_static("grantkeeper-code");

pub(super) const CSS: &str = include_str!("../../templates/style.css");

/// The hash by which the policy allows our one style sheet.
static CSS_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(digest::digest(&digest::SHA256, CSS.as_bytes())));

/// A page with a heading and a few words.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    css: &'a str,
    title: &'a str,
    text: &'a str,
    advice: &'a str,
}

/// How a refusal is shown.
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: &'static str,
    /// What to do.
    pub advice: &'static str,
}

impl From<BrowserRefusal> for Refusal {
    fn from(refusal: BrowserRefusal) -> Self {
        use BrowserRefusal as R;
        const AGAIN: &str = "Go back to the page you came from and start again.";
        let (status, code, advice) = match refusal {
            R::UnknownState => (StatusCode::BAD_REQUEST, "unknown_state", AGAIN),
            R::ExpiredState => (StatusCode::BAD_REQUEST, "expired_state", AGAIN),
            R::AlreadyUsed => (StatusCode::CONFLICT, "already_used", "If you are not connected yet, start again."),
            R::WrongBrowser => (
                StatusCode::FORBIDDEN,
                "wrong_browser",
                "Open the link in the browser in which you want to sign in. If somebody sent you here, close this page.",
            ),
            R::IssuerMismatch => (StatusCode::BAD_REQUEST, "issuer_mismatch", AGAIN),
            R::IssuerMissing => (StatusCode::BAD_REQUEST, "issuer_missing", AGAIN),
            R::DuplicateParameter => (StatusCode::BAD_REQUEST, "duplicate_parameter", AGAIN),
            R::MalformedResponse => (StatusCode::BAD_REQUEST, "malformed_response", AGAIN),
            R::ForeignRedirectUri => (StatusCode::BAD_REQUEST, "foreign_redirect_uri", AGAIN),
            R::ClientChanged => (StatusCode::CONFLICT, "client_changed", AGAIN),
            R::UnknownLink => (StatusCode::NOT_FOUND, "unknown_link", "Ask for a new link."),
            R::ExpiredLink => (StatusCode::GONE, "expired_link", "Ask for a new link."),
            R::CrossSite => {
                (StatusCode::FORBIDDEN, "cross_site", "Open the link again and use the button on the page.")
            }
            R::BadForm => (StatusCode::UNPROCESSABLE_ENTITY, "bad_form", "Open the link again and fill in the page."),
            R::NameTaken => (StatusCode::CONFLICT, "name_taken", "Go back and choose another name."),
        };
        Self { status, code, advice }
    }
}

/// The page of a refusal, with its code in a header.
pub fn refusal(refusal: BrowserRefusal) -> Response {
    let shown = Refusal::from(refusal);
    let mut response = message(shown.status, "This did not work", &sentence(&refusal.to_string()), shown.advice, &[]);
    response.headers_mut().insert(CODE, HeaderValue::from_static(shown.code));
    response
}

/// The page of a failure that is not the browser's; nothing was consumed, so it may come again.
pub fn failure(error: &crate::error::Error) -> Response {
    tracing::error!(%error, "a page failed");
    let advice = "Wait a moment, then load this page again.";
    message(StatusCode::SERVICE_UNAVAILABLE, "This did not work", "The service did not answer.", advice, &[])
}

/// A page with a heading and a few words.
pub fn message(status: StatusCode, title: &str, text: &str, advice: &str, insecure_origins: &[String]) -> Response {
    page(status, Message { css: CSS, title, text, advice }.render(), insecure_origins)
}

pub(super) fn page(status: StatusCode, body: askama::Result<String>, insecure_origins: &[String]) -> Response {
    let Ok(body) = body else {
        return crate::error::Error::Internal("a page cannot be rendered").into_response();
    };
    let mut response = (status, Html(body)).into_response();
    // Chromium applies form-action to the whole redirect chain, and authorization servers redirect on; so any https.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https: {}",
        *CSS_HASH,
        insecure_origins.join(" ")
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(policy.trim()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Nothing goes to other origins; same-origin posts keep their Origin header.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    response
}

/// A redirect that turns every method into GET (RFC 9700 §4.12), with a clean `Referer`.
pub fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return crate::error::Error::Internal("a location cannot be written").into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

/// A cookie of this name, as the browser sent it; `None` also when it came twice with different values.
pub fn cookie(headers: &http::HeaderMap, name: &str) -> Option<String> {
    let sent = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = sent
        .flat_map(|value| cookie::Cookie::split_parse(value.to_owned()).flatten().collect::<Vec<_>>())
        .filter(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned());
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}
