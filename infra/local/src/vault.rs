//! `cargo run -- vault …`: moves the documents of credentials between the vaults, makes sealing keys, seals again. On a
//! deployed stack, with the credentials of the environment, or on a data directory that no stack is using.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_config::{BehaviorVersion, SdkConfig};
use clap::{Args, Subcommand, ValueEnum};
use grantkeeper::broker::migrate_vault::{MigrateVault, SETTLE_AFTER};
use grantkeeper::broker::reseal_vault::ResealVault;
use grantkeeper::broker::walk_credentials::{Pace, Walked, Work, walk};
use grantkeeper::clock::{Clock, SystemClock};
use grantkeeper::lambda::Vaults;
use grantkeeper::model::ids::ProjectId;
use grantkeeper::store::Store;
use grantkeeper::store::dynamodb::DynamoDbStore;
use grantkeeper::vault::{Vault, VaultKind};

use crate::engines::Engines;
use crate::stack::{SECRET_PREFIX, TABLE};

/// What is done.
#[derive(Subcommand)]
pub enum VaultCommand {
    /// Moves all documents to the vault that the stack writes to already, while it works. Can be repeated.
    Migrate {
        /// The vault to move to.
        #[arg(long, value_name = "VAULT")]
        to: Kind,
        /// How, and where.
        #[command(flatten)]
        walk: WalkArguments,
    },
    /// Makes a new sealing key; what is sealed from now on is sealed with it.
    Rotate {
        /// The project; repeatable.
        #[arg(long, value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        project: Vec<String>,
        /// All projects.
        #[arg(long)]
        all: bool,
        /// Where.
        #[command(flatten)]
        target: Target,
    },
    /// Seals with the newest key what was sealed with an older one. Can be repeated.
    Reseal {
        /// How, and where.
        #[command(flatten)]
        walk: WalkArguments,
    },
}

/// The vaults by the names that they have in `GRANTKEEPER_VAULT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A secret in Secrets Manager for each credential.
    #[value(name = "secretsmanager")]
    SecretsManager,
    /// Sealed in the table.
    #[value(name = "sealed")]
    Sealed,
}

impl From<Kind> for VaultKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::SecretsManager => Self::SecretsManager,
            Kind::Sealed => Self::Sealed,
        }
    }
}

/// What every credential is visited with.
#[derive(Args)]
pub struct WalkArguments {
    /// How many credentials at once.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
    #[command(flatten)]
    target: Target,
}

/// The stack.
#[derive(Args)]
pub struct Target {
    /// The directory of a local stack, which must not be running.
    #[arg(long = "data", value_name = "DIR", required_unless_present = "table", conflicts_with_all = ["table", "prefix"])]
    directory: Option<PathBuf>,
    /// The table of a deployed stack.
    #[arg(long, value_name = "NAME", env = "GRANTKEEPER_TABLE")]
    table: Option<String>,
    /// The first part of the names of its secrets.
    #[arg(long, value_name = "PREFIX", env = "GRANTKEEPER_SECRET_PREFIX", default_value = SECRET_PREFIX)]
    prefix: String,
}

/// A stack that was opened.
struct Opened {
    store: Arc<dyn Store>,
    vaults: Vaults,
    clock: Arc<dyn Clock>,
    /// Nobody else uses it.
    alone: bool,
    engines: Option<Engines>,
}

impl Opened {
    async fn at(target: &Target) -> anyhow::Result<Self> {
        match (&target.directory, &target.table) {
            (Some(directory), _) => Self::local(directory).await,
            (None, Some(table)) => {
                let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
                ensure!(sdk.region().is_some(), "no AWS region is set (AWS_REGION)");
                Ok(Self::over(&sdk, table, &target.prefix, None))
            }
            (None, None) => bail!("either --data or --table is needed"),
        }
    }

    async fn local(directory: &Path) -> anyhow::Result<Self> {
        let kept = directory.join("dynamodb.sqlite");
        ensure!(kept.is_file(), "{} is not the data directory of a stack", directory.display());
        let engines = Engines::start(Some(directory)).await.context("a stack that runs there must be stopped first")?;
        let sdk = engines.sdk_config();
        Ok(Self::over(&sdk, TABLE, SECRET_PREFIX, Some(engines)))
    }

    fn over(sdk: &SdkConfig, table: &str, prefix: &str, engines: Option<Engines>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            store: Arc::new(DynamoDbStore::new(aws_sdk_dynamodb::Client::new(sdk), table)),
            vaults: Vaults::new(sdk, table, prefix, Arc::clone(&clock)),
            clock,
            alone: engines.is_some(),
            engines,
        }
    }

    async fn close(self) {
        if let Some(engines) = self.engines {
            engines.shutdown().await;
        }
    }

    async fn walk(
        &self,
        work: &dyn Work,
        at_once: u8,
        verb: &str,
        out: &mut (impl Write + Send),
    ) -> anyhow::Result<bool> {
        let pace = Pace { at_once: at_once.into(), ..Pace::default() };
        let mut failed = None;
        let mut report = |walked: &Walked| {
            let written = writeln!(
                out,
                "{verb} {}, nothing to do for {}, left {}",
                walked.done,
                walked.nothing,
                walked.left.len()
            );
            failed = failed.take().or(written.and_then(|()| out.flush()).err());
        };
        let walked = walk(&*self.store, work, self.clock.now(), pace, &mut report).await;
        let walked = walked.context("the table did not answer; what is done stays done, begin again")?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        for left in &walked.left {
            writeln!(out, "left {} of {}: {}", left.credential, left.project, left.why)?;
        }
        Ok(walked.left.is_empty())
    }

    async fn projects(&self) -> anyhow::Result<Vec<ProjectId>> {
        let (mut projects, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.store.list_projects(100, cursor.as_deref()).await?;
            projects.extend(page.items.into_iter().map(|project| project.id));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(projects);
            }
        }
    }
}

/// Does it, and says on the way how far it is. `false`: something was left.
///
/// # Errors
/// The stack cannot be reached, or the lines cannot be written.
pub async fn run(command: &VaultCommand, out: &mut (impl Write + Send)) -> anyhow::Result<bool> {
    match command {
        VaultCommand::Migrate { to, walk } => {
            let opened = Opened::at(&walk.target).await?;
            let settle = if opened.alone { Duration::ZERO } else { SETTLE_AFTER };
            if !settle.is_zero() {
                writeln!(out, "waiting {} seconds for what began before the stack was switched", settle.as_secs())?;
                out.flush()?;
            }
            tokio::time::sleep(settle).await;
            let (sealed, secrets): (Arc<dyn Vault>, Arc<dyn Vault>) =
                (opened.vaults.sealed.clone(), opened.vaults.secrets_manager.clone());
            let (from, to) = match VaultKind::from(*to) {
                VaultKind::Sealed => (secrets, sealed),
                VaultKind::SecretsManager => (sealed, secrets),
            };
            let work = MigrateVault { store: opened.store.clone(), from, to, clock: opened.clock.clone() };
            let complete = opened.walk(&work, walk.at_once, "moved", out).await;
            opened.close().await;
            complete
        }
        VaultCommand::Reseal { walk } => {
            let opened = Opened::at(&walk.target).await?;
            let work = ResealVault { vault: opened.vaults.sealed.clone() };
            let complete = opened.walk(&work, walk.at_once, "sealed again", out).await;
            opened.close().await;
            complete
        }
        VaultCommand::Rotate { project, all, target } => {
            let named =
                project.iter().map(|id| ProjectId::parse(id).ok().with_context(|| format!("{id} is no project")));
            let named = named.collect::<anyhow::Result<Vec<_>>>()?;
            let opened = Opened::at(target).await?;
            let there = opened.projects().await?;
            for project in if *all { &there } else { &named } {
                ensure!(there.contains(project), "there is no project {project}");
                let number = opened.vaults.sealed.rotate(project.as_str()).await?;
                writeln!(out, "{project} seals with key {number}")?;
            }
            opened.close().await;
            Ok(true)
        }
    }
}
