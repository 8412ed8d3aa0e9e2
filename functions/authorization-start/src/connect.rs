//! The connect page and its button.

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use grantkeeper::broker::Broker;
use grantkeeper::broker::start_flow::{Again, Pressed, Started};
use grantkeeper::error::{BrowserRefusal, Error};
use grantkeeper::inbound::openapi::{FailurePage, RefusalPage};
use grantkeeper::inbound::{body, connect_form, html};
use grantkeeper::model::flow::LIFETIME_SECONDS;
use grantkeeper::model::session::Session;
use grantkeeper::secret::Secret;
use lambda_http::http::{HeaderMap, HeaderValue, StatusCode, header};
use url::Url;
use utoipa::ToSchema;

use super::form;

/// Shows the connect page.
///
/// For browsers. No side effects on GET and HEAD, so link scanners and prefetching change nothing.
#[utoipa::path(
    get, path = "/connect/{token}", operation_id = "show_connect_page", tag = "connect", security(()),
    params(("token" = String, Path, description = "The secret part of the link")),
    responses(
        (status = 200, description = "The page: choose a client, name the credential, tick scopes, sign in",
            body = String, content_type = "text/html"),
        (status = 404, response = RefusalPage),
        (status = 410, response = RefusalPage),
        (status = 503, response = FailurePage)
    )
)]
pub async fn show(State(broker): State<Broker>, Path(token): Path<String>) -> Response {
    let token = Secret::new(token);
    let shown = async {
        let page = broker.connect_page(&token).await?;
        // With several clients an empty name stands for the chosen client's.
        let name = match page.offers.as_slice() {
            _ if !page.asks_name() => None,
            [only] => Some(broker.free_name(&page.session, &only.client).await?),
            _ => Some(String::new()),
        };
        let form = form::fresh(&page, &token, name);
        Ok(connect_form::connect(&form, &destinations(&broker, &page.session)))
    };
    shown.await.unwrap_or_else(refused)
}

/// Starts a flow and sends the browser to the authorization server.
///
/// For the form of the connect page, from that page alone: `Sec-Fetch-Site` must be `same-origin` or, where that header
/// is absent, `Origin` must be ours.
#[utoipa::path(
    post, path = "/connect/{token}", operation_id = "start_flow", tag = "connect", security(()),
    params(("token" = String, Path, description = "The secret part of the link")),
    request_body(content = inline(ConnectChoice), content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A page that says that the application finishes the rest; for a grant without a \
                                      redirect, where the session has no return URL",
            body = String, content_type = "text/html"),
        (status = 303, description = "To the authorization server; for a grant without a redirect to the return URL",
            headers(
                ("Location" = String, description = "The authorization request, or the return URL with `flow`, \
                                                     `completion_code` and `context`"),
                ("Set-Cookie" = String, description = "Ties the flow to this browser, where it goes on elsewhere")
            )),
        (status = 403, response = RefusalPage),
        (status = 404, response = RefusalPage),
        (status = 409, response = RefusalPage),
        (status = 410, response = RefusalPage),
        (status = 422, response = RefusalPage),
        (status = 503, response = FailurePage)
    )
)]
pub async fn start(State(broker): State<Broker>, Path(token): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let token = Secret::new(token);
    let started = async {
        check_same_origin(&parts.headers, &broker)?;
        let choice = form::parse(&body::bytes(body).await?)?;
        broker.start_flow(&token, choice).await
    };
    match started.await {
        Ok(Pressed::Away(started)) => redirect(&started, &broker),
        Ok(Pressed::Back(location)) => html::see_other(location.expose()),
        Ok(Pressed::Waiting) => html::message(
            StatusCode::OK,
            "That is all",
            "The application that sent you here now finishes the rest.",
            "You can close this page and go back to it.",
            &[],
        ),
        Ok(Pressed::Again(again)) => {
            let Again { page, choice, notices } = *again;
            let form = form::again(&page, &token, &choice, notices);
            connect_form::connect_again(&form, &destinations(&broker, &page.session))
        }
        Err(error) => refused(error),
    }
}

/// The form of the connect page. What the session fixed is not accepted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: the form is read strictly, field by field")]
struct ConnectChoice {
    /// The client that was chosen.
    client: Option<String>,
    /// The name of the credential.
    name: Option<String>,
    /// The optional scopes that were ticked.
    #[serde(default)]
    scope: Vec<String>,
    /// The grant, where the client has several; `grant.<client>` where there are several clients.
    grant: Option<String>,
    /// The value of the client's variable of that key, and so for every other; `var.<client>.<key>` where several clients
    /// ask for the same.
    #[serde(rename = "var.<key>")]
    value: Option<String>,
}

/// Where the form may lead besides https: the local stack's own origins, and the return URL where that is one of them.
fn destinations(broker: &Broker, session: &Session) -> Vec<String> {
    let mut origins = broker.insecure_origins();
    let back = session.return_url.as_deref().and_then(|url| Url::parse(url).ok());
    origins.extend(back.filter(|url| url.scheme() == "http").map(|url| url.origin().ascii_serialization()));
    origins
}

fn redirect(started: &Started, broker: &Broker) -> Response {
    let mut response = html::see_other(started.location.expose());
    let secure = if broker.config().plain_http() { "" } else { "; Secure" };
    let cookie = format!(
        "{}={}; Path=/; Max-Age={LIFETIME_SECONDS}; HttpOnly; SameSite=Lax{secure}",
        started.cookie_name,
        started.cookie.expose()
    );
    match HeaderValue::from_str(&cookie) {
        Ok(cookie) => {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(_) => Error::Internal("a cookie cannot be written").into_response(),
    }
}

/// The button must be pressed on our own page: Fetch Metadata says so, or, in browsers without it, `Origin`.
fn check_same_origin(headers: &HeaderMap, broker: &Broker) -> Result<(), Error> {
    let one = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let same = match one("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => one("origin") == Some(broker.config().public_url.as_str()),
    };
    if same { Ok(()) } else { Err(BrowserRefusal::CrossSite.into()) }
}

fn refused(error: Error) -> Response {
    match error {
        Error::Browser(refusal) => html::refusal(refusal),
        Error::TooLarge(_) => html::refusal(BrowserRefusal::BadForm),
        other => html::failure(&other),
    }
}
