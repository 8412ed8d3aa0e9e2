//! Writes the table of the provider catalogue: which file has which entry, and what a list shows of it. The texts are
//! embedded as they are and parsed when somebody asks for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::{Table, Value};

/// Where the entries come from instead of `providers`; an empty directory builds without a catalogue.
const SOURCE: &str = "GRANTKEEPER_PROVIDERS_SOURCE";
/// The grants of an entry that names none, as of a client that names none.
const USUAL_GRANTS: [&str; 2] = ["authorization_code", "refresh_token"];

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::disallowed_methods, reason = "a build script has nothing but its environment")]
fn main() -> Result<(), Failure> {
    let usual = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("providers");
    let source = env::var(SOURCE).ok().filter(|path| !path.is_empty()).map_or(usual, PathBuf::from).canonicalize()?;
    println!("cargo:rustc-env=PROVIDERS={}", source.display());
    println!("cargo:rerun-if-env-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", source.display());
    let table = Path::new(&env::var("OUT_DIR")?).join("providers.rs");
    Ok(fs::write(table, written(&entries(&source)?)?)?)
}

/// A file and what it says.
struct Entry {
    path: PathBuf,
    document: Table,
}

fn entries(source: &Path) -> Result<BTreeMap<String, Entry>, Failure> {
    let mut entries = BTreeMap::new();
    for file in fs::read_dir(source)? {
        let path = file?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else { continue };
        let document = fs::read_to_string(&path)?.parse().map_err(|error| format!("{}: {error}", path.display()))?;
        entries.insert(id.to_owned(), Entry { path: path.clone(), document });
    }
    Ok(entries)
}

fn written(entries: &BTreeMap<String, Entry>) -> Result<String, Failure> {
    let mut table = String::from("&[\n");
    for (id, entry) in entries {
        let text = |key| inherited(entries, id, key).and_then(Value::as_str);
        let grants: Vec<&str> = match inherited(entries, id, "grant_types").and_then(Value::as_array) {
            Some(grants) => grants.iter().filter_map(Value::as_str).collect(),
            None => USUAL_GRANTS.to_vec(),
        };
        let name = text("name").ok_or_else(|| format!("{}: it has no name", entry.path.display()))?;
        let category = text("category").ok_or_else(|| format!("{}: it has no category", entry.path.display()))?;
        let extends = entry.document.get("extends").and_then(Value::as_str);
        writeln!(
            table,
            "Embedded {{ id: {id:?}, name: {name:?}, category: {category:?}, grant_types: &{grants:?}, \
             extends: {extends:?}, text: include_str!({:?}) }},",
            entry.path
        )?;
    }
    table.push(']');
    Ok(table)
}

/// What an entry says of a key, itself or by what it extends.
fn inherited<'a>(entries: &'a BTreeMap<String, Entry>, id: &str, key: &str) -> Option<&'a Value> {
    let mut at = entries.get(id)?;
    // More steps than entries go in a circle, which a test refuses by name.
    for _ in entries {
        if let Some(value) = at.document.get(key) {
            return Some(value);
        }
        at = entries.get(at.document.get("extends")?.as_str()?)?;
    }
    None
}
