//! The OpenAPI document: assembled from all functions, committed beside the one that serves it, and true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use grantkeeper::inbound::openapi::Frame;
use grantkeeper_tests::{Backend, World};
use reqwest::Method;
use serde_json::{Map, Value};
use utoipa::OpenApi as _;

const COMMITTED: &str = "functions/administration/openapi.json";
const AGAIN: &str = "UPDATE_OPENAPI=1 cargo test -p grantkeeper-tests --test openapi";
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn assembled() -> Result<Value> {
    let document = Frame::openapi()
        .merge_from(client_registration::openapi())
        .merge_from(authorization_start::openapi())
        .merge_from(redirect_callback::openapi())
        .merge_from(credentials::openapi())
        .merge_from(administration::openapi());
    Ok(sorted(serde_json::to_value(document)?))
}

/// The members of all objects in the order of their names, however `serde_json` keeps them.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.into_iter().collect();
            Value::Object(members.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The operations of the document by path and method.
fn operations(document: &Value) -> BTreeMap<(String, String), &Map<String, Value>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.filter_map(move |(method, operation)| {
            Some(((path.clone(), method.to_uppercase()), operation.as_object()?))
        })
    });
    operations.collect()
}

/// Every path that a router names in its source.
fn routes() -> Result<BTreeSet<String>> {
    let mut routes = BTreeSet::new();
    for function in fs::read_dir(root().join("functions"))? {
        let source = fs::read_to_string(function?.path().join("src/lib.rs"))?;
        for route in source.split(".route(").skip(1) {
            let path = route.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            routes.insert(path.context("a route is not a literal")?.to_owned());
        }
    }
    Ok(routes)
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for whoever changed the API")]
fn the_committed_document_is_what_the_code_says() -> Result<()> {
    let (path, document) = (root().join(COMMITTED), serde_json::to_string_pretty(&assembled()?)? + "\n");
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        fs::write(&path, &document)?;
    }
    let committed = fs::read_to_string(&path)?;
    ensure!(committed == document, "{COMMITTED} is stale. Write it again with: {AGAIN}");
    Ok(())
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() -> Result<()> {
    let document = assembled()?;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    let mut components = BTreeSet::new();
    for kind in ["schemas", "responses"] {
        let named = document["components"][kind].as_object().context("no components")?;
        components.extend(named.keys().map(|name| format!("#/components/{kind}/{name}")));
    }
    let found: BTreeSet<String> = found.into_iter().map(str::to_owned).collect();
    assert_eq!(found, components);
    Ok(())
}

#[test]
fn every_operation_has_a_name_of_its_own_words_and_a_known_tag() -> Result<()> {
    let document = assembled()?;
    let tags: BTreeSet<_> = document["tags"].as_array().into_iter().flatten().map(|tag| tag["name"].as_str()).collect();
    let mut names = BTreeSet::new();
    for (call, operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].as_str()), "{call:?}: its operationId is another's");
        assert!(operation.contains_key("summary"), "{call:?} has no summary");
        assert!(
            operation["tags"].as_array().is_some_and(|own| own.iter().all(|tag| tags.contains(&tag.as_str()))),
            "{call:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_routers_serve_what_the_document_says_and_nothing_else() -> Result<()> {
    let (world, document) = (World::new().await?, assembled()?);
    let (documented, stranger) = (operations(&document), Backend::new(&world.stack.url, None));
    let paths: BTreeSet<String> = documented.keys().map(|(path, _)| path.clone()).collect();
    assert_eq!(routes()?, paths);
    for path in paths {
        let concrete: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        for method in METHODS {
            let call = (path.clone(), method.to_string());
            let answer = stranger.send(method, &concrete.join("/"), None).await?;
            let served = !["not_found", "method_not_allowed"].contains(&answer.code());
            assert_eq!(served, documented.contains_key(&call), "{call:?} answers {}", answer.status);
            // An operation is open where it takes the document's security back.
            let open = documented.get(&call).is_some_and(|operation| operation.contains_key("security"));
            assert_eq!(served && !open, answer.code() == "unauthenticated", "{call:?} answers {}", answer.status);
        }
    }
    Ok(())
}

#[tokio::test]
async fn anybody_can_read_the_document() -> Result<()> {
    let world = World::new().await?;
    let answer = Backend::new(&world.stack.url, None).get("/v1/openapi.json").await?;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.text("/openapi"), "3.1.0");
    Ok(())
}
