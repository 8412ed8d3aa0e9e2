//! Wires a function to AWS: configuration, clients made once, entropy touched before the first request.

use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client as SecretsManager;

use crate::broker::check_provider::check_provider;
use crate::broker::{Broker, Parts};
use crate::catalogue::{Catalogue, OverlayError};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::outbound::{Outbound, OutboundPolicy};
use crate::store::dynamodb::DynamoDbStore;
use crate::store::queue::RefreshQueue;
use crate::telemetry;
use crate::vault::both::BothVaults;
use crate::vault::root_key::{RootKeys, random_token};
use crate::vault::sealed::SealedVault;
use crate::vault::secrets_manager::SecretsManagerVault;
use crate::vault::{Vault, VaultKind};

/// Whatever keeps a function from starting.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the broker of a Lambda function. `emulated` is `cfg!(feature = "emulated")` of the function: in a build with
/// that feature, and in no other, the origins in `GRANTKEEPER_EMULATED_ORIGINS` may be http and loopback.
///
/// # Errors
/// A configuration that is wrong, by the name of the variable.
pub async fn broker(emulated: bool) -> Result<Broker, StartError> {
    telemetry::init();
    // The crypto library seeds itself on first use, which takes tens of milliseconds: not in somebody's request.
    random_token()?;
    let config = Config::from_env()?;
    let outbound = Outbound::with_way_out(policy(emulated)?, &config.way_out)?;
    let sdk = aws_config::defaults(BehaviorVersion::latest()).timeout_config(sdk_timeouts()).load().await;
    let catalogue = catalogue(&config, &outbound)?;
    Ok(assemble(config, &sdk, Arc::new(SystemClock), outbound, catalogue))
}

/// The catalogue of providers, with the operator's directory over it.
///
/// # Errors
/// The first file of the directory that is wrong.
pub fn catalogue(config: &Config, outbound: &Outbound) -> Result<Catalogue, OverlayError> {
    match &config.providers_dir {
        Some(directory) => Catalogue::with_directory(directory, |provider| check_provider(provider, outbound.policy())),
        None => Ok(Catalogue::default()),
    }
}

/// A call to DynamoDB or Secrets Manager takes milliseconds; one that hangs must not use up the function's time.
fn sdk_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_millis(1500))
        .operation_timeout(Duration::from_secs(4))
        .build()
}

#[cfg(feature = "insecure-origins")]
fn policy(emulated: bool) -> Result<OutboundPolicy, StartError> {
    if emulated {
        Ok(OutboundPolicy::allowing(&crate::config::emulated_origins())?)
    } else {
        Ok(OutboundPolicy::strict())
    }
}

#[cfg(not(feature = "insecure-origins"))]
fn policy(_emulated: bool) -> Result<OutboundPolicy, StartError> {
    Ok(OutboundPolicy::strict())
}

/// Puts a broker together over AWS clients of one configuration: in Lambda the account's, in the local stack the
/// embedded engines'.
pub fn assemble(
    config: Config,
    sdk: &aws_config::SdkConfig,
    clock: Arc<dyn Clock>,
    outbound: Outbound,
    catalogue: Catalogue,
) -> Broker {
    let secrets = SecretsManager::new(sdk);
    let store = DynamoDbStore::new(aws_sdk_dynamodb::Client::new(sdk), &config.table);
    let vault = Vaults::new(sdk, &config.table, &config.secret_prefix, clock.clone()).written(config.vault);
    let root_keys = RootKeys::new(secrets, &config.root_key, clock.clone());
    let queue = config.refresh_queues.as_ref();
    let queue = queue.map(|queues| RefreshQueue::new(aws_sdk_sqs::Client::new(sdk), &queues.usual, &queues.apart));
    Broker::new(Parts {
        config,
        store: Arc::new(store),
        vault,
        root_keys: Arc::new(root_keys),
        clock,
        outbound,
        queue,
        catalogue,
    })
}

/// The vaults that a stack has, whichever it writes to.
pub struct Vaults {
    /// Secrets Manager.
    pub secrets_manager: Arc<SecretsManagerVault>,
    /// Sealed in the table.
    pub sealed: Arc<SealedVault>,
}

impl Vaults {
    /// The vaults of the stack with this table and this prefix of its secrets.
    pub fn new(sdk: &aws_config::SdkConfig, table: &str, prefix: &str, clock: Arc<dyn Clock>) -> Self {
        let (secrets, tables) = (SecretsManager::new(sdk), aws_sdk_dynamodb::Client::new(sdk));
        Self {
            secrets_manager: Arc::new(SecretsManagerVault::new(secrets.clone(), prefix)),
            sealed: Arc::new(SealedVault::new(tables, table, secrets, prefix, clock)),
        }
    }

    /// Both as one, of which this kind is written to.
    pub fn written(&self, kind: VaultKind) -> Arc<dyn Vault> {
        Arc::new(BothVaults::new(kind, self.secrets_manager.clone(), self.sealed.clone()))
    }
}
