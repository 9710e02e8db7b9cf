//! What was committed and is not synced yet.

use std::time::{Duration, Instant};

use crate::store::embedded::hidden::Hidden;

/// What was committed and is not synced yet.
pub(super) struct Unsynced {
    pub(super) since: Instant,
    pub(super) bytes: usize,
    /// The number of entries.
    pub(super) entries: u64,
    /// Set after a failed attempt: how long the next one must wait.
    pub(super) again: Option<Duration>,
    /// What becomes outdated if the commits are undone.
    pub(super) touched: Hidden,
}

impl Unsynced {
    pub(super) fn begin(again: Option<Duration>) -> Self {
        Self { since: Instant::now(), bytes: 0, entries: 0, again, touched: Hidden::default() }
    }
}
