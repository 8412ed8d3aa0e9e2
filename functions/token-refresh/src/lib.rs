//! The Lambda function that finds what is due and refreshes it.

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures::stream::{self, StreamExt as _};
use grantkeeper::broker::Broker;
use grantkeeper::error::{Error, Result};
use grantkeeper::refresh::sweep::Work;
use serde_json::{Value, json};

/// How many refreshes of one batch run at once.
const AT_ONCE: usize = 10;

/// What the function was called with.
pub enum Event {
    /// The schedule's `{"tick": true}`, every minute.
    Tick,
    /// Work from the queue.
    Batch(SqsEvent),
}

impl Event {
    /// Tells the two events apart.
    ///
    /// # Errors
    /// [`Error::Malformed`] for anything else.
    pub fn parse(event: Value) -> Result<Self> {
        if event.get("tick") == Some(&Value::Bool(true)) {
            return Ok(Self::Tick);
        }
        match event.get("Records") {
            Some(_) => serde_json::from_value(event)
                .map(Self::Batch)
                .map_err(|_| Error::Malformed("The event is not a batch of the queue.".to_owned())),
            None => Err(Error::Malformed("The event is neither a tick nor a batch of the queue.".to_owned())),
        }
    }
}

/// Handles an event; the answer is what Lambda returns to the event source.
///
/// # Errors
/// When a tick cannot find or hand out the work; a batch reports its failures piece by piece.
pub async fn handle(broker: &Broker, event: Event) -> Result<Value> {
    match event {
        Event::Tick => Ok(json!({ "queued": broker.tick().await? })),
        Event::Batch(batch) => {
            let response = work(broker, batch).await;
            serde_json::to_value(response).map_err(|_| Error::Internal("a batch response cannot be written"))
        }
    }
}

/// Refreshes a batch. Pieces that should come again are reported, the others are done.
pub async fn work(broker: &Broker, batch: SqsEvent) -> SqsBatchResponse {
    let outcomes = stream::iter(batch.records).map(|record| async move {
        let id = record.message_id.unwrap_or_default();
        match serde_json::from_str::<Work>(record.body.as_deref().unwrap_or_default()) {
            Ok(work) => broker.work(&work).await.err().map(|error| {
                tracing::error!(credential = %work.credential, %error, "work comes again");
                id
            }),
            Err(_) => {
                // It will never be readable; the queue's dead-letter queue keeps it for the operator.
                tracing::error!(message_id = %id, "a piece of work cannot be read");
                Some(id)
            }
        }
    });
    let failed: Vec<Option<String>> = outcomes.buffer_unordered(AT_ONCE).collect().await;
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failed
        .into_iter()
        .flatten()
        .map(|id| {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            failure
        })
        .collect();
    response
}
