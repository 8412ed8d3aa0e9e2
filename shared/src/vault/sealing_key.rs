//! The sealing keys of the projects: each an immutable secret of its own in Secrets Manager, named
//! `{prefix}/{project}/sealing-key/{number}`, counted from 1.
//!
//! A key is created together with its value, so a name has one value for ever, whoever else creates it at the same time;
//! and it is read back before anything is sealed with it. No key is ever deleted by the program: a key that is gone takes
//! everything with it that it sealed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration as StdDuration;

use aws_sdk_secretsmanager::Client as Sdk;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
use chrono::Duration;
use zeroize::Zeroize as _;

use super::aead::KeySource;
use super::root_key::random_token;
use super::{VaultError, VaultResult};
use crate::clock::{Clock, Timestamp};

/// How long the newest key is believed to be the newest (minutes).
const NEWEST_FOR: i64 = 5;
/// How long to leave Secrets Manager alone when it did not say (seconds).
const ASK_AGAIN_AFTER: i64 = 30;
/// The length of a key's value: 256 bits, base64url.
const VALUE_LENGTH: usize = 43;
/// A secret that was created may be unreadable for a moment.
const READ_BACK: [StdDuration; 3] =
    [StdDuration::from_millis(50), StdDuration::from_millis(200), StdDuration::from_millis(500)];

/// One key of a project.
#[derive(Clone)]
pub(super) struct SealingKey {
    pub(super) number: u32,
    pub(super) source: KeySource,
}

/// The keys of all projects, read when needed and kept in the process.
pub(super) struct SealingKeys {
    sdk: Sdk,
    prefix: String,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Default)]
struct Known {
    by_number: BTreeMap<u32, KeySource>,
    /// Until then, the highest number that is known is believed to be the highest.
    believed_until: Option<Timestamp>,
}

impl Known {
    fn highest(&self) -> Option<SealingKey> {
        let (number, source) = self.by_number.last_key_value()?;
        Some(SealingKey { number: *number, source: source.clone() })
    }
}

impl SealingKeys {
    pub(super) fn new(sdk: Sdk, prefix: String, clock: Arc<dyn Clock>) -> Self {
        Self { sdk, prefix, clock, known: Mutex::default() }
    }

    /// The newest key of a project, to seal with; the first one is made here.
    ///
    /// # Errors
    /// `Unavailable` when Secrets Manager does not answer and no key of the project is known.
    pub(super) async fn newest(&self, project: &str) -> VaultResult<SealingKey> {
        let now = self.clock.now();
        let (known, believed_until) = {
            let mut all = self.known();
            let known = all.entry(project.to_owned()).or_default();
            (known.highest(), known.believed_until)
        };
        if let Some(key) = &known
            && believed_until.is_some_and(|until| now < until)
        {
            return Ok(key.clone());
        }
        match self.look_for_newest(project, known.clone()).await {
            Ok(key) => {
                self.believe(project, now + Duration::minutes(NEWEST_FOR));
                Ok(key)
            }
            // An older key still seals. What is sealed now may be a refresh token that the provider gave a moment ago.
            Err(error) => {
                let key = known.ok_or(error)?;
                self.believe(project, now + Duration::seconds(ASK_AGAIN_AFTER));
                Ok(key)
            }
        }
    }

    /// A given key, to open with what was sealed with it.
    ///
    /// # Errors
    /// `Missing`, `Unavailable`.
    pub(super) async fn numbered(&self, project: &str, number: u32) -> VaultResult<SealingKey> {
        let known = self.known().get(project).and_then(|known| known.by_number.get(&number).cloned());
        match known {
            Some(source) => Ok(SealingKey { number, source }),
            None => self.fetch(project, number).await,
        }
    }

    /// Makes the next key. It seals at once in this process, and elsewhere within [`NEWEST_FOR`] minutes.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(super) async fn rotate(&self, project: &str) -> VaultResult<u32> {
        let known = self.known().get(project).and_then(Known::highest);
        let newest = self.follow(project, known).await?;
        let next = self.create(project, newest.map_or(1, |newest| newest.number + 1)).await?;
        self.believe(project, self.clock.now() + Duration::minutes(NEWEST_FOR));
        Ok(next.number)
    }

    async fn look_for_newest(&self, project: &str, known: Option<SealingKey>) -> VaultResult<SealingKey> {
        match self.follow(project, known).await? {
            Some(newest) => Ok(newest),
            None => self.create(project, 1).await,
        }
    }

    /// Asks for the key after this one, and the one after that, until there is none.
    async fn follow(&self, project: &str, mut newest: Option<SealingKey>) -> VaultResult<Option<SealingKey>> {
        loop {
            match self.fetch(project, newest.as_ref().map_or(1, |newest| newest.number + 1)).await {
                Ok(next) => newest = Some(next),
                Err(VaultError::Missing) => return Ok(newest),
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the key of this number, or takes the one that another call made.
    async fn create(&self, project: &str, number: u32) -> VaultResult<SealingKey> {
        let value = random_token().map_err(|_| VaultError::Unavailable)?;
        let create = self.sdk.create_secret().name(self.name(project, number)).secret_string(value.expose());
        if let Err(error) = create.description("Seals tokens of Grantkeeper. Without it they are lost.").send().await {
            let exists = error.as_service_error().is_some_and(|service| service.is_resource_exists_exception());
            if !exists {
                let code = error.as_service_error().and_then(|error| error.code()).unwrap_or("no answer");
                tracing::error!(dependency = "secretsmanager", code, project, number, "a sealing key cannot be made");
                return Err(VaultError::Unavailable);
            }
        }
        // Whoever made it: what is sealed is sealed with the value that is kept.
        for pause in READ_BACK {
            match self.fetch(project, number).await {
                Err(VaultError::Missing) => tokio::time::sleep(pause).await,
                read => return read,
            }
        }
        Err(VaultError::Unavailable)
    }

    async fn fetch(&self, project: &str, number: u32) -> VaultResult<SealingKey> {
        let answer = self.sdk.get_secret_value().secret_id(self.name(project, number)).send().await;
        let mut value = match answer {
            Ok(answer) => answer.secret_string.unwrap_or_default(),
            Err(error) => {
                let service = error.as_service_error();
                if service.is_some_and(|service| service.is_resource_not_found_exception()) {
                    return Err(VaultError::Missing);
                }
                let code = service.and_then(|error| error.code()).unwrap_or("no answer");
                tracing::error!(dependency = "secretsmanager", code, project, number, "a sealing key cannot be read");
                return Err(VaultError::Unavailable);
            }
        };
        if value.len() != VALUE_LENGTH {
            value.zeroize();
            tracing::error!(dependency = "secretsmanager", project, number, "a sealing key is not one");
            return Err(VaultError::Unavailable);
        }
        let source = KeySource::new(b"grantkeeper sealing key", &value);
        value.zeroize();
        self.known().entry(project.to_owned()).or_default().by_number.insert(number, source.clone());
        Ok(SealingKey { number, source })
    }

    fn name(&self, project: &str, number: u32) -> String {
        format!("{}/{project}/sealing-key/{number}", self.prefix)
    }

    fn believe(&self, project: &str, until: Timestamp) {
        self.known().entry(project.to_owned()).or_default().believed_until = Some(until);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
