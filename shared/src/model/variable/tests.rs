use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use utoipa::PartialSchema;

use super::*;

fn variable(definition: Value) -> Variable {
    serde_json::from_value(definition).unwrap()
}

fn variables<const N: usize>(definitions: [Value; N]) -> Vec<Variable> {
    definitions.into_iter().map(variable).collect()
}

fn map<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The code with which one value is refused, or the value as it is kept.
fn give(definition: Value, value: &str) -> Result<String, &'static str> {
    let variable = variable(definition);
    let given = map([(&variable.key, value)]);
    let key = variable.key.clone();
    let accepted = accept(&[variable], &BTreeMap::new(), &given).map_err(|wrong| wrong[0].1)?;
    Ok(accepted.shown[&key].clone())
}

fn codes(definition: Value) -> Vec<(&'static str, &'static str)> {
    check_definition(&variable(definition)).into_iter().map(|(pointer, code, _)| (pointer, code)).collect()
}

#[test]
fn a_definition_needs_no_more_than_a_key() {
    let minimal = variable(json!({"key": "subdomain"}));
    assert_eq!(minimal.title(), "subdomain");
    assert_eq!((minimal.kind, minimal.visibility), (VariableKind::String, Visibility::Shown));
    assert_eq!((minimal.source, minimal.required, minimal.secret), (VariableSource::Person, false, false));
    assert!(minimal.is_asked());
    assert!(check_definition(&minimal).is_empty());
    assert!(serde_json::from_value::<Variable>(json!({"key": "a", "hidden": true})).is_err(), "unknown fields");
}

#[test]
fn a_definition_survives_a_round_trip() {
    let full = json!({"key": "Realm.id", "label": "Realm", "help": "On the first page.", "type": "integer",
        "choices": ["1", {"value": "2", "label": "Two"}], "default": 2, "required": true, "visibility": "hidden",
        "source": "client"});
    let full = variable(full);
    assert_eq!(full.default.as_deref(), Some("2"));
    assert_eq!(full.choices[0], Choice { value: "1".to_owned(), label: None, sets: Default::default() });
    assert_eq!(variable(serde_json::to_value(&full).unwrap()), full);
}

#[test]
fn a_default_and_a_given_value_may_be_text_integer_or_boolean() {
    let table = [(json!("59.0"), "59.0"), (json!(-7), "-7"), (json!(true), "true")];
    for (given, text) in table {
        assert_eq!(variable(json!({"key": "a", "default": given})).default.as_deref(), Some(text));
        assert_eq!(serde_json::from_value::<GivenValue>(given).unwrap().expose(), text);
    }
    assert_eq!(variable(json!({"key": "a", "default": null})).default, None);
    for odd in [json!(59.5), json!([1]), json!({"a": 1}), json!(u64::MAX)] {
        assert!(serde_json::from_value::<Variable>(json!({"key": "a", "default": odd})).is_err());
        let error = serde_json::from_value::<GivenValue>(odd).unwrap_err();
        assert_eq!(error.to_string(), "a value is a string, an integer or a boolean");
    }
}

#[test]
fn a_given_value_and_accepted_secrets_cannot_be_printed() {
    let given: BTreeMap<String, GivenValue> = serde_json::from_value(json!({"api_key": "pl4nted", "a": 1})).unwrap();
    assert!(!format!("{given:?}").contains("pl4nted"));
    let variables = variables([json!({"key": "api_key", "secret": true}), json!({"key": "a"})]);
    let accepted = accept(&variables, &BTreeMap::new(), &given).unwrap();
    assert!(!format!("{accepted:?}").contains("pl4nted"));
    assert_eq!(accepted.secret["api_key"].expose(), "pl4nted");
    assert_eq!(accepted.shown, map([("a", "1")]));
}

#[test]
fn a_wrong_definition_is_refused_by_field() {
    let long = "x".repeat(2001);
    let table = [
        (json!({"key": ""}), vec![("/key", "not_a_key")]),
        (json!({"key": "a b"}), vec![("/key", "not_a_key")]),
        (json!({"key": "é"}), vec![("/key", "not_a_key")]),
        (json!({"key": "k".repeat(65)}), vec![("/key", "not_a_key")]),
        (json!({"key": "client_secret"}), vec![("/key", "reserved_key")]),
        (json!({"key": "grant_type"}), vec![("/key", "reserved_key")]),
        (json!({"key": "clientSecret"}), vec![]),
        (json!({"key": "a", "label": " "}), vec![("/label", "empty")]),
        (json!({"key": "a", "label": "x".repeat(257)}), vec![("/label", "too_long")]),
        (json!({"key": "a", "help": long}), vec![("/help", "too_long")]),
        (json!({"key": "a", "help": "a\u{7}"}), vec![("/help", "control_character")]),
        (json!({"key": "a", "pattern": "["}), vec![("/pattern", "not_a_pattern")]),
        (json!({"key": "a", "pattern": "a)|(b"}), vec![("/pattern", "not_a_pattern")]),
        (json!({"key": "a", "pattern": "(?=a)"}), vec![("/pattern", "not_a_pattern")]),
        (json!({"key": "a", "pattern": "(?i)a"}), vec![("/pattern", "not_a_pattern")]),
        (json!({"key": "a", "pattern": "(?P<n>a)"}), vec![("/pattern", "not_a_pattern")]),
        (json!({"key": "a", "pattern": "((a{99}){99}){99}"}), vec![("/pattern", "not_a_pattern")]),
        (json!({"key": "a", "pattern": "x".repeat(501)}), vec![("/pattern", "too_long")]),
        (json!({"key": "a", "pattern": "\\(?(?:a|b)"}), vec![]),
        (json!({"key": "a", "pattern": "[A-Za-z0-9][A-Za-z0-9_.-]{0,500}"}), vec![]),
        (json!({"key": "a", "type": "integer", "pattern": "1"}), vec![("/pattern", "pattern_not_for_text")]),
        (json!({"key": "a", "choices": ["a"], "pattern": "a"}), vec![("/pattern", "pattern_with_choices")]),
        (json!({"key": "a", "choices": ["a", "a"]}), vec![("/choices", "duplicate_choice")]),
        (json!({"key": "a", "choices": [{"value": "a", "label": ""}]}), vec![("/choices", "empty")]),
        (json!({"key": "a", "type": "integer", "choices": ["one"]}), vec![("/choices", "not_an_integer")]),
        (json!({"key": "a", "type": "url", "choices": ["https://x.example/"]}), vec![("/choices", "not_normal")]),
        (json!({"key": "a", "choices": vec!["a"; 201]}), vec![("/choices", "too_many")]),
        (json!({"key": "a", "choices": ["a"], "default": "b"}), vec![("/default", "not_a_choice")]),
        (json!({"key": "a", "pattern": "[a-z]+", "default": "1"}), vec![("/default", "pattern")]),
        (json!({"key": "a", "type": "boolean", "default": "yes"}), vec![("/default", "not_a_boolean")]),
        (json!({"key": "a", "type": "host", "default": "a/b"}), vec![("/default", "not_a_host")]),
        (json!({"key": "a", "required": true, "default": ""}), vec![("/default", "empty")]),
        (json!({"key": "a", "default": ""}), vec![]),
        (json!({"key": "a", "secret": true, "default": "x"}), vec![("/default", "secret_default")]),
        (json!({"key": "a", "secret": true, "visibility": "fixed"}), vec![("/visibility", "secret_fixed")]),
        (json!({"key": "a", "secret": true, "source": "client"}), vec![]),
    ];
    for (definition, expected) in table {
        assert_eq!(codes(definition.clone()), expected, "{definition}");
    }
}

#[test]
fn keys_are_unique_byte_for_byte_and_at_most_fifty() {
    let both = variables([json!({"key": "a"}), json!({"key": "A"}), json!({"key": "a"}), json!({"key": ""})]);
    let wrong: Vec<_> = check_definitions(&both).into_iter().map(|error| (error.pointer, error.code)).collect();
    assert_eq!(wrong, [("/2/key".to_owned(), "duplicate_key"), ("/3/key".to_owned(), "not_a_key")]);

    let many = |count: usize| (0..count).map(|n| variable(json!({"key": format!("k{n}")}))).collect::<Vec<_>>();
    assert!(check_definitions(&many(50)).is_empty());
    assert_eq!(check_definitions(&many(51))[0].code, "too_many");
}

#[test]
fn a_value_is_kept_in_its_normal_form_or_refused_by_code() {
    let long = "x".repeat(2049);
    let table: [(&str, &str, Result<&str, &str>); 34] = [
        ("string", "a/b c?é", Ok("a/b c?é")),
        ("string", "a\r\nb", Err("control_character")),
        ("string", "a\0", Err("control_character")),
        ("string", &long, Err("too_long")),
        ("url", "https://x.example/openmrs/", Ok("https://x.example/openmrs")),
        ("url", " https://x.example/ ", Ok("https://x.example")),
        ("url", "http://10.0.0.5:8080/openmrs", Ok("http://10.0.0.5:8080/openmrs")),
        ("url", "https://x.example/a?b=c", Ok("https://x.example/a?b=c")),
        ("url", "x.example", Err("not_a_url")),
        ("url", "ftp://x.example", Err("not_a_url")),
        ("url", "https://u:p@x.example", Err("not_a_url")),
        ("url", "https://x.example/#a", Err("not_a_url")),
        ("url", "https://x.example/?a#b", Err("not_a_url")),
        ("url", "https://x.example/../a", Err("not_a_url")),
        ("url", "https://x.example\\@evil.com", Err("not_a_url")),
        ("url", "https://ex\u{3002}example", Err("not_a_url")),
        ("host", "Acme.Example.com", Ok("acme.example.com")),
        ("host", "https://acme.example.com/", Ok("acme.example.com")),
        ("host", "localhost", Ok("localhost")),
        ("host", "https://acme.example.com:8443/", Err("not_a_host")),
        ("host", "https://acme.example.com/a", Err("not_a_host")),
        ("host", "a@evil.com", Err("not_a_host")),
        ("host", "evil\u{FF0E}com", Err("not_a_host")),
        ("host", "127.0.0.1", Err("not_a_host")),
        ("host", "[::1]", Err("not_a_host")),
        ("integer", "-42", Ok("-42")),
        ("integer", "007", Err("not_an_integer")),
        ("integer", "+1", Err("not_an_integer")),
        ("integer", "1.0", Err("not_an_integer")),
        ("integer", "9223372036854775808", Err("not_an_integer")),
        ("integer", "\u{661}", Err("not_an_integer")),
        ("boolean", "true", Ok("true")),
        ("boolean", "True", Err("not_a_boolean")),
        ("boolean", "1", Err("not_a_boolean")),
    ];
    for (kind, value, expected) in table {
        let kept = give(json!({"key": "a", "type": kind}), value);
        assert_eq!(kept.as_deref().map_err(|code| *code), expected, "{kind} {value:?}");
    }
}

#[test]
fn a_pattern_holds_for_the_whole_value() {
    let label = json!({"key": "a", "pattern": "a|[0-9]{2}"});
    assert!(give(label.clone(), "a").is_ok());
    assert!(give(label.clone(), "12").is_ok());
    for value in ["ab", "ba", "123", "x12", "\u{661}\u{661}"] {
        assert_eq!(give(label.clone(), value), Err("pattern"), "{value}");
    }
    let choices = json!({"key": "a", "choices": ["eu", "us"]});
    assert!(give(choices.clone(), "eu").is_ok());
    assert_eq!(give(choices, "EU"), Err("not_a_choice"));
    assert_eq!(give(json!({"key": "a", "pattern": "["}), "a"), Err("pattern"), "a stored pattern fails closed");
}

#[test]
fn what_is_not_given_comes_from_the_client_then_from_the_default() {
    let variables = variables([
        json!({"key": "both", "default": "d", "required": true}),
        json!({"key": "own", "default": "d"}),
        json!({"key": "given", "default": "d"}),
        json!({"key": "hidden", "default": "d", "visibility": "hidden"}),
        json!({"key": "hidden_given", "default": "d", "visibility": "hidden"}),
        json!({"key": "fixed", "default": "d", "visibility": "fixed"}),
        json!({"key": "fixed_same", "default": "https://x.example", "type": "url", "visibility": "fixed"}),
        json!({"key": "client", "source": "client", "required": true}),
        json!({"key": "client_secret_value", "source": "client", "secret": true}),
        json!({"key": "realmId", "source": "callback", "required": true}),
        json!({"key": "instance_url", "source": "token", "default": "https://x.example"}),
        json!({"key": "absent"}),
    ]);
    let client = map([("both", "c"), ("client", "c"), ("client_secret_value", "s"), ("fixed", "c"), ("given", "c")]);
    let given = map([("given", "g"), ("hidden_given", "g"), ("fixed_same", "https://x.example/"), ("absent", "  ")]);
    let accepted = accept(&variables, &client, &given).unwrap();
    let expected =
        [("both", "c"), ("own", "d"), ("given", "g"), ("hidden", "d"), ("hidden_given", "g"), ("fixed", "c")];
    let mut expected = map(expected);
    expected.extend(map([("fixed_same", "https://x.example"), ("client", "c")]));
    assert_eq!(accepted.shown, expected);
    assert_eq!(accepted.secret["client_secret_value"].expose(), "s");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let variables = variables([
        json!({"key": "needed", "required": true}),
        json!({"key": "empty", "required": true, "default": ""}),
        json!({"key": "of_client", "source": "client", "required": true}),
        json!({"key": "client", "source": "client"}),
        json!({"key": "callback", "source": "callback"}),
        json!({"key": "token", "source": "token"}),
        json!({"key": "fixed", "default": "d", "visibility": "fixed"}),
        json!({"key": "fixed_nothing", "visibility": "fixed"}),
    ]);
    let given = map([
        ("client", "x"),
        ("callback", "x"),
        ("token", "x"),
        ("fixed", "x"),
        ("fixed_nothing", "x"),
        ("Needed", "x"),
        ("unknown", "x"),
    ]);
    let wrong = accept(&variables, &BTreeMap::new(), &given).unwrap_err();
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(key, code, _)| (key.as_str(), *code)).collect();
    let expected = [
        ("needed", "required"),
        ("empty", "required"),
        ("of_client", "required"),
        ("client", "not_yours"),
        ("callback", "not_yours"),
        ("token", "not_yours"),
        ("fixed", "fixed"),
        ("fixed_nothing", "fixed"),
        ("Needed", "unknown_variable"),
        ("unknown", "unknown_variable"),
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn the_schema_shows_what_a_person_must_give_in_order() {
    let variables = variables([
        json!({"key": "subdomain", "label": "Subdomain", "help": "Before .zendesk.com", "pattern": "[a-z]+",
            "required": true}),
        json!({"key": "api_key", "secret": true, "required": true}),
        json!({"key": "base_url", "type": "url", "default": "https://x.example", "required": true}),
        json!({"key": "host", "type": "host"}),
        json!({"key": "year", "type": "integer", "choices": ["2025", "2026"], "default": 2026}),
        json!({"key": "sandbox", "type": "boolean", "default": false}),
        json!({"key": "region", "choices": ["us", {"value": "eu", "label": "Europe"}]}),
        json!({"key": "hidden", "visibility": "hidden", "required": true}),
        json!({"key": "fixed", "visibility": "fixed", "default": "x"}),
        json!({"key": "realmId", "source": "callback", "required": true}),
        json!({"key": "of_client", "source": "client"}),
    ]);
    let values = map([("api_key", "x"), ("elsewhere", "x")]);
    let schema = schema("Zendesk", &variables, &values, &[Implicit::CLIENT_ID, Implicit::CLIENT_SECRET]);
    let expected = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Zendesk",
        "type": "object",
        "properties": {
            "client_id": {"title": "Client ID", "type": "string", "minLength": 1, "maxLength": 4096},
            "client_secret":
                {"title": "Client secret", "type": "string", "minLength": 1, "maxLength": 4096, "writeOnly": true},
            "subdomain": {"title": "Subdomain", "description": "Before .zendesk.com", "type": "string", "minLength": 1,
                "maxLength": 2048, "pattern": "^(?:[a-z]+)$"},
            "api_key": {"title": "api_key", "type": "string", "minLength": 1, "maxLength": 2048, "writeOnly": true},
            "base_url": {"title": "base_url", "type": "string", "minLength": 1, "maxLength": 2048, "format": "uri",
                "default": "https://x.example"},
            "host": {"title": "host", "type": "string", "maxLength": 2048, "format": "hostname"},
            "year": {"title": "year", "type": "integer", "enum": [2025, 2026], "default": 2026},
            "sandbox": {"title": "sandbox", "type": "boolean", "default": false},
            "region": {"title": "region", "type": "string", "maxLength": 2048,
                "oneOf": [{"const": "us", "title": "us"}, {"const": "eu", "title": "Europe"}]},
        },
        "required": ["client_id", "client_secret", "subdomain"],
        "x-order": ["client_id", "client_secret", "subdomain", "api_key", "base_url", "host", "year", "sandbox",
            "region"],
    });
    assert_eq!(schema, expected);
}

#[test]
fn the_schema_of_a_client_that_asks_nothing_is_an_empty_object() {
    let schema = schema("Plain", &[], &BTreeMap::new(), &[]);
    assert_eq!((&schema["properties"], &schema["required"]), (&json!({}), &json!([])));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn keys_that_could_be_mistaken_for_the_flows_own_are_reserved() {
    for key in ["token", "token_type_hint", "audience", "resource", "client_secret"] {
        let variable = variables([json!({"key": key})]).remove(0);
        let codes: Vec<_> = check_definition(&variable).into_iter().map(|(_, code, _)| code).collect();
        assert_eq!(codes, ["reserved_key"], "{key}");
    }
}

#[test]
fn the_openapi_schema_names_every_type_that_it_uses() {
    let mut schemas =
        vec![("Variable".to_owned(), Variable::schema()), ("GivenValue".to_owned(), GivenValue::schema())];
    Variable::schemas(&mut schemas);
    GivenValue::schemas(&mut schemas);
    let text = serde_json::to_string(&schemas.iter().map(|(_, schema)| schema).collect::<Vec<_>>()).unwrap();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.iter().any(|(known, _)| known == name), "{name} is missing");
    }
    assert!(text.contains(r#""type":"integer""#) && text.contains(r##""type":{"##), "{text}");
}

proptest! {
    #[test]
    fn accepting_never_panics_and_never_quotes_a_value(
        value in "\\PC{0,40}|[a-z0-9:/?#@%.\\\\\r\n -]{0,40}", kind in 0usize..5, pattern in "[a-z()\\[\\]?*|\\\\{}0-9,]{0,12}",
    ) {
        let kind = ["string", "url", "host", "integer", "boolean"][kind];
        let value = format!("{value}pl4nted{value}");
        let definition = json!({"key": "a", "type": kind, "pattern": pattern, "choices": ["x"], "secret": true});
        for definition in [definition, json!({"key": "a", "type": kind}), json!({"key": "a", "visibility": "fixed"})] {
            let variable = variable(definition);
            let _ = check_definition(&variable);
            match accept(&[variable], &BTreeMap::new(), &map([("a", value.as_str())])) {
                Ok(accepted) => prop_assert_eq!(accepted.shown.len() + accepted.secret.len(), 1),
                Err(wrong) => {
                    let told = format!("{wrong:?}");
                    prop_assert!(!told.contains("pl4nted"));
                }
            }
        }
    }

    #[test]
    fn an_accepted_url_or_host_makes_a_url(value in "(https://)?[a-zA-Z0-9./:@%#\\\\-]{0,20}/?") {
        for (kind, template) in [("url", "{a}/oauth/token"), ("host", "https://{a}/oauth/token")] {
            if let Ok(kept) = give(json!({"key": "a", "type": kind, "default": "https://x.example", "required": true}), &value) {
                let url = crate::protocol::template::render_url(template, &map([("a", kept.as_str())]));
                prop_assert!(url.is_ok(), "{kept}");
            }
        }
    }
}
