//! The memory of all request bodies that a layer has read for keys at one time.
//!
//! Each body is bounded by itself. Without a bound of their sum, many requests that never end would
//! hold as much memory as they are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How many bytes are held, for a layer and its clones, and how many may be.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) held: Arc<AtomicU64>,
    pub(crate) limit: u64,
}

/// The share of one body. It is given back when the body is dropped.
#[derive(Debug)]
pub(super) struct Share {
    held: Arc<AtomicU64>,
    bytes: u64,
}

impl Budget {
    pub(super) fn share(&self) -> Share {
        Share { held: self.held.clone(), bytes: 0 }
    }

    /// Adds `bytes` to the share of a body. `false` if all bodies together would be over the limit.
    pub(super) fn take(&self, share: &mut Share, bytes: u64) -> bool {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        share.bytes += bytes;
        before.saturating_add(bytes) <= self.limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
