//! An operator's directory.

use super::lists::tempdir;
use super::*;

fn with(files: &[(&str, &str)]) -> Result<Catalogue, OverlayError> {
    let directory = tempdir();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    let read = Catalogue::with_directory(&directory, |provider| check_provider(provider, &OutboundPolicy::strict()));
    fs::remove_dir_all(directory).unwrap();
    read
}

#[test]
fn a_file_is_found_and_listed_like_an_embedded_one() {
    let catalogue = with(&[("zz-own.toml", BASE), ("README.md", "words"), ("EXCLUDED.md", "")]).unwrap();
    assert_eq!(catalogue.find("zz-own").unwrap().about.name, "Base");
    assert_eq!(catalogue.list("zz-own", None, 1, 0).items[0].id, "zz-own");
    assert!(matches!(catalogue.find("zz-other"), Err(Error::NotFound)));
}

#[test]
fn a_file_replaces_the_embedded_one_of_its_name() {
    let Some(first) = embedded::ENTRIES.first() else { return };
    let catalogue = with(&[(&format!("{}.toml", first.id), &BASE.replace("\"Base\"", "\"Our own\""))]).unwrap();
    assert_eq!(catalogue.find(first.id).unwrap().about.name, "Our own");
    let listed = catalogue.list(first.id, None, 200, 0).items;
    assert_eq!(
        listed.iter().filter(|one| one.id == first.id).map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["Our own"]
    );
    let child = format!("extends = \"{}\"\nname = \"Child\"", first.id);
    assert_eq!(with(&[("zz-child.toml", &child)]).unwrap().find("zz-child").unwrap().about.name, "Child");
}

#[test]
fn a_file_that_is_wrong_is_named_with_the_reason() {
    for (name, text, part) in [
        ("bad.toml", "name =", "line 1"),
        ("bad.toml", "name = \"Bad\"", "/category"),
        ("bad.toml", &format!("{BASE}\n[later]\n[colour]"), "/colour"),
        ("bad.toml", &BASE.replace("crm", "things"), "/category"),
        ("bad.toml", &BASE.replace("https://{site}", "http://{site}"), "https"),
        ("Bad One.toml", BASE, "lower case"),
    ] {
        let error = with(&[("good.toml", BASE), (name, text)]).unwrap_err();
        assert_eq!(error.file, name, "{error}");
        assert!(error.why.contains(part), "{error}");
    }
    let missing = Catalogue::with_directory(Path::new("/nonexistent"), |_| Ok(())).unwrap_err();
    assert_eq!(missing.file, "/nonexistent");
}
