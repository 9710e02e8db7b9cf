//! [`Evicted`]: what a store has let go of to make room.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event;

/// What a store has evicted since it was opened here, to stay within its bytes. What was removed, replaced or purged is
/// none of it, nor what another process evicted from a file that both use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// How many entries.
    pub entries: u64,
    /// How many bytes they took, as the store counts them.
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(in crate::store) struct Evictions {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Evictions {
    /// Counts what `store` has evicted, and tells of it, where there is anything.
    pub(in crate::store) fn add(&self, store: &'static str, evicted: Evicted) {
        let Evicted { entries, bytes } = evicted;
        if entries > 0 {
            self.entries.fetch_add(entries, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            event::evicted(store, entries, bytes);
        }
    }

    pub(in crate::store) fn read(&self) -> Evicted {
        Evicted {
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
