//! What all handles of a store share: the connection and the settings.

use std::time::Duration;

use super::{link::Link, names::Names};
use crate::store::{Error, server::Settings};

/// What all handles share.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) names: Names,
    pub(super) settings: Settings,
}

impl Shared {
    pub(super) fn linger_millis(&self) -> String {
        // The server adds it to its time. A year is longer than any read.
        self.settings.linger.min(Duration::from_secs(366 * 24 * 3600)).as_millis().to_string()
    }

    pub(super) fn strange(&self) -> Error {
        self.link.circuit().strange()
    }
}
