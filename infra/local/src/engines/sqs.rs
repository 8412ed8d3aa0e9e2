//! SQS: `winterbaume-sqs` in memory, with the queue of due refreshes and its dead-letter queue.

use axum::body::Bytes;
use serde_json::{Value, json};
use winterbaume_core::{DEFAULT_ACCOUNT_ID, MockService};
use winterbaume_sqs::SqsService;

use super::{Answer, REGION, mock_request};

const QUEUE: &str = "gk-refresh";
const APART_QUEUE: &str = "gk-refresh-apart";
const DEAD_LETTER_QUEUE: &str = "gk-refresh-dlq";

/// The path of the URL of the queue of due refreshes: account and name.
pub(super) fn queue_path() -> String {
    format!("{DEFAULT_ACCOUNT_ID}/{QUEUE}")
}

/// The path of the URL of the queue of what is kept apart.
pub(super) fn apart_queue_path() -> String {
    format!("{DEFAULT_ACCOUNT_ID}/{APART_QUEUE}")
}

pub(super) struct Queues(SqsService);

impl Queues {
    /// An engine with `gk-refresh` and `gk-refresh-apart` (visibility timeout 120 seconds) and `gk-refresh-dlq` (after three
    /// deliveries).
    pub(super) async fn create() -> anyhow::Result<Self> {
        let queues = Self(SqsService::new());
        queues.create_queue(&json!({ "QueueName": DEAD_LETTER_QUEUE })).await?;
        let dead_letters = format!("arn:aws:sqs:{REGION}:{DEFAULT_ACCOUNT_ID}:{DEAD_LETTER_QUEUE}");
        let redrive = json!({ "deadLetterTargetArn": dead_letters, "maxReceiveCount": 3 }).to_string();
        let attributes = json!({ "VisibilityTimeout": "120", "RedrivePolicy": redrive });
        for queue in [QUEUE, APART_QUEUE] {
            queues.create_queue(&json!({ "QueueName": queue, "Attributes": attributes })).await?;
        }
        Ok(queues)
    }

    pub(super) async fn answer(&self, action: &str, body: Bytes) -> Answer {
        match mock_request("AmazonSQS", action, body) {
            Some(request) => self.0.handle(request).await.into(),
            None => Answer::error(400, "InvalidAction", "The action is not a valid name."),
        }
    }

    async fn create_queue(&self, request: &Value) -> anyhow::Result<()> {
        let answer = self.answer("CreateQueue", request.to_string().into()).await;
        anyhow::ensure!(answer.status == 200, "the SQS engine refused a queue: {}", answer.body);
        Ok(())
    }
}
