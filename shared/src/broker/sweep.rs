//! Hands out what is due to the queues, and does it.

use futures::stream::{self, StreamExt as _};
use tokio::time::{Duration, Instant};

use super::Broker;
use crate::error::{Error, Result};
use crate::refresh::jitter;
use crate::refresh::sweep::{Work, Worked};
use crate::store::{DUE_SHARDS, Due};
use crate::telemetry;

/// How many shards a tick reads at once.
const SHARDS_AT_ONCE: usize = 8;
/// How long a tick goes on finding work: what is left is found by the next one.
const SWEEP_FOR: Duration = Duration::from_secs(15);
/// With so much in a queue, more would only be the same work once more.
const ENOUGH: u64 = 200_000;

/// What one shard gave.
#[derive(Default)]
struct Swept {
    handed_out: usize,
    /// How long the oldest of it has been due (milliseconds).
    oldest: i64,
}

impl Broker {
    /// Sends all work that is due to the queues, as far as a tick's time goes. Returns how much there was.
    ///
    /// # Errors
    /// When the index or a queue does not answer.
    pub async fn tick(&self) -> Result<usize> {
        let (begun, now) = (Instant::now(), self.now());
        let Some(queue) = &self.inner.queue else { return Err(Error::Internal("this function has no refresh queue")) };
        let waiting = queue.waiting().await?;
        telemetry::measure("QueuedWork", waiting, now);
        if waiting >= ENOUGH {
            tracing::warn!(waiting, "the workers are behind; nothing more is queued for now");
            return Ok(0);
        }
        // Beginning elsewhere each time, so that no shard is always the one for which no time is left.
        let first = u32::from(jitter()) % DUE_SHARDS;
        let shards = stream::iter(0..DUE_SHARDS).map(|shard| self.sweep((first + shard) % DUE_SHARDS, begun));
        let all: Vec<Result<Swept>> = shards.buffer_unordered(SHARDS_AT_ONCE).collect().await;
        // A shard that did not answer keeps nobody from the others, and is told at the end.
        let swept: Vec<&Swept> = all.iter().flatten().collect();
        let handed_out = swept.iter().map(|shard| shard.handed_out).sum();
        let oldest = swept.iter().map(|shard| shard.oldest).max().unwrap_or_default();
        telemetry::measure("DueWork", u64::try_from(handed_out).unwrap_or_default(), now);
        telemetry::measure("OldestDueSeconds", u64::try_from(oldest / 1000).unwrap_or_default(), now);
        if let Some(error) = all.into_iter().find_map(Result::err) {
            return Err(error);
        }
        Ok(handed_out)
    }

    async fn sweep(&self, shard: u32, begun: Instant) -> Result<Swept> {
        let (mut swept, mut cursor) = (Swept::default(), None);
        loop {
            if begun.elapsed() >= SWEEP_FOR {
                tracing::warn!(shard, "more is due than a tick has time for");
                return Ok(swept);
            }
            let page = self.engine().find_due(shard, cursor.as_deref()).await?;
            let now = self.now().timestamp_millis();
            swept.handed_out += page.items.len();
            swept.oldest = page.items.iter().map(|due| now - due.due_at).fold(swept.oldest, i64::max);
            self.hand_out(&page.items).await?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(swept);
            }
        }
    }

    async fn hand_out(&self, due: &[Due]) -> Result<()> {
        let Some(queue) = &self.inner.queue else { return Ok(()) };
        let mut work = Vec::with_capacity(due.len());
        for due in due {
            let apart = match &due.client {
                Some(client) => self.engine().is_apart(client).await,
                None => false,
            };
            work.push(Work { apart, ..Work::from(due) });
        }
        Ok(queue.send(&work).await?)
    }

    /// Does one piece of work of the queue.
    ///
    /// # Errors
    /// Only when the work should come again.
    pub async fn work(&self, work: &Work) -> Result<()> {
        match self.engine().work(work, async |_, client| self.client(client).await).await? {
            Worked::Done => Ok(()),
            // One slow provider would hold up the batches of all others.
            Worked::Apart => match &self.inner.queue {
                Some(queue) => Ok(queue.send(&[Work { apart: true, ..work.clone() }]).await?),
                None => Err(Error::Internal("this function has no refresh queue")),
            },
        }
    }
}
