//! The redirection endpoint (RFC 6749 §3.1.2). It never shows or forwards what the provider wrote.

use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use grantkeeper::broker::Broker;
use grantkeeper::broker::receive_callback::{Callback, Returned};
use grantkeeper::error::{BrowserRefusal, Error};
use grantkeeper::inbound::openapi::{FailurePage, RefusalPage};
use grantkeeper::inbound::{body, html};
use grantkeeper::model::credential::CredentialStatus;
use lambda_http::http::{HeaderMap, StatusCode};

/// Receives the authorization response.
///
/// For browsers. A refusal is a page, never redirects and never consumes the flow.
#[utoipa::path(
    get, path = "/callback/{client_key}", operation_id = "receive_callback", tag = "flows", security(()),
    params(
        ("client_key" = String, Path, description = "The client's key, as in its redirect URI"),
        ("state" = String, Query, description = "RFC 6749 §4.1.1"),
        ("code" = Option<String>, Query, description = "RFC 6749 §4.1.2"),
        ("error" = Option<String>, Query, description = "RFC 6749 §4.1.2.1; instead of `code`"),
        ("iss" = Option<String>, Query, description = "RFC 9207; required where the authorization server promises it")
    ),
    responses(
        (status = 200, description = "A page that says what came of it; where the session has no return URL",
            body = String, content_type = "text/html"),
        (status = 303, description = "To the return URL, with `flow` and `completion_code` (or `credential`, or \
                                      `error`) and `context`",
            headers(("Location" = String, description = "The return URL with what was added to it"))),
        (status = 400, response = RefusalPage),
        (status = 403, response = RefusalPage),
        (status = 409, response = RefusalPage),
        (status = 502, description = "A page that says that the provider did not finish the sign-in",
            body = String, content_type = "text/html"),
        (status = 503, response = FailurePage)
    )
)]
pub async fn receive(
    State(broker): State<Broker>,
    Path(client_key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let cookie = |name: &str| html::cookie(&headers, name);
    let callback = Callback { client_key: &client_key, query: query.as_deref().unwrap_or_default(), cookie: &cookie };
    match broker.receive_callback(callback).await {
        Ok(returned) => show(returned),
        Err(Error::Browser(refusal)) => {
            tracing::warn!(%refusal, security = true, "a callback was refused");
            html::refusal(refusal)
        }
        Err(error) => html::failure(&error),
    }
}

/// Receives the authorization response of `response_mode=form_post`, and sends the browser once more, by GET.
///
/// For browsers. The Lax cookie does not come with a cross-site POST.
#[utoipa::path(
    post, path = "/callback/{client_key}", operation_id = "bounce_callback", tag = "flows", security(()),
    params(("client_key" = String, Path, description = "The client's key, as in its redirect URI")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "The parameters of the GET call"),
    responses(
        (status = 303, description = "To the GET call",
            headers(("Location" = String, description = "The same path, with the fields as its query"))),
        (status = 400, response = RefusalPage)
    )
)]
pub async fn bounce(Path(client_key): Path<String>, request: Request) -> Response {
    let fields = match body::bytes(request.into_body()).await {
        Ok(fields) => fields,
        Err(_) => return html::refusal(BrowserRefusal::MalformedResponse),
    };
    // Only what is a query can go into one; the GET parses it.
    let query = String::from_utf8_lossy(&fields);
    let plain = query.len() <= 8192 && query.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'#');
    let key = client_key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
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
            "The application that sent you here now finishes the rest.",
            "You can close this page and go back to it.",
            &[],
        ),
        Returned::Connected(credential) if credential.status == CredentialStatus::Suspended => html::message(
            StatusCode::OK,
            "Connected, and put aside",
            &format!("The credential “{}” is kept, but not used yet. Its id is {}.", credential.name, credential.id),
            "The application that sent you here can say why, and take it into use.",
            &[],
        ),
        Returned::Connected(credential) => html::message(
            StatusCode::OK,
            "Connected",
            &format!("The credential “{}” is ready. Its id is {}.", credential.name, credential.id),
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
