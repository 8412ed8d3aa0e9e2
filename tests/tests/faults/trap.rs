//! What goes wrong with one worker's store or vault, and when.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// A call of the refresh engine at which something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The vault opens a document.
    Open,
    /// The vault obtains what the next version will need.
    Prepare,
    /// S1: lease and intent.
    Acquire,
    /// The note that an answer was lost.
    NoteUnknown,
    /// The note that an older refresh token is about to be presented.
    NoteTried,
    /// The vault takes what the provider gave.
    Stage,
    /// S5.
    Commit,
    /// The end of an attempt without tokens.
    Release,
    /// What a request showed of the endpoint.
    NoteHealth,
}

/// What somebody else does meanwhile.
pub type Meanwhile = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What goes wrong.
pub enum Way {
    /// The worker dies before the call has an effect.
    DieBefore,
    /// The worker dies when the call had its effect.
    DieAfter,
    /// The call is throttled so often, without an effect.
    Fail(u32),
    /// The call has its effect, and the answer is lost.
    LoseAnswer,
    /// Somebody else is first.
    Before(Meanwhile),
    /// Something happens before the worker goes on.
    After(Meanwhile),
}

impl fmt::Debug for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Way::DieBefore => "die before",
            Way::DieAfter => "die after",
            Way::Fail(_) => "fail",
            Way::LoseAnswer => "lose the answer",
            Way::Before(_) => "somebody else before",
            Way::After(_) => "something after",
        })
    }
}

/// One thing that goes wrong with one worker.
#[derive(Debug)]
pub struct Trap {
    at: Option<(Op, Way)>,
    left: AtomicU32,
    sprung: AtomicU32,
    died: Notify,
}

impl Trap {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self { at: None, left: AtomicU32::new(0), sprung: AtomicU32::new(0), died: Notify::new() }
    }

    /// At the first such call; a [`Way::Fail`] at as many as it says.
    pub fn at(op: Op, way: Way) -> Self {
        let times = if let Way::Fail(times) = way { times } else { 1 };
        Self { at: Some((op, way)), left: AtomicU32::new(times), ..Self::none() }
    }

    /// Whether the worker came to where it goes wrong.
    pub fn has_sprung(&self) -> bool {
        self.sprung.load(Ordering::SeqCst) > 0
    }

    /// Resolves when the worker has died: nothing more happens until its future is dropped.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// A call of the worker, or what becomes of it. `unavailable` is what a store or vault says that does not answer.
    pub async fn around<T, E>(
        &self,
        op: Op,
        unavailable: E,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let way = match &self.at {
            Some((at, way)) if *at == op && self.is_left() => way,
            _ => return call.await,
        };
        self.sprung.fetch_add(1, Ordering::SeqCst);
        match way {
            Way::DieBefore => self.die().await,
            Way::DieAfter => {
                drop(call.await);
                self.die().await
            }
            Way::Fail(_) => Err(unavailable),
            Way::LoseAnswer => {
                drop(call.await);
                Err(unavailable)
            }
            Way::Before(others) => {
                others().await;
                call.await
            }
            Way::After(others) => {
                let done = call.await;
                others().await;
                done
            }
        }
    }

    fn is_left(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    async fn die<T>(&self) -> T {
        self.died.notify_one();
        std::future::pending().await
    }
}
