//! The configuration of one stack, read from the environment once at start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use url::Url;

use crate::outbound::{CaBundle, ForwardProxy, OwnHosts, PrivateOrigins, WayOut, WayOutError};
use crate::secret::Secret;
use crate::vault::VaultKind;

/// What a function must know about the stack it runs in.
#[derive(Debug, Clone)]
pub struct Config {
    /// `GRANTKEEPER_PUBLIC_URL`: the base URL under which browsers and backends reach this stack, without a trailing
    /// slash. Redirect URIs are built from it and never from request headers.
    pub public_url: String,
    /// `GRANTKEEPER_TABLE`: the DynamoDB table.
    pub table: String,
    /// `GRANTKEEPER_ROOT_KEY`: name or ARN of the secret that holds the stack's root key.
    pub root_key: String,
    /// `GRANTKEEPER_SECRET_PREFIX` (default `gk`): secrets are named `{prefix}/{project}/{id}`.
    pub secret_prefix: String,
    /// `GRANTKEEPER_VAULT`: where token sets and raw values are written, `secretsmanager` (default) or `sealed`. They are
    /// read from both.
    pub vault: VaultKind,
    /// `GRANTKEEPER_REFRESH_QUEUE_URL` and `GRANTKEEPER_APART_QUEUE_URL`: the queues of refresh work; only functions that
    /// send work have them.
    pub refresh_queues: Option<RefreshQueues>,
    /// `GRANTKEEPER_BOOTSTRAP_KEY_SHA256`: hex SHA-256 of the operator's first superuser key, if there is one.
    pub bootstrap_key_sha256: Option<String>,
    /// How requests to providers leave:
    ///
    /// - `GRANTKEEPER_PRIVATE_ORIGINS`: https origins that may live at private addresses and on any port, separated by
    ///   spaces;
    /// - `GRANTKEEPER_PROXY`: the http or https URL of a forward proxy, with its user and password if it wants them;
    /// - `GRANTKEEPER_CA_BUNDLE`: path of a PEM file of certificates that are trusted besides the system's, read once.
    ///
    /// The hosts in `AWS_LAMBDA_RUNTIME_API` and `AWS_CONTAINER_CREDENTIALS_FULL_URI` are never reached.
    pub way_out: WayOut,
    /// `GRANTKEEPER_PROVIDERS_DIR`: a directory of entries that lie over the catalogue's, read once at start; only
    /// functions that register clients have it.
    pub providers_dir: Option<PathBuf>,
}

/// The queues of refresh work, by their URLs.
#[derive(Debug, Clone)]
pub struct RefreshQueues {
    /// The usual one.
    pub usual: String,
    /// The one of work whose provider is slow or fails.
    pub apart: String,
}

/// A variable that is missing or wrong. The message names it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The variable has a value that cannot be used.
    #[error("the environment variable {name} is wrong: {why}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A variable about the way out has a value that cannot be used.
    #[error("the environment variable {name} is wrong: {why}")]
    WayOut {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        why: WayOutError,
    },
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// The first variable that is missing or wrong, by name.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_map(&std::env::vars().collect())
    }

    /// Reads a map, as [`Config::from_env`] reads the environment.
    ///
    /// # Errors
    /// The first variable that is missing or wrong, by name.
    pub fn from_map(vars: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let get = |name: &'static str| vars.get(name).filter(|value| !value.is_empty()).cloned();
        let need = |name| get(name).ok_or(ConfigError::Missing(name));
        let invalid = |name, why| ConfigError::Invalid { name, why };

        let public_url = need("GRANTKEEPER_PUBLIC_URL")?;
        let parsed = Url::parse(&public_url).map_err(|_| {
            invalid("GRANTKEEPER_PUBLIC_URL", "it must be an absolute URL like https://auth.example.com")
        })?;
        let loopback = parsed.host_str().is_some_and(|host| host == "127.0.0.1" || host == "localhost");
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && loopback) {
            return Err(invalid("GRANTKEEPER_PUBLIC_URL", "it must use https (http only on loopback)"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() || parsed.path() != "/" {
            return Err(invalid("GRANTKEEPER_PUBLIC_URL", "it must be an origin, without path, query or fragment"));
        }

        let bootstrap_key_sha256 = get("GRANTKEEPER_BOOTSTRAP_KEY_SHA256");
        if let Some(hash) = &bootstrap_key_sha256
            && (hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(invalid("GRANTKEEPER_BOOTSTRAP_KEY_SHA256", "it must be 64 hexadecimal digits"));
        }

        let vault = match get("GRANTKEEPER_VAULT") {
            None => VaultKind::default(),
            Some(name) => {
                VaultKind::parse(&name).ok_or(invalid("GRANTKEEPER_VAULT", "it must be secretsmanager or sealed"))?
            }
        };

        Ok(Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            table: need("GRANTKEEPER_TABLE")?,
            root_key: need("GRANTKEEPER_ROOT_KEY")?,
            secret_prefix: get("GRANTKEEPER_SECRET_PREFIX").unwrap_or_else(|| "gk".to_owned()),
            vault,
            refresh_queues: match get("GRANTKEEPER_REFRESH_QUEUE_URL") {
                Some(usual) => Some(RefreshQueues { usual, apart: need("GRANTKEEPER_APART_QUEUE_URL")? }),
                None => None,
            },
            bootstrap_key_sha256: bootstrap_key_sha256.map(|hash| hash.to_ascii_lowercase()),
            way_out: way_out(get)?,
            providers_dir: get("GRANTKEEPER_PROVIDERS_DIR").map(PathBuf::from),
        })
    }

    /// Whether browsers reach this stack over plain http, which only loopback may. Cookies then go without `Secure`.
    pub fn plain_http(&self) -> bool {
        self.public_url.starts_with("http://")
    }

    /// The redirect URI of a client: exactly this string is entered at the provider and sent in every flow.
    pub fn redirect_uri(&self, client_key: &str) -> String {
        format!("{}/callback/{client_key}", self.public_url)
    }
}

/// Reads what the operator set about the way out.
fn way_out(get: impl Fn(&'static str) -> Option<String>) -> Result<WayOut, ConfigError> {
    let wrong = |name| move |why| ConfigError::WayOut { name, why };
    let own = ["AWS_LAMBDA_RUNTIME_API", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let own_hosts = OwnHosts::new(own.into_iter().filter_map(&get));
    let private_origins = get("GRANTKEEPER_PRIVATE_ORIGINS")
        .map(|list| PrivateOrigins::parse(&list, &own_hosts).map_err(wrong("GRANTKEEPER_PRIVATE_ORIGINS")))
        .transpose()?
        .unwrap_or_default();
    let proxy = get("GRANTKEEPER_PROXY")
        .map(|url| ForwardProxy::parse(&Secret::new(url)).map_err(wrong("GRANTKEEPER_PROXY")))
        .transpose()?;
    let ca_bundle = get("GRANTKEEPER_CA_BUNDLE")
        .map(|path| CaBundle::read(Path::new(&path)).map_err(wrong("GRANTKEEPER_CA_BUNDLE")))
        .transpose()?
        .unwrap_or_default();
    Ok(WayOut { private_origins, proxy, ca_bundle, own_hosts })
}

/// Origins that emulated functions may reach although they are http or loopback (`GRANTKEEPER_EMULATED_ORIGINS`,
/// separated by spaces). Compiled only into emulated builds.
#[cfg(feature = "insecure-origins")]
#[expect(clippy::disallowed_methods, reason = "configuration reads the environment")]
pub fn emulated_origins() -> Vec<String> {
    let value = std::env::var("GRANTKEEPER_EMULATED_ORIGINS").unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

/// API keys of the local stack that the environment presets, by the names they have in `keys.env`.
#[cfg(feature = "insecure-origins")]
#[expect(clippy::disallowed_methods, reason = "configuration reads the environment")]
pub fn local_keys() -> BTreeMap<String, String> {
    let ours = |name: &str| name.starts_with("GRANTKEEPER_") && name.ends_with("_KEY");
    std::env::vars().filter(|(name, _)| ours(name)).collect()
}

/// The log level (`GRANTKEEPER_LOG`, or the given default), in the syntax of `tracing_subscriber::EnvFilter`.
#[expect(clippy::disallowed_methods, reason = "configuration reads the environment")]
pub fn log_filter(default: &str) -> String {
    std::env::var("GRANTKEEPER_LOG").ok().filter(|level| !level.is_empty()).unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(url: &str) -> BTreeMap<String, String> {
        [("GRANTKEEPER_PUBLIC_URL", url), ("GRANTKEEPER_TABLE", "t"), ("GRANTKEEPER_ROOT_KEY", "k")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_missing_variable_is_named() {
        let mut vars = vars("https://auth.example.com");
        vars.remove("GRANTKEEPER_TABLE");
        let error = Config::from_map(&vars).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("the environment variable GRANTKEEPER_TABLE is not set"));
    }

    #[test]
    fn the_vault_is_one_of_two() {
        for (name, kind) in [
            ("", VaultKind::SecretsManager),
            ("secretsmanager", VaultKind::SecretsManager),
            ("sealed", VaultKind::Sealed),
        ] {
            let mut vars = vars("https://auth.example.com");
            vars.insert("GRANTKEEPER_VAULT".to_owned(), name.to_owned());
            assert_eq!(Config::from_map(&vars).unwrap().vault, kind, "{name}");
        }
        assert_eq!(Config::from_map(&vars("https://auth.example.com")).unwrap().vault, VaultKind::SecretsManager);
        for wrong in ["Sealed", "kms", "sealed "] {
            let mut vars = vars("https://auth.example.com");
            vars.insert("GRANTKEEPER_VAULT".to_owned(), wrong.to_owned());
            let error = Config::from_map(&vars).err().map(|error| error.to_string()).unwrap_or_default();
            let expected = "the environment variable GRANTKEEPER_VAULT is wrong: it must be secretsmanager or sealed";
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn the_public_url_must_be_an_https_origin() {
        for bad in ["http://auth.example.com", "auth.example.com", "https://a.example/path", "https://a.example/?q"] {
            assert!(Config::from_map(&vars(bad)).is_err(), "{bad}");
        }
        for good in ["https://auth.example.com", "https://auth.example.com/", "http://127.0.0.1:8080"] {
            let config = Config::from_map(&vars(good)).unwrap();
            assert!(!config.public_url.ends_with('/'));
        }
    }

    #[test]
    fn what_is_wrong_about_the_way_out_is_named_without_its_value() {
        for (name, value, why) in [
            ("GRANTKEEPER_PRIVATE_ORIGINS", "https://10.1.2.3 http://CANARY", "entry 2 is not an https origin"),
            ("GRANTKEEPER_PRIVATE_ORIGINS", "https://127.0.0.1:9001", "entry 1 names a loopback"),
            ("GRANTKEEPER_PRIVATE_ORIGINS", "https://10.7.7.7", "or the Lambda runtime, which are never reached"),
            ("GRANTKEEPER_PRIVATE_ORIGINS", "https://10.8.8.8:8443", "or the Lambda runtime, which are never reached"),
            ("GRANTKEEPER_PROXY", "socks5://user:CANARY@proxy.example", "http:// or https:// URL of a proxy"),
            ("GRANTKEEPER_CA_BUNDLE", "/nonexistent/CANARY.pem", "the file cannot be read"),
        ] {
            let mut vars = vars("https://auth.example.com");
            vars.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), "10.7.7.7:9001".to_owned());
            vars.insert("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), "http://10.8.8.8/v1/credentials".to_owned());
            vars.insert(name.to_owned(), value.to_owned());
            let error = Config::from_map(&vars).err().map(|error| format!("{error} {error:?}")).unwrap_or_default();
            assert!(error.starts_with(&format!("the environment variable {name} is wrong: ")), "{error}");
            assert!(error.contains(why) && !error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn the_way_out_is_direct_unless_it_is_set_and_its_password_is_not_printed() {
        let mut vars = vars("https://auth.example.com");
        for name in ["GRANTKEEPER_PRIVATE_ORIGINS", "GRANTKEEPER_PROXY", "GRANTKEEPER_CA_BUNDLE"] {
            vars.insert(name.to_owned(), String::new());
        }
        assert!(Config::from_map(&vars).unwrap().way_out.proxy.is_none());
        vars.insert("GRANTKEEPER_PROXY".to_owned(), "http://user:CANARY@proxy.example:3128".to_owned());
        vars.insert("GRANTKEEPER_PRIVATE_ORIGINS".to_owned(), "https://dhis2.intra.example".to_owned());
        let config = Config::from_map(&vars).unwrap();
        assert!(config.way_out.proxy.is_some());
        assert!(!format!("{config:?}").contains("CANARY"));
    }
}
