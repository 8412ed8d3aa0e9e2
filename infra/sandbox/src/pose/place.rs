//! Puts values where an entry says that its answers have them.

use serde_json::{Map, Value};

/// A member of an answer, made on the way: `key`, `a.dotted.path` or a JSON Pointer (RFC 6901), of several (`a|b`) the
/// first; `/` alone is the answer itself. A number in a pointer is an index of a list. Nothing when something else is
/// already in the way.
pub(super) fn slot<'v>(answer: &'v mut Value, place: &str) -> Option<&'v mut Value> {
    let place = place.split('|').next().unwrap_or_default().trim();
    let segments: Vec<String> = match place.strip_prefix('/') {
        Some("") => Vec::new(),
        Some(pointer) => pointer.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect(),
        None => place.split('.').map(str::to_owned).collect(),
    };
    segments.iter().try_fold(answer, |inside, segment| member(inside, segment))
}

/// Puts a value there, unless something is in the way.
pub(super) fn put(answer: &mut Value, place: &str, value: Value) {
    if let Some(slot) = slot(answer, place) {
        *slot = value;
    }
}

fn member<'v>(inside: &'v mut Value, segment: &str) -> Option<&'v mut Value> {
    let index = segment.parse::<usize>().ok().filter(|index| *index < 100);
    if inside.is_null() {
        *inside = if index.is_some() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    match inside {
        Value::Object(members) => Some(members.entry(segment).or_insert(Value::Null)),
        Value::Array(list) => {
            let index = index?;
            if list.len() <= index {
                list.resize(index + 1, Value::Null);
            }
            list.get_mut(index)
        }
        _ => None,
    }
}

/// Puts what an `ok` (`place` or `place==value`) takes for a success or a failure.
pub(super) fn put_ok(answer: &mut Value, ok: &str, success: bool) {
    let Some((place, wanted)) = ok.split_once("==") else { return put(answer, ok, Value::Bool(success)) };
    let wanted = wanted.trim();
    let wanted = serde_json::from_str(wanted).unwrap_or_else(|_| Value::from(wanted));
    let value = match wanted {
        wanted if success => wanted,
        Value::Bool(yes) => Value::Bool(!yes),
        Value::Number(number) => Value::from(number.as_i64().unwrap_or_default().saturating_add(40_001)),
        _ => Value::from("failed"),
    };
    put(answer, place.trim(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_made_on_the_way() {
        let mut answer = Value::Null;
        put(&mut answer, "a.b", json!(1));
        put(&mut answer, "/list/1/x~1y | /other", json!(2));
        put(&mut answer, "/a/b/c", json!("in the way"));
        assert_eq!(answer, json!({ "a": { "b": 1 }, "list": [null, { "x/y": 2 }] }));
        let mut list = Value::Null;
        put(&mut list, "/0/id", json!("x"));
        assert_eq!(list, json!([{ "id": "x" }]));
        put(&mut list, "/", json!("all"));
        assert_eq!(list, json!("all"));
    }

    #[test]
    fn success_and_failure_are_told_apart_by_what_ok_wants() {
        for (ok, success, failure) in [
            ("ok", json!({ "ok": true }), json!({ "ok": false })),
            ("/code==0", json!({ "code": 0 }), json!({ "code": 40001 })),
            ("status==done", json!({ "status": "done" }), json!({ "status": "failed" })),
        ] {
            let (mut good, mut bad) = (Value::Null, Value::Null);
            put_ok(&mut good, ok, true);
            put_ok(&mut bad, ok, false);
            assert_eq!((good, bad), (success, failure), "{ok}");
        }
    }
}
