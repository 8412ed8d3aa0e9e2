//! The redirection endpoint (RFC 6749 §3.1.2). It never shows or forwards what the provider wrote.

use axum::extract::{Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use grantkeeper::broker::Broker;
use grantkeeper::broker::receive_callback::{Callback, Returned};
use grantkeeper::error::{BrowserRefusal, Error};
use grantkeeper::inbound::{body, html};
use lambda_http::http::{HeaderMap, StatusCode};

/// GET: the authorization response.
pub async fn receive(
    State(broker): State<Broker>,
    Path(client_key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let cookie = |name: &str| html::cookie(&headers, name);
    let callback = Callback {
        client_key: &client_key,
        query: query.as_deref().unwrap_or_default(),
        cookie: &cookie,
    };
    match broker.receive_callback(callback).await {
        Ok(returned) => show(returned),
        Err(Error::Browser(refusal)) => {
            tracing::warn!(%refusal, security = true, "a callback was refused");
            html::refusal(refusal)
        }
        Err(error) => error.into_response(),
    }
}

/// POST (`response_mode=form_post`): the Lax cookie does not come with a cross-site POST, so the browser is sent once
/// more, by GET.
pub async fn bounce(Path(client_key): Path<String>, request: Request) -> Response {
    let fields = match body::bytes(request.into_body()).await {
        Ok(fields) => fields,
        Err(_) => return html::refusal(BrowserRefusal::MalformedResponse),
    };
    // Only what is a query can go into one; the GET parses it.
    let query = String::from_utf8_lossy(&fields);
    let plain = query.len() <= 8192 && query.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let key = client_key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !plain || !key {
        return html::refusal(BrowserRefusal::MalformedResponse);
    }
    html::see_other(&format!("/callback/{client_key}?{query}"))
}

fn show(returned: Returned) -> Response {
    match returned {
        Returned::Redirect(location) => html::see_other(location.expose()),
        Returned::Waiting => html::message(
            StatusCode::OK,
            "You have signed in",
            "The application that sent you here now finishes the connection.",
            "You can close this page and go back to it.",
            &[],
        ),
        Returned::Connected(credential) => html::message(
            StatusCode::OK,
            "Connected",
            &format!(
                "The connection “{}” is ready. Its id is {}.",
                credential.name, credential.id
            ),
            "You can close this page.",
            &[],
        ),
        Returned::Denied("access_denied") => html::message(
            StatusCode::OK,
            "Not connected",
            "You did not allow access, so nothing was connected.",
            "To try again, open the link once more.",
            &[],
        ),
        Returned::Denied(problem) => html::message(
            StatusCode::BAD_GATEWAY,
            "Not connected",
            &format!("The provider did not finish the sign-in ({problem})."),
            "Try again later, or tell whoever sent you here.",
            &[],
        ),
    }
}
