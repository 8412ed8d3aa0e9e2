//! The stack as one value: started by `cargo run`, and by the tests with a clock of their own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lambda_events::event::sqs::SqsEvent;
use axum::Router;
use grantkeeper::broker::Broker;
use grantkeeper::broker::access::Caller;
use grantkeeper::clock::{Clock, SystemClock};
use grantkeeper::config::Config;
use grantkeeper::error::Error;
use grantkeeper::lambda::{assemble, catalogue};
use grantkeeper::model::client::Client;
use grantkeeper::model::ids::ProjectId;
use grantkeeper::outbound::{Outbound, OutboundError, OutboundPolicy};
use grantkeeper::secret::Secret;
use grantkeeper::vault::VaultKind;
use grantkeeper_sandbox::{Options as SandboxOptions, Sandbox};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engines::Engines;
use crate::keys::Keys;
use crate::{queue, rooms, seed, table};

/// The table of the local stack.
pub const TABLE: &str = "grantkeeper";
/// The first part of the names of its secrets.
pub const SECRET_PREFIX: &str = "gk";
/// How long requests in flight may still take at the end: as long as a function may run, for a refresh that is cut off
/// between provider and commit can cost a grant.
const GRACE: Duration = Duration::from_secs(21);

/// How a stack is started.
pub struct Options {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The base URL that browsers use, where a tunnel or proxy stands before the stack.
    pub public_url: Option<String>,
    /// Where `keys.env` and, unless ephemeral, everything else is kept.
    pub data: PathBuf,
    /// Keep metadata and secrets in memory.
    pub ephemeral: bool,
    /// The sandbox's port, 0 for a free one; `None` starts no sandbox.
    pub sandbox_port: Option<u16>,
    /// Further http or loopback origins that may be authorization servers and APIs.
    pub insecure_origins: Vec<String>,
    /// https origins that may live at private addresses and on any port.
    pub private_origins: Vec<String>,
    /// The URL of a forward proxy for requests to providers. The sandbox and the insecure origins are reached directly.
    pub proxy: Option<Secret<String>>,
    /// The path of a PEM file of certificates that are trusted besides the system's.
    pub ca_bundle: Option<String>,
    /// A directory of entries that lie over the catalogue of providers.
    pub providers: Option<PathBuf>,
    /// Where token sets and raw values are written.
    pub vault: VaultKind,
    /// The time between two ticks; `None`: the caller ticks.
    pub refresh_every: Option<Duration>,
    /// Keys that replace those of `keys.env`, by the names in it.
    pub preset_keys: BTreeMap<String, String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Engines that run already, perhaps in another process; `None` starts some.
    pub engines: Option<Engines>,
    /// Whether this stack does the work of the queue. Of several over the same engines one is enough.
    pub works: bool,
    /// What makes the HTTP client in place of the way out that the other options describe: a test's own internet.
    pub outbound: Option<MakeOutbound>,
}

/// Makes an HTTP client that keeps to a policy, by which the sandbox and the insecure origins are reached as ever.
pub type MakeOutbound = Box<dyn FnOnce(OutboundPolicy) -> Result<Outbound, OutboundError> + Send>;

impl Options {
    /// A stack on free ports that keeps its data in this directory and has no tick: what tests start from.
    pub fn at(data: &Path) -> Self {
        Self {
            port: 0,
            public_url: None,
            data: data.to_owned(),
            ephemeral: false,
            sandbox_port: Some(0),
            insecure_origins: Vec::new(),
            private_origins: Vec::new(),
            proxy: None,
            ca_bundle: None,
            providers: None,
            vault: VaultKind::default(),
            refresh_every: None,
            preset_keys: BTreeMap::new(),
            clock: Arc::new(SystemClock),
            engines: None,
            works: true,
            outbound: None,
        }
    }
}

/// A running stack.
pub struct Stack {
    /// Where it listens.
    pub url: String,
    /// The keys of `keys.env`.
    pub keys: Keys,
    /// The default project.
    pub project: ProjectId,
    /// The broker itself.
    pub broker: Broker,
    /// The engines, of this process or of another.
    pub engines: Engines,
    /// The sandbox, with its client.
    pub sandbox: Option<RunningSandbox>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// A sandbox that runs beside the stack.
pub struct RunningSandbox {
    /// The sandbox itself.
    pub sandbox: Sandbox,
    /// Its issuer and origin.
    pub url: String,
    /// The client that is registered there.
    pub client: Client,
}

impl Stack {
    /// Starts everything. When it returns, every request is served.
    ///
    /// # Errors
    /// A port or directory that cannot be used; options that are wrong.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let keys = Keys::load(&options.data, &options.preset_keys)?;
        make_private(&options.data).with_context(|| format!("cannot make {}", options.data.display()))?;
        let data = (!options.ephemeral).then_some(options.data.as_path());
        let engines = match options.engines {
            Some(engines) => engines,
            None => Engines::start(data).await?,
        };
        let sdk = engines.sdk_config();
        table::create(&aws_sdk_dynamodb::Client::new(&sdk), TABLE).await?;
        seed::root_key(&aws_sdk_secretsmanager::Client::new(&sdk)).await?;

        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let sandbox = match options.sandbox_port {
            Some(port) => Some(start_sandbox(port, data, &stopped, &mut tasks).await?),
            None => None,
        };
        let listener = listen(options.port).await?;
        let url = format!("http://{}", listener.local_addr()?);

        let mut origins = options.insecure_origins;
        origins.extend(sandbox.iter().map(|(_, url)| url.clone()));
        let policy = OutboundPolicy::allowing(&origins).context("an --allow-insecure-origin is not an origin")?;
        let vars = [
            ("GRANTKEEPER_PUBLIC_URL", options.public_url.clone().unwrap_or_else(|| url.clone())),
            ("GRANTKEEPER_TABLE", TABLE.to_owned()),
            ("GRANTKEEPER_ROOT_KEY", seed::ROOT_KEY.to_owned()),
            ("GRANTKEEPER_SECRET_PREFIX", SECRET_PREFIX.to_owned()),
            ("GRANTKEEPER_VAULT", options.vault.as_str().to_owned()),
            ("GRANTKEEPER_REFRESH_QUEUE_URL", engines.queue_url().to_owned()),
            ("GRANTKEEPER_APART_QUEUE_URL", engines.apart_queue_url().to_owned()),
            // As for the functions: an empty variable is none.
            ("GRANTKEEPER_PRIVATE_ORIGINS", options.private_origins.join(" ")),
            ("GRANTKEEPER_PROXY", options.proxy.map(|url| url.expose().clone()).unwrap_or_default()),
            ("GRANTKEEPER_CA_BUNDLE", options.ca_bundle.unwrap_or_default()),
            ("GRANTKEEPER_PROVIDERS_DIR", options.providers.map(|path| path.display().to_string()).unwrap_or_default()),
        ];
        let config = Config::from_map(&vars.map(|(name, value)| (name.to_owned(), value)).into())
            .context("the options do not fit (--public-url, --private-origin, --proxy, --ca-bundle)")?;
        let outbound = match options.outbound {
            Some(make) => make(policy),
            None => Outbound::with_way_out(policy, &config.way_out),
        };
        let outbound = outbound.context("the HTTP client cannot be made")?;
        let catalogue = catalogue(&config, &outbound).context("an entry of --providers cannot be used")?;
        let broker = assemble(config, &sdk, options.clock, outbound, catalogue);

        let superuser = bootstrap(&broker, &keys).await?;
        let project = seed::project(&broker, &superuser).await?.id;
        keys.install(&broker, &project, &options.data).await?;
        keys.write(&options.data, &url, &project)?;
        let sandbox = match sandbox {
            Some((sandbox, url)) => {
                let client = seed::sandbox_client(&broker, &superuser, &project, &sandbox, &url).await?;
                Some(RunningSandbox { sandbox, url, client })
            }
            None => None,
        };

        if options.works {
            for queue in [engines.queue_url(), engines.apart_queue_url()] {
                tasks.push(poll_queue(&broker, &engines, queue, &stopped));
            }
        }
        if let Some(every) = options.refresh_every {
            tasks.push(background(tick(broker.clone(), every, stopped.clone())));
        }
        let (alive, mut all_ended) = tokio::sync::mpsc::channel::<()>(1);
        tasks.push(serve(listener, rooms::router(&broker, alive), stopped));
        // Requests whose caller hung up go on; the end waits for them, too.
        tasks.push(background(async move { while all_ended.recv().await.is_some() {} }));
        Ok(Self { url, keys, project, broker, engines, sandbox, stop, tasks })
    }

    /// A link that connects a credential at the sandbox in one browser, for a day.
    ///
    /// # Errors
    /// When there is no sandbox.
    pub async fn connect_link(&self) -> anyhow::Result<Secret<String>> {
        let sandbox = self.sandbox.as_ref().context("there is no sandbox")?;
        let platform = self.caller(&self.keys.platform).await?;
        seed::connect_link(&self.broker, &platform, &sandbox.client).await
    }

    /// Stops accepting, lets requests in flight end within [`GRACE`], and closes the files.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        let ended = async {
            for task in self.tasks {
                // A task that panicked has ended, too.
                drop(task.await);
            }
        };
        drop(tokio::time::timeout(GRACE, ended).await);
        self.engines.shutdown().await;
    }

    async fn caller(&self, key: &Secret<String>) -> anyhow::Result<Caller> {
        Ok(Caller { key: self.broker.authenticate(key).await?, project: None, user: None })
    }
}

/// The superuser, before there is a project for the other keys.
async fn bootstrap(broker: &Broker, keys: &Keys) -> anyhow::Result<Caller> {
    use grantkeeper::model::principal::{Everything, Projects, Role};
    let everything = Projects::All(Everything::Everything);
    let expires_at = broker.now() + chrono::Duration::days(365);
    broker.ensure_key("local superuser", Role::Superuser, everything, &keys.superuser, expires_at).await?;
    Ok(Caller { key: broker.authenticate(&keys.superuser).await?, project: None, user: None })
}

/// A directory that only its owner can look into; one that exists is left as it is.
fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

async fn start_sandbox(
    port: u16,
    data: Option<&Path>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> anyhow::Result<(Sandbox, String)> {
    let listener = listen(port).await.context("the sandbox cannot start (see --sandbox-port and --no-sandbox)")?;
    let url = format!("http://{}", listener.local_addr()?);
    let data_file = data.map(|data| data.join("sandbox.json"));
    let sandbox = Sandbox::open(SandboxOptions { issuer: url.clone(), data_file })?;
    tasks.push(serve(listener, sandbox.router(), stopped.clone()));
    Ok((sandbox, url))
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| format!("cannot listen on 127.0.0.1:{port}"))
}

fn serve(listener: TcpListener, router: Router, stopped: watch::Receiver<bool>) -> JoinHandle<()> {
    background(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(until(stopped));
        if let Err(error) = served.await {
            tracing::error!(%error, "a listener ended");
        }
    })
}

/// Hands a queue's batches to the refresh function, as its event source mapping does.
fn poll_queue(broker: &Broker, engines: &Engines, url: &str, stopped: &watch::Receiver<bool>) -> JoinHandle<()> {
    let sqs = aws_sdk_sqs::Client::new(&engines.sdk_config());
    let (url, broker, stopped) = (url.to_owned(), broker.clone(), stopped.clone());
    background(async move {
        let handler = move |batch: SqsEvent| {
            let broker = broker.clone();
            async move { Ok::<_, Error>(token_refresh::work(&broker, batch).await) }
        };
        queue::poll(sqs, url, handler, until(stopped)).await;
    })
}

/// Calls the refresh function with its tick.
async fn tick(broker: Broker, every: Duration, stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(every);
    let mut stopped = std::pin::pin!(until(stopped));
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = &mut stopped => return,
        }
        if let Err(error) = token_refresh::handle(&broker, token_refresh::Event::Tick).await {
            tracing::error!(%error, "a tick failed");
        }
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender is gone only when the stack is.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

#[expect(clippy::disallowed_methods, reason = "the process stays: nothing freezes between requests")]
fn background(work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(work)
}
