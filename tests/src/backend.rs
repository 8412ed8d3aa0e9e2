//! A program that calls the API with a key.

use anyhow::Context as _;
use http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::Value;

/// A caller with one key.
#[derive(Clone)]
pub struct Backend {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
    headers: Vec<(String, String)>,
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The JSON body; null when there is none.
    pub body: Value,
}

impl Answer {
    /// The stable code of a problem, or an empty text.
    pub fn code(&self) -> &str {
        self.body.get("code").and_then(Value::as_str).unwrap_or_default()
    }

    /// A text of the body by JSON Pointer, or an empty text.
    pub fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The `code` and `pointer` of every field error, sorted.
    pub fn field_errors(&self) -> Vec<(String, String)> {
        let errors = self.body.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        let part = |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut errors: Vec<_> = errors.iter().map(|error| (part(error, "pointer"), part(error, "code"))).collect();
        errors.sort();
        errors
    }
}

impl Backend {
    /// A caller of the API at this URL, with this key.
    pub fn new(url: &str, key: Option<&str>) -> Self {
        Self::over(crate::browser::http(), url, key)
    }

    /// The same over a client that is there, which saves the making of one.
    pub fn over(http: reqwest::Client, url: &str, key: Option<&str>) -> Self {
        Self { http, url: url.to_owned(), key: key.map(str::to_owned), headers: Vec::new() }
    }

    /// The same caller with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut caller = self.clone();
        caller.headers.push((name.to_owned(), value.to_owned()));
        caller
    }

    /// The same caller, acting for a person.
    pub fn acting_for(&self, user: &str) -> Self {
        self.with("Grantkeeper-User", user)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(("application/json", body.to_string()))).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        self.send(Method::PATCH, path, Some(("application/json", body.to_string()))).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::DELETE, path, None).await
    }

    /// Any call, with any body.
    pub async fn send(&self, method: Method, path: &str, body: Option<(&str, String)>) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.with_context(|| format!("no answer from {path}"))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }
}
