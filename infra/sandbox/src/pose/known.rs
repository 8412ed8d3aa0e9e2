//! The values of an entry's variables: those that are given, those that the answers bring, and what choices set.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use serde_json::Value;
use url::Url;

use super::facts::{Choice, Entry, Source, Variable};
use super::template::Meaning;

pub(super) type Values = BTreeMap<String, String>;

/// Everything that the names in an entry can stand for.
pub(super) struct Known {
    /// One per item that a person can choose; they differ in the values that come with the choice.
    pub(super) worlds: Vec<Values>,
    /// The variables that are known only after a lookup.
    pub(super) late: BTreeSet<String>,
    /// What the answers bring, by variable, as it stands there.
    brought: BTreeMap<String, Vec<Value>>,
}

impl Known {
    /// # Errors
    /// A value is none of its variable's choices, is brought for no variable, or is no text or number.
    pub(super) fn of(entry: &Entry, given: &Values, found: &BTreeMap<String, Value>) -> anyhow::Result<Known> {
        let brought: BTreeMap<String, Vec<Value>> =
            found.iter().map(|(key, value)| (key.clone(), items(value))).collect();
        if let Some(key) = found.keys().find(|key| !entry.variables.iter().any(|variable| variable.key == **key)) {
            bail!("the entry has no variable `{key}`");
        }
        let most = brought.values().map(Vec::len).max().unwrap_or_default().max(1);
        let worlds = (0..most).map(|index| world(entry, given, &brought, index)).collect::<anyhow::Result<_>>()?;
        let is_late = |variable: &&Variable| matches!(variable.source, Source::Lookup | Source::Choice);
        let late = entry.variables.iter().filter(is_late).map(|variable| variable.key.clone()).collect();
        Ok(Known { worlds, late, brought })
    }

    /// What an answer brings for a variable: one value, or each of those that a person can choose from.
    pub(super) fn brought(&self, key: &str) -> &[Value] {
        self.brought.get(key).map_or(&[], Vec::as_slice)
    }

    /// What the answers bring for a variable with an item of a list.
    pub(super) fn brought_with(&self, key: &str, item: usize) -> Option<&Value> {
        let brought = self.brought(key);
        brought.get(item).or(brought.first())
    }

    /// The values before anything was chosen, for what cannot depend on a choice.
    pub(super) fn first(&self) -> &Values {
        static NONE: Values = Values::new();
        self.worlds.first().unwrap_or(&NONE)
    }
}

fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    }
}

fn world(
    entry: &Entry,
    given: &Values,
    brought: &BTreeMap<String, Vec<Value>>,
    index: usize,
) -> anyhow::Result<Values> {
    let mut values = entry.values.clone();
    values.extend(given.clone());
    for variable in &entry.variables {
        let key = &variable.key;
        if let Some(list) = brought.get(key) {
            let value = list.get(index).or(list.first()).with_context(|| format!("nothing is brought for `{key}`"))?;
            values.insert(key.clone(), text(value).with_context(|| format!("`{key}` is no text"))?);
        } else if let (None, Some(default)) = (values.get(key), &variable.default) {
            values.insert(key.clone(), text(default).with_context(|| format!("the default of `{key}` is no text"))?);
        }
        let Some(value) = values.get(key).map(|value| typed(variable, value)) else { continue };
        if let Some(sets) = chosen(variable, &value)? {
            values.extend(sets.clone());
        }
        values.insert(key.clone(), value);
    }
    Ok(values)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A host that arrives as a URL is cut to its host; the trailing slash of a URL is left off.
fn typed(variable: &Variable, value: &str) -> String {
    match variable.kind.as_deref() {
        Some("host") if value.contains("://") => {
            let url = Url::parse(value).ok();
            url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| value.to_owned())
        }
        Some("url") => value.trim_end_matches('/').to_owned(),
        _ => value.to_owned(),
    }
}

/// What the choice of a value sets.
fn chosen<'v>(variable: &'v Variable, value: &str) -> anyhow::Result<Option<&'v Values>> {
    let mut choices = variable.choices.iter();
    let choice = choices.find(|choice| match choice {
        Choice::Plain(known) => known == value,
        Choice::Full { value: known, .. } => known == value,
    });
    match choice {
        Some(Choice::Full { sets, .. }) => Ok(Some(sets)),
        Some(Choice::Plain(_)) => Ok(None),
        None if variable.choices.is_empty() => Ok(None),
        None => bail!("`{value}` is none of the choices of `{}`", variable.key),
    }
}

/// What variables stand for, when nothing else has their name.
pub(super) fn variable(values: &Values, name: &str) -> Option<Meaning> {
    values.get(name).map(|value| Meaning::Is(value.clone()))
}

/// In requests to the API: variables, and the access token as what is open.
pub(super) fn at_api(values: &Values, name: &str) -> Meaning {
    variable(values, name).unwrap_or(match name {
        "access_token" | "random" | "uuid" => Meaning::Open,
        _ => Meaning::Unset,
    })
}
