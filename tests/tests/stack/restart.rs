//! The local stack keeps what it answered for, also when it is killed.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use chrono::Duration;
use grantkeeper::testing::FixedClock;
use grantkeeper_local::stack::{Options, Stack};
use grantkeeper_tests::{Backend, Browser, World, parameters};
use http::StatusCode;
use serde_json::json;

use super::Outcome;

/// The same stack once more: same directory, ports and clock.
async fn again(directory: &std::path::Path, ports: (u16, u16), clock: &FixedClock) -> anyhow::Result<Stack> {
    let mut tries = 0;
    loop {
        let options = Options {
            port: ports.0,
            sandbox_port: Some(ports.1),
            clock: Arc::new(clock.clone()),
            ..Options::at(directory)
        };
        match Stack::start(options).await {
            // The tasks of a stack that was dropped end a moment later.
            Err(_) if tries < 50 => {
                tries += 1;
                tokio::time::sleep(StdDuration::from_millis(100)).await;
            }
            other => return other,
        }
    }
}

async fn survives(cleanly: bool) -> Outcome {
    let world = World::with(|options| Options { ephemeral: false, ..options }).await?;
    let id = world.connect(json!({})).await?["id"].as_str().unwrap().to_owned();
    let token = world.read_token(&id, json!({})).await?.text("/access_token");
    let browser = Browser::new();
    let callback = world.to_callback(&browser, json!({ "name": "under way" })).await?;
    let under_way = parameters(&browser.get(callback.as_str()).await?.location()?);
    let client = world.superuser().get(&format!("/v1/clients/{}", world.client())).await?;
    let port = |url: &str| url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let ports = (port(&world.stack.url), port(world.sandbox_url()));
    let keys = [&world.stack.keys.superuser, &world.stack.keys.platform, &world.stack.keys.runner]
        .map(|key| key.expose().clone());
    let (clock, project) = (world.clock.clone(), world.stack.project.clone());

    let (stack, directory) = world.into_parts();
    if cleanly {
        stack.shutdown().await;
    } else {
        drop(stack);
    }
    let stack = again(directory.path(), ports, &clock).await?;
    assert_eq!([&stack.keys.superuser, &stack.keys.platform, &stack.keys.runner].map(|key| key.expose().clone()), keys);
    assert_eq!(stack.project, project);
    let caller = |key: &str| Backend::new(&stack.url, Some(key));
    let path = format!("/v1/clients/{}", client.text("/id"));
    assert_eq!(caller(&keys[0]).get(&path).await?.body, client.body);
    let read = caller(&keys[2]).post(&format!("/v1/credentials/{id}/token"), json!({})).await?;
    assert_eq!((read.status, read.text("/access_token")), (StatusCode::OK, token.clone()));
    // A code that was parked before is exchanged after.
    let completion = json!({ "completion_code": under_way["completion_code"], "owner": "ada" });
    let completed = caller(&keys[1]).post(&format!("/v1/flows/{}/complete", under_way["flow"]), completion).await?;
    assert_eq!(completed.status, StatusCode::CREATED, "{}", completed.body);

    clock.advance(Duration::seconds(3601));
    stack.sandbox.as_ref().unwrap().sandbox.advance_clock(3601);
    let fresh = caller(&keys[2]).post(&format!("/v1/credentials/{id}/token"), json!({})).await?;
    assert_eq!((fresh.status, &fresh.body["generation"]), (StatusCode::OK, &json!(2)), "{}", fresh.body);
    let sandbox = &stack.sandbox.as_ref().unwrap().url;
    let me = Backend::new(sandbox, Some(&fresh.text("/access_token"))).get("/api/me").await?;
    assert_eq!((me.status, me.text("/user")), (StatusCode::OK, "ada".into()));
    stack.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_everything_is_there_again() -> Outcome {
    survives(true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_end_without_shutdown_everything_is_there_again() -> Outcome {
    survives(false).await
}

#[tokio::test]
async fn the_files_are_readable_by_their_owner_only() -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with(|options| Options { ephemeral: false, ..options }).await?;
    world.connect(json!({})).await?;
    let mut files = 0;
    for entry in std::fs::read_dir(world.directory())? {
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        let allowed = if entry.metadata()?.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode & !allowed, 0, "{:?} has mode {mode:o}", entry.path());
        files += 1;
    }
    assert!(files >= 3, "{files}");
    Ok(())
}
