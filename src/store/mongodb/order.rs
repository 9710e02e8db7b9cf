//! Changes that nobody waits for any more, and the changes after them.
//!
//! The driver has several connections, and a server takes what comes over them in no order. Whoever waits for an answer
//! keeps the order by waiting. But a caller may go away amid a change, which goes on in its task; a removal that begins
//! after that would go out over another connection, and what it has removed could come back behind it. So a change whose
//! caller has gone away is noted here, and what begins later waits until it has ended: every change of the same key, and
//! every removal by an index. Nobody waits for a change that is still waited for, and where none was left, nothing waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Shared, fault};
use crate::{
    Key,
    store::{Result, needs_runtime},
};

/// The changes that were left to themselves, of all handles.
#[derive(Default)]
pub(super) struct Order(Mutex<Vec<Left>>);

struct Left {
    key: Key,
    /// Closed when the change has ended.
    running: watch::Receiver<()>,
}

impl Left {
    fn has_ended(&self) -> bool {
        self.running.has_changed().is_err()
    }
}

impl Order {
    fn lock(&self) -> MutexGuard<'_, Vec<Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, left: Left) {
        let mut all = self.lock();
        all.retain(|left| !left.has_ended());
        all.push(left);
    }

    /// Those that are under way for `key`, or for any where it is `None`.
    fn running(&self, key: Option<&Key>) -> Vec<watch::Receiver<()>> {
        let mut all = self.lock();
        all.retain(|left| !left.has_ended());
        let ours = all.iter().filter(|left| key.is_none_or(|key| left.key == *key));
        ours.map(|left| left.running.clone()).collect()
    }
}

impl Shared {
    /// Carries out a change of the entry of `key`, after those that were left to themselves, and to its end whether or
    /// not anybody waits for that.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        key: &Key,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        needs_runtime::when_used(fault::STORE)?;
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

    /// Waits for the changes of `key`, or of any where it is `None`, that were left to themselves until now.
    ///
    /// # Errors
    ///
    /// Where no server is reached, and where one of them takes longer than the time limit.
    pub(super) async fn in_order(&self, key: Option<&Key>) -> Result<()> {
        let before = self.order.running(key);
        if before.is_empty() {
            return Ok(());
        }
        self.link.gate()?;
        let ended = async {
            for mut running in before {
                // Nothing is ever sent: this is its end.
                while running.changed().await.is_ok() {}
            }
        };
        let limit = self.link.limit();
        let late = |_| fault::slow(self.link.place(), limit);
        tokio::time::timeout(limit, ended).await.map_err(late)
    }
}

/// Who waits for a change. Dropped before it has ended, it leaves the change to itself.
struct Waiting<'a> {
    order: &'a Order,
    left: Option<Left>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take().filter(|left| !left.has_ended()) {
            self.order.add(left);
        }
    }
}
