//! The list: order, pages, and ids that are like another.

use super::*;

fn catalogue() -> Catalogue {
    let entry = |name: &str, category: &str| {
        format!("name = \"{name}\"\ncategory = \"{category}\"\nconfidence = \"high\"\ngrant_types = [\"password\"]")
    };
    let texts = [
        ("zz-box", entry("Zz Box", "storage")),
        ("zz-boxing", entry("Boxing", "fitness")),
        ("zz-dropbox", entry("Zz Dropbox", "storage")),
        ("zz-chat", entry("Zz Chat", "communication")),
    ];
    let directory = tempdir();
    for (id, text) in texts {
        fs::write(directory.join(format!("{id}.toml")), text).unwrap();
    }
    let catalogue = Catalogue::with_directory(&directory, |_| Ok(())).unwrap();
    fs::remove_dir_all(directory).unwrap();
    catalogue
}

pub(super) fn tempdir() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("grantkeeper-{}", crate::testing::fixtures::unique()));
    fs::create_dir(&directory).unwrap();
    directory
}

fn ids(page: &crate::store::Page<Summary>) -> Vec<&str> {
    page.items.iter().map(|one| one.id.as_str()).filter(|id| id.starts_with("zz-")).collect()
}

#[test]
fn the_best_fit_comes_first() {
    let catalogue = catalogue();
    assert_eq!(ids(&catalogue.list("ZZ-Box", None, 200, 0)), ["zz-box", "zz-boxing"]);
    assert_eq!(ids(&catalogue.list("boxing", None, 200, 0)), ["zz-boxing"]);
    assert_eq!(ids(&catalogue.list("box", None, 200, 0)), ["zz-boxing", "zz-box", "zz-dropbox"]);
    assert_eq!(ids(&catalogue.list("zz", Some("STORAGE"), 200, 0)), ["zz-box", "zz-dropbox"]);
    assert!(ids(&catalogue.list("no such thing", None, 200, 0)).is_empty());
}

#[test]
fn pages_follow_each_other_without_gap() {
    let catalogue = catalogue();
    let (mut start, mut all) = (0, Vec::new());
    loop {
        let page = catalogue.list("zz", None, 3, start);
        all.extend(page.items.into_iter().map(|one| one.id));
        let Some(next) = page.next else { break };
        start = next.parse().unwrap();
    }
    let whole: Vec<String> = catalogue.list("zz", None, u32::MAX, 0).items.into_iter().map(|one| one.id).collect();
    assert_eq!(all, whole);
    assert!(catalogue.list("zz", None, 3, usize::MAX).items.is_empty());
}

#[test]
fn ids_like_a_mistyped_one_are_told() {
    let catalogue = catalogue();
    assert!(catalogue.like("zz-chta").contains(&"zz-chat".to_owned()));
    assert_eq!(catalogue.like("zz-dropbx").first().map(String::as_str), Some("zz-dropbox"));
    assert!(catalogue.like("qqqqqqqqqqqqqqqq").is_empty());
}
