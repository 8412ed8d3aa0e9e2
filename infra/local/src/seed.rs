//! What a local stack has from its first start: a root key, a project, and a client at the sandbox.

use anyhow::Context as _;
use aws_sdk_secretsmanager::Client as SecretsManager;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::broker::manage_projects::NewProject;
use grantkeeper::broker::open_session::{ClientChoice, NewSession};
use grantkeeper::model::client::Client;
use grantkeeper::model::ids::ProjectId;
use grantkeeper::model::project::{Policies, Project};
use grantkeeper::secret::Secret;
use grantkeeper::vault::root_key::random_token;
use grantkeeper_sandbox::{ClientSettings, Sandbox};
use serde_json::{Value, json};

/// The secret that holds the root key.
pub const ROOT_KEY: &str = "grantkeeper-root-key";
/// The project that is there from the start.
const PROJECT: &str = "default";
/// The sandbox's client. Anybody may sign in at the sandbox, so its secret is none.
const SANDBOX_CLIENT: &str = "grantkeeper-local";
const SANDBOX_SECRET: &str = "sandbox-secret";
/// The label by which the client is found again.
const LABEL: &str = "grantkeeper-local";

/// Makes the root key on the first start.
pub async fn root_key(sdk: &SecretsManager) -> anyhow::Result<()> {
    if sdk.get_secret_value().secret_id(ROOT_KEY).send().await.is_ok() {
        return Ok(());
    }
    let created = sdk.create_secret().name(ROOT_KEY).secret_string(random_token()?.expose()).send().await;
    created.map(drop).context("the root key cannot be made")
}

/// The default project, made on the first start.
pub async fn project(broker: &Broker, superuser: &Caller) -> anyhow::Result<Project> {
    let mut cursor = None;
    loop {
        let page = broker.list_projects(superuser, 200, cursor.as_deref()).await?;
        if let Some(found) = page.items.into_iter().find(|project| project.slug == PROJECT) {
            return Ok(found);
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let new = NewProject {
        name: "Default".to_owned(),
        slug: Some(PROJECT.to_owned()),
        policies: Policies { allow_password_grant: true, allow_browser_binding: true, ..Policies::default() },
        return_urls: Vec::new(),
        reauthorize_url: None,
    };
    Ok(broker.create_project(superuser, new).await?)
}

/// The client at the sandbox, on both sides.
pub async fn sandbox_client(
    broker: &Broker,
    superuser: &Caller,
    project: &ProjectId,
    sandbox: &Sandbox,
    issuer: &str,
) -> anyhow::Result<Client> {
    let mut found = None;
    let mut cursor = None;
    loop {
        let page = broker.list_clients(superuser, Some(project), None, 200, cursor.as_deref()).await?;
        found = found.or(page.items.into_iter().find(|client| client.settings.labels.contains_key(LABEL)));
        match page.next {
            Some(next) if found.is_none() => cursor = Some(next),
            _ => break,
        }
    }
    let client = match found {
        Some(client) if client.settings.issuer.as_deref() == Some(issuer) => client,
        // The sandbox moved to another port: another origin, so the secret is entered again.
        Some(client) => {
            let patch = json!({ "issuer": issuer, "client_secret": SANDBOX_SECRET, "api_base_url": issuer });
            broker.update_client(superuser, client.id.as_str(), patch).await?
        }
        None => {
            let new = broker.new_client(settings(project, issuer))?;
            broker.register_client(superuser, new).await?
        }
    };
    sandbox.register(ClientSettings {
        client_id: SANDBOX_CLIENT.to_owned(),
        client_secret: Some(SANDBOX_SECRET.to_owned()),
        redirect_uris: vec![broker.config().redirect_uri(&client.client_key)],
        ..ClientSettings::default()
    })?;
    Ok(client)
}

fn settings(project: &ProjectId, issuer: &str) -> Value {
    json!({
        "name": "Sandbox",
        "project": project,
        "client_id": SANDBOX_CLIENT,
        "client_secret": SANDBOX_SECRET,
        "issuer": issuer,
        "scopes": {
            "required": ["openid", "offline_access", "read"],
            "optional": [{ "value": "write", "label": "Change things" }, { "value": "email", "label": "See the e-mail address" }],
        },
        "api_base_url": issuer,
        "test_request": { "path": "/api/me" },
        "labels": { LABEL: "sandbox" },
    })
}

/// A link that connects a credential at the sandbox.
pub async fn connect_link(broker: &Broker, platform: &Caller, client: &Client) -> anyhow::Result<Secret<String>> {
    let session: NewSession =
        serde_json::from_value(json!({ "owner": "you", "binding": "browser", "expires_in": 86_400 }))?;
    let session = NewSession { clients: Some(vec![ClientChoice::Id(client.id.to_string())]), ..session };
    Ok(broker.open_session(platform, session).await?.connect_url)
}
