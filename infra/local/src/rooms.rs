//! Which function serves a path, as the routes of `infra/template.yaml` say, and each request in a task of its own.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use grantkeeper::broker::Broker;
use grantkeeper::error::Error;
use grantkeeper::inbound::routes;
use tokio::sync::mpsc::Sender;
use tower::ServiceExt as _;

/// The time limit of the functions that call providers.
const LIMIT: Duration = Duration::from_secs(20);

/// All functions behind one router. `alive` is held by every request that is not over.
pub fn router(broker: &Broker, alive: Sender<()>) -> Router {
    let rooms = [
        (["/v1/providers", "/v1/clients"].as_slice(), client_registration::router(broker.clone())),
        (&["/v1/connect-sessions", "/connect"], authorization_start::router(broker.clone())),
        (&["/callback", "/v1/flows"], redirect_callback::router(broker.clone())),
        (&["/v1/credentials", "/v1/tokens"], credentials::router(broker.clone())),
        (&[""], administration::router(broker.clone())),
    ];
    Router::new().fallback(move |request: Request| {
        let path = request.uri().path();
        let serves = |prefixes: &[&str]| {
            prefixes
                .iter()
                .any(|prefix| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        let room = rooms.iter().find(|(prefixes, _)| serves(prefixes)).map(|(_, router)| router.clone());
        let alive = alive.clone();
        async move {
            match room {
                Some(room) => undisturbed(room, alive, request).await,
                None => routes::answer(&Error::NotFound),
            }
        }
    })
}

/// A caller that hangs up must not drop a handler in the middle, between provider and commit: Lambda never does.
async fn undisturbed(room: Router, alive: Sender<()>, request: Request) -> Response {
    let served = in_own_task(async move {
        let response = tokio::time::timeout(LIMIT, room.oneshot(request)).await;
        drop(alive);
        response
    });
    match served.await {
        Ok(Ok(Ok(response))) => response,
        // The function ran into its time limit, or panicked; Lambda would answer 5xx, too.
        Ok(Err(_)) | Err(_) => routes::answer(&Error::Dependency("function")),
        Ok(Ok(Err(infallible))) => match infallible {},
    }
}

#[expect(clippy::disallowed_methods, reason = "the process stays: nothing freezes, and the task has a time limit")]
fn in_own_task<F>(work: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(work)
}
