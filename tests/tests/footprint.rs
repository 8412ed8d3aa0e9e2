//! What a deployed function is made of: nothing that is for tests or the local stack, one TLS stack, one crypto library.
//!
//! `sam build` builds each package by itself and without features; the same selection is asked of cargo here. (A build
//! of the whole workspace unites features and says nothing about the artifacts.)

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Never in an artifact. (`openssl-probe`, which is in, only finds the files of root certificates.)
const FORBIDDEN: [&str; 17] = [
    // Other TLS and crypto libraries than rustls over aws-lc-rs.
    "ring",
    "openssl",
    "openssl-sys",
    "native-tls",
    "boring",
    "mbedtls",
    // The local stack and the tests.
    "grantkeeper-local",
    "grantkeeper-sandbox",
    "grantkeeper-tests",
    "dynoxide-rs",
    "winterbaume-core",
    "rusqlite",
    "libsqlite3-sys",
    "clap",
    // Ways of the AWS SDK to find credentials that Lambda does not need.
    "aws-sdk-sso",
    "aws-sdk-ssooidc",
    "aws-sdk-signin",
];

/// One package of a dependency tree.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    version: String,
    features: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every package under `functions/`.
fn functions() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("functions")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() >= 6, "{names:?}");
    names
}

/// What is linked into a function; `features` as on the command line.
fn tree(function: &str, features: &str) -> BTreeMap<String, Vec<Package>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--locked", "--target", "x86_64-unknown-linux-gnu", "--edges", "normal"]);
    cargo.args(["--prefix", "none", "--format", "{p}|{f}", "-p", function, "--features", features]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut packages: BTreeMap<String, Vec<Package>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // `(*)`: the subtree was printed before.
        let (package, features) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        let (name, version) = package.split_once(" v").unwrap();
        let package = Package {
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            features: features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned).collect(),
        };
        let same_name = packages.entry(name.to_owned()).or_default();
        if !same_name.contains(&package) {
            same_name.push(package);
        }
    }
    packages
}

fn features_of<'a>(tree: &'a BTreeMap<String, Vec<Package>>, name: &str) -> Vec<&'a str> {
    tree[name].iter().flat_map(|package| package.features.iter().map(String::as_str)).collect()
}

#[test]
fn no_artifact_can_be_told_to_reach_loopback() {
    for function in functions() {
        let tree = tree(&function, "");
        assert_eq!(features_of(&tree, &function), [""; 0], "{function}");
        assert_eq!(features_of(&tree, "grantkeeper"), [""; 0], "{function}");
    }
}

/// Shows that the check above would notice.
#[test]
fn the_feature_emulated_is_the_one_way_to_insecure_origins() {
    for function in functions() {
        let tree = tree(&function, "emulated");
        assert_eq!(features_of(&tree, &function), ["emulated"], "{function}");
        assert_eq!(features_of(&tree, "grantkeeper"), ["insecure-origins"], "{function}");
    }
}

#[test]
fn the_deployment_knows_no_features() {
    for file in ["infra/template.yaml", "samconfig.toml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap().to_lowercase();
        for word in ["emulated", "insecure", "--features", "all-features", "cargo_lambda_flags"] {
            assert!(!text.contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn artifacts_hold_nothing_of_the_tests_and_the_local_stack() {
    for function in functions() {
        for name in tree(&function, "").keys() {
            assert!(!FORBIDDEN.contains(&name.as_str()), "{function} links {name}");
        }
    }
}

#[test]
fn artifacts_have_one_tls_stack_over_one_crypto_library() {
    for function in functions() {
        let tree = tree(&function, "");
        for name in ["rustls", "aws-lc-rs", "aws-lc-sys", "hyper", "reqwest"] {
            assert_eq!(tree[name].len(), 1, "{function} links {name} more than once: {:?}", tree[name]);
        }
        assert!(tree["rustls"][0].version.starts_with("0.23."), "{function}: {:?}", tree["rustls"]);
        let features = features_of(&tree, "rustls");
        assert!(features.contains(&"aws_lc_rs") && !features.contains(&"ring"), "{function}: {features:?}");
        assert!(tree["hyper"][0].version.starts_with("1."), "{function}: {:?}", tree["hyper"]);
    }
}
