//! Finds a member of an answer.

use serde_json::Value;

/// The value at a place: a key, a dotted path or a JSON Pointer (RFC 6901), with `|` between alternatives. `null` is the
/// same as nothing.
pub(crate) fn find<'v>(answer: &'v Value, place: &str) -> Option<&'v Value> {
    place.split('|').find_map(|place| one(answer, place.trim()))
}

fn one<'v>(answer: &'v Value, place: &str) -> Option<&'v Value> {
    let found = match place {
        "/" => Some(answer),
        _ if place.starts_with('/') => answer.pointer(place),
        // A key may itself have dots in it.
        _ => answer.get(place).or_else(|| {
            place.split('.').try_fold(answer, |inside, key| match inside {
                Value::Array(list) => list.get(key.parse::<usize>().ok()?),
                _ => inside.get(key),
            })
        }),
    };
    found.filter(|value| !value.is_null())
}

/// Splits `place==value`.
pub(crate) fn condition(ok: &str) -> (&str, Option<&str>) {
    ok.split_once("==").map_or((ok, None), |(place, value)| (place.trim(), Some(value.trim())))
}

/// Whether a text can be a place.
pub(crate) fn is_place(text: &str) -> bool {
    text.len() <= MAX_PLACE && text.split('|').all(|place| is_one_place(place.trim()))
}

/// Longest place, in bytes.
const MAX_PLACE: usize = 256;

fn is_one_place(place: &str) -> bool {
    let escapes_are_whole = || place.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    let pointer = place.starts_with('/');
    !place.is_empty() && !place.contains(char::is_control) && (!pointer || escapes_are_whole())
}
