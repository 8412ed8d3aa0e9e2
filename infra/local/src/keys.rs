//! The API keys of the local stack: in `keys.env`, the same at every start.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use grantkeeper::broker::Broker;
use grantkeeper::broker::manage_keys::PREFIX;
use grantkeeper::model::ids::ProjectId;
use grantkeeper::model::principal::{Everything, Projects, Role};
use grantkeeper::secret::Secret;
use grantkeeper::vault::root_key::random_token;

/// The file in the data directory.
pub const FILE: &str = "keys.env";

const SUPERUSER: &str = "GRANTKEEPER_SUPERUSER_KEY";
const PLATFORM: &str = "GRANTKEEPER_PLATFORM_KEY";
const RUNNER: &str = "GRANTKEEPER_RUNNER_KEY";

/// The shortest key that may be preset (characters).
const SHORTEST: usize = 32;

/// One key a role.
pub struct Keys {
    /// Everything but values and tokens.
    pub superuser: Secret<String>,
    /// The backend of the default project.
    pub platform: Secret<String>,
    /// A program of the default project.
    pub runner: Secret<String>,
}

impl Keys {
    /// Preset keys win over those of the file, and those over new ones.
    ///
    /// # Errors
    /// A preset key that is too short; a file that cannot be read.
    pub fn load(directory: &Path, preset: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let file = read_file(&directory.join(FILE))?;
        let pick = |name: &str| -> anyhow::Result<Secret<String>> {
            if let Some(key) = preset.get(name).filter(|key| !key.is_empty()) {
                let plain = key.bytes().all(|byte| byte.is_ascii_graphic());
                ensure!(
                    key.len() >= SHORTEST && plain,
                    "{name} must have at least {SHORTEST} visible ASCII characters"
                );
                return Ok(Secret::from(key.as_str()));
            }
            match file.get(name) {
                Some(key) => Ok(Secret::from(key.as_str())),
                None => Ok(Secret::new(format!("{PREFIX}{}", random_token()?.expose()))),
            }
        };
        let keys = Self { superuser: pick(SUPERUSER)?, platform: pick(PLATFORM)?, runner: pick(RUNNER)? };
        let same = |a: &Secret<String>, b: &Secret<String>| a.matches(b.expose().as_bytes());
        let distinct = !same(&keys.superuser, &keys.platform)
            && !same(&keys.superuser, &keys.runner)
            && !same(&keys.platform, &keys.runner);
        ensure!(distinct, "{SUPERUSER}, {PLATFORM} and {RUNNER} must differ: a key has one role");
        Ok(keys)
    }

    /// Puts the keys into the store; what the file of the last start had and is no longer used stops working.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn install(&self, broker: &Broker, project: &ProjectId, directory: &Path) -> anyhow::Result<()> {
        let expires_at = broker.now() + chrono::Duration::days(365);
        for old in read_file(&directory.join(FILE))?.values().filter(|value| value.len() >= SHORTEST) {
            let kept =
                [&self.superuser, &self.platform, &self.runner].into_iter().any(|key| key.matches(old.as_bytes()));
            if !kept {
                broker.revoke_key(&Secret::from(old.as_str())).await?;
            }
        }
        for (name, role, projects, value) in [
            ("local superuser", Role::Superuser, Projects::All(Everything::Everything), &self.superuser),
            ("local platform", Role::Platform, Broker::only(project), &self.platform),
            ("local runner", Role::Runner, Broker::only(project), &self.runner),
        ] {
            broker.ensure_key(name, role, projects, value, expires_at).await?;
        }
        Ok(())
    }

    /// Writes the file for scripts and shells, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path, url: &str, project: &ProjectId) -> anyhow::Result<()> {
        let path = directory.join(FILE);
        let new = directory.join(format!("{FILE}.new"));
        let write = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
            writeln!(file, "GRANTKEEPER_URL={url}")?;
            for (name, key) in [(SUPERUSER, &self.superuser), (PLATFORM, &self.platform), (RUNNER, &self.runner)] {
                writeln!(file, "{name}={}", key.expose())?;
            }
            writeln!(file, "GRANTKEEPER_PROJECT={project}")?;
            file.sync_all()?;
            fs::rename(&new, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// `NAME=value` lines.
fn read_file(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let keys = text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| name.ends_with("_KEY"));
    Ok(keys.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
