//! What is read with every call and seldom changes, kept in the process for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Duration;

use crate::clock::Timestamp;

/// The most records that are kept; past it the cache starts anew.
const CAPACITY: usize = 10_000;

/// Records with the time they were read.
type Entries<K, V> = HashMap<K, (Timestamp, Arc<V>)>;

/// A small cache whose time is the broker's clock.
pub(crate) struct Cache<K, V> {
    believed_for: Duration,
    entries: Mutex<Entries<K, V>>,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// Of records that are believed for so long.
    pub(crate) fn lasting(believed_for: Duration) -> Self {
        Self { believed_for, entries: Mutex::default() }
    }

    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<Arc<V>> {
        let entries = self.lock();
        let (read_at, value) = entries.get(key)?;
        let age = now - *read_at;
        (age >= Duration::zero() && age < self.believed_for).then(|| value.clone())
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
    fn a_record_is_believed_for_its_time_and_no_longer() {
        let cache = Cache::lasting(Duration::seconds(30));
        let at = |seconds| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
        cache.insert("key", 1, at(100));
        assert_eq!(cache.get(&"key", at(129)).as_deref(), Some(&1));
        assert_eq!(cache.get(&"key", at(130)), None);
        assert_eq!(cache.get(&"key", at(99)), None, "a clock that went back proves nothing");
        cache.remove(&"key");
        assert_eq!(cache.get(&"key", at(101)), None);
    }
}
