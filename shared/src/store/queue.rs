//! The queue of refresh work (SQS).

use aws_sdk_sqs::Client as Sdk;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::StoreError;
use crate::refresh::sweep::Work;

/// The most that SQS takes in one call.
const BATCH: usize = 10;

/// Where work is sent to.
#[derive(Clone)]
pub struct RefreshQueue {
    sdk: Sdk,
    url: String,
}

impl RefreshQueue {
    /// A queue by its URL.
    pub fn new(sdk: Sdk, url: impl Into<String>) -> Self {
        Self { sdk, url: url.into() }
    }

    /// Sends work. A piece that is sent twice does no harm: lease and generation make the second one void.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a piece was not taken.
    pub async fn send(&self, work: &[Work]) -> Result<(), StoreError> {
        for batch in work.chunks(BATCH) {
            let mut entries = Vec::with_capacity(batch.len());
            for (index, piece) in batch.iter().enumerate() {
                let body = serde_json::to_string(piece).map_err(|_| StoreError::Corrupt)?;
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                entries.push(entry.build().map_err(|_| StoreError::Corrupt)?);
            }
            let sent = self.sdk.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
            let answer = sent.map_err(|error| {
                let code = error.as_service_error().and_then(|error| error.code()).unwrap_or("no answer");
                tracing::warn!(dependency = "sqs", code, "the queue did not take the work");
                StoreError::Unavailable
            })?;
            if !answer.failed.is_empty() {
                return Err(StoreError::Unavailable);
            }
        }
        Ok(())
    }
}
