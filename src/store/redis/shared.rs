//! What all handles of a store share: the connection and the settings.

use std::time::Duration;

use super::{fault, link::Link, names::Names};
use crate::store::Error;

/// What all handles share.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) names: Names,
    pub(super) inline_limit: usize,
    pub(super) chunk_size: usize,
    pub(super) grace: Duration,
    pub(super) linger: Duration,
}

impl Shared {
    pub(super) fn linger_millis(&self) -> String {
        // The server adds it to its time. A year is longer than any read.
        self.linger.min(Duration::from_secs(366 * 24 * 3600)).as_millis().to_string()
    }

    pub(super) fn strange(&self) -> Error {
        fault::strange(self.link.server())
    }
}
