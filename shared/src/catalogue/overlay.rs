//! The operator's directory: files of the same form, each laid over the embedded one of its name. All of it is read at
//! start.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{Catalogue, Provider, Summary, embedded};
use crate::error::Error;
use crate::model::client::GrantType;

/// The largest file (bytes).
const MAX_FILE: u64 = 64 * 1024;

/// What the directory had.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    texts: BTreeMap<String, String>,
    summaries: BTreeMap<String, Summary>,
}

/// Why a directory cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct OverlayError {
    /// The file, or the directory.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
}

impl Overlay {
    /// These texts, unchecked.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let texts = texts.into_iter().map(|(id, text)| (id.to_owned(), text.to_owned())).collect();
        Self { texts, summaries: BTreeMap::new() }
    }

    pub(super) fn text(&self, id: &str) -> Option<&str> {
        self.texts.get(id).map(String::as_str)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// What a list shows of an entry that is the directory's, or extends one of it.
    pub(super) fn summary(&self, id: &str) -> Option<&Summary> {
        self.summaries.get(id)
    }

    pub(super) fn summaries(&self) -> impl Iterator<Item = &Summary> {
        self.summaries.values()
    }
}

impl Catalogue {
    /// The embedded entries with those of a directory over them. Each of these, and each that extends one, must be
    /// readable and pass `check`.
    ///
    /// # Errors
    /// The first file that is wrong, by name.
    pub fn with_directory(
        directory: &Path,
        check: impl Fn(&Provider) -> Result<(), Error>,
    ) -> Result<Self, OverlayError> {
        let mut texts = BTreeMap::new();
        for (id, file) in files(directory)? {
            let wrong = |why: String| OverlayError { file: file.clone(), why };
            let path = directory.join(&file);
            let size = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
            if size > MAX_FILE {
                return Err(wrong(format!("it is larger than {MAX_FILE} bytes")));
            }
            if !is_id(&id) {
                return Err(wrong("a file is named by lower case letters, digits and hyphens".to_owned()));
            }
            texts.insert(id, fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?);
        }
        let over = Self { overlay: Arc::new(Overlay { texts: texts.clone(), summaries: BTreeMap::new() }) };
        let mut summaries = BTreeMap::new();
        let is_own = |id: &str| texts.contains_key(id);
        let extending = embedded::ENTRIES.iter().map(|entry| entry.id).filter(|id| !is_own(id) && extends(id, &is_own));
        for id in texts.keys().map(String::as_str).chain(extending) {
            let wrong = |error: Error| OverlayError { file: format!("{id}.toml"), why: told(&error) };
            let provider = over.read(id).map_err(wrong)?;
            check(&provider).map_err(wrong)?;
            summaries.insert(id.to_owned(), provider.summary());
        }
        Ok(Self { overlay: Arc::new(Overlay { texts, summaries }) })
    }
}

/// Whether an embedded entry extends one of these, itself or by what it extends.
fn extends(id: &str, one: &dyn Fn(&str) -> bool) -> bool {
    let base = |id: &str| embedded::find(id).and_then(|entry| entry.extends);
    let mut bases = std::iter::successors(base(id), |id| base(id)).take(super::MAX_CHAIN);
    bases.any(one)
}

/// The files of a directory by the ids of their entries.
fn files(directory: &Path) -> Result<Vec<(String, String)>, OverlayError> {
    let unreadable =
        |error: std::io::Error| OverlayError { file: directory.display().to_string(), why: error.to_string() };
    let mut files = Vec::new();
    for file in fs::read_dir(directory).map_err(unreadable)? {
        let name = file.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(".toml") {
            files.push((id.to_owned(), name.clone()));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a text may be the id of an entry: 1 to 64 lower case letters, digits and hyphens, none of them at an end.
pub fn is_id(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('-') && !text.ends_with('-')
}

/// What is wrong, in one line.
fn told(error: &Error) -> String {
    match error {
        Error::Invalid(fields) => {
            let each = fields.iter().map(|field| format!("{} {}", field.pointer, field.detail).trim().to_owned());
            each.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

impl Provider {
    /// What a list shows.
    pub fn summary(&self) -> Summary {
        Summary {
            id: self.id.clone(),
            name: self.about.name.clone(),
            category: self.about.category.clone(),
            grant_types: self.settings.grant_types.iter().copied().map(GrantType::as_str).map(str::to_owned).collect(),
        }
    }
}
