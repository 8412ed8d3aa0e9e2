//! Clients with settings beyond the usual, and the presses of the button that a test of them makes.

use anyhow::{Context as _, ensure};
use grantkeeper::model::ids::ClientId;
use grantkeeper::store::Store as _;
use grantkeeper_sandbox::ClientSettings;
use grantkeeper_tests::{Browser, Page, World};
use http::StatusCode;
use serde_json::{Value, json};

/// A client at the sandbox under this name, with a secret of the same name.
pub(super) fn at_sandbox(name: &str) -> ClientSettings {
    ClientSettings { client_id: name.to_owned(), client_secret: Some(secret_of(name)), ..Default::default() }
}

/// The secret of [`at_sandbox`].
pub(super) fn secret_of(name: &str) -> String {
    format!("canary-secret-of-{name}")
}

/// A client that is registered in the usual way and then has these settings, as the store keeps them. A setting that is
/// null is taken away. A client whose people bring their own secrets has none itself.
pub(super) async fn shaped(world: &World, settings: ClientSettings, patch: Value) -> anyhow::Result<String> {
    let id = world
        .register(
            settings,
            json!({ "issuer": null, "authorization_endpoint": url(world, "authorize"),
        "token_endpoint": url(world, "token"), "revocation_endpoint": url(world, "revoke") }),
        )
        .await?;
    let store = world.store();
    let mut client = store.find_client(&ClientId::parse(&id)?).await?.context("the client")?;
    let mut shape = serde_json::to_value(&client.settings)?;
    let members = shape.as_object_mut().context("an object")?;
    members.extend(patch.as_object().cloned().unwrap_or_default());
    client.settings = serde_json::from_value(shape)?;
    client.version += 1;
    client.revision += 1;
    client.secret_origin = client.settings.secret_origins();
    if client.settings.client_id.is_none() {
        client.client_secrets.clear();
    }
    store.update_client(&client).await?;
    Ok(id)
}

/// An endpoint of the sandbox.
pub(super) fn url(world: &World, path: &str) -> String {
    format!("{}/{path}", world.sandbox_url())
}

/// Opens a session for one client; `patch` goes over the body. Returns the link.
pub(super) async fn link(world: &World, client: &str, patch: Value) -> anyhow::Result<String> {
    let mut body = json!({ "clients": [client] });
    body.as_object_mut().context("an object")?.extend(patch.as_object().cloned().unwrap_or_default());
    let session = world.open_session(body).await?;
    ensure!(session.status == StatusCode::CREATED, "{}", session.body);
    Ok(session.text("/connect_url"))
}

/// Presses the button, consents as this person, and completes for `ada`. Returns what `complete` answered.
pub(super) async fn finish(
    world: &World,
    link: &str,
    form: &[(&str, &str)],
    person: &str,
) -> anyhow::Result<grantkeeper_tests::Answer> {
    let browser = Browser::new();
    let authorization_url = browser.start(link, form).await?;
    let callback = browser.consent(&authorization_url, person).await?;
    let returned = browser.get(callback.as_str()).await?;
    ensure!(returned.status == StatusCode::SEE_OTHER, "{} {}", returned.status, returned.text);
    world.complete(&returned.location()?, "ada").await
}

/// The page came back with this in its notice, and nothing went to the provider.
#[track_caller]
pub(super) fn assert_again(page: &Page, words: &str) {
    assert_eq!((page.status, page.code()), (StatusCode::UNPROCESSABLE_ENTITY, "wrong_value"), "{}", page.text);
    let notices: Vec<_> = page.text.lines().filter(|line| line.contains("class=\"notice\"")).collect();
    assert!(notices.iter().any(|notice| notice.contains(words)), "{words}: {notices:?}");
    assert!(page.headers.get("location").is_none() && page.headers.get("set-cookie").is_none());
}
