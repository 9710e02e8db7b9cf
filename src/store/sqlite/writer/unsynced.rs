//! What was committed and is not synced yet.

use std::time::{Duration, Instant};

pub(super) struct Unsynced {
    pub(super) since: Instant,
    pub(super) bytes: usize,
    /// The last attempt came to nothing; the next one is to wait for so long.
    pub(super) again: Option<Duration>,
}
