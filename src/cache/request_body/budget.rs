//! The limit on the memory of all request bodies that a layer holds for keys at one time.
//!
//! Each body has a limit of its own. Without a limit on their sum, many requests that never end
//! could hold any amount of memory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How many bytes a layer and its clones hold, and how many they may hold.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) held: Arc<AtomicU64>,
    pub(crate) limit: u64,
}

/// The bytes that one body holds. Dropping the body gives them back.
#[derive(Debug)]
pub(super) struct Held {
    held: Arc<AtomicU64>,
    bytes: u64,
}

impl Budget {
    pub(super) fn begin(&self) -> Held {
        Held { held: self.held.clone(), bytes: 0 }
    }

    /// Adds `bytes` to what a body holds. Returns `false` if all bodies together exceed the
    /// limit.
    pub(super) fn take(&self, body: &mut Held, bytes: u64) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        body.bytes += bytes;
        before.saturating_add(bytes) <= self.limit
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
