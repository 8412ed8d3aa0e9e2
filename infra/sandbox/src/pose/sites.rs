//! The addresses of a pose.

use super::Endpoint;
use super::address::Address;
use super::facts::{Entry, TokenRequest};
use super::known::{Known, Values, at_api, variable};
use super::template::Meaning;

/// What is at an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Authorize,
    Token,
    Refresh,
    Revoke,
    Introspect,
    Userinfo,
    Test,
    /// Of the variable with this index.
    Lookup(usize),
    /// Here and at every path below.
    Api,
    Metadata,
    Keys,
}

pub(super) struct Site {
    pub(super) what: What,
    /// Nothing for any.
    pub(super) method: Option<String>,
    pub(super) address: Address,
    /// Which of the worlds of [`Known`] it belongs to.
    pub(super) world: usize,
}

impl Site {
    pub(super) fn endpoint(&self) -> Endpoint {
        match self.what {
            What::Authorize => Endpoint::Authorize,
            What::Token => Endpoint::Token,
            What::Refresh => Endpoint::Refresh,
            What::Revoke => Endpoint::Revoke,
            What::Introspect => Endpoint::Introspect,
            What::Userinfo => Endpoint::Userinfo,
            What::Test => Endpoint::Test,
            What::Lookup(_) => Endpoint::Lookup,
            What::Api => Endpoint::Api,
            What::Metadata | What::Keys => Endpoint::Metadata,
        }
    }

    /// Whether an access token is what it takes.
    pub(super) fn is_resource(&self) -> bool {
        matches!(self.what, What::Userinfo | What::Test | What::Lookup(_) | What::Api)
    }
}

/// Every address whose values are known.
pub(super) fn of(entry: &Entry, refreshing: &TokenRequest, known: &Known, client_id: &str) -> Vec<Site> {
    let each = known.worlds.iter().enumerate();
    each.flat_map(|(world, values)| in_world(entry, refreshing, client_id, world, values)).collect()
}

fn in_world(entry: &Entry, refreshing: &TokenRequest, client_id: &str, world: usize, values: &Values) -> Vec<Site> {
    let mut sites = Vec::new();
    let mut add = |what: What, method: Option<&str>, template: Option<&String>, is_api: bool| {
        let meaning = |name: &str| match variable(values, name) {
            Some(meaning) => meaning,
            None if name == "client_id" => Meaning::Is(client_id.to_owned()),
            None if is_api => at_api(values, name),
            None => Meaning::Unset,
        };
        if let Some(address) = template.and_then(|template| Address::render(template, &meaning)) {
            sites.push(Site { what, method: method.map(str::to_owned), address, world });
        }
    };
    let method = |given: &Option<String>| given.clone().unwrap_or_else(|| "POST".to_owned());
    add(What::Authorize, Some("GET"), entry.authorization_endpoint.as_ref(), false);
    add(What::Token, Some(&method(&entry.token_request.method)), entry.token_endpoint.as_ref(), false);
    let refresh_url = refreshing.url.as_ref().or(entry.token_endpoint.as_ref());
    add(What::Refresh, Some(&method(&refreshing.method)), refresh_url, false);
    let revocation = &entry.revocation_request;
    add(What::Revoke, Some(&method(&revocation.method)), entry.revocation_endpoint.as_ref(), false);
    add(What::Introspect, Some("POST"), entry.introspection_endpoint.as_ref(), false);
    add(What::Userinfo, None, entry.userinfo_endpoint.as_ref(), true);
    if let Some(test) = &entry.test_request {
        let base = entry.api_base_url.as_deref().unwrap_or_default().trim_end_matches('/');
        let whole = if test.path.contains("://") { test.path.clone() } else { format!("{base}{}", test.path) };
        add(What::Test, Some(test.method.as_deref().unwrap_or("GET")), Some(&whole), true);
    }
    for (index, variable) in entry.variables.iter().enumerate() {
        let url = variable.lookup.as_ref().and_then(|lookup| lookup.url.as_ref());
        add(What::Lookup(index), Some("GET"), url, true);
    }
    for base in entry.api_base_url.iter().chain(&entry.api_origins) {
        add(What::Api, None, Some(base), true);
    }
    if let Some(issuer) = &entry.issuer {
        let issuer = issuer.trim_end_matches('/');
        add(What::Metadata, Some("GET"), Some(&format!("{issuer}/.well-known/openid-configuration")), false);
        add(What::Keys, Some("GET"), Some(&format!("{issuer}/.well-known/jwks.json")), false);
        // RFC 8414 §3.1: before the path of the issuer.
        if let Some((scheme, behind)) = issuer.split_once("://") {
            let (host, path) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
            let url = format!("{scheme}://{host}/.well-known/oauth-authorization-server{path}");
            add(What::Metadata, Some("GET"), Some(&url), false);
        }
    }
    sites
}
