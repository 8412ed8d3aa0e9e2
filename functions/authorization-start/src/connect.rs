//! The connect page and its button.

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use grantkeeper::broker::Broker;
use grantkeeper::broker::connect_page::ConnectPage;
use grantkeeper::broker::start_flow::{Choice, Started};
use grantkeeper::error::{BrowserRefusal, Error};
use grantkeeper::inbound::openapi::{FailurePage, RefusalPage};
use grantkeeper::inbound::{body, html};
use grantkeeper::model::flow::{FlowStatus, LIFETIME_SECONDS};
use grantkeeper::secret::Secret;
use lambda_http::http::{HeaderMap, HeaderValue, header};
use utoipa::ToSchema;

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
        let name = match (&page.session.name, page.offers.as_slice()) {
            (Some(_), _) => None,
            (None, [(_, client)]) => Some(broker.free_name(&page.session, client).await?),
            (None, _) => Some(String::new()),
        };
        Ok(html::connect(&form(&page, &token, name), &broker.insecure_origins()))
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
        (status = 303, description = "To the authorization server",
            headers(
                ("Location" = String, description = "The authorization request"),
                ("Set-Cookie" = String, description = "Ties the flow to this browser")
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
    let started = async {
        check_same_origin(&parts.headers, &broker)?;
        let choice = parse_form(&body::bytes(body).await?)?;
        broker.start_flow(&Secret::new(token), choice).await
    };
    match started.await {
        Ok(started) => redirect(&started, &broker),
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

fn parse_form(body: &Bytes) -> Result<Choice, Error> {
    let mut choice = Choice::default();
    for (name, value) in form_urlencoded::parse(body) {
        let value = value.into_owned();
        let repeated = match name.as_ref() {
            "client" => choice.client.replace(value).is_some(),
            "name" => choice.name.replace(value).is_some(),
            "scope" => {
                choice.scopes.push(value);
                false
            }
            _ => true,
        };
        if repeated {
            return Err(BrowserRefusal::BadForm.into());
        }
    }
    Ok(choice)
}

fn form(page: &ConnectPage, token: &Secret<String>, name: Option<String>) -> html::ConnectForm {
    let failed = page.flow.as_ref().filter(|flow| flow.status == FlowStatus::Failed);
    let clients = page.offers.iter().enumerate().map(|(index, (offer, client))| {
        let scopes = &client.settings.scopes;
        let fixed = page.fixed_scopes(offer);
        let mut required = scopes.required.clone();
        let asked = |scope: &&String| !scopes.required.contains(scope) && page.offers_scope(client, scope);
        required.extend(fixed.unwrap_or_default().iter().filter(asked).cloned());
        let optional = match fixed {
            Some(_) => Vec::new(),
            None => scopes.optional.iter().filter(|scope| page.offers_scope(client, &scope.value)).cloned().collect(),
        };
        html::ConnectClient {
            id: client.id.to_string(),
            name: client.settings.name.clone(),
            checked: index == 0,
            required,
            optional: optional
                .into_iter()
                .map(|scope| html::ConnectScope {
                    checked: page.session.suggested_scopes.contains(&scope.value),
                    label: scope.label.unwrap_or_else(|| scope.value.clone()),
                    value: scope.value,
                })
                .collect(),
            scopes_docs_url: scopes.docs_url.clone(),
        }
    });
    html::ConnectForm {
        action: format!("/connect/{}", token.expose()),
        notice: failed.map(|flow| notice(flow.problem.as_deref())),
        clients: clients.collect(),
        name,
    }
}

fn notice(problem: Option<&str>) -> String {
    match problem {
        Some("access_denied") => "You did not allow access the last time. You can try again.".to_owned(),
        _ => "The last sign-in did not work. You can try again.".to_owned(),
    }
}

fn refused(error: Error) -> Response {
    match error {
        Error::Browser(refusal) => html::refusal(refusal),
        Error::TooLarge(_) => html::refusal(BrowserRefusal::BadForm),
        other => html::failure(&other),
    }
}
