//! What is read with every call and seldom changes, kept in the process for at most 30 seconds: so a revoked key or a
//! changed client is felt everywhere within 30 seconds.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Duration;

use crate::clock::Timestamp;

/// The longest that a record is believed (seconds).
pub(crate) const SECONDS: i64 = 30;
/// The most records that are kept; past it the cache starts anew.
const CAPACITY: usize = 10_000;

/// Records with the time they were read.
type Entries<K, V> = HashMap<K, (Timestamp, Arc<V>)>;

/// A small cache whose time is the broker's clock.
pub(crate) struct Cache<K, V> {
    entries: Mutex<Entries<K, V>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<K: Eq + Hash, V> Cache<K, V> {
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<Arc<V>> {
        let entries = self.lock();
        let (read_at, value) = entries.get(key)?;
        let age = now - *read_at;
        (age >= Duration::zero() && age < Duration::seconds(SECONDS)).then(|| value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V, now: Timestamp) -> Arc<V> {
        let value = Arc::new(value);
        let mut entries = self.lock();
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        entries.insert(key, (now, value.clone()));
        value
    }

    pub(crate) fn remove(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_believed_for_thirty_seconds_and_no_longer() {
        let cache = Cache::default();
        let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
        cache.insert("key", 1, at(100));
        assert_eq!(cache.get(&"key", at(129)).as_deref(), Some(&1));
        assert_eq!(cache.get(&"key", at(130)), None);
        assert_eq!(cache.get(&"key", at(99)), None, "a clock that went back proves nothing");
        cache.remove(&"key");
        assert_eq!(cache.get(&"key", at(101)), None);
    }
}
