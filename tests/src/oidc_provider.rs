//! A real authorization server (npm `oidc-provider`, a child process on loopback) and the person who logs in there.
//!
//! It is here for what a sandbox of our own could get wrong together with us: PKCE is required, authorization responses
//! carry `iss` (RFC 9207), refresh tokens rotate, and a spent refresh token shown again revokes the whole grant
//! (RFC 9700 §4.14.2).

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use url::Url;

use crate::child::{ChildServer, TokenRequest};

/// Redirects and pages between the start and the redirect URI; more mean that the pages go round in circles.
const CONSENT_STEPS: usize = 20;
/// How many characters of an unexpected answer are quoted in an error.
const EXCERPT_CHARS: usize = 300;

/// A client registered at the server (RFC 6749 §2).
///
/// It may use the `authorization_code`, `refresh_token` and `client_credentials` grants, and authenticate by
/// `client_secret_basic` or `client_secret_post`. Without a redirect URI it may use `client_credentials` only. It may
/// revoke its own tokens (RFC 7009) and introspect any (RFC 7662).
///
/// Its own token is for the resource `ISSUER/api` (RFC 8707) with the scopes `read` and `write`; other scopes that are
/// asked for are ignored.
#[derive(Clone)]
pub struct OidcClient {
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: String,
    /// The redirect URIs, compared as strings (RFC 9700 §2.1); none for a client of `client_credentials`.
    pub redirect_uris: Vec<String>,
}

/// How the server behaves.
#[derive(Clone)]
pub struct OidcOptions {
    /// The registered clients.
    pub clients: Vec<OidcClient>,
    /// The life of an access token, in seconds.
    pub access_token_seconds: u32,
    /// Whether each refresh issues a new refresh token and spends the old one.
    pub rotate: bool,
}

/// A running authorization server, killed on drop.
///
/// Endpoints are found by discovery, at `/.well-known/openid-configuration` and
/// `/.well-known/oauth-authorization-server`; `/me` (userinfo) is a resource behind access tokens with scope `openid`.
pub struct OidcProvider {
    /// The issuer, `http://127.0.0.1:PORT` without a trailing slash.
    pub issuer: String,
    server: ChildServer,
}

impl OidcProvider {
    /// Starts a server on a free loopback port.
    ///
    /// # Errors
    /// The server's packages are not installed, `node` is missing, the server ended or was not ready in time (its log is
    /// part of the error), or no port was free.
    pub async fn start(options: OidcOptions) -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc-provider");
        ensure!(
            directory.join("node_modules/oidc-provider/package.json").is_file(),
            "the packages of tests/oidc-provider are not installed: run make tools"
        );
        let command = |port: u16| {
            let mut command = Command::new("node");
            command.arg("server.mjs").arg(port.to_string()).current_dir(&directory);
            command
        };
        let server = ChildServer::start("oidc-provider", command, &configuration(&options)).await?;
        Ok(Self { issuer: server.url.clone(), server })
    }

    /// Every request that the token endpoint has answered, oldest first.
    ///
    /// # Errors
    /// The server does not answer, or not with the expected list.
    pub async fn token_requests(&self) -> anyhow::Result<Vec<TokenRequest>> {
        self.server.token_requests().await
    }
}

fn configuration(options: &OidcOptions) -> Value {
    json!({
        "clients": options.clients.iter().map(registration).collect::<Vec<_>>(),
        "access_token_seconds": options.access_token_seconds,
        "rotate_refresh_token": options.rotate,
    })
}

/// The client's metadata (RFC 7591 §2).
fn registration(client: &OidcClient) -> Value {
    let (grant_types, response_types) = if client.redirect_uris.is_empty() {
        (json!(["client_credentials"]), json!([]))
    } else {
        (json!(["authorization_code", "refresh_token", "client_credentials"]), json!(["code"]))
    };
    json!({
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "redirect_uris": client.redirect_uris,
        "grant_types": grant_types,
        "response_types": response_types,
    })
}

/// Does what a person does in a browser: opens `authorize_url`, logs in as `login`, consents, and arrives at the
/// redirect URI. Returns that URI with its `code`, `state` and `iss`, or `error` (RFC 6749 §4.1.2), without requesting
/// it.
///
/// `http` is the browser: it keeps cookies and follows no redirects by itself. A person already logged in is not asked
/// again, and consents anew only if `prompt=consent` or a new scope is requested; for an independent grant, use a new
/// client with an empty cookie jar.
///
/// # Errors
/// A page that is neither a redirect nor a form, or a journey that does not end at `redirect_uri_prefix`.
pub async fn consent(
    http: &reqwest::Client,
    authorize_url: &str,
    login: &str,
    redirect_uri_prefix: &str,
) -> anyhow::Result<Url> {
    let mut url = Url::parse(authorize_url).context("authorize_url is not a URL")?;
    let mut request = http.get(url.clone());

    for _ in 0..CONSENT_STEPS {
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        ensure!(*response.url() == url, "the client followed a redirect by itself: build it with Policy::none()");

        if response.status().is_redirection() {
            url = url.join(location(&response)?)?;
            if url.as_str().starts_with(redirect_uri_prefix) {
                return Ok(url);
            }
            request = http.get(url.clone());
        } else {
            let status = response.status();
            let page = response.text().await.map_err(reqwest::Error::without_url)?;
            let excerpt = || page.chars().take(EXCERPT_CHARS).collect::<String>();
            ensure!(status.is_success(), "{} answered {status}: {}", url.path(), excerpt());
            let form = Form::first(&page).with_context(|| format!("{} has no form: {}", url.path(), excerpt()))?;
            url = url.join(&form.action)?;
            request = http.post(url.clone()).form(&form.filled_in(login));
        }
    }
    bail!("no redirect to {redirect_uri_prefix} in {CONSENT_STEPS} steps; the last page was {}", url.path())
}

fn location(response: &reqwest::Response) -> anyhow::Result<&str> {
    let value = response.headers().get(reqwest::header::LOCATION).context("a redirect without Location")?;
    Ok(value.to_str()?)
}

/// An HTML form, as far as the login and consent pages need it.
struct Form {
    action: String,
    inputs: Vec<(String, String)>,
}

impl Form {
    fn first(page: &str) -> Option<Self> {
        let (_, rest) = page.split_once("<form")?;
        let (form, _) = rest.split_once("</form>")?;
        let (tag, content) = form.split_once('>')?;
        let inputs = content.split("<input").skip(1).filter_map(|input| {
            let (tag, _) = input.split_once('>')?;
            Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
        });
        Some(Self { action: attribute(tag, "action")?, inputs: inputs.collect() })
    }

    fn filled_in(self, login: &str) -> Vec<(String, String)> {
        let answer = |(name, value): (String, String)| match name.as_str() {
            "login" => (name, login.to_owned()),
            "password" => (name, "any password will do".to_owned()),
            _ => (name, value),
        };
        self.inputs.into_iter().map(answer).collect()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_its_hidden_values_and_gets_the_login() {
        let page = r#"<h1>Sign-in</h1><form autocomplete="off" action="/interaction/1?a=b&amp;c=d" method="post">
            <input type="hidden" name="prompt" value="login"/>
            <input required type="text" name="login" placeholder="Enter any login" autofocus="on">
            <button type="submit">Sign-in</button></form><input name="outside" value="1">"#;
        let form = Form::first(page).unwrap();
        assert_eq!(form.action, "/interaction/1?a=b&c=d");
        let expected = [("prompt", "login"), ("login", "alice")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(form.filled_in("alice"), expected);
    }

    #[test]
    fn a_page_without_a_form_is_not_a_form() {
        assert!(Form::first("<p>Something went wrong</p>").is_none());
        assert!(Form::first("<form action=").is_none());
    }
}
