//! Keeps what was said to a provider and what it answered, redacted (N16).

use super::Engine;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::model::attempt::Attempt;
use crate::model::credential::Credential;
use crate::protocol::advice::Advice;
use crate::protocol::exchange::Exchange;

/// The largest record of one request (bytes of JSON): longer answers are kept without their body.
const MAX_EXCHANGE: usize = 4096;

impl Engine {
    /// Keeps an attempt. It is the `number`-th acquisition of the credential. Never fails what it records.
    pub(crate) async fn record(
        &self,
        credential: &Credential,
        number: u64,
        purpose: &str,
        at: Timestamp,
        exchanges: &[Exchange],
        error: Option<&Error>,
    ) {
        if exchanges.is_empty() {
            return;
        }
        let advice = match error {
            Some(Error::Advised { advice, .. }) => serde_json::to_value(advice.as_ref() as &Advice).ok(),
            _ => None,
        };
        let attempt = Attempt {
            id: uuid::Uuid::new_v4().to_string(),
            at,
            purpose: purpose.to_owned(),
            outcome: error.map_or("ok", Error::code).to_owned(),
            generation: credential.generation,
            exchanges: exchanges.iter().filter_map(written).collect(),
            diagnosis: advice,
        };
        if let Err(error) = self.store.record_attempt(&credential.project, &credential.id, number, &attempt).await {
            tracing::warn!(credential = %credential.id, %error, "an attempt was not recorded");
        }
    }
}

fn written(exchange: &Exchange) -> Option<serde_json::Value> {
    let value = serde_json::to_value(exchange).ok()?;
    if value.to_string().len() <= MAX_EXCHANGE {
        return Some(value);
    }
    serde_json::to_value(Exchange { body: None, ..exchange.clone() }).ok()
}
