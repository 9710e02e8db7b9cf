//! What was committed and is not synced yet.

use std::time::{Duration, Instant};

pub(super) struct Unsynced {
    pub(super) since: Instant,
    pub(super) bytes: usize,
    /// Set after a failed attempt: how long the next one must wait.
    pub(super) again: Option<Duration>,
}
