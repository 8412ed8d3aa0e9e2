//! What stands in a URL: host names, base URLs, text.

use url::{Host, Url};

/// The longest host name and the longest of its labels (RFC 1123 §2.1, RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;
const MAX_LABEL: usize = 63;

/// A URL as people paste it, without its trailing slashes, so that `/path` can be put behind it. One with a query or a
/// fragment stays as it is.
pub fn normalise_url_value(value: &str) -> String {
    if value.contains(['?', '#']) { value.to_owned() } else { value.trim_end_matches('/').to_owned() }
}

/// Whether a text is an absolute http or https URL that every reader reads alike, without user name and fragment.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn absolute_url(value: &str) -> Result<(), &'static str> {
    let (base, query) = value.split_once('?').map_or((value, None), |(base, query)| (base, Some(query)));
    let query_is_text = query.is_none_or(is_url_text);
    base_url(base).and(if query_is_text { Ok(()) } else { Err(NOT_URL_TEXT) })
}

/// Whether a text is a host name of RFC 1123 §2.1, and not an address: no trailing dot, the last label no number.
pub(crate) fn is_host_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    // WHATWG URL: a host whose last label is a number, `0x7f` among them, is an IPv4 address.
    let number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    text.len() <= MAX_HOST && !number && text.split('.').all(is_label)
}

pub(super) fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) const NOT_URL_TEXT: &str = "it has characters that must be percent-encoded, or half an encoded one";

/// Characters that stay in a URL as they are (RFC 3986 §2), each percent-encoding whole: none may be completed by what
/// comes next.
pub(super) fn is_url_text(text: &str) -> bool {
    let stays = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    let whole = |rest: &str| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    text.bytes().all(stays) && text.split('%').skip(1).all(whole)
}

/// Where a URL must lead.
pub(super) struct Expected {
    pub(super) scheme: &'static str,
    /// In lower case.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl Expected {
    pub(super) fn is(&self, url: &Url) -> bool {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        url.scheme() == self.scheme
            && url.host_str() == Some(&self.host)
            && url.port_or_known_default() == self.port.or(if self.scheme == "https" { Some(443) } else { Some(80) })
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == path
            && url.fragment().is_none()
    }
}

/// The scheme in lower case, and what follows `://`.
pub(super) fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known)).map(|known| (known, rest))
}

pub(super) fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((_, tail)) if tail.ends_with(']') => Ok((authority, None)),
        Some((host, digits)) => {
            let port = digits.parse::<u16>().ok().filter(|port| port.to_string() == digits);
            port.map(|port| (host, Some(port))).ok_or("its port is not a number")
        }
        None => Ok((authority, None)),
    }
}

/// An absolute http or https URL that others can be built on.
///
/// # Errors
/// The rule that it breaks. What a parser would have to mend is refused: other parsers mend differently.
pub(super) fn base_url(value: &str) -> Result<Expected, &'static str> {
    if !is_url_text(value) || value.contains('?') {
        return Err("a base URL is visible ASCII without query, fragment, backslash and braces");
    }
    let (scheme, rest) = split_scheme(value).ok_or("a base URL begins with https://")?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    if authority.contains('@') {
        return Err("a base URL has no user name and no password");
    }
    let (host, port) = split_port(authority)?;
    let path = path.trim_end_matches('/');
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c"].iter().any(|encoded| lower.contains(encoded)) {
        return Err("a base URL has no percent-encoded dot or slash");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("a base URL has no `.` or `..` in its path");
    }
    let expected = Expected { scheme, host: host.to_ascii_lowercase(), port, path: path.to_owned() };
    let url = Url::parse(value.trim_end_matches('/')).map_err(|_| "it is not a URL")?;
    let named = !matches!(url.host(), Some(Host::Domain(name)) if !is_host_name(name));
    if expected.is(&url) && named {
        Ok(expected)
    } else {
        Err("its host is no host name, or not written as it is read")
    }
}
