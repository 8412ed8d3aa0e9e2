//! A real authorization server (PyPI `django-oauth-toolkit`, a child process on loopback) with the grants that no person
//! consents to in a browser.
//!
//! It has the password grant (RFC 6749 §4.3), which npm `oidc-provider` leaves out, client credentials (§4.4), refresh
//! tokens that rotate and whose reuse revokes all that came of them (RFC 9700 §4.14.2), revocation (RFC 7009) and
//! introspection (RFC 7662) of access tokens.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::child::{ChildServer, TokenRequest};

/// Something registered at the server, with its secret.
#[derive(Clone, Copy)]
pub struct Registered {
    /// A `client_id` or `username`.
    pub id: &'static str,
    /// A `client_secret` or `password`.
    pub secret: &'static str,
}

/// May use `password` and `refresh_token`, by `client_secret_basic` or `client_secret_post`.
pub const PASSWORD_CLIENT: Registered =
    Registered { id: "grantkeeper-password", secret: "a secret with : and % and +" };
/// May use `client_credentials`, by `client_secret_basic` or `client_secret_post`.
pub const MACHINE_CLIENT: Registered =
    Registered { id: "grantkeeper-machine", secret: "another secret with & and = and /" };
/// The person whose username and password the server knows.
pub const PERSON: Registered = Registered { id: "ada", secret: "a pässword with & and = and + and %41" };

/// How the server behaves.
#[derive(Clone, Copy)]
pub struct PasswordServerOptions {
    /// The life of an access token, in seconds.
    pub access_token_seconds: u32,
    /// Whether the password grant is answered with a refresh token, which is optional (RFC 6749 §4.3.3).
    pub refresh_tokens: bool,
}

/// A running authorization server, killed on drop.
///
/// It has the scopes `read` (the default) and `write`. `/me` is a resource behind access tokens: it answers
/// `{"sub": username}`, or `null` for a client's own token, and 401 with `WWW-Authenticate` (RFC 6750 §3) without a
/// valid one.
pub struct PasswordServer {
    /// The issuer, `http://127.0.0.1:PORT` without a trailing slash. Its metadata (RFC 8414) have no
    /// `authorization_endpoint`.
    pub issuer: String,
    server: ChildServer,
}

impl PasswordServer {
    /// Starts a server on a free loopback port, with [`PASSWORD_CLIENT`], [`MACHINE_CLIENT`] and [`PERSON`].
    ///
    /// # Errors
    /// The server's packages are not installed, the server ended or was not ready in time (its log is part of the
    /// error), or no port was free.
    pub async fn start(options: PasswordServerOptions) -> anyhow::Result<Self> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = tests.join("../.tools/venv/bin/python");
        ensure!(python.is_file(), "{} is missing: run make tools", python.display());
        let command = |port: u16| {
            let mut command = Command::new(&python);
            command.arg("server.py").arg("--port").arg(port.to_string()).current_dir(tests.join("password-server"));
            command
        };
        let server = ChildServer::start("password-server", command, &configuration(options)).await?;
        Ok(Self { issuer: server.url.clone(), server })
    }

    /// The token endpoint (RFC 6749 §3.2).
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        format!("{}/token/", self.issuer)
    }

    /// The revocation endpoint (RFC 7009).
    #[must_use]
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/revoke_token/", self.issuer)
    }

    /// The introspection endpoint (RFC 7662). It knows access tokens only: refresh tokens are not `active` here.
    #[must_use]
    pub fn introspection_endpoint(&self) -> String {
        format!("{}/introspect/", self.issuer)
    }

    /// Every request that the token endpoint has answered, oldest first.
    ///
    /// # Errors
    /// The server does not answer, or not with the expected list.
    pub async fn token_requests(&self) -> anyhow::Result<Vec<TokenRequest>> {
        self.server.token_requests().await
    }
}

fn configuration(options: PasswordServerOptions) -> Value {
    let client = |client: Registered, grant_type: &str| json!({ "client_id": client.id, "client_secret": client.secret, "grant_type": grant_type });
    json!({
        "clients": [client(PASSWORD_CLIENT, "password"), client(MACHINE_CLIENT, "client_credentials")],
        "people": [{ "username": PERSON.id, "password": PERSON.secret }],
        "access_token_seconds": options.access_token_seconds,
        "password_refresh_tokens": options.refresh_tokens,
    })
}
