//! The emulator's routes are those of the template, so that what is tried there is what is deployed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use utoipa::openapi::OpenApi;

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

/// Package by path, from what each function says of itself; a parameter is only a place.
fn served() -> BTreeMap<String, String> {
    let documents: [(&str, OpenApi); 5] = [
        ("administration", administration::openapi()),
        ("authorization-start", authorization_start::openapi()),
        ("client-registration", client_registration::openapi()),
        ("credentials", credentials::openapi()),
        ("redirect-callback", redirect_callback::openapi()),
    ];
    let paths = documents
        .into_iter()
        .flat_map(|(package, document)| document.paths.paths.into_keys().map(move |path| (path, package.to_owned())));
    paths.collect()
}

/// Whether a route takes a call: part by part, and the last part of a route can stand for any number of them.
fn takes(route: &str, path: &str) -> bool {
    let (mut route, mut path) = (route.split('/'), path.split('/'));
    loop {
        match (route.next(), path.next()) {
            (None, None) => return true,
            (Some(rest), Some(_)) if rest.starts_with("{*") => return true,
            (Some(place), Some(_)) if place.starts_with('{') => {}
            (Some(same), Some(part)) if same == part => {}
            _ => return false,
        }
    }
}

#[test]
fn each_call_of_a_function_has_a_route_to_it_and_to_no_other() {
    let (template, served) = (template(), served());
    assert!(served.len() >= 15, "{served:?}");
    for (path, package) in served {
        let routes: Vec<_> = template.iter().filter(|(route, _)| takes(route, &path)).collect();
        assert!(!routes.is_empty() && routes.iter().all(|(_, to)| **to == package), "{path} of {package}: {routes:?}");
    }
    for (route, path, expected) in [
        ("/v1/clients/{*proxy}", "/v1/clients/{id}/secrets/{sid}", true),
        ("/v1/clients/{*proxy}", "/v1/clients", false),
        ("/connect/{token}", "/connect/{token}/more", false),
        ("/v1/keys", "/v1/keys/{id}", false),
    ] {
        assert_eq!(takes(route, path), expected, "{route} {path}");
    }
}
