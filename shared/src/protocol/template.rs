//! Strings with `{key}` placeholders. URLs are made of them by stricter rules: [`render_url`].

use std::collections::BTreeMap;

mod url;
mod value;

pub use self::url::{HostBinding, host_binding, render_url, url_placeholders};
pub use self::value::normalise_url_value;
pub(crate) use self::value::{absolute_url, is_host_name};

/// The longest key (bytes).
const MAX_KEY: usize = 64;

/// Why a template cannot be rendered. It names keys, never values: a value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a brace stands alone; a literal brace is written twice")]
    Unbalanced,
    /// What stands between the braces is no key.
    #[error("a placeholder is a key of 1 to 64 letters, digits, `_`, `.` or `-` in braces")]
    BadKey,
    /// No value is known for this key.
    #[error("there is no value for `{0}`")]
    Missing(String),
    /// The template is no URL, whatever the values are.
    #[error("the template is not a URL: {0}")]
    NotAUrl(&'static str),
    /// The value of this key must not stand where its placeholder stands.
    #[error("the value of `{key}` cannot be used in this URL: {why}")]
    Unsafe {
        /// The key.
        key: String,
        /// The rule that was broken.
        why: &'static str,
    },
}

/// A piece of a template.
#[derive(Clone, Copy)]
enum Part<'a> {
    Text(&'a str),
    Key(&'a str),
}

/// Whether a text may be the key of a placeholder: 1 to 64 of `[A-Za-z0-9_.-]`.
pub fn is_key(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.len() <= MAX_KEY && text.bytes().all(known)
}

/// The keys of a template in order, each once. Keys are compared byte for byte.
///
/// `{{` and `}}` stand for literal braces, which a text body may need.
///
/// # Errors
/// [`TemplateError::Unbalanced`] and [`TemplateError::BadKey`].
pub fn placeholders(text: &str) -> Result<Vec<&str>, TemplateError> {
    let mut keys = Vec::new();
    for part in parts(text)? {
        if let Part::Key(key) = part
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Puts the values in, as they are. What the result is used for decides which values are allowed in it: for a URL that
/// is [`render_url`].
///
/// # Errors
/// [`TemplateError::Missing`] for a key without a value; [`TemplateError::Unbalanced`] and [`TemplateError::BadKey`].
pub fn render(text: &str, values: &BTreeMap<String, String>) -> Result<String, TemplateError> {
    let mut rendered = String::with_capacity(text.len());
    for part in parts(text)? {
        rendered.push_str(match part {
            Part::Text(text) => text,
            Part::Key(key) => value_of(key, values)?,
        });
    }
    Ok(rendered)
}

/// The keys of a text that is no URL, as [`placeholders`] gives them. `{key?}` is the same as `{key}` there.
///
/// # Errors
/// [`TemplateError::Unbalanced`] and [`TemplateError::BadKey`].
pub fn line_placeholders(text: &str) -> Result<Vec<&str>, TemplateError> {
    let keys =
        lenient_parts(text)?.into_iter().filter_map(|part| if let Part::Key(key) = part { Some(key) } else { None });
    Ok(keys.collect())
}

/// Puts values into a text that is no URL. Nothing is left of one whose value is not known.
///
/// # Errors
/// [`TemplateError::Unbalanced`] and [`TemplateError::BadKey`].
pub fn render_line(text: &str, find: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, TemplateError> {
    let mut rendered = String::with_capacity(text.len());
    for part in lenient_parts(text)? {
        match part {
            Part::Text(text) => rendered.push_str(text),
            Part::Key(key) => match find(key) {
                Some(value) => rendered.push_str(&value),
                None => return Ok(None),
            },
        }
    }
    Ok(Some(rendered))
}

fn value_of<'v>(key: &str, values: &'v BTreeMap<String, String>) -> Result<&'v str, TemplateError> {
    values.get(key).map(String::as_str).ok_or_else(|| TemplateError::Missing(key.to_owned()))
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    parts_of(text, false)
}

/// The same where `{key?}` may stand for `{key}`.
fn lenient_parts(text: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    parts_of(text, true)
}

fn parts_of(text: &str, marked: bool) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        rest = if let Some(after) = from.strip_prefix("{{") {
            parts.push(Part::Text("{"));
            after
        } else if let Some(after) = from.strip_prefix("}}") {
            parts.push(Part::Text("}"));
            after
        } else {
            let inside = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let (key, after) = inside.ok_or(TemplateError::Unbalanced)?;
            let key = key.strip_suffix('?').filter(|_| marked).unwrap_or(key);
            if !is_key(key) {
                return Err(TemplateError::BadKey);
            }
            parts.push(Part::Key(key));
            after
        };
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
