//! How much time the store has taken of the call that is being polled.

use std::{cell::Cell, time::Duration};

thread_local! {
    /// The store time of the call that this thread is polling.
    static STORE_TIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Adds to the store time of the call that this thread is polling.
pub(super) fn store_took(elapsed: Duration) {
    STORE_TIME.set(STORE_TIME.get().saturating_add(elapsed));
}

/// Sets the store time of the call that this thread polls from now on. Returns the time of the call
/// before it.
pub(super) fn replace(time: Duration) -> Duration {
    STORE_TIME.replace(time)
}
