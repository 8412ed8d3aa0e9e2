//! The connect page, as it is shown.

use askama::Template;
use axum::response::Response;
use http::{HeaderValue, StatusCode};

use super::html::{CODE, CSS, page};

/// The connect page.
#[derive(Template)]
#[template(path = "connect.html")]
struct Connect<'a> {
    css: &'a str,
    page: &'a ConnectForm,
}

/// What the connect page shows.
pub struct ConnectForm {
    /// Where the form goes.
    pub action: String,
    /// Why the last try came to nothing, or what is wrong.
    pub notices: Vec<String>,
    /// The clients to choose from.
    pub clients: Vec<ConnectClient>,
    /// The name to begin with, where the person may choose one.
    pub name: Option<String>,
    /// The name of the credential that is renewed.
    pub renews: Option<String>,
    /// Whether a user name and a password may be typed here.
    pub takes_password: bool,
    /// Whether the person signs in at the provider, whichever way is chosen.
    pub leads_away: bool,
}

/// A client on the connect page.
pub struct ConnectClient {
    /// Its id.
    pub id: String,
    /// "Sign in with …".
    pub name: String,
    /// Chosen at first.
    pub checked: bool,
    /// Ways to get a token; empty where there is only one.
    pub grants: Vec<ConnectOption>,
    /// The name of their field.
    pub grant_field: String,
    /// What is asked.
    pub fields: Vec<ConnectField>,
    /// Scopes that are always asked.
    pub required: Vec<String>,
    /// Scopes to tick.
    pub optional: Vec<ConnectOption>,
    /// The provider's page about its scopes.
    pub scopes_docs_url: Option<String>,
}

/// Something to choose or to tick.
pub struct ConnectOption {
    /// What is sent.
    pub value: String,
    /// What it means.
    pub label: String,
    /// Chosen or ticked at first.
    pub checked: bool,
}

/// Something to fill in.
pub struct ConnectField {
    /// The name of the field.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// Where to find it.
    pub help: Option<String>,
    /// How it is filled in.
    pub input: ConnectInput,
    /// What is in it at first; never a secret.
    pub value: String,
    /// What the whole value matches.
    pub pattern: Option<String>,
    /// Whether the browser asks for it.
    pub required: bool,
    /// Whether it may be left empty because it is known.
    pub kept: bool,
}

/// How a field is filled in.
pub enum ConnectInput {
    /// A line, of this type of HTML.
    Line(&'static str),
    /// A line that is not shown.
    Secret,
    /// A box to tick.
    Box,
    /// One of these.
    Select(Vec<ConnectOption>),
}

/// The connect page. Its form may lead to any https server, and to these origins.
pub fn connect(form: &ConnectForm, insecure_origins: &[String]) -> Response {
    page(StatusCode::OK, Connect { css: CSS, page: form }.render(), insecure_origins)
}

/// The connect page once more: something that was typed is wrong.
pub fn connect_again(form: &ConnectForm, insecure_origins: &[String]) -> Response {
    let body = Connect { css: CSS, page: form }.render();
    let mut response = page(StatusCode::UNPROCESSABLE_ENTITY, body, insecure_origins);
    response.headers_mut().insert(CODE, HeaderValue::from_static("wrong_value"));
    response
}
