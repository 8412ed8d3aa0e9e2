//! What a superuser may define.

use std::collections::BTreeSet;

use http::HeaderName;

use super::accept::{conform, normal_form};
use super::{Choice, Variable, VariableKind, VariableSource, Visibility, compile};
use crate::error::FieldError;
use crate::protocol::dialect::lookup::is_place;
use crate::protocol::template::is_key;

/// The most variables of a client, and the most choices of one.
const MAX_VARIABLES: usize = 50;
const MAX_CHOICES: usize = 200;
/// The longest label, help and pattern (characters).
const MAX_LABEL: usize = 256;
const MAX_HELP: usize = 2000;
const MAX_PATTERN: usize = 500;

/// Keys whose values come from the flow, the grant or the answers: a variable of that name could be mistaken for them.
const RESERVED: [&str; 25] = [
    "access_token",
    "audience",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "expires_at",
    "expires_in",
    "grant_type",
    "id_token",
    "nonce",
    "password",
    "redirect_uri",
    "refresh_token",
    "resource",
    "response_type",
    "scope",
    "state",
    "token",
    "token_type_hint",
    "username",
];

/// What is wrong with a definition: the JSON Pointer below the variable, a stable code, and what would be right.
pub fn check_definition(variable: &Variable) -> Vec<(&'static str, &'static str, String)> {
    let mut wrong = Vec::new();
    let mut refuse = |pointer, code, detail: &str| wrong.push((pointer, code, detail.to_owned()));

    if !is_key(&variable.key) {
        refuse("/key", "not_a_key", "A key has 1 to 64 letters, digits, `_`, `.` or `-`.");
    } else if RESERVED.contains(&variable.key.as_str()) {
        refuse("/key", "reserved_key", "The broker supplies this value itself; choose another key.");
    }
    for (pointer, text, longest) in [("/label", &variable.label, MAX_LABEL), ("/help", &variable.help, MAX_HELP)] {
        let Some(text) = text else { continue };
        if let Some((code, detail)) = words(text, longest) {
            refuse(pointer, code, &detail);
        }
    }
    check_pattern(variable, &mut refuse);
    check_choices(variable, &mut refuse);
    check_sets(variable, &mut refuse);
    check_source(variable, &mut refuse);
    if let Some(example) = &variable.example
        && let Err((code, detail)) = conform(variable, example)
    {
        refuse("/example", code, &detail);
    }
    if let Some(default) = &variable.default {
        if variable.secret {
            refuse("/default", "secret_default", "A secret has no default: a default is shown to everybody.");
        } else if variable.required && default.trim().is_empty() {
            refuse("/default", "empty", "The default of a required variable must not be empty; leave it out.");
        } else if let Err((code, detail)) = conform(variable, default) {
            refuse("/default", code, &detail);
        }
    }
    if variable.secret && variable.visibility == Visibility::Fixed && variable.source == VariableSource::Person {
        refuse("/visibility", "secret_fixed", "A secret that no person gives has the source `client`.");
    }
    wrong
}

/// What is wrong with the variables of a client, with JSON Pointers below the list.
pub fn check_definitions(variables: &[Variable]) -> Vec<FieldError> {
    if variables.len() > MAX_VARIABLES {
        let detail = format!("There may be at most {MAX_VARIABLES} variables.");
        return vec![FieldError { pointer: String::new(), code: "too_many", detail }];
    }
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, variable) in variables.iter().enumerate() {
        let at = |(pointer, code, detail)| FieldError { pointer: format!("/{index}{pointer}"), code, detail };
        wrong.extend(check_definition(variable).into_iter().map(at));
        if !seen.insert(variable.key.as_str()) {
            wrong.push(at(("/key", "duplicate_key", "Another variable has this key.".to_owned())));
        }
        let others = || variables.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        let set: BTreeSet<&String> = variable.choices.iter().flat_map(|choice| choice.sets.keys()).collect();
        let elsewhere = |key: &String| {
            variable.key == *key
                || others().any(|other| other.key == *key || other.choices.iter().any(|one| one.sets.contains_key(key)))
        };
        if set.into_iter().any(elsewhere) {
            let rule = "A variable, or a choice of another one, supplies a placeholder of this name already.";
            wrong.push(at(("/choices", "duplicate_key", rule.to_owned())));
        }
        let chosen_for = variable.lookup.as_ref().and_then(|lookup| lookup.with.as_ref());
        let is_choice = |other: &Variable| other.source == VariableSource::Choice;
        if chosen_for.is_some_and(|key| !others().any(|other| other.key == *key && is_choice(other))) {
            let rule = "It names the variable for which an item is chosen, with the source `choice`.";
            wrong.push(at(("/lookup/with", "not_a_choice_variable", rule.to_owned())));
        }
    }
    wrong
}

fn check_pattern(variable: &Variable, refuse: &mut impl FnMut(&'static str, &'static str, &str)) {
    let Some(pattern) = &variable.pattern else { return };
    if !variable.choices.is_empty() {
        refuse("/pattern", "pattern_with_choices", "The choices say what is allowed; leave the pattern out.");
    } else if matches!(variable.kind, VariableKind::Integer | VariableKind::Boolean) {
        // JSON Schema applies `pattern` to strings alone (Validation §6.3.3).
        refuse("/pattern", "pattern_not_for_text", "A pattern is for text: give the variable the type `string`.");
    } else if pattern.chars().count() > MAX_PATTERN {
        refuse("/pattern", "too_long", &format!("It must have at most {MAX_PATTERN} characters."));
    } else if compile(pattern).is_none() {
        let rule = "It is not a regular expression that is small and read alike everywhere: no look-around, inline \
                    flags, named groups or Unicode classes.";
        refuse("/pattern", "not_a_pattern", rule);
    }
}

/// What the choices set: each the same placeholders, in one line each.
fn check_sets(variable: &Variable, refuse: &mut impl FnMut(&'static str, &'static str, &str)) {
    let keys = |choice: &Choice| choice.sets.keys().cloned().collect::<Vec<_>>();
    let Some(first) = variable.choices.first().map(keys) else { return };
    if !variable.choices.iter().all(|choice| keys(choice) == first) {
        refuse("/choices", "sets_differ", "Every choice sets the same placeholders.");
    }
    if first.iter().any(|key| !is_key(key) || RESERVED.contains(&key.as_str())) {
        refuse("/choices", "not_a_key", "What a choice sets has a key as variables have, and none that is reserved.");
    }
    let too_long =
        |text: &String| text.len() > MAX_LABEL || text.chars().any(|c| c.is_control() || c == '{' || c == '}');
    if variable.choices.iter().flat_map(|choice| choice.sets.values()).any(too_long) {
        refuse("/choices", "not_a_text", "What a choice sets is one line of at most 256 bytes, without braces.");
    }
    if variable.secret && !first.is_empty() {
        refuse("/secret", "secret_choice", "What choices set is shown, so the choice is no secret.");
    }
}

/// Where a value from outside stands.
fn check_source(variable: &Variable, refuse: &mut impl FnMut(&'static str, &'static str, &str)) {
    let Variable { source, from, lookup, .. } = variable;
    let header = lookup.as_ref().and_then(|lookup| lookup.header.as_ref());
    if let Some(header) = header {
        let is_prefix = header.prefix.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && header.prefix.len() <= 64;
        if HeaderName::from_bytes(header.name.as_bytes()).is_err() || !is_prefix {
            refuse("/lookup/header", "not_a_header", "A header name, and a prefix of visible ASCII.");
        }
    }
    match from {
        Some(place) if *source == VariableSource::Callback && place.contains('|') => {
            refuse("/from", "not_a_place", "A parameter has one name.");
        }
        Some(_) if !matches!(source, VariableSource::Callback | VariableSource::Token) => {
            refuse("/from", "not_used", "Only the sources `callback` and `token` have it.");
        }
        Some(place) if !is_place(place) => {
            refuse("/from", "not_a_place", "A name, a dotted path, or a JSON Pointer such as /data/id.");
        }
        _ => {}
    }
    let looked_up = matches!(source, VariableSource::Lookup | VariableSource::Choice);
    let Some(lookup) = lookup else {
        if looked_up {
            refuse("/lookup", "required", "The sources `lookup` and `choice` say where the value is looked up.");
        }
        return;
    };
    if !looked_up {
        return refuse("/lookup", "not_used", "Only the sources `lookup` and `choice` have it.");
    }
    if lookup.url.is_some() == lookup.with.is_some() {
        refuse("/lookup", "url_or_with", "It has either `url` or `with`.");
    }
    let of_choice = *source == VariableSource::Choice;
    if of_choice && lookup.with.is_some() {
        refuse("/lookup/with", "not_used", "A choice has a list of its own; the source `lookup` follows another's.");
    }
    if of_choice != lookup.items.is_some() {
        refuse("/lookup/items", "items_of_choice", "A choice has the place of its list, and nothing else has one.");
    }
    let places = [Some(&lookup.value), lookup.items.as_ref(), lookup.label.as_ref()];
    if !places.into_iter().flatten().all(|place| is_place(place)) {
        refuse("/lookup", "not_a_place", "Places are keys, dotted paths, or JSON Pointers such as /data/id.");
    }
}

fn check_choices(variable: &Variable, refuse: &mut impl FnMut(&'static str, &'static str, &str)) {
    if variable.choices.len() > MAX_CHOICES {
        return refuse("/choices", "too_many", &format!("There may be at most {MAX_CHOICES} choices."));
    }
    let mut seen = BTreeSet::new();
    for choice in &variable.choices {
        match normal_form(variable.kind, &choice.value) {
            Err((code, detail)) => refuse("/choices", code, &detail),
            Ok(value) if value != choice.value => {
                refuse(
                    "/choices",
                    "not_normal",
                    "A choice is written as it is kept: no trailing slash, lower case host.",
                );
            }
            Ok(_) => {}
        }
        if !seen.insert(choice.value.as_str()) {
            refuse("/choices", "duplicate_choice", "A value is there twice.");
        }
        if let Some((code, detail)) = choice.label.as_ref().and_then(|label| words(label, MAX_LABEL)) {
            refuse("/choices", code, &detail);
        }
    }
}

/// What is wrong with words for people.
fn words(text: &str, longest: usize) -> Option<(&'static str, String)> {
    if text.trim().is_empty() {
        Some(("empty", "It must not be empty.".to_owned()))
    } else if text.chars().count() > longest {
        Some(("too_long", format!("It must have at most {longest} characters.")))
    } else if text.chars().any(char::is_control) {
        Some(("control_character", "It must not contain control characters.".to_owned()))
    } else {
        None
    }
}
