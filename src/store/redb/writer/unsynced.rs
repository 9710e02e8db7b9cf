//! What was committed and is not synced yet.

use std::time::Instant;

use super::touched::Touched;

pub(super) struct Unsynced {
    pub(super) since: Instant,
    pub(super) bytes: usize,
    pub(super) touched: Touched,
}

impl Unsynced {
    pub(super) fn begin() -> Self {
        Self { since: Instant::now(), bytes: 0, touched: Touched::default() }
    }
}
