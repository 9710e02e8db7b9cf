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

use crate::Key;

/// The abandoned changes of all handles.
#[derive(Default)]
pub(super) struct Order(Mutex<Vec<Left>>);

/// An abandoned change.
pub(super) struct Left {
    pub(super) key: Key,
    /// Closed when the change has ended.
    pub(super) running: watch::Receiver<()>,
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

    /// Returns the abandoned changes of `key`, or of any key if it is `None`.
    pub(super) fn running(&self, key: Option<&Key>) -> Vec<watch::Receiver<()>> {
        let mut all = self.lock();
        all.retain(|left| !left.has_ended());
        let ours = all.iter().filter(|left| key.is_none_or(|key| left.key == *key));
        ours.map(|left| left.running.clone()).collect()
    }
}

/// A caller that waits for a change. If it is dropped before the change has ended, the change is
/// abandoned.
pub(super) struct Waiting<'a> {
    pub(super) order: &'a Order,
    pub(super) left: Option<Left>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(left) = self.left.take().filter(|left| !left.has_ended()) {
            self.order.add(left);
        }
    }
}
