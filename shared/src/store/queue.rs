//! The queues of refresh work (SQS): one for the usual, one for work whose provider is slow or fails, so that it holds up
//! nobody else. Each has workers of its own.

use aws_sdk_sqs::Client as Sdk;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::StoreError;
use crate::refresh::sweep::Work;

/// The most that SQS takes in one call.
const BATCH: usize = 10;
/// How many calls are made at once.
const AT_ONCE: usize = 8;

/// Where work is sent to.
#[derive(Clone)]
pub struct RefreshQueue {
    sdk: Sdk,
    url: String,
    apart_url: String,
}

impl RefreshQueue {
    /// The queues by their URLs: the usual one, and that of work which is kept apart.
    pub fn new(sdk: Sdk, url: impl Into<String>, apart_url: impl Into<String>) -> Self {
        Self { sdk, url: url.into(), apart_url: apart_url.into() }
    }

    /// Sends work. A piece that is sent twice does no harm: lease and generation make the second one void.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a piece was not taken.
    pub async fn send(&self, work: &[Work]) -> Result<(), StoreError> {
        let mut batches = Vec::new();
        for (url, is_apart) in [(&self.url, false), (&self.apart_url, true)] {
            let of_queue: Vec<&Work> = work.iter().filter(|piece| piece.apart == is_apart).collect();
            for batch in of_queue.chunks(BATCH) {
                batches.push((url.clone(), entries(batch)?));
            }
        }
        let sent = stream::iter(batches).map(|(url, entries)| self.send_batch(url, entries)).buffer_unordered(AT_ONCE);
        sent.try_collect().await
    }

    async fn send_batch(&self, url: String, entries: Vec<SendMessageBatchRequestEntry>) -> Result<(), StoreError> {
        let sent = self.sdk.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await;
        let answer = sent.map_err(unavailable)?;
        if answer.failed.is_empty() { Ok(()) } else { Err(StoreError::Unavailable) }
    }

    /// About how much waits in both queues.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a queue does not answer.
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        let mut waiting = 0;
        for url in [&self.url, &self.apart_url] {
            let name = QueueAttributeName::ApproximateNumberOfMessages;
            let asked = self.sdk.get_queue_attributes().queue_url(url).attribute_names(name.clone());
            let answer = asked.send().await.map_err(unavailable)?;
            let count = answer.attributes.as_ref().and_then(|all| all.get(&name)?.parse::<u64>().ok());
            waiting += count.unwrap_or_default();
        }
        Ok(waiting)
    }
}

fn entries(batch: &[&Work]) -> Result<Vec<SendMessageBatchRequestEntry>, StoreError> {
    let mut entries = Vec::with_capacity(batch.len());
    for (index, piece) in batch.iter().enumerate() {
        let body = serde_json::to_string(piece).map_err(|_| StoreError::Corrupt)?;
        let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
        entries.push(entry.build().map_err(|_| StoreError::Corrupt)?);
    }
    Ok(entries)
}

fn unavailable<E: ProvideErrorMetadata>(error: SdkError<E>) -> StoreError {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or("no answer");
    tracing::warn!(dependency = "sqs", code, "a queue did not do what it was asked");
    StoreError::Unavailable
}
