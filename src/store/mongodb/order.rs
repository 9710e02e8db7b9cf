//! Abandoned changes, and the changes after them.
//!
//! The driver has several connections, and a server handles commands of different connections in
//! any order. A caller that waits for an answer keeps the order by waiting. But a caller may go
//! away during a change, which continues in its task. A removal that begins later would use another
//! connection, and the removed entry could come back after it. So a change whose caller has gone
//! away is registered here, and later operations wait until it has ended: every change of the same
//! key, and every removal by an index. Nobody waits for a change whose caller is still waiting, and
//! without an abandoned change nothing waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{
    fault::{self, STORE},
    link::Link,
};
use crate::{
    Key,
    store::{Result, server::needs_runtime},
};

/// The abandoned changes of all handles.
#[derive(Default)]
pub(super) struct Order(Mutex<Vec<Left>>);

/// An abandoned change.
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
    /// Changes the entry of `key`, after abandoned changes of it. The change runs to its end even
    /// if the caller goes away.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        link: &Link,
        key: &Key,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        needs_runtime::when_used(STORE)?;
        self.wait(link, Some(key)).await?;
        let (running, left) = watch::channel(());
        let mut waiting = Waiting { order: self, left: Some(Left { key: *key, running: left }) };
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
    pub(super) async fn wait(&self, link: &Link, key: Option<&Key>) -> Result<()> {
        let before = self.running(key);
        if before.is_empty() {
            return Ok(());
        }
        link.check_reachable()?;
        let ended = async {
            for mut running in before {
                // Nothing is ever sent: the channel closes at the end.
                while running.changed().await.is_ok() {}
            }
        };
        let circuit = link.circuit();
        tokio::time::timeout(circuit.limit, ended).await.map_err(|_| circuit.slow())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Left>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, left: Left) {
        let mut all = self.lock();
        all.retain(|left| !left.has_ended());
        all.push(left);
    }

    /// Returns the abandoned changes of `key`, or of any key if it is `None`.
    fn running(&self, key: Option<&Key>) -> Vec<watch::Receiver<()>> {
        let mut all = self.lock();
        all.retain(|left| !left.has_ended());
        let ours = all.iter().filter(|left| key.is_none_or(|key| left.key == *key));
        ours.map(|left| left.running.clone()).collect()
    }
}

/// A caller that waits for a change. If it is dropped before the change has ended, the change is
/// abandoned.
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
