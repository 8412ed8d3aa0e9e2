//! What a person, a backend and a client gave, made into the values of a credential.

use std::collections::BTreeMap;
use std::fmt;

use super::{MAX_VALUE, Variable, VariableKind, VariableSource, Visibility, compile};
use crate::protocol::template::{absolute_url, is_host_name, normalise_url_value};
use crate::secret::Secret;

/// The accepted values of a credential.
#[derive(Clone, Default)]
pub struct Accepted {
    /// Those that may be shown and are delivered with the token.
    pub shown: BTreeMap<String, String>,
    /// Those that are kept with the tokens.
    pub secret: BTreeMap<String, Secret<String>>,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret: Vec<&String> = self.secret.keys().collect();
        formatter.debug_struct("Accepted").field("shown", &self.shown).field("secret", &secret).finish()
    }
}

/// A stable code and what would be right. It never quotes the value.
type Refusal = (&'static str, String);

/// Accepts what was given for the variables of a client. What is not given, or empty, comes from the client's values,
/// then from the default. Variables that answers of the provider supply are not in the result.
///
/// # Errors
/// All that is wrong: key, stable code and what would be right, never the value. `unknown_variable`, `required`,
/// `not_yours` (its source is not a person), `fixed`, and what [`VariableKind`], choices and pattern ask: `not_a_url`,
/// `not_a_host`, `not_an_integer`, `not_a_boolean`, `not_a_choice`, `pattern`, `too_long`, `control_character`.
pub fn accept<V: AsRef<str>>(
    variables: &[Variable],
    client_values: &BTreeMap<String, String>,
    given: &BTreeMap<String, V>,
) -> Result<Accepted, Vec<(String, &'static str, String)>> {
    let mut accepted = Accepted::default();
    let mut wrong = Vec::new();
    for variable in variables {
        let given = given.get(&variable.key).map(AsRef::as_ref).filter(|value| !value.trim().is_empty());
        let of_client = client_values.get(&variable.key).map(String::as_str);
        match value_of(variable, of_client, given) {
            Ok(None) => {}
            Ok(Some(value)) if variable.secret => {
                accepted.secret.insert(variable.key.clone(), Secret::new(value));
            }
            Ok(Some(value)) => {
                accepted.shown.insert(variable.key.clone(), value);
            }
            Err((code, detail)) => wrong.push((variable.key.clone(), code, detail)),
        }
    }
    for key in given.keys().filter(|key| !variables.iter().any(|variable| variable.key == **key)) {
        wrong.push((
            key.clone(),
            "unknown_variable",
            "The client has no variable of this key; case matters.".to_owned(),
        ));
    }
    if wrong.is_empty() { Ok(accepted) } else { Err(wrong) }
}

fn value_of(variable: &Variable, of_client: Option<&str>, given: Option<&str>) -> Result<Option<String>, Refusal> {
    if variable.source != VariableSource::Person && given.is_some() {
        return Err(("not_yours", "This value does not come from a person.".to_owned()));
    }
    if variable.source.is_outside() {
        return Ok(None);
    }
    let preset = of_client.or(variable.default.as_deref());
    let preset = || preset.map(|value| conform(variable, value)).transpose();
    let value = match given {
        None => preset()?,
        Some(given) => {
            let given = conform(variable, given)?;
            if variable.visibility == Visibility::Fixed && preset()?.as_ref() != Some(&given) {
                return Err(("fixed", "This value is fixed and cannot be changed.".to_owned()));
            }
            Some(given)
        }
    };
    if variable.required && value.as_ref().is_none_or(|value| value.trim().is_empty()) {
        return Err(match variable.source {
            VariableSource::Person => ("required", "It must be given.".to_owned()),
            _ => ("required", "The client must have a value for it.".to_owned()),
        });
    }
    Ok(value)
}

/// A value as it is kept, if it fits its variable.
pub(super) fn conform(variable: &Variable, value: &str) -> Result<String, Refusal> {
    let value = normal_form(variable.kind, value)?;
    if !variable.choices.is_empty() && !variable.choices.iter().any(|choice| choice.value == value) {
        return Err(("not_a_choice", "It must be one of the choices.".to_owned()));
    }
    let matches = |pattern: &String| compile(pattern).is_some_and(|pattern| pattern.is_match(&value));
    if variable.pattern.as_ref().is_some_and(|pattern| !matches(pattern)) {
        return Err(("pattern", "It must match the pattern of this variable as a whole.".to_owned()));
    }
    Ok(value)
}

/// A value as it is kept, if it is of the kind.
pub(super) fn normal_form(kind: VariableKind, value: &str) -> Result<String, Refusal> {
    let refuse = |code, detail: &str| Err((code, detail.to_owned()));
    if value.len() > MAX_VALUE {
        return Err(("too_long", format!("It must have at most {MAX_VALUE} bytes.")));
    }
    if value.chars().any(char::is_control) {
        return refuse("control_character", "It must not contain control characters.");
    }
    Ok(match kind {
        VariableKind::String => value.to_owned(),
        VariableKind::Url => {
            let url = normalise_url_value(value.trim());
            if let Err(why) = absolute_url(&url) {
                return Err(("not_a_url", format!("It must be an absolute http or https URL: {why}.")));
            }
            url
        }
        VariableKind::Host => match host(value) {
            Some(host) => host,
            None => return refuse("not_a_host", "It must be a host name such as `acme.example.com`, nothing else."),
        },
        VariableKind::Integer => match value.trim().parse::<i64>() {
            Ok(number) if number.to_string() == value.trim() => number.to_string(),
            _ => return refuse("not_an_integer", "It must be a whole number in decimal digits."),
        },
        VariableKind::Boolean => match value {
            "true" | "false" => value.to_owned(),
            _ => return refuse("not_a_boolean", "It must be `true` or `false`."),
        },
    })
}

/// A host name in lower case, also one that was pasted as `https://host/`.
fn host(value: &str) -> Option<String> {
    let value = value.trim().to_ascii_lowercase();
    let bare = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://")).unwrap_or(&value);
    let bare = bare.trim_end_matches('/');
    is_host_name(bare).then(|| bare.to_owned())
}
