//! A browser: a cookie jar, and redirects that are followed one by one.

use std::collections::BTreeMap;
use std::sync::Once;

use anyhow::{Context as _, ensure};
use http::{HeaderMap, StatusCode};
use url::Url;

static PROVIDER: Once = Once::new();

/// An HTTP client without redirects.
pub fn http() -> reqwest::Client {
    builder().build().expect("an HTTP client")
}

/// What begins every HTTP client here: no redirects, no proxy.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    PROVIDER.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy()
}

/// A browser with a cookie jar of its own.
#[derive(Clone)]
pub struct Browser {
    http: reqwest::Client,
}

/// What a page or redirect looked like.
#[derive(Debug, Clone)]
pub struct Page {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The text.
    pub text: String,
}

impl Page {
    /// The code of a refusal, or an empty text.
    pub fn code(&self) -> &str {
        self.headers.get("grantkeeper-code").and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where a redirect leads.
    pub fn location(&self) -> anyhow::Result<Url> {
        let location = self.headers.get("location").context("the answer is no redirect")?;
        Ok(Url::parse(location.to_str()?)?)
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A new browser.
    pub fn new() -> Self {
        Self::over(builder())
    }

    /// A new browser that reaches hosts in its own way.
    pub(crate) fn over(builder: reqwest::ClientBuilder) -> Self {
        Self { http: builder.cookie_store(true).build().expect("an HTTP client") }
    }

    /// The client behind it.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// GET, without following.
    pub async fn get(&self, url: &str) -> anyhow::Result<Page> {
        page(self.http.get(url).send().await?).await
    }

    /// Posts a form from our own page, without following.
    pub async fn post(&self, url: &str, form: &[(&str, &str)]) -> anyhow::Result<Page> {
        page(self.http.post(url).header("Sec-Fetch-Site", "same-origin").form(form).send().await?).await
    }

    /// Presses the button of a connect page and returns the authorization URL.
    pub async fn start(&self, connect_url: &str, form: &[(&str, &str)]) -> anyhow::Result<Url> {
        let pressed = self.post(connect_url, form).await?;
        ensure!(pressed.status == StatusCode::SEE_OTHER, "{}: {} {}", pressed.status, pressed.code(), pressed.text);
        pressed.location()
    }

    /// Consents at the sandbox, as a person in a browser would, and returns the URL of the callback.
    pub async fn consent(&self, authorization_url: &Url, user: &str) -> anyhow::Result<Url> {
        self.decide(authorization_url, user, "allow").await
    }

    /// Decides at the sandbox and returns the URL of the callback.
    pub async fn decide(&self, authorization_url: &Url, user: &str, decision: &str) -> anyhow::Result<Url> {
        let mut endpoint = authorization_url.clone();
        endpoint.set_query(None);
        let mut form: Vec<(String, String)> = authorization_url.query_pairs().into_owned().collect();
        form.push(("username".to_owned(), user.to_owned()));
        form.push(("decision".to_owned(), decision.to_owned()));
        let answered = page(self.http.post(endpoint).form(&form).send().await?).await?;
        answered.location().with_context(|| format!("the sandbox answered {} {}", answered.status, answered.text))
    }
}

/// The parameters of a URL's query. One that occurs twice has the value `twice`.
pub fn parameters(url: &Url) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        if found.insert(name.to_string(), value.to_string()).is_some() {
            found.insert(name.to_string(), "twice".to_owned());
        }
    }
    found
}

async fn page(response: reqwest::Response) -> anyhow::Result<Page> {
    Ok(Page { status: response.status(), headers: response.headers().clone(), text: response.text().await? })
}
