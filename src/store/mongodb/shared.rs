//! What all handles of a store share: the connection, the settings, and the order of changes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::{sync::OnceCell, task::AbortHandle};

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
    pub(super) sweeper: Mutex<Sweeper>,
}

/// The background sweeps.
#[derive(Default)]
pub(super) struct Sweeper {
    /// The task that sweeps, unless it has nothing to wait for.
    pub(super) task: Option<AbortHandle>,
    /// Whether there is more to do than the last sweep knew.
    pub(super) has_more: bool,
}

impl Shared {
    pub(super) fn sweeper(&self) -> MutexGuard<'_, Sweeper> {
        self.sweeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the indexes, before the first write that they must find.
    pub(super) async fn indexed(&self) -> Result<()> {
        let index = || self.collections.index(&self.link, self.settings.grace);
        self.indexed.get_or_try_init(index).await.map(drop)
    }
}
