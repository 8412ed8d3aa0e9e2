//! Placeholders that a choice sets: one answer of a person stands in several places, each in its own words.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::ClientSettings;
use crate::model::variable::Variable;
use crate::protocol::scope::is_scope_token;
use crate::protocol::template;

/// Placeholders and what stands for them.
pub type Sets = BTreeMap<String, String>;

impl ClientSettings {
    /// The variable of this key, or the one whose choices set a placeholder of this name.
    pub fn variable_behind(&self, key: &str) -> Option<&Variable> {
        let named = self.variables.iter().find(|variable| variable.key == key);
        let sets = |variable: &&Variable| variable.choices.iter().any(|choice| choice.sets.contains_key(key));
        named.or_else(|| self.variables.iter().find(sets))
    }

    /// Whether all placeholders of a text that is no URL are variables.
    pub(crate) fn names_variables(&self, text: &str) -> bool {
        let keys = if text.contains('{') { template::line_placeholders(text).unwrap_or_default() } else { Vec::new() };
        !keys.is_empty() && keys.into_iter().all(|key| self.variable_behind(key).is_some())
    }

    /// What the choices among these values set. A variable without a value counts with the client's own, then with its
    /// default.
    pub fn sets(&self, values: &BTreeMap<String, String>) -> Sets {
        self.sets_where(|variable| {
            let value = values.get(&variable.key).or_else(|| self.values.get(&variable.key));
            value.or(variable.default.as_ref()).map(String::as_str)
        })
    }

    /// Scopes with the values of variables in them. One whose value is not known, or that becomes no scope, is not asked.
    pub(crate) fn render_scopes(&self, scopes: Vec<String>, values: &BTreeMap<String, String>) -> Vec<String> {
        let sets = self.sets(values);
        let find = |key: &str| values.get(key).or_else(|| sets.get(key)).cloned();
        let render = |scope: String| match self.names_variables(&scope) {
            true => template::render_line(&scope, &find).ok().flatten().filter(|scope| is_scope_token(scope)),
            false => Some(scope),
        };
        scopes.into_iter().filter_map(render).collect()
    }

    /// What the choices that nobody but the client makes set.
    pub(super) fn fixed_sets(&self) -> Sets {
        self.sets_where(|variable| self.fixed_value(variable))
    }

    fn sets_where<'v>(&'v self, value: impl Fn(&'v Variable) -> Option<&'v str>) -> Sets {
        let chosen = |variable: &'v Variable| {
            let value = value(variable)?;
            variable.choices.iter().find(|choice| choice.value == value)
        };
        self.variables.iter().filter_map(chosen).flat_map(|choice| choice.sets.clone()).collect()
    }

    /// The sets of every choice, beside the first or preset choices of the other variables; one empty set where no choice
    /// sets anything.
    pub(crate) fn every_sets(&self) -> Vec<Sets> {
        let first =
            |variable: &Variable| variable.choices.first().map(|choice| choice.sets.clone()).unwrap_or_default();
        let mut base: Sets = self.variables.iter().flat_map(first).collect();
        base.extend(self.sets(&BTreeMap::new()));
        let choices = self.variables.iter().flat_map(|variable| &variable.choices);
        let each = choices.filter(|choice| !choice.sets.is_empty()).map(|choice| {
            let mut sets = base.clone();
            sets.extend(choice.sets.clone());
            sets
        });
        let mut all: Vec<Sets> = each.collect();
        if all.is_empty() {
            all.push(base);
        }
        all
    }

    /// Every text that a placeholder can be set to, by the placeholder.
    pub(crate) fn settable(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, text) in self.variables.iter().flat_map(|variable| &variable.choices).flat_map(|choice| &choice.sets)
        {
            all.entry(key).or_default().push(text);
        }
        all
    }
}

/// A template with what choices set in it. That is the client's own text, so in a URL it may be any part, or nothing.
pub(crate) fn put_in<'t>(template: &'t str, sets: &Sets) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(template);
    for (key, set) in sets {
        let placeholder = format!("{{{key}}}");
        if text.contains(&placeholder) {
            text = Cow::Owned(text.replace(&placeholder, set));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> ClientSettings {
        serde_json::from_value(json!({
            "name": "x", "token_endpoint": "https://{infix}auth.example.com/token",
            "variables": [
                { "key": "region", "default": "us", "choices": [
                    { "value": "us", "sets": { "infix": "" } }, { "value": "eu", "sets": { "infix": "eu." } } ] },
                { "key": "org" },
            ],
        }))
        .unwrap()
    }

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_chosen_sets_its_placeholders_and_a_preset_choice_does_so_alone() {
        let settings = settings();
        let url = |given: &[(&str, &str)]| {
            put_in("https://{infix}auth.example.com", &settings.sets(&values(given))).into_owned()
        };
        assert_eq!(url(&[]), "https://auth.example.com");
        assert_eq!(url(&[("region", "eu")]), "https://eu.auth.example.com");
        assert_eq!(url(&[("region", "evil.example/")]), "https://{infix}auth.example.com", "no choice sets nothing");
        assert_eq!(settings.variable_behind("infix").map(|variable| variable.key.as_str()), Some("region"));
        assert_eq!(settings.every_sets().len(), 2);
    }

    #[test]
    fn every_choice_is_an_origin_of_its_own_for_a_secret() {
        let with = |choices: serde_json::Value| {
            let mut settings = settings();
            settings.variables.first_mut().unwrap().choices = serde_json::from_value(choices).unwrap();
            settings.secret_origins().unwrap()
        };
        let two = json!([{ "value": "us", "sets": { "infix": "" } }, { "value": "eu", "sets": { "infix": "eu." } }]);
        let other =
            json!([{ "value": "us", "sets": { "infix": "" } }, { "value": "eu", "sets": { "infix": "evil." } }]);
        assert_eq!(with(two.clone()), "https://{infix=|eu.}auth.example.com");
        assert_ne!(with(two), with(other), "another choice is another origin, so the secret must be entered again");
    }

    #[test]
    fn a_scope_takes_the_values_of_variables_and_is_left_out_without_them() {
        let render = |given: &[(&str, &str)]| {
            settings()
                .render_scopes(vec!["https://{org}.example/.default".to_owned(), "a{b}".to_owned()], &values(given))
        };
        assert_eq!(render(&[("org", "acme")]), ["https://acme.example/.default", "a{b}"]);
        assert_eq!(render(&[]), ["a{b}"]);
        assert_eq!(render(&[("org", "a b")]), ["a{b}"], "what becomes no scope is not asked");
    }
}
