//! Which keys have responses that are not stored, as far as is remembered.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::Key;

/// How many keys are remembered, at most; each has one place, which it may lose to another.
const PLACES: usize = 4096;

/// Set in every mark, so that no mark is zero.
const MARKED: u64 = 1;
/// Set in the mark of a key whose response was refused for its status.
const BY_STATUS: u64 = 2;

/// The keys whose last response could not be stored.
///
/// A guess is enough here: a key that is remembered wrongly costs a call that could have been shared, one that is
/// forgotten a wait that leads to nothing.
pub(crate) struct Lonely(Box<[AtomicU64]>);

impl Default for Lonely {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Lonely {
    /// The key's place, and its mark there, which is never zero. Keys are digests: any of their bytes will do.
    fn place(&self, key: &Key) -> (&AtomicU64, u64) {
        let bytes = key.as_bytes();
        let place = usize::from(u16::from_le_bytes([bytes[0], bytes[1]])) % self.0.len();
        let mark = bytes[2..10].iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte));
        (&self.0[place], (mark | MARKED) & !BY_STATUS)
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        let (place, mark) = self.place(key);
        place.load(Ordering::Relaxed) & !BY_STATUS == mark
    }

    /// `by_status` is whether the response was refused for its status.
    pub(crate) fn insert(&self, key: &Key, by_status: bool) {
        let (place, mark) = self.place(key);
        place.store(if by_status { mark | BY_STATUS } else { mark }, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, key: &Key) {
        let (place, mark) = self.place(key);
        // Of two that race for the place, either may have it.
        if place.load(Ordering::Relaxed) & !BY_STATUS == mark {
            place.store(0, Ordering::Relaxed);
        }
    }

    /// Forgets the key if its response was refused for its status.
    pub(crate) fn remove_by_status(&self, key: &Key) {
        let (place, mark) = self.place(key);
        if place.load(Ordering::Relaxed) == mark | BY_STATUS {
            place.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_it_is_taken_back() {
        let (lonely, key) = (Lonely::default(), Key::digest("a"));
        assert!(!lonely.contains(&key));
        lonely.insert(&key, false);
        assert!(lonely.contains(&key) && !lonely.contains(&Key::digest("b")));
        lonely.remove_by_status(&key);
        assert!(lonely.contains(&key));
        lonely.remove(&Key::digest("b"));
        assert!(lonely.contains(&key));
        lonely.remove(&key);
        assert!(!lonely.contains(&key));
        lonely.insert(&key, true);
        assert!(lonely.contains(&key));
        lonely.remove_by_status(&key);
        assert!(!lonely.contains(&key));
    }
}
