//! What the connect page asks of a person.

use super::connect_page::Offering;
use super::offer_clients::{implicits, is_kept};
use crate::model::client::GrantType;
use crate::model::variable::{Choice, Implicit, VariableKind};

/// One thing that a person is asked.
pub struct Question<'a> {
    /// The key of the variable, or what the grant calls it.
    pub key: &'a str,
    /// What people call it.
    pub label: &'a str,
    /// Where they find it.
    pub help: Option<&'a str>,
    /// What a value must be.
    pub kind: VariableKind,
    /// The only values that are allowed; empty for any.
    pub choices: &'a [Choice],
    /// The value when none is given.
    pub default: Option<&'a str>,
    /// A regular expression that the whole value matches.
    pub pattern: Option<&'a str>,
    /// Whether nothing works without an answer.
    pub required: bool,
    /// Whether the answer is never shown.
    pub secret: bool,
    /// Whether it may be left empty because the renewed credential has it.
    pub kept: bool,
    /// The grant that alone needs it.
    pub only_for: Option<GrantType>,
}

/// What a client asks and its session left open, in the order of its JSON Schema.
pub(super) fn questions(offering: &Offering) -> Vec<Question<'_>> {
    let settings = &offering.client.settings;
    let open = |key: &str| !offering.fixed.shown.contains_key(key) && !offering.fixed.secret.contains_key(key);
    let kept = |key: &str| offering.renews && is_kept(&offering.client, key);
    let of_grants = implicits(&offering.client, &offering.grants).into_iter().map(|asked| {
        let of_password = [Implicit::USERNAME.key, Implicit::PASSWORD.key].contains(&asked.key);
        Question {
            key: asked.key,
            label: asked.label,
            help: None,
            kind: VariableKind::String,
            choices: &[],
            default: None,
            pattern: None,
            required: asked.required && !kept(asked.key),
            secret: asked.secret,
            kept: kept(asked.key),
            only_for: of_password.then_some(GrantType::Password),
        }
    });
    let of_client = settings.variables.iter().filter(|variable| variable.is_asked()).map(|variable| {
        let preset = settings.values.get(&variable.key).or(variable.default.as_ref()).filter(|_| !variable.secret);
        Question {
            key: &variable.key,
            label: variable.title(),
            help: variable.help.as_deref(),
            kind: variable.kind,
            choices: &variable.choices,
            default: preset.map(String::as_str),
            pattern: variable.pattern.as_deref(),
            required: variable.required && preset.is_none() && !kept(&variable.key),
            secret: variable.secret,
            kept: kept(&variable.key),
            only_for: None,
        }
    });
    of_grants.chain(of_client).filter(|question| open(question.key)).collect()
}
