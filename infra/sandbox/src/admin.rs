//! The admin endpoints tests and scripts drive. They know no login: they are safe on the loopback interface only, and
//! the guard keeps web pages of other origins out.

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State as Shared};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use url::{Host, Url};

use crate::Sandbox;
use crate::log::LogEntry;
use crate::oauth_error::no_store;
use crate::parameters::has_media_type;
use crate::presented::Presentation;
use crate::settings::ClientSettings;
use crate::state::GrantStatus;

type Outcome = Result<Response, AdminError>;

/// Why an admin request is refused, in words for the person at the keyboard.
struct AdminError(StatusCode, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_seconds: i64,
}

/// Which grants are read; what is left out does not count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantFilter {
    user: Option<String>,
    client_id: Option<String>,
}

/// Which presented refresh tokens are read; what is left out does not count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresentedFilter {
    client_id: Option<String>,
    grant: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRevocation {
    user: String,
}

pub(crate) fn routes(sandbox: &Sandbox) -> Router<Sandbox> {
    Router::new()
        .route("/admin/clients", get(list_clients))
        .route("/admin/clients/{client_id}", put(put_client).patch(patch_client))
        .route("/admin/grants", get(list_grants))
        .route("/admin/log", get(read_log).delete(clear_log))
        .route("/admin/refresh-tokens", get(list_presented).delete(clear_presented))
        .route("/admin/clock", post(advance_clock))
        .route("/admin/revoke", post(revoke_user))
        .layer(from_fn_with_state(sandbox.clone(), guard))
}

async fn list_clients(Shared(sandbox): Shared<Sandbox>) -> Json<Vec<Value>> {
    Json(sandbox.read(|state| state.clients.values().map(ClientSettings::view).collect()))
}

async fn put_client(
    Shared(sandbox): Shared<Sandbox>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Outcome {
    let client =
        ClientSettings::from_body(&client_id, parse_json(&headers, &body)?).map_err(AdminError::bad_request)?;
    let view = client.view();
    let replaced = sandbox.transact(|state| state.clients.insert(client_id, client)).map_err(AdminError::not_saved)?;
    let status = if replaced.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(view)).into_response())
}

async fn patch_client(
    Shared(sandbox): Shared<Sandbox>,
    Path(client_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Outcome {
    let changes: Map<String, Value> = parse_json(&headers, &body)?;
    let patched = sandbox.transact(|state| {
        let client = state.clients.get_mut(&client_id).ok_or(AdminError::unknown_client())?;
        *client = client.merged(changes).map_err(AdminError::bad_request)?;
        Ok::<_, AdminError>(client.view())
    });
    Ok(Json(patched.map_err(AdminError::not_saved)??).into_response())
}

async fn list_grants(Shared(sandbox): Shared<Sandbox>, Query(filter): Query<GrantFilter>) -> Json<Vec<GrantStatus>> {
    let mut grants = sandbox.grants();
    grants.retain(|grant| {
        filter.client_id.as_ref().is_none_or(|client_id| *client_id == grant.client_id)
            && filter.user.as_ref().is_none_or(|user| grant.user.as_ref() == Some(user))
    });
    Json(grants)
}

async fn read_log(Shared(sandbox): Shared<Sandbox>) -> Json<Vec<LogEntry>> {
    Json(sandbox.log())
}

async fn clear_log(Shared(sandbox): Shared<Sandbox>) -> StatusCode {
    sandbox.clear_log();
    StatusCode::NO_CONTENT
}

async fn list_presented(
    Shared(sandbox): Shared<Sandbox>,
    Query(filter): Query<PresentedFilter>,
) -> Json<Vec<Presentation>> {
    let mut presented = sandbox.presented();
    presented.retain(|one| {
        filter.client_id.as_ref().is_none_or(|client_id| one.client_id.as_ref() == Some(client_id))
            && filter.grant.is_none_or(|grant| one.grant == Some(grant))
    });
    Json(presented)
}

async fn clear_presented(Shared(sandbox): Shared<Sandbox>) -> StatusCode {
    sandbox.clear_presented();
    StatusCode::NO_CONTENT
}

async fn advance_clock(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap, body: Bytes) -> Outcome {
    let change: ClockChange = parse_json(&headers, &body)?;
    let offset_ms = sandbox.transact(|state| {
        state.advance_clock(change.advance_seconds);
        state.clock_offset_ms
    });
    let offset_ms = offset_ms.map_err(AdminError::not_saved)?;
    Ok(Json(json!({ "offset_seconds": offset_ms / 1000 })).into_response())
}

async fn revoke_user(Shared(sandbox): Shared<Sandbox>, headers: HeaderMap, body: Bytes) -> Outcome {
    let revocation: UserRevocation = parse_json(&headers, &body)?;
    let revoked = sandbox.transact(|state| state.revoke_user(&revocation.user)).map_err(AdminError::not_saved)?;
    Ok(Json(json!({ "revoked": revoked })).into_response())
}

/// Lets no web page in. A page of another origin sends `Origin`; a name that was rebound to the loopback address shows
/// in `Host`. JSON only (`parse_json`) makes browsers ask first, and nobody answers that question.
async fn guard(Shared(sandbox): Shared<Sandbox>, request: Request, next: Next) -> Response {
    match find_intruder(request.headers(), sandbox.issuer().trim_end_matches('/')) {
        Some(problem) => AdminError(StatusCode::FORBIDDEN, problem.to_owned()).into_response(),
        None => no_store(next.run(request).await),
    }
}

fn find_intruder(headers: &HeaderMap, issuer: &str) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if text(ORIGIN).is_some_and(|origin| origin != issuer) {
        return Some("requests from web pages are refused");
    }
    text(HOST).is_some_and(|host| !is_own_host(host, issuer)).then_some("this host name is not the sandbox's")
}

/// The issuer's own host and port, or any way to write the loopback interface.
fn is_own_host(host: &str, issuer: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}")) else {
        return false;
    };
    let issuer_host = issuer.split_once("://").map(|(_, authority)| authority);
    issuer_host == Some(host)
        || match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

fn parse_json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, AdminError> {
    if !has_media_type(headers, "application/json") {
        let problem = "the content type must be application/json".to_owned();
        return Err(AdminError(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem));
    }
    serde_json::from_slice(body).map_err(AdminError::bad_request)
}

impl AdminError {
    fn bad_request(problem: impl std::fmt::Display) -> Self {
        AdminError(StatusCode::BAD_REQUEST, problem.to_string())
    }

    fn not_saved(problem: anyhow::Error) -> Self {
        AdminError(StatusCode::INTERNAL_SERVER_ERROR, problem.to_string())
    }

    fn unknown_client() -> Self {
        AdminError(StatusCode::NOT_FOUND, "no such client".to_owned())
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}
