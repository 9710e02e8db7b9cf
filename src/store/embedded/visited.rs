//! Which entries were read lately: the `visited` bits of SIEVE, kept in memory and set by reads
//! without a lock or a write to the file.

use std::sync::atomic::{AtomicU64, Ordering};

const BITS: usize = 1 << 20;

/// One bit for each of 2^20 classes of keys (128 KiB). Keys are digests, so their first bits are
/// evenly spread. If there are more entries than bits, some entries share one, and an entry is
/// sometimes kept because another was read.
pub(in crate::store) struct Visited(Box<[AtomicU64]>);

impl Visited {
    pub(in crate::store) fn new() -> Self {
        Self((0..BITS / 64).map(|_| AtomicU64::new(0)).collect())
    }

    fn bit(&self, key: &[u8; 32]) -> (&AtomicU64, u64) {
        let bit = u32::from_le_bytes([key[0], key[1], key[2], 0]) as usize % BITS;
        (&self.0[bit / 64], 1 << (bit % 64))
    }

    /// Marks the entry as read.
    pub(in crate::store) fn set(&self, key: &[u8; 32]) {
        let (word, bit) = self.bit(key);
        // The bit of a hot entry is set already. Checking first avoids a write to its cache line at
        // every read.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether the entry was read since the last call. Clears the bit.
    pub(in crate::store) fn take(&self, key: &[u8; 32]) -> bool {
        let (word, bit) = self.bit(key);
        word.fetch_and(!bit, Ordering::Relaxed) & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_lasts_until_it_is_taken() {
        let visited = Visited::new();
        let (one, other) = ([0xff; 32], [0xfe; 32]);
        visited.set(&one);
        visited.set(&one);
        assert!(!visited.take(&other));
        assert!(visited.take(&one));
        assert!(!visited.take(&one));
    }
}
