//! The only place that asks the time.

use chrono::{DateTime, Utc};

/// An instant, always UTC.
pub type Timestamp = DateTime<Utc>;

/// Where the broker gets the time from. Everything below takes `now` as an argument.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the time")]
    fn now(&self) -> Timestamp {
        Utc::now()
    }
}
