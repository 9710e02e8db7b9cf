//! Refreshes that fail are not tried again at once.

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

/// Of how many keys failures are remembered, at most.
const KEYS: usize = 4096;

/// Which refreshes have failed, and until when they are let alone.
#[derive(Debug, Default)]
pub(crate) struct Backoff(Mutex<HashMap<Key, Pause>>);

#[derive(Clone, Copy, Debug)]
struct Pause {
    failures: u32,
    until: Timestamp,
}

impl Backoff {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Pause>> {
        // The map is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a refresh of `key` is to wait.
    pub(crate) fn is_due(&self, key: &Key, now: Timestamp) -> bool {
        self.lock().get(key).is_none_or(|pause| pause.until <= now)
    }

    pub(crate) fn failed(&self, key: Key, now: Timestamp) {
        let mut pauses = self.lock();
        if pauses.len() >= KEYS && !pauses.contains_key(&key) {
            pauses.retain(|_, pause| pause.until > now);
            if pauses.len() >= KEYS {
                // Thousands of keys fail at once: that some of them are tried again too soon is the lesser evil.
                pauses.clear();
            }
        }
        let failures = pauses.get(&key).map_or(0, |pause| pause.failures).saturating_add(1);
        let length = FIRST.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST);
        pauses.insert(key, Pause { failures, until: now.saturating_add(length) });
    }

    pub(crate) fn succeeded(&self, key: &Key) {
        self.lock().remove(key);
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
            assert!(backoff.is_due(&key, now));
            backoff.failed(key, now);
            let end = now.saturating_add(Duration::from_secs(seconds));
            assert!(!backoff.is_due(&key, Timestamp::from_millis(end.as_millis() - 1)));
            assert!(backoff.is_due(&Key::digest("b"), now), "another key is let alone");
            now = end;
        }
        backoff.succeeded(&key);
        backoff.failed(key, now);
        assert!(backoff.is_due(&key, now.saturating_add(FIRST)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let backoff = Backoff::default();
        for n in 0..3 * KEYS {
            backoff.failed(Key::digest(n.to_string()), Timestamp::MIN);
            assert!(backoff.lock().len() <= KEYS);
        }
    }
}
