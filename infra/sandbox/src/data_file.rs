//! The data file: the whole state as JSON, replaced in one step.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow};

use crate::state::State;

pub(crate) struct DataFile {
    path: PathBuf,
}

impl DataFile {
    pub(crate) fn new(path: PathBuf) -> DataFile {
        DataFile { path }
    }

    /// The saved state, or `None` when there is no file yet.
    pub(crate) fn load(&self) -> anyhow::Result<Option<State>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        };
        // The parser's message may quote a secret; only the place of the mistake is told.
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            anyhow!("{} is not a sandbox data file (line {line}, column {column})", self.path.display())
        })
    }

    /// Writes a sibling and renames it, so a killed process leaves the old state or the new one, never half of one.
    pub(crate) fn save(&self, state: &State) -> anyhow::Result<()> {
        self.replace(state).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn replace(&self, state: &State) -> anyhow::Result<()> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut sibling = self.path.clone().into_os_string();
        sibling.push(".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&sibling)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        fs::rename(&sibling, &self.path)?;
        Ok(())
    }
}
