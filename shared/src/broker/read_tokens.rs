//! Reads access tokens of many credentials in one call.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Broker;
use super::access::Caller;
use super::read_token::{Delivered, Reading, TokenRequest};
use crate::error::{Error, Result};
use crate::model::principal::Role;

/// The most credentials of one call.
const MAX_CREDENTIALS: usize = 100;
/// How many are read at a time.
const AT_A_TIME: usize = 8;
/// How long after the call's beginning a read is still begun: the answer must be written before the function ends.
const BEGIN_WITHIN: Duration = Duration::from_secs(15);

/// The body of `POST /v1/tokens`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokensRequest {
    /// The credentials, 1 to 100.
    pub credentials: Vec<String>,
    /// The life that must be left (seconds).
    #[serde(default)]
    pub min_ttl: Option<i64>,
    /// What the tokens are for; kept in the log.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The caller's own reference; kept in the log.
    #[serde(default, rename = "ref")]
    pub reference: Option<String>,
}

/// What was read, for each credential that was asked.
pub struct Deliveries {
    asked: Vec<String>,
    read: BTreeMap<String, Result<Delivered>>,
}

impl Deliveries {
    /// The credentials in the order asked, each with its token or with why there is none.
    pub fn items(&self) -> impl Iterator<Item = (&str, &Result<Delivered>)> {
        self.asked.iter().filter_map(|id| Some((id.as_str(), self.read.get(id)?)))
    }
}

impl Broker {
    /// Reads access tokens: for each credential what [`Broker::read_token`] would answer. A credential that is named twice
    /// is read once.
    ///
    /// # Errors
    /// Only what holds for all of them alike; the others are in the answer. What could not be begun in time is
    /// [`Error::Refreshing`] there.
    pub async fn read_tokens(&self, caller: &Caller, request: TokensRequest) -> Result<Deliveries> {
        let TokensRequest { credentials, min_ttl, purpose, reference } = request;
        let request = TokenRequest { min_ttl, purpose, reference };
        let reading = Reading::check(caller, &request)?;
        match credentials.len() {
            0 => return Err(Error::field("/credentials", "empty", "Name at least one credential.")),
            1..=MAX_CREDENTIALS => {}
            _ => {
                let rule = format!("At most {MAX_CREDENTIALS} credentials in one call.");
                return Err(Error::field("/credentials", "too_many", rule));
            }
        }
        if caller.key.role == Role::Platform {
            caller.require_user()?;
        }
        let mut once = credentials.clone();
        once.sort();
        once.dedup();
        let reads: Vec<_> = once.iter().map(|id| self.read_in_time(&reading, id)).collect();
        let results: Vec<_> = futures::stream::iter(reads).buffered(AT_A_TIME).collect().await;
        Ok(Deliveries { asked: credentials, read: once.into_iter().zip(results).collect() })
    }

    async fn read_in_time(&self, reading: &Reading<'_>, id: &str) -> Result<Delivered> {
        if reading.begun.elapsed() >= BEGIN_WITHIN {
            return Err(Error::Refreshing { retry_after: Duration::from_secs(1) });
        }
        let read = self.read_one(reading, id).await;
        if let Err(error) = &read {
            tracing::info!(credential = id, %error, "one of many tokens was not read");
        }
        read
    }
}
