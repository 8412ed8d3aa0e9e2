//! `cargo run`: the whole product on this machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};
use grantkeeper::broker::check_provider::check_provider;
use grantkeeper::catalogue::Catalogue;
use grantkeeper::clock::{Clock as _, SystemClock};
use grantkeeper::outbound::{CaBundle, ForwardProxy, Outbound, OutboundPolicy, OwnHosts, PrivateOrigins, WayOut};
use grantkeeper::secret::Secret;
use grantkeeper_local::doctor::{self, Patient};
use grantkeeper_local::keys;
use grantkeeper_local::stack::{Options, Stack};
use grantkeeper_local::vault::{self, Kind, VaultCommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs Grantkeeper on 127.0.0.1, on embedded engines that keep their data in one directory.
#[derive(Parser)]
#[command(name = "grantkeeper")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The base URL that browsers use, when a tunnel or proxy stands before the stack.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = ".grantkeeper")]
    data: PathBuf,
    /// Keep metadata and secrets in memory; only keys.env is written.
    #[arg(long)]
    ephemeral: bool,
    /// The sandbox's port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8090)]
    sandbox_port: u16,
    /// Start no sandbox.
    #[arg(long, conflicts_with = "sandbox_port")]
    no_sandbox: bool,
    /// An http or loopback origin that may be an authorization server or API; repeatable.
    #[arg(long, value_name = "URL")]
    allow_insecure_origin: Vec<String>,
    /// An https origin that may live at a private address and on any port; repeatable. Never loopback or link-local.
    #[arg(long, global = true, value_name = "URL")]
    private_origin: Vec<String>,
    /// The forward proxy for requests to providers, with its user and password if it wants them.
    #[arg(long, global = true, value_name = "URL", env = "GRANTKEEPER_PROXY", hide_env_values = true)]
    proxy: Option<Secret<String>>,
    /// A PEM file of certificates that are trusted besides the system's.
    #[arg(long, global = true, value_name = "FILE")]
    ca_bundle: Option<String>,
    /// A directory of provider entries that lie over those of the catalogue.
    #[arg(long, global = true, value_name = "DIR")]
    providers: Option<PathBuf>,
    /// Where tokens are written: a secret for each credential, or sealed in the table. They are read from both.
    #[arg(long, value_name = "VAULT", env = "GRANTKEEPER_VAULT", default_value = "secretsmanager")]
    vault: Kind,
    /// The time between two looks for tokens that are due.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    refresh_every: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Compares entries of the catalogue with their providers, over the internet and without any credential.
    Doctor(Examined),
    /// Moves tokens between the vaults, makes sealing keys, seals again.
    #[command(subcommand)]
    Vault(VaultCommand),
}

#[derive(Args)]
struct Examined {
    /// The ids of the entries.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All entries.
    #[arg(long)]
    all: bool,
    /// How many are examined at once.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
}

/// Exit code 1 when something is not as an entry says.
async fn examine(arguments: &Arguments, examined: &Examined) -> anyhow::Result<ExitCode> {
    let own_hosts = OwnHosts::default();
    let way_out = WayOut {
        private_origins: PrivateOrigins::parse(&arguments.private_origin.join(" "), &own_hosts)
            .context("--private-origin")?,
        proxy: arguments.proxy.as_ref().map(ForwardProxy::parse).transpose().context("--proxy")?,
        ca_bundle: match &arguments.ca_bundle {
            Some(file) => CaBundle::read(file.as_ref()).context("--ca-bundle")?,
            None => CaBundle::default(),
        },
        own_hosts,
    };
    let outbound = Outbound::with_way_out(OutboundPolicy::strict(), &way_out)?;
    let catalogue = match &arguments.providers {
        Some(directory) => Catalogue::with_directory(directory, |entry| check_provider(entry, outbound.policy()))
            .context("an entry of --providers cannot be used")?,
        None => Catalogue::default(),
    };
    let patients = Patient::of(&catalogue, &examined.ids)?;
    let at_once = usize::from(examined.at_once);
    let summary = doctor::run(&outbound, patients, at_once, SystemClock.now(), &mut std::io::stdout()).await?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(arguments.refresh_every > 0, "--refresh-every must be at least 1");
    let filter = EnvFilter::try_new(grantkeeper::config::log_filter("warn"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match &arguments.command {
        Some(Command::Doctor(examined)) => return examine(&arguments, examined).await,
        Some(Command::Vault(command)) => {
            let complete = vault::run(command, &mut std::io::stdout()).await?;
            return Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        None => {}
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);

    let data = arguments.data.clone();
    let stack = Stack::start(Options {
        port: arguments.port,
        public_url: arguments.public_url,
        ephemeral: arguments.ephemeral,
        sandbox_port: (!arguments.no_sandbox).then_some(arguments.sandbox_port),
        insecure_origins: arguments.allow_insecure_origin,
        private_origins: arguments.private_origin,
        proxy: arguments.proxy,
        ca_bundle: arguments.ca_bundle,
        providers: arguments.providers,
        vault: arguments.vault.into(),
        refresh_every: Some(Duration::from_secs(arguments.refresh_every)),
        preset_keys: grantkeeper::config::local_keys(),
        ..Options::at(&data)
    })
    .await?;

    let mut out = std::io::stdout();
    writeln!(out, "keys      {}", data.join(keys::FILE).display())?;
    if let Some(sandbox) = &stack.sandbox {
        writeln!(out, "sandbox   {}", sandbox.url)?;
        writeln!(out, "connect   {}", stack.connect_link().await?.expose())?;
    }
    writeln!(out, "ready {}", stack.url)?;
    out.flush()?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stack.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
