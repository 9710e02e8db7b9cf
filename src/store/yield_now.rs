//! Long work runs in steps, and yields to other tasks between them.

use std::{future::poll_fn, mem, task::Poll};

/// Lets the other tasks of this thread run.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
