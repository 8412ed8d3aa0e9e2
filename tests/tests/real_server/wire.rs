//! The servers themselves, asked without the broker: what it is tested against does what its RFCs say.

#![expect(clippy::indexing_slicing, reason = "a field that is missing is null, and fails the test")]

use anyhow::{Context as _, ensure};
use grantkeeper_tests::browser;
use grantkeeper_tests::oidc_provider::{OidcClient, OidcOptions, OidcProvider};
use grantkeeper_tests::password_server::{
    MACHINE_CLIENT, PASSWORD_CLIENT, PERSON, PasswordServer, PasswordServerOptions, Registered,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

/// A client of RFC 6749 at the endpoints of one server.
pub(super) struct Wire {
    http: reqwest::Client,
    issuer: String,
    pub(super) metadata: Value,
    client: Registered,
}

impl Wire {
    /// Reads the metadata (RFC 8414 §3).
    pub(super) async fn discover(issuer: &str, client: Registered) -> anyhow::Result<Self> {
        let http = browser::http();
        let url = format!("{issuer}/.well-known/oauth-authorization-server");
        let metadata: Value = http.get(url).send().await?.error_for_status()?.json().await?;
        ensure!(metadata["issuer"] == issuer, "{metadata}");
        Ok(Self { http, issuer: issuer.to_owned(), metadata, client })
    }

    /// Posts a form to the endpoint of that name, with `client_secret_basic` (RFC 6749 §2.3.1: both parts form-encoded).
    /// An answer without JSON is null.
    async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> anyhow::Result<(StatusCode, Value)> {
        let url = self.metadata[endpoint].as_str().with_context(|| format!("no {endpoint}"))?;
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let request =
            self.http.post(url).basic_auth(encoded(self.client.id), Some(encoded(self.client.secret))).form(form);
        let response = request.send().await?;
        Ok((response.status(), serde_json::from_str(&response.text().await?).unwrap_or_default()))
    }

    /// RFC 6749 §4.3.2.
    async fn password(&self, person: Registered) -> anyhow::Result<(StatusCode, Value)> {
        let form = [("grant_type", "password"), ("username", person.id), ("password", person.secret)];
        self.post("token_endpoint", &form).await
    }

    /// RFC 6749 §4.4.2.
    async fn client_credentials(&self, scope: &str) -> anyhow::Result<(StatusCode, Value)> {
        self.post("token_endpoint", &[("grant_type", "client_credentials"), ("scope", scope)]).await
    }

    /// RFC 6749 §6.
    pub(super) async fn refresh(&self, token: &str) -> anyhow::Result<(StatusCode, Value)> {
        self.post("token_endpoint", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// RFC 7009 §2.1.
    async fn revoke(&self, token: &str) -> anyhow::Result<StatusCode> {
        Ok(self.post("revocation_endpoint", &[("token", token)]).await?.0)
    }

    /// RFC 7662 §2.1.
    pub(super) async fn introspect(&self, token: &str) -> anyhow::Result<Value> {
        let (status, answer) = self.post("introspection_endpoint", &[("token", token)]).await?;
        ensure!(status == StatusCode::OK, "{status} {answer}");
        Ok(answer)
    }

    /// Calls the resource behind the server's tokens.
    async fn me(&self, token: &str) -> anyhow::Result<(StatusCode, Value)> {
        let response = self.http.get(format!("{}/me", self.issuer)).bearer_auth(token).send().await?;
        Ok((response.status(), serde_json::from_str(&response.text().await?).unwrap_or_default()))
    }
}

/// The tokens of a success (RFC 6749 §5.1): the access token, and the refresh token if there is one.
fn tokens((status, answer): (StatusCode, Value)) -> anyhow::Result<(String, Option<String>)> {
    ensure!(status == StatusCode::OK && answer["token_type"] == "Bearer", "{status} {answer}");
    let access_token = answer["access_token"].as_str().context("no access_token")?;
    Ok((access_token.to_owned(), answer["refresh_token"].as_str().map(str::to_owned)))
}

/// Client credentials from issue to revocation: the same at every server.
async fn machine_token_from_issue_to_revocation(machine: &Wire) {
    let answer = machine.client_credentials("write").await.unwrap();
    assert_eq!((&answer.1["expires_in"], &answer.1["scope"]), (&json!(60), &json!("write")));
    let (token, refresh_token) = tokens(answer).unwrap();
    // RFC 6749 §4.4.3: a refresh token should not be included.
    assert_eq!(refresh_token, None);

    let known = machine.introspect(&token).await.unwrap();
    assert_eq!((&known["active"], &known["client_id"]), (&json!(true), &json!(machine.client.id)));
    assert!(known["exp"].is_u64(), "{known}");

    assert_eq!(machine.revoke(&token).await.unwrap(), StatusCode::OK);
    assert_eq!(machine.introspect(&token).await.unwrap(), json!({ "active": false }));
    // RFC 7009 §2.2: a token that is not there is revoked already.
    assert_eq!(machine.revoke(&token).await.unwrap(), StatusCode::OK);
}

async fn password_server(refresh_tokens: bool) -> PasswordServer {
    PasswordServer::start(PasswordServerOptions { access_token_seconds: 60, refresh_tokens }).await.unwrap()
}

#[tokio::test]
async fn the_password_server_rotates_refresh_tokens_and_withdraws_all_when_a_spent_one_is_shown() {
    let server = password_server(true).await;
    let wire = Wire::discover(&server.issuer, PASSWORD_CLIENT).await.unwrap();

    let (access_token, refresh_token) = tokens(wire.password(PERSON).await.unwrap()).unwrap();
    let spent = refresh_token.unwrap();
    assert_eq!(wire.me(&access_token).await.unwrap(), (StatusCode::OK, json!({ "sub": "ada" })));

    let (second_access_token, second_refresh_token) = tokens(wire.refresh(&spent).await.unwrap()).unwrap();
    let living = second_refresh_token.unwrap();
    assert_ne!(living, spent);
    // Each refresh ends the access token before it, which had a minute to live.
    assert_eq!(wire.me(&access_token).await.unwrap().0, StatusCode::UNAUTHORIZED);
    assert_eq!(wire.me(&second_access_token).await.unwrap().0, StatusCode::OK);

    for token in [&spent, &living] {
        let (status, refusal) = wire.refresh(token).await.unwrap();
        assert_eq!((status, &refusal["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    }
    assert_eq!(wire.introspect(&second_access_token).await.unwrap(), json!({ "active": false }));

    let requests = server.token_requests().await.unwrap();
    let seen: Vec<_> = requests.iter().map(|request| (request.grant_type.as_str(), request.status)).collect();
    assert_eq!(seen, [("password", 200), ("refresh_token", 200), ("refresh_token", 400), ("refresh_token", 400)]);
}

#[tokio::test]
async fn a_revoked_refresh_token_of_the_password_server_takes_its_access_token_along() {
    let server = password_server(true).await;
    let wire = Wire::discover(&server.issuer, PASSWORD_CLIENT).await.unwrap();
    let (access_token, refresh_token) = tokens(wire.password(PERSON).await.unwrap()).unwrap();
    let refresh_token = refresh_token.unwrap();

    assert_eq!(wire.revoke(&refresh_token).await.unwrap(), StatusCode::OK);
    assert_eq!(wire.introspect(&access_token).await.unwrap(), json!({ "active": false }));
    assert_eq!(wire.refresh(&refresh_token).await.unwrap().1["error"], "invalid_grant");
}

#[tokio::test]
async fn the_password_server_refuses_a_wrong_password_a_wrong_secret_and_another_grant() {
    let server = password_server(true).await;
    let wire = Wire::discover(&server.issuer, PASSWORD_CLIENT).await.unwrap();
    let refused = |(status, answer): (StatusCode, Value)| (status.as_u16(), answer["error"].clone());

    let stranger = Registered { secret: "not hers", ..PERSON };
    assert_eq!(refused(wire.password(stranger).await.unwrap()), (400, json!("invalid_grant")));
    assert_eq!(refused(wire.client_credentials("read").await.unwrap()), (400, json!("unauthorized_client")));

    let client = Registered { secret: "rotated since", ..PASSWORD_CLIENT };
    let wire = Wire { client, ..wire };
    assert_eq!(refused(wire.password(PERSON).await.unwrap()), (401, json!("invalid_client")));
}

#[tokio::test]
async fn the_password_server_can_leave_out_the_refresh_token() {
    let server = password_server(false).await;
    let wire = Wire::discover(&server.issuer, PASSWORD_CLIENT).await.unwrap();
    let (access_token, refresh_token) = tokens(wire.password(PERSON).await.unwrap()).unwrap();
    assert_eq!(refresh_token, None);
    assert_eq!(wire.me(&access_token).await.unwrap().1, json!({ "sub": "ada" }));
}

#[tokio::test]
async fn the_password_server_issues_introspects_and_revokes_tokens_of_a_client_itself() {
    let server = password_server(true).await;
    let machine = Wire::discover(&server.issuer, MACHINE_CLIENT).await.unwrap();
    machine_token_from_issue_to_revocation(&machine).await;

    let (token, _) = tokens(machine.client_credentials("read").await.unwrap()).unwrap();
    assert_eq!(machine.me(&token).await.unwrap(), (StatusCode::OK, json!({ "sub": null })));

    let (status, refusal) = machine.client_credentials("read everything").await.unwrap();
    assert_eq!((status, &refusal["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_scope")));
}

#[tokio::test]
async fn oidc_provider_issues_introspects_and_revokes_tokens_of_a_client_itself() {
    let client = OidcClient {
        client_id: MACHINE_CLIENT.id.to_owned(),
        client_secret: MACHINE_CLIENT.secret.to_owned(),
        redirect_uris: Vec::new(),
    };
    let options = OidcOptions { clients: vec![client], access_token_seconds: 60, rotate: true };
    let server = OidcProvider::start(options).await.unwrap();
    let machine = Wire::discover(&server.issuer, MACHINE_CLIENT).await.unwrap();
    machine_token_from_issue_to_revocation(&machine).await;

    // RFC 6749 §3.3: it ignores the scopes that it does not know, and says which ones the token has.
    let (status, narrowed) = machine.client_credentials("read everything").await.unwrap();
    assert_eq!((status, &narrowed["scope"]), (StatusCode::OK, &json!("read")));
    assert_eq!(machine.password(PERSON).await.unwrap().1["error"], "unsupported_grant_type");
}
