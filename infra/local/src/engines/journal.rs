//! Where secrets are kept: a snapshot (`secrets.json`) and a journal of what changed since (`secrets.journal`).
//!
//! The journal holds one JSON line per write: the whole secret as it is afterwards. So a replay gives exactly the version
//! ids, names and dates that were answered, and replaying twice does no harm. A line is on disk before its write is
//! answered; a line cut short by a kill was never answered and is ignored.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use winterbaume_secretsmanager::views::SecretView;

/// Secrets by name.
pub(super) type Secrets = HashMap<String, SecretView>;

/// A journal longer than this is folded into the snapshot while running, in bytes.
const COMPACT_ABOVE: u64 = 16 * 1024 * 1024;

pub(super) enum Journal {
    /// Nothing is kept.
    Memory,
    Disk(Disk),
    /// Shut down, or damaged beyond repair: nothing more may be written.
    Closed,
}

pub(super) struct Disk {
    directory: PathBuf,
    /// The journal, locked against a second process.
    file: File,
    /// The length of the journal up to its last whole line, in bytes.
    length: u64,
}

#[derive(Serialize, Deserialize)]
struct Record<Name, Secret> {
    name: Name,
    /// `None`: the secret is gone.
    secret: Option<Secret>,
}

impl Journal {
    /// Opens the journal of `directory`, which is created if missing, and reads the secrets it holds.
    pub(super) fn open(directory: &Path) -> anyhow::Result<(Self, Secrets)> {
        let shown = directory.display();
        let created = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        created.with_context(|| format!("cannot create {shown}"))?;
        let path = directory.join("secrets.journal");
        let mut file = private_file().read(true).append(true).open(&path).context("cannot open secrets.journal")?;
        file.try_lock().with_context(|| format!("{shown} is in use by another process"))?;

        let mut secrets = read_snapshot(&snapshot_path(directory))?;
        let mut lines = Vec::new();
        file.read_to_end(&mut lines).context("cannot read secrets.journal")?;
        replay(&lines, &mut secrets)?;
        let length = u64::try_from(lines.len())?;
        Ok((Self::Disk(Disk { directory: directory.to_owned(), file, length }), secrets))
    }

    /// Puts one secret on disk as it is now. When this returns an error, the journal is as it was before.
    pub(super) fn append(&mut self, name: &str, secret: Option<&SecretView>) -> anyhow::Result<()> {
        let disk = match self {
            Self::Memory => return Ok(()),
            Self::Disk(disk) => disk,
            Self::Closed => anyhow::bail!("the journal is closed"),
        };
        let mut line = serde_json::to_vec(&Record { name, secret })?;
        line.push(b'\n');
        if let Err(error) = disk.file.write_all(&line).and_then(|()| disk.file.sync_data()) {
            // Half a line in the middle would make all that follows unreadable.
            if disk.file.set_len(disk.length).is_err() {
                *self = Self::Closed;
            }
            return Err(error).context("cannot write secrets.journal");
        }
        disk.length += u64::try_from(line.len())?;
        Ok(())
    }

    pub(super) fn is_long(&self) -> bool {
        matches!(self, Self::Disk(disk) if disk.length > COMPACT_ABOVE)
    }

    /// Writes a new snapshot of all secrets and empties the journal. A kill in between leaves a journal that changes nothing
    /// when it is replayed.
    pub(super) fn compact<'a>(
        &mut self,
        secrets: impl Iterator<Item = (&'a str, &'a SecretView)>,
    ) -> anyhow::Result<()> {
        let Self::Disk(disk) = self else {
            return Ok(());
        };
        let snapshot = serde_json::to_vec(&secrets.collect::<HashMap<_, _>>())?;
        let path = snapshot_path(&disk.directory);
        let temporary = path.with_extension("json.new");
        let mut file =
            private_file().write(true).truncate(true).open(&temporary).context("cannot write secrets.json")?;
        file.write_all(&snapshot).and_then(|()| file.sync_all()).context("cannot write secrets.json")?;
        std::fs::rename(&temporary, &path).context("cannot replace secrets.json")?;
        File::open(&disk.directory).and_then(|directory| directory.sync_all()).context("cannot sync the directory")?;
        disk.file.set_len(0).and_then(|()| disk.file.sync_all()).context("cannot empty secrets.journal")?;
        disk.length = 0;
        Ok(())
    }
}

/// Options for a file that only its owner can read; it is created if missing.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    options
}

fn snapshot_path(directory: &Path) -> PathBuf {
    directory.join("secrets.json")
}

fn read_snapshot(path: &Path) -> anyhow::Result<Secrets> {
    match std::fs::read(path) {
        Ok(snapshot) => serde_json::from_slice(&snapshot).map_err(|error| damaged("secrets.json", &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Secrets::new()),
        Err(error) => Err(error).context("cannot read secrets.json"),
    }
}

fn replay(journal: &[u8], secrets: &mut Secrets) -> anyhow::Result<()> {
    for line in journal.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            tracing::warn!(bytes = line.len(), "the last line of secrets.journal is cut short and ignored");
            return Ok(());
        };
        let Record { name, secret } =
            serde_json::from_slice(line).map_err(|error| damaged("secrets.journal", &error))?;
        let _previous = match secret {
            Some(secret) => secrets.insert(name, secret),
            None => secrets.remove(&name),
        };
    }
    Ok(())
}

/// The error for a file that does not parse. Only the place is named: serde's message may quote a secret.
fn damaged(file: &str, error: &serde_json::Error) -> anyhow::Error {
    anyhow::anyhow!("{file} is damaged at line {}, column {}", error.line(), error.column())
}
