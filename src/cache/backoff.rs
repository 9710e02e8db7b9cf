//! [`Backoff`]: pauses between refreshes of a key that fail.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{key::Key, time::Timestamp};

/// How long the first pause is; each further failure doubles it.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// How many locks guard the keys. Each miss that is stored takes one of them.
const SHARDS: usize = 64;

/// How many keys are remembered under one lock, at most.
const KEYS: usize = 64;

/// Which refreshes are running, and which have failed and are not tried again yet.
///
/// A refresh counts as running until it is known how it ended, which is after its call has settled.
/// So no other begins in between.
#[derive(Debug)]
pub(crate) struct Backoff([Mutex<HashMap<Key, Refreshing>>; SHARDS]);

impl Default for Backoff {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Refreshing {
    is_running: bool,
    failures: u32,
    /// The end of the pause.
    until: Timestamp,
}

impl Refreshing {
    fn is_due(&self, now: Timestamp) -> bool {
        // A pause that ends later than any can was set before the clock was set back.
        let is_over = self.until <= now || self.until > now.saturating_add(LONGEST);
        !self.is_running && is_over
    }
}

impl Backoff {
    /// The keys of the shard of `key`.
    fn lock(&self, key: &Key) -> MutexGuard<'_, HashMap<Key, Refreshing>> {
        // A key is a digest: any of its bytes are as good as a hash.
        let [.., last] = key.as_bytes();
        // The map is whole between any two statements under the lock.
        self.0[usize::from(*last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a refresh of `key` would [begin](Self::begin) now.
    pub(crate) fn is_due(&self, key: &Key, now: Timestamp) -> bool {
        self.lock(key).get(key).is_none_or(|refreshing| refreshing.is_due(now))
    }

    /// Begins a refresh of `key`. `failed`, `succeeded` or `abandoned` ends it. `false` if it must
    /// wait.
    pub(crate) fn begin(&self, key: Key, now: Timestamp) -> bool {
        let mut keys = self.lock(&key);
        if keys.get(&key).is_some_and(|refreshing| !refreshing.is_due(now)) {
            return false;
        }
        if keys.len() >= KEYS && !keys.contains_key(&key) {
            keys.retain(|_, refreshing| !refreshing.is_due(now));
            if keys.len() >= KEYS {
                // With so many keys, trying some too soon is the lesser evil.
                keys.clear();
            }
        }
        keys.entry(key).or_default().is_running = true;
        true
    }

    pub(crate) fn failed(&self, key: &Key, now: Timestamp) {
        if let Some(refreshing) = self.lock(key).get_mut(key) {
            let length = FIRST.saturating_mul(1 << refreshing.failures.min(16)).min(LONGEST);
            refreshing.is_running = false;
            refreshing.failures = refreshing.failures.saturating_add(1);
            refreshing.until = now.saturating_add(length);
        }
    }

    pub(crate) fn succeeded(&self, key: &Key) {
        self.lock(key).remove(key);
    }

    /// Ends the pause after failures, unless a refresh is running.
    pub(crate) fn forgive(&self, key: &Key) {
        let mut keys = self.lock(key);
        if keys.get(key).is_some_and(|refreshing| !refreshing.is_running) {
            keys.remove(key);
        }
    }

    /// The refresh was stopped, or not needed.
    pub(crate) fn abandoned(&self, key: &Key) {
        let mut keys = self.lock(key);
        if let Some(refreshing) = keys.get_mut(key) {
            refreshing.is_running = false;
            if refreshing.failures == 0 {
                keys.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_end_with_a_success() {
        let (backoff, key) = (Backoff::default(), Key::digest("a"));
        let mut now = Timestamp::MIN;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(backoff.begin(key, now));
            backoff.failed(&key, now);
            let end = now.saturating_add(Duration::from_secs(seconds));
            assert!(!backoff.begin(key, Timestamp::from_millis(end.as_millis() - 1)));
            now = end;
        }
        assert!(backoff.begin(Key::digest("b"), Timestamp::MIN), "another key has no pause");
        assert!(backoff.begin(key, now));
        backoff.succeeded(&key);
        assert!(backoff.begin(key, now));
        backoff.failed(&key, now);
        assert!(backoff.begin(key, now.saturating_add(FIRST)));
    }

    #[test]
    fn one_refresh_of_a_key_runs_at_a_time() {
        let (backoff, key, now) = (Backoff::default(), Key::digest("a"), Timestamp::MIN);
        for end in [Backoff::succeeded, Backoff::abandoned] {
            assert!(backoff.begin(key, now));
            assert!(!backoff.begin(key, Timestamp::MAX), "however long it takes");
            assert!(backoff.begin(Key::digest("b"), now));
            end(&backoff, &key);
            end(&backoff, &Key::digest("b"));
            assert!(backoff.lock(&key).is_empty());
        }
        backoff.begin(key, now);
        backoff.failed(&key, now);
        let later = now.saturating_add(FIRST);
        assert!(backoff.begin(key, later));
        backoff.abandoned(&key);
        assert!(backoff.begin(key, later));
        backoff.failed(&key, later);
        assert!(!backoff.begin(key, later.saturating_add(FIRST)), "the first failure still counts");
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        for fails in [true, false] {
            let backoff = Backoff::default();
            for n in 0..3 * KEYS * SHARDS {
                let key = Key::digest(n.to_string());
                assert!(backoff.begin(key, Timestamp::MIN));
                if fails {
                    backoff.failed(&key, Timestamp::MIN);
                }
                assert!(backoff.lock(&key).len() <= KEYS);
            }
        }
    }
}
