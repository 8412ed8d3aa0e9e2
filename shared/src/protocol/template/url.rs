//! URLs made of templates, so that no value can lead them elsewhere (SECURITY.md row 25).
//!
//! A value stands for one label of the host or for the whole host, for a part of one path segment, or for a part of the
//! query; a placeholder at the very beginning stands for a whole base URL. The result is parsed again and must say what
//! the template says.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::value::{Expected, NOT_URL_TEXT, base_url, is_host_name, is_label, is_url_text, split_port, split_scheme};
use super::{Part, TemplateError, parts, placeholders, value_of};

/// Everything but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Who decides where the requests of a URL template go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostBinding {
    /// The template does: no open key stands in its origin.
    Fixed,
    /// An open key names the leading labels; these, at least two, are fixed. Whoever writes the template must know that
    /// they belong to one operator: `zendesk.com` does, `co.uk` does not.
    Suffix(String),
    /// Whoever gives the value does.
    Open,
}

/// Renders a URL template.
///
/// - In the host a value is one DNS label (RFC 1123 §2.1), or a full host name where the placeholder is the whole host.
/// - At the very beginning it is an absolute http or https URL without user name, query, fragment and dot segments; its
///   trailing slashes are left off. Whether that URL may be reached is decided by the outbound policy.
/// - In the path it is printable ASCII without `/ \ % ? #`, and neither `.` nor `..`; in the query it has no control
///   characters. Both are percent-encoded, all but the unreserved characters of RFC 3986 §2.3.
///
/// # Errors
/// [`TemplateError::Unsafe`] for a value that breaks a rule; [`TemplateError::NotAUrl`] for a template that could never
/// be one; [`TemplateError::Missing`], [`TemplateError::Unbalanced`], [`TemplateError::BadKey`].
pub fn render_url(template: &str, values: &BTreeMap<String, String>) -> Result<Url, TemplateError> {
    let parts = parts(template)?;
    let shape = Shape::read(&parts)?;
    let mut expected = shape.origin.render(values)?;
    for part in &shape.path {
        match *part {
            Part::Text(text) => expected.path.push_str(text),
            Part::Key(key) => expected.path.push_str(&path_value(key, value_of(key, values)?)?),
        }
    }
    let query = shape.query.map(|query| query_text(&query, values)).transpose()?;

    let mut text = format!("{}://{}", expected.scheme, expected.host);
    if let Some(port) = expected.port {
        text.push_str(&format!(":{port}"));
    }
    text.push_str(&expected.path);
    if let Some(query) = &query {
        text.push('?');
        text.push_str(query);
    }
    let suspect = parts.iter().find_map(|part| if let Part::Key(key) = part { Some(*key) } else { None });
    let refusal = || match suspect {
        Some(key) => unsafe_value(key, "with it the URL reads differently from its template"),
        None => TemplateError::NotAUrl("it must be written as it is read: lower case, no dot segments"),
    };
    let url = Url::parse(&text).map_err(|_| refusal())?;
    if expected.is(&url) && url.query().is_some() == query.is_some() { Ok(url) } else { Err(refusal()) }
}

/// The keys of a URL template, as [`super::placeholders`] gives them, if harmless values make a URL of it.
///
/// # Errors
/// [`TemplateError::NotAUrl`] for a template that could never be a URL; [`TemplateError::Unbalanced`] and
/// [`TemplateError::BadKey`].
pub fn url_placeholders(template: &str) -> Result<Vec<&str>, TemplateError> {
    let keys = placeholders(template)?;
    let mut harmless: BTreeMap<String, String> = keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect();
    if let Origin::Value(key) = Shape::read(&parts(template)?)?.origin {
        harmless.insert(key.to_owned(), "https://x.example".to_owned());
    }
    match render_url(template, &harmless) {
        Err(TemplateError::Unsafe { why, .. }) => Err(TemplateError::NotAUrl(why)),
        rendered => rendered.map(|_| keys),
    }
}

/// Whose choice the origin of a template is, when others give the values of the keys that `open` names. A shared client
/// secret must not be sent to an origin that is [`HostBinding::Open`]. A template that is not a URL counts as open.
pub fn host_binding(template: &str, open: &dyn Fn(&str) -> bool) -> HostBinding {
    let Ok(parts) = parts(template) else { return HostBinding::Open };
    let Ok(shape) = Shape::read(&parts) else { return HostBinding::Open };
    let host = match shape.origin {
        Origin::Value(key) if open(key) => return HostBinding::Open,
        Origin::Value(_) => return HostBinding::Fixed,
        Origin::Written { host, .. } => host,
    };
    if !host.iter().any(|part| matches!(part, Part::Key(key) if open(key))) {
        return HostBinding::Fixed;
    }
    // Behind the last placeholder of any kind: the rest of its own label, then the labels that are always the same.
    let Some(Part::Text(tail)) = host.last() else { return HostBinding::Open };
    match tail.split_once('.') {
        Some((_, suffix)) if suffix.split('.').count() >= 2 => HostBinding::Suffix(suffix.to_ascii_lowercase()),
        _ => HostBinding::Open,
    }
}

fn unsafe_value(key: &str, why: &'static str) -> TemplateError {
    TemplateError::Unsafe { key: key.to_owned(), why }
}

/// A template, divided.
struct Shape<'a> {
    origin: Origin<'a>,
    path: Vec<Part<'a>>,
    query: Option<Vec<Part<'a>>>,
}

enum Origin<'a> {
    /// The template begins with this key.
    Value(&'a str),
    /// The template names scheme and port; its host may have placeholders.
    Written { scheme: &'static str, host: Vec<Part<'a>>, port: Option<u16> },
}

impl<'a> Shape<'a> {
    fn read(parts: &[Part<'a>]) -> Result<Self, TemplateError> {
        if parts.iter().any(|part| matches!(part, Part::Text(text) if !is_url_text(text))) {
            return Err(TemplateError::NotAUrl(NOT_URL_TEXT));
        }
        let (first, rest) = parts.split_first().ok_or(TemplateError::NotAUrl("it is empty"))?;
        let text = match *first {
            Part::Key(key) => {
                let Divided { authority, path, query } = divide(rest);
                if !authority.is_empty() {
                    return Err(TemplateError::NotAUrl(
                        "behind a placeholder for a whole URL comes `/`, `?` or nothing",
                    ));
                }
                return Ok(Self { origin: Origin::Value(key), path, query });
            }
            Part::Text(text) => text,
        };
        let begins = "it begins with `https://` or with a placeholder";
        let (scheme, text) = split_scheme(text).ok_or(TemplateError::NotAUrl(begins))?;
        let Divided { authority, path, query } = divide(std::iter::once(&Part::Text(text)).chain(rest));
        let (host, port) = host_and_port(authority)?;
        Ok(Self { origin: Origin::Written { scheme, host, port }, path, query })
    }
}

/// What follows `scheme://`.
#[derive(Default)]
struct Divided<'a> {
    authority: Vec<Part<'a>>,
    path: Vec<Part<'a>>,
    query: Option<Vec<Part<'a>>>,
}

fn divide<'a: 'p, 'p>(parts: impl IntoIterator<Item = &'p Part<'a>>) -> Divided<'a> {
    let mut divided = Divided::default();
    for part in parts {
        if let Some(query) = &mut divided.query {
            query.push(*part);
            continue;
        }
        let Part::Text(text) = *part else {
            let to = if divided.path.is_empty() { &mut divided.authority } else { &mut divided.path };
            to.push(*part);
            continue;
        };
        let (before, query) = text.split_once('?').map_or((text, None), |(before, query)| (before, Some(query)));
        let (of_authority, of_path) = match before.find('/') {
            _ if !divided.path.is_empty() => ("", before),
            Some(slash) => before.split_at(slash),
            None => (before, ""),
        };
        divided.authority.extend(text_part(of_authority));
        divided.path.extend(text_part(of_path));
        divided.query = query.map(|query| vec![Part::Text(query)]);
    }
    divided
}

fn text_part(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then_some(Part::Text(text))
}

fn host_and_port(mut authority: Vec<Part<'_>>) -> Result<(Vec<Part<'_>>, Option<u16>), TemplateError> {
    let mut port = None;
    if let Some(Part::Text(text)) = authority.last().copied() {
        let (host, written) = split_port(text).map_err(TemplateError::NotAUrl)?;
        port = written;
        authority.pop();
        authority.extend(text_part(host));
    }
    let has_keys = authority.iter().any(|part| matches!(part, Part::Key(_)));
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let of_address = |byte: u8| b"[:]".contains(&byte);
    let fits = |text: &str| text.bytes().all(|byte| of_host(byte) || (!has_keys && of_address(byte)));
    if authority.is_empty() || authority.iter().any(|part| matches!(part, Part::Text(text) if !fits(text))) {
        return Err(TemplateError::NotAUrl(
            "its host is a host name; user name, password and port have no placeholder",
        ));
    }
    Ok((authority, port))
}

impl Origin<'_> {
    fn render(&self, values: &BTreeMap<String, String>) -> Result<Expected, TemplateError> {
        let (scheme, parts, port) = match self {
            Self::Value(key) => {
                return base_url(value_of(key, values)?).map_err(|why| unsafe_value(key, why));
            }
            Self::Written { scheme, host, port } => (scheme, host, *port),
        };
        let mut host = String::new();
        let mut last_key = None;
        for part in parts {
            match *part {
                Part::Text(text) => host.push_str(text),
                Part::Key(key) => {
                    let value = value_of(key, values)?;
                    if parts.len() > 1 && !is_label(value) {
                        return Err(unsafe_value(key, "in a host it is one label of letters, digits and hyphens"));
                    }
                    last_key = Some(key);
                    host.push_str(value);
                }
            }
        }
        match last_key {
            Some(key) if !is_host_name(&host) => Err(unsafe_value(key, "with it the host is not a host name")),
            _ => Ok(Expected { scheme, host: host.to_ascii_lowercase(), port, path: String::new() }),
        }
    }
}

fn path_value(key: &str, value: &str) -> Result<String, TemplateError> {
    let visible = |c: char| c == ' ' || c.is_ascii_graphic();
    if value.trim().is_empty() || value.trim() != value || !value.chars().all(visible) {
        return Err(unsafe_value(key, "in a path it is printable ASCII with no space at its ends"));
    }
    if value.contains(['/', '\\', '%', '?', '#']) || value == "." || value == ".." {
        return Err(unsafe_value(key, "in a path it is part of one segment, without `/`, `\\`, `%`, `?`, `#`"));
    }
    Ok(utf8_percent_encode(value, RESERVED).to_string())
}

fn query_text(query: &[Part<'_>], values: &BTreeMap<String, String>) -> Result<String, TemplateError> {
    let mut rendered = String::new();
    for part in query {
        match *part {
            Part::Text(text) => rendered.push_str(text),
            Part::Key(key) => {
                let value = value_of(key, values)?;
                if value.chars().any(char::is_control) {
                    return Err(unsafe_value(key, "it has control characters"));
                }
                rendered.extend(utf8_percent_encode(value, RESERVED));
            }
        }
    }
    Ok(rendered)
}
