//! The tokio runtime of the current call: whether it exists, and time limits that need its timers.
//!
//! The layer works without a runtime. Without one, it refreshes nothing in the background, and time
//! limits have no effect. The stores on a server need a runtime, and return an error without one.

use std::{
    cell::Cell,
    panic,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Handle, Id},
    time::{sleep, timeout},
};

/// How many runtimes without timers are remembered. A program creates one by mistake, not many.
const MOST: usize = 16;

/// The runtimes that are known to have no timers.
static TIMERLESS: Mutex<Vec<Id>> = Mutex::new(Vec::new());

thread_local! {
    /// The last runtime with timers that this thread checked.
    static LAST: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Whether the caller is in a tokio runtime with timers (`enable_time`, `enable_all`).
///
/// tokio has no function for this. Creating a timer in a runtime without timers panics. This
/// function creates one, catches the panic, and checks each runtime once. The panic hook prints
/// tokio's message, which names the missing setting. A program that aborts on panics ends there.
/// Runtimes are identified by their ids, which tokio does not reuse within a process.
pub(crate) fn has_timers() -> bool {
    let Ok(runtime) = Handle::try_current() else { return false };
    let id = runtime.id();
    if LAST.get() == Some(id) {
        return true;
    }
    if timerless().contains(&id) {
        return false;
    }
    // The lock is not held here, since a panic hook may run any code.
    if panic::catch_unwind(|| drop(sleep(Duration::ZERO))).is_ok() {
        LAST.set(Some(id));
        return true;
    }
    let mut timerless = timerless();
    if timerless.len() == MOST {
        timerless.remove(0);
    }
    timerless.push(id);
    false
}

fn timerless() -> MutexGuard<'static, Vec<Id>> {
    // A poisoned lock is safe to use: the list is valid between any two statements under the lock.
    TIMERLESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The output of `future`, or `None` if it takes longer than `limit`. Without timers, the limit has
/// no effect.
pub(crate) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) if has_timers() => timeout(limit, future).await.ok(),
        _ => Some(future.await),
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn timers_need_a_runtime_that_has_them_on() {
        assert!(!has_timers());
        let timed = Builder::new_current_thread().enable_time().build().unwrap();
        let timerless = Builder::new_current_thread().build().unwrap();
        for _ in 0..2 {
            assert!(timed.block_on(async { has_timers() }));
            assert!(!timerless.block_on(async { has_timers() }));
        }
        assert!(!has_timers(), "the thread has left the runtime");
    }

    #[test]
    fn a_limit_needs_timers() {
        let short = Some(Duration::from_millis(1));
        let timed = Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(timed.block_on(within(short, pending::<()>())), None);
        assert_eq!(within(short, async { 1 }).now_or_never(), Some(Some(1)));
        assert_eq!(within(short, pending::<()>()).now_or_never(), None);
        let timerless = Builder::new_current_thread().build().unwrap();
        assert_eq!(timerless.block_on(within(short, async { 1 })), Some(1));
    }
}
