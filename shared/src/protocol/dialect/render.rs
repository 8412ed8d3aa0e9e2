//! Variables put into a dialect.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde_json::Value;

use super::encode::Kind;
use super::placeholder::{Found, Rules, Stage, names, substitute};
use super::{BodyTemplate, RevocationDialect, TokenRequestDialect, is_supplied};

/// A dialect with its variables in it. Some of them may be secret, so it can be neither printed nor serialized.
#[derive(Clone)]
pub struct Rendered<T>(T);

impl<T> Deref for Rendered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

type Strings = BTreeMap<String, String>;
type Resolve<'r> = &'r dyn Fn(&str) -> Option<String>;

impl TokenRequestDialect {
    /// The variables that its strings name.
    pub fn placeholders(&self) -> BTreeSet<String> {
        let mut texts: Vec<&str> = self.query.values().chain(self.headers.values()).map(String::as_str).collect();
        texts.extend(self.url.as_deref());
        variables(texts, self.body.as_ref())
    }

    /// The dialect with every `{variable}` replaced, but for those of `url`: only `template::render_url` makes an address.
    ///
    /// # Errors
    /// The name of a variable that is not set, or whose value cannot stand where it is named.
    pub fn render(&self, resolve: Resolve<'_>) -> Result<Rendered<Self>, String> {
        Ok(Rendered(Self {
            query: strings(&self.query, resolve, &|_| true)?,
            headers: strings(&self.headers, resolve, &fits_line)?,
            body: body(self.body.as_ref(), self.content_type.as_deref(), resolve)?,
            ..self.clone()
        }))
    }
}

impl RevocationDialect {
    /// The variables that its strings name.
    pub fn placeholders(&self) -> BTreeSet<String> {
        variables(self.headers.values().map(String::as_str).collect(), self.body.as_ref())
    }

    /// The dialect with every `{variable}` replaced.
    ///
    /// # Errors
    /// As in a token request.
    pub fn render(&self, resolve: Resolve<'_>) -> Result<Rendered<Self>, String> {
        Ok(Rendered(Self {
            headers: strings(&self.headers, resolve, &fits_line)?,
            body: body(self.body.as_ref(), self.content_type.as_deref(), resolve)?,
            ..self.clone()
        }))
    }
}

fn variables<'v>(mut texts: Vec<&'v str>, body: Option<&'v BodyTemplate>) -> BTreeSet<String> {
    match body {
        Some(BodyTemplate::Text(text)) => texts.push(text),
        Some(BodyTemplate::Parameters(parameters)) => parameters.values().for_each(|value| collect(value, &mut texts)),
        None => {}
    }
    texts.into_iter().flat_map(names).filter(|name| !is_supplied(name)).collect()
}

fn collect<'v>(value: &'v Value, texts: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        Value::Object(members) => members.values().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Looks up a variable; a standard parameter waits for the request. A value that does not fit is as good as none.
fn variable<'r>(resolve: Resolve<'r>, fits: &'r dyn Fn(&str) -> bool) -> impl Fn(&str) -> Found + 'r {
    move |name| match resolve(name).filter(|value| fits(value)) {
        Some(value) => Found::Text(value),
        None if is_supplied(name) => Found::Later,
        None => Found::Unset,
    }
}

fn strings(strings: &Strings, resolve: Resolve<'_>, fits: &dyn Fn(&str) -> bool) -> Result<Strings, String> {
    let mut rendered = Strings::new();
    for (name, text) in strings {
        let find = variable(resolve, fits);
        if let Some(text) = substitute(text, Rules { stage: Stage::First, find: &find, inside: None })? {
            rendered.insert(name.clone(), text);
        }
    }
    Ok(rendered)
}

fn body(
    body: Option<&BodyTemplate>,
    content_type: Option<&str>,
    resolve: Resolve<'_>,
) -> Result<Option<BodyTemplate>, String> {
    let kind = Kind::of(content_type);
    Ok(match body {
        None => None,
        Some(BodyTemplate::Text(text)) => {
            let fits = |value: &str| kind.takes(value);
            let find = variable(resolve, &fits);
            let escape = |value: &str| kind.escape(value);
            let rules = Rules { stage: Stage::First, find: &find, inside: Some(&escape) };
            substitute(text, rules)?.map(BodyTemplate::Text)
        }
        Some(BodyTemplate::Parameters(parameters)) => {
            let find = variable(resolve, &|_| true);
            let mut rendered = BTreeMap::new();
            for (name, value) in parameters {
                if let Some(value) = replace(value, Rules { stage: Stage::First, find: &find, inside: None })? {
                    rendered.insert(name.clone(), value);
                }
            }
            Some(BodyTemplate::Parameters(rendered))
        }
    })
}

/// Replaces the placeholders in all strings of a JSON value; nothing is left of a value with an optional one not set.
pub(super) fn replace(value: &Value, rules: Rules<'_>) -> Result<Option<Value>, String> {
    Ok(match value {
        Value::String(text) => substitute(text, rules)?.map(Value::String),
        Value::Array(list) => {
            let list = list.iter().filter_map(|value| replace(value, rules).transpose());
            Some(Value::Array(list.collect::<Result<_, _>>()?))
        }
        Value::Object(members) => {
            let members = members.iter().filter_map(|(name, value)| {
                Some(replace(value, rules).transpose()?.map(|value| (name.clone(), value)))
            });
            Some(Value::Object(members.collect::<Result<_, _>>()?))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
    })
}

/// Whether a value can stand in a header: one line.
fn fits_line(value: &str) -> bool {
    !value.contains(char::is_control)
}
