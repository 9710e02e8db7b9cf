//! How often entries were read lately, kept in memory and counted by reads without a lock or a
//! write to the file.

use std::sync::atomic::{AtomicU64, Ordering};

use super::database::KeyStart;

/// The number of counters.
const COUNTERS: usize = 1 << 21;
/// The bits of a counter, and the highest count.
const BITS: usize = 2;
const MOST: u64 = (1 << BITS) - 1;
const IN_WORD: usize = u64::BITS as usize / BITS;

/// A count of up to three for each of 2^21 classes of keys (512 KiB). Keys are digests, so their
/// first bits are evenly spread. If there are more entries than counters, some entries share one,
/// and an entry is sometimes kept because another was read.
pub(super) struct Visited(Box<[AtomicU64]>);

impl Visited {
    pub(super) fn new() -> Self {
        Self((0..COUNTERS / IN_WORD).map(|_| AtomicU64::new(0)).collect())
    }

    fn counter(&self, [a, b, c, ..]: KeyStart) -> (&AtomicU64, usize) {
        let number = u32::from_le_bytes([a, b, c, 0]) as usize % COUNTERS;
        (&self.0[number / IN_WORD], number % IN_WORD * BITS)
    }

    /// Counts a read of the entry.
    pub(super) fn add(&self, key: KeyStart) {
        let (word, shift) = self.counter(key);
        let old = word.load(Ordering::Relaxed);
        // The counter of a hot entry is full. Checking first avoids a write to its cache line at
        // every read. A read that is counted at the same time as another may be lost.
        if old >> shift & MOST < MOST {
            let new = old + (1 << shift);
            let _swapped = word.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    pub(super) fn count(&self, key: KeyStart) -> u64 {
        let (word, shift) = self.counter(key);
        word.load(Ordering::Relaxed) >> shift & MOST
    }

    /// Takes one from the count, and returns what it was. Only the writer thread does this, so no
    /// count falls below zero.
    pub(super) fn take(&self, key: KeyStart) -> u64 {
        let (word, shift) = self.counter(key);
        let count = word.load(Ordering::Relaxed) >> shift & MOST;
        if count > 0 {
            word.fetch_sub(1 << shift, Ordering::Relaxed);
        }
        count
    }

    /// Sets the count to zero.
    pub(super) fn clear(&self, key: KeyStart) {
        let (word, shift) = self.counter(key);
        word.fetch_and(!(MOST << shift), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_counted_up_to_three() {
        let visited = Visited::new();
        let (one, other) = ([0xff; 8], [0xfe; 8]);
        for _ in 0..5 {
            visited.add(one);
        }
        visited.add(other);
        assert_eq!([visited.count(one), visited.count(other)], [3, 1]);
        assert_eq!([(); 5].map(|()| visited.take(one)), [3, 2, 1, 0, 0]);
        visited.clear(other);
        assert_eq!(visited.take(other), 0);
    }
}
