//! What all handles of a store share: the connection, the settings, and the order of changes.

use std::sync::{Arc, atomic::AtomicU8};

use tokio::sync::{OnceCell, watch};

use super::{
    collections::Collections,
    fault::{self, STORE},
    link::Link,
    order::{Left, Order, Waiting},
};
use crate::{
    Key,
    store::{
        Result,
        server::{Settings, needs_runtime},
    },
};

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

    /// Changes the entry of `key`, after abandoned changes of it. The change runs to its end even
    /// if the caller goes away.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        key: &Key,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        needs_runtime::when_used(STORE)?;
        self.in_order(Some(key)).await?;
        let (running, left) = watch::channel(());
        let left = Some(Left { key: *key, running: left });
        let mut waiting = Waiting { order: &self.order, left };
        let task = tokio::spawn(async move {
            let _running = running;
            change.await
        });
        let answer = task.await;
        waiting.left = None;
        answer.map_err(fault::ended)?
    }

    /// Waits for the changes of `key`, or of any key if it is `None`, that were abandoned before
    /// now.
    ///
    /// # Errors
    ///
    /// If no server can be reached, or one of the changes takes longer than the time limit.
    pub(super) async fn in_order(&self, key: Option<&Key>) -> Result<()> {
        let before = self.order.running(key);
        if before.is_empty() {
            return Ok(());
        }
        self.link.check_reachable()?;
        let ended = async {
            for mut running in before {
                // Nothing is ever sent: the channel closes at the end.
                while running.changed().await.is_ok() {}
            }
        };
        let circuit = self.link.circuit();
        tokio::time::timeout(circuit.limit, ended).await.map_err(|_| circuit.slow())
    }
}
