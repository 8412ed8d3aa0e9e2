//! The whole life of a credential at a pose: registered, connected, tested, refreshed, revoked.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Duration, Utc};
use grantkeeper::clock::Clock as _;
use grantkeeper::model::client::{CredentialsFrom, GrantType, RefreshKind};
use grantkeeper::protocol::merge_patch::merge;
use grantkeeper::protocol::token::AuthMethod;
use grantkeeper_sandbox::{Endpoint, Pose, PoseSettings};
use grantkeeper_tests::world::RETURN_URL;
use grantkeeper_tests::{Answer, World};
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::entry::{Case, Values};
use crate::lanes::Lane;
use crate::plain::ended;

const CLIENT_ID: &str = "client-at-provider";
const SECRET: &str = "secret%of+the/client";
/// The user name and the password of the one person there.
const USER: (&str, &str) = ("ada", "sandbox");
/// The longest life of an access token that a test waits for; longer ones are cut short, where there is a refresh.
const LONGEST: i64 = 90 * 24 * 3600;

/// A credential on its way.
struct Journey<'a> {
    lane: &'a Lane,
    case: &'a Case,
    values: Values,
    pose: Pose,
    client: String,
}

/// Everything, with the pose's complaints where it fails. `mutation` goes over what the client takes from the entry, of
/// which the pose does not hear.
pub async fn run(lane: &Lane, case: &Case, mutation: Option<&Value>) -> Outcome {
    let world = &lane.world;
    lane.internet.becomes(world.sandbox().poses_router());
    let strays = world.sandbox().strays().len();
    let values = case.values()?;
    let (key, pose) = pose(world, case, &values)?;
    let travelled = async {
        let client = register(world, case, &values, &key, mutation).await?;
        Journey { lane, case, values, pose: pose.clone(), client }.travel().await
    };
    let strays = || world.sandbox().strays().get(strays..).unwrap_or_default().to_vec();
    travelled.await.map_err(|error| {
        let (complaints, strays) = (pose.complaints(), strays());
        error.context(format!("complaints: {complaints:?}, strays: {strays:?}"))
    })?;
    ensure!(pose.complaints().is_empty(), "complaints: {:?}", pose.complaints());
    ensure!(strays().is_empty(), "strays: {:?}", strays());
    Ok(())
}

/// The provider, which knows the client before it is registered here. Returns the client's key.
fn pose(world: &World, case: &Case, values: &Values) -> anyhow::Result<(String, Pose)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let key = format!("pose-{:0>24}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let settings = &case.settings;
    let given = values.client.iter().chain(&values.person).map(|(key, value)| (key.clone(), value.clone()));
    let public = settings.auth_method() == AuthMethod::None;
    let is_long = settings.refresh.default_lifetime.is_some_and(|seconds| i64::from(seconds) > LONGEST);
    let mut entry = case.entry.clone();
    merge(&mut entry, case.own.clone());
    merge(&mut entry, case.server.clone());
    let pose = world.sandbox().pose(PoseSettings {
        entry,
        client_id: CLIENT_ID.to_owned(),
        client_secrets: if public { Vec::new() } else { vec![SECRET.to_owned()] },
        redirect_uris: vec![format!("{}/callback/{key}", world.stack.url)],
        values: given.collect(),
        found: values.found.clone(),
        user: USER.0.to_owned(),
        access_token_seconds: is_long.then_some(3600),
        ..PoseSettings::default()
    });
    Ok((key, pose.context("the entry cannot be posed as")?))
}

async fn register(
    world: &World,
    case: &Case,
    values: &Values,
    key: &str,
    mutation: Option<&Value>,
) -> anyhow::Result<String> {
    let grants: Vec<&str> = case.grants.iter().map(|grant| grant.as_str()).collect();
    let mut body = json!({
        "project": world.stack.project, "grant_types": grants, "values": values.client, "client_key": key,
    });
    let settings = &case.settings;
    match mutation {
        None => merge(&mut body, json!({ "provider": case.id })),
        Some(mutation) => {
            let mut facts = case.entry.clone();
            merge(&mut facts, json!({ "name": case.id }));
            merge(&mut facts, mutation.clone());
            merge(&mut facts, body);
            body = facts;
        }
    }
    merge(&mut body, case.own.clone());
    if settings.credentials_from == CredentialsFrom::Client {
        let secret = (settings.auth_method() != AuthMethod::None).then_some(SECRET);
        merge(&mut body, json!({ "client_id": CLIENT_ID, "client_secret": secret }));
    }
    let answer = world.superuser().post("/v1/clients", body).await?;
    ensure!(answer.status == StatusCode::CREATED, "POST /v1/clients: {} {}", answer.status, answer.body);
    ensure!(answer.text("/status") == "active", "the client is no active one: {}", answer.body);
    Ok(answer.text("/id"))
}

impl Journey<'_> {
    async fn travel(&self) -> Outcome {
        let made = match self.case.grant {
            GrantType::AuthorizationCode | GrantType::RefreshToken => self.connect().await?,
            GrantType::ClientCredentials | GrantType::Password => self.make().await?,
        };
        let id = made.text("/id");
        self.choose(&id, made).await.context("choose")?;
        let first = self.read(&id).await.context("the first token")?;
        self.check_delivery(&first)?;
        self.test(&id).await.context("test")?;
        self.outlive(&id, &first).await.context("after its expiry")?;
        self.disconnect(&id).await.context("disconnect")
    }

    /// Session, connect page, consent, callback, complete.
    async fn connect(&self) -> anyhow::Result<Answer> {
        let world = &self.lane.world;
        let body = json!({
            "owner": "ada", "clients": [self.client], "return_url": RETURN_URL, "variables": self.variables(),
        });
        let session = world.platform().post("/v1/connect-sessions", body).await?;
        ensure!(session.status == StatusCode::CREATED, "POST /v1/connect-sessions: {}", session.body);
        let browser = self.lane.internet.browser();
        let authorization_url = browser.start(&session.text("/connect_url"), &[]).await.context("the connect page")?;
        let consented = browser.get(authorization_url.as_str()).await.context("the authorization endpoint")?;
        let callback = consented
            .location()
            .with_context(|| format!("{authorization_url} answered {} {}", consented.status, consented.text))?;
        let returned = browser.get(callback.as_str()).await?;
        let location = returned.location();
        let location = location.with_context(|| format!("the callback answered {}", returned.code()))?;
        let completed = world.complete(&location, "ada").await?;
        ensure!(completed.status == StatusCode::CREATED, "complete: {}", completed.body);
        Ok(completed)
    }

    /// A grant without a browser.
    async fn make(&self) -> anyhow::Result<Answer> {
        let mut body = json!({
            "name": self.case.name(), "owner": "ada", "client": self.client, "grant_type": self.case.grant.as_str(),
            "variables": self.variables(),
        });
        if let (GrantType::Password, Some(body)) = (self.case.grant, body.as_object_mut()) {
            body.insert("username".to_owned(), json!(USER.0));
            body.insert("password".to_owned(), json!(USER.1));
        }
        let made = self.lane.world.platform().post("/v1/credentials", body).await?;
        ensure!(made.status == StatusCode::CREATED, "POST /v1/credentials: {}", made.body);
        Ok(made)
    }

    /// What the person gives.
    fn variables(&self) -> Map<String, Value> {
        let given = self.values.person.iter().map(|(key, value)| (key.clone(), json!(value)));
        let mut given: Map<String, Value> = given.collect();
        if self.case.settings.credentials_from == CredentialsFrom::Person {
            given.insert("client_id".to_owned(), json!(CLIENT_ID));
            if self.case.settings.auth_method() != AuthMethod::None {
                given.insert("client_secret".to_owned(), json!(SECRET));
            }
        }
        given
    }

    /// Chooses where a list of several was found, and looks whether every value is there then.
    async fn choose(&self, id: &str, made: Answer) -> Outcome {
        let ada = self.lane.world.platform().acting_for("ada");
        let mut credential = made;
        if credential.text("/status") == "choice_required" {
            ensure!(!self.values.chosen.is_empty(), "there is nothing to choose: {}", credential.body);
            let body = json!({ "variables": self.values.chosen });
            credential = ada.patch(&format!("/v1/credentials/{id}"), body).await?;
            ensure!(credential.status == StatusCode::OK, "{}", credential.body);
        } else {
            ensure!(self.values.chosen.is_empty(), "nobody was asked to choose: {}", credential.body);
        }
        ensure!(credential.text("/status") == "active", "{}", credential.body);
        let shown = credential.body.get("variables").cloned().unwrap_or_default();
        for variable in self.case.settings.variables.iter().filter(|one| one.required && one.source.is_outside()) {
            ensure!(shown.get(&variable.key).is_some(), "{} was not found: {shown}", variable.key);
        }
        Ok(())
    }

    async fn read(&self, id: &str) -> anyhow::Result<Answer> {
        let token = self.lane.world.read_token(id, json!({})).await?;
        ensure!(token.status == StatusCode::OK, "{}", token.body);
        Ok(token)
    }

    /// A program is told how and where to send the token.
    fn check_delivery(&self, token: &Answer) -> Outcome {
        let settings = &self.case.settings;
        let value = format!("{} {}", settings.header.prefix, token.text("/access_token"));
        ensure!(token.text("/header/name") == settings.header.name, "{}", token.body.pointer("/header/name").is_some());
        ensure!(token.text("/header/value") == value.trim_start(), "the header has another value");
        let is_fixed = |text: &String| !text.contains('{');
        for (name, value) in settings.api_headers.iter().filter(|(_, value)| is_fixed(value)) {
            let told = token.body.get("headers").and_then(|headers| headers.get(name)).and_then(Value::as_str);
            ensure!(told == Some(value), "the header {name} is {told:?}");
        }
        if settings.api_base_url.is_some() {
            let base = token.text("/api_base_url");
            ensure!(base.starts_with("https://") && !base.contains('{'), "api_base_url is {base:?}");
        }
        Ok(())
    }

    async fn test(&self, id: &str) -> Outcome {
        let answer = self.lane.world.platform().post(&format!("/v1/credentials/{id}/test"), json!({})).await?;
        ensure!(answer.status == StatusCode::OK, "{}", answer.body);
        let steps = answer.body.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
        let failed = steps.iter().find(|step| step.get("verdict").and_then(Value::as_str) == Some("failed"));
        ensure!(failed.is_none(), "{failed:?}");
        if self.case.settings.test_request.is_some() {
            ensure!(self.pose.reached().contains(&Endpoint::Test), "the test request did not arrive: {steps:?}");
        }
        Ok(())
    }

    /// Moves the clock behind the end of the access token, twice where refresh tokens rotate, and reads again.
    async fn outlive(&self, id: &str, first: &Answer) -> Outcome {
        let mut last = first.clone();
        for round in 1..=2 {
            let Some(expires_at) = expiry(&last)? else {
                self.advance(Duration::days(1)).await?;
                let again = self.read(id).await.context("a token without an end")?;
                ensure!(again.text("/access_token") == last.text("/access_token"), "it was replaced");
                return Ok(());
            };
            let life = expires_at - self.lane.world.clock.now();
            self.advance(life + Duration::seconds(1)).await?;
            if !self.renews() {
                let over = self.lane.world.read_token(id, json!({})).await?;
                ensure!(!over.status.is_success(), "a token is served after its end");
                return Ok(());
            }
            let next = self.read(id).await.with_context(|| format!("round {round}, after {life}"))?;
            ensure!(next.text("/access_token") != last.text("/access_token"), "round {round}: the same token again");
            last = next;
        }
        let by_token = self.case.grants.contains(&GrantType::RefreshToken);
        let expected = if by_token && self.refreshes() { Endpoint::Refresh } else { Endpoint::Token };
        let count = self.pose.reached().iter().filter(|endpoint| **endpoint == expected).count();
        ensure!(count >= 2, "{} was reached {count} times: {:?}", expected.as_str(), self.pose.reached());
        Ok(())
    }

    /// Moves the clock in steps after which the keys of the world are used: an unused one ends after 90 days.
    async fn advance(&self, by: Duration) -> Outcome {
        let world = &self.lane.world;
        let mut left = by;
        while left > Duration::zero() {
            let step = left.min(Duration::days(60));
            world.advance(step);
            left -= step;
            for caller in [world.superuser(), world.platform(), world.runner()] {
                caller.get("/v1/credentials?limit=1").await?;
            }
        }
        Ok(())
    }

    /// Whether there is something to present for another token.
    fn refreshes(&self) -> bool {
        self.case.settings.refresh.kind != Some(RefreshKind::None)
    }

    /// Whether another token is to be had without a person.
    fn renews(&self) -> bool {
        match self.case.grant {
            GrantType::ClientCredentials | GrantType::Password => true,
            GrantType::AuthorizationCode | GrantType::RefreshToken => {
                self.case.grants.contains(&GrantType::RefreshToken) && self.refreshes()
            }
        }
    }

    async fn disconnect(&self, id: &str) -> Outcome {
        let ada = self.lane.world.platform().acting_for("ada");
        let deleted = ada.delete(&format!("/v1/credentials/{id}")).await?;
        ensure!(deleted.status.is_success(), "{}", deleted.body);
        let ended = ended(&self.lane.world, id).await?;
        let verdict = ended.text("/evidence/verdict");
        if self.case.settings.revocation_endpoint.is_some() {
            ensure!(verdict == "revoked", "{}", ended.body);
            ensure!(self.pose.reached().contains(&Endpoint::Revoke), "the revocation did not arrive");
        } else {
            ensure!(verdict == "not_supported", "{}", ended.body);
        }
        Ok(())
    }
}

fn expiry(token: &Answer) -> anyhow::Result<Option<DateTime<Utc>>> {
    match token.body.get("expires_at").and_then(Value::as_str) {
        Some(text) => Ok(Some(DateTime::parse_from_rfc3339(text)?.into())),
        None => Ok(None),
    }
}
