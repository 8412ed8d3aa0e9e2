//! What becomes of a request to the addresses of the poses.

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::arrived::Arrived;
use super::find::{Candidate, find};
use super::sites::{Site, What};
use super::{Complaint, Endpoint, Posed, authorize, introspect, metadata, resource, revoke, shape, token};
use crate::Sandbox;
use crate::oauth_error::no_store;
use crate::state::State;

/// The longest body that is read.
const MAX_BODY: usize = 1 << 20;

/// A request that is as an entry says.
enum Accepted {
    Authorize(authorize::Asked),
    Token(token::Exchange),
    Revoke(revoke::Revoked),
    Introspect(introspect::Question),
    Resource(resource::Call),
    Document(Value),
}

pub(super) async fn serve(Shared(sandbox): Shared<Sandbox>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let arrived = Arrived::of(&head, body);
    let poses = sandbox.poses();
    let candidates = sandbox.read(|state| find(&poses, &arrived, state));
    if candidates.is_empty() {
        let stray = format!("{} {}{}", arrived.method, arrived.authority, arrived.path);
        let answer = json!({ "error": "not_found", "error_description": format!("no pose has {stray}") });
        sandbox.note_stray(stray);
        return no_store((StatusCode::NOT_FOUND, Json(answer)));
    }
    let mut first = None;
    for Candidate { posed, sites, .. } in candidates {
        let sites: Vec<&Site> = sites.iter().filter_map(|index| posed.sites.get(*index)).collect();
        match sandbox.read(|state| accept(&sandbox, &posed, &sites, &arrived, state)) {
            Ok(accepted) => return answer(&sandbox, &posed, accepted).await,
            Err(refused) => {
                first.get_or_insert((posed.clone(), refused));
            }
        }
    }
    let Some((posed, (endpoint, complaint))) = first else { return StatusCode::NOT_FOUND.into_response() };
    posed.complain(endpoint, &complaint.reason);
    refuse(&posed, endpoint, &complaint)
}

/// Checks a request by the facts of one pose.
fn accept(
    sandbox: &Sandbox,
    posed: &Posed,
    sites: &[&Site],
    arrived: &Arrived,
    state: &State,
) -> Result<Accepted, (Endpoint, Complaint)> {
    let resources: Vec<&Site> = sites.iter().copied().filter(|site| site.is_resource()).collect();
    let Some(site) = sites.iter().find(|site| !site.is_resource()) else {
        return resource::read(posed, &resources, arrived).map(Accepted::Resource);
    };
    let at = |complaint: Complaint| (site.endpoint(), complaint);
    match site.what {
        What::Authorize => authorize::read(posed, site, arrived).map(Accepted::Authorize).map_err(at),
        What::Token | What::Refresh => token::read(posed, site, arrived, state).map(Accepted::Token),
        What::Revoke => revoke::read(posed, site, arrived).map(Accepted::Revoke).map_err(at),
        What::Introspect => introspect::read(posed, site, arrived).map(Accepted::Introspect).map_err(at),
        What::Metadata | What::Keys => Ok(Accepted::Document(metadata::document(sandbox, posed, site))),
        What::Userinfo | What::Test | What::Lookup(_) | What::Api => {
            resource::read(posed, &resources, arrived).map(Accepted::Resource)
        }
    }
}

async fn answer(sandbox: &Sandbox, posed: &Posed, accepted: Accepted) -> Response {
    let reached = match &accepted {
        Accepted::Authorize(_) => vec![Endpoint::Authorize],
        Accepted::Token(exchange) => vec![exchange.endpoint()],
        Accepted::Revoke(_) => vec![Endpoint::Revoke],
        Accepted::Introspect(_) => vec![Endpoint::Introspect],
        Accepted::Resource(call) => call.endpoints.clone(),
        Accepted::Document(_) => vec![Endpoint::Metadata],
    };
    posed.notes().reached.extend(reached);
    match accepted {
        Accepted::Authorize(asked) => authorize::answer(sandbox, posed, asked).await,
        Accepted::Token(exchange) => token::answer(sandbox, posed, exchange).await,
        Accepted::Revoke(revoked) => revoke::answer(sandbox, posed, revoked).await,
        Accepted::Introspect(question) => introspect::answer(sandbox, posed, question).await,
        Accepted::Resource(call) => resource::answer(sandbox, posed, call).await,
        Accepted::Document(document) => no_store(Json(document)),
    }
}

fn refuse(posed: &Posed, endpoint: Endpoint, complaint: &Complaint) -> Response {
    match endpoint {
        Endpoint::Authorize => authorize::refusal(&complaint.reason),
        Endpoint::Token | Endpoint::Refresh | Endpoint::Revoke | Endpoint::Introspect => {
            shape::refusal(posed, complaint)
        }
        Endpoint::Userinfo | Endpoint::Test | Endpoint::Lookup | Endpoint::Api | Endpoint::Metadata => {
            resource::refusal(posed, endpoint, complaint)
        }
    }
}
