//! [`Ended`]: the keys for which an answer has ended all that was stored. Most responses that are
//! refused were refused before, and the next such answer then need not look for anything.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::Key;

/// How many keys are remembered at most. Each has one slot, which it may lose to another key.
const SLOTS: usize = 1024;

/// The keys for which nothing is left to end.
///
/// What an answer ends lies under several keys: those of `GET`, `HEAD` and parts. So all that is
/// stored under these is counted by the primary key of the `GET`, and a key is remembered with that
/// count. What other processes store is not counted. A key that is forgotten costs reads for
/// nothing.
pub(crate) struct Ended {
    fingerprints: Box<[AtomicU64]>,
    stored: Box<[AtomicU64]>,
}

impl Default for Ended {
    fn default() -> Self {
        let zeros = || (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { fingerprints: zeros(), stored: zeros() }
    }
}

impl Ended {
    /// How much was stored for the `GET` with this primary key, and for others that share a slot.
    pub(crate) fn count(&self, get: &Key) -> u64 {
        self.stored[slot(get)].load(Ordering::Acquire)
    }

    /// Something was stored for the `GET`, its `HEAD` or a part.
    pub(crate) fn stored(&self, get: &Key) {
        self.stored[slot(get)].fetch_add(1, Ordering::AcqRel);
    }

    /// An answer for `key` has ended all that was stored when the count was taken.
    pub(crate) fn insert(&self, key: &Key, count: u64) {
        self.fingerprints[slot(key)].store(fingerprint(key, count), Ordering::Release);
    }

    /// Whether nothing is left that an answer for `key` would end.
    pub(crate) fn contains(&self, key: &Key, get: &Key) -> bool {
        self.fingerprints[slot(key)].load(Ordering::Acquire) == fingerprint(key, self.count(get))
    }

    /// Forgets every key.
    pub(crate) fn clear(&self) {
        self.fingerprints.iter().for_each(|slot| slot.store(0, Ordering::Release));
    }
}

/// The key is a digest: any of its bytes will do.
fn slot(key: &Key) -> usize {
    let bytes = key.as_bytes();
    usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % SLOTS
}

/// A fingerprint of the key and the count, which is never zero.
fn fingerprint(key: &Key, count: u64) -> u64 {
    let number = key.as_bytes()[2..10].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    (number ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_something_is_stored_for_its_get() {
        let (ended, key, get) = (Ended::default(), Key::digest("variant"), Key::digest("get"));
        assert!(!ended.contains(&key, &get));
        ended.insert(&key, ended.count(&get));
        assert!(ended.contains(&key, &get) && !ended.contains(&get, &get));
        ended.stored(&get);
        assert!(!ended.contains(&key, &get));
        let before = ended.count(&get);
        ended.stored(&get);
        ended.insert(&key, before);
        assert!(!ended.contains(&key, &get), "it was stored while the answer ended the others");
        ended.insert(&key, ended.count(&get));
        ended.clear();
        assert!(!ended.contains(&key, &get));
    }
}
