//! What any answer of a provider tells about itself: its media type, and whether a success is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use url::form_urlencoded;

use super::dialect::lookup::{condition, find};

/// The media type of forms.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// A media type without its parameters.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether an answer says that it is a success, in the place that tells: a value that means yes, or with `==value` behind
/// the place that value. Nothing there is no success.
pub(crate) fn is_ok(answer: &Value, ok: &str) -> bool {
    let (place, wanted) = condition(ok);
    match (find(answer, place), wanted) {
        (None, _) => false,
        (Some(Value::String(text)), Some(wanted)) => text == wanted,
        (Some(value), Some(wanted)) => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| *value == wanted),
        (Some(value), None) => is_yes(value),
    }
}

/// Whether an answer is declared as this media type.
pub(crate) fn is_of_type(content_type: Option<&str>, media_type: &str) -> bool {
    content_type.is_some_and(|text| essence(text).eq_ignore_ascii_case(media_type))
}

/// Whether an answer is a web page. JSON that is called HTML is JSON, and nothing that is called HTML (Django) is nothing.
pub(crate) fn is_page(content_type: Option<&str>, body: &[u8]) -> bool {
    let declared = ["text/html", "application/xhtml+xml"].iter().any(|html| is_of_type(content_type, html));
    let start = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    let begins = |tag: &str| start.get(..tag.len()).is_some_and(|text| text.eq_ignore_ascii_case(tag.as_bytes()));
    begins("<!doctype html") || begins("<html") || (declared && !start.is_empty() && !start.starts_with(b"{"))
}

/// Whether an answer with a status of success reports a failure: an `error` (or what stands at the given place) with
/// something in it, or, where no place is given, an `ok` that says no.
pub(crate) fn denies(answer: &Value, error: Option<&str>) -> bool {
    if error.is_none() && find(answer, "ok").is_some_and(|ok| !is_yes(ok)) {
        return true;
    }
    find(answer, error.unwrap_or("error")).is_some_and(|error| match error {
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
        scalar => is_yes(scalar),
    })
}

/// Whether a value says yes: not null, false, 0, "", "0" and "false".
pub(crate) fn is_yes(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !["", "0", "false"].contains(&text.trim().to_ascii_lowercase().as_str()),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The names that an object of a JSON text has twice, at any depth. Readers differ in which of the two they believe.
pub(crate) fn repeated_members(json: &[u8]) -> BTreeSet<String> {
    serde_json::from_slice::<Repeated>(json).map(|repeated| repeated.0).unwrap_or_default()
}

/// The names that a form has twice.
pub(crate) fn repeated_fields(form: &[u8]) -> BTreeSet<String> {
    let mut times = BTreeMap::<String, u32>::new();
    form_urlencoded::parse(form).for_each(|(name, _)| *times.entry(name.into_owned()).or_default() += 1);
    times.into_iter().filter(|(_, times)| *times > 1).map(|(name, _)| name).collect()
}

struct Repeated(BTreeSet<String>);

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Names).map(Self)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = BTreeSet<String>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
        while let Some(name) = members.next_key::<String>()? {
            repeated.extend(members.next_value::<Repeated>()?.0);
            if let Some(name) = seen.replace(name) {
                repeated.insert(name);
            }
        }
        Ok(repeated)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut repeated = BTreeSet::new();
        while let Some(inside) = list.next_element::<Repeated>()? {
            repeated.extend(inside.0);
        }
        Ok(repeated)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_denies_its_success_by_an_error_or_an_ok_that_says_no() {
        for (answer, no) in [
            (json!({}), false),
            (json!({"ok": true}), false),
            (json!({"ok": "false"}), true),
            (json!({"ok": 0}), true),
            (json!({"error": {"x": 1}}), true),
            (json!({"error": true}), true),
            (json!({"error": 401}), true),
            (json!({"error": []}), false),
            (json!({"error": {}}), false),
            (json!({"error": "0"}), false),
            (json!({"error": "false"}), false),
            (json!({"error": null}), false),
        ] {
            assert_eq!(denies(&answer, None), no, "{answer}");
        }
    }

    #[test]
    fn members_that_are_there_twice_are_found_at_any_depth() {
        let names = |text: &str| repeated_members(text.as_bytes()).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names(r#"{"a":1,"b":[{"c":null,"c":2.5}],"a":true,"d":-1,"e":"x"}"#), "a c");
        assert_eq!(names(r#"[{"a":1},{"a":2}]"#), "");
        assert_eq!(repeated_fields(b"a=1&b=2&a=3").into_iter().collect::<Vec<_>>(), ["a"]);
    }
}
