//! [`Evicted`]: what a store evicted to make room.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event;

/// What a store evicted since this process opened it, to stay within its size limit.
///
/// Removed, replaced and purged entries do not count, and neither do entries that another process
/// evicted from a shared file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// The number of entries.
    pub entries: u64,
    /// The bytes that they took, as the store counts them.
    pub bytes: u64,
}

/// The counters behind [`Evicted`].
#[derive(Debug, Default)]
pub(in crate::store) struct Evictions {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Evictions {
    /// Counts what `store` evicted, and reports it if there is anything.
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
