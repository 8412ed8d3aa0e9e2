//! The addresses of an entry, rendered, and whether a request went there.

use axum::http::Uri;
use url::{Url, form_urlencoded};

use super::template::{Meaning, Pattern};

/// A URL of which parts of the query may be open.
#[derive(Clone)]
pub(super) struct Address {
    /// Host in lower case, with the port unless it is that of https.
    pub(super) authority: String,
    /// As on the wire.
    pub(super) path: String,
    /// Every parameter that the URL itself has.
    pub(super) query: Vec<(String, Pattern)>,
}

impl Address {
    /// Nothing when the template names something without a value, or becomes no URL.
    pub(super) fn render(template: &str, meaning: &dyn Fn(&str) -> Meaning) -> Option<Address> {
        let template = template.split('#').next().unwrap_or_default();
        let (base, query) = template.split_once('?').unwrap_or((template, ""));
        let url = Url::parse(&rendered(base, meaning)?).ok()?;
        let query = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| Some((name.into_owned(), Pattern::of(&value, meaning)?)))
            .collect::<Option<_>>()?;
        Some(Address { authority: authority(&url)?, path: url.path().to_owned(), query })
    }

    /// What is left of a query without the parameters of the address itself; nothing when one of them is not there.
    pub(super) fn rest_of(&self, query: &[(String, String)]) -> Option<Vec<(String, String)>> {
        let mut rest = query.to_vec();
        for (name, pattern) in &self.query {
            let at = rest.iter().position(|(given, value)| given == name && pattern.read(value).is_some())?;
            rest.remove(at);
        }
        Some(rest)
    }

    /// Whether a path is this one or below it.
    pub(super) fn holds(&self, path: &str) -> bool {
        let base = self.path.trim_end_matches('/');
        path.strip_prefix(base).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// Host and port of a URL, as a request names them.
fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    Some(url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

/// The host that a request is for: from `Host`, or from its address (HTTP/2, proxies).
pub(super) fn authority_of(host: Option<&str>, uri: &Uri) -> String {
    let given = uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or_default().to_ascii_lowercase();
    given.strip_suffix(":443").map(str::to_owned).unwrap_or(given)
}

/// The part of a URL before its query. A value at the very beginning is a URL itself, one in the host stays as it is, and
/// one in the path is percent-encoded.
fn rendered(template: &str, meaning: &dyn Fn(&str) -> Meaning) -> Option<String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        url.push_str(before);
        let (name, after) = after.split_once('}')?;
        let Meaning::Is(value) = meaning(name) else { return None };
        if url.is_empty() {
            url.push_str(value.trim_end_matches('/'));
        } else if url.split_once("://").is_some_and(|(_, behind)| behind.contains('/')) {
            url.push_str(&percent_encoded(&value));
        } else {
            url.push_str(&value);
        }
        rest = after;
    }
    url.push_str(rest);
    Some(url)
}

/// RFC 3986 §2.3: all but the unreserved characters.
fn percent_encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(name: &str) -> Meaning {
        match name {
            "base" => Meaning::Is("https://x.example/app/".to_owned()),
            "sub" => Meaning::Is("Acme".to_owned()),
            "id" => Meaning::Is("a b/ü".to_owned()),
            "access_token" => Meaning::Open,
            _ => Meaning::Unset,
        }
    }

    #[test]
    fn values_stand_in_every_part_of_an_address() {
        let address =
            Address::render("https://{sub}.x.example:8443/v1/{id}?id={id}&t={access_token}#f", &meaning).unwrap();
        assert_eq!((address.authority.as_str(), address.path.as_str()), ("acme.x.example:8443", "/v1/a%20b%2F%C3%BC"));
        let query =
            |pairs: &[(&str, &str)]| -> Vec<_> { pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect() };
        let rest = address.rest_of(&query(&[("t", "at"), ("more", "1"), ("id", "a b/ü")]));
        assert_eq!(rest, Some(query(&[("more", "1")])));
        assert_eq!(address.rest_of(&query(&[("id", "a b/ü"), ("t", "")])), None);
        let address = Address::render("{base}/token", &meaning).unwrap();
        assert_eq!((address.authority.as_str(), address.path.as_str()), ("x.example", "/app/token"));
        assert!(Address::render("https://{none}/x", &meaning).is_none());
    }

    #[test]
    fn a_path_is_below_another_only_at_a_slash() {
        let address = Address::render("{base}", &meaning).unwrap();
        for (path, holds) in [("/app", true), ("/app/x", true), ("/apple", false), ("/", false)] {
            assert_eq!(address.holds(path), holds, "{path}");
        }
        assert!(Address::render("https://x.example", &meaning).unwrap().holds("/anything"));
    }

    #[test]
    fn the_port_of_https_is_no_part_of_an_authority() {
        let uri: Uri = "/x".parse().unwrap();
        assert_eq!(authority_of(Some("X.example:443"), &uri), "x.example");
        assert_eq!(authority_of(Some("y.example"), &"https://x.example:8443/x".parse().unwrap()), "x.example:8443");
    }
}
