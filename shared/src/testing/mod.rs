//! What tests share: a clock that stands still, makers of models, and the contracts of store and vault as suites.

pub mod fixtures;
pub mod reference;
pub mod store_contract;
pub mod suite;
pub mod vault_contract;

use std::sync::{Arc, Mutex, PoisonError};

use chrono::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that shows one instant until it is moved. Its clones show the same instant and move together.
#[derive(Debug, Clone)]
pub struct FixedClock(Arc<Mutex<Timestamp>>);

impl FixedClock {
    /// A clock that shows this instant.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Moves the clock, and with it all its clones.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_clock_move_together() {
        let clock = FixedClock::at(fixtures::start());
        let clone = clock.clone();
        assert_eq!(clone.now(), fixtures::start());
        clock.advance(Duration::seconds(90));
        assert_eq!(clone.now(), fixtures::start() + Duration::seconds(90));
    }
}
