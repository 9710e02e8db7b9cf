//! What all handles of a store share: the connection, the settings, and the order of changes.

use std::sync::atomic::AtomicU8;

use tokio::sync::OnceCell;

use super::{collections::Collections, link::Link, order::Order};
use crate::store::{Result, server::Settings};

/// What all handles share.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) collections: Collections,
    pub(super) settings: Settings,
    /// Whether the indexes exist.
    pub(super) indexed: OnceCell<()>,
    /// Abandoned changes.
    pub(super) order: Order,
    /// Whether a sweep is scheduled.
    pub(super) sweeper: AtomicU8,
}

impl Shared {
    /// Creates the indexes, before the first write that they must find.
    pub(super) async fn indexed(&self) -> Result<()> {
        let index = || self.collections.index(&self.link, self.settings.grace);
        self.indexed.get_or_try_init(index).await.map(drop)
    }
}
