//! Copies that are not done when their body has been read.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

/// A copy in progress.
pub(super) type Copying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How many unfinished copies may wait. Each holds a body.
const MOST: usize = 32;

/// Copies that wait for the near tier after their readers are done.
#[derive(Default)]
pub(super) struct Unfinished {
    count: AtomicUsize,
    copies: Mutex<Vec<Copying>>,
}

impl Unfinished {
    fn lock(&self) -> MutexGuard<'_, Vec<Copying>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, copy: Copying) {
        let mut copies = self.lock();
        if copies.len() < MOST {
            copies.push(copy);
        }
        self.count.store(copies.len(), Ordering::SeqCst);
    }

    /// Polls each copy once.
    pub(super) async fn drive(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        // The copies are not polled under the lock.
        let mut copies = mem::take(&mut *self.lock());
        poll_fn(|cx| {
            copies.retain_mut(|copy| copy.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        let mut waiting = self.lock();
        waiting.append(&mut copies);
        self.count.store(waiting.len(), Ordering::SeqCst);
    }
}
