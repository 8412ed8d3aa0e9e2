//! An entry as a document: TOML as JSON, and one entry laid over another.

use serde_json::{Map, Number, Value};
use toml::Table;

/// Reads a file.
///
/// # Errors
/// What is wrong, with its line.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let table: Table = toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', " "))?;
    Ok(members(table))
}

fn members(table: Table) -> Map<String, Value> {
    table.into_iter().map(|(key, value)| (key, json(value))).collect()
}

/// JSON has no dates: they become texts, as they are written.
fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::Number(number.into()),
        toml::Value::Float(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => Value::Object(members(table)),
    }
}

/// Lays one document over another: tables key by key, lists and the rest as a whole, and `variables` by their `key`.
pub(super) fn extend(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Object(under)), Value::Object(over)) => extend(under, over),
            (Some(Value::Array(under)), Value::Array(over)) if name == "variables" => extend_variables(under, over),
            (_, value) => drop(under.insert(name, value)),
        }
    }
}

/// A variable of the same key is replaced in its place; the others follow.
fn extend_variables(under: &mut Vec<Value>, over: Vec<Value>) {
    for variable in over {
        let same = under.iter_mut().find(|known| known.get("key").is_some() && known.get("key") == variable.get("key"));
        match same {
            Some(known) => *known = variable,
            None => under.push(variable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn extended(under: Value, over: Value) -> Value {
        let (Value::Object(mut under), Value::Object(over)) = (under, over) else { panic!("objects") };
        extend(&mut under, over);
        Value::Object(under)
    }

    #[test]
    fn tables_are_laid_over_key_by_key_and_lists_as_a_whole() {
        for (under, over, result) in [
            (json!({"a": 1, "b": 2}), json!({"b": 3}), json!({"a": 1, "b": 3})),
            (
                json!({"a": {"b": 1, "c": {"d": 2}}}),
                json!({"a": {"c": {"e": 3}}}),
                json!({"a": {"b": 1, "c": {"d": 2, "e": 3}}}),
            ),
            (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            (json!({"a": {"b": 1}}), json!({"a": "text"}), json!({"a": "text"})),
            (json!({}), json!({"a": {"b": 1}}), json!({"a": {"b": 1}})),
        ] {
            assert_eq!(extended(under, over), result);
        }
    }

    #[test]
    fn variables_are_laid_over_by_their_key() {
        let under = json!({"variables": [{"key": "a", "choices": ["x"]}, {"key": "b"}]});
        let over = json!({"variables": [{"key": "c"}, {"key": "a", "pattern": "y"}]});
        let result = json!({"variables": [{"key": "a", "pattern": "y"}, {"key": "b"}, {"key": "c"}]});
        assert_eq!(extended(under, over), result);
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        assert!(parse("a = 1\nb =").unwrap_err().contains("line 2"));
        let date = parse("checked = 2026-11-23\n[a]\nb = [1.5, true]").unwrap();
        assert_eq!(Value::Object(date), json!({"checked": "2026-11-23", "a": {"b": [1.5, true]}}));
    }
}
