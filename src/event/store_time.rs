//! How long the store has taken for the call that is being polled.

use std::{cell::Cell, time::Duration};

thread_local! {
    /// Of the call that is being polled on this thread.
    static STORE_TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The store has answered the call that is being polled here.
pub(super) fn store_took(elapsed: Duration) {
    STORE_TIME.set(STORE_TIME.get().saturating_add(elapsed));
}

/// Puts the time of another call in place of the one that is being polled here, which it returns.
pub(super) fn replace(time: Duration) -> Duration {
    STORE_TIME.replace(time)
}
