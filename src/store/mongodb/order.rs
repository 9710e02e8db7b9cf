//! Changes that nobody waits for any more, and the changes after them.
//!
//! The driver has several connections, and a server takes what comes over them in no order. Whoever waits for an answer
//! keeps the order by waiting. But a caller may go away amid a change, which goes on in its task; a removal that begins
//! after that would go out over another connection, and what it has removed could come back behind it. So a change whose
//! caller has gone away is noted here, and what begins later waits until it has ended: every change of the same key, and
//! every removal by an index. Nobody waits for a change that is still waited for, and where none was left, nothing waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Key;

/// The changes that were left to themselves, of all handles.
#[derive(Default)]
pub(super) struct Order(Mutex<Vec<Left>>);

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

    /// Those that are under way for `key`, or for any where it is `None`.
    pub(super) fn running(&self, key: Option<&Key>) -> Vec<watch::Receiver<()>> {
        let mut all = self.lock();
        all.retain(|left| !left.has_ended());
        let ours = all.iter().filter(|left| key.is_none_or(|key| left.key == *key));
        ours.map(|left| left.running.clone()).collect()
    }
}

/// Who waits for a change. Dropped before it has ended, it leaves the change to itself.
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
