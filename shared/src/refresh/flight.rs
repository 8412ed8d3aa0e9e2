//! One refresh per process and generation: whoever comes second waits for the first, and shares its outcome and its poll.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::model::credential::Credential;
use crate::model::ids::CredentialId;

/// The longest list of flights before those that have landed are forgotten.
const MANY: usize = 1024;

/// What came of the one that flew.
#[derive(Default)]
pub(super) enum Landing {
    /// It has not landed, or it was dropped on the way.
    #[default]
    None,
    /// A newer generation.
    Newer(Box<Credential>),
    /// No tokens; what is stored says why.
    Failed,
}

/// The seat of whoever refreshes one generation of one credential. It is held for as long as that takes.
pub(super) type Seat = tokio::sync::Mutex<Landing>;

type Flying = HashMap<(CredentialId, u64), Weak<Seat>>;

/// The refreshes that this process has under way.
#[derive(Default)]
pub(crate) struct Flights(Mutex<Flying>);

impl Flights {
    /// The flight of this generation; a new one where none is under way.
    pub(super) fn board(&self, id: &CredentialId, generation: u64) -> Arc<Seat> {
        let mut flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if flying.len() >= MANY {
            flying.retain(|_, seat| seat.strong_count() > 0);
        }
        let entry = flying.entry((id.clone(), generation)).or_default();
        if let Some(seat) = entry.upgrade() {
            return seat;
        }
        let seat = Arc::new(Seat::default());
        *entry = Arc::downgrade(&seat);
        seat
    }
}
