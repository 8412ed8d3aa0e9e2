//! A real authorization server (npm `oidc-provider`, a child process on loopback) and the person who logs in there.
//!
//! It is here for what a sandbox of our own could get wrong together with us: PKCE is required, authorization responses
//! carry `iss` (RFC 9207), refresh tokens rotate, and a spent refresh token shown again revokes the whole grant
//! (RFC 9700 §4.14.2).

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{Read, Seek},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};
use url::Url;

/// How long the server may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How many ports are tried before giving up.
const PORT_ATTEMPTS: u16 = 10;
/// The exit status by which `server.mjs` says that its port is taken.
const PORT_IS_TAKEN: i32 = 98;
/// Redirects and pages between the start and the redirect URI; more mean that the pages go round in circles.
const CONSENT_STEPS: usize = 20;
/// How many characters of an unexpected answer are quoted in an error.
const EXCERPT_CHARS: usize = 300;

/// A client registered at the server (RFC 6749 §2).
///
/// It may use the `authorization_code`, `refresh_token` and `client_credentials` grants, and authenticate by
/// `client_secret_basic` or `client_secret_post`.
#[derive(Clone)]
pub struct OidcClient {
    /// The `client_id`.
    pub client_id: String,
    /// The `client_secret`.
    pub client_secret: String,
    /// The redirect URIs, compared as strings (RFC 9700 §2.1).
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
    http: reqwest::Client,
    _child: Child,
    // The server ends with its standard input, so it also goes when this process is killed and cannot drop anything.
    _stdin: ChildStdin,
}

/// One request to the token endpoint, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The `grant_type`; empty if the request had none.
    pub grant_type: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The `error` of the answer (RFC 6749 §5.2); `None` for success.
    pub error: Option<String>,
}

impl OidcProvider {
    /// Starts a server on a free loopback port.
    ///
    /// # Errors
    /// The server's packages are not installed, `node` is missing, the server ended or was not ready in 20 seconds
    /// (its log is part of the error), or no port was free.
    pub async fn start(options: OidcOptions) -> anyhow::Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc-provider");
        ensure!(
            directory.join("node_modules/oidc-provider/package.json").is_file(),
            "the packages of tests/oidc-provider are not installed: run make test-tools"
        );

        for attempt in 0..PORT_ATTEMPTS {
            let port = random_port(attempt);
            if let Some((child, stdin)) = start_on_port(&directory, port, &options).await? {
                return Ok(Self {
                    issuer: format!("http://127.0.0.1:{port}"),
                    http: loopback_client()?,
                    _child: child,
                    _stdin: stdin,
                });
            }
        }
        bail!("oidc-provider: {PORT_ATTEMPTS} random ports were all taken")
    }

    /// Every request that the token endpoint has answered, oldest first.
    ///
    /// # Errors
    /// The server does not answer, or not with the expected list.
    pub async fn token_requests(&self) -> anyhow::Result<Vec<TokenRequest>> {
        let url = format!("{}/test/token-requests", self.issuer);
        let list: Vec<Value> = self.http.get(url).send().await?.error_for_status()?.json().await?;
        list.iter().map(|entry| token_request(entry).context("an entry of /test/token-requests")).collect()
    }
}

fn token_request(entry: &Value) -> Option<TokenRequest> {
    Some(TokenRequest {
        grant_type: entry.get("grant_type")?.as_str()?.to_owned(),
        status: entry.get("status")?.as_u64()?.try_into().ok()?,
        error: entry.get("error")?.as_str().map(str::to_owned),
    })
}

/// A port of 20000..32000: below the range from which the system picks ports for outgoing connections, which could
/// take it at any time.
fn random_port(attempt: u16) -> u16 {
    let offset = RandomState::new().hash_one(attempt) % 12_000;
    20_000 + u16::try_from(offset).unwrap_or_default()
}

fn loopback_client() -> anyhow::Result<reqwest::Client> {
    // Fails only if a test has installed a provider already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// `None` if the port is taken.
async fn start_on_port(
    directory: &Path,
    port: u16,
    options: &OidcOptions,
) -> anyhow::Result<Option<(Child, ChildStdin)>> {
    let mut log = tempfile::tempfile()?;
    let mut child = Command::new("node")
        .arg("server.mjs")
        .arg(port.to_string())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log.try_clone()?)
        .kill_on_drop(true)
        .spawn()
        .context("node cannot be started")?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let stdout = child.stdout.take().context("standard output is piped")?;

    // A server that has ended already is reported below, with its log.
    let _ = stdin.write_all(format!("{}\n", configuration(options)).as_bytes()).await;

    let mut lines = BufReader::new(stdout).lines();
    match timeout(START_LIMIT, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == "ready" => Ok(Some((child, stdin))),
        Ok(_) => {
            let status =
                timeout(START_LIMIT, child.wait()).await.context("oidc-provider neither starts nor ends")??;
            if status.code() == Some(PORT_IS_TAKEN) {
                return Ok(None);
            }
            bail!("oidc-provider ended ({status}):\n{}", written(&mut log)?)
        }
        Err(_) => {
            child.kill().await?;
            bail!("oidc-provider was not ready after {START_LIMIT:?}:\n{}", written(&mut log)?)
        }
    }
}

fn configuration(options: &OidcOptions) -> Value {
    let clients: Vec<Value> = options
        .clients
        .iter()
        .map(|client| {
            json!({
                "client_id": client.client_id,
                "client_secret": client.client_secret,
                "redirect_uris": client.redirect_uris,
            })
        })
        .collect();
    json!({
        "clients": clients,
        "access_token_seconds": options.access_token_seconds,
        "rotate_refresh_token": options.rotate,
    })
}

fn written(log: &mut File) -> anyhow::Result<String> {
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    Ok(text)
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

    #[test]
    fn ports_stay_below_the_range_of_outgoing_connections() {
        assert!((0..1000).map(random_port).all(|port| (20_000..32_000).contains(&port)));
    }
}
