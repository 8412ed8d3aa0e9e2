//! What an entry of the catalogue may say: what a client may say, with the entry's own examples as values, and what makes
//! it fit for a list. The embedded entries pass it in a test, those of an operator's directory at start.

use super::fields::Fields;
use super::validate_client::check_settings;
use crate::catalogue::{CATEGORIES, Provider, is_id};
use crate::error::Result;
use crate::model::client::{ClientSettings, GrantType};
use crate::model::variable::{self, Variable, VariableSource};
use crate::outbound::OutboundPolicy;
use crate::protocol::template::{self, HostBinding};

/// The longest sentence of an entry (characters), and the most of them.
const MAX_SENTENCE: usize = 500;
const MAX_SENTENCES: usize = 20;

/// Checks an entry without asking anybody.
///
/// # Errors
/// [`crate::error::Error::Invalid`] with JSON Pointers into the entry.
pub fn check_provider(provider: &Provider, policy: &OutboundPolicy) -> Result<()> {
    let mut fields = Fields::default();
    about(&mut fields, provider);
    grants(&mut fields, provider);
    fields.done()?;
    settings(&provider.settings, policy)?;
    for grant in provider.own_sections() {
        let below = format!("/grants/{}", grant.as_str());
        settings(&provider.settings_for(grant), policy).map_err(|error| error.below(&below))?;
    }
    Ok(())
}

fn about(fields: &mut Fields, provider: &Provider) {
    let about = &provider.about;
    if !is_id(&provider.id) {
        fields.wrong("", "not_an_id", "The file is named by lower case letters, digits and hyphens.");
    }
    if !CATEGORIES.contains(&about.category.as_str()) {
        fields.wrong("/category", "unknown_category", format!("One of {}.", CATEGORIES.join(", ")));
    }
    let is_date = |text: &String| text.len() == 10 && text.parse::<chrono::NaiveDate>().is_ok();
    if !about.checked.as_ref().is_none_or(is_date) {
        fields.wrong("/checked", "not_a_date", "A day like 2026-11-23.");
    }
    for (pointer, sentences) in [("/setup", &about.setup), ("/notes", &about.notes)] {
        if sentences.len() > MAX_SENTENCES {
            fields.wrong(pointer, "too_many", format!("At most {MAX_SENTENCES} sentences."));
        }
        for (index, sentence) in sentences.iter().enumerate() {
            let fits = !sentence.trim().is_empty()
                && sentence.chars().count() <= MAX_SENTENCE
                && !sentence.chars().any(char::is_control);
            if !fits {
                let rule = format!("1 to {MAX_SENTENCE} characters on one line.");
                fields.wrong(&format!("{pointer}/{index}"), "not_a_sentence", rule);
            }
        }
    }
}

fn grants(fields: &mut Fields, provider: &Provider) {
    for grant in provider.own_sections() {
        let pointer = format!("/grants/{}", grant.as_str());
        if !matches!(grant, GrantType::ClientCredentials | GrantType::Password) {
            fields.wrong(&pointer, "unsupported", "A section is for client_credentials or password.");
        }
    }
}

/// Checks the settings as those of a client, with the examples in place of values.
fn settings(settings: &ClientSettings, policy: &OutboundPolicy) -> Result<()> {
    let mut fields = Fields::default();
    for (index, variable) in settings.variables.iter().enumerate() {
        if let Some(detail) = unfit_example(variable) {
            fields.wrong(&format!("/variables/{index}/example"), "not_an_example", detail);
        }
    }
    outside_hosts(&mut fields, settings);
    check_settings(&mut fields, &with_examples(settings), policy);
    fields.done()
}

/// The settings with an example as the value of each variable that has none.
fn with_examples(settings: &ClientSettings) -> ClientSettings {
    let mut filled = settings.clone();
    for variable in &mut filled.variables {
        let Some(example) = variable.example.clone().filter(|_| variable.default.is_none() && !variable.secret) else {
            continue;
        };
        if variable.source == VariableSource::Client {
            filled.values.entry(variable.key.clone()).or_insert(example);
        } else {
            variable.default = Some(example);
        }
    }
    filled
}

/// Why the example of a variable is none.
fn unfit_example(variable: &Variable) -> Option<String> {
    let example = variable.example.as_deref()?;
    let wrong = accepts(variable, example).err()?;
    Some(format!("The variable does not accept it: {wrong}"))
}

/// Whether a variable takes a value, as if a person gave it.
fn accepts(variable: &Variable, value: &str) -> std::result::Result<(), String> {
    let asked = Variable { source: VariableSource::Person, visibility: Default::default(), ..variable.clone() };
    let given = std::collections::BTreeMap::from([(variable.key.clone(), value.to_owned())]);
    let none = std::collections::BTreeMap::new();
    let wrong = variable::accept(std::slice::from_ref(&asked), &none, &given).err();
    wrong.map_or(Ok(()), |wrong| Err(wrong.into_iter().map(|(.., detail)| detail).collect()))
}

/// An entry is for everybody, so not even the token answer names any host of the API (SECURITY.md 25). The hosts of the
/// other URLs are judged for every client alike.
fn outside_hosts(fields: &mut Fields, settings: &ClientSettings) {
    let url = settings.api_base_url.as_deref().filter(|url| template::url_placeholders(url).is_ok());
    let Some(url) = url else { return };
    let open = |variable: &&Variable| variable.source.is_outside() && !variable.confines_host();
    for variable in settings.variables.iter().filter(open) {
        if template::host_binding(url, &|key| key == variable.key) == HostBinding::Open {
            let rule = format!(
                "The host is whatever {:?} says, and the provider's answer says it: give the variable choices, or a \
                 pattern that only hosts of the provider match.",
                variable.key
            );
            fields.wrong("/api_base_url", "host_not_fixed", rule);
        }
    }
}
