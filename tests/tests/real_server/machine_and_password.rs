//! The grants that nobody consents to in a browser, through the API: made, fetched again when due, and ended by DELETE,
//! which the server itself confirms by introspection.

#![expect(clippy::indexing_slicing, reason = "a field that is missing is null, and fails the test")]

use std::time::Duration as StdDuration;

use anyhow::{bail, ensure};
use chrono::Duration;
use grantkeeper_local::stack::Options;
use grantkeeper_tests::child::TokenRequest;
use grantkeeper_tests::oidc_provider::{OidcClient, OidcOptions, OidcProvider};
use grantkeeper_tests::password_server::{
    MACHINE_CLIENT, PASSWORD_CLIENT, PERSON, PasswordServer, PasswordServerOptions, Registered,
};
use grantkeeper_tests::{Answer, World, browser};
use http::StatusCode;
use serde_json::{Value, json};

use crate::wire::Wire;

/// The life of an access token, in seconds. Only the broker's clock moves: at the server they all live on.
const LIFE: u32 = 3600;

/// A stack with a client of the server, and what that client sees when it asks the server itself.
struct Bench {
    world: World,
    client: String,
    wire: Wire,
}

impl Bench {
    /// Registers the client with these grants; `endpoints` say where the server is.
    async fn new(issuer: &str, registered: Registered, grants: Value, endpoints: Value) -> anyhow::Result<Self> {
        let insecure_origins = vec![issuer.to_owned()];
        let world = World::with(|options| Options { insecure_origins, ..options }).await?;
        let mut body = json!({
            "name": "Machine",
            "project": world.stack.project,
            "client_id": registered.id,
            "client_secret": registered.secret,
            "grant_types": grants,
            "scopes": { "required": ["read"], "optional": [{ "value": "write" }] },
            "api_base_url": issuer,
        });
        if let (Some(body), Value::Object(endpoints)) = (body.as_object_mut(), endpoints) {
            body.extend(endpoints);
        }
        let answer = world.superuser().post("/v1/clients", body).await?;
        ensure!(answer.status == StatusCode::CREATED && answer.text("/status") == "active", "{}", answer.body);
        let wire = Wire::discover(issuer, registered).await?;
        // Typed in or found, they are the server's own.
        for endpoint in ["token_endpoint", "revocation_endpoint", "introspection_endpoint"] {
            ensure!(answer.body[endpoint] == wire.metadata[endpoint], "{endpoint}: {}", answer.body);
        }
        Ok(Self { world, client: answer.text("/id"), wire })
    }

    /// Makes a credential of ada's; `patch` goes over the body.
    async fn create(&self, patch: Value) -> anyhow::Result<Answer> {
        let mut body = json!({ "name": "Machine", "owner": "ada", "client": self.client });
        if let (Some(body), Value::Object(patch)) = (body.as_object_mut(), patch) {
            body.extend(patch);
        }
        self.world.platform().post("/v1/credentials", body).await
    }

    /// The same, and it must come to be. Returns its id.
    async fn created(&self, patch: Value) -> anyhow::Result<String> {
        let answer = self.create(patch).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        ensure!(answer.text("/status") == "active" && answer.body["generation"] == 1, "{}", answer.body);
        ensure!(answer.body.get("access_token").is_none(), "{}", answer.body);
        Ok(answer.text("/id"))
    }

    /// A token of this generation, which the server's resource takes. Returns it with whose it is.
    async fn token(&self, id: &str, generation: u64) -> anyhow::Result<(String, Value)> {
        let delivery = self.world.read_token(id, json!({})).await?;
        ensure!(delivery.status == StatusCode::OK, "{}", delivery.body);
        ensure!(
            delivery.body["generation"] == generation && delivery.body.get("warning").is_none(),
            "{}",
            delivery.body
        );
        let request = browser::http()
            .get(format!("{}/me", delivery.text("/api_base_url")))
            .header(delivery.text("/header/name"), delivery.text("/header/value"));
        let person = request.send().await?.error_for_status()?.json::<Value>().await?["sub"].clone();
        Ok((delivery.text("/access_token"), person))
    }

    async fn is_active(&self, token: &str) -> anyhow::Result<bool> {
        Ok(self.wire.introspect(token).await?["active"] == true)
    }

    /// Disconnects, and waits until the server says that the token is dead and the broker that it has the proof.
    async fn end(&self, id: &str, token: &str) -> anyhow::Result<()> {
        ensure!(self.is_active(token).await?, "it is dead already");
        let path = format!("/v1/credentials/{id}");
        let platform = self.world.platform().acting_for("ada");
        let answer = platform.delete(&path).await?;
        ensure!(answer.status == StatusCode::ACCEPTED && answer.text("/status") == "revoking", "{}", answer.body);
        let served = self.world.read_token(id, json!({})).await?;
        ensure!(!served.status.is_success() && served.body.get("access_token").is_none(), "{}", served.status);
        for _ in 0..100 {
            let status = platform.get(&path).await?.text("/status");
            if status == "revoked" && !self.is_active(token).await? {
                // Only then do the tokens go.
                ensure!(self.world.secret(id).await.is_err(), "the tokens are still there");
                return Ok(());
            }
            tokio::time::sleep(StdDuration::from_millis(100)).await;
        }
        bail!("not revoked: {}", platform.get(&path).await?.body)
    }
}

fn issuer(server: &PasswordServer) -> Value {
    json!({ "issuer": server.issuer })
}

async fn password_server(refresh_tokens: bool) -> PasswordServer {
    PasswordServer::start(PasswordServerOptions { access_token_seconds: LIFE, refresh_tokens }).await.unwrap()
}

fn password() -> Value {
    json!({ "grant_type": "password", "username": PERSON.id, "password": PERSON.secret })
}

fn seen(requests: &[TokenRequest]) -> Vec<(&str, u16)> {
    requests.iter().map(|request| (request.grant_type.as_str(), request.status)).collect()
}

/// Client credentials from the first token to the end: the same at every server.
async fn machine_credential_from_creation_to_delete(bench: &Bench) {
    let id = bench.created(json!({ "grant_type": "client_credentials", "scopes": ["read", "write"] })).await.unwrap();
    let metadata = bench.world.platform().get(&format!("/v1/credentials/{id}")).await.unwrap();
    assert_eq!(metadata.body["granted_scopes"], json!(["read", "write"]), "{}", metadata.body);
    let first = bench.world.read_token(&id, json!({})).await.unwrap();
    assert!(bench.is_active(&first.text("/access_token")).await.unwrap());

    // When it is due another one is fetched: there is no refresh token, and none is needed.
    bench.world.clock.advance(Duration::seconds(i64::from(LIFE)));
    let second = bench.world.read_token(&id, json!({})).await.unwrap();
    assert_eq!((second.status, &second.body["generation"]), (StatusCode::OK, &json!(2)), "{}", second.body);
    assert_ne!(second.text("/access_token"), first.text("/access_token"));
    bench.end(&id, &second.text("/access_token")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_credential_of_the_password_server_is_fetched_again_and_ended_by_delete() {
    let server = password_server(true).await;
    let grants = json!(["client_credentials"]);
    // Its metadata have no authorization_endpoint, and the client needs none.
    let bench = Bench::new(&server.issuer, MACHINE_CLIENT, grants, issuer(&server)).await.unwrap();
    assert!(bench.wire.metadata["authorization_endpoint"].is_null());
    machine_credential_from_creation_to_delete(&bench).await;
    let requests = server.token_requests().await.unwrap();
    assert_eq!(seen(&requests), [("client_credentials", 200), ("client_credentials", 200)]);

    let id = bench.created(json!({ "name": "Another", "grant_type": "client_credentials" })).await.unwrap();
    assert_eq!(bench.token(&id, 1).await.unwrap().1, Value::Null, "a client's own token is nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_credential_of_oidc_provider_is_fetched_again_and_ended_by_delete() {
    let client = OidcClient {
        client_id: MACHINE_CLIENT.id.to_owned(),
        client_secret: MACHINE_CLIENT.secret.to_owned(),
        redirect_uris: Vec::new(),
    };
    let options = OidcOptions { clients: vec![client], access_token_seconds: LIFE, rotate: true };
    let server = OidcProvider::start(options).await.unwrap();
    let (grants, issuer) = (json!(["client_credentials"]), json!({ "issuer": server.issuer }));
    let bench = Bench::new(&server.issuer, MACHINE_CLIENT, grants, issuer).await.unwrap();
    machine_credential_from_creation_to_delete(&bench).await;
    let requests = server.token_requests().await.unwrap();
    assert_eq!(seen(&requests), [("client_credentials", 200), ("client_credentials", 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_refresh_token_the_password_is_forgotten_and_each_refresh_spends_one() {
    let server = password_server(true).await;
    let grants = json!(["password", "refresh_token"]);
    let bench = Bench::new(&server.issuer, PASSWORD_CLIENT, grants, issuer(&server)).await.unwrap();
    let id = bench.created(password()).await.unwrap();
    let document = bench.world.secret(&id).await.unwrap();
    assert!(!document.contains(PERSON.secret), "the password is kept");
    assert_eq!(bench.token(&id, 1).await.unwrap().1, PERSON.id);

    bench.world.clock.advance(Duration::seconds(i64::from(LIFE)));
    let (second, person) = bench.token(&id, 2).await.unwrap();
    assert_eq!(person, PERSON.id);
    let refreshed = bench.world.platform().post(&format!("/v1/credentials/{id}/refresh"), json!({})).await.unwrap();
    assert_eq!((refreshed.status, &refreshed.body["generation"]), (StatusCode::OK, &json!(3)), "{}", refreshed.body);
    let (third, _) = bench.token(&id, 3).await.unwrap();
    assert!(third != second && !bench.is_active(&second).await.unwrap(), "each refresh ends the token before it");

    // The refresh token is what is revoked; it takes the access token along.
    let document: Value = serde_json::from_str(&bench.world.secret(&id).await.unwrap()).unwrap();
    bench.end(&id, &third).await.unwrap();
    let living = document["refresh_token"].as_str().unwrap();
    assert_eq!(bench.wire.refresh(living).await.unwrap().1["error"], "invalid_grant");
    let requests = server.token_requests().await.unwrap();
    let expected = [("password", 200), ("refresh_token", 200), ("refresh_token", 200), ("refresh_token", 400)];
    assert_eq!(seen(&requests), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_refresh_token_the_password_is_kept_and_shown_again_when_due() {
    let server = password_server(false).await;
    let endpoints = json!({
        "token_endpoint": server.token_endpoint(),
        "revocation_endpoint": server.revocation_endpoint(),
        "introspection_endpoint": server.introspection_endpoint(),
        "token_endpoint_auth_method": "client_secret_post",
    });
    let bench = Bench::new(&server.issuer, PASSWORD_CLIENT, json!(["password"]), endpoints).await.unwrap();
    let id = bench.created(password()).await.unwrap();
    assert!(bench.world.secret(&id).await.unwrap().contains(PERSON.secret), "nothing to fetch the next token with");
    let (first, person) = bench.token(&id, 1).await.unwrap();
    assert_eq!(person, PERSON.id);

    bench.world.clock.advance(Duration::seconds(i64::from(LIFE)));
    let (second, person) = bench.token(&id, 2).await.unwrap();
    assert!(second != first && person == PERSON.id);
    bench.end(&id, &second).await.unwrap();
    let requests = server.token_requests().await.unwrap();
    assert_eq!(seen(&requests), [("password", 200), ("password", 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_or_a_grant_that_is_not_the_clients_makes_no_credential() {
    let server = password_server(true).await;
    let grants = json!(["password", "refresh_token"]);
    let bench = Bench::new(&server.issuer, PASSWORD_CLIENT, grants, issuer(&server)).await.unwrap();
    let wrong = json!({ "grant_type": "password", "username": PERSON.id, "password": "CANARY not hers" });
    for (patch, asked) in [(wrong, 1), (json!({ "grant_type": "client_credentials" }), 0)] {
        let before = server.token_requests().await.unwrap().len();
        let refused = bench.create(patch).await.unwrap();
        assert!(!refused.status.is_success() && !refused.code().is_empty(), "{}", refused.body);
        assert!(!refused.body["advice"].as_array().unwrap().is_empty() || !refused.field_errors().is_empty());
        assert!(!refused.body.to_string().contains("CANARY"));
        assert_eq!(server.token_requests().await.unwrap().len() - before, asked, "{}", refused.body);
    }
    let list = bench.world.platform().get("/v1/credentials?owner=ada").await.unwrap();
    assert_eq!(list.body["items"], json!([]));
}
