//! The emulator's routes are those of the template, so that what is tried there is what is deployed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Package by path, from `workspace.metadata.lambda.watch.router`.
fn emulator() -> BTreeMap<String, String> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(metadata["metadata"]["lambda"]["watch"]["router"].clone()).unwrap()
}

/// Package by path, from the pairs of `RouteKey` and `Target` in `infra/template.yaml`.
fn template() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("infra/template.yaml")).unwrap();
    let values = |name: &'static str| {
        text.lines().filter_map(move |line| Some(line.trim().strip_prefix(name)?.trim_matches([' ', '"'])))
    };
    let paths = values("RouteKey:").map(|key| {
        let path = key.strip_prefix("ANY ").unwrap();
        path.replace("{proxy+}", "{*proxy}")
    });
    let packages = values("Target: !Sub").map(|target| {
        let name = target.strip_prefix("integrations/${").unwrap().strip_suffix("Integration}").unwrap();
        kebab(name)
    });
    paths.zip(packages).collect()
}

/// `ClientRegistration` as a package is called: `client-registration`.
fn kebab(name: &str) -> String {
    let words = name.char_indices().map(|(index, letter)| match letter {
        'A'..='Z' if index > 0 => format!("-{}", letter.to_ascii_lowercase()),
        _ => letter.to_ascii_lowercase().to_string(),
    });
    words.collect()
}

#[test]
fn the_emulator_has_the_routes_of_the_template() {
    let template = template();
    assert_eq!(template.get("/callback/{client_key}").map(String::as_str), Some("redirect-callback"));
    assert_eq!(emulator(), template);
}
