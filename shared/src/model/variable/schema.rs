//! The JSON Schema of what a person must give.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Choice, MAX_VALUE, Variable, VariableKind, VariableSource, Visibility, anchored};

/// The longest implicit value (characters).
const MAX_IMPLICIT: usize = 4096;

/// Something that a grant asks of a person besides the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Implicit<'a> {
    /// Its name in requests.
    pub key: &'a str,
    /// What people call it.
    pub label: &'a str,
    /// Whether it is a secret.
    pub secret: bool,
    /// Whether nothing works without it.
    pub required: bool,
}

impl Implicit<'static> {
    /// The `client_id` that a person brings (RFC 6749 §2.2).
    pub const CLIENT_ID: Self = Self { key: "client_id", label: "Client ID", secret: false, required: true };
    /// The client secret that a person brings (RFC 6749 §2.3.1).
    pub const CLIENT_SECRET: Self = Self { key: "client_secret", label: "Client secret", secret: true, required: true };
    /// The user name of the password grant (RFC 6749 §4.3.2).
    pub const USERNAME: Self = Self { key: "username", label: "User name", secret: false, required: true };
    /// The password of the password grant (RFC 6749 §4.3.2).
    pub const PASSWORD: Self = Self { key: "password", label: "Password", secret: true, required: true };
}

/// The JSON Schema (2020-12) of what a person must give: the implicit entries, then the variables that are shown. JSON
/// objects have no order, so `x-order` tells it. What the client's own values supply need not be given. Hidden variables
/// are not listed, and a backend may still give them.
pub fn schema(
    title: &str,
    variables: &[Variable],
    client_values: &BTreeMap<String, String>,
    implicit: &[Implicit<'_>],
) -> Value {
    let of_grant = implicit.iter().map(|entry| (entry.key, entry.required, implicit_property(entry)));
    let asked = variables.iter().filter(|variable| variable.is_asked());
    // What has a value or a default need not be given.
    let supplied = |one: &Variable| one.default.is_some() || client_values.contains_key(&one.key);
    let of_client = asked.map(|one| (one.key.as_str(), one.required && !supplied(one), property(one)));
    let hidden = |one: &Variable| one.source == VariableSource::Person && one.visibility == Visibility::Hidden;

    let (mut order, mut required, mut properties) = (Vec::new(), Vec::new(), Map::new());
    for (key, is_required, property) in of_grant.chain(of_client) {
        order.push(key);
        properties.insert(key.to_owned(), property);
        if is_required {
            required.push(key);
        }
    }
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "x-order": order,
    });
    if let Some(schema) = schema.as_object_mut().filter(|_| !variables.iter().any(hidden)) {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

fn implicit_property(entry: &Implicit<'_>) -> Value {
    let mut property = Map::new();
    property.insert("title".to_owned(), json!(entry.label));
    property.extend(text(entry.required, MAX_IMPLICIT));
    if entry.secret {
        property.insert("writeOnly".to_owned(), json!(true));
    }
    property.into()
}

fn property(variable: &Variable) -> Value {
    let mut property = Map::new();
    let mut put = |name: &str, value: Value| drop(property.insert(name.to_owned(), value));
    put("title", json!(variable.title()));
    if let Some(help) = &variable.help {
        put("description", json!(help));
    }
    match variable.kind {
        VariableKind::Integer => put("type", json!("integer")),
        VariableKind::Boolean => put("type", json!("boolean")),
        VariableKind::String | VariableKind::Url | VariableKind::Host => {
            text(variable.required, MAX_VALUE).into_iter().for_each(|(name, value)| put(&name, value));
        }
    }
    match variable.kind {
        VariableKind::Url => put("format", json!("uri")),
        VariableKind::Host => put("format", json!("hostname")),
        VariableKind::String | VariableKind::Integer | VariableKind::Boolean => {}
    }
    if let Some(pattern) = &variable.pattern {
        put("pattern", json!(anchored(pattern)));
    }
    if let Some(default) = variable.default.as_ref().filter(|_| !variable.secret) {
        put("default", typed(variable.kind, default));
    }
    if let Some(example) = &variable.example {
        put("examples", json!([typed(variable.kind, example)]));
    }
    if variable.choices.iter().any(|choice| choice.label.is_some()) {
        let one = |choice: &Choice| {
            let title = choice.label.as_ref().unwrap_or(&choice.value);
            json!({"const": typed(variable.kind, &choice.value), "title": title})
        };
        put("oneOf", variable.choices.iter().map(one).collect());
    } else if !variable.choices.is_empty() {
        put("enum", variable.choices.iter().map(|choice| typed(variable.kind, &choice.value)).collect());
    }
    if variable.secret {
        put("writeOnly", json!(true));
    }
    property.into()
}

fn text(required: bool, longest: usize) -> Map<String, Value> {
    let mut text = Map::new();
    text.insert("type".to_owned(), json!("string"));
    text.insert("maxLength".to_owned(), json!(longest));
    if required {
        text.insert("minLength".to_owned(), json!(1));
    }
    text
}

/// A value that was kept as text, in its own JSON type.
fn typed(kind: VariableKind, value: &str) -> Value {
    let typed = match kind {
        VariableKind::Integer => value.parse::<i64>().ok().map(Value::from),
        VariableKind::Boolean => value.parse::<bool>().ok().map(Value::from),
        VariableKind::String | VariableKind::Url | VariableKind::Host => None,
    };
    typed.unwrap_or_else(|| value.into())
}
