//! Work that takes long, in steps: the other tasks of the thread have a turn in between.

use std::{future::poll_fn, mem, task::Poll};

/// Lets the other tasks of this thread have a turn.
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
