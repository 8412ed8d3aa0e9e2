//! What an SQS event source mapping does for a Lambda function: receives batches, invokes, deletes what succeeded.

use std::collections::HashSet;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage, SqsMessageAttribute};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};

/// The most messages in one event.
const BATCH: i32 = 10;

/// How long one request waits for a message, in seconds: the most SQS allows.
const LONG_POLL_SECONDS: i32 = 20;

/// The pause after a queue that cannot be read.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Hands the messages of a queue to `handler` until `shutdown` resolves; a batch in hand is finished first.
///
/// As with `ReportBatchItemFailures`: messages that the answer does not list are deleted, the others come back after the
/// visibility timeout. A handler error, or an answer that lists an unknown message, deletes nothing.
pub async fn poll<F, Fut, E>(sqs: Client, queue_url: String, mut handler: F, shutdown: impl Future<Output = ()>)
where
    F: FnMut(SqsEvent) -> Fut,
    Fut: Future<Output = Result<SqsBatchResponse, E>>,
    E: Display,
{
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let received = tokio::select! {
            biased;
            () = &mut shutdown => return,
            received = receive(&sqs, &queue_url) => received,
        };
        let messages = match received {
            Ok(messages) if messages.is_empty() => continue,
            Ok(messages) => messages,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                tokio::select! {
                    () = &mut shutdown => return,
                    () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => continue,
                }
            }
        };
        match handler(event(&sqs, &queue_url, &messages)).await {
            Ok(response) => delete(&sqs, &queue_url, succeeded(&messages, &response)).await,
            Err(error) => {
                tracing::warn!(%error, messages = messages.len(), "a batch failed and will be delivered again")
            }
        }
    }
}

async fn receive(sqs: &Client, queue_url: &str) -> Result<Vec<Message>, String> {
    let request = sqs.receive_message().queue_url(queue_url).max_number_of_messages(BATCH);
    let request = request.wait_time_seconds(LONG_POLL_SECONDS).message_attribute_names("All");
    let received = request.message_system_attribute_names(MessageSystemAttributeName::All).send().await;
    match received {
        Ok(received) => Ok(received.messages.unwrap_or_default()),
        Err(error) => Err(DisplayErrorContext(error).to_string()),
    }
}

fn event(sqs: &Client, queue_url: &str, messages: &[Message]) -> SqsEvent {
    let region = sqs.config().region().map(ToString::to_string).unwrap_or_default();
    let mut account_and_name = queue_url.rsplit('/').take(2).collect::<Vec<_>>();
    account_and_name.reverse();
    let arn = format!("arn:aws:sqs:{region}:{}", account_and_name.join(":"));
    let mut event = SqsEvent::default();
    event.records = messages.iter().map(|message| record(message, &region, &arn)).collect();
    event
}

fn record(message: &Message, region: &str, queue_arn: &str) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = message.message_id.clone();
    record.receipt_handle = message.receipt_handle.clone();
    record.body = message.body.clone();
    record.md5_of_body = message.md5_of_body.clone();
    record.md5_of_message_attributes = message.md5_of_message_attributes.clone();
    let attributes = message.attributes.iter().flatten();
    record.attributes = attributes.map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect();
    for (name, value) in message.message_attributes.iter().flatten() {
        let mut attribute = SqsMessageAttribute::default();
        attribute.string_value = value.string_value.clone();
        attribute.data_type = Some(value.data_type.clone());
        record.message_attributes.insert(name.clone(), attribute);
    }
    record.event_source = Some("aws:sqs".to_owned());
    record.event_source_arn = Some(queue_arn.to_owned());
    record.aws_region = Some(region.to_owned());
    record
}

/// The messages to delete: those that the answer does not list. One unknown id in the list fails the whole batch.
fn succeeded<'a>(messages: &'a [Message], response: &SqsBatchResponse) -> Vec<&'a Message> {
    let failed: HashSet<_> =
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    let (failures, successes): (Vec<_>, Vec<_>) =
        messages.iter().partition(|message| message.message_id().is_some_and(|id| failed.contains(id)));
    if failures.len() == failed.len() { successes } else { Vec::new() }
}

async fn delete(sqs: &Client, queue_url: &str, messages: Vec<&Message>) {
    if messages.is_empty() {
        return;
    }
    let entries = messages.iter().enumerate().map(|(index, message)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
        entry.set_receipt_handle(message.receipt_handle.clone()).build()
    });
    let Ok(entries) = entries.collect::<Result<Vec<_>, _>>() else {
        tracing::warn!("a message without a receipt handle cannot be deleted");
        return;
    };
    match sqs.delete_message_batch().queue_url(queue_url).set_entries(Some(entries)).send().await {
        Ok(deleted) if deleted.failed.is_empty() => {}
        Ok(deleted) => tracing::warn!(messages = deleted.failed.len(), "messages were not deleted and will come back"),
        Err(error) => tracing::warn!(error = %DisplayErrorContext(error), "a batch was not deleted and will come back"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_sdk_sqs::types::QueueAttributeName;
    use tokio::time::timeout;

    use super::*;
    use crate::engines::Engines;

    /// The queue of the engines, with a visibility timeout that a test can wait for.
    async fn queue(engines: &Engines) -> Client {
        let sqs = Client::new(&engines.sdk_config());
        let timeout = sqs.set_queue_attributes().queue_url(engines.queue_url());
        timeout.attributes(QueueAttributeName::VisibilityTimeout, "1").send().await.unwrap();
        for body in ["good", "bad"] {
            sqs.send_message().queue_url(engines.queue_url()).message_body(body).send().await.unwrap();
        }
        sqs
    }

    fn body(record: &SqsMessage) -> &str {
        record.body.as_deref().unwrap()
    }

    /// Polls with `handler` until it has seen `count` messages; returns their bodies in order of delivery.
    async fn deliveries(
        engines: &Engines,
        sqs: &Client,
        count: usize,
        handler: impl Fn(&SqsEvent) -> Result<SqsBatchResponse, String>,
    ) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (done, finished) = tokio::sync::oneshot::channel::<()>();
        let done = Mutex::new(Some(done));
        let handle = |event: SqsEvent| {
            let mut seen = seen.lock().unwrap();
            seen.extend(event.records.iter().map(|record| body(record).to_owned()));
            if seen.len() >= count {
                done.lock().unwrap().take();
            }
            std::future::ready(handler(&event))
        };
        let shutdown = async { drop(finished.await) };
        let poll = poll(sqs.clone(), engines.queue_url().to_owned(), handle, shutdown);
        timeout(Duration::from_secs(10), poll).await.expect("delivered in time");
        seen.lock().unwrap().clone()
    }

    async fn in_queue(engines: &Engines, sqs: &Client) -> usize {
        let request = sqs.get_queue_attributes().queue_url(engines.queue_url());
        let got = request.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
        let of = |name| got[&name].parse::<usize>().unwrap();
        of(QueueAttributeName::ApproximateNumberOfMessages)
            + of(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
    }

    #[tokio::test]
    async fn a_message_that_failed_comes_back_and_one_that_succeeded_does_not() {
        let engines = Engines::start(None).await.unwrap();
        let sqs = queue(&engines).await;
        let mut seen = deliveries(&engines, &sqs, 3, |event| {
            let mut response = SqsBatchResponse::default();
            for record in &event.records {
                let first = record.attributes["ApproximateReceiveCount"] == "1";
                assert_eq!(record.event_source.as_deref(), Some("aws:sqs"));
                assert_eq!(record.event_source_arn.as_deref(), Some("arn:aws:sqs:us-east-1:123456789012:gk-refresh"));
                if first && body(record) == "bad" {
                    response.add_failure(record.message_id.clone().unwrap());
                }
            }
            Ok(response)
        })
        .await;
        seen.sort_unstable();
        assert_eq!(seen, ["bad", "bad", "good"]);
        assert_eq!(in_queue(&engines, &sqs).await, 0);
    }

    #[tokio::test]
    async fn a_failed_batch_and_an_unknown_failure_delete_nothing() {
        let engines = Engines::start(None).await.unwrap();
        let sqs = queue(&engines).await;
        deliveries(&engines, &sqs, 2, |_| Err("broken".to_owned())).await;
        assert_eq!(in_queue(&engines, &sqs).await, 2);
        deliveries(&engines, &sqs, 2, |_| {
            let mut response = SqsBatchResponse::default();
            response.add_failure("unknown");
            Ok(response)
        })
        .await;
        assert_eq!(in_queue(&engines, &sqs).await, 2);
    }

    #[tokio::test]
    async fn a_message_that_always_fails_ends_in_the_dead_letter_queue() {
        let engines = Engines::start(None).await.unwrap();
        let sqs = queue(&engines).await;
        deliveries(&engines, &sqs, 6, |_| Err("broken".to_owned())).await;
        let dead_letters = format!("{}-dlq", engines.queue_url());
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(sqs.receive_message().queue_url(engines.queue_url()).send().await.unwrap().messages.is_none());
        let dead = sqs.receive_message().queue_url(dead_letters).max_number_of_messages(10).send().await.unwrap();
        assert_eq!(dead.messages().len(), 2);
    }
}
