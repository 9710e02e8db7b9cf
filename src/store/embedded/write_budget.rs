//! The write budget: how many bytes may wait for the writer thread, so that a fast producer cannot
//! fill the memory.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// The number of bytes that may be in flight, and the futures that wait for some.
///
/// A future takes its permit at the moment when it is polled. A semaphore would reserve permits for
/// waiting futures instead: a response body that its caller stopped reading is a future that nobody
/// polls, and its permits would be lost to all others.
pub(in crate::store) struct WriteBudget {
    free: AtomicUsize,
    freed: Notify,
}

impl WriteBudget {
    pub(in crate::store) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes), freed: Notify::new() })
    }

    /// Waits for a permit for `bytes`, which must not exceed the whole budget.
    pub(in crate::store) async fn acquire(self: &Arc<Self>, bytes: usize) -> Permit {
        loop {
            // Registered before the check, so that no release is missed.
            let freed = self.freed.notified();
            let taken = self
                .free
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(bytes));
            if taken.is_ok() {
                return Permit { budget: self.clone(), bytes };
            }
            freed.await;
        }
    }
}

/// A part of the budget. It is returned when it is dropped.
pub(in crate::store) struct Permit {
    budget: Arc<WriteBudget>,
    bytes: usize,
}

impl Permit {
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns these permits together, and wakes the waiters once.
    pub(super) fn return_all(permits: &mut Vec<Self>) {
        let Some(mut last) = permits.pop() else { return };
        for mut permit in permits.drain(..) {
            last.bytes += mem::take(&mut permit.bytes);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        self.budget.free.fetch_add(self.bytes, Ordering::AcqRel);
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_waiter_that_nobody_polls_blocks_no_other() {
        let budget = WriteBudget::new(10);
        let first = budget.acquire(8).await;
        let mut stalled = pin!(budget.acquire(8));
        macro_rules! waits {
            () => {
                poll_fn(|cx| Poll::Ready(stalled.as_mut().poll(cx).is_pending())).await
            };
        }
        assert!(waits!());
        drop(first);
        // Free bytes go to whoever asks, even if another future waited first.
        let other = budget.acquire(8).now_or_never().expect("there is room");
        assert!(waits!());
        drop(other);
        assert_eq!(stalled.await.bytes(), 8);
    }
}
