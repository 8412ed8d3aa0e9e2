//! The JSON Schema that a raw credential's body keeps to. It is a stranger's program: nothing in it leads out of it, and
//! what it asks for takes a bounded time.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::error::FieldError;

/// The drafts that are known; without `$schema` it is the newest.
const DRAFTS: [&str; 4] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
];
/// The most objects that a schema may have when each reference is replaced by what it stands for.
const MAX_STEPS: usize = 2000;
/// How deep references may lead on to references.
const MAX_DEPTH: usize = 16;
/// The largest program that a pattern may become (bytes).
const MAX_PATTERN_PROGRAM: usize = 1024 * 1024;
/// The most errors of one document that are told.
const MAX_ERRORS: usize = 20;

/// A schema that can be used.
pub struct Schema(Validator);

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is wrong, with a JSON Pointer below the schema: `not_a_schema`; `draft_unknown`; `remote_reference` for one
    /// that is not of the form `#/…`, and `nested_id` for an `$id` that would change what such a one means;
    /// `reference_unresolved`; `circular_reference`; `too_complex`.
    pub fn parse(schema: &Value) -> Result<Self, FieldError> {
        let refuse = |pointer: &str, code, detail: &str| {
            Err(FieldError { pointer: pointer.to_owned(), code, detail: detail.to_owned() })
        };
        let Some(members) = schema.as_object() else { return refuse("", "not_a_schema", "A schema is an object.") };
        if let Some(draft) = members.get("$schema") {
            let known = draft.as_str().is_some_and(|draft| DRAFTS.contains(&draft.trim_end_matches('#')));
            if !known {
                return refuse("/$schema", "draft_unknown", "Drafts 6, 7, 2019-09 and 2020-12 are known.");
            }
        }
        let mut walk = Walk { root: schema, steps: 0, open: Vec::new() };
        if let Err((code, detail)) = walk.through(schema, true) {
            return refuse("", code, detail);
        }
        let options = jsonschema::options()
            .offline()
            // Linear in the length of the text, whatever the pattern.
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_PROGRAM));
        match options.build(schema) {
            Ok(validator) => Ok(Self(validator)),
            Err(error) => {
                let detail = format!("This is not JSON Schema; the rule that it breaks: `{}`.", error.kind().keyword());
                Err(FieldError { pointer: error.instance_path().to_string(), code: "not_a_schema", detail })
            }
        }
    }

    /// What is wrong with a document, with JSON Pointers below it. No value is quoted.
    pub fn check(&self, document: &Value) -> Vec<FieldError> {
        let error = |error: jsonschema::ValidationError<'_>| {
            let detail = match error.kind() {
                ValidationErrorKind::Required { property: Value::String(name) } => {
                    format!("The schema requires the member `{name}`.")
                }
                kind => format!("It does not keep to the schema; the rule that it breaks: `{}`.", kind.keyword()),
            };
            FieldError { pointer: error.instance_path().to_string(), code: "against_schema", detail }
        };
        self.0.iter_errors(document).take(MAX_ERRORS).map(error).collect()
    }
}

/// A walk through a schema that enters each reference.
struct Walk<'s> {
    root: &'s Value,
    steps: usize,
    /// The references that led here.
    open: Vec<&'s str>,
}

type Refusal = (&'static str, &'static str);

impl<'s> Walk<'s> {
    fn through(&mut self, value: &'s Value, is_root: bool) -> Result<(), Refusal> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.through(item, false)),
            Value::Object(members) => {
                self.steps += 1;
                if self.steps > MAX_STEPS {
                    return Err(("too_complex", "The schema is too large when its references are written out."));
                }
                for (keyword, value) in members {
                    match (keyword.as_str(), value) {
                        ("$ref", Value::String(reference)) => self.follow(reference)?,
                        ("$dynamicRef" | "$recursiveRef", Value::String(_)) => return Err(REMOTE),
                        ("$id", Value::String(_)) if !is_root => {
                            return Err(("nested_id", "Only the schema as a whole may have an `$id`."));
                        }
                        (_, value) => self.through(value, false)?,
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn follow(&mut self, reference: &'s str) -> Result<(), Refusal> {
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        let pointer = percent_decode_str(pointer.ok_or(REMOTE)?).decode_utf8_lossy();
        if self.open.contains(&reference) || self.open.len() >= MAX_DEPTH {
            return Err(("circular_reference", "A reference leads back to itself, or over too many others."));
        }
        let target = self.root.pointer(&pointer);
        let target = target.ok_or(("reference_unresolved", "A reference leads to nothing in the schema."))?;
        self.open.push(reference);
        self.through(target, false)?;
        self.open.pop();
        Ok(())
    }
}

const REMOTE: Refusal = ("remote_reference", "References are of the form `#/…` and lead into the schema itself.");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(schema: Value) -> &'static str {
        Schema::parse(&schema).err().map(|error| error.code).unwrap_or_default()
    }

    #[test]
    fn nothing_in_a_schema_leads_out_of_it() {
        for reference in
            ["https://evil.example/s.json", "http://127.0.0.1/s", "file:///etc/passwd", "s.json", "#name", "//h/s"]
        {
            assert_eq!(
                refusal(json!({ "properties": { "a": { "$ref": reference } } })),
                "remote_reference",
                "{reference}"
            );
            assert_eq!(refusal(json!({ "allOf": [{ "$dynamicRef": reference }] })), "remote_reference", "{reference}");
        }
        assert_eq!(refusal(json!({ "$schema": "https://evil.example/draft" })), "draft_unknown");
        let nested = json!({ "$defs": { "a": { "$id": "https://evil.example/a", "$ref": "#/$defs/b" } } });
        assert!(["nested_id", "reference_unresolved"].contains(&refusal(nested)));
    }

    #[test]
    fn a_schema_that_would_never_end_is_refused() {
        assert_eq!(refusal(json!({ "$ref": "#" })), "circular_reference");
        assert_eq!(refusal(json!({ "properties": { "a": { "$ref": "#" } } })), "circular_reference");
        let chain =
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
        assert_eq!(refusal(chain), "circular_reference");
        let mut definitions = serde_json::Map::new();
        for number in 0..14 {
            let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
            definitions.insert(format!("d{number}"), json!({ "allOf": [next, next] }));
        }
        definitions.insert("d14".to_owned(), json!({ "type": "object" }));
        assert_eq!(refusal(json!({ "$ref": "#/$defs/d0", "$defs": definitions })), "too_complex");
        assert_eq!(refusal(json!({ "$ref": "#/$defs/missing" })), "reference_unresolved");
    }

    #[test]
    fn what_is_no_schema_is_refused_where_it_is_wrong() {
        for (schema, pointer) in [
            (json!(true), ""),
            (json!([]), ""),
            (json!({ "type": "strnig" }), "/type"),
            (json!({ "properties": { "a": { "minLength": "3" } } }), "/properties/a/minLength"),
        ] {
            let error = Schema::parse(&schema).err().unwrap();
            assert_eq!((error.pointer.as_str(), error.code), (pointer, "not_a_schema"), "{schema}");
        }
        assert_eq!(refusal(json!({ "pattern": "(a" })), "not_a_schema");
    }

    #[test]
    fn a_document_is_checked_and_never_quoted() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": { "text": { "type": "string", "minLength": 3, "pattern": "^[a-z]+$" } },
            "required": ["username", "password"],
            "properties": {
                "username": { "$ref": "#/definitions/text" },
                "port": { "enum": [1, 2] },
                "urls": { "items": { "const": "x" } },
            },
            "additionalProperties": false,
        });
        let schema = Schema::parse(&schema).unwrap();
        assert_eq!(schema.check(&json!({ "username": "ada", "password": "p" })).len(), 1, "password is not listed");
        let errors = schema.check(&json!({ "username": "CANARY1", "port": "CANARY2", "urls": ["CANARY3"] }));
        let mut pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["", "/port", "/urls/0", "/username"]);
        assert!(!format!("{errors:?}").contains("CANARY"), "{errors:?}");
    }

    #[test]
    fn a_pattern_that_makes_others_run_for_ever_takes_no_time() {
        let schema = Schema::parse(&json!({ "properties": { "a": { "pattern": "^(a+)+$" } } })).unwrap();
        let began = std::time::Instant::now();
        assert_eq!(schema.check(&json!({ "a": format!("{}!", "a".repeat(60_000)) })).len(), 1);
        assert!(began.elapsed() < std::time::Duration::from_secs(2));
    }
}
