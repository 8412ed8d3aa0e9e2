//! What an issuer says about itself (RFC 8414 §2), and its keys.

use serde_json::{Map, Value, json};

use super::Posed;
use super::address::Address;
use super::known::variable;
use super::sites::{Site, What};
use super::template::{Meaning, Pattern};
use crate::Sandbox;

/// The issuer of the entry, with its values.
pub(super) fn issuer(posed: &Posed) -> Option<String> {
    let meaning = |name: &str| variable(posed.known.first(), name).unwrap_or(Meaning::Unset);
    Pattern::of(posed.entry.issuer.as_deref()?, &meaning).map(|issuer| issuer.shown())
}

/// The document at one of the issuer's addresses.
pub(super) fn document(sandbox: &Sandbox, posed: &Posed, site: &Site) -> Value {
    if site.what == What::Keys {
        return sandbox.0.signing_key.jwks();
    }
    let mut document = Map::new();
    document.insert("issuer".to_owned(), json!(issuer(posed)));
    for (name, what) in [
        ("authorization_endpoint", What::Authorize),
        ("token_endpoint", What::Token),
        ("revocation_endpoint", What::Revoke),
        ("introspection_endpoint", What::Introspect),
        ("userinfo_endpoint", What::Userinfo),
        ("jwks_uri", What::Keys),
    ] {
        if let Some(found) = posed.sites.iter().find(|site| site.what == what) {
            document.insert(name.to_owned(), json!(url(&found.address)));
        }
    }
    document.insert("response_types_supported".to_owned(), json!(["code"]));
    document.insert("token_endpoint_auth_methods_supported".to_owned(), json!([posed.entry.auth()]));
    if posed.entry.pkce() {
        document.insert("code_challenge_methods_supported".to_owned(), json!(["S256"]));
    }
    Value::Object(document)
}

fn url(address: &Address) -> String {
    let mut url = format!("https://{}{}", address.authority, address.path);
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(address.query.iter().map(|(name, pattern)| (name, pattern.shown())));
    let query = query.finish();
    if !query.is_empty() {
        url.push('?');
        url.push_str(&query);
    }
    url
}
