//! The entries that are part of the program: texts, and what a list shows of them, written by `build.rs`.

/// One entry.
pub(super) struct Embedded {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    pub(super) grant_types: &'static [&'static str],
    pub(super) extends: Option<&'static str>,
    pub(super) text: &'static str,
}

/// All entries, sorted by id.
pub(super) static ENTRIES: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/providers.rs"));

/// The entry of this id.
pub(super) fn find(id: &str) -> Option<&'static Embedded> {
    ENTRIES.get(ENTRIES.binary_search_by(|entry| entry.id.cmp(id)).ok()?)
}
