//! A clock that runs, some time ahead of the machine's: several processes can show the same time and be moved together.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::Duration;
use grantkeeper::clock::{Clock, SystemClock, Timestamp};

/// The machine's time and so many seconds. Clones move together.
#[derive(Debug, Clone, Default)]
pub struct Ahead(Arc<AtomicI64>);

impl Ahead {
    /// A clock that is so many seconds ahead.
    pub fn by(seconds: i64) -> Self {
        Self(Arc::new(AtomicI64::new(seconds)))
    }

    /// How far ahead it is (seconds).
    pub fn seconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves the clock so far ahead of the machine's (seconds).
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::seconds(self.seconds())
    }
}
