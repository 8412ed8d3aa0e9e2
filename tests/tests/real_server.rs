//! The whole flow against a real authorization server: npm `oidc-provider`, which requires PKCE, sends `iss`, rotates
//! refresh tokens and revokes a grant whose spent refresh token is shown again.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

#[path = "real_server/machine_and_password.rs"]
mod machine_and_password;
#[path = "real_server/wire.rs"]
mod wire;

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Duration, Utc};
use grantkeeper::clock::SystemClock;
use grantkeeper_local::stack::Options;
use grantkeeper_tests::oidc_provider::{OidcClient, OidcOptions, OidcProvider, consent};
use grantkeeper_tests::{Answer, Browser, World, port};
use http::StatusCode;
use serde_json::{Value, json};

const CLIENT_ID: &str = "grantkeeper";
const CLIENT_SECRET: &str = "a secret with : and % and +";
/// Chosen, so that the redirect URI is known before either side has started.
const CLIENT_KEY: &str = "real-server-0123456789abcdef";

/// A stack and an authorization server that know each other.
struct Pair {
    world: World,
    server: OidcProvider,
}

impl Pair {
    async fn start(access_token_seconds: u32, change: impl FnOnce(Options) -> Options) -> anyhow::Result<Self> {
        let port = port::free()?;
        let client = OidcClient {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            redirect_uris: vec![format!("http://127.0.0.1:{port}/callback/{CLIENT_KEY}")],
        };
        let options = OidcOptions { clients: vec![client], access_token_seconds, rotate: true };
        let server = OidcProvider::start(options).await?;
        let insecure_origins = vec![server.issuer.clone()];
        let world = World::with(|options| change(Options { port, insecure_origins, ..options })).await?;
        Ok(Self { world, server })
    }

    /// Registers the client by its issuer alone.
    async fn register(&self) -> anyhow::Result<String> {
        let body = json!({
            "name": "Real server",
            "project": self.world.stack.project,
            "client_key": CLIENT_KEY,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "issuer": self.server.issuer,
            "scopes": { "required": ["openid", "offline_access", "profile"] },
            // OpenID Connect Core §11: offline_access needs consent each time.
            "authorization_params": { "prompt": "consent" },
            "api_base_url": self.server.issuer,
        });
        let answer = self.world.superuser().post("/v1/clients", body).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        ensure!(answer.text("/status") == "active", "{}", answer.body);
        Ok(answer.text("/id"))
    }

    /// Ada connects: connect page, login and consent at the server, callback, completion. Returns the credential.
    async fn connect(&self, client: &str) -> anyhow::Result<Value> {
        let browser = Browser::new();
        let session = self.world.open_session(json!({ "clients": [client] })).await?;
        ensure!(session.status == StatusCode::CREATED, "{}", session.body);
        let authorization_url = browser.start(&session.text("/connect_url"), &[]).await?;
        let redirect_uri = format!("{}/callback/{CLIENT_KEY}", self.world.stack.url);
        let callback = consent(browser.http(), authorization_url.as_str(), "ada", &redirect_uri).await?;
        ensure!(callback.query_pairs().any(|(name, value)| name == "iss" && value == self.server.issuer), "no iss");
        let returned = browser.get(callback.as_str()).await?;
        ensure!(returned.status == StatusCode::SEE_OTHER, "{} {}", returned.status, returned.text);
        let completed = self.world.complete(&returned.location()?, "ada").await?;
        ensure!(completed.status == StatusCode::CREATED, "{}", completed.body);
        Ok(completed.body)
    }

    async fn read_token(&self, credential: &str) -> anyhow::Result<Answer> {
        let answer = self.world.read_token(credential, json!({})).await?;
        ensure!(answer.status == StatusCode::OK, "{}", answer.body);
        Ok(answer)
    }

    async fn refresh(&self, credential: &str) -> anyhow::Result<Answer> {
        self.world.platform().post(&format!("/v1/credentials/{credential}/refresh"), json!({})).await
    }

    /// Calls the API behind the server with the delivered header, and returns whose token it was.
    async fn me(&self, delivery: &Answer) -> anyhow::Result<(StatusCode, Value)> {
        let api = delivery.text("/api_base_url");
        let request = grantkeeper_tests::browser::http()
            .get(format!("{api}/me"))
            .header(delivery.text("/header/name"), delivery.text("/header/value"));
        let response = request.send().await?;
        Ok((response.status(), response.json().await?))
    }

    /// The grant types that the token endpoint saw, with the status of each answer.
    async fn token_requests(&self) -> anyhow::Result<Vec<(String, u16)>> {
        let requests = self.server.token_requests().await?;
        Ok(requests.into_iter().map(|request| (request.grant_type, request.status)).collect())
    }
}

fn id_of(credential: &Value) -> anyhow::Result<String> {
    Ok(credential["id"].as_str().context("no id")?.to_owned())
}

fn code() -> (String, u16) {
    ("authorization_code".to_owned(), 200)
}

fn refreshed() -> (String, u16) {
    ("refresh_token".to_owned(), 200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_a_real_server_is_connected_read_and_refreshed() {
    let pair = Pair::start(3600, |options| options).await.unwrap();
    let client = pair.register().await.unwrap();
    let credential = pair.connect(&client).await.unwrap();
    let id = id_of(&credential).unwrap();

    // Only a verified ID token says whose account it is.
    assert_eq!(credential["account"], json!({ "issuer": pair.server.issuer, "subject": "ada" }));
    assert_eq!(credential["status"], "active");
    assert_eq!(credential["granted_scopes"], json!(["openid", "offline_access", "profile"]));

    let mut delivery = pair.read_token(&id).await.unwrap();
    assert_eq!(delivery.body["generation"], 1);
    assert_eq!(pair.me(&delivery).await.unwrap().0, StatusCode::OK);

    // Each refresh spends a refresh token and gets the next one.
    for generation in [2, 3] {
        let answer = pair.refresh(&id).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body["generation"]),
            (StatusCode::OK, &json!(generation)),
            "{}",
            answer.body
        );
        let newer = pair.read_token(&id).await.unwrap();
        assert_eq!(newer.body["generation"], generation);
        assert_ne!(newer.text("/access_token"), delivery.text("/access_token"));
        let (status, person) = pair.me(&newer).await.unwrap();
        assert_eq!((status, &person["sub"]), (StatusCode::OK, &json!("ada")), "{person}");
        delivery = newer;
    }

    // Everybody comes at the moment of expiry: one refresh, and all get the same new token.
    pair.world.clock.advance(Duration::seconds(3600));
    let pair = Arc::new(pair);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (pair, id) = (Arc::clone(&pair), id.clone());
        readers.spawn(async move { pair.read_token(&id).await });
    }
    let answers: Vec<Answer> = readers.join_all().await.into_iter().collect::<anyhow::Result<_>>().unwrap();
    assert!(answers.iter().all(|answer| answer.body["generation"] == 4));
    assert!(answers.iter().all(|answer| answer.text("/access_token") == answers[0].text("/access_token")));
    assert_eq!(pair.me(&answers[0]).await.unwrap().0, StatusCode::OK);

    // A spent refresh token was never shown: the server would have refused it, and revoked the grant.
    let expected = [code(), refreshed(), refreshed(), refreshed()];
    assert_eq!(pair.token_requests().await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_in_real_time_is_refreshed_by_the_next_read() {
    let on_real_time = |options| Options { clock: Arc::new(SystemClock), ..options };
    let pair = Pair::start(4, on_real_time).await.unwrap();
    let client = pair.register().await.unwrap();
    let id = id_of(&pair.connect(&client).await.unwrap()).unwrap();

    let first = pair.read_token(&id).await.unwrap();
    assert_eq!(first.body["generation"], 1);
    assert_eq!(pair.me(&first).await.unwrap().0, StatusCode::OK);

    wait_until(&first.text("/expires_at")).await;
    assert_eq!(pair.me(&first).await.unwrap().0, StatusCode::UNAUTHORIZED);

    let second = pair.read_token(&id).await.unwrap();
    assert_eq!(second.body["generation"], 2);
    let (status, person) = pair.me(&second).await.unwrap();
    assert_eq!((status, &person["sub"]), (StatusCode::OK, &json!("ada")), "{person}");
    assert_eq!(pair.token_requests().await.unwrap(), [code(), refreshed()]);
}

/// Waits for a moment of the machine's clock, and a little longer: the server counts whole seconds.
#[expect(clippy::disallowed_methods, reason = "the tokens of a real server expire in real time")]
async fn wait_until(time: &str) {
    let time = DateTime::parse_from_rfc3339(time).unwrap() + Duration::seconds(1);
    let left = time.signed_duration_since(Utc::now()).to_std().unwrap_or_default();
    tokio::time::sleep(left).await;
}
