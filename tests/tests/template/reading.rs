//! Reads the template as JSON, and runs the tools that do so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// A function with what `Globals` gives it.
pub struct Function {
    pub metadata: Value,
    properties: Map<String, Value>,
    pub variables: Map<String, Value>,
}

impl Function {
    pub fn at(&self, property: &str) -> Value {
        self.properties.get(property).cloned().unwrap_or_default()
    }
}

/// The functions by package, merged with `Globals` as SAM does: the function wins, variables are united.
pub fn functions() -> Result<BTreeMap<String, Function>> {
    let globals = at(template()?, "/Globals/Function");
    let mut functions = BTreeMap::new();
    for (name, resource) in resources()? {
        if at(resource, "/Type") != json!("AWS::Serverless::Function") {
            continue;
        }
        let own = at(resource, "/Properties");
        let merged = |path: &str| {
            let both = [at(&globals, path), at(&own, path)];
            both.into_iter().filter_map(|part| part.as_object().cloned()).flatten().collect::<Map<_, _>>()
        };
        let package = text(resource, "/Metadata/BuildProperties/Binary").with_context(|| name.clone())?;
        let function = Function {
            metadata: at(resource, "/Metadata"),
            properties: merged(""),
            variables: merged("/Environment/Variables"),
        };
        ensure!(functions.insert(package, function).is_none(), "{name}: its package has another function");
    }
    Ok(functions)
}

/// The pairs of action and resource that a policy document allows.
pub fn grants(policy: &Value) -> Result<BTreeSet<(String, String)>> {
    let mut pairs = BTreeSet::new();
    let statements = items(&at(policy, "/Statement"));
    ensure!(!statements.is_empty(), "only inline policies: {policy}");
    for statement in statements {
        let keys: Vec<_> = statement.as_object().context("an object")?.keys().map(String::as_str).collect();
        ensure!(BTreeSet::from_iter(keys) == BTreeSet::from(["Action", "Effect", "Resource"]), "{statement}");
        ensure!(at(&statement, "/Effect") == json!("Allow"), "{statement}");
        for resource in items(&at(&statement, "/Resource")) {
            let resource = named(&resource)?;
            for action in items(&at(&statement, "/Action")) {
                pairs.insert((action.as_str().context("a string")?.to_owned(), resource.clone()));
            }
        }
    }
    Ok(pairs)
}

/// What a resource of a policy refers to.
fn named(resource: &Value) -> Result<String> {
    match (resource.pointer("/Ref"), resource.pointer("/Fn::Sub"), resource.pointer("/Fn::GetAtt")) {
        (Some(Value::String(name)), None, None) | (None, Some(Value::String(name)), None) => Ok(name.clone()),
        (None, None, Some(attribute)) => Ok(format!("{}.{}", text(attribute, "/0")?, text(attribute, "/1")?)),
        _ => bail!("not one resource: {resource}"),
    }
}

pub fn template() -> Result<&'static Value> {
    static TEMPLATE: LazyLock<Result<Value, String>> = LazyLock::new(|| {
        let script = "import json, sys; from samcli.yamlhelper import yaml_parse; \
                      print(json.dumps(yaml_parse(sys.stdin.read())))";
        python(script, "infra/template.yaml").map_err(|error| format!("{error:#}"))
    });
    TEMPLATE.as_ref().map_err(|error| anyhow::anyhow!(error.clone()))
}

pub fn resources() -> Result<&'static Map<String, Value>> {
    template()?.pointer("/Resources").and_then(Value::as_object).context("Resources")
}

pub fn properties(name: &str) -> Result<Value> {
    let resource = resources()?.get(name).with_context(|| format!("{name} is missing"))?;
    Ok(at(resource, "/Properties"))
}

/// Name and properties of each resource of a type.
pub fn resources_of(kind: &str) -> Result<Vec<(String, Value)>> {
    let matching = resources()?.iter().filter(|(_, resource)| at(resource, "/Type") == json!(kind));
    Ok(matching.map(|(name, resource)| (name.clone(), at(resource, "/Properties"))).collect())
}

pub fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}

pub fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no text at {pointer} in {value}"))?.to_owned())
}

/// CloudFormation takes one value for a list of one.
pub fn items(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(root().join(file)).with_context(|| file.to_owned())
}

/// Runs a script that reads `file` on its standard input and prints JSON.
pub fn python(script: &str, file: &str) -> Result<Value> {
    let input = std::fs::File::open(root().join(file)).with_context(|| file.to_owned())?;
    Ok(serde_json::from_str(&output(command("python3").args(["-c", script]).stdin(input))?)?)
}

pub fn run(tool: &str, arguments: &[&str]) -> Result<String> {
    output(command(tool).args(arguments))
}

/// The pinned tool of `.tools/venv` if it is there, else the one on the PATH.
fn command(tool: &str) -> Command {
    let pinned = root().join(".tools/venv/bin").join(tool);
    let mut command = if pinned.is_file() { Command::new(pinned) } else { Command::new(tool) };
    command.current_dir(root()).env("AWS_DEFAULT_REGION", "us-east-1").env("SAM_CLI_TELEMETRY", "0");
    command
}

fn output(command: &mut Command) -> Result<String> {
    const HINT: &str = "if a tool is missing: python3 -m venv .tools/venv && \
                        .tools/venv/bin/pip install -r tests/requirements.txt";
    let output = command.output().with_context(|| format!("{command:?} did not start; {HINT}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}\n{HINT}", output.status);
    Ok(stdout.into_owned())
}
