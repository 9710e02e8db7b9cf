//! The keys of entries that were evicted lately. An entry that comes back has proved useful, and
//! stays.

use super::database::KeyStart;

/// The number of keys that are remembered at most.
const SLOTS: usize = 1 << 16;

/// For how long a key is remembered: until so many units of bytes were evicted after it, which is
/// the size limit of the store.
const HORIZON: u64 = 256;

/// Evicted keys, in 256 KiB. Keys share slots; the last one counts.
pub(super) struct Ghost {
    /// 16 bits of a key, and 16 bits of the time when it was evicted.
    slots: Box<[u32]>,
    /// The bytes evicted so far, from a large number on, so that an empty slot is old.
    clock: u128,
    /// The bytes in a unit of time.
    unit: u128,
}

impl Ghost {
    pub(super) fn new(max_bytes: u64) -> Self {
        let unit = u128::from(max_bytes.div_ceil(HORIZON).max(1));
        Self { slots: vec![0; SLOTS].into(), clock: unit * 1_000, unit }
    }

    fn time(&self) -> u16 {
        // Its lower bits are enough to tell a recent time.
        (self.clock / self.unit) as u16
    }

    /// The slot of a key, and 16 bits of the key. Other bits than those that count reads.
    fn slot([.., a, b, c, d]: KeyStart) -> (usize, u16) {
        (usize::from(u16::from_le_bytes([a, b])) % SLOTS, u16::from_le_bytes([c, d]))
    }

    /// An entry of `bytes` is evicted.
    pub(super) fn add(&mut self, key: KeyStart, bytes: u64) {
        self.clock += u128::from(bytes);
        let (slot, part) = Self::slot(key);
        self.slots[slot] = u32::from(part) << 16 | u32::from(self.time());
    }

    /// Whether the entry was evicted lately.
    pub(super) fn knows(&self, key: KeyStart) -> bool {
        let (slot, part) = Self::slot(key);
        let slot = self.slots[slot];
        let age = self.time().wrapping_sub(slot as u16);
        slot >> 16 == u32::from(part) && u64::from(age) < HORIZON
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, store::embedded::database::key_start};

    #[test]
    fn a_key_is_known_until_a_store_full_was_evicted_after_it() {
        let mut ghost = Ghost::new(25_600);
        let key = |number: u64| key_start(&Key::digest(number.to_string()));
        assert!(!ghost.knows(key(0)) && !ghost.knows([0; 8]));
        ghost.add(key(0), 100);
        for number in 1..256 {
            ghost.add(key(number), 100);
        }
        assert!(ghost.knows(key(0)) && ghost.knows(key(255)));
        ghost.add(key(256), 100);
        assert!(!ghost.knows(key(0)) && ghost.knows(key(1)));
    }
}
