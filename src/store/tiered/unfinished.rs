//! Copies that outlive the reading of what they copy.

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

/// A copy that is being made.
pub(super) type Copying = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How many copies may wait to be finished; each holds a body.
const MOST: usize = 32;

/// Copies whose readers have all they want, and which wait for the near tier.
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

    /// Lets the copies go on as far as they can at once.
    pub(super) async fn drive(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        // Not polled under the lock.
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
