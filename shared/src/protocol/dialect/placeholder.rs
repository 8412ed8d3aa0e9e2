//! Replaces the placeholders of one string.

use crate::protocol::template::is_key;

/// What a placeholder's name stands for.
pub(super) enum Found {
    /// This text.
    Text(String),
    /// Something that is known later: the placeholder stays.
    Later,
    /// Nothing.
    Unset,
}

/// When a string is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its result is a template again: a brace in a value must not open a placeholder.
    First,
    /// Its result is used as it is: `{{` becomes `{`.
    Last,
}

/// How the placeholders of a string are replaced.
#[derive(Clone, Copy)]
pub(super) struct Rules<'r> {
    pub(super) stage: Stage,
    pub(super) find: &'r dyn Fn(&str) -> Found,
    /// For a text: how a value is written inside it, where an optional one that is not set leaves nothing behind. `None`
    /// for a value, which goes away as a whole then.
    pub(super) inside: Option<&'r dyn Fn(&str) -> String>,
}

/// Replaces `{name}` and `{name?}`; any other brace is itself. `Ok(None)` means that an optional name is not set.
///
/// # Errors
/// The name of a placeholder that must be set and is not.
pub(super) fn substitute(text: &str, rules: Rules<'_>) -> Result<Option<String>, String> {
    let Rules { stage, find, inside } = rules;
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            result.push_str(if stage == Stage::Last { "{" } else { "{{" });
            rest = after;
            continue;
        }
        let Some((name, optional, after)) = placeholder(after) else {
            // In a result that is a template again, a value behind this brace must not make a placeholder of it.
            result.push_str(if stage == Stage::Last { "{" } else { "{{" });
            rest = after;
            continue;
        };
        match find(name) {
            Found::Text(value) => {
                let value = inside.map_or_else(|| value.clone(), |escape| escape(&value));
                result.push_str(&if stage == Stage::First { value.replace('{', "{{") } else { value });
            }
            Found::Later => result.push_str(&format!("{{{name}{}}}", if optional { "?" } else { "" })),
            Found::Unset if optional && inside.is_some() => {}
            Found::Unset if optional => return Ok(None),
            Found::Unset => return Err(name.to_owned()),
        }
        rest = after;
    }
    result.push_str(rest);
    Ok(Some(result))
}

/// The names of all placeholders of a string.
pub(super) fn names(text: &str) -> Vec<String> {
    let seen = std::cell::RefCell::new(Vec::new());
    let record = |name: &str| {
        seen.borrow_mut().push(name.to_owned());
        Found::Later
    };
    // Nothing is unset here, so nothing is missing.
    drop(substitute(text, Rules { stage: Stage::First, find: &record, inside: None }));
    seen.into_inner()
}

/// What follows an opening brace, when it is a name and a closing one: the name, whether it is optional, the rest.
fn placeholder(after: &str) -> Option<(&str, bool, &str)> {
    let (inside, rest) = after.split_once('}')?;
    let (name, optional) = inside.strip_suffix('?').map_or((inside, false), |name| (name, true));
    is_key(name).then_some((name, optional, rest))
}
