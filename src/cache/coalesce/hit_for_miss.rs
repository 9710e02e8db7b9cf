//! [`HitForMiss`]: the keys whose last response was not stored. Requests for such a key do not wait
//! for each other, since nothing will come of it for them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::Key;

/// How many keys are remembered at most. Each has one slot, which it may lose to another key.
const SLOTS: usize = 4096;

/// Each fingerprint has this bit.
const PRESENT: u64 = 1;
/// The fingerprint of a response that was not stored because of its status has this bit too.
const BY_STATUS: u64 = 2;

/// The keys whose last response was not stored.
///
/// A guess is enough here. A key that is remembered wrongly costs a call that could have been
/// shared. A key that is forgotten costs a wait for nothing.
pub(crate) struct HitForMiss(Box<[AtomicU64]>);

impl Default for HitForMiss {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl HitForMiss {
    /// The key's slot, and its fingerprint there, which is never zero. The key is a digest: any of
    /// its bytes will do.
    fn slot(&self, key: &Key) -> (&AtomicU64, u64) {
        let bytes = key.as_bytes();
        let slot = usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % self.0.len();
        let fingerprint = bytes[2..10].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        (&self.0[slot], (fingerprint | PRESENT) & !BY_STATUS)
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        let (slot, fingerprint) = self.slot(key);
        slot.load(Ordering::Relaxed) & !BY_STATUS == fingerprint
    }

    /// `by_status` is whether the response was not stored because of its status.
    pub(crate) fn insert(&self, key: &Key, by_status: bool) {
        let (slot, fingerprint) = self.slot(key);
        slot.store(
            if by_status { fingerprint | BY_STATUS } else { fingerprint },
            Ordering::Relaxed,
        );
    }

    pub(crate) fn remove(&self, key: &Key) {
        let (slot, fingerprint) = self.slot(key);
        // Of two keys that race for the slot, either may have it.
        if slot.load(Ordering::Relaxed) & !BY_STATUS == fingerprint {
            slot.store(0, Ordering::Relaxed);
        }
    }

    /// Forgets the key if its response was not stored because of its status.
    pub(crate) fn remove_by_status(&self, key: &Key) {
        let (slot, fingerprint) = self.slot(key);
        if slot.load(Ordering::Relaxed) == fingerprint | BY_STATUS {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_it_is_taken_back() {
        let (known, key) = (HitForMiss::default(), Key::digest("a"));
        assert!(!known.contains(&key));
        known.insert(&key, false);
        assert!(known.contains(&key) && !known.contains(&Key::digest("b")));
        known.remove_by_status(&key);
        assert!(known.contains(&key));
        known.remove(&Key::digest("b"));
        assert!(known.contains(&key));
        known.remove(&key);
        assert!(!known.contains(&key));
        known.insert(&key, true);
        assert!(known.contains(&key));
        known.remove_by_status(&key);
        assert!(!known.contains(&key));
    }
}
