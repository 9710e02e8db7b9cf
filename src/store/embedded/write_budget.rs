//! Permit in the writer thread's queue, so that a fast producer cannot fill the memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// How many bytes may be under way, and who waits for there to be fewer.
///
/// Permit is taken by a future at the moment it is polled, and never kept ready for one that waits, as a semaphore would:
/// a response body that its caller has stopped reading is a future that nobody polls, and what it was granted would be
/// lost to all others.
pub(in crate::store) struct WriteBudget {
    free: AtomicUsize,
    freed: Notify,
}

impl WriteBudget {
    pub(in crate::store) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes), freed: Notify::new() })
    }

    /// Waits for room. There must be as much in an empty queue.
    pub(in crate::store) async fn acquire(self: &Arc<Self>, bytes: usize) -> Permit {
        loop {
            // Made before the look, so that what is freed after it is not missed.
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

/// Permit that was taken; given back when it is dropped.
pub(in crate::store) struct Permit {
    budget: Arc<WriteBudget>,
    bytes: usize,
}

impl Permit {
    pub(in crate::store) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
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
    async fn a_waiter_that_nobody_polls_holds_nothing_up() {
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
        // Permit that is there is anybody's, though another waited first.
        let other = budget.acquire(8).now_or_never().expect("there is room");
        assert!(waits!());
        drop(other);
        assert_eq!(stalled.await.bytes(), 8);
    }
}
